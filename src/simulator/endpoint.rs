//! The endpoints that are told apart in statistics and fault plans.

use serde::{Deserialize, Serialize};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /api/v1/access_token`
    Token,
    /// `GET /r/{names}/new`
    Listing,
    /// `GET /api/info`
    Info,
    /// `GET /by_id/{ids}`
    ById,
    /// `GET /r/{name}/about`
    About,
    /// `GET /api/posts/search`, of the archive
    ArchiveSearch,
    /// `GET /api/posts/ids`, of the archive
    ArchiveIds,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// The endpoint of a path, with or without `.json` and a last slash.
    pub(super) fn of(path: &str) -> Endpoint {
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = path.strip_suffix(".json").unwrap_or(path);
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("r"), Some(_), Some("new"), None) => Endpoint::Listing,
            (Some("r"), Some(_), Some("about"), None) => Endpoint::About,
            (Some("api"), Some("info"), None, _) => Endpoint::Info,
            (Some("api"), Some("posts"), Some("search"), None) => Endpoint::ArchiveSearch,
            (Some("api"), Some("posts"), Some("ids"), None) => Endpoint::ArchiveIds,
            (Some("by_id"), Some(_), None, _) => Endpoint::ById,
            (Some("api"), Some("v1"), Some("access_token"), None) => Endpoint::Token,
            _ => Endpoint::Other,
        }
    }

    /// Whether the archive answers it, and not Reddit.
    pub fn is_archive(self) -> bool {
        matches!(self, Endpoint::ArchiveSearch | Endpoint::ArchiveIds)
    }

    /// The name used in statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::Token => "token",
            Endpoint::Listing => "listing",
            Endpoint::Info => "info",
            Endpoint::ById => "by_id",
            Endpoint::About => "about",
            Endpoint::ArchiveSearch => "archive_search",
            Endpoint::ArchiveIds => "archive_ids",
            Endpoint::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_in_all_its_spellings() {
        for path in ["/r/rust/new", "/r/rust+go/new.json", "/r/rust/new/"] {
            assert_eq!(Endpoint::of(path), Endpoint::Listing, "{path}");
        }
        assert_eq!(Endpoint::of("/r/rust/about.json"), Endpoint::About);
        assert_eq!(Endpoint::of("/api/info.json"), Endpoint::Info);
        assert_eq!(Endpoint::of("/by_id/t3_a,t3_b"), Endpoint::ById);
        assert_eq!(Endpoint::of("/api/v1/access_token"), Endpoint::Token);
        assert_eq!(Endpoint::of("/api/posts/search"), Endpoint::ArchiveSearch);
        assert_eq!(Endpoint::of("/api/posts/ids"), Endpoint::ArchiveIds);
        for path in [
            "/",
            "/r/rust",
            "/r/rust/hot",
            "/r/rust/new/x",
            "/api/infos",
            "/api/posts",
        ] {
            assert_eq!(Endpoint::of(path), Endpoint::Other, "{path}");
        }
    }
}
