//! Answers that may be large: made once for all who ask at the same time, and only so many at once.

use super::connections::Connections;
use axum::body::Bytes;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// Bytes of older answers that clients may still be taking when another is made. Where there are more,
/// the slowest of them are hung up on.
const MAX_OLDER: usize = 40 << 20;
/// How long that may take.
const ROOM_TRIES: u32 = 400;
const ROOM_PAUSE: Duration = Duration::from_millis(5);

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
        for _ in 0..ROOM_TRIES {
            if self.held.load(Ordering::SeqCst) <= MAX_OLDER {
                return true;
            }
            self.connections.cut_slowest_reader();
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
    text: Vec<u8>,
    held: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.text.capacity(), Ordering::SeqCst);
    }
}

struct Shared(Arc<Held>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
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
        render: impl AsyncFnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Option<Bytes>, E> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut newest = self.newest.lock().await;
        if newest.asked > before
            && let Some(text) = newest.text.upgrade()
        {
            return Ok(Some(Bytes::from_owner(Shared(text))));
        }
        if !room.make().await {
            return Ok(None);
        }
        let asked = self.asked.load(Ordering::SeqCst);
        let mut text = render().await?;
        text.shrink_to_fit();
        room.held.fetch_add(text.capacity(), Ordering::SeqCst);
        let text = Arc::new(Held {
            text,
            held: Arc::clone(&room.held),
        });
        *newest = Newest {
            asked,
            text: Arc::downgrade(&text),
        };
        Ok(Some(Bytes::from_owner(Shared(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
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
                    Ok::<_, Infallible>(vec![u8::try_from(number).unwrap(); 1_000])
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
        assert_eq!(first[0], 0);
        let mut answers = Vec::new();
        for answer in later {
            answers.push(answer.await.unwrap());
        }
        assert!(answers.iter().all(|answer| answer[0] == 1));
        assert_eq!(room.held.load(Ordering::SeqCst), 2_000, "all 64 share one");
        drop((first, answers));
        assert_eq!(room.held.load(Ordering::SeqCst), 0);
    }
}
