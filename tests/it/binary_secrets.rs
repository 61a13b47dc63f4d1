//! With everything logged, and with everything going wrong that has to do with secrets, none of them
//! is ever shown.

use super::support::binary::{Home, PATIENCE};
use super::support::postgres::fresh_database;
use super::support::redis::RedisServer;
use super::support::wire::{Wire, port};
use super::support::world::World;
use freshet::simulator::{Endpoint, Fault, SimulatorOptions};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CLIENT_SECRET: &str = "client-secret-sesame";
const PASSWORD: &str = "account-password-sesame";
const DATABASE_PASSWORD: &str = "database-password-sesame";
const QUEUE_PASSWORD: &str = "queue-password-sesame";

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
        credentials: Some(("the-client-id".to_owned(), CLIENT_SECRET.to_owned())),
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
    let database = database.replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
    let database_wire = Wire::to(port(&database)).await;
    let queue = redis.url();
    let queue = queue.replace("redis://", &format!("redis://:{QUEUE_PASSWORD}@"));
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
        ("FRESHET_REDDIT__CLIENT_ID", "the-client-id"),
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
    let wrong = queue.replace(QUEUE_PASSWORD, &format!("{QUEUE_PASSWORD}-wrong"));
    command.envs(variables).env("FRESHET_QUEUE__URL", wrong);
    let ended = super::support::binary::finish(&mut command).await;
    let ended = ended
        .ended_with(1)
        .says(&["queue.url", "Check the user and the password"]);
    shown.push(ended.stderr);

    let mut secrets = tokens.lock().unwrap().clone();
    assert!(secrets.len() > 1 && secrets.iter().all(|it| it.len() > 8));
    let basic = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("the-client-id:{CLIENT_SECRET}"),
    );
    secrets.push(basic);
    secrets.extend([CLIENT_SECRET, PASSWORD, DATABASE_PASSWORD, QUEUE_PASSWORD].map(str::to_owned));
    for secret in &secrets {
        for text in &shown {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{secret} in {line:?}");
        }
    }
}
