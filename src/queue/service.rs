//! One job of apalis as one run of the handler.
//!
//! Owns the tolerance towards payloads: what is no job is warned about, counted and over, since
//! an error would end the worker and the same payload would end the next one.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis::prelude::Task;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tower::Service;

use super::handler::Handler;
use super::job::{Job, Work};
use super::runs::Runs;

/// Starts jobs; never refuses, never fails.
pub(super) struct JobService<H: Handler>(pub(super) Arc<Runs<H>>);

impl<H: Handler> Service<Task<Vec<u8>>> for JobService<H> {
    type Response = ();
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The carrier brings no more jobs than there are free slots.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Vec<u8>>) -> Self::Future {
        match Job::decode(&task.args) {
            Ok(Job::Heartbeat { sent_ms }) => Arc::clone(&self.0).beat(sent_ms).map(Ok).boxed(),
            Ok(job) => match H::Work::asked(job) {
                Some((work, pushed_ms)) => self.0.start(work, pushed_ms).map(Ok).boxed(),
                None => {
                    tracing::warn!("A job of another queue's kind was taken off this one");
                    self.0.count_malformed();
                    ready(Ok(())).boxed()
                }
            },
            Err(error) => {
                tracing::warn!(
                    %error,
                    bytes = task.args.len(),
                    "A job that cannot be read was taken off the queue"
                );
                self.0.count_malformed();
                ready(Ok(())).boxed()
            }
        }
    }
}
