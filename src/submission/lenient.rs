//! Values as two decades of payloads really hold them.
//!
//! A [`Scalar`] is read from any JSON value: what cannot be what the field means becomes `None`, so
//! one odd field never costs the object. Text may hold lone surrogates, which JSON allows and Rust
//! strings do not; they become U+FFFD.

use serde::Deserializer;
use serde::de::{Error, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A scalar of any type; `null` and containers are nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Nothing,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    pub(super) fn read(value: Option<&RawValue>) -> Scalar {
        let Some(json) = value.map(RawValue::get) else {
            return Scalar::Nothing;
        };
        match json.as_bytes().first() {
            Some(b'"') => text(json).map_or(Scalar::Nothing, Scalar::Text),
            Some(b't') => Scalar::Bool(true),
            Some(b'f') => Scalar::Bool(false),
            Some(b'-' | b'0'..=b'9') => match (json.parse(), json.parse::<f64>()) {
                (Ok(integer), _) => Scalar::Integer(integer),
                (_, Ok(float)) if float.is_finite() => Scalar::Float(float),
                _ => Scalar::Nothing,
            },
            _ => Scalar::Nothing,
        }
    }

    pub(super) fn text(self) -> Option<String> {
        match self {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whole number from an integer, a float (towards negative infinity) or a decimal string.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Scalar::Integer(value) => Some(*value),
            Scalar::Float(value) => whole(*value),
            Scalar::Text(text) => {
                let text = text.trim();
                text.parse()
                    .ok()
                    .or_else(|| text.parse().ok().and_then(whole))
            }
            Scalar::Nothing | Scalar::Bool(_) => None,
        }
    }

    pub(super) fn float(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "ratios are small")]
            Scalar::Integer(value) => Some(*value as f64),
            Scalar::Float(value) => Some(*value),
            Scalar::Text(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite()),
            Scalar::Nothing | Scalar::Bool(_) => None,
        }
    }

    /// A boolean, also from 0 and 1 and from text.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Scalar::Bool(value) => Some(*value),
            Scalar::Text(text) => match text.trim() {
                "true" | "True" | "1" => Some(true),
                "false" | "False" | "0" => Some(false),
                _ => None,
            },
            Scalar::Integer(_) | Scalar::Float(_) => match self.integer() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Scalar::Nothing => None,
        }
    }
}

fn whole(value: f64) -> Option<i64> {
    let floor = value.floor();
    // Both bounds are exact in f64; NaN and the infinities fall outside.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&floor);
    #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
    fits.then_some(floor as i64)
}

/// A JSON string's text. serde_json insists on paired surrogates when it makes a `str`, but hands
/// the same string out as bytes without.
fn text(json: &str) -> Option<String> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = String;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    serde_json::Deserializer::from_str(json)
        .deserialize_bytes(Bytes)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(json: &str) -> Scalar {
        Scalar::read(Some(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn a_time_is_read_from_every_type_that_payloads_use() {
        for json in [
            "1388534400",
            "1388534400.0",
            "1388534400.9",
            "\"1388534400\"",
            "\"1388534400.0\"",
        ] {
            assert_eq!(scalar(json).integer(), Some(1_388_534_400), "{json}");
        }
        for json in [
            "null", "true", "false", "[]", "{}", "\"soon\"", "1e400", "\"NaN\"", "1e30",
        ] {
            assert_eq!(scalar(json).integer(), None, "{json}");
        }
        assert_eq!(scalar("-0.5").integer(), Some(-1));
    }

    #[test]
    fn a_lone_surrogate_costs_one_character() {
        assert_eq!(
            scalar(r#""a\ud800b""#)
                .text()
                .unwrap()
                .replace('\u{fffd}', ""),
            "ab"
        );
        assert_eq!(scalar(r#""\ud83d\ude00""#).text().unwrap(), "😀");
        assert_eq!(scalar(r#""nul\u0000l""#).text().unwrap(), "nul\0l");
    }

    #[test]
    fn booleans_and_ratios_survive_other_types() {
        assert_eq!(scalar("1").boolean(), Some(true));
        assert_eq!(scalar("\"false\"").boolean(), Some(false));
        assert_eq!(scalar("2").boolean(), None);
        assert_eq!(scalar("1").float(), Some(1.0));
        assert_eq!(scalar("\"0.97\"").float(), Some(0.97));
        assert_eq!(scalar("null").float(), None);
    }
}
