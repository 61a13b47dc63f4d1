//! What is depended on, in which ways it fails, and one failure.

use super::Fault;
use std::time::Duration;

/// Of an error's text: a driver may repeat what it was sent.
const MAX_ERROR_CHARS: usize = 300;

/// What is depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Where submissions are stored.
    Database,
    /// Where jobs wait.
    Queue,
    /// The rate budget that processes share.
    Budget,
    /// Reddit's API.
    Reddit,
    /// The Arctic Shift archive.
    Archive,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 5] = [
        Service::Database,
        Service::Queue,
        Service::Budget,
        Service::Reddit,
        Service::Archive,
    ];

    /// The `dependency` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Database => "database",
            Service::Queue => "queue",
            Service::Budget => "budget",
            Service::Reddit => "reddit",
            Service::Archive => "archive",
        }
    }
}

/// In which way it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// No connection, or no answer in time.
    Unreachable,
    /// It answers, but does not serve yet or at the moment: it starts, loads, or lacks replicas.
    NotServing,
    /// Another program holds it locked.
    Locked,
    /// It takes no writes.
    ReadOnly,
    /// It is a replica, which takes no writes.
    Replica,
    /// No space: disk, memory, or a quota.
    Full,
    /// Its tables are gone.
    MissingSchema,
    /// Its file is gone.
    MissingFile,
    /// What is stored is damaged.
    Corrupt,
    /// Reading or writing its file fails.
    IoError,
    /// It answers, and refuses what it is asked for another reason than these.
    Refuses,
    /// The user may not do what is needed.
    NoPermission,
    /// User, password or key are wrong.
    CredentialsRejected,
    /// Too many requests.
    RateLimited,
}

impl Class {
    /// How it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Unreachable => "unreachable",
            Class::NotServing => "not_serving",
            Class::Locked => "locked",
            Class::ReadOnly => "read_only",
            Class::Replica => "replica",
            Class::Full => "full",
            Class::MissingSchema => "missing_schema",
            Class::MissingFile => "missing_file",
            Class::Corrupt => "corrupt",
            Class::IoError => "io_error",
            Class::Refuses => "refuses",
            Class::NoPermission => "no_permission",
            Class::CredentialsRejected => "credentials_rejected",
            Class::RateLimited => "rate_limited",
        }
    }

    /// Whether one failure may be no more than a lost connection.
    pub(super) fn may_pass(self) -> bool {
        matches!(
            self,
            Class::Unreachable | Class::NotServing | Class::Locked | Class::Refuses
        )
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind.
    pub class: Class,
    /// What the driver or the server said; holds no secret.
    pub error: String,
    /// What somebody can do about it.
    pub remedy: &'static str,
}

impl Trouble {
    /// Cuts the error to one line of bounded length.
    pub fn new(fault: Fault, error: impl Into<String>) -> Trouble {
        let error: String = error.into();
        let one_line = error.split_whitespace().collect::<Vec<_>>().join(" ");
        Trouble {
            class: fault.class(),
            error: one_line.chars().take(MAX_ERROR_CHARS).collect(),
            remedy: fault.remedy(),
        }
    }

    /// In one sentence or two, for an operator.
    pub fn since(&self, since: i64) -> String {
        let since = chrono::DateTime::from_timestamp(since, 0).unwrap_or_default();
        let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let Trouble {
            class,
            error,
            remedy,
        } = self;
        format!("{} since {since}: {error}. {remedy}", class.as_str())
    }

    /// No answer within a time limit.
    pub fn timeout(fault: Fault, limit: Duration) -> Trouble {
        Trouble::new(fault, format!("no answer within {} s", limit.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        let long = format!("first\n\tsecond {}", "x".repeat(1_000));
        let trouble = Trouble::new(Fault::RedisFull, long);
        assert!(trouble.error.starts_with("first second x"));
        assert_eq!(trouble.error.chars().count(), MAX_ERROR_CHARS);
    }
}
