//! One Redis for the budget's tests, on a free port, gone when this process is.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A server that can be stopped by dropping it.
pub struct Redis {
    pub url: String,
    child: Child,
}

impl Redis {
    /// Starts a server on a port of its own and waits until it answers.
    pub fn start() -> Redis {
        let port = free_port();
        Redis::start_on(port)
    }

    pub fn start_on(port: u16) -> Redis {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("freshet-budget-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let found = Command::new("redis-server").arg("--version").output();
        assert!(
            found.is_ok(),
            "redis-server is missing: apt-get install redis-server"
        );
        // The shell outlives neither the server nor us: our end of the pipe closes when this
        // process ends, however it ends.
        let script = format!(
            "redis-server --port {port} --bind 127.0.0.1 --save '' --appendonly no --dir '{dir}' >/dev/null & \
             pid=$!; cat >/dev/null; kill -TERM $pid; wait $pid; rm -rf '{dir}'",
            dir = directory.display()
        );
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let url = format!("redis://127.0.0.1:{port}/");
        let client = redis::Client::open(url.as_str()).unwrap();
        let started = Instant::now();
        let answers = || {
            let mut connection = client.get_connection().ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        };
        while answers().is_none() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "Redis does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Redis { url, child }
    }

    /// The server that all tests of this process share.
    pub fn shared() -> &'static str {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        &SHARED.get_or_init(Redis::start).url
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
