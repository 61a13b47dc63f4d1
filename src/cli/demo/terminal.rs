//! The terminal that the live view is drawn on, by a thread of its own.
//!
//! A terminal that nobody reads blocks whoever writes to it. That is this thread, and nobody waits for
//! it: not the service behind the view, and not its end.

use super::screen::{Screen, draw};
use anyhow::{Context, bail};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{self, stdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the last frame and the way back may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// A terminal in raw mode, with the view on it. Dropping it gives the terminal back.
pub(super) struct View {
    screen: Arc<Mutex<Screen>>,
    /// Holds one wish to draw; more are none while that is not done.
    redraw: Option<SyncSender<()>>,
    ended: Receiver<io::Result<()>>,
}

impl View {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where there is none that can be drawn on.
    pub(super) fn start(screen: Screen) -> anyhow::Result<View> {
        enable_raw_mode().context("the terminal cannot be drawn on; --plain")?;
        let screen = Arc::new(Mutex::new(screen));
        let (redraw, wishes) = sync_channel(1);
        let (sender, ended) = sync_channel(1);
        let shown = Arc::clone(&screen);
        let view = View {
            screen,
            redraw: Some(redraw),
            ended,
        };
        thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || {
                let drawn = draw_until_closed(&shown, &wishes);
                let _ = sender.send(drawn);
            })
            .context("the live view cannot be started; --plain")?;
        Ok(view)
    }

    /// What is drawn next.
    pub(super) fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the screen drawn, once what is drawn now is.
    ///
    /// # Errors
    /// Where the terminal cannot be drawn on any more.
    pub(super) fn redraw(&self) -> anyhow::Result<()> {
        match self.ended.try_recv() {
            Ok(Err(error)) => {
                return Err(error).context("the terminal cannot be drawn on; --plain");
            }
            Ok(Ok(())) | Err(TryRecvError::Disconnected) => {
                bail!("the live view was interrupted")
            }
            Err(TryRecvError::Empty) => {}
        }
        if let Some(redraw) = &self.redraw {
            let _ = redraw.try_send(());
        }
        Ok(())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.redraw.take());
        let ended = self.ended.recv_timeout(LEAVE_LIMIT);
        if matches!(ended, Err(RecvTimeoutError::Timeout)) {
            // Nobody reads it. Keys are to be seen again all the same, which needs no writing.
            let _ = disable_raw_mode();
        }
    }
}

fn draw_until_closed(screen: &Mutex<Screen>, wishes: &Receiver<()>) -> io::Result<()> {
    let _restore = Restore;
    execute!(stdout(), EnterAlternateScreen)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    while wishes.recv().is_ok() {
        // The screen is held while it is laid out, and no longer while it is written.
        terminal.draw(|frame| {
            let screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            draw(frame, &screen);
        })?;
    }
    Ok(())
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}
