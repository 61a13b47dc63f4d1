//! What a payload holds is what comes back.

use super::conformance;
use super::fixtures::{NOW, World, id, raw, seen_with};
use freshet::submission::{Observation, SubmissionId, decode};
use std::collections::HashMap;

conformance!(
    every_column_comes_back_as_it_was_observed,
    absent_fields_stay_null,
    numbers_survive_however_large_or_negative,
    long_texts_survive,
    a_nul_is_kept_by_the_raw_object_and_counted_where_a_column_loses_it,
    lone_surrogates_survive_in_the_raw_object,
    a_name_too_long_for_an_index_is_left_to_the_raw_object,
    recorded_submissions_come_back_byte_for_byte,
);

async fn round_trip(world: &World, observation: &Observation) {
    world.list(std::slice::from_ref(observation)).await;
    same(world, observation).await;
}

/// The stored row says what the observation says.
pub async fn same(world: &World, observation: &Observation) {
    let fields = observation.submission.clone();
    let row = world.store.submission(&fields.id).await.unwrap().unwrap();
    assert_eq!(row.raw, observation.raw.get());
    assert_eq!(row.observed_ms, observation.observed_ms);
    assert_eq!(row.kind, fields.kind.as_str());
    let stored = freshet::submission::Submission {
        id: row.id,
        subreddit: row.subreddit,
        author: row.author,
        title: row.title,
        selftext: row.selftext,
        url: row.url,
        permalink: row.permalink,
        domain: row.domain,
        created_utc: row.created_utc,
        score: row.score,
        num_comments: row.num_comments,
        upvote_ratio: row.upvote_ratio,
        over_18: row.over_18,
        spoiler: row.spoiler,
        stickied: row.stickied,
        locked: row.locked,
        is_self: row.is_self,
        link_flair_text: row.link_flair_text,
        edited: row.edited,
        edited_at: row.edited_at,
        removed_by: row.removed_by,
        kind: fields.kind,
    };
    assert_eq!(stored, fields);
}

async fn every_column_comes_back_as_it_was_observed(world: World) {
    let json = r#"{"id":"full1","created_utc":1789999000.0,"subreddit":"AskReddit",
        "author":"[deleted]","title":"a\n\"b\" 🦀 é","selftext":"text","url":"/r/x/comments/1/",
        "permalink":"/r/x/comments/1/y/","domain":"self.x","score":12,"num_comments":3,
        "upvote_ratio":0.87,"over_18":true,"spoiler":false,"stickied":true,"locked":false,
        "is_self":true,"link_flair_text":"Flair","edited":1789999500.0,
        "removed_by_category":"moderator" ,  "anything": [1, 2.50, null]}"#;
    round_trip(&world, &decode(raw(json), NOW).unwrap()).await;
}

async fn absent_fields_stay_null(world: World) {
    round_trip(&world, &seen_with("bare", NOW, "")).await;
    let row = world.store.submission(&id("bare")).await.unwrap().unwrap();
    assert_eq!((row.title, row.score, row.over_18), (None, None, None));
}

async fn numbers_survive_however_large_or_negative(world: World) {
    let fields = r#","score":-9223372036854775808,"num_comments":9223372036854775807,
        "upvote_ratio":0.1,"edited":-5,"big":123456789012345678901234567890.5e300,"tiny":-0.0"#;
    round_trip(&world, &seen_with("big", NOW, fields)).await;
    let json = r#"{"id":"old","created_utc":0,"score":-1}"#;
    round_trip(&world, &decode(raw(json), NOW).unwrap()).await;
}

async fn long_texts_survive(world: World) {
    let text = "ü🦀x".repeat(100_000 / 3);
    let fields = format!(r#","selftext":"{text}","title":"{text}","author":"{text}""#);
    round_trip(&world, &seen_with("long", NOW, &fields)).await;
}

async fn a_nul_is_kept_by_the_raw_object_and_counted_where_a_column_loses_it(world: World) {
    let observation = seen_with("nul", NOW, r#","title":"a\u0000b","selftext":"\u0000""#);
    let plain = seen_with("plain", NOW, r#","title":"ab","other":"\u0000""#);
    let batch = [observation.clone(), plain];
    let stored = world.fetch(&batch).await;
    let row = world.store.submission(&id("nul")).await.unwrap().unwrap();
    assert_eq!(row.raw, observation.raw.get());
    if world.is_postgres() {
        assert_eq!(stored.nul_stripped, 1);
        assert_eq!(row.title.as_deref(), Some("ab"));
        assert_eq!(row.selftext.as_deref(), Some(""));
    } else {
        assert_eq!(stored.nul_stripped, 0);
        same(&world, &observation).await;
    }
    same(&world, &batch[1]).await;
}

async fn lone_surrogates_survive_in_the_raw_object(world: World) {
    let fields = r#","title":"a\ud800b","selftext":"\udc00\ud83e\udd80","nested":{"\ud801":1}"#;
    round_trip(&world, &seen_with("lone", NOW, fields)).await;
}

async fn a_name_too_long_for_an_index_is_left_to_the_raw_object(world: World) {
    let mut state = 7_u64;
    let name: String = (0..10_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + (state >> 33) as u8 % 26)
        })
        .collect();
    let fields = format!(r#","subreddit":"{name}""#);
    let listed = [seen_with("odd", NOW, &fields), seen_with("even", NOW, "")];
    assert_eq!(world.list(&listed).await.fresh, [0, 1]);
    let row = world.store.submission(&id("odd")).await.unwrap().unwrap();
    assert_eq!(row.subreddit, None);
    assert!(row.raw.contains(&name));
}

/// Submissions of a real dump, each seen later than the one before; none where it is not there.
pub fn recorded() -> Option<Vec<Observation>> {
    use std::io::BufRead;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/reddit/RS_sample.zst");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("left out: not present: {}", path.display());
        return None;
    };
    let mut decoder = zstd::Decoder::new(file).unwrap();
    decoder.window_log_max(31).unwrap();
    let lines = std::io::BufReader::new(decoder).lines();
    let mut observations: Vec<Observation> = Vec::new();
    for (place, line) in lines.enumerate() {
        let object = raw(&line.unwrap());
        if let Ok(observation) = decode(object, NOW + place as i64) {
            observations.push(observation);
        }
    }
    assert!(observations.len() > 10_000);
    Some(observations)
}

async fn recorded_submissions_come_back_byte_for_byte(world: World) {
    let Some(observations) = recorded() else {
        return;
    };
    for batch in observations.chunks(500) {
        world.fetch(batch).await;
    }
    let stored = recorded_stand(&world, &observations).await;
    assert_eq!(
        world.store.totals().await.unwrap().fetched,
        i64::try_from(stored).unwrap()
    );
}

/// Of each id the most complete copy stands, and beside it what was seen last; how many ids there are.
pub async fn recorded_stand(world: &World, observations: &[Observation]) -> usize {
    let mut of_each: HashMap<&SubmissionId, (&Observation, &Observation)> = HashMap::new();
    for seen in observations {
        let (copy, last) = of_each.entry(&seen.submission.id).or_insert((seen, seen));
        *last = seen;
        if seen.submission.completeness() >= copy.submission.completeness() {
            *copy = seen;
        }
    }
    for (copy, last) in of_each.values() {
        if copy.observed_ms == last.observed_ms {
            same(world, copy).await;
        } else {
            super::removals::in_its_row(world, copy, last).await;
        }
    }
    of_each.len()
}
