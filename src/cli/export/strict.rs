//! JSON that every parser accepts.
//!
//! Reddit's objects are stored as they came, and RFC 8259 allows in them what many parsers reject. On
//! their way into a line of NDJSON:
//!
//! - half of a surrogate pair (`"\ud800"`) becomes `\ufffd`;
//! - of a key that an object repeats, the last value stays;
//! - a number that 64-bit floats cannot hold becomes a string of its digits;
//! - what is nested deeper than [`MAX_DEPTH`] becomes a string of its JSON;
//! - a line feed between values becomes a space;
//! - what is no JSON at all becomes a string.

use memchr::memchr2;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::HashMap;

/// Levels of nesting that parsers accept with certainty; many stop at 128.
const MAX_DEPTH: usize = 100;

/// Writes the value of a JSON text.
pub(super) fn write(json: &str, out: &mut Vec<u8>) {
    if serde_json::from_str::<IgnoredAny>(json).is_err() {
        return string(json, out);
    }
    let mut copy = Copy { json, at: 0, out };
    copy.space();
    copy.value(0);
}

/// Writes a text as a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Copies a text that is known to be JSON.
struct Copy<'a, 'out> {
    json: &'a str,
    at: usize,
    out: &'out mut Vec<u8>,
}

/// A member of an object: where it begins and ends in the output, and whether a later one has its key.
struct Member {
    start: usize,
    end: usize,
    repeated: bool,
}

impl<'a> Copy<'a, '_> {
    fn peek(&self) -> u8 {
        self.json.as_bytes().get(self.at).copied().unwrap_or(b' ')
    }

    fn byte(&mut self) {
        self.out.push(self.peek());
        self.at += 1;
    }

    /// White space, on one line.
    fn space(&mut self) {
        while self.at < self.json.len() && matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            let line = matches!(self.peek(), b'\n' | b'\r');
            self.out.push(if line { b' ' } else { self.peek() });
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) {
        match self.peek() {
            b'{' | b'[' if depth == MAX_DEPTH => {
                let start = self.at;
                self.skip();
                string(&self.json[start..self.at], self.out);
            }
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.text(),
            _ => self.scalar(),
        }
    }

    fn array(&mut self, depth: usize) {
        self.byte();
        self.space();
        while self.peek() != b']' && self.at < self.json.len() {
            self.value(depth + 1);
            self.space();
            if self.peek() == b',' {
                self.byte();
                self.space();
            }
        }
        self.byte();
    }

    fn object(&mut self, depth: usize) {
        self.byte();
        let body = self.out.len();
        let (mut members, mut places): (Vec<Member>, HashMap<Cow<'a, str>, usize>) =
            Default::default();
        let mut repeats = false;
        loop {
            let start = self.out.len();
            self.space();
            if self.peek() == b'}' || self.at >= self.json.len() {
                break;
            }
            let (key_in, key_out) = (self.at, self.out.len());
            self.text();
            let key = self.key(key_in, key_out);
            self.space();
            self.byte();
            self.space();
            self.value(depth + 1);
            self.space();
            if let Some(earlier) = places.insert(key, members.len()) {
                members[earlier].repeated = true;
                repeats = true;
            }
            members.push(Member {
                start,
                end: self.out.len(),
                repeated: false,
            });
            if self.peek() == b',' {
                self.byte();
            }
        }
        if repeats {
            let all = self.out.split_off(body);
            let mut kept = members.iter().filter(|member| !member.repeated);
            if let Some(first) = kept.next() {
                self.out
                    .extend_from_slice(&all[first.start - body..first.end - body]);
            }
            for member in kept {
                self.out.push(b',');
                self.out
                    .extend_from_slice(&all[member.start - body..member.end - body]);
            }
        }
        self.byte();
    }

    /// The key that was just copied, without its escapes.
    fn key(&self, key_in: usize, key_out: usize) -> Cow<'a, str> {
        let given = &self.json[key_in + 1..self.at - 1];
        if !given.contains('\\') {
            return Cow::Borrowed(given);
        }
        let plain = serde_json::from_slice::<String>(&self.out[key_out..]);
        plain.map_or(Cow::Borrowed(given), Cow::Owned)
    }

    fn text(&mut self) {
        let bytes = self.json.as_bytes();
        self.byte();
        loop {
            let rest = &bytes[self.at..];
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                return;
            };
            self.out.extend_from_slice(&rest[..length]);
            self.at += length;
            if rest[length] == b'"' {
                return self.byte();
            }
            let escape = &rest[length..];
            let (length, valid) = match unit(escape) {
                // The first half counts where the second follows.
                Some(0xd800..=0xdbff) => match escape.get(6..).and_then(unit) {
                    Some(0xdc00..=0xdfff) => (12, true),
                    _ => (6, false),
                },
                Some(0xdc00..=0xdfff) => (6, false),
                Some(_) => (6, true),
                None => (2, true),
            };
            let kept: &[u8] = if valid { &escape[..length] } else { b"\\ufffd" };
            self.out.extend_from_slice(kept);
            self.at += length;
        }
    }

    fn scalar(&mut self) {
        let rest = &self.json.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let scalar = &self.json[self.at..self.at + length];
        self.at += length;
        if scalar.parse::<f64>().is_ok_and(f64::is_infinite) {
            string(scalar, self.out);
        } else {
            self.out.extend_from_slice(scalar.as_bytes());
        }
    }

    /// Goes behind a value of any depth.
    fn skip(&mut self) {
        let (mut depth, mut text, mut escaped) = (0_usize, false, false);
        for byte in &self.json.as_bytes()[self.at..] {
            self.at += 1;
            match (text, byte) {
                (true, _) if escaped => escaped = false,
                (true, b'\\') => escaped = true,
                (_, b'"') => text = !text,
                (false, b'{' | b'[') => depth += 1,
                (false, b'}' | b']') => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }
}

/// The UTF-16 code unit that a text begins with an escape of.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn strict(json: &str) -> String {
        let mut out = Vec::new();
        write(json, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_parsers_reject_is_replaced_and_the_rest_stays_byte_for_byte() {
        for (given, written) in [
            (r#"{"a":"\ud800"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"x\uDC00y"}"#, r#"{"a":"x\ufffdy"}"#),
            (r#"["\ud83e\udd80"]"#, r#"["\ud83e\udd80"]"#),
            (r#"["\ud83e\ud83e\udd80"]"#, r#"["\ufffd\ud83e\udd80"]"#),
            (r#"["\ud83e\n"]"#, r#"["\ufffd\n"]"#),
            (r#"["\\ud800"]"#, r#"["\\ud800"]"#),
            (r#"{"\udfff":1}"#, r#"{"\ufffd":1}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#),
            (r#"{"a":1, "\u0061" : 2}"#, r#"{ "\u0061" : 2}"#),
            (
                r#"{"a":{"b":1,"b":[2]},"a":{"b":1,"b":[]}}"#,
                r#"{"a":{"b":[]}}"#,
            ),
            ("[1e999,-1e999,1e308]", r#"["1e999","-1e999",1e308]"#),
            ("{\n \"a\":\r[ ]\n}", "{  \"a\": [ ] }"),
            (r#"{"a":"\u0000"}"#, r#"{"a":"\u0000"}"#),
            (" [true,null,-0.0] ", " [true,null,-0.0]"),
            ("{}", "{}"),
            ("7", "7"),
            ("", r#""""#),
            ("{\"a\":", r#""{\"a\":""#),
        ] {
            assert_eq!(strict(given), written, "{given}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_becomes_a_string_of_it() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(strict(&nested(100)), nested(100));
        let inner = nested(400);
        let written = strict(&nested(500));
        let read: Value = serde_json::from_str(&written).unwrap();
        let deepest = (0..100).fold(&read, |value, _| &value[0]);
        assert_eq!(deepest, &Value::String(inner));
        assert!(strict(&nested(100_000)).len() > 200_000);
    }

    #[test]
    fn an_object_that_repeats_one_key_costs_no_more_than_its_length() {
        let many = vec![r#""a":1"#; 200_000].join(",");
        assert_eq!(strict(&format!("{{{many}}}")), r#"{"a":1}"#);
    }

    /// JSON as a hostile writer would make it: valid by the grammar, and odd.
    fn odd() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
            r#""(\\u[dD][89a-fA-F][0-9a-f]{2}|\\["\\/bfnrt]|\\u[0-9a-f]{4}|[a-z é\u{2028}🦀]){0,6}""#,
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            let key = r#""(a|b|\\u0061|\\ud800|\\udfff)""#;
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[ {} ]", items.join(" ,\n"))),
                prop::collection::vec((key, inner), 0..5).prop_map(|members| {
                    let members = members
                        .iter()
                        .map(|(key, value)| format!("{key} : {value}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_json_says_a_strict_parser_reads_one_line_of_it(json in odd()) {
            let written = strict(&json);
            prop_assert!(!written.contains(['\n', '\r']));
            let value = serde_json::from_str::<Value>(&written);
            prop_assert!(value.is_ok(), "{json} became {written}");
            // Nothing is left to replace.
            prop_assert_eq!(strict(&written), written);
        }

        #[test]
        fn whatever_text_stands_there_a_value_comes_of_it(text in any::<String>()) {
            prop_assert!(serde_json::from_str::<Value>(&strict(&text)).is_ok());
        }
    }
}
