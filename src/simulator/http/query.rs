//! What a request asks with, read as Reddit's validators read it.

use crate::simulator::world::{Anchor, PageRequest};
use crate::submission::SubmissionId;
use std::collections::HashMap;

/// The listing parameters of a query.
pub(super) struct Query {
    values: HashMap<String, String>,
}

impl Query {
    /// Of a repeated parameter the first counts.
    pub(super) fn read(query: &str) -> Query {
        let mut values = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            values
                .entry(name.into_owned())
                .or_insert_with(|| value.into_owned());
        }
        Query { values }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Without it, `&`, `<` and `>` are written as entities.
    pub(super) fn raw_json(&self) -> bool {
        self.get("raw_json") == Some("1")
    }

    /// 25 unless told; clamped to 1 to 100.
    pub(super) fn limit(&self) -> usize {
        let limit = self.get("limit").and_then(|text| text.parse::<i64>().ok());
        usize::try_from(limit.unwrap_or(25).clamp(1, 100)).unwrap_or(100)
    }

    /// Whether a position in the listing was told, without which `before` is always null.
    pub(super) fn counts(&self) -> bool {
        self.get("count")
            .and_then(|text| text.parse::<i64>().ok())
            .is_some_and(|count| count > 0)
    }

    /// `before` wins over `after`; what is no submission's fullname is as good as none.
    pub(super) fn page(&self) -> PageRequest {
        let id = |name| self.get(name).and_then(fullname);
        let anchor = match (id("before"), id("after")) {
            (Some(id), _) => Anchor::Before(id),
            (None, Some(id)) => Anchor::After(id),
            (None, None) => Anchor::Top,
        };
        PageRequest {
            anchor,
            limit: self.limit(),
        }
    }
}

/// A submission's id from its fullname; a bare id is none.
pub(super) fn fullname(text: &str) -> Option<SubmissionId> {
    let text = text.trim();
    text.starts_with("t3_").then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_clamped_and_odd_ones_are_25() {
        for (query, limit) in [
            ("", 25),
            ("limit=1", 1),
            ("limit=0", 1),
            ("limit=-5", 1),
            ("limit=300", 100),
            ("limit=many", 25),
            ("limit=7&limit=9", 7),
        ] {
            assert_eq!(Query::read(query).limit(), limit, "{query}");
        }
    }

    #[test]
    fn an_anchor_is_a_fullname_of_a_submission() {
        let anchor = |query| Query::read(query).page().anchor;
        assert!(matches!(anchor("after=t3_ab"), Anchor::After(_)));
        assert!(matches!(
            anchor("before=t3_ab&after=t3_cd"),
            Anchor::Before(_)
        ));
        for query in ["", "after=", "after=ab", "after=t1_ab", "after=t3_a%20b"] {
            assert!(matches!(anchor(query), Anchor::Top), "{query}");
        }
    }
}
