//! A PgBouncer in transaction mode before a Postgres, ended with the test.

use super::redis::free_port;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

pub struct PgBouncer {
    port: u16,
    database: String,
    _process: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// With two sessions for everybody, so that no client has one of its own. `ignored` are the
    /// startup parameters that it drops instead of refusing them.
    pub async fn start(postgres: &str, ignored: &str) -> PgBouncer {
        let (_, place) = postgres.split_once('@').unwrap();
        let (host, rest) = place.split_once('/').unwrap();
        let server_port = host.rsplit(':').next().unwrap();
        let database = rest.split('?').next().unwrap().to_owned();
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let path = folder.path().join("pgbouncer.ini");
        let users = folder.path().join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n\"runtime\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 2\nignore_startup_parameters = {ignored}\n",
            users.display()
        );
        std::fs::write(&path, text).unwrap();
        let mut command = if is_root() {
            // It refuses to run as root, as which containers often run tests.
            let all = std::os::unix::fs::PermissionsExt::from_mode;
            std::fs::set_permissions(folder.path(), all(0o755)).unwrap();
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
                "--",
                "pgbouncer",
            ]);
            command
        } else {
            Command::new("pgbouncer")
        };
        let process = command
            .arg("-q")
            .arg(&path)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the tests need pgbouncer: apt-get install pgbouncer");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "pgbouncer did not start"
            );
            sleep(Duration::from_millis(20)).await;
        }
        PgBouncer {
            port,
            database,
            _process: process,
            _folder: folder,
        }
    }

    pub fn url(&self, user: &str) -> String {
        format!(
            "postgres://{user}@127.0.0.1:{}/{}?sslmode=disable",
            self.port, self.database
        )
    }
}

fn is_root() -> bool {
    let id = std::process::Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0")
}
