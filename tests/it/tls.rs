//! A server that cannot prove who it is hears nothing: no request, no password.

use crate::support::binary::Home;
use crate::support::tls::{Authority, Secured};
use freshet::network::{Address, Trust};
use freshet::queue::Queue;
use freshet::store::Store;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// Longer than any of these takes to be refused.
const SOON: Duration = Duration::from_secs(30);

fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// Something was sent to this server, and none of these words in the open.
fn in_the_open(server: &Secured, words: &[&str]) {
    let sent = server.overheard();
    assert!(!sent.is_empty(), "nothing came");
    for word in words {
        assert!(!sent.contains(word), "{word} was sent in the open");
    }
}

/// What the program logs of a Reddit at this server, when it trusts this authority; and whether
/// anything reached the server.
async fn reddit(server: &Secured, trusted: Option<&Authority>, words: &str) {
    let home = Home::new();
    let url = format!("https://localhost:{}", server.port);
    let mut command = home.command(&["run", "rust", "--http-listen", "127.0.0.1:0"]);
    command
        .env("FRESHET_REDDIT__CLIENT_ID", "the-client")
        .env("FRESHET_REDDIT__CLIENT_SECRET", "the-secret");
    command
        .env("FRESHET_REDDIT__API_URL", &url)
        .env("FRESHET_REDDIT__AUTH_URL", &url);
    if let Some(authority) = trusted {
        command.env("SSL_CERT_FILE", home.write("authority.pem", &authority.pem));
    }
    let run = crate::support::binary::Process::start(&mut command);
    run.said(words).await;
}

#[tokio::test]
async fn a_reddit_that_cannot_prove_its_name_gets_no_request() {
    let authority = Authority::new();
    let busy =
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let honest = Secured::start(&authority, "localhost", None, busy).await;
    reddit(
        &honest,
        None,
        "no connection: invalid peer certificate: UnknownIssuer",
    )
    .await;
    assert_eq!(honest.heard(), "", "who vouches for it is not known");
    let impostor = Secured::start(&authority, "elsewhere.example", None, busy).await;
    reddit(
        &impostor,
        Some(&authority),
        "certificate not valid for name",
    )
    .await;
    assert_eq!(impostor.heard(), "", "it has another name");
    for server in [&honest, &impostor] {
        in_the_open(
            server,
            &["the-client", "the-secret", "dGhlLWNsaWVudDp", "HTTP/"],
        );
    }
    reddit(&honest, Some(&authority), "server error 503").await;
    assert!(
        honest.heard().contains("/api/v1/access_token"),
        "{}",
        honest.heard()
    );
}

#[tokio::test]
async fn a_postgres_that_cannot_prove_its_name_gets_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let connect = async |server: &Secured, mode: &str, trust: bool| {
        let root = if trust {
            format!("&sslrootcert={}", file.display())
        } else {
            String::new()
        };
        let url = format!(
            "postgres://someone:sesame@localhost:{}/db?sslmode={mode}{root}",
            server.port
        );
        let error = timeout(SOON, Store::connect(&url, 1))
            .await
            .unwrap()
            .unwrap_err();
        in_full(&error)
    };
    let own = Trust::with(&file).unwrap();
    // It asks in the open whether TLS may begin: eight bytes.
    let honest = Secured::start(&authority, "localhost", Some((8, b"S")), b"").await;
    let unknown = connect(&honest, "verify-full", false).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    assert_eq!(honest.heard(), "");
    let impostor = Secured::start(&authority, "elsewhere.example", Some((8, b"S")), b"").await;
    let wrong = connect(&impostor, "verify-full", true).await;
    assert!(wrong.contains("not valid for name"), "{wrong}");
    assert_eq!(impostor.heard(), "");
    connect(&honest, "verify-full", true).await;
    assert!(honest.heard().contains("someone"), "{}", honest.heard());
    // The authority of tls.ca_file, for who brings none in its address.
    let other = Secured::start(&authority, "localhost", Some((8, b"S")), b"").await;
    let url = format!(
        "postgres://someone@localhost:{}/db?sslmode=verify-full",
        other.port
    );
    let address = Address::new(url.into(), own);
    let _ = timeout(SOON, Store::connect(&address, 1)).await.unwrap();
    assert!(other.heard().contains("someone"), "{}", other.heard());
    let plain = Secured::start(&authority, "localhost", Some((8, b"N")), b"").await;
    let refused = connect(&plain, "verify-full", true).await;
    assert!(refused.contains("TLS"), "{refused}");
    for server in [&honest, &impostor, &plain] {
        in_the_open(server, &["someone", "sesame"]);
    }
}

#[tokio::test]
async fn a_redis_that_cannot_prove_its_name_gets_no_password() {
    let authority = Authority::new();
    let server = Secured::start(&authority, "localhost", None, b"").await;
    for ending in ["", "#insecure"] {
        let url = format!("rediss://:sesame@localhost:{}/{ending}", server.port);
        let error = timeout(SOON, Queue::connect(&url, "test")).await.unwrap();
        let error = in_full(&error.map(drop).unwrap_err());
        let refused = if ending.is_empty() {
            "UnknownIssuer"
        } else {
            "nsecure"
        };
        assert!(
            error.contains(refused) && !error.contains("sesame"),
            "{error}"
        );
    }
    assert_eq!(server.heard(), "");
    in_the_open(&server, &["sesame", "AUTH", "HELLO"]);
    // With its authority from tls.ca_file it hears the password.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let url = format!("rediss://:sesame@localhost:{}/", server.port);
    let address = Address::new(url.into(), Trust::with(&file).unwrap());
    let _ = timeout(SOON, Queue::connect(&address, "test"))
        .await
        .unwrap();
    assert!(server.heard().contains("sesame"), "{}", server.heard());
    in_the_open(&server, &["sesame"]);
    // And from the variable that names the system's.
    let server = Secured::start(&authority, "localhost", None, b"").await;
    let home = Home::new();
    let url = format!("rediss://:sesame@localhost:{}/", server.port);
    let words = [
        "doctor",
        "--queue-url",
        &url,
        "--arctic-shift-url",
        "http://127.0.0.1:9",
    ];
    let mut command = home.command(&words);
    command.env("SSL_CERT_FILE", &file);
    crate::support::binary::finish(&mut command).await;
    assert!(server.heard().contains("sesame"), "{}", server.heard());
}

/// What these servers heard from a `freshet doctor` that trusts whom the environment names.
async fn examined(
    home: &Home,
    environment: &[(&str, &std::path::Path)],
    servers: &Servers,
) -> Heard {
    let Servers {
        redis, postgres, ..
    } = servers;
    let mut command = home.command(&["doctor", "--json", "--http-listen", "127.0.0.1:0"]);
    for (name, value) in [
        (
            "QUEUE__URL",
            format!("rediss://:sesame@localhost:{}/", redis.port),
        ),
        (
            "DATABASE__URL",
            format!(
                "postgres://someone@localhost:{}/db?sslmode=verify-full",
                postgres.port
            ),
        ),
    ] {
        command.env(format!("FRESHET_{name}"), value);
    }
    for (name, value) in environment {
        command.env(name, value);
    }
    crate::support::binary::finish(&mut command).await;
    [
        redis.heard().contains("sesame"),
        postgres.heard().contains("someone"),
    ]
}

/// Redis, Postgres: whether each was spoken to.
type Heard = [bool; 2];

struct Servers {
    reddit: Secured,
    archive: Secured,
    redis: Secured,
    postgres: Secured,
}

impl Servers {
    async fn start(authority: &Authority) -> Servers {
        let busy =
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        Servers {
            reddit: Secured::start(authority, "localhost", None, busy).await,
            archive: Secured::start(authority, "localhost", None, busy).await,
            redis: Secured::start(authority, "localhost", None, b"").await,
            postgres: Secured::start(authority, "localhost", Some((8, b"S")), b"").await,
        }
    }
}

#[tokio::test]
async fn every_server_is_believed_by_tls_ca_file_and_by_the_variables_of_the_system_and_by_none_else()
 {
    let authority = Authority::new();
    let home = Home::new();
    let file = home.write("authority.pem", &authority.pem);
    let folder = home.path().join("authorities");
    std::fs::create_dir(&folder).unwrap();
    // As OpenSSL names the files of such a folder.
    std::fs::write(folder.join("0a1b2c3d.0"), &authority.pem).unwrap();
    let stranger = home.write("stranger.pem", &Authority::new().pem);
    for (environment, believed) in [
        (vec![], false),
        (vec![("FRESHET_TLS__CA_FILE", &*stranger)], false),
        (vec![("FRESHET_TLS__CA_FILE", &*file)], true),
        (vec![("SSL_CERT_FILE", &*file)], true),
        (vec![("SSL_CERT_DIR", &*folder)], true),
        // Beside one another.
        (
            vec![
                ("SSL_CERT_FILE", &*stranger),
                ("FRESHET_TLS__CA_FILE", &*file),
            ],
            true,
        ),
    ] {
        let servers = Servers::start(&authority).await;
        let heard = examined(&home, &environment, &servers).await;
        assert_eq!(heard, [believed; 2], "{environment:?}");
        for server in [&servers.archive, &servers.redis, &servers.postgres] {
            let sent = server.overheard();
            for word in ["someone", "sesame", "/api/"] {
                assert!(!sent.contains(word), "{word} was sent in the open");
            }
        }
        // Reddit and the archive are asked once the rate budget gives leave, which this Redis never does.
        let mut command = home.command(&["doctor"]);
        let url = format!("https://localhost:{}", servers.reddit.port);
        for (name, value) in [
            ("CLIENT_ID", "the-client"),
            ("CLIENT_SECRET", "the-secret"),
            ("API_URL", &url),
            ("AUTH_URL", &url),
        ] {
            command.env(format!("FRESHET_REDDIT__{name}"), value);
        }
        let archive = format!("https://localhost:{}", servers.archive.port);
        command.env("FRESHET_ARCTIC_SHIFT__URL", archive);
        command.envs(environment.iter().copied());
        crate::support::binary::finish(&mut command).await;
        let asked = servers.archive.heard().contains("/api/posts/search");
        assert_eq!(asked, believed, "{environment:?}");
        let heard = servers.reddit.heard();
        assert_eq!(
            heard.contains("/api/v1/access_token"),
            believed,
            "{environment:?}: {heard}"
        );
        let sent = servers.reddit.overheard();
        assert!(!sent.contains("HTTP/"), "{environment:?}");
    }
}
