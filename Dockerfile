# The freshet image: one program on a base without a shell.
#
#   docker build --build-arg REVISION="$(git rev-parse --short HEAD)" -t freshet .

FROM rust:1.95.0-slim-trixie AS build
WORKDIR /src
# What a running program needs no more: debug information is four fifths of it.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=symbols

# The dependencies alone, around an empty program: this layer stays until they change. Tests and
# benchmarks have their paths in Cargo.toml; without, cargo would look for their files here.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked

COPY migrations migrations
COPY src src
ARG REVISION=unknown
# Newer than the empty program, whatever the time of the copied files.
RUN touch src/lib.rs src/main.rs \
 && FRESHET_REVISION=$REVISION cargo build --release --locked --bin freshet

FROM gcr.io/distroless/cc-debian13:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="freshet" \
      org.opencontainers.image.description="Every submission of some subreddits in your database, with proof that none was missed" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
COPY --from=build /src/target/release/freshet /usr/local/bin/freshet
# What is free is given back at once: a container's limit counts it.
ENV MIMALLOC_PURGE_DELAY=0
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --start-interval=1s CMD ["freshet", "health"]
ENTRYPOINT ["freshet"]
CMD ["help"]
