//! Where an export goes: what stands there before, beside and after it.

use super::store::fixtures::{NOW, World, seen_with};
use super::support::binary::{Finished, Home, PATIENCE, Process};
use freshet::submission::Observation;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use tokio::process::Command;

async fn world(rows: u64) -> World {
    let world = World::sqlite().await;
    let listed: Vec<Observation> = (0..rows)
        .map(|number| {
            let fields = format!(r#","subreddit":"rust","selftext":"{}""#, "x".repeat(500));
            seen_with(&format!("{number:06}"), NOW, &fields)
        })
        .collect();
    for some in listed.chunks(1000) {
        world.list(some).await;
    }
    world
}

async fn export(home: &Home, world: &World, line: &[&str]) -> Finished {
    home.run(&[&["export", "--database-url", &world.url], line].concat())
        .await
}

/// How many whole objects a file holds; none where one is cut or mixed with another.
fn objects(path: &Path) -> Option<usize> {
    let text = fs::read_to_string(path).unwrap();
    let whole = text
        .lines()
        .all(|line| serde_json::from_str::<Value>(line).is_ok());
    (whole && text.ends_with('\n')).then(|| text.lines().count())
}

/// The names in a folder but the database's.
fn names(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("freshet.db"))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_file_keeps_its_mode_its_link_and_its_neighbours() {
    let (home, world) = (Home::new(), world(3).await);
    let private = home.write("private.ndjson", "the last one");
    fs::set_permissions(&private, Permissions::from_mode(0o600)).unwrap();
    // Where the tests may: only the superuser gives files away.
    let given_away = chown(&private, Some(12_345), Some(12_345)).is_ok();
    // A file of the user that another program would take for its own.
    let neighbour = home.write("neighbour", "mine");
    symlink(&neighbour, home.path().join("private.ndjson.partial")).unwrap();
    export(&home, &world, &["-o", "private.ndjson"])
        .await
        .ended_with(0);
    assert_eq!(objects(&private), Some(3));
    let known = fs::metadata(&private).unwrap();
    assert_eq!(known.mode() & 0o777, 0o600);
    assert_eq!(known.uid() == 12_345, given_away);
    assert_eq!(known.gid() == 12_345, given_away);
    assert_eq!(fs::read_to_string(&neighbour).unwrap(), "mine");

    // A chain of links, the last of which leads nowhere yet.
    fs::create_dir(home.path().join("folder")).unwrap();
    symlink("folder/inner", home.path().join("outer")).unwrap();
    symlink("target.ndjson", home.path().join("folder/inner")).unwrap();
    for _ in 0..2 {
        export(&home, &world, &["-o", "outer"]).await.ended_with(0);
        assert_eq!(objects(&home.path().join("folder/target.ndjson")), Some(3));
        for link in ["outer", "folder/inner"] {
            let known = fs::symlink_metadata(home.path().join(link)).unwrap();
            assert!(known.is_symlink(), "{link}");
        }
    }
    let expected = [
        "folder",
        "neighbour",
        "outer",
        "private.ndjson",
        "private.ndjson.partial",
    ];
    assert_eq!(names(&home), expected, "nothing else stays");
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_left_as_it_is() {
    let (home, world) = (Home::new(), world(3).await);
    fs::create_dir(home.path().join("folder")).unwrap();
    symlink("round", home.path().join("round")).unwrap();
    for (output, says) in [
        ("no/such.ndjson", "the folder no does not exist"),
        ("folder", "folder is a folder"),
        ("file/below.ndjson", "is not a folder"),
        ("round", "leads back to itself"),
        ("new/", "no file's name"),
    ] {
        home.write("file", "kept");
        export(&home, &world, &["-o", output])
            .await
            .ended_with(1)
            .says(&[says]);
        assert_eq!(names(&home), ["file", "folder", "round"]);
    }
    // A full disk shows only as lines are written.
    export(&home, &world, &["-o", "/dev/full"])
        .await
        .ended_with(1)
        .says(&["/dev/full cannot be written", "No space left"]);
}

#[tokio::test]
async fn a_file_that_cannot_grow_leaves_the_last_export() {
    let (home, world) = (Home::new(), world(4000).await);
    let kept = home.write("all.ndjson", "the last one");
    // As on a full disk, which a test cannot have: 256 kB at most, of more than 2 MB.
    let told = shell(&home, &world, "ulimit -f 500; EXPORT -o all.ndjson").await;
    told.ended_with(1)
        .says(&["all.ndjson cannot be written", "File too large"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "the last one");
    assert_eq!(names(&home), ["all.ndjson"]);
}

#[tokio::test]
async fn a_fault_of_the_database_is_said_to_be_one_and_leaves_the_last_export() {
    let (home, world) = (Home::new(), world(3).await);
    let kept = home.write("all.ndjson", "the last one");
    world.run("DROP TABLE submissions").await;
    let told = export(&home, &world, &["-o", "all.ndjson"])
        .await
        .ended_with(1);
    assert!(
        !told.stderr.contains("cannot be written"),
        "{}",
        told.stderr
    );
    told.says(&["the database cannot be read", "no such table"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "the last one");
    assert_eq!(names(&home), ["all.ndjson"]);
}

#[tokio::test]
async fn exports_to_one_file_at_once_never_mix() {
    let (home, world) = (Home::new(), world(4000).await);
    let line = ["export", "--database-url", &world.url, "-o", "all.ndjson"];
    let children: Vec<_> = (0..4)
        .map(|_| home.command(&line).spawn().unwrap())
        .collect();
    for child in children {
        let ended = child.wait_with_output().await.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        // Whichever ends, what is there is whole.
        assert_eq!(objects(&home.path().join("all.ndjson")), Some(4000));
    }
    assert_eq!(names(&home), ["all.ndjson"]);
}

#[tokio::test]
async fn a_signal_leaves_the_last_export_and_nothing_beside_it() {
    let (home, world) = (Home::new(), world(4000).await);
    home.write("all.ndjson", "the last one");
    for signal in ["INT", "TERM"] {
        // Enough to write that it is met in the middle of it.
        let subreddits = ["rust", "-o", "all.ndjson", "--columns", "selftext,raw,id"];
        let line = [&["export", "--database-url", &world.url][..], &subreddits].concat();
        let mut process = Process::start(&mut home.command(&line));
        let pending = || {
            names(&home)
                .iter()
                .any(|name| name.starts_with(".freshet-export-"))
        };
        while !pending() && !process.has_ended() {
            tokio::task::yield_now().await;
        }
        if !process.has_ended() {
            process.signal(signal);
        }
        let ended = process.end(PATIENCE).await;
        assert_eq!(
            names(&home),
            ["all.ndjson"],
            "{signal}: {}",
            process.stderr()
        );
        if ended.success() {
            // It was too fast for the signal: then it is whole.
            assert_eq!(objects(&home.path().join("all.ndjson")), Some(4000));
        } else {
            assert_eq!(ended.code(), Some(1), "{}", process.stderr());
            assert!(process.stderr().contains("is as it was before"));
        }
    }
}

/// A command line of the shell with the program and its database in place.
async fn shell(home: &Home, world: &World, line: &str) -> Finished {
    let mut command = Command::new("sh");
    let line = line.replace("EXPORT", "\"$PROGRAM\" export --database-url \"$URL\"");
    command
        .args(["-c", &line])
        .current_dir(home.path())
        .env("PROGRAM", env!("CARGO_BIN_EXE_freshet"))
        .env("URL", &world.url);
    super::support::binary::finish(&mut command).await
}

#[tokio::test]
async fn pipes_devices_and_open_descriptors_are_written_as_they_are() {
    let (home, world) = (Home::new(), world(3).await);
    for (line, lines) in [
        ("EXPORT -o /dev/stdout | cat", 3),
        ("EXPORT -o - | cat", 3),
        ("EXPORT -o /dev/fd/3 3>&1 >/dev/null", 3),
        ("EXPORT -o /dev/null", 0),
        ("mkfifo fifo && { cat fifo & EXPORT -o fifo; wait; }", 3),
        // What stood there stays, as with any redirection that appends.
        ("echo first > out; EXPORT -o /dev/stdout >> out; cat out", 4),
        (
            "echo first > out; exec 3>>out; EXPORT -o /proc/self/fd/3; cat out",
            4,
        ),
    ] {
        let told = shell(&home, &world, line).await.ended_with(0);
        assert_eq!(told.stdout.lines().count(), lines, "{line}: {told:?}");
    }
    assert!(!names(&home).iter().any(|name| name.ends_with(".partial")));
}

#[tokio::test]
async fn the_name_of_the_file_says_the_format() {
    let (home, world) = (Home::new(), world(3).await);
    for (name, begins) in [
        ("x.parquet", "PAR1"),
        ("x.csv", "id,subreddit"),
        ("x.json", "{\"id\""),
        ("x", "{\"id\""),
    ] {
        export(&home, &world, &["-o", name]).await.ended_with(0);
        let bytes = fs::read(home.path().join(name)).unwrap();
        assert!(bytes.starts_with(begins.as_bytes()), "{name}");
    }
    for (line, says) in [
        (
            &["-o", "y.parquet", "--format", "csv"][..],
            "its name says Parquet",
        ),
        (&["-o", "y.csv", "--json"], "its name says CSV"),
        (&["-o", "y.ndjson.zst"], "| zstd > y.ndjson.zst"),
    ] {
        export(&home, &world, line)
            .await
            .ended_with(2)
            .says(&[says]);
    }
    assert!(!names(&home).iter().any(|name| name.starts_with('y')));
}
