//! How a candidate stands to a client: whether it serves, and whether it takes this one.

use super::{Ask, Chooser, Ignore, KEEP_SALT, Side, Standing, Trace, words};
use crate::health::table::{PoolWord, Verdict};
use crate::region::{Family, PoolId};
use crate::steer::dials;
use crate::steer::key::ClientKey;
use crate::steer::record::Site;
use crate::steer::tally::Reason;

impl<T: Trace> Chooser<'_, '_, T> {
    /// Whether a site takes this client.
    #[inline(always)]
    pub(super) fn is_in(&mut self, site: u16) -> bool {
        let share = self.looked_at(site);
        let standing = match share {
            0 if self.is_open(site) => Standing::Shed,
            0 => Standing::Out,
            share if self.is_kept(site, share) => Standing::In,
            _ => Standing::Shed,
        };
        self.note(site, standing);
        standing == Standing::In
    }

    /// The share of clients that a site takes, chance deciding who: told to the trace.
    pub(super) fn share(&mut self, site: u16) -> u16 {
        let share = self.looked_at(site);
        let standing = match share {
            0 if self.is_open(site) => Standing::Shed,
            0 => Standing::Out,
            _ => Standing::In,
        };
        self.note(site, standing);
        share
    }

    /// Whether a site takes this client; not told.
    pub(super) fn takes(&mut self, site: u16) -> bool {
        let share = self.looked_at(site);
        share > 0 && self.is_kept(site, share)
    }

    /// The share of clients that a site takes, and how soon that may change.
    #[inline]
    pub(super) fn looked_at(&mut self, site: u16) -> u16 {
        self.see(site);
        self.untraced_share(site)
    }

    /// Whether a site serves, whomever it takes, and how soon that may change.
    pub(super) fn is_seen_open(&mut self, site: u16) -> bool {
        self.see(site);
        self.is_open(site)
    }

    /// Notes how soon a site may change.
    #[inline]
    fn see(&mut self, site: u16) {
        if let Some(known) = self.plan.sites.get(usize::from(site)) {
            let words = self.words(known.pool);
            self.sight = self.sight.min(words.0.sight()).min(words.1.sight());
        }
    }

    pub(super) fn note(&mut self, site: u16, standing: Standing) {
        if let Some(known) = self.plan.sites.get(usize::from(site)) {
            self.trace.considered(site, self.words(known.pool), standing);
        }
        if standing == Standing::In {
            return;
        }
        self.has_shed |= standing == Standing::Shed;
        if self.passed.is_none() {
            self.passed = Some(self.why_not(site));
        }
    }

    /// Why a site does not take this client.
    #[cold]
    #[inline(never)]
    pub(super) fn why_not(&self, site: u16) -> Reason {
        let Some(known) = self.plan.sites.get(usize::from(site)) else { return Reason::Unhealthy };
        let words = self.words(known.pool);
        if self.accepts(known, words) {
            let place = self.rule.own.iter().position(|own| *own == site);
            let room = place.zip(self.trace.spill(self.plan));
            let room = room.map_or(dials::ALL, |(at, spill)| spill.keep(self.query.number, at));
            // Whatever else it keeps less for would let more of them in.
            let is_full = room < dials::ALL && room <= self.untraced_share(site);
            return if is_full { Reason::AtCapacity } else { Reason::Shed };
        }
        if !known.offers(self.query.ask) {
            return Reason::NoAddress;
        }
        let is_drained = is_by_operator(words.0) || is_by_operator(words.1);
        if is_drained { Reason::Drained } else { Reason::Unhealthy }
    }

    /// The share of clients that a site takes; 0 when it is out.
    #[inline]
    pub(super) fn untraced_share(&self, site: u16) -> u16 {
        let Some(known) = self.plan.sites.get(usize::from(site)) else { return 0 };
        let words = self.words(known.pool);
        if !self.accepts(known, words) {
            return 0;
        }
        if self.overrules {
            return dials::ALL;
        }
        let kept = |word: PoolWord| if word.is_eligible() { word.keep() } else { 0 };
        let share = kept(words.0).max(kept(words.1));
        if !self.rule.dialled {
            return share;
        }
        let Some(place) = self.rule.own.iter().position(|own| *own == site) else { return share };
        let number = self.query.number;
        let spill = self.trace.spill(self.plan);
        let at_capacity = spill.map_or(dials::ALL, |spill| spill.keep(number, place));
        share.min(self.query.record.dials.keep(number, place)).min(at_capacity)
    }

    /// Whether this client is among the share of them that a site takes.
    #[inline]
    pub(super) fn is_kept(&mut self, site: u16, share: u16) -> bool {
        if share == dials::ALL {
            return true;
        }
        let salt = self.plan.sites.get(usize::from(site)).map_or(0, |site| site.salt);
        // Not by what it is drawn with under `hash`: those drawn for it would be the last kept.
        self.is_within(share, salt ^ KEEP_SALT)
    }

    pub(super) fn is_within(&mut self, share: u16, salt: u64) -> bool {
        share == dials::ALL || self.key().is_within(share, salt)
    }

    /// Whom shares are picked out by: the client's network, or, under policies that choose by
    /// chance, nobody.
    pub(super) fn key(&mut self) -> ClientKey {
        if let Some(key) = self.key {
            return key;
        }
        let key = match self.rule.key {
            Some(lengths) => {
                self.by_network = true;
                let network = ClientKey::of(self.query.client, lengths);
                let heavy = &self.query.record.heavy;
                heavy.note(self.query.client, lengths, self.chance);
                // One that brings a thousandth of all queries would be too large a part.
                if heavy.has(network) { ClientKey::drawn(self.chance.draw()) } else { network }
            }
            None => ClientKey::drawn(self.chance.draw()),
        };
        self.key = Some(key);
        key
    }

    pub(super) fn is_on_side(&self, site: u16) -> bool {
        match self.side {
            Side::All => true,
            Side::New => self.rule.new_side.contains(&site),
            Side::Old => self.rule.own.contains(&site) && !self.rule.new_side.contains(&site),
            Side::Others => !self.rule.own.contains(&site),
        }
    }

    /// Whether a site serves, whomever it takes.
    #[inline]
    pub(super) fn is_open(&self, site: u16) -> bool {
        let known = self.plan.sites.get(usize::from(site));
        known.is_some_and(|known| self.accepts(known, self.words(known.pool)))
    }

    #[inline]
    pub(super) fn words(&self, pool: PoolId) -> (PoolWord, PoolWord) {
        words(self.query.health, pool, self.query.ask, self.query.area)
    }

    #[inline]
    pub(super) fn accepts(&self, site: &Site, words: (PoolWord, PoolWord)) -> bool {
        let ask = self.query.ask;
        match self.ignore {
            Ignore::Nothing => words.0.is_eligible() || words.1.is_eligible(),
            Ignore::Checks => {
                site.offers(ask) && !(is_by_operator(words.0) && is_by_operator(words.1))
            }
            Ignore::Everything => site.offers(ask),
        }
    }
}

/// Out whatever its checks say.
const fn is_by_operator(word: PoolWord) -> bool {
    matches!(word.verdict(), Verdict::Draining | Verdict::ForcedDown | Verdict::Maintenance)
}

impl Site {
    /// Whether the pool has anything to hand out for `ask`, healthy or not.
    #[inline]
    const fn offers(&self, ask: Ask) -> bool {
        match ask {
            Ask::Family(Family::V4) => self.has_v4,
            Ask::Family(Family::V6) => self.has_v6,
            Ask::Any => self.has_v4 || self.has_v6,
        }
    }
}
