//! What a steered name answers to types that are not addresses: HTTPS and SVCB, SRV, MX, TXT.
//!
//! Everything but the addresses in hints is laid out when the files are read.

use std::collections::HashMap;

use crate::region::PoolId;
use crate::steer::record::Site;
use crate::wire::types::Rtype;

/// What a record answers to one type, pool by pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceSpec {
    /// The type.
    pub rtype: Rtype,
    /// All of an answer's hosts have one rank, so that clients draw among them.
    pub spread: bool,
    /// What each pool offers; a pool that is not listed offers nothing.
    pub pools: Vec<(PoolId, Offer)>,
}

/// What one pool offers for one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Offer {
    /// An HTTPS or SVCB record.
    Binding(Binding),
    /// An SRV or MX record.
    Host(Host),
    /// The RDATA of its TXT records.
    Texts(Texts),
}

/// The RDATA of TXT records.
pub type Texts = Box<[Box<[u8]>]>;

/// An HTTPS or SVCB record in ServiceMode (RFC 9460 section 2.4.3) without its hints, which stand
/// between its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    /// SvcPriority, at least 1.
    pub priority: u16,
    /// TargetName, and the parameters in front of `ipv4hint`.
    pub head: Box<[u8]>,
    /// Those between `ipv4hint` and `ipv6hint`.
    pub middle: Box<[u8]>,
    /// Those after `ipv6hint`.
    pub tail: Box<[u8]>,
    /// Whether addresses are hinted at: they are the target's.
    pub hints: bool,
}

/// Most octets of a [`Binding`] without its hints.
pub const BINDING_MAX: usize = 1400;

/// Most octets of the RDATA of a text.
pub const RDATA_MAX: usize = 2048;

/// The RDATA of an SRV or MX record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// Priority of SRV (RFC 2782), preference of MX: lower is tried first.
    pub rank: u16,
    /// What follows it.
    pub rest: Box<[u8]>,
}

/// A [`ServiceSpec`] as a query reads it.
#[derive(Debug)]
pub struct Service {
    /// The type.
    pub rtype: Rtype,
    /// All of an answer's hosts have one rank.
    pub spread: bool,
    offers: Box<[Offer]>,
    /// By site, the place of its offer.
    by_site: Box<[Option<u16>]>,
}

impl Service {
    /// Compiles `spec` for a record with these sites. Equal offers become one.
    pub fn compile(spec: &ServiceSpec, sites: &[Site]) -> Self {
        let mut offers: Vec<Offer> = Vec::new();
        let mut places: HashMap<PoolId, u16> = HashMap::new();
        for (pool, offer) in &spec.pools {
            let place = offers.iter().position(|known| known == offer).unwrap_or(offers.len());
            if place == offers.len() {
                offers.push(offer.clone());
            }
            places.insert(*pool, place as u16);
        }
        Self {
            rtype: spec.rtype,
            spread: spec.spread,
            by_site: sites.iter().map(|site| places.get(&site.pool).copied()).collect(),
            offers: offers.into(),
        }
    }

    /// What the pool of site number `site` offers, and the offer's place: sites with one place
    /// offer the same.
    pub fn offer(&self, site: u16) -> Option<(u16, &Offer)> {
        let place = (*self.by_site.get(usize::from(site))?)?;
        Some((place, self.offers.get(usize::from(place))?))
    }
}
