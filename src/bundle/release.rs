//! Which contents are to be served: said by a publisher, under a serial that only grows.

use serde::{Deserialize, Serialize};

use super::contents::Hash;
use crate::seal::{self, Kind, PublicKey, SigningKey};

/// Longest word of a publisher on a release, in octets.
const NOTE_MAX: usize = 200;

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Greater than that of every release before.
    pub serial: u64,
    /// The contents.
    pub hash: Hash,
    /// How many octets they have.
    pub octets: u64,
    /// When it was made, in seconds since 1970; only shown.
    pub made_at: u64,
    /// What its publisher says of it.
    pub note: String,
}

/// Why a release is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The envelope does not hold.
    #[error("the signature is refused: {0}")]
    Seal(#[from] seal::Fault),
    /// What is in it is no release.
    #[error("these octets are no release")]
    Broken,
}

impl Release {
    /// Signs it as `publisher`.
    pub fn seal(&self, key: &SigningKey, publisher: &str) -> Vec<u8> {
        // Of numbers and a text: it can always be written.
        let payload = postcard::to_allocvec(self).unwrap_or_default();
        seal::seal(key, Kind::Bundle, publisher, &payload)
    }

    /// Opens what a publisher signed, whose key `key_of` knows; also tells who it is.
    ///
    /// # Errors
    /// Either [`Fault`].
    pub fn open(
        octets: &[u8],
        key_of: impl FnOnce(&str) -> Option<PublicKey>,
    ) -> Result<(Self, String), Fault> {
        let opened = seal::open(octets, Kind::Bundle, key_of)?;
        let (release, rest): (Self, _) =
            postcard::take_from_bytes(opened.payload).map_err(|_| Fault::Broken)?;
        if !rest.is_empty()
            || release.note.len() > NOTE_MAX
            || release.octets > super::contents::OCTETS_MAX as u64
        {
            return Err(Fault::Broken);
        }
        Ok((release, opened.signer.to_owned()))
    }

    /// `text`, as long as a note may be.
    pub fn note(text: &str) -> String {
        let mut end = text.len().min(NOTE_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_publisher_releases() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let release = Release {
            serial: 7,
            hash: Hash::of(b"contents"),
            octets: 8,
            made_at: 0,
            note: Release::note(&"é".repeat(300)),
        };
        let octets = release.seal(&key, "ops");
        let known = |name: &str| (name == "ops").then(|| key.public());
        assert_eq!(Release::open(&octets, known), Ok((release.clone(), "ops".to_owned())));
        let forged = release.seal(&other, "ops");
        assert_eq!(Release::open(&forged, known), Err(Fault::Seal(seal::Fault::Forged)));
        let stranger = release.seal(&other, "mallory");
        let fault = Fault::Seal(seal::Fault::UnknownSigner);
        assert_eq!(Release::open(&stranger, known), Err(fault));
        let report = seal::seal(&key, Kind::Report, "ops", b"");
        assert_eq!(Release::open(&report, known), Err(Fault::Seal(seal::Fault::Kind)));
        let empty = seal::seal(&key, Kind::Bundle, "ops", b"");
        assert_eq!(Release::open(&empty, known), Err(Fault::Broken));
    }
}
