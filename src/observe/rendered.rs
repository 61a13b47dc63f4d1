//! Answers that may be large: made once for all who ask at the same time, and only so many at once.

use super::connections::Connections;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::stream;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// Bytes of older answers that clients may still be taking when another is made. Where there are more,
/// they are waited for, and then the slowest of them are hung up on.
const MAX_OLDER: usize = 4 << 20;
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// So many pauses they are waited for, and so many it may take to hang up on them.
const PATIENT_TRIES: u32 = 200;
const ROOM_TRIES: u32 = 600;

/// What all answers share.
#[derive(Debug, Default)]
pub(super) struct Room {
    held: Arc<AtomicUsize>,
    connections: Connections,
}

impl Room {
    pub(super) fn new(connections: Connections) -> Room {
        Room {
            held: Arc::default(),
            connections,
        }
    }

    /// Whether there is room for another.
    async fn make(&self) -> bool {
        for tries in 0..ROOM_TRIES {
            if self.held.load(Ordering::SeqCst) <= MAX_OLDER {
                return true;
            }
            if tries >= PATIENT_TRIES {
                self.connections.cut_slowest_reader();
            }
            tokio::time::sleep(ROOM_PAUSE).await;
        }
        false
    }
}

/// One kind of answer.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    asked: AtomicU64,
    newest: Mutex<Newest>,
}

#[derive(Debug, Default)]
struct Newest {
    /// How many had asked when it was begun.
    asked: u64,
    text: Weak<Held>,
}

/// A text, for as long as somebody has yet to take it.
#[derive(Debug)]
struct Held {
    pieces: Vec<Vec<u8>>,
    size: usize,
    held: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.size, Ordering::SeqCst);
    }
}

/// One piece of it.
struct Piece(Arc<Held>, usize);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.0.pieces.get(self.1).map_or(&[], Vec::as_slice)
    }
}

/// An answer that others may hold too.
#[derive(Debug)]
pub(super) struct Shared(Arc<Held>);

impl Shared {
    pub(super) fn into_response(self, kind: &'static str) -> Response {
        let Shared(held) = self;
        let length = held.pieces.iter().map(Vec::len).sum::<usize>();
        let pieces = (0..held.pieces.len()).map(move |piece| {
            Ok::<_, Infallible>(Bytes::from_owner(Piece(Arc::clone(&held), piece)))
        });
        let body = Body::from_stream(stream::iter(pieces));
        let length = length.to_string();
        (
            [(CONTENT_TYPE, kind), (CONTENT_LENGTH, length.as_str())],
            body,
        )
            .into_response()
    }
}

impl Rendered {
    /// The answer as it is now or later: it is begun after this was called. None where those who do not
    /// take older ones leave no room.
    ///
    /// # Errors
    /// As `render` has them.
    pub(super) async fn get<E>(
        &self,
        room: &Room,
        render: impl AsyncFnOnce() -> Result<Vec<Vec<u8>>, E>,
    ) -> Result<Option<Shared>, E> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut newest = self.newest.lock().await;
        if newest.asked > before
            && let Some(text) = newest.text.upgrade()
        {
            return Ok(Some(Shared(text)));
        }
        if !room.make().await {
            return Ok(None);
        }
        let asked = self.asked.load(Ordering::SeqCst);
        let pieces = render().await?;
        let size = pieces.iter().map(Vec::capacity).sum();
        room.held.fetch_add(size, Ordering::SeqCst);
        let text = Arc::new(Held {
            pieces,
            size,
            held: Arc::clone(&room.held),
        });
        *newest = Newest {
            asked,
            text: Arc::downgrade(&text),
        };
        Ok(Some(Shared(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_get_one_answer_that_is_no_older_than_their_question() {
        let (rendered, room) = (Arc::new(Rendered::default()), Arc::new(Room::default()));
        let (begun, go) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (rendered, room) = (Arc::clone(&rendered), Arc::clone(&room));
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            tokio::spawn(async move {
                let answer = rendered.get(&room, async || {
                    let number = begun.fetch_add(1, Ordering::SeqCst);
                    go.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(vec![vec![u8::try_from(number).unwrap(); 1_000]])
                });
                answer.await.unwrap().unwrap()
            })
        };
        let first = ask();
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // These ask while the first answer is made already, which may not know what they know.
        let later: Vec<_> = (0..64).map(|_| ask()).collect();
        while rendered.asked.load(Ordering::SeqCst) < 65 {
            tokio::task::yield_now().await;
        }
        go.add_permits(65);
        let first = first.await.unwrap();
        assert_eq!(first.0.pieces[0][0], 0);
        let mut answers = Vec::new();
        for answer in later {
            answers.push(answer.await.unwrap());
        }
        assert!(answers.iter().all(|answer| answer.0.pieces[0][0] == 1));
        assert_eq!(room.held.load(Ordering::SeqCst), 2_000, "all 64 share one");
        drop((first, answers));
        assert_eq!(room.held.load(Ordering::SeqCst), 0);
    }
}
