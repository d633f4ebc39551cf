//! Domain names, written anew for these tests, so that Meridian's own are under test, too.

use std::fmt;

/// A domain name: its labels, the root's left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub Vec<Vec<u8>>);

impl Name {
    /// From labels without odd octets, with dots between them.
    pub fn plain(text: &str) -> Self {
        Self(text.split('.').filter(|l| !l.is_empty()).map(|l| l.as_bytes().to_vec()).collect())
    }

    /// With a label in front; `None` when that makes the name too long.
    pub fn child(&self, label: &[u8]) -> Option<Self> {
        let labels = std::iter::once(label.to_vec()).chain(self.0.iter().cloned()).collect();
        Some(Self(labels)).filter(|name| name.wire().len() <= 255)
    }

    /// Without its first label; the root's parent is the root.
    pub fn parent(&self) -> Self {
        Self(self.0.iter().skip(1).cloned().collect())
    }

    /// In lower case.
    pub fn lower(&self) -> Self {
        Self(self.0.iter().map(|label| label.to_ascii_lowercase()).collect())
    }

    /// Whether it is `other` or stands below it, in any case.
    pub fn is_in(&self, other: &Self) -> bool {
        let start = self.0.len().checked_sub(other.0.len());
        start.is_some_and(|start| {
            self.0[start..].iter().zip(&other.0).all(|(a, b)| a.eq_ignore_ascii_case(b))
        })
    }

    /// Whether it stands below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.len() > other.0.len() && self.is_in(other)
    }

    /// Whether its first label is an asterisk.
    pub fn is_wildcard(&self) -> bool {
        self.0.first().is_some_and(|label| label == b"*")
    }

    /// The name and the names above it that begin with an asterisk.
    pub fn wildcards(&self) -> Vec<Self> {
        let suffixes = (0..self.0.len()).map(|at| Self(self.0[at..].to_vec()));
        suffixes.filter(Self::is_wildcard).collect()
    }

    /// Its octets in a message.
    pub fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in &self.0 {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label);
        }
        wire.push(0);
        wire
    }
}

impl fmt::Display for Name {
    /// As in a master file, absolute; what is not plainly a letter is a number, since
    /// NSD before 4.7 misreads a backslash behind a backslash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            for &octet in label {
                match octet {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => {
                        write!(f, "{}", char::from(octet))?;
                    }
                    b'.' => {
                        write!(f, "\\{}", char::from(octet))?;
                    }
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        if self.0.is_empty() {
            f.write_str(".")?;
        }
        Ok(())
    }
}
