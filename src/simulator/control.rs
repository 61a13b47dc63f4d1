//! Making things happen: the same commands in the process and over HTTP.

mod command;

pub use command::{Command, Publication};

use super::Shared;
use super::endpoint::Endpoint;
use super::fault::{Fault, Recurring};
use super::removal::Removal;
use super::requests::{RequestRecord, RequestStats};
use super::world::{Body, Order, Span, SubredditState, Truth};
use crate::submission::{InvalidName, Kind, SubmissionId, SubredditName};
use std::sync::Arc;
use std::time::Duration;

/// A century: beyond it dates would soon have years of five digits.
const MOST_AHEAD_SECONDS: u64 = 100 * 366 * 86_400;

/// Why a command did nothing. Asking again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// No such submission.
    #[error("there is no submission {0}")]
    NoSubmission(SubmissionId),
    /// No such subreddit.
    #[error("there is no subreddit {0}")]
    NoSubreddit(SubredditName),
    /// The submission's state does not allow it.
    #[error("submission {id} cannot be {what} in its present state")]
    State {
        /// The submission.
        id: SubmissionId,
        /// What was asked for.
        what: &'static str,
    },
    /// The id of a submission to publish is taken.
    #[error("there is a submission {0} already")]
    Taken(SubmissionId),
    /// A value that the command cannot take.
    #[error("{0}")]
    Value(String),
}

/// A hold on a simulated Reddit; cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub(super) shared: Arc<Shared>,
}

impl Control {
    /// Carries a command out; the id of what it published.
    ///
    /// # Errors
    /// What it names does not exist, or is not in a state for it.
    pub fn apply(&self, command: Command) -> Result<Option<SubmissionId>, ControlError> {
        match command {
            Command::Publish(publication) => return self.publish(publication).map(Some),
            Command::Remove { id, by } => {
                self.remove(&id.parse()?, by.unwrap_or(Removal::Moderator))?;
            }
            Command::Restore { id, on_top } => self.restore(&id.parse()?, on_top)?,
            Command::ApproveLate { id } => self.approve_late(&id.parse()?)?,
            Command::Resurface { id } => self.resurface(&id.parse()?)?,
            Command::DeleteAuthor { id } => self.delete_author(&id.parse()?)?,
            Command::Edit { id, selftext } => self.edit(&id.parse()?, selftext)?,
            Command::HideFromInfo { id, seconds } => {
                let duration = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                self.hide_from_info(&id.parse()?, duration)?;
            }
            Command::SetSubreddit { name, state } => {
                self.set_subreddit_state(&name.parse()?, state)?;
            }
            Command::SetRate { name, per_hour } => self.set_rate(&name.parse()?, per_hour)?,
            Command::FailNext {
                count,
                fault,
                endpoint,
            } => self.fail_next(count, fault, endpoint)?,
            Command::FailEvery {
                every,
                faults,
                endpoint,
            } => self.fail_every(every, faults, endpoint)?,
            Command::FaultChance { chance } => self.fault_chance(chance)?,
            Command::Outage { fault } => self.outage_as(fault)?,
            Command::ArchiveOutage { fault } => self.archive_outage_as(fault)?,
            Command::Poison { word, fault } => self.poison(&word, fault)?,
            Command::RevokeTokens => self.revoke_tokens(),
            Command::Advance { seconds } => {
                let by = Duration::try_from_secs_f64(seconds)
                    .map_err(|error| ControlError::Value(format!("{seconds}: {error}")))?;
                self.advance(by);
            }
        }
        Ok(None)
    }

    /// Publishes a submission now.
    ///
    /// # Errors
    /// An invalid name or kind, an id that is taken, an object that is no JSON.
    pub fn publish(&self, publication: Publication) -> Result<SubmissionId, ControlError> {
        let id: Option<SubmissionId> = publication.id.as_deref().map(str::parse).transpose()?;
        let kind = match publication.kind.as_deref() {
            None => Kind::SelfPost,
            Some(label) => Kind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == label)
                .ok_or_else(|| ControlError::Value(format!("{label:?} is no kind")))?,
        };
        let body = match publication.object {
            Some(object) => {
                serde_json::from_str::<&serde_json::value::RawValue>(&object)
                    .map_err(|error| ControlError::Value(format!("the object: {error}")))?;
                Body::Object(object.into())
            }
            None => Body::Made(
                kind,
                Box::new(move |draft| {
                    draft.title = publication.title.map(Into::into);
                    draft.selftext = publication.selftext.map(Into::into);
                    draft.author = publication.author.map(Into::into);
                    draft.over_18 = publication.over_18;
                }),
            ),
        };
        let order = Order {
            subreddit: publication.subreddit.parse()?,
            id: id.clone(),
            created_ms: publication.created_utc.map(|at| at.saturating_mul(1000)),
            held: publication.held,
            body,
        };
        let taken = |id: Option<SubmissionId>| match id {
            Some(id) => ControlError::Taken(id),
            None => ControlError::Value("no free id".to_owned()),
        };
        self.shared.world().publish(order).ok_or_else(|| taken(id))
    }

    fn on<T>(
        &self,
        id: &SubmissionId,
        act: impl FnOnce(&mut super::world::World, usize) -> T,
    ) -> Result<T, ControlError> {
        let mut world = self.shared.world();
        match world.find(id) {
            Some(item) => Ok(act(&mut world, item)),
            None => Err(ControlError::NoSubmission(id.clone())),
        }
    }

    fn change(
        &self,
        id: &SubmissionId,
        what: &'static str,
        act: impl FnOnce(&mut super::world::World, usize) -> bool,
    ) -> Result<(), ControlError> {
        if self.on(id, act)? {
            Ok(())
        } else {
            Err(ControlError::State {
                id: id.clone(),
                what,
            })
        }
    }

    /// Takes a submission away.
    ///
    /// # Errors
    /// No such submission, or it is removed already.
    pub fn remove(&self, id: &SubmissionId, by: Removal) -> Result<(), ControlError> {
        self.change(id, "removed", |world, item| world.remove(item, by))
    }

    /// Brings a removed submission back, where it was or on top.
    ///
    /// # Errors
    /// No such submission, or it is not removed.
    pub fn restore(&self, id: &SubmissionId, on_top: bool) -> Result<(), ControlError> {
        self.change(id, "restored", |world, item| world.restore(item, on_top))
    }

    /// Lets a held submission in, at the place of its creation.
    ///
    /// # Errors
    /// No such submission, or it is not held.
    pub fn approve_late(&self, id: &SubmissionId) -> Result<(), ControlError> {
        self.change(id, "approved", |world, item| world.approve(item))
    }

    /// Moves a submission to the top of its listing.
    ///
    /// # Errors
    /// No such submission, or it is not listed.
    pub fn resurface(&self, id: &SubmissionId) -> Result<(), ControlError> {
        self.change(id, "resurfaced", |world, item| world.resurface(item))
    }

    /// Makes the account of a submission's author go away.
    ///
    /// # Errors
    /// No such submission, its author is gone already, or it is served byte for byte.
    pub fn delete_author(&self, id: &SubmissionId) -> Result<(), ControlError> {
        self.change(id, "orphaned", |world, item| world.lose_author(item))
    }

    /// Edits a submission's text.
    ///
    /// # Errors
    /// No such submission, it is removed, or it is served byte for byte.
    pub fn edit(&self, id: &SubmissionId, selftext: Option<String>) -> Result<(), ControlError> {
        self.change(id, "edited", |world, item| world.edit(item, selftext))
    }

    /// Keeps a submission out of `/api/info`, for a while of world time or for ever.
    ///
    /// # Errors
    /// No such submission.
    pub fn hide_from_info(
        &self,
        id: &SubmissionId,
        duration: Option<Duration>,
    ) -> Result<(), ControlError> {
        self.on(id, |world, item| {
            let until_ms = duration.map_or(i64::MAX, |duration| {
                world
                    .now_ms()
                    .saturating_add(super::clock::millis(duration))
            });
            world.hide_from_info(item, until_ms);
        })
    }

    /// Changes whom a subreddit lets in.
    ///
    /// # Errors
    /// No such subreddit, or an invalid new name.
    pub fn set_subreddit_state(
        &self,
        name: &SubredditName,
        state: SubredditState,
    ) -> Result<(), ControlError> {
        if let SubredditState::Renamed(to) = &state {
            to.parse::<SubredditName>()?;
        }
        if self.shared.world().set_state(name, state) {
            Ok(())
        } else {
            Err(ControlError::NoSubreddit(name.clone()))
        }
    }

    /// Makes a subreddit where there is none; it gets so many submissions an hour from now on.
    ///
    /// # Errors
    /// A rate that is no number of at least 0.
    pub fn set_rate(&self, name: &SubredditName, per_hour: f64) -> Result<(), ControlError> {
        if !(per_hour.is_finite() && per_hour >= 0.0) {
            return Err(ControlError::Value(format!("{per_hour} is no rate")));
        }
        self.shared.world().set_rate(name, per_hour);
        Ok(())
    }

    /// Makes the next requests fail.
    ///
    /// # Errors
    /// A fault with a status that HTTP does not have, or one that the endpoint cannot have.
    pub fn fail_next(
        &self,
        count: u32,
        fault: Fault,
        endpoint: Option<Endpoint>,
    ) -> Result<(), ControlError> {
        check(fault)?;
        if let Some(endpoint) = endpoint {
            check_fits(fault, endpoint)?;
        }
        self.shared.faults().plan.fail_next(count, fault, endpoint);
        Ok(())
    }

    /// Makes one request in so many fail from now on, in these ways in turn; with no faults that ends.
    ///
    /// # Errors
    /// `every` is 0, or as for [`Control::fail_next`].
    pub fn fail_every(
        &self,
        every: u32,
        faults: Vec<Fault>,
        endpoint: Option<Endpoint>,
    ) -> Result<(), ControlError> {
        for fault in &faults {
            check(*fault)?;
            if let Some(endpoint) = endpoint {
                check_fits(*fault, endpoint)?;
            }
        }
        if every == 0 {
            let wrong = "every must be at least 1; it ends where no faults are given";
            return Err(ControlError::Value(wrong.to_owned()));
        }
        self.shared.faults().plan.recurring = Recurring::new(every, faults, endpoint);
        Ok(())
    }

    /// Lets every request fail that asks for this id or subreddit, and every page of the archive that
    /// holds it; none ends it.
    ///
    /// # Errors
    /// A fault with a status that HTTP does not have.
    pub fn poison(&self, word: &str, fault: Option<Fault>) -> Result<(), ControlError> {
        if let Some(fault) = fault {
            check(fault)?;
        }
        self.shared.faults().plan.poison(word, fault);
        Ok(())
    }

    /// Makes this part of all requests fail from now on, in many ways.
    ///
    /// # Errors
    /// A chance outside 0 to 1.
    pub fn fault_chance(&self, chance: f64) -> Result<(), ControlError> {
        if !(0.0..=1.0).contains(&chance) {
            return Err(ControlError::Value(format!("{chance} is no chance")));
        }
        self.shared.faults().chance = chance;
        Ok(())
    }

    /// Begins or ends an outage of Reddit, not of the archive: 503 with an HTML page for everything.
    pub fn outage(&self, on: bool) {
        self.shared.faults().plan.outage = on.then_some(Fault::ErrorPage { status: 503 });
    }

    /// Begins an outage of Reddit of another kind, or ends it.
    ///
    /// # Errors
    /// A fault with a status that HTTP does not have, or one that only the archive has.
    pub fn outage_as(&self, fault: Option<Fault>) -> Result<(), ControlError> {
        if let Some(fault) = fault {
            check(fault)?;
            check_fits(fault, Endpoint::Listing)?;
        }
        self.shared.faults().plan.outage = fault;
        Ok(())
    }

    /// Begins or ends an outage of the archive alone: 503 with an HTML page for everything.
    pub fn archive_outage(&self, on: bool) {
        self.shared.faults().plan.archive_outage = on.then_some(Fault::ErrorPage { status: 503 });
    }

    /// Begins an outage of the archive of another kind, or ends it.
    ///
    /// # Errors
    /// A fault with a status that HTTP does not have, or a lost token, which the archive has not.
    pub fn archive_outage_as(&self, fault: Option<Fault>) -> Result<(), ControlError> {
        if let Some(fault) = fault {
            check(fault)?;
            check_fits(fault, Endpoint::ArchiveSearch)?;
        }
        self.shared.faults().plan.archive_outage = fault;
        Ok(())
    }

    /// Forgets every token given out.
    pub fn revoke_tokens(&self) {
        self.shared.gate().revoke_all();
    }

    /// Moves the clock on, and lets happen what falls into that time.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
        drop(self.shared.world());
    }

    /// World time, milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// The truth of every submission, in the order of making.
    pub fn truth(&self) -> Vec<Truth> {
        self.shared.world().truth(None, i64::MIN, 0, usize::MAX).0
    }

    /// All that the archive has now of what was created from `start` on and before `end` (whole
    /// seconds since the epoch), oldest first.
    pub fn archive_truth(
        &self,
        subreddit: &SubredditName,
        start: i64,
        end: i64,
    ) -> Vec<SubmissionId> {
        let span = Span { start, end };
        self.shared.world().archive_truth(subreddit, span)
    }

    /// Every subreddit's name.
    pub fn subreddits(&self) -> Vec<SubredditName> {
        self.shared.world().names().cloned().collect()
    }

    /// Requests by endpoint and status, since the start.
    pub fn stats(&self) -> RequestStats {
        self.shared.stats()
    }

    /// The last ten thousand requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.requests().log()
    }
}

fn check(fault: Fault) -> Result<(), ControlError> {
    match fault {
        Fault::ErrorPage { status } | Fault::ErrorEmpty { status }
            if !(200..=999).contains(&status) =>
        {
            Err(ControlError::Value(format!("{status} is no final status")))
        }
        Fault::Date { ahead_seconds } if ahead_seconds.unsigned_abs() > MOST_AHEAD_SECONDS => {
            Err(ControlError::Value(format!(
                "a Date is at most a century ahead or behind, not {ahead_seconds} seconds"
            )))
        }
        _ => Ok(()),
    }
}

fn check_fits(fault: Fault, endpoint: Endpoint) -> Result<(), ControlError> {
    if fault.fits(endpoint) {
        return Ok(());
    }
    Err(ControlError::Value(format!(
        "{} cannot fail in this way: {fault:?}",
        endpoint.as_str()
    )))
}
