//! Recorded submissions of two decades, through the whole pipeline, against a reading of the same
//! files that shares no code with it.

use crate::support::capture::{lines_of, recorded_submissions};
use crate::support::pipeline::{Engines, Ground, Pipeline};
use freshet::simulator::{Corpus, CorpusMode, Publication, Simulator, SimulatorOptions};
use freshet::store::{Status, StoredSubmission};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A line and the object that it is.
type Observed = (String, Value);

/// The latest observation of each id, by retrieval where all of them tell it, else by their order; and the
/// earlier ones.
struct Expected(BTreeMap<String, (Observed, Vec<Observed>)>);

/// What of a submission is its author's, and stays once it is removed.
const AUTHORED: [&str; 11] = [
    "subreddit",
    "created_utc",
    "author",
    "title",
    "selftext",
    "url",
    "permalink",
    "domain",
    "is_self",
    "edited",
    "edited_at",
];

fn shows_a_removal(object: &Value) -> bool {
    let placeholder = |name: &str| {
        let text = object[name].as_str();
        text.is_some_and(|text| matches!(text, "[deleted]" | "[removed]"))
    };
    let removed_by = text(&object["removed_by_category"]).or(text(&object["removed_by"]));
    ["author", "title", "selftext"].into_iter().any(placeholder) || removed_by.is_some()
}

impl Expected {
    fn read() -> Option<Expected> {
        let files = recorded_submissions();
        let mut observations: BTreeMap<String, Vec<Observed>> = BTreeMap::new();
        for file in &files {
            for line in lines_of(file)
                .lines()
                .filter(|line| !line.trim().is_empty())
            {
                let value: Value = serde_json::from_str(line).unwrap();
                let id = value["id"].as_str().unwrap().to_owned();
                let seen = observations.entry(id).or_default();
                seen.push((line.trim().to_owned(), value));
            }
        }
        let latest = observations.into_iter().map(|(id, mut seen)| {
            let retrieved = |value: &Value| {
                integer(&value["retrieved_on"]).or_else(|| integer(&value["retrieved_utc"]))
            };
            if seen.iter().all(|(_, value)| retrieved(value).is_some()) {
                seen.sort_by_key(|(_, value)| retrieved(value));
            }
            (id, (seen.pop().unwrap(), seen))
        });
        (!files.is_empty()).then(|| Expected(latest.collect()))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Towards negative infinity.
#[expect(clippy::cast_possible_truncation, reason = "times and counts")]
fn integer(value: &Value) -> Option<i64> {
    number(value).map(|number| number.floor() as i64)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => text.to_ascii_lowercase().parse().ok(),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        _ => None,
    }
}

/// The columns as the object calls for them.
fn columns_of(object: &Value) -> Value {
    let edited = &object["edited"];
    let edited_at = integer(edited);
    json!({
        "subreddit": text(&object["subreddit"]),
        "author": text(&object["author"]),
        "title": text(&object["title"]),
        "selftext": text(&object["selftext"]),
        "url": text(&object["url"]),
        "permalink": text(&object["permalink"]),
        "domain": text(&object["domain"]),
        "created_utc": integer(&object["created_utc"]),
        "score": integer(&object["score"]),
        "num_comments": integer(&object["num_comments"]),
        "upvote_ratio": number(&object["upvote_ratio"]),
        "over_18": boolean(&object["over_18"]),
        "spoiler": boolean(&object["spoiler"]),
        "stickied": boolean(&object["stickied"]),
        "locked": boolean(&object["locked"]),
        "is_self": boolean(&object["is_self"]),
        "link_flair_text": text(&object["link_flair_text"]),
        "edited": edited.as_bool().or(edited_at.map(|_| true)),
        "edited_at": edited_at,
        "removed_by": text(&object["removed_by_category"]).or(text(&object["removed_by"])),
    })
}

/// The columns as they were stored.
fn columns_stored(row: &StoredSubmission) -> Value {
    json!({
        "subreddit": row.subreddit,
        "author": row.author,
        "title": row.title,
        "selftext": row.selftext,
        "url": row.url,
        "permalink": row.permalink,
        "domain": row.domain,
        "created_utc": row.created_utc,
        "score": row.score,
        "num_comments": row.num_comments,
        "upvote_ratio": row.upvote_ratio,
        "over_18": row.over_18,
        "spoiler": row.spoiler,
        "stickied": row.stickied,
        "locked": row.locked,
        "is_self": row.is_self,
        "link_flair_text": row.link_flair_text,
        "edited": row.edited,
        "edited_at": row.edited_at,
        "removed_by": row.removed_by,
    })
}

/// Real objects spoilt so that they cannot be named or dated.
fn spoilt(expected: &Expected) -> Vec<String> {
    let spoil: [fn(&mut Value); 4] = [
        |object| (object["id"], object["name"]) = (json!(7), Value::Null),
        |object| object["created_utc"] = json!("soon"),
        |object| {
            let fields = object.as_object_mut().unwrap();
            fields.retain(|name, _| name != "id" && name != "name");
        },
        |object| drop(object.as_object_mut().unwrap().remove("created_utc")),
    ];
    let objects = expected
        .0
        .values()
        .step_by(500)
        .map(|((_, object), _)| object);
    let spoilt = objects.zip(spoil.iter().cycle()).map(|(object, spoil)| {
        let mut object = object.clone();
        spoil(&mut object);
        object.to_string()
    });
    spoilt.collect()
}

async fn replay(engines: Engines) {
    let Some(expected) = Expected::read() else {
        return;
    };
    let mut corpus = Corpus::open(recorded_submissions()).unwrap();
    assert_eq!(corpus.refused(), 0, "every recorded line can be served");
    assert_eq!(corpus.len(), expected.0.len());
    let mut names: Vec<_> = corpus.routes().values().cloned().collect();
    names.sort();
    names.dedup();
    let simulator = Simulator::start(SimulatorOptions {
        corpus: Some((std::mem::take(&mut corpus), CorpusMode::Listed)),
        requests_per_minute: None,
        listing_cap: 0,
        ..SimulatorOptions::default()
    })
    .await
    .unwrap();
    let spoilt = spoilt(&expected);
    for (place, object) in spoilt.iter().enumerate() {
        let publication = Publication {
            id: Some(format!("spoilt{place}")),
            created_utc: Some(1_500_000_000),
            object: Some(object.clone()),
            ..Publication::to(&names[place % names.len()])
        };
        simulator.control().publish(publication).unwrap();
    }

    let ground = Ground::new(engines).await;
    let settings = [
        ("discover.interval", "1h"),
        ("discover.first_window", "30y"),
        ("discover.concurrency", "8"),
    ];
    let pipeline = Pipeline::start(ground.config(&simulator, &settings), names).await;
    let (all, objects) = (expected.0.len(), spoilt.len());
    pipeline
        .until_count("everything is fetched", all + objects, async |store| {
            let totals = store.totals().await.unwrap();
            let fetched = usize::try_from(totals.fetched).unwrap();
            let kept = usize::try_from(totals.undecodable).unwrap();
            fetched.min(all) + kept.min(objects)
        })
        .await;

    let totals = pipeline.store().totals().await.unwrap();
    assert_eq!(totals.submissions(), i64::try_from(all).unwrap());
    for (id, (newest, earlier)) in &expected.0 {
        let row = pipeline.store().submission(&id.parse().unwrap()).await;
        let row = row.unwrap().unwrap_or_else(|| panic!("{id} is not stored"));
        assert_eq!(row.status, Status::Fetched, "{id}");
        let mut columns = columns_of(&newest.1);
        // What is removed later keeps its last complete copy.
        let copy = earlier.iter().rfind(|(line, object)| {
            *line == row.raw && shows_a_removal(&newest.1) && !shows_a_removal(object)
        });
        if let Some((_, copy)) = copy {
            let copy = columns_of(copy);
            match row.removed_raw.as_deref() {
                Some(removal) => {
                    assert_eq!(removal, newest.0, "{id}");
                    for name in AUTHORED {
                        columns[name] = copy[name].clone();
                    }
                }
                // A listing showed the complete copy after the other was fetched.
                None => columns = copy,
            }
        }
        let (line, object) = copy.unwrap_or(newest);
        assert_eq!(columns_stored(&row), columns, "{id}");
        let raw: Value = serde_json::from_str(&row.raw).unwrap();
        assert_eq!((&raw, row.raw.as_str()), (object, line.as_str()), "{id}");
    }
    let mut kept = ground.texts("SELECT raw FROM undecodable").await;
    let mut spoilt = spoilt;
    kept.sort();
    spoilt.sort();
    assert_eq!(kept, spoilt);
    let counted = pipeline.metrics().discover.undecodable.get();
    assert!(counted >= spoilt.len() as u64, "{counted}");
    println!("{all} submissions, {objects} that are none");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_submission_is_stored_as_it_is_on_sqlite() {
    replay(Engines::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_submission_is_stored_as_it_is_on_postgres_and_redis() {
    replay(Engines::Servers).await;
}
