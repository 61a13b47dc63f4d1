//! With everything logged, and with everything going wrong that has to do with secrets, none of them
//! is ever shown.

use super::support::binary::{Home, PATIENCE};
use super::support::postgres::{PostgresServer, fresh_database};
use super::support::redis::RedisServer;
use super::support::wire::{Wire, port};
use super::support::world::World;
use freshet::simulator::{Endpoint, Fault, SimulatorOptions};
use sqlx::{Connection, PgConnection};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CLIENT_ID: &str = "the-client-id";
/// None is written alike in a URL, in a form, in JSON and as it is.
const CLIENT_SECRET: &str = "client/secret+\"sesame\"";
const PASSWORD: &str = "account p&ssword=sesame";
const DATABASE_PASSWORD: &str = "database/p@ssword%sesame";
const QUEUE_PASSWORD: &str = "queue/p@ssword%sesame";

/// Every byte that may need it, as in a URL.
fn escaped(secret: &str) -> String {
    let escape = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    secret.bytes().map(escape).collect()
}

/// A secret in every spelling in which it could get out.
fn spellings(secret: &str) -> Vec<String> {
    let list = format!("{:?}", secret.as_bytes());
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut spellings = vec![
        secret.to_owned(),
        escaped(secret),
        escaped(secret).to_lowercase(),
        form,
        serde_json::to_string(secret)
            .unwrap()
            .trim_matches('"')
            .to_owned(),
        list.trim_matches(['[', ']']).to_owned(),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    // Within longer base64, wherever it begins: the characters that are made of it alone.
    for before in 0..3 {
        let text = format!("{}{secret}", "x".repeat(before));
        let whole = text.len() * 8 / 6;
        for engine in [
            &base64::engine::general_purpose::STANDARD,
            &base64::engine::general_purpose::URL_SAFE,
        ] {
            let coded = base64::Engine::encode(engine, &text);
            spellings.push(coded[(before * 8).div_ceil(6)..whole].to_owned());
        }
    }
    spellings
}

#[test]
fn a_secret_is_recognised_in_every_spelling() {
    let found = |text: &str| spellings(CLIENT_SECRET).iter().any(|it| text.contains(it));
    let engine = &base64::engine::general_purpose::STANDARD;
    for before in ["", "a", "ab", "abc", "the-client-id:"] {
        let text = format!("{before}{CLIENT_SECRET} and more");
        assert!(found(&base64::Engine::encode(engine, &text)), "{before}");
        assert!(found(&serde_json::to_string(&text).unwrap()));
        assert!(found(&format!("{:?}", text.as_bytes())));
        assert!(found(&escaped(&text)));
    }
    assert!(!found("client/secret"));
}

/// Mistakes of configuration: the program ends at once and says which, but never what was set.
async fn mistakes(shown: &mut Vec<String>) {
    let wrong = [
        [(
            "DATABASE__URL",
            format!("mysql://root:{}@db/x", escaped(DATABASE_PASSWORD)),
        )]
        .to_vec(),
        [(
            "DATABASE__URL",
            format!("postgres://root:{DATABASE_PASSWORD}@db:x/x"),
        )]
        .to_vec(),
        [("QUEUE__URL", format!("redis://:{QUEUE_PASSWORD}@[cache"))].to_vec(),
        [("QUEUE__URL", QUEUE_PASSWORD.to_owned())].to_vec(),
        [("REDDIT__CLIENT_SECRET", CLIENT_SECRET.to_owned())].to_vec(),
        [("REDDIT__CLIENT_SECRET", format!("{CLIENT_SECRET}\nagain"))].to_vec(),
        [("REDDIT__CLIENT_ID", format!("{CLIENT_ID}:{CLIENT_SECRET}"))].to_vec(),
        [("REDDIT__PASSWORD", PASSWORD.to_owned())].to_vec(),
        [(
            "REDDIT__API_URL",
            format!("https://me:{}@reddit/", escaped(PASSWORD)),
        )]
        .to_vec(),
        [(
            "REDDIT__API_URL",
            format!("https://reddit/?p={}", escaped(PASSWORD)),
        )]
        .to_vec(),
        [
            ("REDDIT__PASSWORD", PASSWORD.to_owned()),
            ("REDDIT__PASSWORD_FILE", "nowhere".to_owned()),
        ]
        .to_vec(),
    ];
    let home = Home::new();
    for variables in wrong {
        let mut command = home.command(&["run"]);
        command
            .env("FRESHET_LOG", "trace")
            .env("FRESHET_HTTP__LISTEN", "127.0.0.1:0");
        for (name, value) in &variables {
            command.env(format!("FRESHET_{name}"), value);
        }
        let ended = super::support::binary::finish(&mut command)
            .await
            .ended_with(2);
        shown.extend([ended.stdout, ended.stderr]);
    }
    let secret = format!(
        "client_secret = \"{}\nclient_id = 1\n",
        CLIENT_SECRET.replace('"', "")
    );
    home.write("freshet.toml", &format!("[reddit]\n{secret}"));
    let ended = home.run(&["status"]).await.ended_with(2);
    assert!(ended.stderr.contains("line 2"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("sesame"), "{}", ended.stderr);
}

/// A wire to the simulated Reddit that notes the tokens that are given out.
async fn listen_in(world: &World, tokens: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = port(&world.url());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let (mut near_in, mut near_out) = near.into_split();
            let (mut far_in, mut far_out) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
            let tokens = Arc::clone(&tokens);
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length @ 1..) = far_in.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let after = text.split("\"access_token\":").nth(1);
                    if let Some(token) = after.and_then(|it| it.split('"').nth(1)) {
                        tokens.lock().unwrap().push(token.to_owned());
                    }
                    if near_out.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn no_secret_is_shown_whatever_goes_wrong() {
    let world = World::start(SimulatorOptions {
        subreddits: vec![("rust".parse().unwrap(), 200.0)],
        credentials: Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())),
        gzip: false,
        account: Some(("someone".to_owned(), PASSWORD.to_owned())),
        ..SimulatorOptions::default()
    })
    .await;
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let reddit = listen_in(&world, Arc::clone(&tokens)).await;
    let redis = RedisServer::start();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg(QUEUE_PASSWORD);
    let () = set.query_async(&mut admin).await.unwrap();
    let database = fresh_database().await;
    let database = database.replace(
        "postgres@",
        &format!("postgres:{}@", escaped(DATABASE_PASSWORD)),
    );
    let database_wire = Wire::to(port(&database)).await;
    let queue = redis.url();
    let queue = queue.replace(
        "redis://",
        &format!("redis://:{}@", escaped(QUEUE_PASSWORD)),
    );
    let queue_wire = Wire::to(port(&queue)).await;

    let home = Home::new();
    let secret = home.write("secret", CLIENT_SECRET);
    let (database, queue) = (database_wire.lead(&database), queue_wire.lead(&queue));
    let variables = [
        ("FRESHET_LOG", "trace"),
        ("FRESHET_HTTP__LISTEN", "127.0.0.1:0"),
        ("FRESHET_DATABASE__URL", database.as_str()),
        ("FRESHET_QUEUE__URL", queue.as_str()),
        ("FRESHET_REDDIT__API_URL", reddit.as_str()),
        ("FRESHET_REDDIT__AUTH_URL", reddit.as_str()),
        ("FRESHET_REDDIT__CLIENT_ID", CLIENT_ID),
        (
            "FRESHET_REDDIT__CLIENT_SECRET_FILE",
            secret.to_str().unwrap(),
        ),
        ("FRESHET_REDDIT__USERNAME", "someone"),
        ("FRESHET_REDDIT__PASSWORD", PASSWORD),
        ("FRESHET_REDDIT__REQUESTS_PER_MINUTE", "100000"),
        ("FRESHET_DISCOVER__INTERVAL", "1s"),
    ];
    let mut command = home.command(&["run", "rust"]);
    let mut run = super::support::binary::Process::start(command.envs(variables));
    let mut served = String::new();
    run.until_status("something is fetched", |it| {
        it["fetched"].as_i64() > Some(0)
    })
    .await;

    // Reddit forgets the token, refuses a new one, and takes both again.
    world.outage(Fault::LostToken);
    let before = world.answered(Endpoint::Token);
    world.publish("rust", None);
    world
        .until("tokens are refused", |_| {
            world.answered(Endpoint::Token) > before + 1
        })
        .await;
    world.quick();
    // The servers go away and come back.
    for wire in [&database_wire, &queue_wire] {
        wire.cut();
        served += &run.until_code("/readyz", 503).await;
        wire.mend();
        served += &run.until_code("/readyz", 200).await;
    }
    let fetched = run.status().await["fetched"].as_i64();
    world.publish("rust", None);
    run.until_status("it goes on", |it| it["fetched"].as_i64() > fetched)
        .await;
    for path in ["/", "/metrics", "/api/v1/status", "/healthz", "/readyz"] {
        served += &run.get(path).await.unwrap().1;
    }
    run.signal("TERM");
    assert!(run.end(PATIENCE).await.success());

    let mut shown = vec![run.stdout(), run.stderr(), served];
    assert!(shown[1].contains("TRACE"), "everything was logged");
    // Other commands with the same configuration, and one with a wrong password.
    for line in [
        &["status"][..],
        &["status", "--json"],
        &["subreddits", "list"],
    ] {
        let mut command = home.command(line);
        let ended = super::support::binary::finish(command.envs(variables)).await;
        let ended = ended.ended_with(0);
        shown.extend([ended.stdout, ended.stderr]);
    }
    let mut command = home.command(&["run"]);
    let right = escaped(QUEUE_PASSWORD);
    let wrong = queue.replace(&right, &format!("{right}-wrong"));
    command.envs(variables).env("FRESHET_QUEUE__URL", wrong);
    let ended = super::support::binary::finish(&mut command).await;
    let ended = ended
        .ended_with(1)
        .says(&["queue.url", "Check the user and the password"]);
    shown.push(ended.stderr);

    // A Postgres that asks for a password, and is told a wrong one.
    let rules = tempfile::Builder::new().tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(rules.path(), open).unwrap();
    let file = rules.path().join("hba");
    std::fs::write(
        &file,
        "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
    let guarded = PostgresServer::start_with(&format!("-c hba_file={}", file.display()));
    let mut admin = PgConnection::connect(&guarded.url("postgres"))
        .await
        .unwrap();
    sqlx::query("CREATE ROLE guarded LOGIN PASSWORD 'another'")
        .execute(&mut admin)
        .await
        .unwrap();
    let told = format!("guarded:{}@", escaped(DATABASE_PASSWORD));
    let wrong = guarded.url("postgres").replace("postgres@", &told);
    for line in [&["run"][..], &["status"], &["migrate"]] {
        let mut command = home.command(line);
        command
            .envs(variables)
            .env("FRESHET_DATABASE__URL", wrong.as_str());
        let ended = super::support::binary::finish(&mut command).await;
        let ended = ended.ended_with(1).says(&["database.url", "password"]);
        shown.extend([ended.stdout, ended.stderr]);
    }

    // A key that Reddit refuses, and the text that explains every flag.
    let mut command = home.command(&["run"]);
    command
        .envs(variables)
        .env("FRESHET_REDDIT__USERNAME", "else");
    let refused = super::support::binary::Process::start(&mut command);
    refused.said("wrong username or password").await;
    shown.extend([refused.stdout(), refused.stderr()]);
    for line in [&["--help"][..], &["run", "--help"], &["help", "status"]] {
        let mut command = home.command(line);
        let ended = super::support::binary::finish(command.envs(variables)).await;
        shown.push(ended.ended_with(0).stdout);
    }
    mistakes(&mut shown).await;

    let mut secrets = tokens.lock().unwrap().clone();
    assert!(secrets.len() > 1 && secrets.iter().all(|it| it.len() > 8));
    secrets.push(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    secrets.extend(
        [
            CLIENT_ID,
            CLIENT_SECRET,
            PASSWORD,
            DATABASE_PASSWORD,
            QUEUE_PASSWORD,
        ]
        .map(str::to_owned),
    );
    // Nor any part of a password by which it is known.
    secrets.push("sesame".to_owned());
    // Nor what people wrote.
    let mut texts = PgConnection::connect(&database).await.unwrap();
    let written: Vec<String> = sqlx::query_scalar("SELECT title FROM submissions")
        .fetch_all(&mut texts)
        .await
        .unwrap();
    let long = written.into_iter().filter(|it| it.len() > 20);
    let written: Vec<String> = long.take(20).collect();
    assert!(!written.is_empty());
    let spelt = secrets.iter().flat_map(|secret| spellings(secret));
    for spelling in spelt.chain(written) {
        for text in &shown {
            if text.contains(&spelling) {
                let line = text.lines().find(|line| line.contains(&spelling));
                panic!("{spelling} in {line:?}");
            }
        }
    }
}
