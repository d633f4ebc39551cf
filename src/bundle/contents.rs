//! What a bundle holds, and the octets it travels as. Pure: no file is opened here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Octets of a bundle in all.
pub const OCTETS_MAX: usize = 64 << 20;
/// Files in a bundle.
pub const FILES_MAX: usize = 20_000;
/// Octets of a path, and parts of it.
const PATH_MAX: usize = 255;
const DEPTH_MAX: usize = 8;
/// Folders that a bundle may fill.
const FOLDERS: [&str; 3] = ["zones", "geo", "probes"];
/// GeoIP databases are the node's own: large, licensed, and fetched by other means.
const DATABASE: &str = ".mmdb";
/// The version written, and the only one read.
const VERSION: u8 = 1;

/// What contents are called: SHA-256 of their octets. As text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of `octets`.
    pub fn of(octets: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, octets).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(Fault::Broken);
        }
        for (octet, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *octet = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| Fault::Broken)?;
        }
        Ok(Self(hash))
    }
}

/// Files by their paths, with `/` between the parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents(BTreeMap<String, Vec<u8>>);

/// A path and what stands there, as they travel.
type File<'a> = (&'a str, &'a [u8]);

/// Why contents are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Octets that are no bundle of this version.
    #[error("these octets are no bundle")]
    Broken,
    /// A path that no bundle has.
    #[error("a bundle has no file '{0}': it holds zones/, geo/ and probes/, and no databases")]
    Path(String),
    /// Too many files.
    #[error("a bundle has {FILES_MAX} files at most")]
    Files,
    /// Too many octets.
    #[error("a bundle has 64 MiB at most")]
    Long,
}

/// True for a path that a bundle may hold: relative, below one of its folders, of plain names
/// only. Nothing in it leads anywhere else.
pub fn is_path(path: &str) -> bool {
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let plain = |part: &str| {
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    let depth = path.split('/').count();
    FOLDERS.contains(&first)
        && (2..=DEPTH_MAX).contains(&depth)
        && path.len() <= PATH_MAX
        && parts.all(plain)
        && !path.ends_with(DATABASE)
}

impl Contents {
    /// Adds a file.
    ///
    /// # Errors
    /// Every [`Fault`] but [`Fault::Broken`].
    pub fn add(&mut self, path: &str, octets: Vec<u8>) -> Result<(), Fault> {
        if !is_path(path) {
            return Err(Fault::Path(path.chars().take(PATH_MAX).collect()));
        }
        let before: usize = self.0.values().map(Vec::len).sum();
        if before + octets.len() > OCTETS_MAX - FILES_MAX {
            return Err(Fault::Long);
        }
        self.0.insert(path.to_owned(), octets);
        if self.0.len() > FILES_MAX { Err(Fault::Files) } else { Ok(()) }
    }

    /// Paths and octets, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, octets)| (path.as_str(), octets.as_slice()))
    }

    /// The octets that it travels as; the same for the same files.
    ///
    /// # Errors
    /// [`Fault::Long`].
    pub fn encode(&self) -> Result<Vec<u8>, Fault> {
        let files: Vec<File<'_>> = self.files().collect();
        let octets = postcard::to_allocvec(&(VERSION, files)).map_err(|_| Fault::Long)?;
        if octets.len() > OCTETS_MAX { Err(Fault::Long) } else { Ok(octets) }
    }

    /// Reads what [`Self::encode`] wrote, and nothing else: the files are in order and each stands
    /// there once, so that the same files have one hash.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn decode(octets: &[u8]) -> Result<Self, Fault> {
        if octets.len() > OCTETS_MAX {
            return Err(Fault::Long);
        }
        let (written, rest) = postcard::take_from_bytes(octets).map_err(|_| Fault::Broken)?;
        let (version, files): (u8, Vec<File<'_>>) = written;
        if version != VERSION || !rest.is_empty() {
            return Err(Fault::Broken);
        }
        if files.len() > FILES_MAX {
            return Err(Fault::Files);
        }
        if !files.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(Fault::Broken);
        }
        if let Some((path, _)) = files.iter().find(|(path, _)| !is_path(path)) {
            return Err(Fault::Path(path.chars().take(PATH_MAX).collect()));
        }
        let owned = |(path, octets): File<'_>| (path.to_owned(), octets.to_vec());
        let contents = Self(files.into_iter().map(owned).collect());
        // A length may be written with more octets than it takes.
        if contents.encode()? == octets { Ok(contents) } else { Err(Fault::Broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let mut contents = Contents::default();
        contents.add("zones/example.org.zone", b"@ SOA".to_vec()).unwrap();
        contents.add("geo/regions.toml", b"[region.fra]".to_vec()).unwrap();
        contents
    }

    #[test]
    fn what_was_written_is_read() {
        let octets = contents().encode().unwrap();
        assert_eq!(Contents::decode(&octets), Ok(contents()));
        let hash = Hash::of(&octets);
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }

    #[test]
    fn no_path_leads_out_of_a_bundle() {
        for path in ["zones/a.zone", "zones/lan/a.zone", "geo/regions.toml", "probes/m.toml"] {
            assert!(is_path(path), "{path}");
        }
        let long = format!("zones/{}", "a".repeat(300));
        let wrong = [
            "",
            "/etc/passwd",
            "zones",
            "zones/",
            "zones/../meridian.toml",
            "../zones/a",
            "zones/./a",
            "zones//a",
            "zones/.hidden",
            "meridian.toml",
            "state/health.json",
            "geo/city.mmdb",
            "zones\\a",
            "zones/a\0b",
            "zones/a\n",
            "zones/a/b/c/d/e/f/g/h",
            &long,
        ];
        for path in wrong {
            assert!(!is_path(path), "{path}");
            let files = vec![(path, &b""[..])];
            let octets = postcard::to_allocvec(&(VERSION, files)).unwrap();
            assert!(matches!(Contents::decode(&octets), Err(Fault::Path(_))), "{path}");
            assert!(Contents::default().add(path, Vec::new()).is_err(), "{path}");
        }
    }

    #[test]
    fn the_same_files_have_one_form_only() {
        let written = |files: &[(&str, &[u8])]| postcard::to_allocvec(&(VERSION, files)).unwrap();
        let twice = written(&[("geo/a", b"1"), ("geo/a", b"2")]);
        assert_eq!(Contents::decode(&twice), Err(Fault::Broken));
        let unordered = written(&[("zones/b", b"1"), ("zones/a", b"2")]);
        assert_eq!(Contents::decode(&unordered), Err(Fault::Broken));
        assert_eq!(Contents::decode(&[VERSION, 0x00]), Ok(Contents::default()));
        assert_eq!(Contents::decode(&[VERSION, 0x80, 0x00]), Err(Fault::Broken), "a longer length");
        let mut longer = contents().encode().unwrap();
        longer.push(0);
        assert_eq!(Contents::decode(&longer), Err(Fault::Broken));
        let octets = contents().encode().unwrap();
        for length in 0..octets.len() {
            assert!(Contents::decode(&octets[..length]).is_err(), "{length}");
        }
    }
}
