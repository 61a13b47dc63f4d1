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
    /// Its standard input is the leash: when this process ends, it closes, and the shell stops the
    /// server and removes its folder.
    leash: Child,
}

static SHARED: OnceLock<PostgresServer> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The URL of an empty database that no other test uses.
pub async fn fresh_database() -> String {
    let server = tokio::task::spawn_blocking(|| SHARED.get_or_init(PostgresServer::start))
        .await
        .expect("the server starts");
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server.url("postgres"))
        .await
        .expect("the server answers");
    connection
        .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
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
        let programs = programs().unwrap_or_else(|| panic!("{MISSING}"));
        let folder = tempfile::Builder::new()
            .prefix("freshet-postgres-")
            .tempdir()
            .expect("a folder is made")
            .keep();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        // The server refuses to run as root, as which containers often run tests.
        let (own, become_postgres) = if is_root() {
            (
                "chown postgres \"$FOLDER\" &&",
                "setpriv --reuid=postgres --regid=postgres --init-groups --",
            )
        } else {
            ("", "")
        };
        let script = format!(
            "cd /; trap '' INT TERM
             {own} {become_postgres} \"$PROGRAMS/initdb\" -D \"$FOLDER/data\" -U postgres -A trust \
                 -E UTF8 --locale=C --no-sync >\"$FOLDER/log\" 2>&1 || exit 1
             {become_postgres} \"$PROGRAMS/postgres\" -D \"$FOLDER/data\" -p {port} \
                 -c listen_addresses=127.0.0.1 -c unix_socket_directories= {settings} >>\"$FOLDER/log\" 2>&1 </dev/null & pid=$!
             cat >/dev/null
             kill -INT $pid; wait $pid; rm -rf \"$FOLDER\""
        );
        let leash = Command::new("sh")
            .args(["-c", &script])
            .env("FOLDER", &folder)
            .env("PROGRAMS", &programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut server = PostgresServer { port, leash };
        server.await_start(&folder);
        server
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// Returns once the server's own log says that it takes connections.
    fn await_start(&mut self, folder: &Path) {
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        let begun = Instant::now();
        while !log().contains("database system is ready to accept connections") {
            let ended = self.leash.try_wait().expect("sh can be asked");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "Postgres did not start: {}",
                log()
            );
            std::thread::yield_now();
            // There is no event to wait for but a line in a file.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
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

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.starts_with(b"0")
}
