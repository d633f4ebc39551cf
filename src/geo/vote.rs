//! Votes splits away that are too fine for any resolver to ask about: within such a block the
//! addresses that no operator's network tells apart all get the order most of them have.

use std::cmp::Reverse;

use crate::geo::spans::{Key, Span, Spans, block_last, host_mask};

/// Order spans on their way through the vote, ascending.
pub(crate) struct Vote<'h, K> {
    /// Splits below this prefix length are voted away.
    min_prefix: u8,
    /// For each order, a number for its rule and first candidate.
    heads: &'h [u32],
    /// Pieces of the block being counted, each with the operator's network it lies in.
    pending: Vec<(Span, u32)>,
    settled: Spans<K>,
    /// Room to count in.
    tally: Vec<(u32, u64)>,
}

impl<'h, K: Key> Vote<'h, K> {
    /// Nothing counted yet.
    pub(crate) fn new(min_prefix: u8, heads: &'h [u32]) -> Self {
        let (pending, tally) = (Vec::new(), Vec::new());
        Self { min_prefix, heads, pending, settled: Spans::new(), tally }
    }

    /// What is left when the last address has been counted.
    pub(crate) fn finish(self) -> Spans<K> {
        self.settled
    }

    /// Counts a span with its order and the operator's network it lies in.
    #[inline]
    pub(crate) fn add(&mut self, mut span: Span, network: u32) {
        let host = host_mask::<K>(self.min_prefix);
        loop {
            let block_end = block_last::<K>(span.first, self.min_prefix);
            let whole_blocks =
                self.pending.is_empty() && span.first & host == 0 && span.last >= block_end;
            let end = if whole_blocks {
                self.settled.push(span.first, span.id);
                // The last block end the span reaches.
                if span.last & host == host { span.last } else { (span.last & !host) - 1 }
            } else {
                let end = span.last.min(block_end);
                self.pending.push((Span { last: end, ..span }, network));
                if end == block_end {
                    self.settle();
                }
                end
            };
            if end == span.last {
                return;
            }
            span.first = end + 1;
        }
    }

    /// Ends the block: the pieces outside any operator's network vote together, and those
    /// in one network likewise.
    fn settle(&mut self) {
        let mut pieces = std::mem::take(&mut self.pending);
        let (mut network, mut order) = (None, 0);
        for (span, within) in &pieces {
            if network != Some(*within) {
                (network, order) = (Some(*within), self.winner(&pieces, *within));
            }
            self.settled.push(span.first, order);
        }
        pieces.clear();
        self.pending = pieces;
    }

    /// The commonest order among those with the commonest head.
    fn winner(&mut self, pieces: &[(Span, u32)], network: u32) -> u32 {
        let heads = self.heads;
        let peers = || pieces.iter().filter(|piece| piece.1 == network).map(|piece| piece.0);
        let head = most(&mut self.tally, peers().map(|peer| (heads[peer.id as usize], peer)));
        let leading = peers().filter(|peer| heads[peer.id as usize] == head);
        most(&mut self.tally, leading.map(|peer| (peer.id, peer)))
    }
}

/// The choice with the most addresses; among equals the lower one, always, so that blocks
/// with the same split end up alike.
fn most(tally: &mut Vec<(u32, u64)>, votes: impl Iterator<Item = (u32, Span)>) -> u32 {
    tally.clear();
    for (choice, span) in votes {
        let count = span.last - span.first + 1;
        match tally.iter_mut().find(|entry| entry.0 == choice) {
            Some(entry) => entry.1 += count,
            None => tally.push((choice, count)),
        }
    }
    tally.iter().min_by_key(|&&(choice, count)| (Reverse(count), choice)).map_or(0, |best| best.0)
}
