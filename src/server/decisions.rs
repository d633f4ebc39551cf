//! A sample of what was decided, on its way off the road: a ring that one thread writes to and the
//! knowledge plane reads from.
//!
//! Every so-many-th steered answer of a thread, at random intervals, leaves a record of fixed size.
//! What finds the ring full is dropped and counted. Nothing is allocated, formatted or waited for;
//! while nobody wants a log, all of it is one comparison.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answer::Walk;
use crate::steer::chance::Chance;
use crate::steer::record::{ANSWERS_MAX, Record};
use crate::steer::select::Selection;
use crate::steer::tally::Reason;
use crate::wire::name::Name;
use crate::wire::response::Response;
use crate::wire::types::Rtype;

/// Records a ring holds: with a reader every 250 ms, a thousand a second for each thread.
const SLOTS: usize = 256;
/// Words of a name: 255 octets, filled up with zeros.
const NAME: usize = 32;
/// Words of a record.
const WORDS: usize = 7 + 2 * NAME;
/// No sample is ever due.
const NEVER: u64 = u64::MAX;

/// One thread's decisions.
#[derive(Debug)]
pub(super) struct Journal {
    /// How many steered answers the thread will have given when the next sample is due.
    due: AtomicU64,
    /// One of so many is sampled; 0 for none.
    one_of: AtomicU64,
    dropped: AtomicU64,
    /// Records written in all; the thread's.
    written: AtomicU64,
    /// Records read in all; the reader's.
    read: AtomicU64,
    /// Made by the knowledge plane when a log is first wanted.
    ring: OnceLock<Box<[[AtomicU64; WORDS]]>>,
}

/// What was decided for one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The snapshot it was decided by.
    pub generation: u64,
    /// The name asked for.
    pub qname: Name,
    /// The type asked for.
    pub qtype: Rtype,
    /// The steered record.
    pub record: Name,
    /// Sites of the record that were picked, best first.
    pub picks: Vec<u16>,
    /// Why.
    pub reason: Reason,
    /// TTL in seconds.
    pub ttl: u32,
    /// Leading bits of the client's address the choice holds for.
    pub scope: u8,
    /// The client that was steered by.
    pub client: IpAddr,
    /// The client is from a client subnet, not where the query came from.
    pub by_subnet: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            due: AtomicU64::new(NEVER),
            one_of: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            ring: OnceLock::new(),
        }
    }
}

impl Journal {
    /// Whether a sample is due for a thread that has given so many steered answers.
    #[inline(always)]
    pub(super) fn is_due(&self, steered: u64) -> bool {
        steered >= self.due.load(Ordering::Relaxed)
    }

    /// An answer was given that is not among the steered ones that are counted.
    pub(super) fn advance(&self) {
        let due = self.due.load(Ordering::Relaxed);
        if due != NEVER {
            self.due.store(due.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Samples one of so many decisions from here on; 0 for none. For the knowledge plane.
    pub(super) fn sample(&self, one_of: u64) {
        if one_of > 0 {
            let slot = || std::array::from_fn(|_| AtomicU64::new(0));
            self.ring.get_or_init(|| std::iter::repeat_with(slot).take(SLOTS).collect());
        }
        self.one_of.store(one_of, Ordering::Relaxed);
        self.due.store(if one_of == 0 { NEVER } else { 0 }, Ordering::Relaxed);
    }

    /// Decisions that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes everything out that was written. For one reader.
    pub(super) fn drain(&self, mut each: impl FnMut(Decision)) {
        let Some(ring) = self.ring.get() else { return };
        let written = self.written.load(Ordering::Acquire);
        let mut read = self.read.load(Ordering::Relaxed);
        while read < written {
            let words = ring.get(read as usize % SLOTS);
            let words = words.map(|slot| slot.each_ref().map(|word| word.load(Ordering::Relaxed)));
            if let Some(decision) = words.and_then(|words| Decision::unpack(&words)) {
                each(decision);
            }
            read += 1;
            // From here on the thread may write there again.
            self.read.store(read, Ordering::Release);
        }
    }

    /// When the next sample is due: at random, so that no rhythm of the queries is sampled.
    fn draw(&self, steered: u64, chance: &mut Chance) -> bool {
        let one_of = self.one_of.load(Ordering::Relaxed);
        if one_of == 0 {
            self.due.store(NEVER, Ordering::Relaxed);
            return false;
        }
        let wait = 1 + chance.below_wide(one_of.saturating_mul(2).saturating_sub(1));
        self.due.store(steered.saturating_add(wait), Ordering::Relaxed);
        true
    }

    /// Writes a record, if there is room.
    fn write(&self, words: &[u64; WORDS]) {
        let written = self.written.load(Ordering::Relaxed);
        let is_full = written.wrapping_sub(self.read.load(Ordering::Acquire)) >= SLOTS as u64;
        let slot = self.ring.get().and_then(|ring| ring.get(written as usize % SLOTS));
        let Some(slot) = slot.filter(|_| !is_full) else {
            self.dropped.store(self.dropped.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return;
        };
        for (cell, word) in slot.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        self.written.store(written + 1, Ordering::Release);
    }
}

/// Writes down what was selected for a query whose turn it is.
#[cold]
#[inline(never)]
pub(super) fn note<T>(walk: &mut Walk<'_, '_, T>, record: &Record, selection: &Selection<'_>) {
    let asked = walk.asked;
    let journal = asked.stats.journal();
    if !journal.draw(asked.stats.steered(), walk.chance) {
        return;
    }
    let source = record.plan.by_source;
    let client = if source { *asked.source } else { asked.client };
    let mut words = [0; WORDS];
    let bits = match client {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let picks = selection.picks();
    let head = [
        asked.snapshot.generation,
        u64::from(selection.reason as u8)
            | u64::from(selection.scope) << 8
            | u64::from(asked.qtype.0) << 16
            | (picks.len() as u64) << 32
            | u64::from(client != *asked.source) << 40
            | u64::from(client.is_ipv4()) << 41,
        u64::from(selection.ttl.seconds()),
        (bits >> 64) as u64,
        bits as u64,
    ];
    for (word, value) in words.iter_mut().zip(head) {
        *word = value;
    }
    for (place, pick) in picks.iter().enumerate() {
        if let Some(word) = words.get_mut(5 + place / 4) {
            *word |= u64::from(*pick) << (16 * (place % 4));
        }
    }
    let message = walk.response.written();
    let question = message.get(Response::QNAME..).unwrap_or_default();
    let length = wire_length(question);
    let (_, names) = words.split_at_mut(7);
    let (qname, owner) = names.split_at_mut(NAME);
    pack(question.get(..length).unwrap_or_default(), qname);
    pack(record.owner.as_wire(), owner);
    journal.write(&words);
}

/// Octets of the name that stands first, root included; 0 when it does not end.
fn wire_length(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&length) = octets.get(at) {
        if length == 0 {
            return at + 1;
        }
        at += usize::from(length) + 1;
    }
    0
}

fn pack(octets: &[u8], words: &mut [u64]) {
    for (word, part) in words.iter_mut().zip(octets.chunks(8)) {
        *word = part.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet));
    }
}

fn unpack(words: &[u64]) -> Option<Name> {
    let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Name::from_wire(octets.get(..wire_length(&octets))?).ok()
}

impl Decision {
    fn unpack(words: &[u64; WORDS]) -> Option<Self> {
        let [generation, what, ttl, high, low, picks @ ..] = words;
        let reason = (what & 0xff) as usize;
        let bits = u128::from(*high) << 64 | u128::from(*low);
        let client = IpAddr::V6(Ipv6Addr::from_bits(bits));
        let picked = (0..ANSWERS_MAX).map(|place| {
            picks.get(place / 4).map_or(0, |word| (word >> (16 * (place % 4))) as u16)
        });
        Some(Self {
            generation: *generation,
            qname: unpack(words.get(7..7 + NAME)?)?,
            qtype: Rtype((what >> 16) as u16),
            record: unpack(words.get(7 + NAME..)?)?,
            picks: picked.take((what >> 32 & 0xff) as usize).collect(),
            reason: *Reason::ALL.get(reason)?,
            ttl: u32::try_from(*ttl).ok()?,
            scope: (what >> 8 & 0xff) as u8,
            client: if what >> 41 & 1 == 1 { client.to_canonical() } else { client },
            by_subnet: what >> 40 & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(generation: u64) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words[0] = generation;
        let name: Name = "www.example.org.".parse().expect("a name");
        pack(name.as_wire(), &mut words[7..7 + NAME]);
        pack(name.as_wire(), &mut words[7 + NAME..]);
        words
    }

    fn generations(journal: &Journal) -> Vec<u64> {
        let mut seen = Vec::new();
        journal.drain(|decision| seen.push(decision.generation));
        seen
    }

    #[test]
    fn what_is_written_is_read_once_and_in_order() {
        let journal = Journal::default();
        journal.sample(1);
        (0..3).for_each(|n| journal.write(&words(n)));
        assert_eq!(generations(&journal), [0, 1, 2]);
        assert_eq!(generations(&journal), Vec::<u64>::new());
        // Round and round.
        for n in 0..1000 {
            journal.write(&words(n));
            assert_eq!(generations(&journal), [n]);
        }
    }

    #[test]
    fn a_full_ring_drops_the_newest_and_counts_them() {
        let journal = Journal::default();
        journal.write(&words(0));
        assert_eq!(journal.dropped(), 1, "there is no ring yet");
        journal.sample(1);
        (0..SLOTS as u64 + 10).for_each(|n| journal.write(&words(n)));
        assert_eq!(journal.dropped(), 11);
        assert_eq!(generations(&journal), (0..SLOTS as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_and_a_reader_meet_without_a_torn_record() {
        let journal = Journal::default();
        journal.sample(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200_000u64 {
                    let mut words = words(n);
                    (words[2], words[3], words[4]) = (n & 0xffff, n, n);
                    journal.write(&words);
                }
            });
            let (mut seen, mut last) = (0u64, None);
            while seen + journal.dropped() < 200_000 {
                journal.drain(|decision| {
                    let generation = decision.generation;
                    assert!(last.is_none_or(|last| last < generation));
                    assert_eq!(u64::from(decision.ttl), generation & 0xffff);
                    let IpAddr::V6(ip) = decision.client else { panic!("an IPv6 address") };
                    let twice = u128::from(generation) << 64 | u128::from(generation);
                    assert_eq!(ip.to_bits(), twice);
                    (seen, last) = (seen + 1, Some(generation));
                });
            }
        });
    }

    #[test]
    fn nothing_is_due_while_nobody_wants_a_log() {
        let (journal, mut chance) = (Journal::default(), Chance::seeded(1));
        assert!(!journal.is_due(u64::MAX - 1));
        journal.advance();
        assert!(!journal.is_due(u64::MAX - 1));
        journal.sample(10);
        assert!(journal.is_due(0) && journal.draw(0, &mut chance));
        journal.sample(0);
        assert!(!journal.is_due(u64::MAX - 1) && !journal.draw(7, &mut chance));
    }

    #[test]
    fn one_of_so_many_is_due() {
        for one_of in [1u64, 3, 1000] {
            let (journal, mut chance) = (Journal::default(), Chance::seeded(one_of));
            journal.sample(one_of);
            let mut sampled = 0;
            for steered in 0..1_000_000 {
                if journal.is_due(steered) {
                    assert!(journal.draw(steered, &mut chance));
                    sampled += 1;
                }
            }
            let wanted = 1_000_000 / one_of;
            // Intervals are even between 1 and twice as many: four standard errors of their sum.
            let off = 4.0 * (wanted as f64 / 3.0).sqrt() + 2.0;
            assert!((sampled as f64 - wanted as f64).abs() <= off, "{sampled} of {wanted}");
        }
    }
}
