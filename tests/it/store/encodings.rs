//! Every text that Reddit may send is stored, whatever the server's encoding, or the database is refused.

use super::archived::record;
use super::fixtures::{NOW, World, seen_with};
use crate::support::postgres::{database_in, fresh_database};
use freshet::store::{Store, StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_encoding_lacks_characters_is_refused_with_what_to_do() {
    for encoding in ["LATIN1", "LATIN9", "WIN1252", "EUC_JP"] {
        let url = database_in(encoding).await;
        let error = Store::connect(&url, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Encoding(_)), "{error:?}");
        assert!(!error.is_unavailable());
        let said = error.advised();
        assert!(said.contains(encoding), "{said}");
        assert!(said.contains("createdb -E UTF8 -T template0"), "{said}");
        assert!(!said.contains(&url));
    }
}

/// NUL, characters of every length, lone surrogates, direction marks, what JSON escapes, and a BOM.
const TEXT: &str =
    r#"a\u0000b é 🦀 \ud800 \u202e \u2028 \\ \" \ufeff \u0085 \ue000 \uffff &amp; \u007f"#;
const FIELDS: [&str; 9] = [
    "subreddit",
    "author",
    "title",
    "selftext",
    "url",
    "permalink",
    "domain",
    "link_flair_text",
    "removed_by_category",
];

async fn every_text_column_holds_it(world: &World) {
    for (number, field) in FIELDS.iter().enumerate() {
        let name = |way: &str| format!("{way}{number}");
        let fields = format!(r#","{field}":"{TEXT}","more \ud800 \u0000":["{TEXT}"]"#);
        let listed = seen_with(&name("l"), NOW, &fields);
        let fetched = seen_with(&name("f"), NOW, &fields);
        let kept = seen_with(&name("k"), NOW, &fields);
        assert_eq!(world.list(std::slice::from_ref(&listed)).await.fresh, [0]);
        assert_eq!(
            world.fetch(std::slice::from_ref(&fetched)).await.changed,
            [0]
        );
        let archived = std::slice::from_ref(&kept);
        let archived = world
            .store
            .record_archived(&record(archived))
            .await
            .unwrap();
        assert_eq!(archived.fresh, 1, "{field}");
        for observation in [&listed, &fetched, &kept] {
            let row = world.store.submission(&observation.submission.id).await;
            let row = row.unwrap().unwrap();
            assert_eq!(row.raw, observation.raw.get(), "{field}");
            let columns = [
                (&row.subreddit, &observation.submission.subreddit),
                (&row.author, &observation.submission.author),
                (&row.title, &observation.submission.title),
                (&row.selftext, &observation.submission.selftext),
                (&row.url, &observation.submission.url),
                (&row.permalink, &observation.submission.permalink),
                (&row.domain, &observation.submission.domain),
                (
                    &row.link_flair_text,
                    &observation.submission.link_flair_text,
                ),
                (&row.removed_by, &observation.submission.removed_by),
            ];
            let text = observation.submission.clone();
            assert!(
                [
                    text.subreddit,
                    text.author,
                    text.title,
                    text.selftext,
                    text.url,
                    text.permalink,
                    text.domain,
                    text.link_flair_text,
                    text.removed_by
                ]
                .iter()
                .flatten()
                .count()
                    == 1
            );
            for (column, observed) in columns {
                let held = observed.as_ref().map(|text| {
                    if world.is_postgres() {
                        text.replace('\0', "")
                    } else {
                        text.clone()
                    }
                });
                assert_eq!(*column, held, "{field}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_column_holds_every_text_in_sqlite() {
    every_text_column_holds_it(&World::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_column_holds_every_text_in_a_database_of_either_encoding() {
    let databases = [fresh_database().await, database_in("SQL_ASCII").await];
    for url in databases {
        every_text_column_holds_it(&World::at(url).await).await;
    }
}
