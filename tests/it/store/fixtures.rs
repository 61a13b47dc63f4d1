//! A migrated, empty store for a test, and short ways to say what is in it.

use crate::support::postgres::fresh_database;
use freshet::store::{
    Claim, Doubts, FetchRecord, FetchStored, GapRecord, Interval, MemberRecord, PollRecord,
    PollStored, Store, SubredditState, SubredditUpdate,
};
use freshet::submission::{Observation, SubmissionId, SubredditName, decode};
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// Some moment, in milliseconds; tests own the clock.
pub const NOW: i64 = 1_790_000_000_000;

/// A database and a handle to it.
pub struct World {
    pub store: Store,
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

impl World {
    pub async fn sqlite() -> World {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        World::open(url, Some(folder)).await
    }

    pub async fn postgres() -> World {
        World::open(fresh_database().await, None).await
    }

    /// A Postgres database that is there and empty.
    pub async fn at(url: String) -> World {
        World::open(url, None).await
    }

    async fn open(url: String, folder: Option<tempfile::TempDir>) -> World {
        let store = Store::connect(&url, 8).await.unwrap();
        store.migrate().await.unwrap();
        World {
            store,
            url,
            _folder: folder,
        }
    }

    /// Another handle with connections of its own, as another process has.
    pub async fn another(&self) -> Store {
        Store::connect(&self.url, 4).await.unwrap()
    }

    pub fn is_postgres(&self) -> bool {
        self.store.engine() == "postgres"
    }

    /// One number, read past the store.
    pub async fn number(&self, sql: &'static str) -> i64 {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap()
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap()
        }
    }

    /// Changes something past the store.
    pub async fn run(&self, sql: &'static str) {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// Watches a subreddit and claims it.
    pub async fn claimed(&self, subreddit: &str) -> Claim {
        let store = &self.store;
        store
            .add_subreddit(&name(subreddit), NOW / 1000)
            .await
            .unwrap();
        self.claim_again(subreddit).await
    }

    /// Claims a subreddit that is watched and due.
    pub async fn claim_again(&self, subreddit: &str) -> Claim {
        self.claim_at(subreddit, NOW).await
    }

    /// Claims a subreddit that was recorded as [`member`] says, when it is due again.
    pub async fn claim_later(&self, subreddit: &str) -> Claim {
        self.claim_at(subreddit, NOW + 3_600_000).await
    }

    async fn claim_at(&self, subreddit: &str, now_ms: i64) -> Claim {
        let claimed = self.store.claim_due("test", now_ms, 60_000, 1000).await;
        let claimed = claimed.unwrap();
        let mut claimed = claimed.into_iter().map(|claimed| claimed.claim);
        claimed
            .find(|claim| claim.subreddit == name(subreddit))
            .unwrap()
    }

    /// Stores listed submissions of no watched subreddit.
    pub async fn list(&self, listed: &[Observation]) -> PollStored {
        let poll = PollRecord {
            listed,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms: NOW,
        };
        self.store.record_poll(&poll).await.unwrap()
    }

    /// Records one member and nothing listed.
    pub async fn record(&self, member: MemberRecord) -> PollStored {
        let poll = PollRecord {
            listed: &[],
            undecodable: &[],
            members: &[member],
            sweep: None,
            now_ms: NOW,
        };
        self.store.record_poll(&poll).await.unwrap()
    }

    /// Stores fetched submissions.
    pub async fn fetch(&self, observations: &[Observation]) -> FetchStored {
        let record = FetchRecord {
            observations,
            ..nothing()
        };
        self.store.record_fetches(&record).await.unwrap()
    }

    /// Asks for these in vain, for the last time.
    pub async fn give_up(&self, ids: &[SubmissionId]) {
        self.store.start_attempts(ids, "w", NOW).await.unwrap();
        let record = left_out(ids, "w");
        self.store.record_fetches(&record).await.unwrap();
    }
}

/// What of these is left out for the last time, by this worker's answer.
pub fn left_out<'a>(unavailable: &'a [SubmissionId], by: &'a str) -> FetchRecord<'a> {
    FetchRecord {
        unavailable,
        by,
        ..nothing()
    }
}

pub fn nothing() -> FetchRecord<'static> {
    FetchRecord {
        observations: &[],
        undecodable: &[],
        deferred: &[],
        unavailable: &[],
        by: "w",
        now_ms: NOW,
    }
}

pub fn name(text: &str) -> SubredditName {
    text.parse().unwrap()
}

pub fn id(text: &str) -> SubmissionId {
    text.parse().unwrap()
}

pub fn ids(texts: &[&str]) -> Vec<SubmissionId> {
    texts.iter().map(|text| id(text)).collect()
}

pub fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// A submission seen at a moment, from the JSON that follows its id and time.
pub fn seen_with(id: &str, observed_ms: i64, fields: &str) -> Observation {
    let json = format!(r#"{{"id":"{id}","created_utc":1789999000.0{fields}}}"#);
    decode(raw(&json), observed_ms).unwrap()
}

/// A submission in r/Rust, seen at a moment.
pub fn seen(id: &str, observed_ms: i64) -> Observation {
    seen_with(
        id,
        observed_ms,
        r#","subreddit":"Rust","title":"t","score":1"#,
    )
}

pub fn interval(start: i64, end: i64) -> Interval {
    Interval { start, end }
}

/// A member whose poll changes nothing but when it is due next: an hour from now.
pub fn member(claim: &Claim) -> MemberRecord {
    MemberRecord {
        claim: claim.clone(),
        window: None,
        proven: None,
        gap: None,
        update: SubredditUpdate {
            covered_until: None,
            seen_until: None,
            posts_per_hour: 2.5,
            failures: 0,
            state: SubredditState::Active,
            reason: None,
            next_poll_ms: NOW + 3_600_000,
        },
        doubts: Doubts::default(),
    }
}

/// Records what one poll of the subreddit that is due left as a gap.
pub async fn record_gap(store: &Store, gap: Option<GapRecord>, now_ms: i64) {
    let claimed = store.claim_due("test", now_ms, 60_000, 1).await.unwrap();
    let member = MemberRecord {
        gap,
        ..member(&claimed[0].claim)
    };
    let poll = PollRecord {
        listed: &[],
        undecodable: &[],
        members: &[member],
        sweep: None,
        now_ms,
    };
    store.record_poll(&poll).await.unwrap();
}

pub fn gap(start: i64, end: i64, cause: freshet::store::GapCause) -> Option<GapRecord> {
    Some(GapRecord {
        interval: interval(start, end),
        cause,
    })
}
