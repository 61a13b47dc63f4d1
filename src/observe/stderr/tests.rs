//! What happens to standard error, played on a writer of the test's own.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};

const SOON: Duration = Duration::from_secs(30);

/// Each write waits to be told how it ends; what was written goes to the test.
struct Played {
    ends: Receiver<io::Result<usize>>,
    written: Sender<String>,
}

impl Write for Played {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.ends.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let _ = self.written.send(text);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn played() -> (Stderr, Sender<io::Result<usize>>, Receiver<String>) {
    let ((end, ends), (written, seen)) = (channel(), channel());
    let stderr = Stderr::start(Box::new(Played { ends, written }));
    (stderr, end, seen)
}

fn all() -> io::Result<usize> {
    Ok(usize::MAX)
}

fn full() -> io::Result<usize> {
    Err(ErrorKind::StorageFull.into())
}

#[test]
fn nobody_waits_for_a_reader_that_stopped_and_what_waits_is_bounded() {
    let (stderr, end, seen) = played();
    let counter = IntCounter::new("lost", "lost").unwrap();
    stderr.count_lost(counter.clone());
    let line = vec![b'x'; 1_000];
    for _ in 0..20_000 {
        stderr.push(line.clone());
    }
    let waiting = {
        let state = stderr.lock();
        assert!(state.bytes <= MAX_BYTES);
        assert!(state.lines.iter().map(Vec::len).sum::<usize>() <= MAX_BYTES);
        state.lines.len() as u64 + u64::from(state.writing)
    };
    assert_eq!(counter.get() + waiting, 20_000, "each is there or counted");
    assert!(!stderr.flush_for(Duration::from_millis(1)));
    // Notes of a command do not each wait in vain.
    let begun = Instant::now();
    for _ in 0..1_000 {
        stderr.drain(Duration::from_secs(1));
    }
    assert!(begun.elapsed() < SOON);
    // The reader comes back.
    drop(end);
    assert!(stderr.flush_for(SOON));
    let lines: Vec<String> = seen.try_iter().collect();
    let noted = lines
        .iter()
        .filter(|line| line.contains("were lost"))
        .count();
    // Two where the first line was taken when others had been lost already.
    assert!((1..=2).contains(&noted), "{noted}");
    assert_eq!(stderr.lock().lost.untold, 0);
}

#[test]
fn what_cannot_be_written_is_counted_and_told_once_writing_works_again() {
    for shape in [Shape::Text, Shape::Json] {
        let (stderr, end, seen) = played();
        stderr.shape(shape);
        for _ in 0..3 {
            end.send(full()).unwrap();
            stderr.push(b"lost\n".to_vec());
        }
        assert!(stderr.flush_for(SOON));
        // As far as the first half of the note, and then the disk is full again.
        end.send(Ok(5)).unwrap();
        end.send(full()).unwrap();
        stderr.push(b"torn\n".to_vec());
        assert!(stderr.flush_for(SOON));
        let counter = IntCounter::new("lost", "lost").unwrap();
        stderr.count_lost(counter.clone());
        assert_eq!(
            counter.get(),
            4,
            "also what was lost before anybody counted"
        );
        end.send(all()).unwrap();
        stderr.push(b"seen\n".to_vec());
        assert!(stderr.flush_for(SOON));
        end.send(all()).unwrap();
        stderr.push(b"next\n".to_vec());
        assert!(stderr.flush_for(SOON));
        let text: String = seen.try_iter().collect();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let [note, "seen", "next"] = lines[..] else {
            panic!("{text}");
        };
        match shape {
            Shape::Text => assert!(note.contains("lines=4"), "{note}"),
            Shape::Json => {
                let note: serde_json::Value = serde_json::from_str(note).unwrap();
                assert_eq!(
                    (&note["level"], &note["lines"]),
                    (&"WARN".into(), &"4".into())
                );
            }
        }
    }
}

#[test]
fn a_drawing_is_replaced_where_it_is_by_the_next_and_by_a_line() {
    let (stderr, end, seen) = played();
    drop(end);
    for text in ["\rone", "\rtwo", "line\n", "\rthree"] {
        stderr.push(text.into());
    }
    assert!(stderr.flush_for(SOON));
    assert_eq!(
        seen.try_iter().collect::<String>(),
        "\rone\rtwo\r\u{1b}[2Kline\n\rthree"
    );
}

#[test]
fn a_descriptor_that_somebody_made_non_blocking_loses_nothing() {
    let (stderr, end, seen) = played();
    for ends in [
        Err(ErrorKind::WouldBlock.into()),
        Ok(2),
        Err(ErrorKind::Interrupted.into()),
        Err(ErrorKind::WouldBlock.into()),
        all(),
    ] {
        end.send(ends).unwrap();
    }
    stderr.push(b"whole\n".to_vec());
    assert!(stderr.flush_for(SOON));
    assert_eq!(seen.try_iter().collect::<String>(), "whole\n");
    assert_eq!(stderr.lock().lost.total, 0);
}
