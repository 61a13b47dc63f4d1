//! The map in ARCHITECTURE.md is true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The table under "Who may use whom": module → modules.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap();
    let (_, after) = text.split_once("| module | uses |").unwrap();
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let rows = after
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let module = names(cells.next().unwrap()).pop_first().unwrap();
        (module, names(cells.next().unwrap()))
    })
    .collect()
}

fn sources(path: &Path, into: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), into);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        into.push(fs::read_to_string(path).unwrap());
    }
}

/// Modules that a module names with `crate::`, outside of comments.
fn used_by(module: &str) -> BTreeSet<String> {
    let src = Path::new(ROOT).join("src");
    let mut texts = vec![fs::read_to_string(src.join(format!("{module}.rs"))).unwrap()];
    if src.join(module).is_dir() {
        sources(&src.join(module), &mut texts);
    }
    let mut used = BTreeSet::new();
    for text in &texts {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for after in line.split("crate::").skip(1) {
                let name: String = after
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                assert!(
                    !name.is_empty(),
                    "a grouped import from the crate's root hides what it uses: {line}"
                );
                used.insert(name);
            }
        }
    }
    used.remove(module);
    used
}

#[test]
fn every_module_stands_in_the_table_and_uses_only_what_it_says() {
    let table = table();
    let lib = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let modules: BTreeSet<String> = lib
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ")?
                .strip_suffix(';')
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(modules, table.keys().cloned().collect());
    for (module, allowed) in &table {
        assert_eq!(
            &used_by(module),
            allowed,
            "what `{module}` uses, and what the table says"
        );
    }
}

/// sqlx takes a statement's text only as a constant, unless somebody vouches for another: so values
/// get into none but as parameters. These places vouch, and each must say for what.
#[test]
fn sql_is_constant_but_where_it_is_said() {
    let vouched = ["queue/sqlite_engine.rs: AssertSqlSafe(drop)"];
    let mut found = Vec::new();
    let src = Path::new(ROOT).join("src");
    let mut files = vec![src.clone()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let name = path.strip_prefix(&src).unwrap().display();
        for way in ["AssertSqlSafe", "QueryBuilder", ".leak()", "leak("] {
            for after in text.split(way).skip(1) {
                let argument = after.split_inclusive(')').next().unwrap_or_default();
                found.push(format!("{name}: {way}{argument}"));
            }
        }
    }
    found.retain(|it| !vouched.contains(&it.as_str()));
    assert!(found.is_empty(), "{found:#?}");
    // What the one place puts together are names that stand above it.
    let engine = fs::read_to_string(src.join("queue/sqlite_engine.rs")).unwrap();
    assert!(
        engine.contains("const USELESS_INDEXES: ["),
        "names of indexes are constants"
    );
}

#[test]
fn no_file_is_longer_than_a_reader_holds_in_mind() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect_long(&Path::new(ROOT).join(folder), &mut long);
    }
    assert!(long.is_empty(), "over 500 lines: {long:?}");
}

fn collect_long(path: &Path, long: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect_long(&entry.unwrap().path(), long);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        if lines > 500 {
            long.push(format!("{} ({lines})", path.display()));
        }
    }
}
