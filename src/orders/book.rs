//! What a node has heard of orders: for each target the newest, with its signature.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::order::{Fault, Order, What};
use crate::health::overrides::{Override, OverrideTarget};
use crate::seal::PublicKey;

/// Orders kept. Those that are over make room for others, the oldest first.
pub const ENTRIES_MAX: usize = 256;
/// The version written, and the only one read.
const VERSION: u8 = 1;

/// All orders of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    entries: BTreeMap<Slot, Entry>,
    /// What made room had numbers up to this one: older orders are not taken any more.
    floor: u64,
}

/// What one order takes the place of another by: over what, and for the clients of which area.
type Slot = (String, Option<Box<str>>);

/// An order that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was ordered.
    pub order: Order,
    /// Whose signature it has.
    pub signer: String,
    /// With that signature, to be handed on.
    pub sealed: Vec<u8>,
    /// When it ends, in seconds since 1970 by the clock of this machine; `None` for never.
    pub until: Option<u64>,
}

/// An order on its way from node to node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// With its signature.
    pub sealed: Vec<u8>,
    /// For how many seconds more it holds there; `None` until it is released.
    pub left: Option<u64>,
}

impl Entry {
    /// The override it sets; `None` for a release.
    pub fn as_override(&self) -> Option<Override> {
        let What::Set(state) = self.order.what else { return None };
        Some(Override {
            target: self.order.target.clone(),
            area: self.order.area.clone(),
            state,
            reason: self.order.reason.clone(),
            by: self.order.by.clone(),
            until: self.until,
        })
    }

    /// True when nothing of it holds at `wall`, in seconds since 1970.
    pub fn is_over(&self, wall: u64) -> bool {
        self.order.what == What::Release || self.until.is_some_and(|until| until <= wall)
    }

    /// Which of two orders over the same counts: one for all nodes, whoever hears them in which
    /// order.
    fn rank(&self) -> (u64, &str, &[u8]) {
        (self.order.number, &self.signer, &self.sealed)
    }

    fn slot(&self) -> Slot {
        (self.order.target.to_string(), self.order.area.clone())
    }
}

impl Book {
    /// The greatest number that is known.
    pub fn newest(&self) -> u64 {
        self.entries.values().map(|entry| entry.order.number).max().unwrap_or(0).max(self.floor)
    }

    /// All that is kept, by target.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The order over `target` for the clients of `area`.
    pub fn over(&self, target: &OverrideTarget, area: Option<&str>) -> Option<&Entry> {
        self.entries.get(&(target.to_string(), area.map(Into::into)))
    }

    /// Numbers up to this one are not taken any more, where nothing of them is kept.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// A number that two books with the same orders share, and others hardly ever.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.entries.values().map(|entry| &*entry.sealed))
    }

    /// Takes an order in; `left` is for how long it still holds where it comes from. Gives what is
    /// to be done where it is news, and nothing where it is known or a newer one is.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn take(
        &mut self,
        sealed: &[u8],
        left: Option<u64>,
        key_of: impl FnOnce(&str) -> Option<PublicKey>,
        wall: u64,
    ) -> Result<Option<&Entry>, Fault> {
        // Others say all they have again and again; a signature costs more than a look.
        if self.entries.values().any(|entry| entry.sealed == sealed) {
            return Ok(None);
        }
        let (order, signer) = Order::open(sealed, key_of)?;
        let until = match (order.begins, order.seconds) {
            (_, None) => None,
            (Some(begins), Some(seconds)) => Some(begins.saturating_add(seconds)),
            // Nobody can make it hold for longer than was signed.
            (None, Some(seconds)) => Some(wall + left.unwrap_or(seconds).min(seconds)),
        };
        self.enter(Entry { order, signer, sealed: sealed.to_vec(), until }, wall)
    }

    /// Enters an order that was taken before, as it was.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn restore(
        &mut self,
        sealed: &[u8],
        until: Option<u64>,
        key_of: impl FnOnce(&str) -> Option<PublicKey>,
        wall: u64,
    ) -> Result<(), Fault> {
        let (order, signer) = Order::open(sealed, key_of)?;
        self.enter(Entry { order, signer, sealed: sealed.to_vec(), until }, wall).map(|_| ())
    }

    /// Forgets orders of those who are not known any more, or by another key.
    pub fn retain(&mut self, key_of: impl Fn(&str) -> Option<PublicKey>) {
        self.entries.retain(|_, entry| Order::open(&entry.sealed, &key_of).is_ok());
    }

    /// Has numbers up to `floor` not taken any more.
    pub fn raise(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    fn enter(&mut self, entry: Entry, wall: u64) -> Result<Option<&Entry>, Fault> {
        let slot = entry.slot();
        match self.entries.get(&slot) {
            Some(known) if known.rank() >= entry.rank() => return Ok(None),
            None if entry.order.number <= self.floor => return Ok(None),
            None if self.entries.len() >= ENTRIES_MAX => self.make_room(wall)?,
            _ => {}
        }
        self.entries.insert(slot.clone(), entry);
        Ok(self.entries.get(&slot))
    }

    /// Forgets the oldest order that is over.
    fn make_room(&mut self, wall: u64) -> Result<(), Fault> {
        let over = self.entries.iter().filter(|(_, entry)| entry.is_over(wall));
        let oldest = over.min_by_key(|(_, entry)| entry.order.number);
        let (slot, number) =
            oldest.map(|(slot, entry)| (slot.clone(), entry.order.number)).ok_or(Fault::TooMany)?;
        self.entries.remove(&slot);
        self.raise(number);
        Ok(())
    }

    /// All of it, to be handed on at `wall`.
    pub fn hand(&self, wall: u64) -> Vec<u8> {
        let handed = self.entries.values().map(|entry| Handed {
            sealed: entry.sealed.clone(),
            left: entry.until.map(|until| until.saturating_sub(wall)),
        });
        // Of octets and numbers: it can always be written.
        postcard::to_allocvec(&(VERSION, handed.collect::<Vec<_>>())).unwrap_or_default()
    }
}

/// Reads what another node [handed on](Book::hand); `None` for anything else.
pub fn handed(octets: &[u8]) -> Option<Vec<Handed>> {
    let ((version, handed), rest): ((u8, Vec<Handed>), _) =
        postcard::take_from_bytes(octets).ok()?;
    (version == VERSION && rest.is_empty() && handed.len() <= ENTRIES_MAX).then_some(handed)
}

/// As [`Book::fingerprint`], of what another node has handed on.
pub fn fingerprint<'a>(sealed: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut all: Vec<&[u8]> = sealed.collect();
    all.sort_unstable();
    // Its keys are fixed within a version of the standard library; nodes of two versions would
    // be told as different until they are the same.
    let mut hasher = DefaultHasher::new();
    all.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::order::tests::order;
    use super::*;
    use crate::health::overrides::OverrideState;
    use crate::seal::{self, SigningKey};

    const DRAIN: What = What::Set(OverrideState::Drain);
    const WALL: u64 = 1_790_000_000;

    struct Operator(SigningKey);

    impl Operator {
        fn new() -> Self {
            Self(SigningKey::generate().expect("a key"))
        }

        fn signed(&self, order: &Order) -> Vec<u8> {
            order.seal(&self.0, "anna").expect("signed")
        }

        fn takes(&self, book: &mut Book, sealed: &[u8]) -> bool {
            let taken = book.take(sealed, None, |_| Some(self.0.public()), WALL);
            taken.expect("authorised").is_some()
        }
    }

    #[test]
    fn an_order_counts_once() {
        let (anna, mut book) = (Operator::new(), Book::default());
        let drain = anna.signed(&order(1, "region.fra", DRAIN));
        let release = anna.signed(&order(2, "region.fra", What::Release));
        assert!(anna.takes(&mut book, &drain));
        assert!(!anna.takes(&mut book, &drain), "the same once more");
        assert!(anna.takes(&mut book, &release));
        assert!(!anna.takes(&mut book, &drain), "what was released stays released");
        assert!(anna.takes(&mut book, &anna.signed(&order(2, "region.iad", DRAIN))), "another");
        assert_eq!((book.newest(), book.entries().count()), (2, 2));
    }

    #[test]
    fn books_become_the_same_whatever_way_orders_come() {
        let anna = Operator::new();
        let orders = [
            order(1, "region.fra", DRAIN),
            order(2, "region.fra", What::Set(OverrideState::Down)),
            order(2, "region.fra", What::Release),
            Order { area: Some("asia".into()), ..order(1, "region.fra", DRAIN) },
            order(3, "member.192.0.2.1", DRAIN),
        ];
        let sealed: Vec<Vec<u8>> = orders.iter().map(|order| anna.signed(order)).collect();
        let mut books = Vec::new();
        for first in 0..sealed.len() {
            for step in [1, 2, 3, 4] {
                let mut book = Book::default();
                for at in 0..sealed.len() {
                    anna.takes(&mut book, &sealed[(first + at * step) % sealed.len()]);
                }
                books.push(book);
            }
        }
        assert!(books.iter().all(|book| *book == books[0]), "one book in the end");
        assert_eq!(books[0].entries().count(), 3);
    }

    #[test]
    fn what_is_late_holds_for_what_is_left() {
        let anna = Operator::new();
        let key_of = |_: &str| Some(anna.0.public());
        let sealed = anna.signed(&order(1, "region.fra", DRAIN));
        let until = |left| {
            let mut book = Book::default();
            let entry = book.take(&sealed, left, key_of, WALL).expect("taken").expect("news");
            entry.until
        };
        assert_eq!(until(None), Some(WALL + 3600));
        assert_eq!(until(Some(60)), Some(WALL + 60));
        assert_eq!(until(Some(u64::MAX)), Some(WALL + 3600), "no longer than was signed");
        let begins = Order { begins: Some(WALL + 100), ..order(1, "region.fra", DRAIN) };
        let mut book = Book::default();
        let entry = book.take(&anna.signed(&begins), Some(5), key_of, WALL);
        assert_eq!(entry.expect("taken").expect("news").until, Some(WALL + 3700));
    }

    #[test]
    fn what_is_handed_on_is_taken_elsewhere() {
        let (anna, mut book, mut other) = (Operator::new(), Book::default(), Book::default());
        anna.takes(&mut book, &anna.signed(&order(1, "region.fra", DRAIN)));
        anna.takes(&mut book, &anna.signed(&order(2, "region.iad", What::Release)));
        for Handed { sealed, left } in handed(&book.hand(WALL + 600)).expect("a book") {
            let taken = other.take(&sealed, left, |_| Some(anna.0.public()), WALL + 600);
            assert!(taken.expect("authorised").is_some());
        }
        assert_eq!(other.fingerprint(), book.fingerprint());
        let untils = |book: &Book| book.entries().map(|entry| entry.until).collect::<Vec<_>>();
        assert_eq!(untils(&other), untils(&book), "the ends are the same too");
        let octets = book.hand(WALL);
        assert!((0..octets.len()).all(|length| handed(&octets[..length]).is_none()));
        assert_eq!(handed(&[&octets[..], &[0]].concat()), None);
    }

    #[test]
    fn a_stranger_changes_nothing() {
        let (anna, mallory, mut book) = (Operator::new(), Operator::new(), Book::default());
        let sealed = mallory.signed(&order(9, "region.fra", DRAIN));
        let unknown = book.take(&sealed, None, |_| None, WALL);
        assert_eq!(unknown, Err(Fault::Seal(seal::Fault::UnknownSigner)));
        let forged = book.take(&sealed, None, |_| Some(anna.0.public()), WALL);
        assert_eq!(forged, Err(Fault::Seal(seal::Fault::Forged)));
        assert_eq!(book, Book::default());
    }

    #[test]
    fn whose_key_is_gone_is_not_handed_on() {
        let (anna, mut book) = (Operator::new(), Book::default());
        anna.takes(&mut book, &anna.signed(&order(1, "region.fra", DRAIN)));
        book.retain(|_| Some(anna.0.public()));
        assert_eq!(book.entries().count(), 1);
        book.retain(|_| None);
        assert_eq!(book.entries().count(), 0);
    }

    #[test]
    fn a_book_is_bounded_and_what_made_room_does_not_return() {
        let (anna, mut book) = (Operator::new(), Book::default());
        let member = |number: u64| format!("member.{number}");
        let first = anna.signed(&order(1, &member(1), What::Release));
        anna.takes(&mut book, &first);
        for number in 2..=ENTRIES_MAX as u64 {
            anna.takes(&mut book, &anna.signed(&order(number, &member(number), DRAIN)));
        }
        assert!(anna.takes(&mut book, &anna.signed(&order(1000, &member(1000), DRAIN))));
        assert_eq!((book.entries().count(), book.floor()), (ENTRIES_MAX, 1));
        assert!(!anna.takes(&mut book, &first), "it was forgotten, and is not new");
        let more = anna.signed(&order(1001, &member(1001), DRAIN));
        let taken = book.take(&more, None, |_| Some(anna.0.public()), WALL);
        assert_eq!(taken, Err(Fault::TooMany), "all of them are in force");
        let later = book.take(&more, None, |_| Some(anna.0.public()), WALL + 3600);
        assert!(later.expect("taken").is_some(), "they have ended by then");
    }
}
