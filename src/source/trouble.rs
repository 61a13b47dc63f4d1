//! What an answer says of trouble beside its rows: whatever key says so, however deep, in any usual word.
//!
//! Read as a stream, so that nothing of it is held but the words that are told. What is not known is not
//! taken for trouble: an answer may say how long it took, or repeat what was asked.

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Of what is said, in characters.
const LONGEST_WORDS: usize = 200;

/// What a key says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    /// Whatever it says but "none" is trouble.
    Trouble,
    /// Trouble where it is true.
    Flag,
    /// Trouble where it is false.
    Success,
    /// Trouble where it is not one of the words or numbers of success.
    Status,
    /// Words that nobody says where all is well.
    Words,
}

/// A key without its capitals and what separates its words.
fn plain(key: &str) -> String {
    let kept = key.chars().filter(|it| it.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

fn says(key: &str) -> Says {
    let key = plain(key);
    match key.trim_start_matches("is") {
        "success" | "ok" | "succeeded" | "complete" | "completed" | "healthy" | "valid" => {
            Says::Success
        }
        "status" | "statuscode" | "httpstatus" | "httpcode" | "code" | "state" | "outcome"
        | "result" => Says::Status,
        "timeout" | "partial" | "partialresult" | "partialresults" | "partialcontent"
        | "partialdata" | "truncated" | "incomplete" | "incompleteresults" | "degraded" => {
            Says::Flag
        }
        "message" | "msg" | "detail" | "details" | "reason" | "cause" | "problem" | "problems"
        | "fault" | "note" | "notes" | "notice" => Says::Words,
        "timedout" | "aborted" | "cancelled" | "canceled" | "throttled" | "ratelimited"
        | "unavailable" | "overloaded" | "errno" => Says::Trouble,
        key if ["error", "exception", "fail", "warning"]
            .iter()
            .any(|it| key.contains(it))
            || key == "warn" =>
        {
            Says::Trouble
        }
        _ => Says::Nothing,
    }
}

fn is_none(text: &str) -> bool {
    let none = ["none", "null", "false", "no", "0"];
    none.iter().any(|it| text.eq_ignore_ascii_case(it))
}

fn is_well(text: &str) -> bool {
    let well = [
        "",
        "ok",
        "okay",
        "success",
        "succeeded",
        "successful",
        "complete",
        "completed",
        "done",
        "finished",
        "ready",
        "healthy",
        "green",
        "true",
        "yes",
        "fine",
        "200 ok",
    ];
    well.iter().any(|it| text.eq_ignore_ascii_case(it))
}

impl Says {
    fn is_trouble(self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Says::Nothing => false,
            Says::Trouble => !is_none(text),
            Says::Flag => {
                ["true", "yes"]
                    .iter()
                    .any(|it| text.eq_ignore_ascii_case(it))
                    || tells_of_slowness(text)
            }
            Says::Success => is_none(text),
            Says::Status => match text.parse::<f64>() {
                Ok(number) => Says::Status.is_trouble_of(number),
                Err(_) => !is_well(text),
            },
            Says::Words => !is_well(text) && !is_none(text),
        }
    }

    fn is_trouble_of(self, number: f64) -> bool {
        match self {
            Says::Nothing | Says::Words | Says::Flag => false,
            Says::Trouble => number != 0.0,
            Says::Success => number == 0.0,
            // That of a part is none of all.
            Says::Status => !(0.0..300.0).contains(&number) || number == 206.0,
        }
    }

    fn is_trouble_if(self, yes: bool) -> bool {
        match self {
            Says::Nothing | Says::Words => false,
            Says::Trouble | Says::Flag => yes,
            Says::Success | Says::Status => !yes,
        }
    }
}

/// Whether somebody says that it took too long, or was too much.
pub(super) fn tells_of_slowness(words: &str) -> bool {
    let words = words.to_ascii_lowercase().replace('_', " ");
    ["timeout", "timed out", "time out", "slow down"]
        .iter()
        .any(|it| words.contains(it))
}

/// Shortened to what can be told in a line.
pub(super) fn shortened(said: &str) -> String {
    let said: String = said
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(LONGEST_WORDS)
        .collect();
    said.trim().to_owned()
}

/// What the value of a key says of trouble, in its words; nothing where all is well.
pub(super) struct Trouble<'k> {
    key: &'k str,
    says: Says,
}

impl<'k> Trouble<'k> {
    /// Of the value of that key.
    pub(super) fn at(key: &'k str) -> Trouble<'k> {
        Trouble {
            key,
            says: says(key),
        }
    }

    fn told(&self, value: &str) -> Option<String> {
        Some(shortened(&format!("{}: {value}", self.key)))
    }

    fn number(&self, number: f64) -> Option<String> {
        let trouble = self.says.is_trouble_of(number);
        trouble.then(|| self.told(&number.to_string())).flatten()
    }
}

/// Adds what else is said.
pub(super) fn add(said: &mut Option<String>, more: Option<String>) {
    match (said, more) {
        (Some(said), Some(more)) if said.len() < LONGEST_WORDS => {
            *said = shortened(&format!("{said}; {more}"));
        }
        (said @ None, more) => *said = more,
        _ => {}
    }
}

impl<'de> DeserializeSeed<'de> for Trouble<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Trouble<'_> {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Self::Value, E> {
        let trouble = self.says.is_trouble_if(yes);
        Ok(trouble.then(|| self.told(&yes.to_string())).flatten())
    }

    #[expect(clippy::cast_precision_loss, reason = "compared with small numbers")]
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "compared with small numbers")]
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(self.number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let trouble = self.says.is_trouble(text);
        Ok(trouble.then(|| {
            let words = shortened(text);
            match self.says {
                Says::Trouble | Says::Words if !words.is_empty() => words,
                _ => shortened(&format!("{}: {words}", self.key)),
            }
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut said, mut any) = (None, false);
        let element = || Trouble {
            key: self.key,
            says: self.says,
        };
        while let Some(more) = list.next_element_seed(element())? {
            any = true;
            add(&mut said, more);
        }
        // Whatever they are, there are some.
        if any && said.is_none() && self.says == Says::Trouble {
            said = self.told("some");
        }
        Ok(said)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut said, mut parts) = (None, Parts::default());
        while let Some(key) = map.next_key::<String>()? {
            let says = match says(&key) {
                // What is told of an error is the error.
                Says::Nothing if matches!(self.says, Says::Trouble | Says::Words) => self.says,
                says => says,
            };
            let counted = parts.of(&key);
            let more = match counted {
                Some(count) if says == Says::Nothing => {
                    *count = map.next_value::<Number>()?.0;
                    None
                }
                _ => map.next_value_seed(Trouble { key: &key, says })?,
            };
            add(&mut said, more);
        }
        add(&mut said, parts.lacking());
        Ok(said)
    }
}

/// How many parts of an archive were asked, and answered.
#[derive(Default)]
struct Parts {
    total: Option<f64>,
    successful: Option<f64>,
}

impl Parts {
    fn of(&mut self, key: &str) -> Option<&mut Option<f64>> {
        match plain(key).as_str() {
            "total" => Some(&mut self.total),
            "successful" => Some(&mut self.successful),
            _ => None,
        }
    }

    fn lacking(&self) -> Option<String> {
        let (total, successful) = (self.total?, self.successful?);
        let lacking = successful < total;
        lacking.then(|| format!("{successful} of {total} parts answered"))
    }
}

/// A number, or whatever else is none.
pub(super) struct Number(pub(super) Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Number;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
                Ok(Number(None))
            }

            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }

            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.parse().ok()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Number, A::Error> {
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
                type Any = serde::de::IgnoredAny;
                while map.next_entry::<Any, Any>()?.is_some() {}
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answer: &str) -> Option<String> {
        let mut deserializer = serde_json::Deserializer::from_str(answer);
        Trouble::at("").deserialize(&mut deserializer).unwrap()
    }

    #[test]
    fn trouble_is_found_in_any_usual_word_and_at_any_depth() {
        for words in [
            r#""success":false,"reason":"Timeout""#,
            r#""ok":false"#,
            r#""ok":0"#,
            r#""Success":"false""#,
            r#""code":504,"status":"error""#,
            r#""status":"partial""#,
            r#""status":500"#,
            r#""statusCode":"503""#,
            r#""state":"FAILED""#,
            r#""error":"Timeout""#,
            r#""error":true"#,
            r#""error":{"type":"x"}"#,
            r#""errors":["x"]"#,
            r#""last_error":"x""#,
            r#""errorCode":17"#,
            r#""exception":"x""#,
            r#""failed":1"#,
            r#""failures":[{"shard":0}]"#,
            r#""timed_out":true"#,
            r#""timedOut":true"#,
            r#""timeout":true"#,
            r#""partial":true"#,
            r#""is_partial":true"#,
            r#""truncated":true"#,
            r#""complete":false"#,
            r#""warning":"x""#,
            r#""warnings":["x"]"#,
            r#""message":"Please slow down""#,
            r#""detail":"x""#,
            r#""reason":"x""#,
            r#""total":3,"successful":2"#,
        ] {
            for answer in [
                format!("{{{words}}}"),
                format!(r#"{{"metadata":{{{words}}}}}"#),
                format!(r#"{{"took":3,"metadata":{{"es":[{{"_shards":{{{words}}}}}]}}}}"#),
            ] {
                assert!(said(&answer).is_some(), "{answer}");
            }
        }
    }

    #[test]
    fn what_says_that_all_is_well_or_nothing_of_it_is_no_trouble() {
        for answer in [
            r#"{"error":null,"errors":[],"warnings":{},"failed":0,"errors_count":"0"}"#,
            r#"{"success":true,"ok":1,"status":"OK","code":200,"state":"completed","message":""}"#,
            r#"{"status":200,"statusCode":0,"message":"success","partial":false,"timeout":30000}"#,
            r#"{"metadata":{"took":12,"timed_out":false,"timeout":"30s","size":100,"total_results":5000,
                "shards":{"total":4,"successful":4,"skipped":0,"failed":0}}}"#,
            r#"{"query":{"subreddit":"timeout","after":1,"before":2,"sort":"asc"},"total":{"value":3},"next":null}"#,
        ] {
            assert_eq!(said(answer), None, "{answer}");
        }
    }

    #[test]
    fn what_is_said_is_told_and_slowness_known() {
        let both = said(r#"{"success":false,"reason":"Timeout"}"#).unwrap();
        assert_eq!(both, "success: false; Timeout");
        for answer in [r#"{"timed_out":true}"#, r#"{"error":"Please slow down"}"#] {
            assert!(tells_of_slowness(&said(answer).unwrap()), "{answer}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(9_000));
        assert_eq!(said(&long).unwrap().len(), LONGEST_WORDS);
    }
}
