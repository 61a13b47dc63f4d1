//! A submission that appears again and again, so that whoever ingests can see that it still does.

use super::life::{Body, Order};
use super::{Event, World};
use crate::simulator::clock::millis;
use crate::submission::{Kind, SubredditName};
use chrono::{DateTime, SecondsFormat};
use std::time::Duration;

impl World {
    /// The first one is posted now.
    pub(super) fn start_heartbeat(&mut self, name: SubredditName, every: Duration) {
        self.home(&name);
        self.heartbeat = Some((name, millis(every).max(1)));
        self.beat(self.now_ms);
    }

    /// Posts one, and plans the next. None of the oddities befalls it.
    pub(super) fn beat(&mut self, at_ms: i64) {
        let Some((subreddit, every_ms)) = self.heartbeat.clone() else {
            return;
        };
        self.plan(at_ms.saturating_add(every_ms), Event::Heartbeat);
        let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let text = "Posted regularly, to show that submissions come through.";
        // Its id is the next one, so it is never taken.
        let _posted = self.publish(Order {
            subreddit,
            id: None,
            created_ms: Some(at_ms),
            held: false,
            body: Body::Made(
                Kind::SelfPost,
                Box::new(move |draft| {
                    draft.title = Some(format!("Heartbeat of {at}").into());
                    draft.selftext = Some(text.into());
                }),
            ),
        });
    }
}
