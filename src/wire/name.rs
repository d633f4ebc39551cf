//! Domain names in wire form (RFC 1035 section 3.1), and their text (section 5.1).
//!
//! | type | owns | case | for |
//! |---|---|---|---|
//! | [`Name`] | yes | as written | files, configuration, targets |
//! | [`NameRef`] | no | as it stands in the buffer | looking without copying |
//! | [`SplitName`] | no | lower | searching the name and its ancestors |
//!
//! Names compare and hash without regard to ASCII case (RFC 4343).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The longest name in octets, root label included (RFC 1035 section 2.3.4).
pub const NAME_MAX: usize = 255;
/// Most labels a name can have, the root label included (255 octets, two per label).
pub const LABELS_MAX: usize = 128;
/// The longest label in octets.
pub const LABEL_MAX: usize = 63;

/// An absolute domain name that owns its octets: labels with their lengths, root label last.
#[derive(Clone)]
pub struct Name(Box<[u8]>);

/// An absolute, uncompressed domain name borrowed from a buffer.
#[derive(Clone, Copy)]
pub struct NameRef<'a>(&'a [u8]);

/// A name in wire form and lower case, and where its labels begin: what a search works on.
///
/// Suffix 0 is the whole name, suffix [`count`](Self::count) is the root.
#[derive(Debug, Clone, Copy)]
pub struct SplitName<'n> {
    octets: &'n [u8],
    /// Where each label's length octet stands, the root label's last.
    starts: &'n [u8],
}

/// Why a text or octet string is no domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    #[error("empty label")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("label longer than 63 octets")]
    LabelTooLong,
    /// More than 255 octets in all.
    #[error("name longer than 255 octets")]
    NameTooLong,
    /// A backslash that is followed by neither a character nor three digits up to 255.
    #[error("bad escape")]
    BadEscape,
    /// The octets end inside the name, or hold a compression pointer.
    #[error("octets are not one whole name")]
    BadWire,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads a name from master-file text. A name without trailing dot is completed by `origin`;
    /// `@` alone is the origin.
    pub fn parse(text: &str, origin: NameRef<'_>) -> Result<Self, NameError> {
        Self::parse_bytes(text.as_bytes(), origin)
    }

    /// As [`Name::parse`], from octets, since master files need not be UTF-8.
    pub fn parse_bytes(text: &[u8], origin: NameRef<'_>) -> Result<Self, NameError> {
        if text == b"@" {
            return Ok(origin.to_name());
        }
        if text == b"." {
            return Ok(Self::root());
        }
        if text.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        let mut wire = Vec::with_capacity(text.len() + 2 + origin.0.len());
        let mut length_at = 0;
        wire.push(0);
        let mut rest = text;
        let mut absolute = false;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            let octet = match byte {
                b'.' => {
                    close_label(&mut wire, length_at)?;
                    if rest.is_empty() {
                        absolute = true;
                        break;
                    }
                    length_at = wire.len();
                    wire.push(0);
                    continue;
                }
                b'\\' => {
                    let (octet, after) = unescape(rest)?;
                    rest = after;
                    octet
                }
                other => other,
            };
            wire.push(octet);
        }
        if absolute {
            wire.push(0);
        } else {
            close_label(&mut wire, length_at)?;
            wire.extend_from_slice(origin.0);
        }
        if wire.len() > NAME_MAX {
            return Err(NameError::NameTooLong);
        }
        Ok(Self(wire.into_boxed_slice()))
    }

    /// Takes one whole uncompressed name, as it stands in RDATA.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        NameRef::from_wire(wire).map(|name| name.to_name())
    }

    /// The octets, lengths and root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// A borrowed view.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef(&self.0)
    }

    /// Number of labels, the root label not counted.
    pub fn label_count(&self) -> usize {
        self.as_ref().label_count()
    }

    /// True when this name is `ancestor` or stands below it.
    pub fn is_in(&self, ancestor: &Self) -> bool {
        self.as_ref().is_in(ancestor.as_ref())
    }

    /// The same name in lower case.
    pub fn to_lowercase(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into_boxed_slice())
    }
}

/// Whether two wire names of the same case are one. Names of 8 to 32 octets, which most are,
/// are compared as words that overlap, without a call.
#[inline]
pub fn same_octets(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if one.len() <= 32
        && let (Some(a), Some(b)) = (one.first_chunk::<16>(), one.last_chunk::<16>())
        && let (Some(c), Some(d)) = (other.first_chunk::<16>(), other.last_chunk::<16>())
    {
        let word = |octets: &[u8; 16]| u128::from_ne_bytes(*octets);
        return (word(a) ^ word(c)) | (word(b) ^ word(d)) == 0;
    }
    if one.len() <= 16
        && let (Some(a), Some(b)) = (one.first_chunk::<8>(), one.last_chunk::<8>())
        && let (Some(c), Some(d)) = (other.first_chunk::<8>(), other.last_chunk::<8>())
    {
        let word = |octets: &[u8; 8]| u64::from_ne_bytes(*octets);
        return (word(a) ^ word(c)) | (word(b) ^ word(d)) == 0;
    }
    one == other
}

/// Writes the length of the label that began at `length_at`.
fn close_label(wire: &mut [u8], length_at: usize) -> Result<(), NameError> {
    match wire.len() - length_at - 1 {
        0 => Err(NameError::EmptyLabel),
        length @ 1..=LABEL_MAX => {
            wire[length_at] = length as u8;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong),
    }
}

/// Reads what follows a backslash: `DDD` or any one character (RFC 1035 section 5.1).
fn unescape(rest: &[u8]) -> Result<(u8, &[u8]), NameError> {
    match rest {
        [a, b, c, tail @ ..] if a.is_ascii_digit() => {
            if !b.is_ascii_digit() || !c.is_ascii_digit() {
                return Err(NameError::BadEscape);
            }
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            u8::try_from(value).map(|octet| (octet, tail)).map_err(|_| NameError::BadEscape)
        }
        [digit, ..] if digit.is_ascii_digit() => Err(NameError::BadEscape),
        [octet, tail @ ..] => Ok((*octet, tail)),
        [] => Err(NameError::BadEscape),
    }
}

impl<'n> SplitName<'n> {
    /// The name `octets`, whose labels begin at `starts`, the root label's last.
    #[inline]
    pub const fn new(octets: &'n [u8], starts: &'n [u8]) -> Self {
        Self { octets, starts }
    }

    /// The whole name.
    #[inline]
    pub const fn octets(&self) -> &'n [u8] {
        self.octets
    }

    /// SplitName of the name, the root label not counted; also the number of the root suffix.
    #[inline]
    pub const fn count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Where suffix `index` begins in the name.
    #[inline]
    pub fn offset(&self, index: usize) -> usize {
        self.starts.get(index).map_or(0, |&start| usize::from(start))
    }

    /// The octets of suffix `index`.
    #[inline]
    pub fn suffix(&self, index: usize) -> &'n [u8] {
        self.octets.get(self.offset(index)..).unwrap_or_default()
    }
}

impl<'a> NameRef<'a> {
    /// The root.
    pub const ROOT: NameRef<'static> = NameRef(&[0]);

    /// Checks that `wire` is exactly one uncompressed name and borrows it.
    pub fn from_wire(wire: &'a [u8]) -> Result<Self, NameError> {
        let (name, rest) = Self::split_from(wire)?;
        if rest.is_empty() { Ok(name) } else { Err(NameError::BadWire) }
    }

    /// Splits one uncompressed name off the front of `octets`; returns it and what follows.
    pub fn split_from(octets: &'a [u8]) -> Result<(Self, &'a [u8]), NameError> {
        let mut at = 0;
        loop {
            let length = usize::from(*octets.get(at).ok_or(NameError::BadWire)?);
            if length > LABEL_MAX {
                return Err(NameError::BadWire);
            }
            at += 1 + length;
            if at > NAME_MAX {
                return Err(NameError::NameTooLong);
            }
            if length == 0 {
                let (name, rest) = octets.split_at(at);
                return Ok((Self(name), rest));
            }
        }
    }

    /// The octets, lengths and root label included.
    pub const fn as_wire(self) -> &'a [u8] {
        self.0
    }

    /// An owned copy.
    pub fn to_name(self) -> Name {
        Name(self.0.into())
    }

    /// True for the root.
    pub const fn is_root(self) -> bool {
        self.0.len() == 1
    }

    /// The labels from left to right, the root label not among them.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            if length == 0 {
                return None;
            }
            let (label, after) = tail.split_at_checked(usize::from(length))?;
            rest = after;
            Some(label)
        })
    }

    /// Number of labels, the root label not counted.
    pub fn label_count(self) -> usize {
        self.labels().count()
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(self) -> Option<Self> {
        let length = usize::from(*self.0.first()?);
        if length == 0 { None } else { self.0.get(1 + length..).map(Self) }
    }

    /// True when the leftmost label is `*` (RFC 4592 section 2.1.1).
    pub fn is_wildcard(self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// True when this name is `ancestor` or stands below it.
    pub fn is_in(self, ancestor: NameRef<'_>) -> bool {
        let mut name = Some(self);
        while let Some(candidate) = name {
            if candidate.0.len() <= ancestor.0.len() {
                return candidate == ancestor;
            }
            name = candidate.parent();
        }
        false
    }
}

impl PartialEq for NameRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}
impl Eq for NameRef<'_> {}

impl Hash for NameRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for octet in self.0 {
            state.write_u8(octet.to_ascii_lowercase());
        }
    }
}

/// Canonical DNS order: label by label from the right (RFC 4034 section 6.1).
impl Ord for NameRef<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let lower = |label: &[u8]| label.to_ascii_lowercase();
        let mut left: Vec<_> = self.labels().map(lower).collect();
        let mut right: Vec<_> = other.labels().map(lower).collect();
        left.reverse();
        right.reverse();
        left.cmp(&right)
    }
}
impl PartialOrd for NameRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}
impl Eq for Name {}
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}
impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// An absolute name: the trailing dot may be left out.
impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text, NameRef::ROOT)
    }
}

/// Master-file text with a trailing dot; octets outside printable ASCII as `\DDD`.
impl fmt::Display for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(octet))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}
impl fmt::Debug for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn text_survives_a_round_trip() {
        for text in [".", "example.org.", "*.a.example.org.", "a\\.b.example.", "\\000\\255.x."] {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn a_relative_name_is_completed_by_the_origin() {
        let origin = name("example.org.");
        let parse = |text| Name::parse(text, origin.as_ref()).expect("parses").to_string();
        assert_eq!(parse("www"), "www.example.org.");
        assert_eq!(parse("@"), "example.org.");
        assert_eq!(parse("www.test."), "www.test.");
    }

    #[test]
    fn what_is_too_long_or_empty_is_refused() {
        let label = "a".repeat(64);
        assert_eq!(label.parse::<Name>(), Err(NameError::LabelTooLong));
        assert_eq!("a..b".parse::<Name>(), Err(NameError::EmptyLabel));
        assert_eq!(".a".parse::<Name>(), Err(NameError::EmptyLabel));
        assert_eq!("a\\25".parse::<Name>(), Err(NameError::BadEscape));
        assert_eq!("a\\256".parse::<Name>(), Err(NameError::BadEscape));
        let long = format!("{0}.{0}.{0}.{0}.", "a".repeat(63));
        assert_eq!(long.parse::<Name>(), Err(NameError::NameTooLong));
    }

    #[test]
    fn case_does_not_matter_to_equality_but_is_kept() {
        assert_eq!(name("WWW.Example.org"), name("www.example.ORG."));
        assert_eq!(name("WWW.Example.org").to_string(), "WWW.Example.org.");
    }

    #[test]
    fn octets_are_compared_whatever_their_length() {
        for length in 0..70usize {
            let one: Vec<u8> = (0..length as u8).collect();
            assert!(same_octets(&one, &one.clone()));
            for at in 0..length {
                let mut other = one.clone();
                other[at] ^= 1;
                assert!(!same_octets(&one, &other), "{length} {at}");
            }
            assert!(!same_octets(&one, &[&one[..], &[0]].concat()));
        }
    }

    #[test]
    fn names_know_their_ancestors() {
        assert!(name("a.b.example.").is_in(&name("b.example.")));
        assert!(name("example.").is_in(&name("example.")));
        assert!(!name("xexample.").is_in(&name("example.")));
        assert!(name("example.").is_in(&Name::root()));
    }

    #[test]
    fn canonical_order_goes_from_the_right() {
        let mut names =
            [name("z.example."), name("a.example."), name("example."), name("a.a.example.")];
        names.sort();
        let sorted: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["example.", "a.example.", "a.a.example.", "z.example."]);
    }
}
