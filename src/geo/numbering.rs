//! Numbers for orders: equal ones share one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::geo::ground::{Point, add, normal};
use crate::geo::map::{ORDER_MAX, Order};
use crate::region::AreaId;

/// What makes an order: everything but the representative point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    rule: Option<u8>,
    area: AreaId,
    sites: [u16; ORDER_MAX],
    len: u8,
    own: u8,
    tied: u8,
    cut: bool,
}

impl Key {
    /// No rule matched.
    pub(crate) const NONE: Self = Self {
        rule: None,
        area: AreaId::WORLD,
        sites: [0; ORDER_MAX],
        len: 0,
        own: 0,
        tied: 0,
        cut: false,
    };

    /// The same for clients of an area.
    pub(crate) const fn in_area(self, area: AreaId) -> Self {
        Self { area, ..self }
    }

    /// A rule's own sites and then the others, best first, as many as are kept; the first `tied`
    /// own ones are equally near, and `all` is how many there are.
    pub(crate) fn new(
        rule: u8,
        own: impl Iterator<Item = u16>,
        tied: usize,
        others: impl Iterator<Item = u16>,
        all: usize,
    ) -> Self {
        let mut key = Self { rule: Some(rule), ..Self::NONE };
        let own = own.map(|site| (site, 1));
        for (slot, (site, is_own)) in key.sites.iter_mut().zip(own.chain(others.map(|s| (s, 0)))) {
            *slot = site;
            key.len += 1;
            key.own += is_own;
        }
        key.tied = key.own.min(tied.max(1) as u8);
        key.cut = all > usize::from(key.len);
        key
    }
}

/// The orders found so far.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    numbers: HashMap<Key, u32, BuildHasherDefault<KeyHasher>>,
    found: Vec<Order>,
    /// For each order, the sum of its clients' points by number of addresses.
    sums: Vec<Point>,
    /// What was numbered last: neighbours mostly have the same order.
    last: Option<(Key, u32)>,
}

impl Numbering {
    /// The number of an order.
    pub(crate) fn number(&mut self, key: Key) -> u32 {
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == key) {
            return number;
        }
        let number = *self.numbers.entry(key).or_insert_with(|| {
            let Key { rule, area, sites, len, own, tied, cut } = key;
            let number = self.found.len() as u32;
            let at = [0.0; 3];
            self.found.push(Order { number, rule, area, sites, len, own, tied, cut, at });
            self.sums.push([0.0; 3]);
            number
        });
        self.last = Some((key, number));
        number
    }

    /// Counts `weight` addresses at `point` among the clients of an order.
    pub(crate) fn weigh(&mut self, number: u32, point: &Point, weight: f32) {
        add(&mut self.sums[number as usize], point, weight.into());
    }

    /// The orders by number; their points are only known at the end.
    pub(crate) fn found(&self) -> &[Order] {
        &self.found
    }

    /// All orders by number, each with the point that stands for its clients.
    pub(crate) fn finish(mut self) -> Box<[Order]> {
        for (order, sum) in self.found.iter_mut().zip(&self.sums) {
            if let Some(point) = normal(sum) {
                order.at = point.map(|value| value as f32);
            }
        }
        self.found.into_boxed_slice()
    }
}

/// A hash good enough for orders, which nobody chooses to make trouble: a word at a time, one
/// multiplication each.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// The table looks at the low bits, and a product is at its best in the high ones.
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
