//! The database: there, whole, and to be written to.

use super::{Check, clock, told};
use crate::app::now_ms;
use crate::config::{Config, display_url};
use crate::dependency::Fault;
use crate::network::Address;
use crate::store::{ENCODING_REMEDY, Inspection, Schema, Store, StoreError};
use secrecy::ExposeSecret;

/// The oldest server that the statements are written for.
const OLDEST: i32 = 12;

/// What is wrong where it does not answer.
pub(super) fn silent(config: &Config) -> Fault {
    if config.database.url.expose_secret().starts_with("sqlite:") {
        Fault::FileSlow
    } else {
        Fault::PostgresUnreachable
    }
}

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let url = config.database.url.expose_secret();
    let shown = display_url(url);
    if Store::missing(url) {
        let remedy = "`freshet run`, `freshet subreddits add` and `freshet migrate` make it. Is the path right?";
        let found = format!("there is no file at {shown} yet");
        return vec![Check::warn("database", found, remedy)];
    }
    // A file is first opened as one that is only read: opening it otherwise could change it.
    let address = config.database_address();
    let is_file = url.starts_with("sqlite:");
    let opened = if is_file {
        Store::connect_looking(&address, 1).await
    } else {
        Store::connect(&address, 2).await
    };
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            let check = match error {
                StoreError::Encoding(_) => "database.encoding",
                _ => "database",
            };
            let found = format!("{shown} cannot be opened: {}", told(&error));
            return vec![Check::fail(check, found, advice(&error))];
        }
    };
    let asked = now_ms();
    let inspected = store.inspect().await;
    let ours = asked.midpoint(now_ms());
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(error) => {
            let found = format!("{shown} cannot be read: {}", told(&error));
            return vec![Check::fail("database", found, advice(&error))];
        }
    };
    let schema = store.schema().await;
    let missing = match schema {
        Ok(Schema::Current(_) | Schema::Newer(_)) => store.missing_tables().await,
        _ => Ok(Vec::new()),
    };
    let step = schema.as_ref().map_or(Schema::Missing, |step| *step);
    let written = match (&schema, is_file) {
        // Nothing is to be written yet.
        (Ok(Schema::Missing), _) => Ok(()),
        (_, false) => store.try_writing(step, ours).await,
        (_, true) => write_to_file(&address, step).await,
    };
    let refusal = store.refusal();
    store.close().await;
    let mut checks = vec![reached(&shown, &inspection)];
    checks.extend(server(&inspection));
    checks.push(match missing {
        Ok(missing) if missing.is_empty() => tables(&schema, &inspection),
        Ok(missing) => Check::fail(
            "database.schema",
            format!("there is no table {}", missing.join(", ")),
            match refusal {
                Fault::PostgresRefuses => Fault::PostgresTablesMissing.steps(),
                _ => Fault::DatabaseFileEmpty.steps(),
            },
        ),
        Err(error) => Check::fail("database.schema", told(&error), advice(&error)),
    });
    if matches!(schema, Ok(Schema::Missing)) {
        checks.push(may_make_tables(&inspection));
    } else {
        checks.push(rights(&inspection, written, refusal));
    }
    if let Some(theirs) = inspection.clock_ms {
        checks.push(clock("database.clock", "the database's", theirs, ours));
    }
    checks
}

async fn write_to_file(address: &Address, step: Schema) -> Result<(), StoreError> {
    let store = Store::connect(address, 1).await?;
    let written = store.try_writing(step, now_ms()).await;
    store.close().await;
    written
}

fn reached(shown: &str, inspection: &Inspection) -> Check {
    let user = inspection.user.as_ref();
    let user = user.map_or(String::new(), |user| format!(", as {user}"));
    let pooler = if inspection.pooled {
        ", through a connection pooler"
    } else {
        ""
    };
    let version = &inspection.version;
    Check::ok("database", format!("{version} at {shown}{user}{pooler}"))
}

/// What only a server can have wrong.
fn server(inspection: &Inspection) -> Vec<Check> {
    let mut checks = Vec::new();
    let (Some(major), Some(encoding)) = (inspection.major, &inspection.encoding) else {
        return checks;
    };
    if major < OLDEST {
        let found = format!("PostgreSQL {major} is older than {OLDEST}");
        let remedy = "Upgrade the server; the tests run against 15 and newer.";
        checks.push(Check::fail("database.version", found, remedy));
    }
    checks.push(match encoding.as_str() {
        "UTF8" => Check::ok("database.encoding", "UTF8"),
        "SQL_ASCII" => Check::warn(
            "database.encoding",
            "SQL_ASCII: the server does not know what its texts are",
            "It works; a new database should have UTF8: createdb -E UTF8 -T template0 NAME",
        ),
        other => Check::fail(
            "database.encoding",
            format!("{other} cannot hold every text of Reddit"),
            ENCODING_REMEDY,
        ),
    });
    checks.push(if inspection.replica {
        Check::fail(
            "database.mode",
            "the server is a replica, which takes no writes; export, status and coverage work there, too",
            Fault::PostgresReadOnly.steps(),
        )
    } else if inspection.read_only {
        Check::fail(
            "database.mode",
            "sessions are read-only (default_transaction_read_only, or a quota that is reached)",
            Fault::PostgresReadOnly.steps(),
        )
    } else {
        Check::ok("database.mode", "takes writes")
    });
    checks
}

fn tables(schema: &Result<Schema, StoreError>, inspection: &Inspection) -> Check {
    const NAME: &str = "database.schema";
    match schema {
        Ok(Schema::Current(step)) => {
            Check::ok(NAME, format!("step {step}, as this program makes it"))
        }
        Ok(Schema::Newer(step)) => Check::warn(
            NAME,
            format!("step {step}, which a newer freshet made"),
            "It works. Upgrade this one, too.",
        ),
        Ok(Schema::Missing) => Check::warn(
            NAME,
            "there are no tables yet",
            "`freshet run` and `freshet migrate` make them. Is it the right database?",
        ),
        Ok(Schema::Older { has, needs }) if inspection.migrates => Check::warn(
            NAME,
            format!("step {has} of {needs}"),
            "`freshet run` and `freshet migrate` bring it up to date.",
        ),
        Ok(Schema::Older { has, needs }) => Check::fail(
            NAME,
            format!("step {has} of {needs}, and this user may not change it"),
            "Run `freshet migrate` as the owner of the tables.",
        ),
        Err(error) => Check::fail(NAME, told(error), advice(error)),
    }
}

fn may_make_tables(inspection: &Inspection) -> Check {
    const NAME: &str = "database.rights";
    if inspection.migrates {
        Check::ok(NAME, "may make the tables")
    } else {
        let remedy = Fault::PostgresPermission.steps();
        Check::fail(NAME, "this user may not make tables", remedy)
    }
}

fn rights(inspection: &Inspection, written: Result<(), StoreError>, refusal: Fault) -> Check {
    const NAME: &str = "database.rights";
    match written {
        Err(error) => Check::fail(
            NAME,
            format!("a row cannot be written: {}", told(&error)),
            error.advice().unwrap_or(refusal.steps()),
        ),
        Ok(()) if !inspection.lacking.is_empty() => Check::fail(
            NAME,
            format!(
                "this user may not read and write {}",
                inspection.lacking.join(", ")
            ),
            Fault::PostgresPermission.steps(),
        ),
        Ok(()) if inspection.migrates => Check::ok(NAME, "reads, writes and migrates"),
        Ok(()) => Check::ok(
            NAME,
            "reads and writes; `freshet migrate` is for another user",
        ),
    }
}

fn advice(error: &StoreError) -> String {
    let general =
        "The message is the server's own; docs/operations.md, \"Rights\", has what its user needs.";
    error.advice().unwrap_or(general).to_owned()
}
