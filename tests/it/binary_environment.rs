//! What the environment and addresses hold that is no configuration: named, and never repeated.

use crate::support::binary::{Finished, Home, finish};
use tokio::process::Command;

/// A command that needs the configuration and little else.
fn migrate(home: &Home, flags: &[&str]) -> Command {
    home.command(&[&["migrate"], flags].concat())
}

async fn refused(command: &mut Command, words: &[&str]) -> Finished {
    finish(command).await.ended_with(2).says(words)
}

#[tokio::test]
async fn variables_that_others_set_for_a_service_of_this_name_are_named_once_and_ignored() {
    let home = Home::new();
    let mut command = migrate(&home, &[]);
    // As Kubernetes sets them for a service that is called freshet, and some that somebody meant.
    let variables = [
        ("FRESHET_PORT", "tcp://10.0.0.1:8080"),
        ("FRESHET_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("FRESHET_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("FRESHET_SERVICE_HOST", "10.0.0.1"),
        ("FRESHET_SERVICE_PORT_HTTP", "8080"),
        ("FRESHET_DATABASE_URL", "postgres://me:hush@host/db"),
        ("FRESHET_DATABASE_URL_FILE", "/run/hush"),
        ("FRESHET_REDDIT_CLIENT_ID", "hush"),
    ];
    for (name, value) in variables {
        command.env(name, value);
    }
    command.env("FRESHET_LOG", "info").env("FRESHET_CONFIG", "");
    let ended = finish(&mut command).await.ended_with(0).says(&[
        "did you mean FRESHET_DATABASE__URL?",
        "did you mean FRESHET_DATABASE__URL_FILE?",
        "did you mean FRESHET_REDDIT__CLIENT_ID?",
    ]);
    let told: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|it| it.contains("WARN"))
        .collect();
    assert_eq!(told.len(), 1, "{ended:#?}");
    for (name, _) in variables {
        assert!(told[0].contains(name), "{name}: {told:?}");
    }
    for word in [
        "hush",
        "10.0.0.1",
        "FRESHET_LOG",
        "FRESHET_CONFIG",
        "PORT (did",
    ] {
        assert!(!ended.stderr.contains(word), "{word}: {ended:#?}");
    }
}

#[tokio::test]
async fn a_variable_that_lacks_an_underscore_is_named_before_the_error_that_it_led_to() {
    for words in [
        &["run", "rust"][..],
        &["status"],
        &["backfill", "rust", "--since", "1d"],
        &["demo", "--plain"],
    ] {
        let home = Home::new();
        let mut command = home.command(words);
        command
            .env("FRESHET_REDDIT_CLIENT_ID", "x")
            .env("FRESHET_REDDIT__CLIENT_SECRET", "y");
        let ended = finish(&mut command).await.ended_with(2);
        let warned = ended.stderr.find("did you mean FRESHET_REDDIT__CLIENT_ID?");
        let failed = ended.stderr.find("freshet: reddit.client_");
        assert!(warned.is_some() && warned < failed, "{ended:#?}");
    }
}

#[tokio::test]
async fn an_address_with_a_parameter_that_is_not_understood_is_refused_without_its_value() {
    let home = Home::new();
    for (flag, url, key, name) in [
        (
            "--database-url",
            "postgres://h/d?sslpassword=hush",
            "database.url",
            "sslpassword",
        ),
        (
            "--database-url",
            "postgres://h/d?sslmode=require&krbsrvname=hush",
            "database.url",
            "krbsrvname",
        ),
        (
            "--queue-url",
            "redis://h/0?password=hush",
            "queue.url",
            "password",
        ),
        (
            "--queue-url",
            "redis+unix:///s?passwort=hush",
            "queue.url",
            "passwort",
        ),
        (
            "--proxy-url",
            "socks5://me:hush@proxy:1080",
            "proxy.url",
            "SOCKS",
        ),
        (
            "--proxy-url",
            "http://me:hush@proxy:1080/x",
            "proxy.url",
            "http://host:port",
        ),
        (
            "--tls-ca-file",
            "freshet.toml",
            "tls.ca_file",
            "holds no certificate",
        ),
    ] {
        home.write("freshet.toml", "");
        let ended = refused(&mut migrate(&home, &[flag, url]), &[key, name]).await;
        assert!(!ended.stderr.contains("hush"), "{ended:#?}");
    }
}
