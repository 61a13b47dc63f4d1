//! What reading a dump costs: a made-up month of everything, decompressed alone, one subreddit picked
//! out of it, and all of it read. `cargo bench --bench dump`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says where")]

use freshet::source::{Dump, DumpProgress, Input, Selection};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Decompressed bytes of one frame; there are [`FRAMES`] of them, all the same, since to compress as
/// dumps are compressed takes far longer than all that is measured.
const FRAME: usize = 48 << 20;
const FRAMES: usize = 24;
const LEVEL: i32 = 19;
const WINDOW_LOG: u32 = 27;
/// One line in so many is of the subreddit that is picked.
const PICKED: usize = 1000;
const NOW_MS: i64 = 2_000_000_000_000;
/// The best of so many runs: what else the machine does only slows.
const RUNS: usize = 3;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("RS_2024-01.zst");
    let begun = Instant::now();
    let (lines, bytes) = make(&path);
    let size = fs::metadata(&path).unwrap().len();
    println!(
        "made in {:.0?}: {lines} lines, {} MB, {} MB compressed (1:{:.1}), {} bytes a line",
        begun.elapsed(),
        bytes / 1_000_000,
        size / 1_000_000,
        ratio(bytes, size),
        bytes / lines
    );
    let alone = best(|| decompress(&path));
    report("decompression alone", alone, lines, bytes);
    let picking = best(|| {
        let progress = read(&path, Some("picked"));
        assert_eq!((progress.lines, progress.bytes), (lines, bytes));
        assert_eq!(progress.selected, lines.div_ceil(PICKED as u64));
        assert_eq!(progress.rejected, 0);
    });
    report("picking one subreddit", picking, lines, bytes);
    println!(
        "  {:.2} of the speed of decompression alone",
        alone.as_secs_f64() / picking.as_secs_f64()
    );
    let all = best(|| assert_eq!(read(&path, None).selected, lines));
    report("reading all", all, lines, bytes);
}

fn report(what: &str, took: Duration, lines: u64, bytes: u64) {
    let seconds = took.as_secs_f64();
    println!(
        "{what}: {:.0} MB/s, {:.0} lines/s, peak memory {}",
        ratio(bytes, 1_000_000) / seconds,
        ratio(lines, 1) / seconds,
        peak()
    );
    forget_peak();
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

fn best(mut run: impl FnMut()) -> Duration {
    forget_peak();
    let timed = (0..RUNS).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    });
    timed.min().unwrap()
}

fn decompress(path: &Path) {
    let mut decoder = zstd::Decoder::new(File::open(path).unwrap()).unwrap();
    decoder.window_log_max(31).unwrap();
    let mut buffer = vec![0; 1 << 19];
    while decoder.read(&mut buffer).unwrap() > 0 {}
}

fn read(path: &Path, subreddit: Option<&str>) -> DumpProgress {
    let selection = Selection {
        subreddit: subreddit.map(|name| name.parse().unwrap()),
        start: 0,
        end: i64::MAX,
    };
    let mut dump = Dump::open(&Input::File(PathBuf::from(path))).unwrap();
    while let Some(batch) = dump.next_batch(&selection, 500, NOW_MS).unwrap() {
        drop(batch);
    }
    dump.progress()
}

/// Writes the dump; how many lines and bytes it has.
fn make(path: &Path) -> (u64, u64) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let words = vocabulary(&mut random);
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(WINDOW_LOG).unwrap();
    encoder.include_checksum(true).unwrap();
    let (mut lines, mut bytes) = (0, 0);
    // A whole number of thousands, so that the share of the picked is the same in every frame.
    while bytes < FRAME || lines % PICKED != 0 {
        let name = if lines % PICKED == 0 {
            "Picked".to_owned()
        } else {
            format!("{}{}", words[skewed(&mut random, 4_000)], lines % 3)
        };
        let line = line(&mut random, &words, lines, &name);
        encoder.write_all(line.as_bytes()).unwrap();
        bytes += line.len();
        lines += 1;
    }
    let frame = encoder.finish().unwrap();
    let mut file = File::create(path).unwrap();
    for _ in 0..FRAMES {
        file.write_all(&frame).unwrap();
    }
    ((lines * FRAMES) as u64, (bytes * FRAMES) as u64)
}

fn vocabulary(random: &mut ChaCha8Rng) -> Vec<String> {
    let syllables = [
        "ba", "co", "de", "fi", "gu", "ha", "in", "jo", "ka", "lo", "me", "no", "re", "st",
    ];
    let mut word = |_| {
        let length = random.random_range(1..5);
        let syllable = |_| syllables[random.random_range(0..syllables.len())];
        (0..length).map(syllable).collect()
    };
    (0..20_000).map(&mut word).collect()
}

/// Below `most`, small ones far more often, as words and subreddits are.
fn skewed(random: &mut ChaCha8Rng, most: usize) -> usize {
    let uniform: f64 = random.random();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (uniform.powi(4) * most as f64) as usize;
    rank
}

fn text(random: &mut ChaCha8Rng, words: &[String], count: usize) -> String {
    let mut text = String::new();
    for at in 0..count {
        text.push_str(&words[skewed(random, words.len())]);
        text.push_str(match at % 11 {
            10 => ".\\n\\n",
            7 => " \\\"so\\\" ",
            _ => " ",
        });
    }
    text
}

/// An object with the fields of 2024's dumps, their keys sorted.
fn line(random: &mut ChaCha8Rng, words: &[String], number: usize, subreddit: &str) -> String {
    let number = number as u64;
    let id = 18_000_000_000 + number;
    let (created, account) = (1_704_067_200 + number / 12, random.random::<u32>());
    let (picture, signature) = (random.random::<u64>(), random.random::<u128>());
    let title_length = random.random_range(3..16);
    let title = text(random, words, title_length);
    let is_self = random.random_bool(0.45);
    let selftext = if is_self {
        let length = random.random_range(5..220);
        text(random, words, length)
    } else {
        String::new()
    };
    let author = format!("{}{}", words[skewed(random, words.len())], account % 9_973);
    let mut line = String::with_capacity(4_096);
    let _ = write!(
        line,
        r#"{{"_meta":{{"retrieved_2nd_on":{}}},"all_awardings":[],"allow_live_comments":false,"approved_at_utc":null,"approved_by":null,"archived":false,"author":"{author}","author_flair_background_color":null,"author_flair_css_class":null,"author_flair_richtext":[],"author_flair_template_id":null,"author_flair_text":null,"author_flair_text_color":null,"author_flair_type":"text","author_fullname":"t2_{account:x}","author_is_blocked":false,"author_patreon_flair":false,"author_premium":false,"awarders":[],"banned_at_utc":null,"banned_by":null,"can_gild":false,"can_mod_post":false,"category":null,"clicked":false,"content_categories":null,"contest_mode":false,"created":{created},"created_utc":{created},"discussion_type":null,"distinguished":null,"domain":"{}","downs":0,"edited":false,"gilded":0,"gildings":{{}},"hidden":false,"hide_score":false,"id":"{id:x}","is_created_from_ads_ui":false,"is_crosspostable":true,"is_meta":false,"is_original_content":false,"is_reddit_media_domain":false,"is_robot_indexable":true,"is_self":{is_self},"is_video":false,"likes":null,"link_flair_background_color":"","link_flair_css_class":null,"link_flair_richtext":[],"link_flair_text":null,"link_flair_text_color":"dark","link_flair_type":"text","locked":false,"media":null,"media_embed":{{}},"media_only":false,"mod_note":null,"mod_reason_by":null,"mod_reason_title":null,"mod_reports":[],"name":"t3_{id:x}","no_follow":true,"num_comments":{},"num_crossposts":0,"num_reports":null,"over_18":false,"parent_whitelist_status":"all_ads","permalink":"/r/{subreddit}/comments/{id:x}/{}/","pinned":false,"#,
        created + 130_000 + number % 977,
        if is_self {
            format!("self.{subreddit}")
        } else {
            "i.redd.it".to_owned()
        },
        random.random_range(0..90),
        author,
    );
    if !is_self {
        let _ = write!(
            line,
            r#""post_hint":"image","preview":{{"enabled":true,"images":[{{"id":"{signature:x}","resolutions":["#
        );
        for width in [108, 216, 320, 640, 960] {
            let cut = random.random::<u128>();
            let _ = write!(
                line,
                r#"{{"height":{},"url":"https://preview.redd.it/{picture:x}.jpg?width={width}&crop=smart&auto=webp&s={cut:032x}","width":{width}}},"#,
                width * 3 / 4
            );
        }
        line.pop();
        let _ = write!(
            line,
            r#"],"source":{{"height":1080,"url":"https://preview.redd.it/{picture:x}.jpg?auto=webp&s={signature:032x}","width":1440}},"variants":{{}}}}]}},"#
        );
    }
    let _ = write!(
        line,
        r#""pwls":6,"quarantine":false,"removal_reason":null,"removed_by":null,"removed_by_category":null,"report_reasons":null,"retrieved_on":{},"saved":false,"score":{},"secure_media":null,"secure_media_embed":{{}},"selftext":"{selftext}","send_replies":true,"spoiler":false,"stickied":false,"subreddit":"{subreddit}","subreddit_id":"t5_{:x}","subreddit_name_prefixed":"r/{subreddit}","subreddit_subscribers":{},"subreddit_type":"public","suggested_sort":null,"thumbnail":"self","thumbnail_height":null,"thumbnail_width":null,"title":"{title}","top_awarded_type":null,"total_awards_received":0,"treatment_tags":[],"ups":{},"upvote_ratio":0.{},"url":"https://i.redd.it/{picture:x}.jpg","user_reports":[],"view_count":null,"visited":false,"whitelist_status":"all_ads","wls":6}}"#,
        created + 17,
        skewed(random, 9_000),
        subreddit.len() * 7_919,
        subreddit.len() * 104_729,
        skewed(random, 9_000),
        random.random_range(50..99),
    );
    line.push('\n');
    line
}

/// The most memory that was resident since [`forget_peak`], in the system's words.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    line.map_or("unknown", str::trim).to_owned()
}

/// Where the system does not know how, the peak stays that of all before, too.
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}
