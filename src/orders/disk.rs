//! A book on disk: `orders` in the state folder, the signed orders with their ends. Signatures are
//! looked at again when it is read; what does not hold is left out and told.

use std::io;
use std::path::Path;

use super::book::Book;
use crate::health::persist;
use crate::seal::PublicKey;

/// The file.
pub const FILE: &str = "orders";
/// The version written, and the only one read.
const VERSION: u8 = 1;

/// A signed order with its end.
type Kept = (Vec<u8>, Option<u64>);
/// What stands in it: the version, the floor, and orders.
type Written = (u8, u64, Vec<Kept>);

/// What was kept, with lines for the log.
pub fn load(
    directory: &Path,
    key_of: impl Fn(&str) -> Option<PublicKey>,
    wall: u64,
) -> (Book, Vec<String>) {
    let path = directory.join(FILE);
    let octets = match persist::read(&path) {
        Ok(Some(octets)) => octets,
        Ok(None) => return (Book::default(), Vec::new()),
        Err(warning) => return (Book::default(), vec![warning]),
    };
    let Some((floor, entries)) = parse(&octets) else {
        let warning = persist::set_aside(&path, "these octets are no orders");
        return (Book::default(), vec![warning]);
    };
    let (mut book, mut warnings) = (Book::default(), Vec::new());
    for (sealed, until) in entries {
        if let Err(fault) = book.restore(&sealed, until, &key_of, wall) {
            warnings.push(format!("{}: an order is left out: {fault}", path.display()));
        }
    }
    book.raise(floor);
    (book, warnings)
}

/// Writes a book down.
///
/// # Errors
/// When the directory cannot be written; the file there stays as it was.
pub fn save(directory: &Path, book: &Book) -> io::Result<()> {
    let entries = book.entries().map(|entry| (entry.sealed.clone(), entry.until)).collect();
    let written: Written = (VERSION, book.floor(), entries);
    let octets = postcard::to_allocvec(&written).map_err(io::Error::other)?;
    persist::write_whole(&directory.join(FILE), &octets)
}

fn parse(octets: &[u8]) -> Option<(u64, Vec<Kept>)> {
    let ((version, floor, entries), rest): (Written, _) = postcard::take_from_bytes(octets).ok()?;
    (version == VERSION && rest.is_empty()).then_some((floor, entries))
}

#[cfg(test)]
mod tests {
    use super::super::order::What;
    use super::super::order::tests::order;
    use super::*;
    use crate::seal::SigningKey;

    const WALL: u64 = 1_790_000_000;

    #[test]
    fn a_book_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate().expect("a key");
        let known = |_: &str| Some(key.public());
        assert_eq!(
            load(folder.path(), known, WALL),
            (Book::default(), Vec::new()),
            "a first start"
        );
        let mut book = Book::default();
        for number in [1, 2] {
            let order = order(number, &format!("member.{number}"), What::Release);
            let sealed = order.seal(&key, "anna").expect("signed");
            book.take(&sealed, Some(5), known, WALL).expect("taken");
        }
        save(folder.path(), &book).expect("written");
        assert_eq!(load(folder.path(), known, WALL), (book, Vec::new()));
        let (left, warnings) = load(folder.path(), |_| None, WALL);
        assert_eq!((left, warnings.len()), (Book::default(), 2), "{warnings:?}");
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_told() {
        for octets in [&b""[..], b"\x02\0\0", b"\x01\0\x05", b"\x01\0\0\0"] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(FILE), octets).expect("written");
            let (book, warnings) = load(folder.path(), |_| None, WALL);
            assert_eq!((book, warnings.len()), (Book::default(), 1), "{octets:?}");
            assert!(warnings[0].contains("set aside as"), "{}", warnings[0]);
            assert!(folder.path().join("orders.damaged-1").exists());
        }
    }
}
