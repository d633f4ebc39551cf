//! The bus: how probers and nodes hear of each other.
//!
//! One trait, three backends. [`local`] connects the parts of one process and is the default;
//! [`direct`] has each prober speak to a handful of nodes itself; [`nats`] leaves the carrying to a
//! broker. What is carried is nobody's concern here: payloads are sealed ([`crate::seal`]) by
//! those who make them and opened by those who read them.
//!
//! What every backend promises:
//! - **Newest only.** A subscriber that falls behind finds the last message of each subject, not
//!   all of them. Senders repeat their full state anyway.
//! - **Never late.** What cannot be sent now is not sent: a link that is down is skipped, and
//!   nothing waits in a queue to be delivered as if it were new.
//! - **Nobody is waited for.** [`Bus::publish`] returns at once; one slow listener delays no other.
//! - **Bounded.** A payload has at most [`OCTETS_MAX`] octets, a listener holds at most
//!   [`hub::SUBJECTS_MAX`] subjects.
//! - **Own words are heard.** A subscriber in the same process hears what is published there.
//!
//! What none promises: that a message arrives, arrives once, or arrives in order. Who reads
//! reports keeps the newest (boot, seq) of each vantage. The same message may come over two links,
//! which [`Message::link`] tells apart.

#![forbid(unsafe_code)]

pub mod direct;
pub mod hub;
pub mod local;
pub mod nats;
pub mod rights;
pub mod subject;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::pki::identity::Identity;

pub use crate::seal::OCTETS_MAX;
pub use hub::Subscription;
pub use rights::Admitted;

/// How a process is connected to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wiring {
    /// To nodes, without anybody between.
    Direct(direct::Setup),
    /// Through brokers.
    Nats(nats::Setup),
}

impl Wiring {
    /// The word of the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Nats(_) => "nats",
        }
    }
}

/// Opens the bus that `wiring` describes, as `identity`; it begins to connect and waits for nobody.
///
/// # Errors
/// When an address cannot be listened on, or TLS cannot be had.
pub async fn open(wiring: &Wiring, identity: &Arc<Identity>) -> io::Result<Arc<dyn Bus>> {
    Ok(match wiring {
        Wiring::Direct(setup) => Arc::new(direct::Direct::start(setup, identity).await?),
        Wiring::Nats(setup) => Arc::new(nats::Nats::start(setup, identity).await?),
    })
}

/// What carries messages. Shared as `Arc<dyn Bus>`; ends when the last one is dropped.
pub trait Bus: Send + Sync {
    /// Sends `bytes` to all who listen to `subject` now; links that are down are skipped. A
    /// subject that [`subject::is_valid`] denies or a payload beyond [`OCTETS_MAX`] goes nowhere and is
    /// counted.
    fn publish(&self, subject: &str, bytes: Bytes);

    /// Listens to `prefix`: one subject, or with a dot at its end all subjects below it.
    fn subscribe(&self, prefix: &str) -> Subscription;

    /// Asks whoever serves `subject`, one after another until somebody answers.
    fn request<'a>(&'a self, subject: &'a str, bytes: Bytes, timeout: Duration) -> Answer<'a>;

    /// Has `handler` answer requests for `prefix` (as in [`Bus::subscribe`]) for as long as the
    /// bus exists. A later handler for the same prefix takes the place of this one.
    fn serve(&self, prefix: &str, handler: Handler);

    /// Says who is let in, where this process lets others in itself. Who is not among them any more
    /// is refused from then on.
    fn admit(&self, admitted: Admitted) {
        let _ = admitted;
    }

    /// Whom this bus is connected to, to be shown. Empty in one process.
    fn links(&self) -> Vec<Link>;

    /// What came and went so far.
    fn counts(&self) -> Counts;
}

/// One message as a subscriber finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub subject: Arc<str>,
    /// What was sent.
    pub bytes: Bytes,
    /// Which way it came: 0 from this process, else a number from 1 on that a link keeps.
    pub link: u16,
    /// When it came, by the clock of this machine. A subscriber that was busy finds out here how
    /// long it lay.
    pub received: Instant,
}

/// A request on its way to a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is asked for.
    pub subject: Arc<str>,
    /// What was sent with it.
    pub bytes: Bytes,
}

/// What a request comes to.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Bytes, RequestError>> + Send + 'a>>;

/// What a handler is at work on: `None` when it has nothing to say to it, and another may.
pub type Reply = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

/// Answers requests. Made of a closure by [`handler`].
pub type Handler = Arc<dyn Fn(Asked) -> Reply + Send + Sync>;

/// A handler of a closure that returns a future.
pub fn handler<F, R>(answer: F) -> Handler
where
    F: Fn(Asked) -> R + Send + Sync + 'static,
    R: Future<Output = Option<Bytes>> + Send + 'static,
{
    Arc::new(move |asked| Box::pin(answer(asked)))
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody who is connected serves this subject.
    #[error("nobody who is connected answers this")]
    Nobody,
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    Late,
    /// No such subject, or too many octets.
    #[error("this cannot be asked for")]
    Refused,
}

/// A connection to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    /// The name of the other side: a node's, or a cluster's servers.
    pub name: String,
    /// Whether it is there.
    pub connected: bool,
    /// For how long that has been so, in seconds.
    pub since_seconds: u64,
    /// Why not, in words for people, where that is known.
    pub reason: Option<String>,
}

/// What came and went since the start, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Published here.
    pub published: u64,
    /// Not sent over a link because it was down or still busy with the one before.
    pub skipped: u64,
    /// Came in over links.
    pub received: u64,
    /// Replaced by a newer one, or dropped, before a subscriber here had read them.
    pub overtaken: u64,
    /// Refused: too long, no such subject, or not the sender's to say.
    pub refused: u64,
}
