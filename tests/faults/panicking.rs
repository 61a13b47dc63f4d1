//! A worker of freshet's own parts whose handler panics for one submission. freshet itself has no
//! way to be told to panic, so this executable starts itself again as such a worker.

use crate::site::{POISON, REQUESTS_PER_MINUTE};
use freshet::app::now_ms;
use freshet::ingest::{Company, FetchHandler, Ingest, MOST_ATTEMPTS};
use freshet::liveness::Progress;
use freshet::metrics::Metrics;
use freshet::queue::{Fault, Handler, Outcome, Queue, WorkOptions};
use freshet::source::{Budget, Reddit, RedditOptions};
use freshet::store::Store;
use freshet::submission::SubmissionId;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The first argument of such a worker.
pub const WORD: &str = "panicking-worker";

/// The command that starts one.
pub fn command(database: &str, queue: &str, reddit: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap().display().to_string();
    vec![
        this,
        WORD.into(),
        database.into(),
        queue.into(),
        reddit.into(),
    ]
}

/// Works until it is killed.
#[tokio::main]
pub async fn work(arguments: &[String]) {
    let [database, queue, reddit] = arguments else {
        panic!("{WORD} DATABASE QUEUE REDDIT");
    };
    let metrics = Arc::new(Metrics::new());
    let store = Store::connect(database, 10).await.unwrap();
    store.migrate().await.unwrap();
    let per_minute = NonZeroU32::new(REQUESTS_PER_MINUTE).unwrap();
    let budget = Budget::shared(queue, "faults", per_minute).unwrap();
    // The name that freshet gives its queue.
    let queue = Queue::connect(queue, "freshet").await.unwrap();
    let url: reqwest::Url = reddit.parse().unwrap();
    let options = RedditOptions::new(
        url.clone(),
        url,
        "faults".to_owned(),
        "secret".to_owned().into(),
        "linux:freshet-faults:1".to_owned(),
    );
    let holder = format!("{WORD}-{}", std::process::id());
    let ingest = Ingest {
        reddit: Reddit::new(options, budget, Arc::clone(&metrics)).unwrap(),
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        now_ms,
        progress: Progress::unwatched(),
        holder: holder.clone(),
    };
    let work = WorkOptions::default();
    let (company, gathering) = Company::new(work.concurrency);
    let handler = Panicking {
        inner: FetchHandler::new(ingest.clone(), company),
        store,
        holder,
    };
    let stop = CancellationToken::new();
    eprintln!("the worker is running");
    let working = queue.work(work, Arc::new(handler), metrics, stop.clone());
    let (worked, ()) = tokio::join!(working, gathering.run(ingest, stop));
    worked.unwrap();
}

struct Panicking {
    inner: FetchHandler,
    store: Store,
    holder: String,
}

impl Handler for Panicking {
    type Work = SubmissionId;

    async fn run(&self, id: SubmissionId) -> Outcome {
        if id.as_str() == POISON {
            let ids = std::slice::from_ref(&id);
            let attempt = self.store.start_attempts(ids, &self.holder, now_ms());
            let attempt = attempt.await.unwrap();
            // Attempts are counted before the work, and the work is what panics: one that may not
            // begin any more is left to the real handler, which counts it once more.
            if let Some(attempt) = attempt.first()
                && attempt.attempts <= MOST_ATTEMPTS
            {
                panic!("the poison");
            }
        }
        self.inner.run(id).await
    }

    async fn heartbeat(&self, sent_ms: i64) {
        self.inner.heartbeat(sent_ms).await;
    }

    async fn fault(&self, id: SubmissionId, fault: Fault) {
        self.inner.fault(id, fault).await;
    }
}
