//! A Postgres server for the tests: started by the first that asks, a fresh database for each, gone
//! when the test process is, however it ends.

use sqlx::{Connection, Executor, PgConnection};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MISSING: &str = "the tests need a Postgres server, and initdb and postgres were not found: \
     apt-get install postgresql";

/// A running server on a loopback port.
pub struct PostgresServer {
    port: u16,
    settings: String,
    folder: PathBuf,
    /// Its standard input is the leash: when this process ends, it closes, and the shell stops the
    /// server and removes its folder.
    leash: Child,
}

static SHARED: OnceLock<PostgresServer> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The URL of an empty database that no other test uses.
pub async fn fresh_database() -> String {
    database_in("UTF8").await
}

/// The same, in another encoding.
pub async fn database_in(encoding: &str) -> String {
    let server = tokio::task::spawn_blocking(|| SHARED.get_or_init(PostgresServer::start))
        .await
        .expect("the server starts");
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server.url("postgres"))
        .await
        .expect("the server answers");
    connection
        .execute(sqlx::AssertSqlSafe(format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0"
        )))
        .await
        .expect("a database is made");
    connection.close().await.expect("the connection closes");
    server.url(&name)
}

impl PostgresServer {
    /// Starts a server of its own on a free port, which may forget everything when the machine stops:
    /// tests never look at it again.
    ///
    /// # Panics
    /// Where the programs are missing or the server does not come up.
    pub fn start() -> PostgresServer {
        PostgresServer::start_with(
            "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200",
        )
    }

    /// Starts a server with these settings, each `-c NAME=VALUE`, and the program's defaults.
    ///
    /// # Panics
    /// Where the programs are missing or the server does not come up.
    pub fn start_with(settings: &str) -> PostgresServer {
        let folder = tempfile::Builder::new()
            .prefix("freshet-postgres-")
            .tempdir()
            .expect("a folder is made")
            .keep();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        let leash = launch(&folder, port, settings);
        let mut server = PostgresServer {
            port,
            settings: settings.to_owned(),
            folder,
            leash,
        };
        server.await_start(0);
        server
    }

    /// Starts a standby that follows another server; it can be promoted.
    ///
    /// # Panics
    /// Where the programs are missing or the server does not come up.
    pub fn standby_of(primary: &PostgresServer) -> PostgresServer {
        let folder = tempfile::Builder::new()
            .prefix("freshet-postgres-")
            .tempdir()
            .expect("a folder is made")
            .keep();
        let programs = programs().unwrap_or_else(|| panic!("{MISSING}"));
        let (own, become_postgres) = as_postgres();
        let script = format!(
            "cd /; {own} {become_postgres} \"$PROGRAMS/pg_basebackup\" -h 127.0.0.1 -p {} -U postgres \
                 -D \"$FOLDER/data\" -R -X stream -c fast >\"$FOLDER/log\" 2>&1",
            primary.port
        );
        let copied = Command::new("sh")
            .args(["-c", &script])
            .env("FOLDER", &folder)
            .env("PROGRAMS", &programs)
            .status()
            .expect("sh runs");
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(copied.success(), "pg_basebackup failed: {log}");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        let leash = launch(&folder, port, &primary.settings);
        let mut server = PostgresServer {
            port,
            settings: primary.settings.clone(),
            folder,
            leash,
        };
        server.await_start(log.len());
        server
    }

    /// Kills all its processes at once, without a chance to write anything.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        std::fs::write(self.folder.join("keep"), "").expect("the folder can be written");
        drop(self.leash.stdin.take());
        self.leash.wait().expect("sh can be waited for");
    }

    /// Starts it again on the same port with the data it last wrote.
    pub fn restart(&mut self) {
        let told = self.log().len();
        self.leash = launch(&self.folder, self.port, &self.settings);
        self.await_start(told);
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`PostgresServer::freeze`].
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Signals the server, then each process that serves a connection.
    fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid"))
            .expect("Postgres writes its process id");
        let server = file.lines().next().expect("it is the first line");
        let kill = |ids: &[&str]| {
            let mut kill = Command::new("kill");
            // Of a process that ended meanwhile there is nothing to say.
            let done = kill.arg(signal).args(ids).stderr(Stdio::null()).status();
            done.expect("kill can be run").success()
        };
        // First the one that makes the others. Those may end meanwhile.
        let children = || {
            let children = Command::new("pgrep").args(["-P", server]).output();
            String::from_utf8_lossy(&children.expect("pgrep can be run").stdout).into_owned()
        };
        let before = children();
        assert!(kill(&[server]), "Postgres could not be signalled");
        let after = children();
        kill(&before.lines().chain(after.lines()).collect::<Vec<_>>());
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Returns once the server's own log says, after what it told before, that it takes connections.
    fn await_start(&mut self, told: usize) {
        let begun = Instant::now();
        let ready = |log: &str| {
            log.contains("database system is ready to accept connections")
                || log.contains("database system is ready to accept read-only connections")
        };
        while !ready(&self.log()[told..]) {
            let ended = self.leash.try_wait().expect("sh can be asked");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(180),
                "Postgres did not start: {}",
                self.log()
            );
            std::thread::yield_now();
            // There is no event to wait for but a line in a file.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// Starts the server on what is in the folder, or on a new cluster there.
fn launch(folder: &Path, port: u16, settings: &str) -> Child {
    let programs = programs().unwrap_or_else(|| panic!("{MISSING}"));
    let _ = std::fs::remove_file(folder.join("keep"));
    let (own, become_postgres) = as_postgres();
    // Where it is killed with a file "keep" beside it, its data stays for the next start.
    let script = format!(
        "cd /; trap '' INT TERM
         [ -e \"$FOLDER/data\" ] || {{
             {own} {become_postgres} \"$PROGRAMS/initdb\" -D \"$FOLDER/data\" -U postgres -A trust \
                 -E UTF8 --locale=C --no-sync >\"$FOLDER/log\" 2>&1 || exit 1
         }}
         {become_postgres} \"$PROGRAMS/postgres\" -D \"$FOLDER/data\" -p {port} \
             -c listen_addresses=127.0.0.1 -c unix_socket_directories= {settings} >>\"$FOLDER/log\" 2>&1 </dev/null & pid=$!
         cat >/dev/null
         [ -e \"$FOLDER/keep\" ] || {{ pkill -CONT -P $pid; kill -CONT $pid; kill -INT $pid; }}
         wait $pid; [ -e \"$FOLDER/keep\" ] || rm -rf \"$FOLDER\""
    );
    Command::new("sh")
        .args(["-c", &script])
        .env("FOLDER", folder)
        .env("PROGRAMS", &programs)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs")
}

/// The folder that holds initdb and postgres: Debian keeps them out of the search path.
fn programs() -> Option<PathBuf> {
    let holds =
        |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(holds)
        .collect();
    versions.sort();
    let found = Command::new("sh")
        .args(["-c", "command -v initdb"])
        .output()
        .ok()?;
    let on_path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim())
        .parent()
        .map(PathBuf::from)
        .filter(holds);
    versions.pop().or(on_path)
}

/// What comes before a program of the server: it refuses to run as root, as which containers often run
/// tests.
fn as_postgres() -> (&'static str, &'static str) {
    if is_root() {
        (
            "chown postgres \"$FOLDER\" &&",
            "setpriv --reuid=postgres --regid=postgres --init-groups --",
        )
    } else {
        ("", "")
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.starts_with(b"0")
}
