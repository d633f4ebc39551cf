//! Where messages of one process meet: mailboxes of subscribers, and handlers of requests. Every
//! backend has one; links only bring more to it and take more from it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::subject::is_under;
use super::{Asked, Counts, Handler, Message};

/// Subjects that a mailbox holds a message of; beyond it the one that waits longest is dropped.
pub const SUBJECTS_MAX: usize = 4096;

/// The link of what was published in this process.
pub(super) const HERE: u16 = 0;

/// Mailboxes and handlers.
#[derive(Default)]
pub(super) struct Hub {
    mailboxes: Mutex<Vec<Weak<Mailbox>>>,
    handlers: Mutex<Vec<(String, Handler)>>,
    pub(super) tally: Tally,
}

/// Counters, for [`Counts`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) published: AtomicU64,
    pub(super) skipped: Arc<AtomicU64>,
    pub(super) received: AtomicU64,
    pub(super) overtaken: Arc<AtomicU64>,
    pub(super) refused: AtomicU64,
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Hub {
    /// A mailbox for `prefix`, which gets everything that is [delivered](Self::deliver) from now.
    pub(super) fn subscribe(&self, prefix: &str) -> Subscription {
        let mailbox = Arc::new(Mailbox::new(prefix, Arc::clone(&self.tally.overtaken)));
        let mut mailboxes = lock(&self.mailboxes);
        mailboxes.retain(|mailbox| mailbox.strong_count() > 0);
        mailboxes.push(Arc::downgrade(&mailbox));
        Subscription { mailbox }
    }

    /// Lays a message into every mailbox that is for it.
    pub(super) fn deliver(&self, subject: &str, bytes: &Bytes, link: u16) {
        let subject: Arc<str> = subject.into();
        for mailbox in lock(&self.mailboxes).iter().filter_map(Weak::upgrade) {
            if is_under(&subject, &mailbox.prefix) {
                mailbox.put(&subject, bytes, link);
            }
        }
    }

    pub(super) fn serve(&self, prefix: &str, handler: Handler) {
        let mut handlers = lock(&self.handlers);
        handlers.retain(|(other, _)| other != prefix);
        handlers.push((prefix.to_owned(), handler));
    }

    /// Who serves `subject` here; the first who does.
    pub(super) fn handler(&self, subject: &str) -> Option<Handler> {
        let handlers = lock(&self.handlers);
        let found = handlers.iter().find(|(prefix, _)| is_under(subject, prefix));
        found.map(|(_, handler)| Arc::clone(handler))
    }

    /// Has a handler of this process answer, where there is one and it has something to say.
    pub(super) async fn answer(&self, subject: &str, bytes: Bytes) -> Option<Bytes> {
        let handler = self.handler(subject)?;
        handler(Asked { subject: subject.into(), bytes }).await
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            published: read(&self.tally.published),
            skipped: read(&self.tally.skipped),
            received: read(&self.tally.received),
            overtaken: read(&self.tally.overtaken),
            refused: read(&self.tally.refused),
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for mailbox in lock(&self.mailboxes).iter().filter_map(Weak::upgrade) {
            mailbox.close();
        }
    }
}

/// The newest message of each subject and link, in the order in which they began to wait.
pub(super) struct Mailbox {
    prefix: String,
    waiting: Mutex<Waiting>,
    filled: Notify,
    overtaken: Arc<AtomicU64>,
}

#[derive(Default)]
struct Waiting {
    newest: HashMap<Slot, Message>,
    order: VecDeque<Slot>,
    closed: bool,
}

/// Two links may not overtake each other: what one brings late would hide what the other brought.
type Slot = (Arc<str>, u16);

impl Mailbox {
    pub(super) fn new(prefix: &str, overtaken: Arc<AtomicU64>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            waiting: Mutex::default(),
            filled: Notify::new(),
            overtaken,
        }
    }

    pub(super) fn put(&self, subject: &Arc<str>, bytes: &Bytes, link: u16) {
        let message = Message {
            subject: Arc::clone(subject),
            bytes: bytes.clone(),
            link,
            received: Instant::now(),
        };
        let slot = (Arc::clone(subject), link);
        let mut waiting = lock(&self.waiting);
        if waiting.newest.insert(slot.clone(), message).is_some() {
            count(&self.overtaken);
        } else {
            waiting.order.push_back(slot);
            if waiting.order.len() > SUBJECTS_MAX
                && let Some(oldest) = waiting.order.pop_front()
            {
                waiting.newest.remove(&oldest);
                count(&self.overtaken);
            }
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// The message that waits longest.
    pub(super) fn take(&self) -> Option<Message> {
        let mut waiting = lock(&self.waiting);
        let slot = waiting.order.pop_front()?;
        waiting.newest.remove(&slot)
    }

    /// Forgets what waits, and says how many messages that were.
    pub(super) fn clear(&self) -> usize {
        let mut waiting = lock(&self.waiting);
        waiting.newest.clear();
        std::mem::take(&mut waiting.order).len()
    }

    /// Waits for a message; `None` when none will come any more.
    pub(super) async fn next(&self) -> Option<Message> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            if lock(&self.waiting).closed {
                return None;
            }
            self.filled.notified().await;
        }
    }

    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.filled.notify_one();
    }
}

/// A subscriber's end of the bus. Dropping it ends the subscription.
pub struct Subscription {
    mailbox: Arc<Mailbox>,
}

impl Subscription {
    /// Waits for the next message; `None` when the bus has ended. May be cancelled at no loss.
    pub async fn next(&mut self) -> Option<Message> {
        self.mailbox.next().await
    }

    /// Where links lay what they bring.
    pub(super) fn mailbox(&self) -> Weak<Mailbox> {
        Arc::downgrade(&self.mailbox)
    }

    /// The next message, if one waits.
    pub fn take(&mut self) -> Option<Message> {
        self.mailbox.take()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.mailbox.prefix)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> Mailbox {
        Mailbox::new("meridian.v1.", Arc::default())
    }

    fn taken(mailbox: &Mailbox) -> Vec<(String, Bytes)> {
        std::iter::from_fn(|| mailbox.take())
            .map(|message| (message.subject.to_string(), message.bytes))
            .collect()
    }

    #[test]
    fn the_newest_of_a_subject_keeps_the_place_of_the_first() {
        let mailbox = mailbox();
        let [a, b]: [Arc<str>; 2] = ["meridian.v1.a".into(), "meridian.v1.b".into()];
        mailbox.put(&a, &Bytes::from_static(b"1"), HERE);
        mailbox.put(&b, &Bytes::from_static(b"2"), HERE);
        mailbox.put(&a, &Bytes::from_static(b"3"), HERE);
        let wanted = [(a.to_string(), Bytes::from("3")), (b.to_string(), Bytes::from("2"))];
        assert_eq!(taken(&mailbox), wanted);
        assert_eq!(mailbox.overtaken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_late_link_hides_nothing_of_another() {
        let mailbox = mailbox();
        let subject: Arc<str> = "meridian.v1.a".into();
        mailbox.put(&subject, &Bytes::from_static(b"new"), 1);
        mailbox.put(&subject, &Bytes::from_static(b"old"), 2);
        let bytes: Vec<_> = taken(&mailbox).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(bytes, ["new", "old"]);
    }

    #[test]
    fn a_mailbox_is_bounded() {
        let mailbox = mailbox();
        for at in 0..=SUBJECTS_MAX {
            mailbox.put(&format!("meridian.v1.{at}").into(), &Bytes::new(), HERE);
        }
        let subjects = taken(&mailbox);
        assert_eq!(subjects.len(), SUBJECTS_MAX);
        assert_eq!(subjects[0].0, "meridian.v1.1");
    }
}
