//! What a server tells of itself in class CH: one TXT record under a name that is asked for
//! (RFC 4892, and the practice of BIND before it).

use crate::wire::name::Name;
use crate::wire::response::{RECORD_HEAD, lay_out};
use crate::wire::types::{Class, Rtype, Ttl};

/// Octets one text of a TXT record holds at most (RFC 1035 section 3.3).
pub const TEXT_MAX: usize = 255;

/// The names that are answered in class CH, mostly none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chaos(Vec<(Name, Box<[u8]>)>);

impl Chaos {
    /// Answers `name` with `text`, of which [`TEXT_MAX`] octets are told.
    pub fn add(&mut self, name: &Name, text: &[u8]) {
        let text = text.get(..TEXT_MAX).unwrap_or(text);
        let rdata = [&[text.len() as u8], text].concat();
        let mut body = vec![0; RECORD_HEAD + rdata.len()];
        // Section 2 of RFC 4892: behind anycast the next answer may be another server's.
        lay_out(&mut body, Rtype::TXT, Ttl::ZERO, &rdata);
        body[2..4].copy_from_slice(&Class::CH.0.to_be_bytes());
        self.0.push((name.to_lowercase(), body.into()));
    }

    /// The record of `lower`, a wire name in lower case: its octets from the type on.
    pub fn find(&self, lower: &[u8]) -> Option<&[u8]> {
        let (_, body) = self.0.iter().find(|(name, _)| name.as_wire() == lower)?;
        Some(body)
    }
}
