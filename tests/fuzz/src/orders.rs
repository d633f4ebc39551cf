//! Orders to all nodes: nothing unsigned is carried out, and nothing twice.

use meridian::orders::order::{Fault, LASTING_MAX};
use meridian::orders::{Book, Order, book};
use meridian::seal::{Kind, SigningKey, seal};

thread_local! {
    static KEY: SigningKey = SigningKey::generate().expect("a key");
}

/// Some time, in seconds since 1970.
const WALL: u64 = 1_800_000_000;

/// Reads the octets as an order, bare and signed, and as what a node hands on.
pub fn run(octets: &[u8]) {
    let understood = Order::decode(octets);
    if let Some(order) = &understood {
        assert_eq!(Order::decode(&order.encode()).as_ref(), Some(order));
        assert!(!order.reason.chars().any(char::is_control), "{order:?}");
    }
    KEY.with(|key| {
        let known = |_: &str| Some(key.public());
        let mut book = Book::default();
        let bare = book.take(octets, None, known, WALL).map(|_| ());
        assert!(matches!(bare, Err(Fault::Seal(_))), "nobody signed this");
        for handed in book::handed(octets).into_iter().flatten() {
            let taken = book.take(&handed.sealed, handed.left, known, WALL).map(|_| ());
            assert!(taken.is_err(), "nobody signed this either");
        }
        let sealed = seal(key, Kind::Override, "anna", octets);
        let taken = book.take(&sealed, Some(7), known, WALL);
        assert_eq!(taken.is_ok(), understood.is_some(), "{taken:?}");
        let Some(order) = understood else { return };
        let again = book.take(&sealed, None, known, WALL).map(|entry| entry.is_some());
        assert_eq!(again, Ok(false), "the same once more");
        for entry in book.entries().filter(|_| order.begins.is_none()) {
            assert!(entry.until.is_none_or(|until| until <= WALL + LASTING_MAX), "{entry:?}");
        }
        let handed = book::handed(&book.hand(WALL)).expect("what is handed on is understood");
        assert_eq!(handed.len(), book.entries().count());
    });
}
