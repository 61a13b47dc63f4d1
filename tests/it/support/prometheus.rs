//! A real Prometheus that scrapes programs of a test as the project's own configuration says, but
//! every second, and without what does not run beside a test.

use super::binary::PATIENCE;
use super::boards::{query, rule_files, yaml};
use super::redis::free_port;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// Between two looks at something that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(250);
const TO_START: Duration = Duration::from_secs(120);

/// Jobs of prometheus.yml of programs that no test starts.
const NOT_HERE: [&str; 1] = ["alertmanager"];

/// Those whose targets a test names.
const WATCHED: [&str; 3] = ["freshet", "redis", "postgres"];

/// Killed when dropped, or when the test's thread ends.
pub struct Prometheus {
    program: Child,
    port: u16,
    client: reqwest::Client,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one on a free port, with these files of rules. It watches itself, and what
    /// [`Prometheus::watch`] names.
    pub async fn start(rules: &BTreeMap<String, Value>) -> Prometheus {
        // Between finding the port and taking it another process may take it.
        for _ in 0..5 {
            let mut started = Prometheus::launch(rules);
            if started.is_ready().await {
                return started;
            }
            println!("Prometheus did not start: {}", started.log());
        }
        panic!("Prometheus did not start in five tries")
    }

    fn launch(rules: &BTreeMap<String, Value>) -> Prometheus {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        // JSON is YAML too.
        let write = |name: &str, value: &Value| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, value.to_string()).unwrap();
        };
        write("prometheus.yml", &configuration(port));
        for job in WATCHED {
            write(&targets(job), &json!([]));
        }
        for (file, rules) in rules {
            let mut rules = rules.clone();
            for group in rules["groups"].as_array_mut().unwrap() {
                // All are evaluated every second, as the configuration says, also those that need it less often.
                group.as_object_mut().unwrap().remove("interval");
            }
            write(file, &rules);
        }
        let log = File::create(folder.path().join("log")).unwrap();
        let program = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prometheus"])
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("setpriv is missing: apt-get install util-linux");
        Prometheus {
            program,
            port,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            folder,
        }
    }

    /// Waits until it says that it is ready; false where it ended instead, for want of its port or
    /// of the program.
    async fn is_ready(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < TO_START {
            if self
                .log()
                .contains("Server is ready to receive web requests")
            {
                return true;
            }
            if self.program.try_wait().unwrap().is_some() {
                return false;
            }
            sleep(LOOK).await;
        }
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Scrapes these addresses and no others as the job `freshet`; it is noticed within some seconds.
    pub fn watch(&self, addresses: &[SocketAddr]) {
        self.watch_as("freshet", addresses);
    }

    /// The same as another job.
    pub fn watch_as(&self, job: &str, addresses: &[SocketAddr]) {
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let named = self.folder.path().join(targets(job));
        let new = self.folder.path().join("targets.new");
        fs::write(&new, json!([{ "targets": addresses }]).to_string()).unwrap();
        fs::rename(new, named).unwrap();
    }

    /// The `data` of an answer of its API.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        data(&answer.text().await.unwrap()).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The values of a query now, but for those that are no number.
    ///
    /// # Errors
    /// What Prometheus says of a query that it cannot answer.
    pub async fn query(&self, expr: &str) -> Result<Vec<f64>, String> {
        let asked = self.client.post(self.url("/api/v1/query"));
        let answer = asked.form(&[("query", expr)]).send().await.unwrap();
        let data = data(&answer.text().await.unwrap())?;
        let result = data["result"].as_array().unwrap();
        let value = |it: &Value| it.as_str().unwrap().parse::<f64>().unwrap();
        let values = match data["resultType"].as_str().unwrap() {
            "vector" => result.iter().map(|it| value(&it["value"][1])).collect(),
            "scalar" => vec![value(&result[1])],
            other => panic!("{expr}: {other}"),
        };
        Ok(values.into_iter().filter(|it| !it.is_nan()).collect())
    }

    /// The alerts that fire.
    pub async fn firing(&self) -> BTreeSet<String> {
        let alerts = self.get("/api/v1/alerts").await;
        let alerts = alerts["alerts"].as_array().unwrap().iter();
        alerts
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until all of these alerts fire, or until none does.
    pub async fn until_alerts(&self, names: &[&str], fire: bool) {
        let begun = Instant::now();
        loop {
            let firing = self.firing().await;
            if names.iter().all(|name| firing.contains(*name) == fire) {
                return;
            }
            if begun.elapsed() > 2 * PATIENCE {
                let alerts = self.get("/api/v1/alerts").await;
                panic!("not in time: {names:?} {fire}: {alerts:#}");
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until some value of a panel's query, named by its place, is above this.
    pub async fn until_shown(&self, place: &str, more_than: f64) {
        let expr = query(place).expr;
        let begun = Instant::now();
        loop {
            let values = self.query(&expr).await;
            let values = values.unwrap_or_else(|error| panic!("{place}: {error}"));
            if values.iter().any(|value| *value > more_than) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not in time: {place} above {more_than}, but {values:?}: {expr}"
            );
            sleep(LOOK).await;
        }
    }

    /// Waits until it scrapes these jobs' targets and all are up, and until it has evaluated each
    /// rule, none with an error.
    pub async fn until_well(&self, jobs: &[&str]) {
        let begun = Instant::now();
        loop {
            let targets = self.get("/api/v1/targets").await;
            let mut up: Vec<(&str, &str)> = list(&targets, "activeTargets")
                .iter()
                .map(|it| (text(&it["labels"]["job"]), text(&it["health"])))
                .collect();
            up.sort_unstable();
            let wanted: Vec<(&str, &str)> = jobs.iter().map(|job| (*job, "up")).collect();
            let groups = self.get("/api/v1/rules").await;
            let rules = list(&groups, "groups")
                .iter()
                .flat_map(|it| list(it, "rules"));
            let mut waits = Vec::new();
            for rule in rules {
                let failed = rule["health"] == "err" || rule["lastError"].is_string();
                assert!(!failed, "{rule:#}");
                if rule["health"] != "ok" {
                    waits.push(&rule["name"]);
                }
            }
            if up == wanted && waits.is_empty() {
                return Prometheus::has_loaded(&groups);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not in time: {up:?} {waits:?} {targets:#}"
            );
            sleep(LOOK).await;
        }
    }

    /// Every group of every file of rules is among these.
    fn has_loaded(groups: &Value) {
        let loaded = list(groups, "groups").iter().map(|it| text(&it["name"]));
        let files = rule_files();
        let written = files.values().flat_map(|it| list(it, "groups"));
        assert_eq!(
            loaded.collect::<BTreeSet<_>>(),
            written.map(|it| text(&it["name"])).collect()
        );
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn data(answer: &str) -> Result<Value, String> {
    let mut answer: Value = serde_json::from_str(answer).map_err(|_| answer.to_owned())?;
    if answer["status"] == "success" {
        Ok(answer["data"].take())
    } else {
        Err(answer["error"].to_string())
    }
}

/// The file that names a job's.
fn targets(job: &str) -> String {
    format!("targets-{job}.json")
}

/// The project's own, for a test.
fn configuration(port: u16) -> Value {
    let mut whole = yaml("prometheus.yml");
    for key in ["scrape_interval", "scrape_timeout", "evaluation_interval"] {
        assert!(whole["global"][key].is_string(), "{key}");
        whole["global"][key] = "1s".into();
    }
    whole.as_object_mut().unwrap().remove("alerting").unwrap();
    let jobs = whole["scrape_configs"].as_array_mut().unwrap();
    for other in NOT_HERE {
        let before = jobs.len();
        jobs.retain(|job| job["job_name"] != other);
        assert!(jobs.len() < before, "no job is called {other}");
    }
    for job in jobs {
        let job: &mut Map<String, Value> = job.as_object_mut().unwrap();
        job.retain(|key, _| key != "static_configs" && !key.ends_with("_sd_configs"));
        let (key, targets) = match job["job_name"].as_str().unwrap() {
            watched if WATCHED.contains(&watched) => (
                "file_sd_configs",
                json!([{"files": [targets(watched)], "refresh_interval": "1s"}]),
            ),
            "prometheus" => (
                "static_configs",
                json!([{"targets": [format!("127.0.0.1:{port}")]}]),
            ),
            other => panic!("where does {other} run in a test?"),
        };
        job.insert(key.to_owned(), targets);
    }
    whole
}
