//! A simulated Reddit: the demo, the load generator and the double in tests.
//!
//! Speaks Reddit's wire protocol over real sockets, with real traffic's oddities, each of which can
//! be switched on alone (see [`Oddities`]), and publishes its ground truth. The same options give
//! the same world. Every answer carries `x-simulated: true`. On the same listener it is an archive of
//! itself, as Arctic Shift is one of Reddit: see [`ArchiveOptions`].
//!
//! Owns all of it, from the clock to the sockets. Knows only `submission` of the rest of the crate,
//! so that no test compares the client with itself.

mod archive;
mod clock;
mod content;
mod control;
mod corpus;
mod endpoint;
mod fault;
mod gate;
mod http;
mod oddities;
mod options;
mod removal;
mod requests;
mod world;

pub use archive::ArchiveOptions;
pub use control::{Command, Control, ControlError, Publication};
pub use corpus::{Corpus, CorpusMode};
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use oddities::{InvalidOddity, Oddities};
pub use options::{Bursts, Ids, SimulatorOptions};
pub use removal::Removal;
pub use requests::{RequestRecord, RequestStats};
pub use world::{SubredditState, Truth};

use archive::Archive;
use clock::Clock;
use fault::FaultPlan;
use gate::Gate;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use requests::Requests;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use world::World;

/// A running simulated Reddit. Dropping it stops it.
pub struct Simulator {
    address: SocketAddr,
    control: Control,
    stop: CancellationToken,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Simulator {
    /// Serves on this listener until told to stop; answers under way are finished first.
    ///
    /// # Errors
    /// A listener that has no address or cannot be served on.
    pub async fn serve(
        options: SimulatorOptions,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let control = Simulator::prepare(options, stop.clone()).await?;
        http::serve(control, listener, stop).await
    }

    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// No free port.
    pub async fn start(options: SimulatorOptions) -> io::Result<Simulator> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Simulator::start_on(options, listener).await
    }

    /// Starts one on this listener.
    ///
    /// # Errors
    /// A listener that has no address.
    pub async fn start_on(
        options: SimulatorOptions,
        listener: TcpListener,
    ) -> io::Result<Simulator> {
        let stop = CancellationToken::new();
        let address = listener.local_addr()?;
        let control = Simulator::prepare(options, stop.clone()).await?;
        let server = tokio::spawn(http::serve(control.clone(), listener, stop.clone()));
        Ok(Simulator {
            address,
            control,
            stop,
            server: Some(server),
        })
    }

    async fn prepare(options: SimulatorOptions, stop: CancellationToken) -> io::Result<Control> {
        // A long history takes seconds to make.
        let shared = tokio::task::spawn_blocking(move || Shared::new(options, stop))
            .await
            .map_err(io::Error::other)?;
        Ok(Control {
            shared: Arc::new(shared),
        })
    }

    /// Where it listens, for `reddit.api_url` and `reddit.auth_url` alike.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A hold on it.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Stops it, and waits until the last answer is written.
    ///
    /// # Errors
    /// What serving ended with.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stop.cancel();
        match self.server.take() {
            Some(server) => server.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What all requests share. Each lock is held for the time of a look, never while writing.
struct Shared {
    clock: Clock,
    world: Mutex<World>,
    gate: Mutex<Gate>,
    archive: Mutex<Archive>,
    faults: Mutex<Faults>,
    requests: Mutex<Requests>,
    under_way: AtomicU64,
    oddities: Oddities,
    token_lifetime: Duration,
    credentials: Option<(String, String)>,
    account: Option<(String, String)>,
    latency: Duration,
    gzip: bool,
    longest_url: usize,
    stop: CancellationToken,
}

/// What decides which requests fail.
struct Faults {
    plan: FaultPlan,
    chance: f64,
    rng: ChaCha8Rng,
}

impl Shared {
    fn new(options: SimulatorOptions, stop: CancellationToken) -> Shared {
        let starts_at_ms = options.starts_at_ms.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, clock::millis)
        });
        let faults = Faults {
            plan: FaultPlan::default(),
            chance: options.oddities.faults,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
        };
        let gate = Gate::new(options.seed, options.requests_per_minute);
        let archive = Archive::new(options.seed, options.archive.clone());
        let speed = options.speed.max(0.0);
        let oddities = options.oddities.clone();
        let (credentials, account) = (options.credentials.clone(), options.account.clone());
        let (token_lifetime, latency, gzip) =
            (options.token_lifetime, options.latency, options.gzip);
        let longest_url = options.longest_url;
        // A clock that follows the wall's goes on while the history is made, however long that takes; one that
        // starts at a given time starts with the first request.
        let follows = options.starts_at_ms.is_none();
        let clock = Clock::new(starts_at_ms, speed);
        let world = World::new(options, starts_at_ms);
        Shared {
            clock: if follows {
                clock
            } else {
                Clock::new(starts_at_ms, speed)
            },
            world: Mutex::new(world),
            gate: Mutex::new(gate),
            archive: Mutex::new(archive),
            faults: Mutex::new(faults),
            requests: Mutex::default(),
            under_way: AtomicU64::new(0),
            oddities,
            token_lifetime,
            credentials,
            account,
            latency,
            gzip,
            longest_url,
            stop,
        }
    }

    /// The world as it is now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.world);
        world.advance_to(self.clock.now_ms());
        world
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    fn archive(&self) -> MutexGuard<'_, Archive> {
        lock(&self.archive)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        lock(&self.requests)
    }

    fn stats(&self) -> RequestStats {
        let mut stats = self.requests().stats().clone();
        stats.tokens = self.gate().granted();
        stats.under_way = self.under_way.load(Ordering::SeqCst);
        stats
    }
}

/// A request that panicked leaves the state usable for the others: every change of it is complete
/// in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
