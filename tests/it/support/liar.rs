//! A Reddit that lies in many ways about what it holds.

use super::canned::{Answer, Asked, listing};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// When its worlds begin, seconds since the epoch.
pub const START: i64 = 1_790_000_000;
const LISTING: usize = 1_000;
/// Its subreddits.
pub const NAMES: [&str; 2] = ["kettles", "cups"];

/// What an answer does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lie {
    Nothing,
    /// So many seconds ahead or behind.
    Date(i64),
    /// Another lie in each answer.
    JumpingDates,
    NoDate,
    Empty,
    /// It ends after so many items, and says so.
    CutShort(usize),
    /// Some answers end early.
    CutAtTimes,
    /// Pages lose their last children, and say that the next begins behind these.
    TailsLost,
    /// It stays as it was then.
    Stale(i64),
    /// Whatever is asked for, the top comes.
    FromTheTop,
    /// The same page again, whatever anchor is asked for.
    Repeated,
    /// Old submissions of others, advertisements and comments stand among the items.
    Strangers,
    /// An item on top says that it was posted in two days.
    Future,
    /// Every third answer so many seconds ahead.
    EveryThird(i64),
}

impl Lie {
    pub fn random(rng: &mut ChaCha8Rng, now: i64) -> Lie {
        match rng.random_range(0..16) {
            0 => Lie::Date([61, 300, 3_600, 72_000, 86_399, 400_000][rng.random_range(0..6)]),
            1 => Lie::Date(-[300, 3_600, 90_000, now][rng.random_range(0..4)]),
            2 => Lie::JumpingDates,
            3 => Lie::NoDate,
            4 => Lie::Empty,
            5 => Lie::CutShort(rng.random_range(1..60)),
            6 => Lie::CutAtTimes,
            7 | 8 => Lie::Stale(now - rng.random_range(0..1_200)),
            9 => Lie::FromTheTop,
            10 => Lie::Repeated,
            11 => Lie::Strangers,
            12 => Lie::Future,
            13 => Lie::EveryThird(300),
            14 => Lie::TailsLost,
            _ => Lie::Nothing,
        }
    }
}

pub struct Post {
    pub id: String,
    pub name: usize,
    pub created: i64,
    /// When it was approved.
    pub shown_from: i64,
    pub removed: bool,
    /// Whether it is listed without a time, for ever.
    pub undated: bool,
}

impl Post {
    pub fn json(&self) -> String {
        let item = item(&self.id, NAMES[self.name], self.created);
        if !self.undated {
            return item;
        }
        let odd = ["null", r#""soon""#, "-1", "[]", r#""NaN""#, "true", "1e99"];
        let time = odd[usize::try_from(self.created).unwrap() % odd.len()];
        item.replace(&format!("{}.0", self.created), time)
    }

    pub fn is_shown(&self, name: &str, at: i64) -> bool {
        NAMES[self.name] == name && self.shown_from <= at && !self.removed
    }
}

pub fn item(id: &str, subreddit: &str, created: i64) -> String {
    format!(
        r#"{{"kind":"t3","data":{{"id":"{id}","name":"t3_{id}","created_utc":{created}.0,"title":"a","subreddit":"{subreddit}"}}}}"#
    )
}

pub struct Liar {
    pub posts: Vec<Post>,
    pub lie: Lie,
    pub rng: ChaCha8Rng,
    pub last_page: Option<(Vec<String>, Option<String>)>,
    pub answers: u32,
}

impl Liar {
    pub fn post(&mut self, name: usize, created: i64, shown_from: i64) {
        let id = format!("p{}", self.posts.len());
        self.posts.push(Post {
            id,
            name,
            created,
            shown_from,
            removed: false,
            undated: name == 0 && self.posts.len() % 48 == 5,
        });
    }

    /// What an honest listing shows, newest first.
    pub fn shown(&self, names: &[&str], at: i64) -> Vec<&Post> {
        let shown = |post: &&Post| names.iter().any(|name| post.is_shown(name, at));
        let mut shown: Vec<&Post> = self.posts.iter().filter(shown).collect();
        shown.sort_by_key(|post| {
            (
                std::cmp::Reverse(post.created),
                post.id.len(),
                post.id.clone(),
            )
        });
        shown.truncate(LISTING);
        shown
    }

    pub fn answer(&mut self, asked: &Asked, now: i64) -> Answer {
        let names = asked
            .path
            .trim_start_matches("/r/")
            .trim_end_matches("/new");
        let names: Vec<&str> = names.split('+').collect();
        let parameter = |key: &str| {
            let mut pairs = asked
                .query
                .split('&')
                .filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let limit: usize = parameter("limit").map_or(25, |it| it.parse().unwrap());
        let lie = self.lie;
        self.answers += 1;
        let at = match lie {
            Lie::Stale(then) => then,
            _ => now,
        };
        let mut shown = self.shown(&names, at);
        match lie {
            Lie::Empty => shown.clear(),
            Lie::CutShort(count) => shown.truncate(count),
            _ => {}
        }
        let anchor = parameter("after").filter(|_| lie != Lie::FromTheTop);
        let start = match anchor {
            None => 0,
            Some(anchor) => {
                let place = shown
                    .iter()
                    .position(|post| anchor.ends_with(&format!("_{}", post.id)));
                place.map_or(shown.len(), |place| place + 1)
            }
        };
        let page: Vec<&Post> = shown[start..].iter().take(limit).copied().collect();
        let more = shown.len() > start + page.len();
        let mut after = page
            .last()
            .filter(|_| more)
            .map(|post| format!("t3_{}", post.id));
        let mut children: Vec<String> = page.iter().map(|post| post.json()).collect();
        match lie {
            Lie::CutAtTimes if self.rng.random_bool(0.3) => {
                children.truncate(self.rng.random_range(0..30));
                after = None;
            }
            Lie::TailsLost => {
                let kept = self.rng.random_range(1..90);
                children.truncate(kept);
            }
            Lie::Repeated => {
                let repeated = anchor.and_then(|_| self.last_page.clone());
                (children, after) = repeated.unwrap_or((children, after));
                self.last_page = Some((children.clone(), after.clone()));
            }
            Lie::Strangers => {
                let old = START - 400_000;
                for number in 0..12 {
                    children.push(item(&format!("other{number}"), "spoons", old - number));
                    let id = format!("ad{number}");
                    children.insert(0, format!(
                        r#"{{"kind":"t3","data":{{"id":"{id}","name":"t3_{id}","created_utc":{old},"title":"ad"}}}}"#
                    ));
                    children.push(format!(
                        r#"{{"kind":"t1","data":{{"id":"{id}","name":"t1_{id}","created_utc":{old},"body":"c","link_id":"t3_p0","parent_id":"t3_p0","subreddit":"{}"}}}}"#,
                        names[0]
                    ));
                }
            }
            Lie::Future => children.insert(0, item("future", names[0], now + 172_800)),
            _ => {}
        }
        let date = match lie {
            Lie::Date(ahead) => Some(now + ahead),
            Lie::JumpingDates => Some(now + self.rng.random_range(-100_000..100_000)),
            Lie::NoDate => None,
            Lie::EveryThird(ahead) if self.answers.is_multiple_of(3) => Some(now + ahead),
            _ => Some(now),
        };
        let answer = listing(&children, after.as_deref());
        // A server adds its own where there is none; an unreadable one is none.
        let date = date.map_or("yesterday".to_owned(), |date| {
            let date = chrono::DateTime::from_timestamp(date, 0).unwrap();
            date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
        });
        answer.with("date", &date)
    }
}
