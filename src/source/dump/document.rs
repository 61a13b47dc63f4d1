//! Where the values of a JSON document end: the elements of an array, or values one after the other.
//! Tells brackets and texts apart and nothing else; a parser sees each value later.

use memchr::memchr3;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes belong to no value.
    Skip(usize),
    /// A value ends after so many bytes.
    Value(usize),
    /// None ends within them.
    More,
}

/// Where it is between two pieces of a document.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Within the brackets that hold all values.
    array: bool,
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Value {
    depth: u64,
    text: bool,
    escaped: bool,
    /// A number or a word, or what is none.
    scalar: bool,
}

impl Scanner {
    /// Looks at the next bytes: those behind the last step, or behind all where that was [`Step::More`].
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Step {
        let Some(first) = bytes.first().copied() else {
            return Step::More;
        };
        let (mut value, mut at) = match self.value {
            Some(value) => (value, 0),
            None => match first {
                b'[' if !self.array => {
                    self.array = true;
                    return Step::Skip(1);
                }
                b']' if self.array => {
                    self.array = false;
                    return Step::Skip(1);
                }
                _ if separates(first) => {
                    let count = bytes.iter().take_while(|it| separates(**it)).count();
                    return Step::Skip(count);
                }
                _ => {
                    let value = Value {
                        depth: u64::from(matches!(first, b'{' | b'[')),
                        text: first == b'"',
                        escaped: false,
                        scalar: !matches!(first, b'{' | b'[' | b'"'),
                    };
                    (value, 1)
                }
            },
        };
        while at < bytes.len() {
            if value.text && !value.escaped {
                let Some(found) = memchr3(b'"', b'\\', b'\n', &bytes[at..]) else {
                    break;
                };
                at += found;
            }
            let byte = bytes[at];
            match byte {
                _ if value.escaped => value.escaped = false,
                b'\\' if value.text => value.escaped = true,
                b'"' if value.text => {
                    value.text = false;
                    if value.depth == 0 {
                        return self.ends(at + 1);
                    }
                }
                // No text holds the end of a line: the value is damaged, and the next line may not be.
                b'\n' if value.text => return self.ends(at),
                _ if value.scalar && (separates(byte) || byte == b']') => return self.ends(at),
                _ if value.scalar => {}
                b'"' => value.text = true,
                b'{' | b'[' => value.depth += 1,
                b'}' | b']' => {
                    value.depth -= 1;
                    if value.depth == 0 {
                        return self.ends(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.value = Some(value);
        Step::More
    }

    fn ends(&mut self, at: usize) -> Step {
        self.value = None;
        Step::Value(at)
    }

    /// Whether the end of the document would also end a value: nothing else ends a number.
    pub(super) fn ends_scalar(&mut self) -> bool {
        let ends = self.value.is_some_and(|value| value.scalar) && !self.array;
        if ends {
            self.value = None;
        }
        ends
    }

    /// Whether the document cannot end here.
    pub(super) fn is_open(&self) -> bool {
        self.array || self.value.is_some()
    }
}

fn separates(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b','
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values of a document that comes in pieces.
    fn values(document: &str, piece: usize) -> (Vec<String>, bool) {
        let (mut scanner, mut values, mut begun) = (Scanner::default(), Vec::new(), Vec::new());
        for bytes in document.as_bytes().chunks(piece) {
            let mut rest = bytes;
            loop {
                match scanner.scan(rest) {
                    Step::Skip(count) => rest = &rest[count..],
                    Step::Value(count) => {
                        begun.extend_from_slice(&rest[..count]);
                        values.push(String::from_utf8(std::mem::take(&mut begun)).unwrap());
                        rest = &rest[count..];
                    }
                    Step::More => {
                        begun.extend_from_slice(rest);
                        break;
                    }
                }
            }
        }
        (values, scanner.is_open())
    }

    #[test]
    fn values_end_where_their_brackets_do_however_a_document_is_cut() {
        let document = "[{\"a\":\"]}\\\"\",\"b\":[1,{}]},\n \"x,y\" , 7,[] ]\n{\"c\":\n{}}\n[3]";
        let expected = [
            "{\"a\":\"]}\\\"\",\"b\":[1,{}]}",
            "\"x,y\"",
            "7",
            "[]",
            "{\"c\":\n{}}",
            "3",
        ];
        for piece in 1..document.len() {
            let (values, open) = values(document, piece);
            assert_eq!(values, expected, "{piece}");
            assert!(!open);
        }
    }

    #[test]
    fn a_document_that_is_cut_short_is_open() {
        for document in ["[", "[{}", "[{},", "{\"a\":", "[{}, {\"a\": \"b"] {
            assert!(values(document, 3).1, "{document}");
        }
        assert!(!values("[{}]", 3).1);
    }

    proptest! {
        #[test]
        fn the_elements_of_any_array_are_found(
            elements in prop::collection::vec(any_json(), 0..12), pretty: bool, piece in 1usize..40,
        ) {
            let array = serde_json::Value::Array(elements.clone());
            let document = if pretty {
                serde_json::to_string_pretty(&array).unwrap()
            } else {
                array.to_string()
            };
            let (found, open) = values(&document, piece);
            let found: Vec<serde_json::Value> =
                found.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
            prop_assert!(!open);
            prop_assert_eq!(found, elements);
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Into::into),
            any::<bool>().prop_map(Into::into),
            "[a-z\"\\\\\\[\\]{}, \n]{0,9}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-z\"]{0,3}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
