//! One odd field costs itself, never the object it stands in.

use freshet::submission::{Observation, Submission, Undecodable, decode, decode_archived};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const NOW: i64 = 1_790_000_000_000;

/// An object as Reddit gives it out today, cut down.
const REAL: &str = r#"{
    "id": "1tvsa59", "created_utc": 1780499467.0, "name": "t3_1tvsa59", "subreddit": "rust",
    "subreddit_id": "t5_2s7lj", "subreddit_name_prefixed": "r/rust", "subreddit_type": "public",
    "subreddit_subscribers": 300000, "author": "somebody", "author_fullname": "t2_abc",
    "author_flair_richtext": [], "title": "A & <b>", "selftext": "x\ny", "selftext_html": "<p>x</p>",
    "url": "https://example.org/?a=1&b=2", "permalink": "/r/rust/comments/1tvsa59/a_b/",
    "domain": "self.rust", "score": 12, "ups": 12, "downs": 0, "num_comments": 3,
    "upvote_ratio": 0.97, "over_18": false, "spoiler": true, "stickied": false, "locked": true,
    "is_self": true, "link_flair_text": "Q", "link_flair_richtext": [{"e": "text", "t": "Q"}],
    "edited": 1780499500.0, "removed_by_category": null, "removed_by": null, "poll_data": null,
    "is_gallery": false, "is_video": false, "post_hint": "self", "created": 1780499467.0,
    "preview": {"images": [{"source": {"url": "https://x/?a=1&s=2", "width": 1}}], "enabled": true},
    "media": null, "media_embed": {}, "media_metadata": null, "thumbnail": "self", "gildings": {},
    "all_awardings": [], "crosspost_parent": null, "likes": null, "num_reports": -1,
    "banned_by": true, "retrieved_on": 1780500000, "_meta": {"retrieved_2nd_on": 1780600000}
}"#;

fn real() -> Value {
    serde_json::from_str(REAL).unwrap()
}

fn read(object: &str, archived: bool) -> Result<Observation, Undecodable> {
    let raw = RawValue::from_string(object.to_owned()).unwrap();
    if archived {
        decode_archived(raw, NOW)
    } else {
        decode(raw, NOW)
    }
}

/// The columns, each with the fields that it may be read from.
fn columns(seen: &Submission) -> Vec<(&'static str, String)> {
    vec![
        ("id", seen.id.to_string()),
        ("created_utc", seen.created_utc.to_string()),
        ("subreddit", format!("{:?}", seen.subreddit)),
        ("author", format!("{:?}", seen.author)),
        ("title", format!("{:?}", seen.title)),
        ("selftext", format!("{:?}", seen.selftext)),
        ("url", format!("{:?}", seen.url)),
        ("permalink", format!("{:?}", seen.permalink)),
        ("domain", format!("{:?}", seen.domain)),
        ("score", format!("{:?}", seen.score)),
        ("num_comments", format!("{:?}", seen.num_comments)),
        ("upvote_ratio", format!("{:?}", seen.upvote_ratio)),
        ("over_18", format!("{:?}", seen.over_18)),
        ("spoiler", format!("{:?}", seen.spoiler)),
        ("stickied", format!("{:?}", seen.stickied)),
        ("locked", format!("{:?}", seen.locked)),
        ("is_self", format!("{:?}", seen.is_self)),
        ("link_flair_text", format!("{:?}", seen.link_flair_text)),
        ("edited", format!("{:?} {:?}", seen.edited, seen.edited_at)),
        ("removed_by_category", format!("{:?}", seen.removed_by)),
    ]
}

/// The object reads, and every column but those of the changed fields is as before.
fn costs_only(changed: &[String], object: &str) {
    for archived in [false, true] {
        let before = read(&real().to_string(), archived).unwrap().submission;
        let seen = read(object, archived).unwrap_or_else(|refused| {
            panic!("{changed:?}: {}: {object}", refused.reason);
        });
        assert_eq!(seen.raw.get(), object);
        for ((column, before), (_, now)) in
            columns(&before).into_iter().zip(columns(&seen.submission))
        {
            let own = |field: &String| {
                field == column || (column == "removed_by_category" && field == "removed_by")
            };
            if !changed.iter().any(own) {
                assert_eq!(before, now, "{column} after {changed:?} changed: {object}");
            }
        }
    }
}

/// Of every type, and of the sizes at which types end.
fn odd_values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "7",
        "1.5",
        "1e400",
        "-1e400",
        "1e-400",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "123456789012345678901234567890",
        r#""""#,
        r#""text""#,
        r#""7""#,
        r#""NaN""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""<&>""#,
        "[]",
        "[null]",
        r#"["a",{"b":[1]}]"#,
        "{}",
        r#"{"a":null}"#,
        r#"{"\ud800":{"":[]}}"#,
        r#"{"display_name":"rust","subscribers":1}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    values.push(format!("\"{}\"", "x".repeat(100_000)));
    values.push(format!("{}{}", "[".repeat(400), "]".repeat(400)));
    values
}

#[test]
fn every_field_but_the_id_and_the_time_may_be_of_any_type_and_size() {
    let object = real();
    let fields = object.as_object().unwrap();
    for field in fields
        .keys()
        .filter(|it| !matches!(it.as_str(), "id" | "created_utc"))
    {
        let mut without = fields.clone();
        without.remove(field);
        let without = Value::Object(without).to_string();
        costs_only(std::slice::from_ref(field), &without);
        for value in odd_values() {
            let changed = format!("{},\"{field}\":{value}}}", &without[..without.len() - 1]);
            costs_only(std::slice::from_ref(field), &changed);
        }
    }
}

#[test]
fn fields_that_come_twice_or_have_odd_names_cost_nothing() {
    let object = real().to_string();
    let rest = &object[1..];
    for odd in [
        r#""title":"first""#,
        r#""title":{},"title":[]"#,
        r#""\ud800":1"#,
        r#""":1,"":2"#,
        r#""\u0000":"\u0000""#,
        r#""id":"other","created_utc":5"#,
    ] {
        costs_only(&[], &format!("{{{odd},{rest}"));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|it| json!(it)),
        "[^_]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_]{1,6}", inner, 0..3)
                .prop_map(|it| it.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_fields_may_be_anything_together(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any_value()), 1..12),
    ) {
        let mut object = real();
        let names: Vec<String> = object.as_object().unwrap().keys()
            .filter(|it| !matches!(it.as_str(), "id" | "created_utc")).cloned().collect();
        let mut changed = Vec::new();
        for (place, value) in changes {
            let name = place.get(&names);
            object[name.as_str()] = value;
            changed.push(name.clone());
        }
        costs_only(&changed, &object.to_string());
    }

    #[test]
    fn an_object_says_the_same_escaped_or_not(
        texts in proptest::collection::vec("[a&<>;mpltgq ]{0,12}", 5),
    ) {
        let mut object = real();
        let fields = ["title", "selftext", "url", "link_flair_text", "domain"];
        for (field, text) in fields.iter().zip(texts) {
            object[*field] = Value::from(text);
        }
        let plain = read(&object.to_string(), true).unwrap().submission;
        let read = read(&escaped(&object).to_string(), true).unwrap().submission;
        prop_assert_eq!(columns(&plain), columns(&read));
        for field in fields {
            let written = format!("{:?}", object[field].as_str());
            let column = columns(&read).into_iter().find(|it| it.0 == field).unwrap();
            prop_assert_eq!(column.1, written);
        }
    }
}

/// As Reddit sends it where nobody asks for `raw_json=1`.
fn escaped(value: &Value) -> Value {
    let text = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    match value {
        Value::String(it) => Value::from(text(it)),
        Value::Array(them) => them.iter().map(escaped).collect(),
        Value::Object(them) => them
            .iter()
            .map(|(name, it)| (name.clone(), escaped(it)))
            .collect(),
        other => other.clone(),
    }
}
