//! Address space cut into spans, each with a number: the one shape every step of the geo
//! engine reads and writes. Knows nothing of places, orders or rules.
//!
//! Two partitions laid over each other ([`Spans::zip`]) are a partition again. That one
//! operation joins databases, lays overrides over them, and splits them at rules' networks.

use std::net::IpAddr;

/// An address as the engine counts: `u32` for IPv4, `u64` for the upper half of IPv6.
pub(crate) trait Key: Copy + Ord + Send + Sync + std::fmt::Debug + 'static {
    /// Width in bits.
    const BITS: u8;
    /// The highest address.
    const MAX: u64;
    /// The address as a number.
    fn to_u64(self) -> u64;
    /// The number as an address; the caller keeps it within [`Self::MAX`].
    fn from_u64(value: u64) -> Self;
    /// The network's first address when it belongs to this family.
    fn from_ip(ip: IpAddr) -> Option<Self>;
    /// The address as people write it.
    fn to_ip(self) -> IpAddr;
}

impl Key for u32 {
    const BITS: u8 = 32;
    const MAX: u64 = 0xffff_ffff;

    fn to_u64(self) -> u64 {
        u64::from(self)
    }

    fn from_u64(value: u64) -> Self {
        value as Self
    }

    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => Some(ip.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(self.into())
    }
}

impl Key for u64 {
    const BITS: u8 = 64;
    const MAX: Self = Self::MAX;

    fn to_u64(self) -> u64 {
        self
    }

    fn from_u64(value: u64) -> Self {
        value
    }

    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some((ip.to_bits() >> 64) as Self),
        }
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V6((u128::from(self) << 64).into())
    }
}

/// The whole address space in ascending spans; neighbours have different numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spans<K> {
    starts: Vec<K>,
    ids: Vec<u32>,
}

/// One span: first and last address, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) id: u32,
}

impl<K: Key> Spans<K> {
    /// Nothing yet; the first push must start at address zero.
    pub(crate) const fn new() -> Self {
        Self { starts: Vec::new(), ids: Vec::new() }
    }

    /// One span with one number.
    pub(crate) fn uniform(id: u32) -> Self {
        Self { starts: vec![K::from_u64(0)], ids: vec![id] }
    }

    /// From `first` on the number is `id`. Ascending; equal neighbours become one.
    pub(crate) fn push(&mut self, first: u64, id: u32) {
        if self.ids.last() != Some(&id) {
            self.starts.push(K::from_u64(first));
            self.ids.push(id);
        }
    }

    /// How many spans.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Every span in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        (0..self.ids.len()).map(|index| self.span(index))
    }

    /// The span that holds `key`.
    pub(crate) fn find(&self, key: K) -> Span {
        self.span(self.starts.partition_point(|start| *start <= key).saturating_sub(1))
    }

    /// Both partitions at once: `join` gives the number where both hold.
    pub(crate) fn zip(&self, other: &Self, mut join: impl FnMut(u32, u32) -> u32) -> Self {
        let mut joined = Self::new();
        self.zip_spans(other, |span, with| {
            let id = join(span.id, with);
            joined.push(span.first, id);
        });
        joined
    }

    /// Both partitions at once where `open` says that this one's number leaves something open:
    /// `join` gives the number there. Elsewhere this one's stands, however many the other's are.
    pub(crate) fn fill(
        &self,
        other: &Self,
        open: impl Fn(u32) -> bool,
        mut join: impl FnMut(u32, u32) -> u32,
    ) -> Self {
        let mut filled = Self::new();
        let mut there = 0;
        for span in self.iter() {
            if !open(span.id) {
                filled.push(span.first, span.id);
                continue;
            }
            let begun = |start: &K| start.to_u64() <= span.first;
            there += other.starts[there..].partition_point(begun).saturating_sub(1);
            let starts = other.starts[there..].iter().map(|start| start.to_u64().max(span.first));
            let inside =
                starts.zip(&other.ids[there..]).take_while(|(first, _)| *first <= span.last);
            inside.for_each(|(first, &id)| filled.push(first, join(span.id, id)));
        }
        filled
    }

    /// Calls `visit` for every piece of the common refinement: the piece with this
    /// partition's number, and the other's number.
    pub(crate) fn zip_spans(&self, other: &Self, mut visit: impl FnMut(Span, u32)) {
        let (mut here, mut there, mut first) = (0, 0, 0);
        while here < self.len() && there < other.len() {
            let (a, b) = (self.span(here), other.span(there));
            let last = a.last.min(b.last);
            visit(Span { first, last, id: a.id }, b.id);
            here += usize::from(a.last == last);
            there += usize::from(b.last == last);
            first = last.wrapping_add(1);
        }
    }

    /// Replaces every number in place; neighbours that become equal merge.
    pub(crate) fn renumber(&mut self, mut rename: impl FnMut(u32) -> u32) {
        let mut kept = 0;
        for index in 0..self.ids.len() {
            let id = rename(self.ids[index]);
            if kept == 0 || self.ids[kept - 1] != id {
                self.starts[kept] = self.starts[index];
                self.ids[kept] = id;
                kept += 1;
            }
        }
        self.starts.truncate(kept);
        self.ids.truncate(kept);
    }

    /// The number that holds everywhere, if there is one.
    pub(crate) fn everywhere(&self) -> Option<u32> {
        if let [id] = self.ids[..] { Some(id) } else { None }
    }

    /// The numbers of all spans, in ascending order of addresses.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The same partition with every number replaced; neighbours that become equal merge.
    pub(crate) fn map(&self, mut rename: impl FnMut(u32) -> u32) -> Self {
        let mut renamed = Self::new();
        for span in self.iter() {
            renamed.push(span.first, rename(span.id));
        }
        renamed
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.starts.capacity() * size_of::<K>() + self.ids.capacity() * 4
    }

    /// Gives back what growing has reserved.
    pub(crate) fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.ids.shrink_to_fit();
    }

    fn span(&self, index: usize) -> Span {
        let last = self.starts.get(index + 1).map_or(K::MAX, |next| next.to_u64() - 1);
        Span { first: self.starts[index].to_u64(), last, id: self.ids[index] }
    }
}

/// Networks that may lie inside one another, as a partition.
#[derive(Debug)]
pub(crate) struct Nested<K> {
    /// Number 0 is "in none", otherwise one more than the index of the longest network.
    pub(crate) spans: Spans<K>,
    /// Every distinct network, outer before inner.
    pub(crate) networks: Vec<NestedNetwork>,
}

/// One network of [`Nested`].
#[derive(Debug)]
pub(crate) struct NestedNetwork {
    /// The index of the next longer-reaching network around it.
    pub(crate) parent: Option<u32>,
    /// Which of the given networks this is: several when one was given more than once.
    pub(crate) given: Vec<u32>,
}

impl<K: Key> Nested<K> {
    /// `given`: first address and prefix length; host bits are ignored.
    pub(crate) fn new(given: &[(K, u8)]) -> Self {
        let mut sorted: Vec<(u64, u8, u32)> = given
            .iter()
            .zip(0..)
            .map(|(&(key, length), number)| {
                (block_first::<K>(key.to_u64(), length), length, number)
            })
            .collect();
        sorted.sort_unstable();
        let mut nested = Self { spans: Spans::uniform(0), networks: Vec::new() };
        let mut open: Vec<(u64, u8, u32)> = Vec::new();
        for (first, length, number) in sorted {
            nested.close(&mut open, Some(first));
            if let Some(&(_, _, index)) =
                open.last().filter(|top| (top.0, top.1) == (first, length))
            {
                nested.networks[index as usize].given.push(number);
                continue;
            }
            let index = nested.networks.len() as u32;
            let parent = open.last().map(|top| top.2);
            nested.networks.push(NestedNetwork { parent, given: vec![number] });
            nested.begin(first, index + 1);
            open.push((first, length, index));
        }
        nested.close(&mut open, None);
        nested
    }

    /// Ends every open network that does not reach `until`.
    fn close(&mut self, open: &mut Vec<(u64, u8, u32)>, until: Option<u64>) {
        while let Some(&(first, length, _)) = open.last() {
            let last = block_last::<K>(first, length);
            if until.is_some_and(|until| until <= last) {
                return;
            }
            open.pop();
            if last < K::MAX {
                let outer = open.last().map_or(0, |top| top.2 + 1);
                self.begin(last + 1, outer);
            }
        }
    }

    /// From `first` on the number is `id`, whatever an earlier call said of that address.
    fn begin(&mut self, first: u64, id: u32) {
        if self.spans.starts.last().is_some_and(|last| last.to_u64() == first) {
            self.spans.starts.pop();
            self.spans.ids.pop();
        }
        self.spans.push(first, id);
    }
}

/// The first address of the block of `length` bits that holds `address`.
pub(crate) fn block_first<K: Key>(address: u64, length: u8) -> u64 {
    address & !host_mask::<K>(length)
}

/// The last address of the block of `length` bits that holds `address`.
pub(crate) fn block_last<K: Key>(address: u64, length: u8) -> u64 {
    address | host_mask::<K>(length)
}

/// Ones where a network of `length` bits has host bits.
pub(crate) fn host_mask<K: Key>(length: u8) -> u64 {
    if length == 0 { K::MAX } else { (1 << (K::BITS - length.min(K::BITS))) - 1 }
}

/// The fewest blocks that make up `first..=last`, ascending, as first address and length.
pub(crate) fn blocks<K: Key>(first: u64, last: u64) -> impl Iterator<Item = (u64, u8)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let first = next?;
        let length = block_length::<K>(first, last);
        let end = block_last::<K>(first, length);
        next = (end < last).then(|| end + 1);
        Some((first, length))
    })
}

/// The shortest prefix of a block that begins at `first` and does not pass `last`.
fn block_length<K: Key>(first: u64, last: u64) -> u8 {
    let aligned = first.trailing_zeros().min(u32::from(K::BITS));
    let room = (last - first).checked_add(1).map_or_else(|| u32::from(K::BITS), u64::ilog2);
    K::BITS - aligned.min(room) as u8
}

/// The block that holds `key` among those that make up `first..=last`: with `s - 1` and
/// `e + 1` outside, its length is one more than the longest prefix `key` shares with either.
pub(crate) fn block_of<K: Key>(key: u64, span: Span) -> (u64, u8) {
    let shared = |other: u64| ((key ^ other) << (64 - K::BITS)).leading_zeros() as u8 + 1;
    let below = if span.first == 0 { 0 } else { shared(span.first - 1) };
    let above = if span.last == K::MAX { 0 } else { shared(span.last + 1) };
    let length = below.max(above);
    (block_first::<K>(key, length), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pieces: &[(u64, u32)]) -> Spans<u32> {
        let mut spans = Spans::new();
        pieces.iter().for_each(|&(first, id)| spans.push(first, id));
        spans
    }

    #[test]
    fn equal_neighbours_are_one_span() {
        assert_eq!(spans(&[(0, 1), (10, 1), (20, 2)]), spans(&[(0, 1), (20, 2)]));
    }

    #[test]
    fn renumbered_neighbours_that_become_equal_merge() {
        let mut renumbered = spans(&[(0, 1), (10, 2), (20, 3), (30, 1)]);
        renumbered.renumber(|id| id / 2);
        assert_eq!(renumbered, spans(&[(0, 0), (10, 1), (30, 0)]));
        assert_eq!(
            (renumbered.everywhere(), Spans::<u32>::uniform(7).everywhere()),
            (None, Some(7))
        );
    }

    #[test]
    fn a_zip_is_the_common_refinement() {
        let zipped =
            spans(&[(0, 1), (10, 2)]).zip(&spans(&[(0, 0), (5, 7), (15, 0)]), |a, b| a * 10 + b);
        assert_eq!(zipped, spans(&[(0, 10), (5, 17), (10, 27), (15, 20)]));
    }

    #[test]
    fn gaps_are_filled_and_only_gaps() {
        let some = spans(&[(0, 0), (10, 1), (20, 0), (30, 2), (40, 0)]);
        let others = spans(&[(0, 5), (5, 6), (15, 7), (25, 8), (50, 9)]);
        let filled = some.fill(&others, |id| id == 0, |_, other| other);
        let zipped = some.zip(&others, |id, other| if id == 0 { other } else { id });
        assert_eq!(filled, zipped);
    }

    #[test]
    fn the_longest_network_is_named_and_outer_ones_return_after_it() {
        let nested = Nested::<u32>::new(&[(0x0a00_0000, 8), (0x0a01_0000, 16), (0x0a00_0000, 8)]);
        let expected =
            [(0, 0), (0x0a00_0000, 1), (0x0a01_0000, 2), (0x0a02_0000, 1), (0x0b00_0000, 0)];
        assert_eq!(nested.spans, spans(&expected));
        assert_eq!(nested.networks[0].given, [0, 2]);
        assert_eq!(nested.networks[1].parent, Some(0));
    }

    #[test]
    fn networks_at_the_ends_of_the_space_close_well() {
        let nested = Nested::<u32>::new(&[(0, 0), (0, 1), (0xffff_ffff, 32), (0, 32)]);
        let expected = [(0, 3), (1, 2), (0x8000_0000, 1), (0xffff_ffff, 4)];
        assert_eq!(nested.spans, spans(&expected));
    }

    #[test]
    fn blocks_cover_a_span_without_a_gap() {
        for (first, last) in [(0, u64::from(u32::MAX)), (1, 1), (3, 77), (5, u64::from(u32::MAX))] {
            let mut next = first;
            for (start, length) in blocks::<u32>(first, last) {
                assert_eq!(start, next);
                let span = Span { first, last, id: 0 };
                assert_eq!(block_of::<u32>(start, span), (start, length));
                next = block_last::<u32>(start, length) + 1;
            }
            assert_eq!(next, last + 1);
        }
        assert_eq!(blocks::<u64>(0, u64::MAX).collect::<Vec<_>>(), [(0, 0)]);
    }
}
