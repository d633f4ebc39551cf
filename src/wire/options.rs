//! EDNS options that few clients ask for, written behind an OPT that stands already: NSID
//! (RFC 5001), TCP keepalive (RFC 7828), padding (RFC 7830), extended errors (RFC 8914).
//!
//! Kept apart from `response`, so that answers without them pay nothing.

use std::time::Duration;

use super::edns::Edns;
use super::response::opt_room;

/// Option codes.
const NSID: u16 = 3;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

/// Octets of an option's code and length (RFC 6891 section 6.1.2).
const OPTION_HEAD: usize = 4;

/// Longest identifier of a server, in octets: what leaves every answer room.
pub const NSID_MAX: usize = 128;

/// What a query asks for beside subnet and cookie: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extras(u8);

impl Extras {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Which server it is.
    pub const NSID: Self = Self(1);
    /// How long the connection may be idle.
    pub const KEEPALIVE: Self = Self(2);
    /// That lengths be hidden.
    pub const PADDING: Self = Self(8);
    /// The client subnet was set aside, since it is not believed from this source.
    pub const SUBNET_SET_ASIDE: Self = Self(4);

    /// Whether there is anything.
    #[inline]
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// Whether `other` is among it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes note of an option by its code. A client has nothing to say by these: what a value
    /// holds is ignored, as RFC 5001 section 2.1 asks for NSID.
    #[cold]
    pub(super) const fn note(&mut self, code: u16) {
        match code {
            NSID => self.insert(Self::NSID),
            KEEPALIVE => self.insert(Self::KEEPALIVE),
            PADDING => self.insert(Self::PADDING),
            _ => {}
        }
    }
}

/// Why an answer is what it is (RFC 8914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedError {
    /// INFO-CODE.
    pub code: InfoCode,
    /// EXTRA-TEXT, in parts; all empty for none.
    pub text: [&'static str; 2],
}

/// An INFO-CODE of the IANA registry "Extended DNS Error Codes".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfoCode(pub u16);

impl InfoCode {
    /// What no other code says; the text does.
    pub const OTHER: Self = Self(0);
    /// The name is in no zone of this server.
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    /// The operation or type is not supported.
    pub const NOT_SUPPORTED: Self = Self(21);
}

/// Options on their way behind those of a written message.
#[derive(Debug)]
pub struct Tail<'o> {
    out: &'o mut [u8],
    /// Where the message ends.
    at: usize,
    /// Where the length of OPT's RDATA stands.
    length_at: usize,
}

/// Octets the option of an identifier takes.
pub const fn nsid_room(nsid: &[u8]) -> usize {
    OPTION_HEAD + nsid.len()
}

/// Octets the keepalive option takes.
pub const KEEPALIVE_ROOM: usize = OPTION_HEAD + 2;

impl<'o> Tail<'o> {
    /// Goes on behind the first `length` octets of `out`: a message whose last record is the OPT
    /// that answers `edns`. `None` when it is not. It may grow to all of `out`.
    pub fn of(out: &'o mut [u8], length: usize, edns: &Edns) -> Option<Self> {
        let opt = length.checked_sub(opt_room(Some(edns)))?;
        match out.get(opt..opt + 3)? {
            [0, 0, 41] => Some(Self { out, at: length, length_at: opt + 9 }),
            _ => None,
        }
    }

    /// Says which server it is.
    pub fn nsid(&mut self, nsid: &[u8]) {
        self.push(NSID, &[nsid]);
    }

    /// Says how long the connection may be idle, in units of 100 ms (RFC 7828 section 3.1).
    pub fn keepalive(&mut self, idle: Duration) {
        let units = u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX);
        self.push(KEEPALIVE, &[&units.to_be_bytes()]);
    }

    /// Says why. Without its text where that has no room, or not at all (RFC 8914 section 3:
    /// nothing depends on it).
    pub fn extended_error(&mut self, error: &ExtendedError) {
        let code = error.code.0.to_be_bytes();
        let [first, second] = error.text.map(str::as_bytes);
        if !self.push(EXTENDED_ERROR, &[&code, first, second]) {
            self.push(EXTENDED_ERROR, &[&code]);
        }
    }

    /// Fills the message up to a multiple of `block` octets, or as far as there is room
    /// (RFC 8467 section 4.1). The last of the options, since it counts the others.
    #[cold]
    pub fn pad(&mut self, block: usize) {
        const ZEROS: [u8; 1024] = [0; 1024];
        let whole = (self.at + OPTION_HEAD).next_multiple_of(block).min(self.out.len());
        let zeros = whole.checked_sub(self.at + OPTION_HEAD).and_then(|length| ZEROS.get(..length));
        if let Some(zeros) = zeros {
            self.push(PADDING, &[zeros]);
        }
    }

    /// The length of the message.
    pub const fn length(&self) -> usize {
        self.at
    }

    /// Adds one option if it has room, and says whether it had.
    fn push(&mut self, code: u16, parts: &[&[u8]]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let Some(room) = self.out.get_mut(self.at..self.at + OPTION_HEAD + length) else {
            return false;
        };
        let [c0, c1] = code.to_be_bytes();
        let [l0, l1] = (length as u16).to_be_bytes();
        let head = [c0, c1, l0, l1];
        let octets = head.iter().chain(parts.iter().copied().flatten());
        room.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        let end = self.length_at + 2;
        let Some([high, low]) = self.out.get_mut(self.length_at..end) else { return false };
        let options = usize::from(u16::from_be_bytes([*high, *low])) + OPTION_HEAD + length;
        [*high, *low] = (options as u16).to_be_bytes();
        self.at += OPTION_HEAD + length;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDNS: Edns = Edns {
        udp_size: 1232,
        version: 0,
        dnssec_ok: false,
        client_subnet: None,
        cookie: None,
        extras: Extras::NONE,
    };

    /// A message that ends in an OPT without options, in a buffer with `room` octets more, and
    /// what `add` makes of it.
    fn added(room: usize, add: impl FnOnce(&mut Tail<'_>)) -> Vec<u8> {
        let mut out = [&[7; 12][..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
        let length = out.len();
        out.resize(length + room, 0xee);
        let mut tail = Tail::of(&mut out, length, &EDNS).expect("an OPT");
        add(&mut tail);
        let end = tail.length();
        assert_eq!(out[..21], [&[7; 12][..], &[0, 0, 41, 4, 208, 0, 0, 0, 0]].concat());
        assert_eq!(usize::from(u16::from_be_bytes([out[21], out[22]])), end - length);
        assert!(out[end..].iter().all(|&octet| octet == 0xee), "nothing behind the end");
        out[length..end].to_vec()
    }

    #[test]
    fn options_stand_one_behind_the_other() {
        let octets = added(100, |tail| {
            tail.nsid(b"fra1");
            tail.keepalive(Duration::from_secs(10));
        });
        assert_eq!(octets, [0, 3, 0, 4, b'f', b'r', b'a', b'1', 0, 11, 0, 2, 0, 100]);
    }

    /// RFC 8914 section 3: nothing depends on it, so it is what is left out.
    #[test]
    fn without_room_an_extended_error_loses_its_text_and_then_itself() {
        let why = ExtendedError { code: InfoCode::NOT_SUPPORTED, text: ["all ", "down"] };
        let written = |room| added(room, |tail| tail.extended_error(&why));
        assert_eq!(written(14), b"\0\x0f\0\x0a\0\x15all down");
        assert_eq!(written(13), [0, 15, 0, 2, 0, 21]);
        assert_eq!(written(6), [0, 15, 0, 2, 0, 21]);
        assert_eq!(written(5), [0; 0]);
    }

    /// RFC 8467 section 4.1: "pad the … response to a multiple of 468 octets".
    #[test]
    fn padding_fills_the_last_block_and_no_more() {
        let length = |room, before: usize| {
            let octets = added(room, |tail| {
                if before > 0 {
                    tail.nsid(&vec![b'n'; before]);
                }
                tail.pad(468);
            });
            octets.len() + 23
        };
        assert_eq!(length(2000, 0), 468);
        for before in 1..900 {
            assert_eq!(length(2000, before), if before <= 437 { 468 } else { 936 }, "{before}");
        }
        assert_eq!(length(100, 0), 123, "as far as there is room");
        assert_eq!(length(3, 0), 23);
    }

    #[test]
    fn what_does_not_end_in_opt_is_left_alone() {
        let mut out = [0; 64];
        assert!(Tail::of(&mut out, 40, &EDNS).is_none());
        assert!(Tail::of(&mut out, 5, &EDNS).is_none());
    }

    #[test]
    fn an_idle_time_past_the_field_is_its_most() {
        let octets = added(6, |tail| tail.keepalive(Duration::from_secs(10_000)));
        assert_eq!(octets, [0, 11, 0, 2, 0xff, 0xff]);
    }
}
