//! Real exporters, which tell Prometheus of a Redis and of a Postgres.

use super::binary::PATIENCE;
use super::pipeline::until;
use super::redis::free_port;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Killed when dropped, or when the test's thread ends.
pub struct Exporter {
    program: Child,
    pub address: SocketAddr,
}

impl Exporter {
    pub async fn of_redis(url: &str) -> Exporter {
        let redis = [("REDIS_ADDR", url)];
        Exporter::start("prometheus-redis-exporter", redis, "redis_up 1").await
    }

    pub async fn of_postgres(url: &str) -> Exporter {
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}sslmode=disable");
        let postgres = [("DATA_SOURCE_NAME", url.as_str())];
        Exporter::start("prometheus-postgres-exporter", postgres, "pg_up 1").await
    }

    /// One that has reached its server.
    async fn start(name: &str, of: [(&str, &str); 1], reached: &str) -> Exporter {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let program = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", name])
            .arg(format!("--web.listen-address={address}"))
            .envs(of)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv is missing: apt-get install util-linux");
        let exporter = Exporter { program, address };
        let what = format!("{name} (apt-get install {name}) says {reached}");
        until(&what, PATIENCE, async || {
            match reqwest::get(format!("http://{address}/metrics")).await {
                Ok(answer) => answer.text().await.unwrap().contains(reached),
                Err(_) => false,
            }
        })
        .await;
        exporter
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
