//! The live view: reads what the pipeline does and draws it twice a second, until told to end.

use super::screen::Screen;
use super::terminal::View;
use crate::app::Running;
use crate::metrics::Metrics;
use crate::observe::{RecentLines, read_status};
use anyhow::bail;
use prometheus::proto::MetricFamily;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;

const REDRAW: Duration = Duration::from_millis(500);
/// How soon the thread that reads keys notices that nobody wants them any more.
const KEY_LOOK: Duration = Duration::from_millis(100);
/// Log lines that are kept at hand for a tall terminal.
const LOG_LINES: usize = 50;

/// Draws until dropped, which gives the terminal back, or until the user insists on the end: `q` or
/// Ctrl-C stops the pipeline in order, a second one is an error of its own.
///
/// # Errors
/// A terminal that cannot be drawn on, and [`Insisted`].
pub(super) async fn show(
    running: &Running,
    lines: &RecentLines,
    database: Option<&str>,
) -> anyhow::Result<()> {
    let view = View::start(Screen::new(running.listen, database))?;
    let mut keys = read_keys();
    let metrics = &running.health.metrics;
    let mut tick = tokio::time::interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let now_ms = (running.health.now_ms)();
                let (store, queue) = (&running.health.store, &running.health.queue);
                let live = Some(&*running.health.live);
                let status = read_status(store, Some(queue), live, now_ms).await.ok();
                let requests = total(metrics, "freshet_api_requests_total");
                view.screen().note(now_ms, status, requests);
            }
            key = keys.recv() => match key {
                Some(Wish::Stop) if running.stop.is_cancelled() => return Err(Insisted.into()),
                Some(Wish::Stop) => running.stop.cancel(),
                Some(Wish::Redraw) => {}
                None => bail!("the keyboard cannot be read; --plain"),
            }
        }
        let newest = lines.last(LOG_LINES);
        {
            let mut screen = view.screen();
            screen.stopping = running.stop.is_cancelled();
            screen.lines = newest;
        }
        view.redraw()?;
    }
}

/// The user asked a second time.
#[derive(Debug, thiserror::Error)]
#[error("stopped at once; what was cut off is gone with the demo")]
pub(super) struct Insisted;

enum Wish {
    Stop,
    Redraw,
}

/// Keys come one by one and unseen, so Ctrl-C is a key here and no signal.
fn read_keys() -> UnboundedReceiver<Wish> {
    let (sender, keys) = unbounded_channel();
    // It waits for input, which no task may do. It ends once nobody listens.
    std::thread::spawn(move || read_until_closed(&sender));
    keys
}

fn read_until_closed(sender: &UnboundedSender<Wish>) {
    while !sender.is_closed() {
        let wish = match event::poll(KEY_LOOK) {
            Ok(false) => continue,
            Ok(true) => match event::read() {
                Ok(Event::Key(key)) if stops(key) => Wish::Stop,
                Ok(Event::Resize(..)) => Wish::Redraw,
                Ok(_) => continue,
                Err(_) => return,
            },
            Err(_) => return,
        };
        if sender.send(wish).is_err() {
            return;
        }
    }
}

fn stops(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('c') => control,
            KeyCode::Char('q' | 'Q') => !control,
            _ => false,
        }
}

/// A counter's sum over its labels.
fn total(metrics: &Metrics, name: &str) -> f64 {
    let families = metrics.gather();
    let family = families.iter().find(|family| family.name() == name);
    family.map_or(0.0, |family: &MetricFamily| {
        family
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .sum()
    })
}
