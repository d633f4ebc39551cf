//! What the query plane counts: one set of counters per thread, each on its own cache lines.
//!
//! Each thread writes only its own, with a plain load and store; whoever asks adds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::decisions::{Decision, Journal};
use crate::limit::board::{self, Board, Held};

/// Declares the counters, their metric names and their labels in one place.
macro_rules! counters {
    ($($name:ident: $metric:literal $labels:tt,)*) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        #[allow(missing_docs, reason = "each counter says what it is by metric and labels")]
        pub enum Counter { $($name,)* }

        impl Counter {
            /// Every counter, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The metric's name and labels.
            pub const fn metric(self) -> (&'static str, &'static [(&'static str, &'static str)]) {
                match self { $(Self::$name => ($metric, &$labels),)* }
            }
        }
    };
}

counters! {
    Udp4: "meridian_dns_requests_total" [("transport", "udp"), ("family", "ipv4")],
    Udp6: "meridian_dns_requests_total" [("transport", "udp"), ("family", "ipv6")],
    Tcp4: "meridian_dns_requests_total" [("transport", "tcp"), ("family", "ipv4")],
    Tcp6: "meridian_dns_requests_total" [("transport", "tcp"), ("family", "ipv6")],
    Tls4: "meridian_dns_requests_total" [("transport", "tls"), ("family", "ipv4")],
    Tls6: "meridian_dns_requests_total" [("transport", "tls"), ("family", "ipv6")],
    Noerror: "meridian_dns_responses_total" [("rcode", "NOERROR")],
    Formerr: "meridian_dns_responses_total" [("rcode", "FORMERR")],
    Servfail: "meridian_dns_responses_total" [("rcode", "SERVFAIL")],
    Nxdomain: "meridian_dns_responses_total" [("rcode", "NXDOMAIN")],
    Notimp: "meridian_dns_responses_total" [("rcode", "NOTIMP")],
    Refused: "meridian_dns_responses_total" [("rcode", "REFUSED")],
    Yxdomain: "meridian_dns_responses_total" [("rcode", "YXDOMAIN")],
    Badcookie: "meridian_dns_responses_total" [("rcode", "BADCOOKIE")],
    Badvers: "meridian_dns_responses_total" [("rcode", "BADVERS")],
    Short: "meridian_dns_dropped_total" [("reason", "short")],
    Response: "meridian_dns_dropped_total" [("reason", "response")],
    NoRoom: "meridian_dns_dropped_total" [("reason", "no-room")],
    MalformedQuestion: "meridian_dns_malformed_total" [("part", "question")],
    MalformedRecords: "meridian_dns_malformed_total" [("part", "records")],
    MalformedOpt: "meridian_dns_malformed_total" [("part", "opt")],
    MalformedSubnet: "meridian_dns_malformed_total" [("part", "client-subnet")],
    MalformedCookie: "meridian_dns_malformed_total" [("part", "cookie")],
    Truncated: "meridian_dns_truncated_total" [],
    ClientSubnet: "meridian_dns_client_subnet_total" [],
    CookieNew: "meridian_dns_cookies_total" [("state", "new")],
    CookieBad: "meridian_dns_cookies_total" [("state", "bad")],
    CookieValid: "meridian_dns_cookies_total" [("state", "valid")],
    LimitDropped: "meridian_dns_rate_limited_total" [("outcome", "dropped")],
    LimitSlipped: "meridian_dns_rate_limited_total" [("outcome", "slipped")],
    LimitExempt: "meridian_dns_rate_limited_total" [("outcome", "exempt")],
    LimitDryRun: "meridian_dns_rate_limited_total" [("outcome", "dry-run")],
    Referral: "meridian_dns_answers_total" [("kind", "referral")],
    Nodata: "meridian_dns_answers_total" [("kind", "nodata")],
    Steered: "meridian_dns_answers_total" [("kind", "steered")],
    Static: "meridian_dns_answers_total" [("kind", "static")],
}

const COUNT: usize = Counter::ALL.len();

/// The counters of every answering thread.
#[derive(Debug)]
pub struct Stats {
    threads: Box<[Thread]>,
    boards: Box<[Arc<Board>]>,
}

/// The counters of one thread. Aligned to two cache lines, since processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct Thread([AtomicU64; COUNT], Journal);

impl Default for Thread {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)), Journal::default())
    }
}

impl Thread {
    /// Counts one event.
    #[inline]
    pub fn count(&self, counter: Counter) {
        let cell = &self.0[counter as usize];
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Steered answers the thread has given.
    #[inline(always)]
    pub(super) fn steered(&self) -> u64 {
        self.0[Counter::Steered as usize].load(Ordering::Relaxed)
    }

    /// Where its decisions are sampled.
    #[inline(always)]
    pub(super) const fn journal(&self) -> &Journal {
        &self.1
    }
}

impl Stats {
    /// Counters for this many threads, all zero.
    pub fn new(threads: usize) -> Self {
        Self {
            threads: (0..threads).map(|_| Thread::default()).collect(),
            boards: (0..threads).map(|_| Arc::default()).collect(),
        }
    }

    /// Where `thread` notes whom it holds back.
    pub fn board(&self, thread: usize) -> Arc<Board> {
        self.boards.get(thread).map(Arc::clone).unwrap_or_default()
    }

    /// The networks held back, the worst first, at this time of the process.
    pub fn held_back(&self, now: Duration) -> Vec<Held> {
        board::together(self.boards.iter().map(|board| &**board), now.as_secs() as u32)
    }

    /// Has every thread sample one of so many decisions; 0 for none.
    pub fn sample(&self, one_of: u64) {
        self.threads.iter().for_each(|thread| thread.journal().sample(one_of));
    }

    /// Takes out what was sampled. For one reader at a time.
    pub fn decisions(&self, mut each: impl FnMut(Decision)) {
        self.threads.iter().for_each(|thread| thread.journal().drain(&mut each));
    }

    /// Samples for which a thread's ring had no room.
    pub fn dropped_decisions(&self) -> u64 {
        self.threads.iter().map(|thread| thread.journal().dropped()).sum()
    }

    /// Number of threads.
    pub const fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The counters of `thread`; `None` past [`threads`](Self::threads).
    #[inline]
    pub fn thread(&self, thread: usize) -> Option<&Thread> {
        self.threads.get(thread)
    }

    /// The sum over all threads.
    pub fn sum(&self, counter: Counter) -> u64 {
        self.threads
            .iter()
            .map(|Thread(cells, _)| cells[counter as usize].load(Ordering::Relaxed))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let stats = Stats::new(2);
        stats.thread(0).expect("a thread").count(Counter::Udp4);
        stats.thread(1).expect("a thread").count(Counter::Udp4);
        assert!(stats.thread(2).is_none());
        assert_eq!(stats.sum(Counter::Udp4), 2);
        assert_eq!(stats.sum(Counter::Udp6), 0);
    }

    #[test]
    fn no_two_counters_share_metric_and_labels() {
        for (at, one) in Counter::ALL.iter().enumerate() {
            for other in &Counter::ALL[at + 1..] {
                assert_ne!(one.metric(), other.metric());
            }
        }
    }
}
