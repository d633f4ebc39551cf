//! Writing a response: header, question, records, OPT, into a buffer that is given.
//!
//! A write that does not fit changes nothing and says so; what follows (truncation, dropped
//! glue) is `server`'s choice. OPT's room is kept free from the start.

use std::ops::Range;

use crate::wire::cookie::{COOKIE, COOKIE_LENGTH, Cookie};
use crate::wire::edns::{CLIENT_SUBNET, ClientSubnet, Edns};
use crate::wire::options::ExtendedError;
use crate::wire::query::{HEADER, Query};
use crate::wire::types::{Class, Rcode, Rtype, Ttl};

/// Header flags of a response (RFC 1035 section 4.1.1), second octet pair.
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;

/// The largest offset a compression pointer can name (RFC 1035 section 4.1.4).
const POINTER_MAX: usize = 0x3fff;

/// Octets of a record between its owner name and its RDATA: type, class, TTL, length (RFC 1035
/// section 3.2.1).
pub const RECORD_HEAD: usize = 10;

/// The sections after the question, in the order they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Records that answer.
    Answer = 0,
    /// SOA of a negative answer, NS of a referral.
    Authority = 1,
    /// Glue.
    Additional = 2,
}

/// The record did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Lays out in `body` a record of class IN after its owner name; `body` has room for
/// [`RECORD_HEAD`] octets and `rdata`.
#[inline]
pub fn lay_out(body: &mut [u8], rtype: Rtype, ttl: Ttl, rdata: &[u8]) {
    if let Some((head, room)) = body.split_first_chunk_mut::<RECORD_HEAD>() {
        let [t0, t1] = rtype.0.to_be_bytes();
        let [c0, c1] = Class::IN.0.to_be_bytes();
        let [s0, s1, s2, s3] = ttl.seconds().to_be_bytes();
        let [l0, l1] = (rdata.len() as u16).to_be_bytes();
        *head = [t0, t1, c0, c1, s0, s1, s2, s3, l0, l1];
        if let Some(room) = room.get_mut(..rdata.len()) {
            room.copy_from_slice(rdata);
        }
    }
}

/// As [`lay_out`], for a body whose RDATA stands where it belongs already.
pub fn lay_out_head(body: &mut [u8], rtype: Rtype, ttl: Ttl) {
    if let Some((head, rdata)) = body.split_first_chunk_mut::<RECORD_HEAD>() {
        let length = (rdata.len() as u16).to_be_bytes();
        let ttl = ttl.seconds().to_be_bytes();
        let fields = [&rtype.0.to_be_bytes()[..], &Class::IN.0.to_be_bytes(), &ttl, &length];
        for (octet, value) in head.iter_mut().zip(fields.into_iter().flatten()) {
            *octet = *value;
        }
    }
}

/// A response under way.
#[derive(Debug)]
pub struct Response<'o> {
    out: &'o mut [u8],
    /// End of what is written.
    at: usize,
    /// End of the question section.
    question_end: usize,
    /// First octet that records may not use: OPT's room and what is past the size limit.
    limit: usize,
    counts: Counts,
    flags: u8,
    rcode: Rcode,
    extended: Option<ExtendedError>,
}

impl<'o> Response<'o> {
    /// Where the qname stands.
    pub const QNAME: usize = HEADER;

    /// Begins a response to `query`, whose question section is `question`, of at most `size`
    /// octets. `None` when not even header, question and OPT fit.
    #[inline]
    pub fn begin(out: &'o mut [u8], query: &Query, question: &[u8], size: usize) -> Option<Self> {
        let size = size.min(out.len());
        let limit = size.checked_sub(opt_room(query.edns.as_ref()))?;
        let question_end = HEADER + question.len();
        if question_end > limit {
            return None;
        }
        out.get_mut(..2)?.copy_from_slice(&query.id);
        copy(question, out.get_mut(HEADER..question_end)?);
        Some(Self {
            out,
            at: question_end,
            question_end,
            limit,
            counts: Counts::of_question(question),
            flags: query.flags | QR,
            rcode: Rcode::NOERROR,
            extended: None,
        })
    }

    /// Sets or clears AA.
    #[inline]
    pub const fn set_authoritative(&mut self, authoritative: bool) {
        if authoritative {
            self.flags |= AA;
        } else {
            self.flags &= !AA;
        }
    }

    /// Sets the response code.
    #[inline]
    pub const fn set_rcode(&mut self, rcode: Rcode) {
        self.rcode = rcode;
    }

    /// The response code so far.
    #[inline]
    pub const fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// Says why the answer is what it is.
    #[inline]
    pub const fn explain(&mut self, why: ExtendedError) {
        self.extended = Some(why);
    }

    /// Why the answer is what it is, when it is not what anybody would expect.
    #[inline]
    pub const fn extended(&self) -> Option<ExtendedError> {
        self.extended
    }

    /// Whether AA is set.
    #[inline]
    pub const fn is_authoritative(&self) -> bool {
        self.flags & AA != 0
    }

    /// Whether TC is set.
    #[inline]
    pub const fn is_truncated(&self) -> bool {
        self.flags & TC != 0
    }

    /// Offset at which the next record will begin.
    #[inline]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// How many records `section` has.
    #[inline]
    pub const fn count(&self, section: Section) -> u16 {
        self.counts.of(section)
    }

    /// The octets written so far, for reading back a name that was just written.
    #[inline]
    pub fn written(&self) -> &[u8] {
        self.out.get(..self.at).unwrap_or(&[])
    }

    /// Whether the answer section, the only one written so far, has this record: `owner` a wire
    /// name, `body` as for [`record`](Self::record).
    #[cold]
    pub fn has_answer(&self, owner: &[u8], body: &[u8]) -> bool {
        let written = self.written();
        let mut at = self.question_end;
        for _ in 0..self.count(Section::Answer) {
            let Some(name) = owner_at(written, at) else { return false };
            let body_at = if name.start == at { name.end } else { at + 2 };
            let own = written.get(body_at..).unwrap_or_default();
            let same = written.get(name).is_some_and(|name| name.eq_ignore_ascii_case(owner));
            if same && own.starts_with(body) {
                return true;
            }
            let Some(&[hi, lo]) = own.get(8..).and_then(<[u8]>::first_chunk) else { return false };
            at = body_at + RECORD_HEAD + usize::from(u16::from_be_bytes([hi, lo]));
        }
        false
    }

    /// Writes one record: its owner is the name that stands uncompressed at `owner` of the
    /// message, `body` is everything after it (type, class, TTL, length, RDATA). Returns the
    /// offset of `body`.
    #[inline]
    pub fn record(&mut self, section: Section, owner: usize, body: &[u8]) -> Result<usize, Full> {
        let body_at = if owner <= POINTER_MAX {
            let pointer = (0xc000 | owner as u16).to_be_bytes();
            let room = self.room(self.at, 2 + body.len())?;
            let Some((name, room)) = room.split_first_chunk_mut::<2>() else {
                return Err(Full);
            };
            *name = pointer;
            copy(body, room);
            self.at + 2
        } else {
            let body_at = self.copy_name(owner)?;
            self.room(body_at, body.len())?.copy_from_slice(body);
            body_at
        };
        self.at = body_at + body.len();
        self.counts.add(section);
        Ok(body_at)
    }

    /// Writes out the uncompressed name at `offset`, which no pointer can reach; returns where
    /// it ends. Only messages over TCP grow so long.
    #[cold]
    fn copy_name(&mut self, offset: usize) -> Result<usize, Full> {
        let mut length = 0;
        loop {
            let label = usize::from(*self.out.get(offset + length).ok_or(Full)?);
            length += 1 + label;
            if label == 0 {
                break;
            }
        }
        self.room(self.at, length)?;
        self.out.copy_within(offset..offset + length, self.at);
        Ok(self.at + length)
    }

    /// The `length` octets at `at`, if they may be used.
    #[inline]
    fn room(&mut self, at: usize, length: usize) -> Result<&mut [u8], Full> {
        let end = at + length;
        if end > self.limit {
            return Err(Full);
        }
        self.out.get_mut(at..end).ok_or(Full)
    }

    /// A mark to come back to.
    #[inline]
    pub const fn mark(&self) -> Mark {
        Mark { at: self.at, counts: self.counts }
    }

    /// Takes back everything written since `mark`.
    #[inline]
    pub const fn rewind(&mut self, mark: Mark) {
        self.at = mark.at;
        self.counts = mark.counts;
    }

    /// Puts the answer's records since `mark`, which are equally long, in an order of chance;
    /// `below` gives a number below its argument.
    #[cold]
    pub fn shuffle(&mut self, mark: Mark, mut below: impl FnMut(u32) -> u32) {
        let before = mark.counts.of(Section::Answer);
        let count = usize::from(self.count(Section::Answer).saturating_sub(before));
        let Some(records) = self.out.get_mut(mark.at..self.at) else { return };
        let Some(length) = records.len().checked_div(count).filter(|&length| length > 0) else {
            return;
        };
        for last in (1..count).rev() {
            let other = below(last as u32 + 1) as usize;
            if other < last
                && let Some((front, back)) = records.split_at_mut_checked(last * length)
                && let (Some(one), Some(two)) =
                    (front.get_mut(other * length..(other + 1) * length), back.get_mut(..length))
            {
                one.swap_with_slice(two);
            }
        }
    }

    /// Truncates: TC set, no records (RFC 2181 section 9 wants none that are incomplete; an
    /// empty response is the shortest that says "ask again over TCP").
    #[inline]
    pub const fn truncate(&mut self) {
        self.flags |= TC;
        self.clear();
    }

    /// Takes back every record.
    #[inline]
    pub const fn clear(&mut self) {
        self.at = self.question_end;
        self.counts = self.counts.without_records();
    }

    /// Writes OPT (when the query had one) and the header; returns the response's length.
    /// `scope` is the client subnet's scope prefix length, `udp_size` what we can receive.
    #[inline]
    pub fn finish(&mut self, query: &Query, udp_size: u16, scope: u8) -> usize {
        if let Some(edns) = &query.edns
            && self.write_opt(edns, udp_size, scope)
        {
            self.counts.add(Section::Additional);
        }
        let [low_rcode, _] = self.rcode.0.to_le_bytes();
        match self.out.first_chunk_mut::<HEADER>() {
            Some([_, _, flags, rcode, counts @ ..]) => {
                *flags = self.flags;
                *rcode = low_rcode & 0x0f;
                *counts = self.counts.0.to_be_bytes();
                self.at
            }
            None => 0,
        }
    }

    /// Writes OPT into the room that was kept for it; false when there is none.
    #[inline]
    fn write_opt(&mut self, edns: &Edns, udp_size: u16, scope: u8) -> bool {
        let [size_hi, size_lo] = udp_size.to_be_bytes();
        let extended = (self.rcode.0 >> 4) as u8;
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        let option = edns.client_subnet.as_ref().map_or(0, subnet_option);
        let options = options_room(edns);
        let [_, code] = CLIENT_SUBNET.to_be_bytes();
        let (family, source, address) = match &edns.client_subnet {
            Some(subnet) => (subnet.family, subnet.source, subnet.address),
            None => (0, 0, 0),
        };
        let mut opt = [0; OPT_MAX];
        // Without a subnet the octets after the first eleven are written, but not sent.
        opt[..19].copy_from_slice(&[
            0,
            0,
            41,
            size_hi,
            size_lo,
            extended,
            0,
            dnssec_ok,
            0,
            0,
            options as u8, //
            0,
            code,
            0,
            (option as u8).wrapping_sub(4),
            0,
            family,
            source,
            scope,
        ]);
        opt[19..].copy_from_slice(&address.to_be_bytes());
        let length = OPT + option;
        let Some(room) = self.out.get_mut(self.at..) else { return false };
        if let Some(room) = room.first_chunk_mut::<OPT_MAX>() {
            *room = opt;
        } else if !copy_start(&opt, room, length) {
            return false;
        }
        self.at += length;
        edns.cookie.as_ref().is_none_or(|cookie| self.write_cookie(cookie))
    }

    /// Writes the cookie, the last of the options; false when it does not fit.
    #[inline]
    fn write_cookie(&mut self, cookie: &Cookie) -> bool {
        let room = self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<COOKIE_OPTION>);
        let Some(room) = room else { return false };
        room[..4].copy_from_slice(&[0, COOKIE as u8, 0, COOKIE_LENGTH as u8]);
        room[4..].copy_from_slice(cookie.words().as_flattened());
        self.at += COOKIE_OPTION;
        true
    }
}

/// Where the octets stand of an owner name that begins at `at`: there, or where its pointer
/// leads. No owner is written in any other way.
fn owner_at(message: &[u8], at: usize) -> Option<Range<usize>> {
    let [hi, lo] = *message.get(at..)?.first_chunk::<2>()?;
    let pointer = usize::from(u16::from_be_bytes([hi & 0x3f, lo]));
    let start = if hi >= 0xc0 { pointer } else { at };
    let mut end = start;
    loop {
        let label = usize::from(*message.get(end)?);
        end += 1 + label;
        if label == 0 {
            return Some(start..end);
        }
    }
}

/// Copies the first `length` octets of OPT to the end of a buffer that has no room for the
/// largest; false when it has none for these either.
#[cold]
#[inline(never)]
fn copy_start(opt: &[u8; OPT_MAX], room: &mut [u8], length: usize) -> bool {
    match (room.get_mut(..length), opt.get(..length)) {
        (Some(room), Some(opt)) => {
            room.copy_from_slice(opt);
            true
        }
        _ => false,
    }
}

/// A place in a response to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: usize,
    counts: Counts,
}

/// Copies `from` into `to`, which is as long. Lengths that are usual are copied without a call:
/// address records, and questions of up to 32 octets.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    let pair = |from: &[u8], to: &mut [u8]| -> Option<()> {
        *to.first_chunk_mut::<16>()? = *from.first_chunk()?;
        *to.last_chunk_mut::<16>()? = *from.last_chunk()?;
        Some(())
    };
    if from.len() == RECORD_HEAD + 4
        && let (Ok(from), Ok(to)) = (
            <&[u8; RECORD_HEAD + 4]>::try_from(from),
            <&mut [u8; RECORD_HEAD + 4]>::try_from(&mut *to),
        )
    {
        *to = *from;
    } else if from.len() > 32 || pair(from, to).is_none() {
        to.copy_from_slice(from);
    }
}

/// The four counts of a header as they go out, the question's first.
#[derive(Debug, Clone, Copy)]
struct Counts(u64);

impl Counts {
    /// One question, or none.
    #[inline]
    fn of_question(question: &[u8]) -> Self {
        Self(u64::from(!question.is_empty()) << 48)
    }

    #[inline]
    const fn add(&mut self, section: Section) {
        self.0 += 1 << Self::shift(section);
    }

    #[inline]
    const fn of(self, section: Section) -> u16 {
        (self.0 >> Self::shift(section)) as u16
    }

    const fn without_records(self) -> Self {
        Self(self.0 >> 48 << 48)
    }

    const fn shift(section: Section) -> u32 {
        match section {
            Section::Answer => 32,
            Section::Authority => 16,
            Section::Additional => 0,
        }
    }
}

/// Octets of an OPT record without options.
const OPT: usize = 11;
/// Octets of the longest OPT record that is written, but for a cookie.
const OPT_MAX: usize = OPT + 8 + 16;
/// Octets of a cookie option, code and length included.
const COOKIE_OPTION: usize = 4 + COOKIE_LENGTH;

/// Octets the OPT record of the response will take.
#[inline]
pub(super) fn opt_room(edns: Option<&Edns>) -> usize {
    match edns {
        None => 0,
        Some(edns) => OPT + options_room(edns),
    }
}

/// Octets of all its options.
#[inline]
fn options_room(edns: &Edns) -> usize {
    let cookie = if edns.cookie.is_some() { COOKIE_OPTION } else { 0 };
    cookie + edns.client_subnet.as_ref().map_or(0, subnet_option)
}

/// Octets of the client subnet option, code and length included.
#[inline]
const fn subnet_option(subnet: &ClientSubnet) -> usize {
    8 + subnet.octets()
}
