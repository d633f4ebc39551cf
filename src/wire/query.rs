//! Reading a query: octets to meaning, in one pass, without copying anything but the name.
//!
//! What cannot be read becomes an [`Unreadable`], which says what to answer, never a panic.
//! Comes from `io` through `server`; knows nothing of zones.

use crate::wire::edns::{Edns, EdnsError};
use crate::wire::name::{LABEL_MAX, LABELS_MAX, NAME_MAX, SplitName};
use crate::wire::options::Extras;
use crate::wire::types::{Class, Opcode, Rtype};

/// Octets of a message header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;

/// Octets that are copied at once; most qnames fit.
const BLOCK: usize = 32;

/// A query with one question. Reused from packet to packet, so that nothing is allocated and
/// nothing cleared that need not be.
#[derive(Debug)]
pub struct Query {
    /// Message id, echoed.
    pub id: [u8; 2],
    /// Opcode and RD as they came, ready to be merged into an answer's flags.
    pub flags: u8,
    /// The qname in lower case; its first `qname_len` octets are in use.
    qname: [u8; NAME_MAX + 1],
    qname_len: u8,
    /// Where each label of the qname begins, the root label last.
    label_starts: [u8; LABELS_MAX],
    /// Number of labels of the qname, the root label not counted.
    labels: u8,
    /// What is asked for.
    pub qtype: Rtype,
    /// In which class.
    pub qclass: Class,
    /// The OPT record, if one came.
    pub edns: Option<Edns>,
}

/// Why a packet is not answered as a query, and what is answered instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Shorter than a header: dropped.
    Short,
    /// A response: dropped, so that two servers never talk to each other for ever.
    Response,
    /// An opcode that is not served: NOTIMP (RFC 1035 section 4.1.1).
    Opcode,
    /// Not exactly one question (RFC 9619 section 4): FORMERR.
    Questions,
    /// The question's name, type or class is cut off, too long or compressed: FORMERR.
    Question,
    /// A record after the question is cut off, or octets follow the last one: FORMERR.
    Records,
    /// OPT twice, not at the root, or with options that are cut off (RFC 6891 section 6.1.1):
    /// FORMERR.
    Opt,
    /// A client subnet option that breaks RFC 7871 section 6 or 7.1.2: FORMERR.
    ClientSubnet,
    /// A cookie option of a wrong length (RFC 7873 section 5.2.2): FORMERR.
    Cookie,
    /// No question, but a cookie, for which it was sent (RFC 7873 section 5.4): NOERROR or
    /// BADCOOKIE, and FORMERR from a server without cookies.
    CookieOnly,
    /// EDNS with a version above 0: BADVERS (RFC 6891 section 6.1.3). The query's OPT is kept
    /// in [`Query::edns`].
    Version,
}

impl Query {
    /// An empty place to read into.
    pub const fn new() -> Self {
        Self {
            id: [0; 2],
            flags: 0,
            qname: [0; NAME_MAX + 1],
            qname_len: 1,
            label_starts: [0; LABELS_MAX],
            labels: 0,
            qtype: Rtype::A,
            qclass: Class::IN,
            edns: None,
        }
    }

    /// The qname in wire form and lower case.
    #[inline]
    pub fn qname(&self) -> &[u8] {
        self.qname.get(..usize::from(self.qname_len)).unwrap_or(&[0])
    }

    /// The qname in lower case, with its labels.
    #[inline]
    pub fn name(&self) -> SplitName<'_> {
        let starts = self.label_starts.get(..=usize::from(self.labels)).unwrap_or_default();
        SplitName::new(self.qname(), starts)
    }

    /// The question section as it stands in `packet`, which must be the one that was read;
    /// empty when it could not be read.
    #[inline]
    pub fn question<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        if self.qname_len == 0 {
            return &[];
        }
        packet.get(HEADER..HEADER + usize::from(self.qname_len) + 4).unwrap_or(&[])
    }

    /// Reads `packet`. On an error that is answered, `id` and `flags` are valid; from
    /// [`Unreadable::Records`] on the question is, too.
    #[inline]
    pub fn read(&mut self, packet: &[u8]) -> Result<(), Unreadable> {
        self.edns = None;
        let Some((header, body)) = packet.split_first_chunk::<HEADER>() else {
            return Err(Unreadable::Short);
        };
        if header[2] & 0x80 != 0 {
            return Err(Unreadable::Response);
        }
        self.id = [header[0], header[1]];
        self.flags = header[2] & 0x79;
        self.qname_len = 0;
        if header[2] & 0x78 != Opcode::QUERY.0 << 3 {
            return Err(Unreadable::Opcode);
        }
        let [.., c0, c1, c2, c3, c4, c5, c6, c7] = *header;
        let counts = u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        if counts >> 48 != 1 {
            return Err(self.read_no_question(header, body));
        }
        let Some(after) = self.read_question(body) else {
            self.qname_len = 0;
            return Err(Unreadable::Question);
        };
        let mut rest = after;
        // Nearly every query has nothing after its question but, perhaps, one OPT.
        if counts << 16 >> 17 != 0 {
            rest = self.read_records(rest, counts)?;
        } else if counts & 1 != 0 {
            rest = self.read_additional(rest)?;
        }
        if !rest.is_empty() {
            return Err(Unreadable::Records);
        }
        match &self.edns {
            Some(edns) if edns.version != 0 => Err(Unreadable::Version),
            _ => Ok(()),
        }
    }

    /// Reads all records after the question, by the header's counts.
    #[cold]
    fn read_records<'p>(&mut self, records: &'p [u8], counts: u64) -> Result<&'p [u8], Unreadable> {
        let mut rest = records;
        let (answer, authority) = (counts >> 32 & 0xffff, counts >> 16 & 0xffff);
        for _ in 0..answer + authority {
            rest = skip_record(rest).ok_or(Unreadable::Records)?;
        }
        for _ in 0..counts & 0xffff {
            rest = self.read_additional(rest)?;
        }
        Ok(rest)
    }

    /// Reads what has no question, or several.
    #[cold]
    fn read_no_question(&mut self, header: &[u8; HEADER], body: &[u8]) -> Unreadable {
        let is_opt_alone = header[4..HEADER] == [0, 0, 0, 0, 0, 0, 0, 1];
        let asks_for_cookie = is_opt_alone
            && self.read_additional(body).is_ok_and(<[u8]>::is_empty)
            && self.edns.is_some_and(|edns| edns.version == 0 && edns.cookie.is_some());
        if asks_for_cookie {
            return Unreadable::CookieOnly;
        }
        self.edns = None;
        Unreadable::Questions
    }

    /// Copies the qname in lower case and reads type and class; returns what follows.
    #[inline]
    fn read_question<'p>(&mut self, body: &'p [u8]) -> Option<&'p [u8]> {
        let mut at = 0;
        let mut labels = 0;
        loop {
            let length = usize::from(*body.get(at)?);
            // No name has more labels, so the mask, which is free of branches, changes nothing.
            self.label_starts[labels % LABELS_MAX] = at as u8;
            if length == 0 {
                break;
            }
            at += 1 + length;
            labels += 1;
            if length > LABEL_MAX || at >= NAME_MAX {
                return None;
            }
        }
        let (name, rest) = body.split_at_checked(at + 1)?;
        match (body.first_chunk::<BLOCK>(), self.qname.first_chunk_mut::<BLOCK>()) {
            // What else stands in the block comes along, and is never read.
            (Some(from), Some(to)) if name.len() <= BLOCK => lower(from, to),
            _ => copy_lowercase(name, self.qname.get_mut(..name.len())?),
        }
        self.qname_len = name.len() as u8;
        self.labels = labels as u8;
        let (fixed, rest) = rest.split_first_chunk::<4>()?;
        self.qtype = Rtype(u16::from_be_bytes([fixed[0], fixed[1]]));
        self.qclass = Class(u16::from_be_bytes([fixed[2], fixed[3]]));
        Some(rest)
    }

    /// Reads one record of the additional section; only OPT means something here.
    #[inline]
    fn read_additional<'p>(&mut self, records: &'p [u8]) -> Result<&'p [u8], Unreadable> {
        // The root name, TYPE 41: eleven octets before the options (RFC 6891 section 6.1.2).
        let Some((fixed, rest)) = records.split_first_chunk::<11>() else {
            return self.read_other(records);
        };
        let [0, 0, 41, size_hi, size_lo, _, version, flags_hi, _, length_hi, length_lo] = fixed
        else {
            return self.read_other(records);
        };
        if self.edns.is_some() {
            return Err(Unreadable::Opt);
        }
        let length = usize::from(u16::from_be_bytes([*length_hi, *length_lo]));
        let (options, rest) = rest.split_at_checked(length).ok_or(Unreadable::Opt)?;
        let edns = self.edns.insert(Edns {
            udp_size: u16::from_be_bytes([*size_hi, *size_lo]),
            version: *version,
            dnssec_ok: flags_hi & 0x80 != 0,
            client_subnet: None,
            cookie: None,
            extras: Extras::NONE,
        });
        // A version we do not know may change what its options mean.
        if edns.version != 0 {
            return Ok(rest);
        }
        match edns.read_options(options) {
            Ok(()) => Ok(rest),
            Err(EdnsError::Options) => Err(Unreadable::Opt),
            Err(EdnsError::ClientSubnet) => Err(Unreadable::ClientSubnet),
            Err(EdnsError::Cookie) => Err(Unreadable::Cookie),
        }
    }

    /// Skips a record that is no well-formed OPT; an OPT that is not at the root is an error.
    #[cold]
    fn read_other<'p>(&self, records: &'p [u8]) -> Result<&'p [u8], Unreadable> {
        let after_name = skip_name(records).ok_or(Unreadable::Records)?;
        if after_name.starts_with(&[0, 41]) {
            return Err(Unreadable::Opt);
        }
        skip_record(records).ok_or(Unreadable::Records)
    }
}

impl Default for Query {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies `name` in lower case; both are equally long. Length octets are below 'A', so
/// lower-casing the whole name leaves them alone.
#[inline]
fn copy_lowercase(name: &[u8], copy: &mut [u8]) {
    // A block from either end, which may overlap.
    if name.len() <= BLOCK
        && let (Some(from), Some(to)) = (name.first_chunk::<16>(), copy.first_chunk_mut::<16>())
    {
        lower(from, to);
        if let (Some(from), Some(to)) = (name.last_chunk::<16>(), copy.last_chunk_mut::<16>()) {
            lower(from, to);
        }
        return;
    }
    for (from, to) in name.iter().zip(copy) {
        *to = from.to_ascii_lowercase();
    }
}

/// A block of fixed size, for which the compiler uses vectors.
#[inline]
fn lower<const N: usize>(from: &[u8; N], to: &mut [u8; N]) {
    for (from, to) in from.iter().zip(to) {
        let is_upper = from.wrapping_sub(b'A') < 26;
        *to = from | u8::from(is_upper) << 5;
    }
}

/// What follows the record at the front of `octets`; `None` when it is cut off.
fn skip_record(octets: &[u8]) -> Option<&[u8]> {
    let (fixed, rest) = skip_name(octets)?.split_first_chunk::<10>()?;
    rest.get(usize::from(u16::from_be_bytes([fixed[8], fixed[9]]))..)
}

/// What follows the name at the front of `octets`, which may end in a compression pointer.
fn skip_name(octets: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let length = usize::from(*octets.get(at)?);
        match length {
            0 => return octets.get(at + 1..),
            1..=LABEL_MAX => at += 1 + length,
            0xc0.. => return octets.get(at + 2..),
            _ => return None,
        }
        if at > NAME_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `www.Example.org A`, with `extra` after it and these counts.
    fn packet(counts: [u8; 4], extra: &[u8]) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 0x01, 0x00];
        counts.iter().for_each(|count| packet.extend_from_slice(&[0, *count]));
        packet.extend_from_slice(b"\x03www\x07Example\x03org\0\0\x01\0\x01");
        packet.extend_from_slice(extra);
        packet
    }

    fn read(packet: &[u8]) -> (Query, Result<(), Unreadable>) {
        let mut query = Query::new();
        let result = query.read(packet);
        (query, result)
    }

    const OPT: &[u8] = &[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0];

    #[test]
    fn a_plain_query_is_read_in_lower_case() {
        let packet = packet([1, 0, 0, 0], &[]);
        let (query, result) = read(&packet);
        assert_eq!(result, Ok(()));
        assert_eq!(query.qname(), b"\x03www\x07example\x03org\0");
        assert_eq!((query.id, query.qtype), ([0xab, 0xcd], Rtype::A));
        let name = query.name();
        assert_eq!(name.count(), 3);
        let suffixes: Vec<&[u8]> = (0..=3).map(|index| name.suffix(index)).collect();
        assert_eq!(
            suffixes,
            [&b"\x03www\x07example\x03org\0"[..], b"\x07example\x03org\0", b"\x03org\0", b"\0"]
        );
        assert_eq!(query.question(&packet), &packet[12..]);
        assert_eq!(query.edns, None);
    }

    #[test]
    fn every_octet_is_lower_cased_as_ascii_is() {
        for length in 1..40 {
            for start in 0..=255u8 {
                let name: Vec<u8> = (0..length).map(|at| start.wrapping_add(at)).collect();
                let mut copy = vec![0; name.len()];
                copy_lowercase(&name, &mut copy);
                assert_eq!(copy, name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn opt_is_read() {
        let (query, result) = read(&packet([1, 0, 0, 1], OPT));
        assert_eq!(result, Ok(()));
        let edns = query.edns.expect("OPT");
        assert_eq!((edns.udp_size, edns.dnssec_ok, edns.client_subnet), (1232, true, None));
    }

    #[test]
    fn records_before_opt_are_skipped() {
        let mut extra = vec![0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 2, 1, b'x'];
        extra.extend_from_slice(OPT);
        let (query, result) = read(&packet([1, 0, 1, 1], &extra));
        assert_eq!(result, Ok(()));
        assert!(query.edns.is_some());
    }

    #[test]
    fn every_way_to_be_unreadable_has_its_name() {
        let two_opts = [OPT, OPT].concat();
        let opt_below_root = [&b"\x01x"[..], OPT].concat();
        let cut_option = [&OPT[..9], &[0, 3, 0, 8, 0]].concat();
        let cookie = [&OPT[..9], &[0, 12, 0, 10, 0, 8], &[7; 8]].concat();
        let short_cookie = [&OPT[..9], &[0, 11, 0, 10, 0, 7], &[7; 7]].concat();
        let version_1 = [&OPT[..6], &[1, 0, 0, 0, 0]].concat();
        let cases: Vec<(Vec<u8>, Unreadable)> = vec![
            (vec![0; 11], Unreadable::Short),
            ([&[0, 0, 0x80], &[0; 9][..]].concat(), Unreadable::Response),
            ([&[0, 0, 0x28], &[0; 9][..]].concat(), Unreadable::Opcode),
            (packet([0, 0, 0, 0], &[]), Unreadable::Questions),
            (packet([2, 0, 0, 0], &[]), Unreadable::Questions),
            ([&[0; 11][..], &[1], OPT].concat(), Unreadable::Questions),
            ([&[0; 11][..], &[1], &cookie].concat(), Unreadable::CookieOnly),
            ([&[0; 11][..], &[1], &cookie, &[0]].concat(), Unreadable::Questions),
            (packet([1, 0, 0, 1], &short_cookie), Unreadable::Cookie),
            (packet([1, 0, 0, 0], &[])[..20].to_vec(), Unreadable::Question),
            (packet([1, 0, 0, 0], &[0]), Unreadable::Records),
            (packet([1, 0, 0, 1], &[]), Unreadable::Records),
            (packet([1, 1, 0, 0], &[0xc0, 12, 0]), Unreadable::Records),
            (packet([1, 0, 0, 2], &two_opts), Unreadable::Opt),
            (packet([1, 0, 0, 1], &opt_below_root), Unreadable::Opt),
            (packet([1, 0, 0, 1], &cut_option), Unreadable::Opt),
            (packet([1, 0, 0, 1], &version_1), Unreadable::Version),
        ];
        for (packet, expected) in cases {
            assert_eq!(read(&packet).1, Err(expected), "{packet:x?}");
        }
    }

    #[test]
    fn a_name_may_have_255_octets_and_no_more() {
        let with_name = |last: usize| {
            let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for length in [63, 63, 63, last] {
                packet.push(length as u8);
                packet.extend(std::iter::repeat_n(b'a', length));
            }
            packet.extend_from_slice(&[0, 0, 1, 0, 1]);
            packet
        };
        assert_eq!(read(&with_name(61)).1, Ok(()));
        assert_eq!(read(&with_name(61)).0.qname().len(), 255);
        assert_eq!(read(&with_name(62)).1, Err(Unreadable::Question));
    }

    #[test]
    fn a_compressed_question_is_refused() {
        let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(read(&packet).1, Err(Unreadable::Question));
    }
}
