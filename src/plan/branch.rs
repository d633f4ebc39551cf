//! Every loss of up to k regions for one class of clients, without looking at every set of them.
//!
//! A selection hangs on the pools it looked at and on no others. So after a look with the regions
//! of some set lost, only sets that add a region of a pool that was looked at can end otherwise;
//! all others end alike. Branching on those alone visits every different ending.

use std::net::IpAddr;

use crate::health::table::{PoolWord, Verdict};
use crate::plan::outcome::Asker;
use crate::plan::suppose::FAMILIES;
use crate::region::{AreaId, Pool, RegionId};
use crate::steer::record::{Policy, Record};
use crate::steer::select::{Selection, Standing, Trace};

/// A site, and its pool's words by area when nothing is lost, the world first.
type Whole = (u16, Vec<[PoolWord; 2]>);

/// The regions of a record and their sites, for losing them one by one.
pub(super) struct Regions {
    /// Every region that has a site, with its sites.
    all: Vec<(RegionId, Vec<Whole>)>,
    /// For each site, the place of its region in `all`.
    of_site: Vec<u16>,
}

impl Regions {
    /// `asker`'s table must be as it is when nothing is lost.
    pub(super) fn new(asker: &Asker<'_>, pools: &[Pool]) -> Self {
        let mut regions = Self { all: Vec::new(), of_site: Vec::new() };
        for (site, number) in asker.record.plan.sites.iter().zip(0..) {
            let region = pools[site.pool.0 as usize].region;
            let known = regions.all.iter().position(|(known, _)| *known == region);
            let at = known.unwrap_or_else(|| {
                regions.all.push((region, Vec::new()));
                regions.all.len() - 1
            });
            let words = |area| FAMILIES.map(|family| asker.table.word(site.pool, family, area));
            let words = AreaId::all(asker.table.areas()).map(words).collect();
            regions.all[at].1.push((number, words));
            regions.of_site.push(at as u16);
        }
        regions
    }

    /// How many there are.
    pub(super) fn len(&self) -> u16 {
        self.all.len() as u16
    }

    pub(super) fn region(&self, at: u16) -> RegionId {
        self.all[usize::from(at)].0
    }

    /// The region of a site.
    pub(super) fn of(&self, site: u16) -> Option<u16> {
        self.of_site.get(usize::from(site)).copied()
    }

    /// Loses a region, or gives it back.
    pub(super) fn set(&self, asker: &Asker<'_>, at: u16, lost: bool) {
        for (site, words) in &self.all[usize::from(at)].1 {
            let Some(site) = asker.record.plan.sites.get(usize::from(*site)) else { continue };
            for (area, words) in (0..).map(AreaId).zip(words) {
                for (family, &word) in FAMILIES.into_iter().zip(words) {
                    let down = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
                    let word = if lost && word.is_eligible() { down } else { word };
                    asker.table.store(site.pool, family, area, word);
                }
            }
        }
    }
}

/// What one look saw.
#[derive(Default)]
pub(super) struct Seen {
    sites: Vec<u16>,
}

impl Trace for Seen {
    fn considered(&mut self, site: u16, _words: (PoolWord, PoolWord), standing: Standing) {
        if standing != Standing::Out && !self.sites.contains(&site) {
            self.sites.push(site);
        }
    }
}

/// Walks over the losses for one class of clients.
pub(super) struct Branches<'a, 'r> {
    pub(super) asker: Asker<'r>,
    pub(super) regions: &'a Regions,
    /// Clients who stand for the class: one, or under policies that look at the client's own
    /// network, one for each thing it may lead to.
    pub(super) clients: &'a [IpAddr],
    /// Most regions lost at once.
    pub(super) most: usize,
    /// Selections made.
    pub(super) looked: u64,
}

impl<'r> Branches<'_, 'r> {
    /// Calls `judge` with each different ending and what is lost there; where it says so, losing
    /// more is not looked at.
    pub(super) fn walk(
        &mut self,
        judge: &mut impl FnMut(&Record, IpAddr, &Selection<'r>, &[u16]) -> bool,
    ) {
        self.visit(&mut Vec::new(), &mut Vec::new(), judge);
    }

    fn visit(
        &mut self,
        lost: &mut Vec<u16>,
        kept: &mut Vec<u16>,
        judge: &mut impl FnMut(&Record, IpAddr, &Selection<'r>, &[u16]) -> bool,
    ) {
        let mut seen = Seen::default();
        let mut enough = false;
        for &client in self.clients {
            let (looked, record) = (&mut self.looked, self.asker.record);
            self.asker.each(client, &mut seen, |selection| {
                *looked += 1;
                enough |= judge(record, client, selection, lost);
            });
        }
        if enough || lost.len() >= self.most {
            return;
        }
        let next = self.hangs_on(&seen, lost, kept);
        let before = kept.len();
        for region in next {
            self.regions.set(&self.asker, region, true);
            lost.push(region);
            self.visit(lost, kept, judge);
            lost.pop();
            self.regions.set(&self.asker, region, false);
            // Sets with this region are done; the next branches are those without it.
            kept.push(region);
        }
        kept.truncate(before);
    }

    /// The regions, not lost and not settled, whose loss may end otherwise.
    fn hangs_on(&self, seen: &Seen, lost: &[u16], kept: &[u16]) -> Vec<u16> {
        let mut regions = Vec::new();
        let mut add = |site: u16| {
            if let Some(region) = self.regions.of(site)
                && !lost.contains(&region)
                && !kept.contains(&region)
                && !regions.contains(&region)
            {
                regions.push(region);
            }
        };
        seen.sites.iter().for_each(|site| add(*site));
        // Some of these are looked at without a word.
        if let Some((_, rule)) = self.clients.first().and_then(|client| self.asker.rule(*client)) {
            let in_order = matches!(rule.policy, Policy::Failover | Policy::Nearest);
            if !in_order || rule.panic_below > 0 || rule.dialled {
                rule.own.iter().for_each(|site| add(*site));
            }
        }
        regions
    }
}
