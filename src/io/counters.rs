//! What the socket threads count. Each thread writes its own; a scrape reads and adds them up.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// A number one thread writes and any thread may read.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`. One writer makes load and store enough: no locked instruction on the road.
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }
}

/// Writes a struct of counters for a thread, and its twin of plain numbers for everybody else.
macro_rules! counters {
    ($(#[$about:meta])* $thread:ident => $plain:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        /// Alone on its cache lines, so that no thread slows another by counting.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(super) struct $thread {
            $(pub(super) $field: Counter,)*
        }

        impl $thread {
            /// Adds what this thread has counted to `sum`.
            pub(super) fn add_to(&self, sum: &mut $plain) {
                $(sum.$field += self.$field.0.load(Ordering::Relaxed);)*
            }
        }

        $(#[$about])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct $plain {
            $($(#[$doc])* pub $field: u64,)*
        }
    };
}

counters! {
    /// What all UDP threads have counted since they began.
    UdpCounters => UdpTotals {
        /// Datagrams taken from the sockets.
        received,
        /// Answers the kernel took.
        sent,
        /// Queries longer than 4,096 octets, dropped.
        truncated_in,
        /// Queries from port 0, where no answer can go, or from one that answers everything, dropped.
        unanswerable,
        /// Answers the kernel refused.
        send_errors,
        /// Receives that failed, other than by finding nothing.
        receive_errors,
        /// Panics while answering, each caught. The query that met one gets no answer.
        panics,
        /// Batches taken; `received / batches` says how full they were.
        batches,
    }
}

counters! {
    /// What all TCP threads have counted since they began.
    TcpCounters => TcpTotals {
        /// Connections taken.
        accepted,
        /// Connections closed at once because there were too many.
        refused_total,
        /// Connections closed at once because their client had too many.
        refused_client,
        /// Accepts that failed.
        accept_errors,
        /// Whole queries read.
        received,
        /// Answers written (to the connection's buffer; a client that leaves does not read them).
        sent,
        /// Connections closed because of a message of length zero.
        malformed,
        /// Connections closed because no query came in time.
        idle_closed,
        /// Connections closed because the client did not read its answers in time.
        slow_closed,
        /// Panics while answering, each caught. The connection that met one is closed.
        panics,
    }
}
