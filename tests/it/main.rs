//! Behaviour across modules and at the seams that users see: the binary, HTTP, the database, the
//! wire. One binary, so that each real server is started once for all tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod architecture;
mod archived;
mod arctic_shift;
mod backfill_kills;
mod backfill_life;
mod backfill_reddit;
mod bad_input;
mod bad_pages;
mod bad_wire;
mod binary_backfill;
mod binary_config;
mod binary_coverage;
mod binary_demo;
mod binary_export;
mod binary_health;
mod binary_http;
mod binary_jobs;
mod binary_liveness;
mod binary_mistakes;
mod binary_opening;
mod binary_run;
mod binary_secrets;
mod binary_stop;
mod binary_subreddits;
mod binary_view;
mod budget_local;
mod budget_shared;
mod dump;
mod feeding;
#[path = "../../fuzz/src/lib.rs"]
mod fuzzed;
mod liveness;
mod monitoring;
mod monitoring_alerts;
mod monitoring_live;
mod pipeline_fetching;
mod pipeline_panics;
mod pipeline_polls;
mod pipeline_real;
mod pipeline_sharing;
mod pipeline_silence;
mod pipeline_sweeps;
mod pipeline_worlds;
mod queue;
mod queue_clock;
mod queue_connect;
mod queue_disk;
mod queue_faults;
mod queue_life;
mod queue_rates;
mod queue_refusals;
mod readme;
mod reddit_auth;
mod reddit_backoff;
mod reddit_capture;
mod reddit_decisions;
mod reddit_pages;
mod reddit_secrets;
mod simulator;
mod stack;
mod store;
mod support;
mod tls;
