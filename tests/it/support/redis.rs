//! A real Redis, started by the tests: one shared by all ordinary tests (which tell their keys
//! apart by a prefix), and own ones for tests that stop, kill or freeze it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server with a data folder of its own; stopped when dropped or when the test process ends,
/// however it ends.
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    shell: Option<Child>,
    /// Removed at the end by the drop, or by the shell where the process was killed.
    _folder: TempDir,
}

impl RedisServer {
    /// Starts a server on a free port.
    pub fn start() -> RedisServer {
        // Between finding the port and taking it another process may take it: then try another.
        let mut tries = (0..10).map(|_| RedisServer::on(free_port()));
        tries
            .find_map(|mut server| server.launch().then_some(server))
            .expect("redis-server found no free port in ten tries")
    }

    /// Starts a server on this port.
    pub fn start_on(port: u16) -> RedisServer {
        let mut server = RedisServer::on(port);
        server.restart();
        server
    }

    fn on(port: u16) -> RedisServer {
        let folder = TempDir::new().expect("a temporary folder can be made");
        RedisServer {
            port,
            folder: folder.path().to_owned(),
            shell: None,
            _folder: folder,
        }
    }

    /// The URL of its first database.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Starts it again on the same port with the data it last wrote.
    pub fn restart(&mut self) {
        assert!(
            self.launch(),
            "redis-server did not come back on port {}",
            self.port
        );
    }

    /// Kills it without a chance to write anything.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.wait_for_the_shell();
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`RedisServer::freeze`].
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill")
            .args([signal, &self.pid()])
            .status()
            .expect("kill can be run");
        assert!(done.success(), "the server could not be signalled");
    }

    /// The server's own process, as it wrote it down.
    fn pid(&self) -> String {
        std::fs::read_to_string(self.folder.join("redis.pid"))
            .expect("redis-server writes its process id")
            .trim()
            .to_owned()
    }

    fn launch(&mut self) -> bool {
        let folder = self.folder.display();
        let port = self.port;
        let pid_file = self.folder.join("redis.pid");
        let _ = std::fs::remove_file(&pid_file);
        // The shell ends when this process closes its input, by intent or by death, and takes the
        // server along; it also ends when the server does.
        let script = format!(
            "redis-server --port {port} --bind 127.0.0.1 --dir '{folder}' --appendonly yes \
             --appendfsync everysec --save '' --loglevel warning --pidfile '{folder}/redis.pid' \
             --daemonize no >'{folder}/log' 2>&1 & pid=$!; echo $pid >'{folder}/redis.pid'; \
             cat >/dev/null; kill -CONT $pid 2>/dev/null; kill -TERM $pid 2>/dev/null; wait $pid; \
             [ -e '{folder}/keep' ] || rm -rf '{folder}'"
        );
        std::fs::write(self.folder.join("keep"), "").expect("the folder can be written");
        let installed = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        assert!(
            installed.is_ok_and(|status| status.success()),
            "redis-server is missing: apt-get install redis-server"
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be run");
        self.shell = Some(shell);
        let deadline = Instant::now() + Duration::from_secs(120);
        while Instant::now() < deadline {
            if self.answers() {
                // From now on the folder goes with the process, even if that is killed.
                let _ = std::fs::remove_file(self.folder.join("keep"));
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.stop();
        false
    }

    /// Whether this server, not another on its port, answers.
    fn answers(&self) -> bool {
        let Ok(client) = redis::Client::open(self.url()) else {
            return false;
        };
        let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_millis(500))
        else {
            return false;
        };
        let config: redis::RedisResult<Vec<String>> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("dir")
            .query(&mut connection);
        let folder = self.folder.canonicalize().unwrap_or_default();
        config.is_ok_and(|config| {
            config
                .get(1)
                .is_some_and(|dir| *dir == folder.to_string_lossy())
        })
    }

    fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// After the server died: ends the shell without the folder going along.
    fn wait_for_the_shell(&mut self) {
        std::fs::write(self.folder.join("keep"), "").expect("the folder can be written");
        self.stop();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("the loopback has a free port")
        .port()
}

/// The URL of the server that ordinary tests share; each uses a prefix of its own.
pub fn shared_url() -> String {
    static SHARED: OnceLock<RedisServer> = OnceLock::new();
    // Statics are never dropped: the closing pipe stops this one.
    SHARED.get_or_init(RedisServer::start).url()
}
