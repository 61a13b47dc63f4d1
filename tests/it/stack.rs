//! The stack of docker-compose.yml keeps to what the documents say of it, as far as its files show.
//! `scripts/stack` brings it up.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

fn text(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn services() -> Map<String, Value> {
    let stack = yaml("docker-compose.yml");
    assert!(stack.get("version").is_none());
    let services = stack["services"].as_object().unwrap().clone();
    assert!(services.len() >= 11, "{:?}", services.keys());
    services
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|it| it.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_service_is_held_in_and_comes_back() {
    for (name, service) in services() {
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        let security = strings(&service["security_opt"]);
        assert_eq!(security, ["no-new-privileges:true"], "{name}");
        assert!(service["logging"]["options"]["max-size"].is_string());
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(limits["memory"].is_string(), "{name}");
        // It ends when it has done its work, and writes on its way.
        let once = name == "secrets";
        let restart = if once { "no" } else { "unless-stopped" };
        assert_eq!(service["restart"], restart, "{name}");
        assert_eq!(service["read_only"], !once, "{name}");
        assert_eq!(service["healthcheck"]["test"].is_array(), !once, "{name}");
    }
}

#[test]
fn whoever_needs_another_waits_until_it_is_ready() {
    for (name, service) in services() {
        let needs = service["depends_on"].as_object();
        for (other, need) in needs.into_iter().flatten() {
            let wanted = match other.as_str() {
                "secrets" => "service_completed_successfully",
                _ => "service_healthy",
            };
            assert_eq!(need["condition"], wanted, "{name} needs {other}");
        }
        let mounts = strings(&service["volumes"]);
        if name != "secrets" && mounts.iter().any(|it| it.starts_with("secrets-")) {
            assert!(service["depends_on"]["secrets"].is_object(), "{name}");
        }
    }
}

#[test]
fn every_image_is_one_version_and_ours_is_this_one() {
    let version = env!("CARGO_PKG_VERSION");
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        let (_, tag) = image.split_once(':').expect("an image has a tag");
        if image.starts_with("freshet:") {
            assert_eq!(tag, format!("${{FRESHET_VERSION:-{version}}}"), "{name}");
        } else {
            let exact = tag.matches('.').count() >= 1 && tag.contains(|it: char| it.is_numeric());
            assert!(exact, "{name}: {image}");
        }
    }
    assert!(text("Dockerfile").contains(&format!("ARG VERSION={version}\n")));
    assert!(text(".env.example").contains(&format!("\nFRESHET_VERSION={version}\n")));
    let toolchain = format!("FROM rust:{}", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text("Dockerfile").contains(&toolchain));
}

/// Where its path is not written down, cargo looks for the file, which the layer of the image's
/// dependencies does not have.
#[test]
fn every_test_and_benchmark_of_the_manifest_has_its_path() {
    let manifest = text("Cargo.toml");
    let sections: Vec<&str> = manifest.split("\n[").collect();
    let is_target = |it: &&&str| it.starts_with("[test]]") || it.starts_with("[bench]]");
    let targets: Vec<&&str> = sections.iter().filter(is_target).collect();
    assert!(targets.len() >= 6, "{targets:?}");
    for target in targets {
        assert!(target.contains("\npath = \""), "[{target}");
    }
}

#[test]
fn our_image_is_built_for_one_service_and_pulled_for_none() {
    let (mut built, mut taken) = (Vec::new(), Vec::new());
    for (name, service) in services() {
        if !service["image"].as_str().unwrap().starts_with("freshet:") {
            assert!(service["build"].is_null(), "{name}");
        } else if service["build"].is_null() {
            assert_eq!(service["pull_policy"], "never", "{name}");
            taken.push(name);
        } else {
            assert!(service["pull_policy"].is_null(), "{name}");
            built.push(name);
        }
    }
    assert_eq!(built, ["scheduler"]);
    assert_eq!(taken, ["simulator", "worker"]);
}

#[test]
fn only_loopback_is_published_and_no_secret_is_in_the_environment() {
    for (name, service) in services() {
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let environment = service["environment"].as_object();
        for (variable, value) in environment.into_iter().flatten() {
            let secret = ["PASSWORD", "PASS", "SECRET", "TOKEN", "__URL"];
            let holds = secret.iter().any(|it| variable.contains(it));
            let address = value.as_str().is_some_and(|it| it.starts_with("http://"));
            assert!(
                !holds || variable.ends_with("_FILE") || address,
                "{name}: {variable}"
            );
        }
    }
    let example = text(".env.example");
    let set = example.lines().filter_map(|line| line.split_once('='));
    for (name, value) in set.filter(|(name, _)| name.starts_with("REDDIT_")) {
        assert!(
            value.is_empty() || name == "REDDIT_REQUESTS_PER_MINUTE",
            "{name}"
        );
    }
}

#[test]
fn prometheus_watches_every_service_that_can_be_watched() {
    let services = services();
    let scrapes = yaml("prometheus.yml");
    let mut targets = BTreeSet::new();
    for scrape in scrapes["scrape_configs"].as_array().unwrap() {
        for target in scrape["static_configs"].as_array().into_iter().flatten() {
            targets.extend(strings(&target["targets"]));
        }
        for target in scrape["dns_sd_configs"].as_array().into_iter().flatten() {
            let port = &target["port"];
            targets.extend(
                strings(&target["names"])
                    .iter()
                    .map(|it| format!("{it}:{port}")),
            );
        }
    }
    let watched: BTreeSet<&str> = targets
        .iter()
        .map(|target| match target.split(':').next().unwrap() {
            "localhost" => "prometheus",
            host => host,
        })
        .collect();
    // Those are watched by their exporters, or are none, for the reasons that prometheus.yml gives.
    let unwatched = ["grafana", "postgres", "redis", "secrets", "simulator"];
    let all: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    let expected = all.into_iter().filter(|it| !unwatched.contains(it));
    assert_eq!(watched, expected.collect());
    for name in watched {
        let networks = strings(&services[name]["networks"]);
        assert!(networks.iter().any(|it| it == "monitoring"), "{name}");
    }
}

#[test]
fn what_is_mounted_is_there() {
    let declared = yaml("docker-compose.yml")["volumes"].clone();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, service) in services() {
        for mount in strings(&service["volumes"]) {
            let (from, _) = mount.split_once(':').unwrap();
            if from.starts_with("./") {
                assert!(root.join(from).exists(), "{name}: {from}");
            } else {
                assert!(declared.get(from).is_some(), "{name}: {from}");
            }
        }
    }
}

#[test]
fn both_sources_speak_of_the_same_services() {
    let names = |file: &str| -> Vec<String> {
        let source = yaml(file);
        let services = source["services"].as_object().unwrap();
        services.keys().cloned().collect()
    };
    let simulated = names("compose/source.yml");
    assert_eq!(simulated, names("compose/source-reddit.yml"));
    for name in simulated {
        let extends = &services()[&name]["extends"];
        assert_eq!(extends["service"], name);
        let file = "compose/source${REDDIT_CLIENT_ID:+-reddit}.yml";
        assert_eq!(extends["file"], file);
    }
    // Every variable that somebody may set is explained.
    let example = text(".env.example");
    for file in ["docker-compose.yml", "compose/source-reddit.yml"] {
        for part in text(file).split("${").skip(1) {
            let end = part.find([':', '}']).unwrap();
            let name = &part[..end];
            assert!(example.contains(&format!("\n{name}=")), "{name}");
        }
    }
}
