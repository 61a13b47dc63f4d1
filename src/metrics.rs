//! Every metric of this process, declared once, grouped by stage.
//!
//! Names are public: dashboards and alerts rely on them. A new metric belongs here and nowhere
//! else; its help text is what an operator reads. Label values come from closed sets; `subreddit`
//! is a watched name or `other` (see [`Watched`]).

mod watched;

pub use watched::{MOST_LABELS, Watched};

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

const SECONDS_FAST: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const SECONDS_WAIT: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];
const SECONDS_REQUEST: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0,
];
/// Up to how long a job may run; it waits for the budget of requests meanwhile.
const SECONDS_RUN: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0,
    120.0, 300.0,
];
const SECONDS_LAG: &[f64] = &[
    1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0,
    21600.0, 86400.0,
];
const SECONDS_INVISIBLE: &[f64] = &[
    0.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0, 129600.0,
];
const COUNTS: &[f64] = &[
    0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10000.0,
];
const TITLE_CHARS: &[f64] = &[
    10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0,
];
const TEXT_CHARS: &[f64] = &[
    0.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 20000.0, 40000.0,
];
const BATCH: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 90.0, 99.0, 100.0,
];

/// A handle to every metric; cheap to share behind an `Arc`, never global.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The bound on the `subreddit` label.
    pub watched: Watched,
    /// `role`: scheduler, worker, http; those that run here.
    pub last_progress: GaugeVec,
    /// `dependency`: database, queue, budget, reddit, archive; those of this process.
    pub dependency_up: IntGaugeVec,
    /// `dependency`.
    pub dependency_since: IntGaugeVec,
    /// `path`: job, submission.
    pub heartbeat: GaugeVec,
    /// `path`.
    pub heartbeat_seconds: GaugeVec,
    /// Seconds.
    pub clock_ahead: Gauge,
    /// Lines that standard error did not take.
    pub log_lines_lost: IntCounter,
    /// `folder`: bytes.
    pub disk_available: GaugeVec,
    /// `folder`: bytes.
    pub disk_size: GaugeVec,
    /// Talking to Reddit.
    pub api: ApiMetrics,
    /// Finding submissions.
    pub discover: DiscoverMetrics,
    /// Carrying jobs.
    pub queue: QueueMetrics,
    /// Fetching and storing.
    pub ingest: IngestMetrics,
    /// Bringing in the past.
    pub backfill: BackfillMetrics,
}

/// Bringing in the past.
#[derive(Debug)]
pub struct BackfillMetrics {
    /// `source`: reddit, arctic-shift, files, ids; `outcome`: fresh, renewed, known.
    pub submissions: IntCounterVec,
    /// `state`: running, paused.
    pub open: IntGaugeVec,
    /// `state`: waiting, active, failed.
    pub slices: IntGaugeVec,
}

/// Talking to Reddit.
#[derive(Debug)]
pub struct ApiMetrics {
    /// `source`.
    pub simulated: IntGaugeVec,
    /// `source`, `endpoint`, `status`.
    pub requests: IntCounterVec,
    /// `source`, `endpoint`.
    pub request_seconds: HistogramVec,
    /// `source`.
    pub budget_remaining: GaugeVec,
    /// `source`.
    pub budget_limit: GaugeVec,
    /// `source`.
    pub budget_reset: GaugeVec,
    /// `source`, `class`: poll, fetch, proof, repair, refresh, backfill.
    pub budget_grants: IntCounterVec,
    /// `source`, `class`.
    pub budget_wait_seconds: HistogramVec,
    /// `source`: seconds.
    pub clock_skew: GaugeVec,
    /// `source`.
    pub token_issued: GaugeVec,
    /// `source`.
    pub token_expiry: GaugeVec,
}

/// Finding submissions.
#[derive(Debug)]
pub struct DiscoverMetrics {
    /// `subreddit`.
    pub submissions: IntCounterVec,
    /// `outcome`: complete, truncated, failed.
    pub polls: IntCounterVec,
    /// Pages asked for in one walk.
    pub walk_pages: Histogram,
    /// `cause`.
    pub gaps: IntCounterVec,
    /// `by`: poll, sweep, backfill.
    pub gaps_repaired: IntCounterVec,
    /// `subreddit`.
    pub open_gaps: IntGaugeVec,
    /// `kind`: repair, sweep; `outcome`: complete, truncated, failed.
    pub sweeps: IntCounterVec,
    /// `subreddit`.
    pub late: IntCounterVec,
    /// `subreddit`.
    pub last_complete_poll: GaugeVec,
    /// Created → discovered.
    pub lag_seconds: Histogram,
    /// 1 while no subreddit waits longer than the freshness objective by plan.
    pub objective_met: IntGauge,
    /// Seconds.
    pub expected_wait: Gauge,
    /// Seconds.
    pub longest_interval: Gauge,
    /// Requests a minute.
    pub needed_budget: Gauge,
    /// Seconds.
    pub proof_period: Gauge,
    /// `state`: active, paused, unavailable.
    pub subreddits: IntGaugeVec,
    /// Finding submissions by their ids.
    pub ids: IdMetrics,
    /// Items that hold no submission that could be named and dated.
    pub undecodable: IntCounter,
    /// Of those in the table, the ones that had to go.
    pub undecodable_dropped: IntCounter,
}

/// Finding submissions by their ids.
#[derive(Debug)]
pub struct IdMetrics {
    /// `outcome`: seen, late, absent, absent_for_good, failed.
    pub ids: IntCounterVec,
    /// 1 while this process scans.
    pub running: IntGauge,
    /// Of the last minutes.
    pub share: Gauge,
    /// Seconds.
    pub lag: Gauge,
    /// First absent → seen.
    pub invisible_seconds: Histogram,
    /// Absent ids that are asked for again.
    pub pending: IntGauge,
    /// Ids below the head that are still to be asked for.
    pub skipped: IntGauge,
}

/// Carrying jobs.
#[derive(Debug)]
pub struct QueueMetrics {
    /// `queue`, `state`: backlog (in the database), waiting, running.
    pub jobs: IntGaugeVec,
    /// `queue`, `state`: backlog, waiting.
    pub oldest: GaugeVec,
    /// `queue`, `outcome`.
    pub finished: IntCounterVec,
    /// `queue`.
    pub wait_seconds: HistogramVec,
    /// `queue`.
    pub run_seconds: HistogramVec,
    /// Live worker processes of the queue.
    pub workers: IntGauge,
}

/// Fetching and storing.
#[derive(Debug)]
pub struct IngestMetrics {
    /// `source`.
    pub fetch_seconds: HistogramVec,
    /// Ids in one request.
    pub batch_size: Histogram,
    /// `subreddit`, `kind`.
    pub stored: IntCounterVec,
    /// `subreddit`.
    pub unavailable: IntCounterVec,
    /// `reason`: never_ended, panicked, unreadable, not_stored, too_deep, request_failed.
    pub dead: IntCounterVec,
    /// `status`: discovered, fetched, unavailable.
    pub submissions: IntGaugeVec,
    /// Fetched objects that were equal to what was stored.
    pub unchanged: IntCounter,
    /// Text columns that lost a NUL character on the way into Postgres.
    pub nul_stripped: IntCounter,
    /// Created → stored.
    pub lag_seconds: Histogram,
    /// One transaction.
    pub write_seconds: Histogram,
    /// Characters of the title.
    pub title_chars: Histogram,
    /// Characters of the text.
    pub selftext_chars: Histogram,
    /// Score when fetched.
    pub score: Histogram,
    /// Comments when fetched.
    pub comments: Histogram,
}

impl Metrics {
    /// Declares every metric in a registry of its own.
    ///
    /// # Panics
    /// Only where a name is declared twice, which any test of this crate would show.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        register(
            &registry,
            prometheus::process_collector::ProcessCollector::for_self(),
        );
        let r = Declare(&registry);
        let build = r.gauges(
            "freshet_build_info",
            "Always 1; the labels say which build this is.",
            &["version", "revision"],
        );
        build
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                option_env!("FRESHET_REVISION").unwrap_or("unknown"),
            ])
            .set(1.0);
        let metrics = Metrics {
            watched: Watched::default(),
            last_progress: r.gauges("freshet_last_progress_timestamp_seconds", "When each role of this process last made progress: did work, or had none to do, or waited for what it depends on.", &["role"]),
            dependency_up: r.int_gauges("freshet_dependency_up", "1 where what this process depends on works, 0 while it fails: database, queue, budget (the rate budget shared through Redis), reddit, archive.", &["dependency"]),
            dependency_since: r.int_gauges("freshet_dependency_since_timestamp_seconds", "Since when freshet_dependency_up has had its value.", &["dependency"]),
            heartbeat: r.gauges("freshet_heartbeat_timestamp_seconds", "When the newest heartbeat was sent that came all the way: path job (feeder, queue, worker, database) or, in the demo, submission (posted, discovered, queued, fetched, stored); 0 before the first.", &["path"]),
            heartbeat_seconds: r.gauges("freshet_heartbeat_seconds", "Seconds that the newest heartbeat was under way.", &["path"]),
            clock_ahead: r.gauge("freshet_clock_ahead_seconds", "How far this machine's clock is ahead of the database server's; negative where it is behind, 0 where there is no server."),
            log_lines_lost: r.counter("freshet_log_lines_lost_total", "Log lines of this process that were lost: standard error could not be written (full disk, reader gone) or nobody read it."),
            disk_available: r.gauges("freshet_disk_available_bytes", "Bytes that can still be written to the file system of a folder: of SQLite files, and of those in monitoring.folders.", &["folder"]),
            disk_size: r.gauges("freshet_disk_size_bytes", "Bytes that the file system of a folder holds in all.", &["folder"]),
            api: ApiMetrics {
                simulated: r.int_gauges("freshet_source_simulated", "1 where the source is the simulated Reddit, as its answers say of themselves, or where the database holds submissions of it; 0 otherwise.", &["source"]),
                requests: r.counters("freshet_api_requests_total", "Requests by source, endpoint and status: the HTTP status, or error where none came back.", &["source", "endpoint", "status"]),
                request_seconds: r.histograms("freshet_api_request_seconds", "Seconds from a request to the end of its answer.", &["source", "endpoint"], SECONDS_REQUEST),
                budget_remaining: r.gauges("freshet_rate_budget_remaining", "Requests left in the source's current window, by its own headers where it sends them.", &["source"]),
                budget_limit: r.gauges("freshet_rate_budget_limit", "Requests a minute that all processes together may make.", &["source"]),
                budget_reset: r.gauges("freshet_rate_budget_reset_timestamp_seconds", "When the source's current window of requests ends, by its own headers where it sends them, else as the processes that share the budget know it; 0 while unknown.", &["source"]),
                budget_grants: r.counters("freshet_budget_grants_total", "Requests that the rate budget allowed, by what they are for: poll, fetch, proof, repair, refresh, backfill. Each class has a guaranteed share.", &["source", "class"]),
                budget_wait_seconds: r.histograms("freshet_budget_wait_seconds", "Seconds that a request waited for the rate budget, by what it is for.", &["source", "class"], SECONDS_WAIT),
                clock_skew: r.gauges("freshet_clock_skew_seconds", "How far the source's clock is ahead of this machine's, by the last answer; negative where it is behind. Nothing newer than the earlier of the two is reported as complete.", &["source"]),
                token_issued: r.gauges("freshet_token_issued_timestamp_seconds", "When the access token in use was asked for; 0 without a token.", &["source"]),
                token_expiry: r.gauges("freshet_token_expiry_timestamp_seconds", "When the access token in use expires; 0 without a token.", &["source"]),
            },
            discover: DiscoverMetrics {
                submissions: r.counters("freshet_submissions_discovered_total", "Submissions seen for the first time.", &["subreddit"]),
                polls: r.counters("freshet_polls_total", "Polls of a subreddit by what they proved: complete, truncated, failed, or seen (listed in company, proof still to come).", &["outcome"]),
                walk_pages: r.histogram("freshet_walk_pages", "Pages asked for in one walk of a listing.", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0]),
                gaps: r.counters("freshet_gaps_total", "Intervals recorded as possibly missing submissions, by cause.", &["cause"]),
                gaps_repaired: r.counters("freshet_gaps_repaired_total", "Recorded gaps that were proven complete later, by a poll, a sweep, a backfill or ids.", &["by"]),
                sweeps: r.counters("freshet_sweeps_total", "Walks of a whole listing beside the polls, for an open gap (repair) or for what appeared late (sweep), by how far they came.", &["kind", "outcome"]),
                late: r.counters("freshet_late_submissions_total", "Submissions that sweeps found in ground that was proven complete before: approved late, or reappeared.", &["subreddit"]),
                open_gaps: r.int_gauges("freshet_open_gaps", "Recorded gaps that are still open.", &["subreddit"]),
                last_complete_poll: r.gauges("freshet_last_complete_poll_timestamp_seconds", "End of the newest window that was proven complete.", &["subreddit"]),
                lag_seconds: r.histogram("freshet_discovery_lag_seconds", "Seconds from a submission's creation to its discovery, for what was created since its subreddit is watched.", SECONDS_LAG),
                objective_met: r.int_gauge("freshet_freshness_objective_met", "1 while the request budget allows each subreddit to be polled within discover.interval, 0 while it does not; 1 in processes that do not poll."),
                expected_wait: r.gauge("freshet_expected_discovery_lag_seconds", "Mean time until a new submission is discovered, as the present plan of polls expects it; 0 in processes that do not poll."),
                longest_interval: r.gauge("freshet_longest_poll_interval_seconds", "Longest time between two polls of a subreddit by the present plan; 0 in processes that do not poll."),
                needed_budget: r.gauge("freshet_needed_requests_per_minute", "Requests a minute with which no subreddit would wait longer than discover.interval, other classes' guaranteed shares included; 0 in processes that do not poll."),
                proof_period: r.gauge("freshet_proof_period_seconds", "Planned time between two proofs that nothing of a subreddit was missed; 0 in processes that prove nothing."),
                ids: IdMetrics {
                    ids: r.counters("freshet_ids_total", "Ids that the id scan has asked for, by outcome: seen (at once), late (seen after they had been absent), absent (to be asked for again), absent_for_good (after the last retry), failed (whatever request asks for it fails while others succeed).", &["outcome"]),
                    running: r.int_gauge("freshet_id_scan_running", "1 while this process finds submissions by their ids, 0 otherwise."),
                    share: r.gauge("freshet_id_share", "Share of ids that exist, of those that the id scan passed in the last five minutes; 0 while unknown."),
                    lag: r.gauge("freshet_id_scan_lag_seconds", "Seconds since the id scan last saw where the counter of ids ends; 0 where none runs."),
                    invisible_seconds: r.histogram("freshet_id_invisible_seconds", "Seconds from when an id was first absent, though higher ones existed, until it was seen; 0 for those that never were absent.", SECONDS_INVISIBLE),
                    pending: r.int_gauge("freshet_id_retries", "Absent ids that the id scan asks for again later."),
                    skipped: r.int_gauge("freshet_ids_skipped", "Ids that the id scan left for later and has still to ask for."),
                },
                subreddits: r.int_gauges("freshet_subreddits", "Watched subreddits by state.", &["state"]),
                undecodable: r.counter("freshet_undecodable_items_total", "Listed or fetched items that are no submission with an id and a time; kept raw in the table undecodable."),
                undecodable_dropped: r.counter("freshet_undecodable_dropped_total", "Items that the table undecodable had no room for: the oldest of them, or some of too many at once."),
            },
            queue: QueueMetrics {
                jobs: r.int_gauges("freshet_queue_jobs", "Jobs by state: backlog (in the database, not yet queued), deferred (due later), waiting and running (in the queue), dead (set aside).", &["queue", "state"]),
                oldest: r.gauges("freshet_queue_oldest_job_timestamp_seconds", "Since when the oldest job waits: backlog (due in the database and not yet queued) or waiting (in the queue; in Redis the next to be taken, which is the oldest unless jobs of a worker that died were put back); 0 where none does.", &["queue", "state"]),
                finished: r.counters("freshet_jobs_total", "Jobs by outcome.", &["queue", "outcome"]),
                wait_seconds: r.histograms("freshet_job_wait_seconds", "Seconds from a job's push to its start.", &["queue"], SECONDS_WAIT),
                run_seconds: r.histograms("freshet_job_run_seconds", "Seconds from a job's start to its end.", &["queue"], SECONDS_RUN),
                workers: r.int_gauge("freshet_workers", "Workers of the queue whose heartbeat is fresh, in all processes."),
            },
            backfill: BackfillMetrics {
                submissions: r.counters("freshet_backfill_submissions_total", "Submissions that backfills found, by what they were to the database: fresh, renewed (a newer state of a known one), known.", &["source", "outcome"]),
                open: r.int_gauges("freshet_backfills", "Backfills that are neither done nor cancelled, by state: running (also where nobody works on it), paused.", &["state"]),
                slices: r.int_gauges("freshet_backfill_slices", "Slices of backfills that are neither done nor cancelled, by state: waiting, later (all ids were asked for, and absent ones may appear late), active (being brought in), failed (set aside, also of backfills that are done but for them).", &["state"]),
            },
            ingest: IngestMetrics {
                fetch_seconds: r.histograms("submission_fetch_time_seconds", "Seconds of one fetch, from its request to its answer, observed for each submission.", &["source"], SECONDS_REQUEST),
                batch_size: r.histogram("freshet_fetch_batch_size", "Submissions that shared one request.", BATCH),
                stored: r.counters("freshet_submissions_stored_total", "Fetched submissions stored.", &["subreddit", "kind"]),
                unavailable: r.counters("freshet_submissions_unavailable_total", "Submissions that Reddit no longer gives out; their listed copy stays.", &["subreddit"]),
                dead: r.counters("freshet_jobs_dead_total", "Jobs set aside by this process, by how the last attempt failed: never_ended (its process was killed or cut off, or it hung), panicked, unreadable, not_stored, too_deep, request_failed (whatever request asks for it fails, while others succeed).", &["reason"]),
                submissions: r.int_gauges("freshet_submissions", "Submissions in the database by status: discovered (not fetched yet), fetched, unavailable.", &["status"]),
                unchanged: r.counter("freshet_submissions_unchanged_total", "Fetched submissions that were equal to the stored ones and not rewritten."),
                nul_stripped: r.counter("freshet_nul_stripped_total", "Submissions whose text columns lost NUL characters on their way into Postgres; the raw object keeps them."),
                lag_seconds: r.histogram("freshet_ingest_lag_seconds", "Seconds from a submission's creation until it was stored as fetched, for what was created since its subreddit is watched.", SECONDS_LAG),
                write_seconds: r.histogram("freshet_store_write_seconds", "Seconds of one writing transaction.", SECONDS_FAST),
                title_chars: r.histogram("freshet_submission_title_chars", "Characters of a submission's title.", TITLE_CHARS),
                selftext_chars: r.histogram("freshet_submission_selftext_chars", "Characters of a submission's text.", TEXT_CHARS),
                score: r.histogram("freshet_submission_score", "Score of a submission when it was fetched.", COUNTS),
                comments: r.histogram("freshet_submission_comments", "Comments of a submission when it was fetched.", COUNTS),
            },
            registry: registry.clone(),
        };
        metrics.start_at_zero();
        metrics
    }

    /// Series with known labels exist from the start, so that a rate over them has a first point.
    fn start_at_zero(&self) {
        self.discover.objective_met.set(1);
        for outcome in ["complete", "truncated", "failed", "seen"] {
            self.discover.polls.with_label_values(&[outcome]).inc_by(0);
        }
        for outcome in ["seen", "late", "absent", "absent_for_good", "failed"] {
            self.discover
                .ids
                .ids
                .with_label_values(&[outcome])
                .inc_by(0);
        }
        for cause in [
            "cap",
            "anchor_vanished",
            "error",
            "page_limit",
            "contradicted",
            "not_stored",
        ] {
            self.discover.gaps.with_label_values(&[cause]).inc_by(0);
        }
        for by in ["poll", "sweep", "backfill", "ids"] {
            let repaired = &self.discover.gaps_repaired;
            repaired.with_label_values(&[by]).inc_by(0);
        }
        for source in ["reddit", "arctic-shift", "files", "ids"] {
            for outcome in ["fresh", "renewed", "known"] {
                let found = &self.backfill.submissions;
                found.with_label_values(&[source, outcome]).inc_by(0);
            }
        }
        for state in ["running", "paused"] {
            self.backfill.open.with_label_values(&[state]).set(0);
        }
        for state in ["waiting", "later", "active", "failed"] {
            self.backfill.slices.with_label_values(&[state]).set(0);
        }
        self.discover.late.with_label_values(&["other"]).inc_by(0);
        for kind in ["repair", "sweep"] {
            for outcome in ["complete", "truncated", "failed"] {
                let sweeps = &self.discover.sweeps;
                sweeps.with_label_values(&[kind, outcome]).inc_by(0);
            }
        }
        for state in ["active", "paused", "unavailable"] {
            self.discover.subreddits.with_label_values(&[state]).set(0);
        }
        for reason in [
            "never_ended",
            "panicked",
            "unreadable",
            "not_stored",
            "too_deep",
            "request_failed",
        ] {
            self.ingest.dead.with_label_values(&[reason]).inc_by(0);
        }
        self.api.simulated.with_label_values(&["reddit"]).set(0);
        // A worker that never noted any is found out by this.
        self.heartbeat.with_label_values(&["job"]).set(0.0);
    }

    /// Every series, for a view of this process's own.
    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }

    /// The exposition, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut buffer = Vec::new();
        // Writing to memory fails only for a metric without a name, and all are named above.
        if let Err(error) = TextEncoder::new().encode(&self.gather(), &mut buffer) {
            tracing::error!(%error, "The metrics could not be rendered");
        }
        String::from_utf8_lossy(&buffer).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

/// Declares and registers in one step.
struct Declare<'a>(&'a Registry);

fn register(registry: &Registry, collector: impl prometheus::core::Collector + 'static) {
    registry
        .register(Box::new(collector))
        .expect("each metric is declared once");
}

impl Declare<'_> {
    fn keep<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> C {
        let collector = made.expect("names and labels are well formed");
        register(self.0, collector.clone());
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.keep(Gauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.keep(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.keep(Histogram::with_opts(options))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(options, labels))
    }
}
