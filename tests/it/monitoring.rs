//! The rules, the dashboards and the runbooks agree with one another and with the program.

use super::support::boards::{alternatives, dashboards, files, panels, rules, text, under, yaml};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

fn promtool(arguments: &[&str]) {
    let ended = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("promtool is missing: apt-get install prometheus");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let failed = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}{failed}");
}

/// What looks like the name of a metric or of a recorded rule.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .map(|word| word.trim_matches(':'))
        .filter(|word| word.contains("freshet_") || word.contains("submission_fetch_time_seconds"))
        .collect()
}

/// Every metric that the program declares.
fn declared() -> BTreeSet<String> {
    let source = text("src/metrics.rs");
    let quoted = source.split('"').skip(1).step_by(2);
    let names = quoted.filter(|it| {
        (it.starts_with("freshet_") || it.starts_with("submission_")) && !it.contains([' ', '{'])
    });
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 30, "{}", names.len());
    names
}

#[test]
fn prometheus_takes_its_configuration_and_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    let rules = files("prometheus/rules", ".yml");
    let mut arguments = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    arguments.extend(rules.iter().map(String::as_str));
    promtool(&arguments);
}

#[test]
fn every_rule_passes_its_tests() {
    let tests = files("prometheus/tests", ".yml");
    std::thread::scope(|scope| {
        for test in &tests {
            scope.spawn(|| promtool(&["test", "rules", test]));
        }
    });
}

#[test]
fn every_alert_is_tested_firing_and_silent_and_every_record_is_tested() {
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    let mut expressions = String::new();
    for file in files("prometheus/tests", ".yml") {
        let tests = yaml(&file);
        for test in tests["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().into_iter().flatten() {
                let name = case["alertname"].as_str().unwrap().to_owned();
                let alerts = case["exp_alerts"].as_array();
                if alerts.is_none_or(Vec::is_empty) {
                    silent.insert(name);
                } else {
                    firing.insert(name);
                }
            }
            for case in test["promql_expr_test"].as_array().into_iter().flatten() {
                expressions.push_str(case["expr"].as_str().unwrap());
                expressions.push('\n');
            }
        }
    }
    let alerts: BTreeSet<String> = rules("alert").into_keys().collect();
    assert_eq!(firing, alerts, "each is shown to fire");
    assert_eq!(silent, alerts, "each is shown to stay silent");
    for name in rules("record").into_keys() {
        assert!(expressions.contains(&name), "{name} is not tested");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() {
    let runbooks = text("docs/runbooks.md");
    let sections: BTreeSet<String> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_owned)
        .collect();
    let alerts = rules("alert");
    assert_eq!(
        sections,
        alerts.keys().cloned().collect(),
        "a section for each"
    );
    let boards: BTreeSet<String> = dashboards()
        .values()
        .map(|board| format!("/d/{}", board["uid"].as_str().unwrap()))
        .collect();
    for (name, alert) in alerts {
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        let annotation = |key: &str| alert["annotations"][key].as_str().unwrap_or_default();
        for key in ["summary", "description"] {
            assert!(!annotation(key).is_empty(), "{name} has no {key}");
        }
        let section = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(annotation("runbook"), section);
        assert!(boards.contains(annotation("dashboard")), "{name}");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let (declared, recorded) = (declared(), rules("record"));
    let mut texts: Vec<String> = files("prometheus/rules", ".yml");
    texts.extend(files("prometheus/tests", ".yml"));
    texts.extend(files("grafana/dashboards", ".json"));
    texts.extend(files("docs", ".md"));
    texts.extend(["ARCHITECTURE.md", "README.md", "SECURITY.md"].map(str::to_owned));
    let exists = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let base = ends.iter().find_map(|end| name.strip_suffix(end));
        declared.contains(name)
            || base.is_some_and(|base| declared.contains(base))
            || recorded.contains_key(name)
    };
    // A user, a database, a folder or a word of a sentence, a volume, and roles of Postgres: no metrics.
    let other = [
        "freshet_",
        "freshet_postgres",
        "freshet_owner",
        "freshet_app",
        "freshet_reader",
    ];
    for file in texts {
        for name in names(&text(&file)) {
            let known = exists(name) || other.contains(&name);
            assert!(known, "{file} names {name}, which there is not");
        }
    }
}

#[test]
fn every_recorded_name_tells_its_level_and_is_asked_for() {
    let mut asked = String::new();
    for board in dashboards().values() {
        let mut found = Vec::new();
        under(board, "expr", &mut found);
        asked.push_str(&found.join("\n"));
    }
    asked.push_str(&text("docs/runbooks.md"));
    for rule in rules("alert").values() {
        asked.push_str(rule["expr"].as_str().unwrap());
    }
    let recorded = rules("record");
    let others = |name: &str| -> String {
        let others = recorded.iter().filter(|(other, _)| *other != name);
        others
            .map(|(_, rule)| rule["expr"].as_str().unwrap())
            .collect()
    };
    for name in recorded.keys() {
        let parts: Vec<&str> = name.split(':').collect();
        assert!(
            parts.len() == 3 && parts.iter().all(|it| !it.is_empty()),
            "{name}"
        );
        let used = asked.contains(name) || others(name).contains(name);
        assert!(used, "{name} is recorded, and nobody asks for it");
    }
}

/// A step that all begins with, and those of a graph are drawn; Grafana would paint its own otherwise: red
/// from 80 on.
fn assert_thresholds(panel: &Value, place: &str) {
    let defaults = &panel["fieldConfig"]["defaults"];
    let steps = defaults["thresholds"]["steps"].as_array();
    let steps = steps.unwrap_or_else(|| panic!("{place} has no thresholds"));
    assert!(steps.first().unwrap()["value"].is_null(), "{place}");
    let limits: Vec<f64> = steps[1..]
        .iter()
        .map(|step| step["value"].as_f64().unwrap())
        .collect();
    assert!(limits.is_sorted(), "{place}: {limits:?}");
    if panel["type"] == "timeseries" {
        let drawn = &defaults["custom"]["thresholdsStyle"]["mode"];
        assert_eq!(*drawn == "dashed", !limits.is_empty(), "{place}: {drawn}");
    }
}

#[test]
fn the_limit_of_memory_that_is_drawn_is_that_of_the_containers() {
    let board = &dashboards()["grafana/dashboards/infrastructure.json"];
    let panels = panels(board);
    let panel = panels.iter().find(|it| it["title"] == "How much memory?");
    let steps = &panel.unwrap()["fieldConfig"]["defaults"]["thresholds"]["steps"];
    let drawn = steps[1]["value"].as_u64().unwrap();
    let services = &yaml("docker-compose.yml")["services"];
    for name in ["scheduler", "worker"] {
        let limit = &services[name]["deploy"]["resources"]["limits"]["memory"];
        let mebibytes = limit.as_str().unwrap().strip_suffix('M').unwrap();
        assert_eq!(drawn, mebibytes.parse::<u64>().unwrap() << 20, "{name}");
    }
}

#[test]
fn dashboards_are_provisioned_as_they_must_be() {
    let mut uids = BTreeSet::new();
    for (file, board) in dashboards() {
        assert!(board["id"].is_null(), "{file}");
        let uid = board["uid"].as_str().unwrap();
        assert!(
            uid.starts_with("freshet-") && uids.insert(uid.to_owned()),
            "{file}"
        );
        let variables = board["templating"]["list"].as_array().unwrap();
        let variables: Vec<&str> = variables
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        assert_eq!(variables, ["datasource", "subreddit"], "{file}");
        let panels = board["panels"].as_array().unwrap();
        let (banner, place) = (&panels[0], &panels[0]["gridPos"]);
        let source = &banner["targets"][0]["expr"];
        assert_eq!(source, "max(freshet_source_simulated)", "{file}");
        assert_eq!(
            (&place["y"], &place["w"]),
            (&0.into(), &24.into()),
            "{file}"
        );
        let said = &banner["fieldConfig"]["defaults"]["mappings"][0]["options"]["1"]["text"];
        assert!(said.as_str().unwrap().contains("SIMULATED"), "{file}");
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in panels {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_i64().unwrap()), "{file}: {title}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{file}: {title}");
            for place in (at("x")..at("x") + at("w"))
                .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(taken.insert(place), "{file}: {title} lies over another");
            }
            if panel["type"] == "row" || panel["type"] == "text" {
                continue;
            }
            let told = panel["description"].as_str().unwrap_or_default();
            assert!(!told.is_empty(), "{file}: {title} has no description");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
            assert!(unit.is_some_and(|it| !it.is_empty()), "{file}: {title}");
            assert_thresholds(panel, &format!("{file}: {title}"));
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{file}: {title}"
            );
            let mut queries = Vec::new();
            under(&panel["targets"], "expr", &mut queries);
            assert!(!queries.is_empty(), "{file}: {title} asks for nothing");
        }
        if uid == "freshet-overview" {
            let rows = taken.iter().map(|(_, y)| y + 1).max();
            assert!(rows <= Some(17), "more than one screen: {rows:?} rows");
        }
    }
    let source = yaml("grafana/provisioning/datasources/prometheus.yml");
    let source = &source["datasources"][0];
    assert_eq!(source["uid"], "freshet-prometheus");
    let scrapes = &yaml("prometheus.yml")["global"]["scrape_interval"];
    assert_eq!(&source["jsonData"]["timeInterval"], scrapes);
    let provider = yaml("grafana/provisioning/dashboards/freshet.yml");
    assert_eq!(provider["providers"][0]["allowUiUpdates"], false);
}

/// Panels that ask over another time than Grafana's, and why.
const OTHER_RANGES: [(&str, &str); 3] = [
    (
        "Fetch time, average",
        "one number for the time that is shown",
    ),
    ("Left in the window", "of those that asked lately"),
    ("Does the budget last?", "of those that asked lately"),
];

#[test]
fn rates_are_over_grafanas_interval_and_counts_over_what_is_shown() {
    let mut others = BTreeSet::new();
    for (file, board) in dashboards() {
        for panel in panels(&board) {
            let title = panel["title"].as_str().unwrap();
            let mut queries = Vec::new();
            under(&panel["targets"], "expr", &mut queries);
            for query in queries {
                let mut asked = query.split('[');
                let mut before = asked.next().unwrap();
                for after in asked {
                    let (range, rest) = after.split_once(']').unwrap();
                    let rate = before.rfind("rate(") > before.rfind("increase(");
                    let usual = range == "$__rate_interval" || (!rate && range == "$__range");
                    if !usual {
                        let known = OTHER_RANGES.iter().any(|(other, _)| *other == title);
                        assert!(known, "{file}: {title} asks over {range}");
                        others.insert(title.to_owned());
                    }
                    before = rest;
                }
            }
        }
    }
    for (title, why) in OTHER_RANGES {
        assert!(
            others.contains(title),
            "no exception, though {why}: {title}"
        );
    }
}

#[test]
fn links_lead_to_dashboards_that_exist() {
    let boards = dashboards();
    let uids: BTreeSet<&str> = boards
        .values()
        .map(|it| it["uid"].as_str().unwrap())
        .collect();
    let mut followed = 0;
    for (file, board) in &boards {
        let mut urls = Vec::new();
        under(board, "url", &mut urls);
        for url in urls.iter().filter_map(|url| url.strip_prefix("/d/")) {
            let uid = url.split(['?', '/']).next().unwrap();
            assert!(uids.contains(uid), "{file} leads to {uid}");
            followed += 1;
        }
        for link in board["links"].as_array().unwrap() {
            for tag in link["tags"].as_array().unwrap() {
                let tagged = |board: &&Value| board["tags"].as_array().unwrap().contains(tag);
                let others = boards.values().filter(tagged).count();
                assert_eq!(others, boards.len(), "{file} leads to those with {tag}");
                followed += 1;
            }
        }
    }
    assert!(followed > 10, "{followed}");
}

#[test]
fn every_job_that_is_named_is_scraped() {
    let scraped = yaml("prometheus.yml");
    let scraped = scraped["scrape_configs"].as_array().unwrap();
    let scraped: BTreeSet<&str> = scraped
        .iter()
        .map(|job| job["job_name"].as_str().unwrap())
        .collect();
    let mut asked: Vec<(String, String)> = Vec::new();
    for (name, rule) in rules("alert").into_iter().chain(rules("record")) {
        asked.push((name, rule["expr"].as_str().unwrap().to_owned()));
    }
    for (file, board) in dashboards() {
        let mut found = Vec::new();
        under(&board, "expr", &mut found);
        asked.extend(
            found
                .into_iter()
                .map(|expr| (file.clone(), expr.to_owned())),
        );
    }
    let mut found = BTreeSet::new();
    for (place, expr) in &asked {
        for matcher in expr.split("job").skip(1) {
            let operators = ["=~\"", "!~\"", "!=\"", "=\""];
            let Some(rest) = operators.iter().find_map(|it| matcher.strip_prefix(it)) else {
                continue;
            };
            for job in alternatives(rest.split('"').next().unwrap()) {
                assert!(scraped.contains(job.as_str()), "{place} asks for {job}");
                found.insert(job);
            }
        }
    }
    assert!(found.contains("freshet"), "{found:?}");
}

#[test]
fn alertmanager_speaks_of_alerts_that_exist() {
    let alerts = rules("alert");
    let severities: BTreeSet<&str> = alerts
        .values()
        .map(|alert| alert["labels"]["severity"].as_str().unwrap())
        .collect();
    let whole = yaml("alertmanager/alertmanager.yml");
    let mut lists = Vec::new();
    for rule in whole["inhibit_rules"].as_array().unwrap() {
        lists.extend([&rule["source_matchers"], &rule["target_matchers"]]);
    }
    let routes = whole["route"]["routes"].as_array().unwrap();
    lists.extend(routes.iter().map(|route| &route["matchers"]));
    assert!(lists.len() > 10, "{}", lists.len());
    for matcher in lists.into_iter().flat_map(|it| it.as_array().unwrap()) {
        let matcher = matcher.as_str().unwrap();
        let (label, rest) = matcher.split_once(' ').unwrap();
        let (_, value) = rest.split_once(' ').unwrap();
        let value = value.trim_matches('"');
        let exists = |name: &str| match label {
            "alertname" => alerts.contains_key(name),
            "severity" => severities.contains(name),
            _ => panic!("{matcher}"),
        };
        match value.strip_suffix(".+") {
            Some(prefix) => assert!(alerts.keys().any(|it| it.starts_with(prefix)), "{matcher}"),
            None => {
                for name in alternatives(value) {
                    assert!(exists(&name), "{matcher}: {name}");
                }
            }
        }
    }
}
