//! Writing a response: header, question, records, OPT, into a buffer that is given.
//!
//! A write that does not fit changes nothing and says so; what follows (truncation, dropped
//! glue) is `server`'s choice. OPT's room is kept free from the start.

use crate::wire::edns::{CLIENT_SUBNET, ClientSubnet, Edns};
use crate::wire::query::{HEADER, Query};
use crate::wire::types::Rcode;

/// Header flags of a response (RFC 1035 section 4.1.1), second octet pair.
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;

/// The largest offset a compression pointer can name (RFC 1035 section 4.1.4).
const POINTER_MAX: usize = 0x3fff;

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
    counts: [u16; 3],
    flags: u8,
    rcode: Rcode,
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
        out.get_mut(HEADER..question_end)?.copy_from_slice(question);
        Some(Self {
            out,
            at: question_end,
            question_end,
            limit,
            counts: [0; 3],
            flags: query.flags | QR,
            rcode: Rcode::NOERROR,
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
        self.counts[section as usize]
    }

    /// The octets written so far, for reading back a name that was just written.
    #[inline]
    pub fn written(&self) -> &[u8] {
        self.out.get(..self.at).unwrap_or(&[])
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
            room.copy_from_slice(body);
            self.at + 2
        } else {
            let body_at = self.copy_name(owner)?;
            self.room(body_at, body.len())?.copy_from_slice(body);
            body_at
        };
        self.at = body_at + body.len();
        self.counts[section as usize] += 1;
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

    /// Truncates: TC set, no records (RFC 2181 section 9 wants none that are incomplete; an
    /// empty response is the shortest that says "ask again over TCP").
    #[inline]
    pub const fn truncate(&mut self) {
        self.flags |= TC;
        self.at = self.question_end;
        self.counts = [0; 3];
    }

    /// Writes OPT (when the query had one) and the header; returns the response's length.
    /// `scope` is the client subnet's scope prefix length, `udp_size` what we can receive.
    #[inline]
    pub fn finish(mut self, query: &Query, udp_size: u16, scope: u8) -> usize {
        let mut additional = self.counts[2];
        if let Some(edns) = &query.edns {
            self.limit = self.out.len();
            if self.write_opt(edns, udp_size, scope).is_ok() {
                additional += 1;
            }
        }
        let questions = u8::from(self.question_end > HEADER);
        let [answer_hi, answer_lo] = self.counts[0].to_be_bytes();
        let [authority_hi, authority_lo] = self.counts[1].to_be_bytes();
        let [additional_hi, additional_lo] = additional.to_be_bytes();
        let rest = [
            self.flags,
            (self.rcode.0 & 0x0f) as u8,
            0,
            questions,
            answer_hi,
            answer_lo,
            authority_hi,
            authority_lo,
            additional_hi,
            additional_lo,
        ];
        match self.out.get_mut(2..HEADER) {
            Some(header) => header.copy_from_slice(&rest),
            None => return 0,
        }
        self.at
    }

    #[inline]
    fn write_opt(&mut self, edns: &Edns, udp_size: u16, scope: u8) -> Result<(), Full> {
        let [size_hi, size_lo] = udp_size.to_be_bytes();
        let extended = (self.rcode.0 >> 4) as u8;
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        let Some(subnet) = &edns.client_subnet else {
            return self.put([0, 0, 41, size_hi, size_lo, extended, 0, dnssec_ok, 0, 0, 0]);
        };
        let option = subnet_option(subnet) as u8;
        self.put([0, 0, 41, size_hi, size_lo, extended, 0, dnssec_ok, 0, 0, option])?;
        let [code_hi, code_lo] = CLIENT_SUBNET.to_be_bytes();
        self.put([code_hi, code_lo, 0, option - 4, 0, subnet.family, subnet.source, scope])?;
        if subnet.octets() == 3 {
            // A /24, what most resolvers send.
            let [a, b, c, ..] = subnet.address;
            return self.put([a, b, c]);
        }
        let address = subnet.address.get(..subnet.octets()).ok_or(Full)?;
        self.room(self.at, address.len())?.copy_from_slice(address);
        self.at += address.len();
        Ok(())
    }

    /// Writes octets at the end.
    #[inline]
    fn put<const N: usize>(&mut self, octets: [u8; N]) -> Result<(), Full> {
        let room = self.room(self.at, N)?.first_chunk_mut::<N>().ok_or(Full)?;
        *room = octets;
        self.at += N;
        Ok(())
    }
}

/// A place in a response to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: usize,
    counts: [u16; 3],
}

/// Octets the OPT record of the response will take.
#[inline]
fn opt_room(edns: Option<&Edns>) -> usize {
    match edns {
        None => 0,
        Some(Edns { client_subnet: None, .. }) => 11,
        Some(Edns { client_subnet: Some(subnet), .. }) => 11 + subnet_option(subnet),
    }
}

/// Octets of the client subnet option, code and length included.
#[inline]
const fn subnet_option(subnet: &ClientSubnet) -> usize {
    8 + subnet.octets()
}
