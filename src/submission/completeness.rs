//! What a later removal has taken from a submission, and how much of it a copy still shows.

use super::Submission;

/// How complete a copy is; of two copies the greater shows more of what the author wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Completeness(i16);

impl Completeness {
    /// A copy without any sign of a removal.
    pub const WHOLE: Completeness = Completeness(16);

    /// As it is stored.
    pub fn as_number(self) -> i16 {
        self.0
    }

    /// From what is stored.
    pub fn from_number(number: i16) -> Completeness {
        Completeness(number)
    }

    /// Whether nothing shows a removal.
    pub fn is_whole(self) -> bool {
        self >= Completeness::WHOLE
    }
}

/// The fields that tell of a removal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// Account name.
    pub author: Option<&'a str>,
    /// Title.
    pub title: Option<&'a str>,
    /// Text.
    pub selftext: Option<&'a str>,
    /// Address.
    pub url: Option<&'a str>,
    /// A text post.
    pub is_self: Option<bool>,
    /// Who removed it.
    pub removed_by: Option<&'a str>,
}

impl Submission {
    /// How complete this copy is.
    pub fn completeness(&self) -> Completeness {
        Shown {
            author: self.author.as_deref(),
            title: self.title.as_deref(),
            selftext: self.selftext.as_deref(),
            url: self.url.as_deref(),
            is_self: self.is_self,
            removed_by: self.removed_by.as_deref(),
        }
        .completeness()
    }
}

impl Shown<'_> {
    /// How complete a copy is that shows this: whole where nothing shows a removal; else the text weighs
    /// most, then the title, the address, the author.
    pub fn completeness(&self) -> Completeness {
        let removed = self.removed_by.is_some_and(|by| !by.trim().is_empty());
        let author_gone = self.author.is_some_and(stands_for_nobody);
        let title_gone = self.title.is_some_and(stands_for_a_text);
        let text_gone = self.selftext.is_some_and(stands_for_a_text);
        if !(removed || author_gone || title_gone || text_gone) {
            return Completeness::WHOLE;
        }
        let blank = |text: Option<&str>| text.is_none_or(|text| text.trim().is_empty());
        // A link has no text that could be missing, as long as it is one.
        let text = !text_gone && (self.is_self == Some(false) || !blank(self.selftext));
        let shown = [
            (8, text),
            (4, !title_gone && !blank(self.title)),
            (2, !blank(self.url)),
            (1, !author_gone && !blank(self.author)),
        ];
        Completeness(shown.iter().filter(|it| it.1).map(|it| it.0).sum())
    }
}

/// What Reddit shows in place of a text: `[removed]`, `[deleted]`, `[deleted by user]`,
/// `[ Removed by Reddit on account of violating the content policy ]`, …
fn stands_for_a_text(text: &str) -> bool {
    let text = text.trim();
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let Some(inner) = inner else {
        return false;
    };
    let inner = inner.trim().to_ascii_lowercase();
    let by = |word: &str| {
        inner
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(" by "))
    };
    by("removed") || by("deleted")
}

/// What Reddit shows in place of an author.
fn stands_for_nobody(author: &str) -> bool {
    let author = author.trim();
    author.eq_ignore_ascii_case("[deleted]") || author.eq_ignore_ascii_case("[removed]")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: Shown<'static> = Shown {
        author: Some("somebody"),
        title: Some("A title"),
        selftext: Some("A text"),
        url: Some("https://example.org/"),
        is_self: Some(true),
        removed_by: None,
    };

    #[test]
    fn a_copy_without_a_sign_of_removal_is_whole() {
        for shown in [
            POST,
            Shown::default(),
            Shown {
                selftext: Some(""),
                ..POST
            },
            Shown {
                selftext: Some("[removed] the ads"),
                ..POST
            },
            Shown {
                title: Some("[removed by me] and [deleted]?"),
                ..POST
            },
            Shown {
                title: Some("[removedby]"),
                ..POST
            },
            Shown {
                author: Some("deleted"),
                ..POST
            },
            Shown {
                removed_by: Some(""),
                ..POST
            },
        ] {
            assert!(shown.completeness().is_whole(), "{shown:?}");
        }
    }

    #[test]
    fn every_way_to_show_a_removal_is_known() {
        for shown in [
            Shown {
                selftext: Some("[removed]"),
                ..POST
            },
            Shown {
                selftext: Some(" [deleted]\n"),
                ..POST
            },
            Shown {
                selftext: Some("[ Removed by reddit in response to a copyright notice. ]"),
                ..POST
            },
            Shown {
                title: Some("[ Removed by Reddit ]"),
                ..POST
            },
            Shown {
                title: Some("[deleted by user]"),
                ..POST
            },
            Shown {
                title: Some(
                    "[ Removed by Reddit on account of violating the [content policy](/x). ]",
                ),
                ..POST
            },
            Shown {
                author: Some("[deleted]"),
                ..POST
            },
            Shown {
                removed_by: Some("moderator"),
                ..POST
            },
        ] {
            assert!(!shown.completeness().is_whole(), "{shown:?}");
        }
    }

    #[test]
    fn of_removed_copies_the_one_that_shows_more_is_the_greater() {
        let removed = Shown {
            removed_by: Some("deleted"),
            ..POST
        };
        let order = [
            Shown {
                selftext: Some("[deleted]"),
                title: Some("[deleted]"),
                url: None,
                author: Some("[deleted]"),
                ..removed
            },
            Shown {
                selftext: Some("[deleted]"),
                title: Some("[deleted]"),
                url: None,
                ..removed
            },
            Shown {
                selftext: Some(""),
                title: Some("[deleted]"),
                ..removed
            },
            Shown {
                selftext: None,
                author: Some("[deleted]"),
                ..removed
            },
            Shown {
                selftext: Some("[removed]"),
                ..removed
            },
            Shown {
                author: Some("[deleted]"),
                ..removed
            },
            removed,
            POST,
        ];
        let order = order.map(|shown| shown.completeness());
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}");
        let link = Shown {
            selftext: Some(""),
            is_self: Some(false),
            ..removed
        };
        assert_eq!(link.completeness(), removed.completeness());
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let seen = POST.completeness();
        assert_eq!(Completeness::from_number(seen.as_number()), seen);
    }
}
