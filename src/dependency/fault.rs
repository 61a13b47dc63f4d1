//! Each fault of a dependency, and the one text that says what to do about it.
//!
//! The log, a status, a start that fails, `freshet doctor` and the runbook all show these texts; a test
//! holds the runbook to them.

use super::Class;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident, $class:ident, $steps:literal $(and $meanwhile:literal)?;)*) => {
        /// What is wrong with a dependency.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// Which kind it is.
            pub fn class(self) -> Class {
                match self { $(Fault::$name => Class::$class,)* }
            }

            /// What somebody can do about it, and what a process that runs does meanwhile.
            pub fn remedy(self) -> &'static str {
                match self { $(Fault::$name => concat!($steps $(, " ", $meanwhile)?),)* }
            }

            /// What somebody can do about it, also where the process has ended.
            pub fn steps(self) -> &'static str {
                match self { $(Fault::$name => $steps,)* }
            }
        }
    };
}

faults! {
    /// Postgres does not answer.
    PostgresUnreachable, Unreachable,
        "Is the server running, and can this machine reach it? A firewall that drops packets looks like this, too (database.url)."
        and "freshet reconnects automatically.";
    /// Postgres has no connection left.
    PostgresConnections, Unreachable,
        "The server's max_connections is reached: raise it, or run fewer processes.";
    /// Postgres starts up or shuts down.
    PostgresNotServing, NotServing,
        "The server of database.url starts up or shuts down: wait."
        and "freshet reconnects automatically.";
    /// Postgres answers, and ends no write.
    PostgresHangs, NotServing,
        "The server answers, but its writes do not end. It waits for a synchronous standby that is gone (SHOW synchronous_standby_names), its disk hangs, or a session holds a lock: SELECT pid, wait_event_type, wait_event, query FROM pg_stat_activity WHERE state = 'active' says which.";
    /// Somebody else holds the tables locked.
    PostgresLocked, Locked,
        "Another program holds the tables locked; one that migrates them, VACUUM FULL, or a forgotten transaction, perhaps. SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity WHERE wait_event_type = 'Lock' says which session (pg_locks: what it holds). Wait for it, or end it: SELECT pg_terminate_backend(…).";
    /// Postgres is a standby, or its sessions are read-only.
    PostgresReadOnly, ReadOnly,
        "The server takes no writes: it is a standby after a failover, default_transaction_read_only is on, or a quota is exceeded. Let database.url lead to the primary, lift the restriction (ALTER DATABASE … RESET default_transaction_read_only, and the same for the role), or free space."
        and "freshet reconnects automatically.";
    /// The disk of Postgres is full.
    PostgresFull, Full,
        "The server's disk is full. Free space there, or raise the quota.";
    /// Postgres is out of memory.
    PostgresMemory, Full,
        "The server of database.url is out of memory: give it more, or let it serve fewer sessions.";
    /// The tables are gone.
    PostgresTablesMissing, MissingSchema,
        "The tables are gone: the database was emptied, or another one was put in its place. Restore a backup, or run `freshet migrate` to begin with an empty one.";
    /// There is no database of this name.
    PostgresDatabaseMissing, MissingSchema,
        "There is no such database: correct database.url, or restore a backup. Make the database first where there never was one: createdb -E UTF8 -T template0 NAME.";
    /// The role lacks a right.
    PostgresPermission, NoPermission,
        "The user of database.url lacks rights. GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public lets it work with the tables; to be allowed to create tables it needs GRANT CREATE ON SCHEMA public, or run `freshet migrate` as their owner (docs/operations.md, \"Rights\").";
    /// Postgres takes no such user or password.
    PostgresCredentials, CredentialsRejected,
        "Check the user and the password in database.url, and that this user may log in.";
    /// Postgres reports damaged data.
    PostgresCorrupt, Corrupt,
        "The server of database.url reports damaged data: restore a backup.";
    /// Postgres cannot read or write its files.
    PostgresIoError, IoError,
        "Check the disk of the server of database.url, and the server's log.";
    /// Postgres refuses whatever it is to do.
    PostgresRefuses, Refuses,
        "The server refuses what freshet asks, for the reason that its message gives: a trigger, rule, constraint or policy that was added, an index or a function that was dropped, or a statement_timeout or lock_timeout of the role or the database that is too short. Undo that (ALTER ROLE … RESET statement_timeout, say), or restore the tables.";
    /// A SQLite file does not answer in time.
    FileSlow, Unreachable,
        "Another process may hold the SQLite file locked for long, or its disk is slow; see that process' log.";
    /// Another program holds a SQLite file locked.
    FileLocked, Locked,
        "Another program holds the SQLite file locked; end it.";
    /// A SQLite file may only be read.
    FileReadOnly, ReadOnly,
        "This user must be allowed to write to the SQLite file and its folder, and the disk must not be mounted read-only.";
    /// A SQLite file may not be opened.
    FilePermission, NoPermission,
        "This user must be allowed to read and write the SQLite file and its folder.";
    /// The disk of a SQLite file is full.
    FileFull, Full,
        "The disk is full. Free space where the SQLite file is, or move it.";
    /// A SQLite file cannot be read or written.
    FileIoError, IoError,
        "Check the disk of the SQLite file.";
    /// The database's file is gone, or was never there.
    DatabaseFileMissing, MissingFile,
        "Does its folder exist (database.url), and may this user write there? A file that was there before: put it back, or a backup of it together with its -wal file and without older -wal and -shm files."
        and "freshet opens it automatically and never makes an empty one in its place.";
    /// The database's file is damaged.
    DatabaseFileCorrupt, Corrupt,
        "The file of database.url is damaged, or something other than an SQLite database: put a backup in its place, together with its -wal file and without older -wal and -shm files."
        and "freshet opens it automatically.";
    /// The database's file lacks the tables.
    DatabaseFileEmpty, MissingSchema,
        "The file of database.url lacks freshet's tables: it was emptied or replaced. Put a backup in its place, together with its -wal file and without older -wal and -shm files, or run `freshet migrate` to begin with an empty one.";
    /// The database's file refuses whatever is written.
    DatabaseFileRefuses, Refuses,
        "The file of database.url refuses what freshet writes, for the reason that its message gives: a trigger or constraint that was added, or an index that was dropped, say. Undo that, or put a backup in its place.";
    /// The queue's file is gone.
    QueueFileMissing, MissingFile,
        "Does its folder exist (queue.url), and may this user write there? freshet makes a new file, and enqueues its jobs again from the database.";
    /// The queue's file is damaged.
    QueueFileCorrupt, Corrupt,
        "The file of queue.url is damaged, or something other than an SQLite database: move it away. freshet makes a new one, and enqueues its jobs again from the database.";
    /// The queue's file lacks its tables.
    QueueFileEmpty, MissingSchema,
        "The file of queue.url was deleted or emptied. freshet makes a new one, and enqueues its jobs again from the database.";
    /// The queue's file refuses whatever is written.
    QueueFileRefuses, Refuses,
        "The file of queue.url refuses what freshet writes, for the reason that its message gives: move it away. freshet makes a new one, and enqueues its jobs again from the database.";
    /// Redis does not answer.
    RedisUnreachable, Unreachable,
        "Is Redis running, and can this machine reach it? A firewall that drops packets looks like this, too (queue.url)."
        and "freshet reconnects automatically.";
    /// Redis has no connection left.
    RedisClients, Unreachable,
        "Redis has reached maxclients: raise it, or run fewer processes.";
    /// Redis loads its data or is busy.
    RedisBusy, NotServing,
        "Redis loads its data or is busy: wait."
        and "freshet retries automatically.";
    /// Redis lacks replicas.
    RedisReplicasMissing, NotServing,
        "Redis has fewer replicas than its min-replicas-to-write asks for: start them, or lower it.";
    /// Redis is a replica.
    RedisReplica, Replica,
        "The server is a replica and takes no writes. Let queue.url lead to the primary, or promote this one (REPLICAOF NO ONE)."
        and "freshet reconnects automatically.";
    /// Redis has reached its limit of memory.
    RedisFull, Full,
        "Raise Redis' maxmemory (CONFIG SET maxmemory 256mb), or move other programs' data elsewhere. freshet needs maxmemory-policy noeviction.";
    /// Redis cannot write to its disk.
    RedisDisk, Full,
        "Redis cannot save to its disk: free space there, and let it write to its folder; its log says what failed.";
    /// Somebody else writes the queue's keys.
    RedisForeignKeys, Corrupt,
        "Keys of the queue hold what freshet did not write: another program uses the same database of this Redis. Give freshet one of its own (queue.url), or delete these keys: the queue only buffers, and is filled again.";
    /// Redis refuses whatever it is to do.
    RedisRefuses, Refuses,
        "Redis refuses what freshet asks, for the reason that its message gives: a command that was renamed or disabled (rename-command), a cluster, or another program that only speaks like Redis, say. `freshet doctor` tries what is needed.";
    /// The Redis user lacks a right.
    RedisPermission, NoPermission,
        "Grant the Redis user of queue.url the keys and the commands that docs/operations.md lists (\"Rights\").";
    /// Redis takes no such user or password.
    RedisCredentials, CredentialsRejected,
        "Check the user and the password in queue.url.";
    /// Reddit is out or out of reach.
    RedditUnreachable, Unreachable,
        "Reddit is asked again automatically, and no job spends an attempt meanwhile. Can this machine reach it? Behind a proxy set proxy.url; behind an authority of your own, tls.ca_file.";
    /// Reddit limits the rate.
    RedditRateLimited, RateLimited,
        "Wait: Reddit is asked again automatically, and no job spends an attempt meanwhile. Where something else uses this client id, lower reddit.requests_per_minute.";
    /// Reddit takes no such key.
    RedditCredentials, CredentialsRejected,
        "Compare reddit.client_id and reddit.client_secret (and reddit.username and reddit.password where they are set) with https://www.reddit.com/prefs/apps. An account with two-factor login cannot be used.";
    /// Reddit's edge turns this machine away.
    RedditBlocked, NoPermission,
        "Reddit's edge blocks this machine's address or reddit.user_agent. Use a user agent that names you, and no address of a VPN.";
    /// The archive is out or out of reach.
    ArchiveUnreachable, Unreachable,
        "Only backfills and repairs need the archive, and they wait: it is asked again automatically. Can this machine reach it? Check arctic_shift.url; behind a proxy set proxy.url.";
    /// The archive limits the rate.
    ArchiveRateLimited, RateLimited,
        "Only backfills and repairs need the archive, and they wait. Where others ask it from the same address, lower arctic_shift.requests_per_minute.";
    /// The archive asks who this is.
    ArchiveCredentials, CredentialsRejected,
        "The archive needs no credentials: check arctic_shift.url.";
    /// The archive turns this machine away.
    ArchiveBlocked, NoPermission,
        "The archive turns this machine away: check arctic_shift.url.";
}

impl Fault {
    /// Of the database's SQLite file.
    pub fn of_database_file(class: Class) -> Fault {
        match class {
            Class::MissingFile => Fault::DatabaseFileMissing,
            Class::Corrupt => Fault::DatabaseFileCorrupt,
            Class::MissingSchema => Fault::DatabaseFileEmpty,
            class => Fault::of_any_file(class),
        }
    }

    /// Of the queue's SQLite file.
    pub fn of_queue_file(class: Class) -> Fault {
        match class {
            Class::MissingFile => Fault::QueueFileMissing,
            Class::Corrupt => Fault::QueueFileCorrupt,
            Class::MissingSchema => Fault::QueueFileEmpty,
            class => Fault::of_any_file(class),
        }
    }

    fn of_any_file(class: Class) -> Fault {
        match class {
            Class::Full => Fault::FileFull,
            Class::IoError => Fault::FileIoError,
            Class::Locked => Fault::FileLocked,
            Class::ReadOnly => Fault::FileReadOnly,
            Class::NoPermission => Fault::FilePermission,
            _ => Fault::FileSlow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_remedy_that_no_other_has() {
        for (number, fault) in Fault::ALL.iter().enumerate() {
            let remedy = fault.remedy();
            assert!(
                remedy.ends_with(['.', ')']) && !remedy.contains('|'),
                "{fault:?}"
            );
            for other in &Fault::ALL[..number] {
                assert_ne!(remedy, other.remedy(), "{fault:?} and {other:?}");
            }
        }
    }

    #[test]
    fn what_is_to_be_done_promises_nothing_that_an_ended_process_would_do() {
        for fault in Fault::ALL {
            let steps = fault.steps();
            assert!(fault.remedy().starts_with(steps), "{fault:?}");
            for promise in ["freshet reconnects", "freshet opens", "freshet retries"] {
                assert!(!steps.contains(promise), "{fault:?}: {steps}");
            }
        }
    }

    #[test]
    fn a_class_of_a_file_keeps_its_class() {
        for class in [
            Class::MissingFile,
            Class::Corrupt,
            Class::MissingSchema,
            Class::Full,
            Class::IoError,
            Class::Locked,
            Class::ReadOnly,
            Class::NoPermission,
            Class::Unreachable,
        ] {
            assert_eq!(Fault::of_database_file(class).class(), class);
            assert_eq!(Fault::of_queue_file(class).class(), class);
        }
    }
}
