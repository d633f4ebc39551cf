//! Groups: level by level, each by its own policy, down to a site.

use super::{Chooser, Selection, Standing, Trace};
use crate::geo::map::Hit;
use crate::steer::key::ClientKey;
use crate::steer::nest::{Choice, Item, Level, Nest, What};

impl<T: Trace> Chooser<'_, '_, T> {
    /// Goes down the nest once for each answer.
    #[inline(never)]
    pub(super) fn nested(&mut self, nest: &Nest, hit: &Hit<'_>, selection: &mut Selection<'_>) {
        while !selection.is_full(self.rule.answers) {
            match self.descend(nest, 0, hit, selection) {
                Some(site) => self.take(site, selection),
                None => {
                    self.look_at_all(selection);
                    break;
                }
            }
        }
    }

    /// Levels that draw look for takers without a word: where nobody takes this client, it is
    /// told of each how it stands, so that one who serves is known to be there.
    #[cold]
    fn look_at_all(&mut self, selection: &Selection<'_>) {
        if selection.picks().is_empty() {
            for &site in &self.rule.own {
                if self.is_on_side(site) {
                    let _ = self.is_in(site);
                }
            }
        }
    }

    /// A site below level `number` that takes this client and is not picked yet.
    fn descend(
        &mut self,
        nest: &Nest,
        number: u16,
        hit: &Hit<'_>,
        selection: &mut Selection<'_>,
    ) -> Option<u16> {
        let level = nest.levels.get(usize::from(number))?;
        self.trace.entered(&level.name);
        match &level.choice {
            Choice::Listed => {
                level.items.iter().find_map(|item| self.inside(nest, number, *item, hit, selection))
            }
            Choice::Nearest => {
                selection.scope = selection.scope.max(hit.scope_full);
                let item = self.nearest_item(nest, level, hit, selection)?;
                self.inside(nest, number, item, hit, selection)
            }
            Choice::Drawn => {
                let item = self.drawn_item(nest, level, selection)?;
                self.inside(nest, number, item, hit, selection)
            }
            Choice::Stays { affinity, key, sticky } => {
                let key = if *sticky { self.key() } else { ClientKey::of(self.query.client, *key) };
                self.by_network |= !sticky;
                let has_taker = |at: usize| {
                    level.items.get(at).is_some_and(|item| self.has_taker(nest, *item, selection))
                };
                let at = affinity.pick(key, has_taker)?;
                let first = affinity.pick(key, |_| true).filter(|first| *first != at);
                if let Some(first) = first.and_then(|first| level.items.get(first)) {
                    self.pass_over(nest, *first);
                }
                self.inside(nest, number, *level.items.get(at)?, hit, selection)
            }
        }
    }

    /// A site inside an item of level `above`.
    fn inside(
        &mut self,
        nest: &Nest,
        above: u16,
        item: Item,
        hit: &Hit<'_>,
        selection: &mut Selection<'_>,
    ) -> Option<u16> {
        match item.what {
            What::Site(site) => {
                let is_free = self.is_on_side(site) && !selection.picks().contains(&site);
                (is_free && self.is_in(site)).then_some(site)
            }
            // Levels name later ones: this ends.
            What::Level(level) if level > above => self.descend(nest, level, hit, selection),
            What::Level(_) => None,
        }
    }

    /// The item with the nearest site that takes this client.
    fn nearest_item(
        &mut self,
        nest: &Nest,
        level: &Level,
        hit: &Hit<'_>,
        selection: &Selection<'_>,
    ) -> Option<Item> {
        let kept = hit.order.sites.get(..usize::from(hit.order.len)).unwrap_or_default();
        let near = kept.iter().copied().filter(|site| level.sites.contains(site));
        for site in near {
            let is_free = self.is_on_side(site) && !selection.picks().contains(&site);
            if is_free && self.is_in(site) {
                return item_with(nest, level, site);
            }
        }
        let mut best: Option<(f32, u16)> = None;
        for &site in level.sites.iter().filter(|site| !kept.contains(site)) {
            let is_free = self.is_on_side(site) && !selection.picks().contains(&site);
            if is_free && self.is_in(site) {
                let far = self.distance(hit.order.at, site);
                if best.is_none_or(|(least, _)| far < least) {
                    best = Some((far, site));
                }
            }
        }
        best.and_then(|(_, site)| item_with(nest, level, site))
    }

    /// An item by weight: drawn among all first, so that what is out shows, and then among those
    /// with somebody inside who takes this client.
    fn drawn_item(
        &mut self,
        nest: &Nest,
        level: &Level,
        selection: &Selection<'_>,
    ) -> Option<Item> {
        let all: u64 = level.items.iter().map(|item| u64::from(item.weight)).sum();
        let mut left = self.chance.below_wide(all);
        let first = level.items.iter().find(|item| {
            let is_it = left < u64::from(item.weight);
            left = left.saturating_sub(item.weight.into());
            is_it
        });
        if let Some(&item) = first {
            if self.has_taker(nest, item, selection) {
                return Some(item);
            }
            if selection.picks().is_empty() {
                self.pass_over(nest, item);
            }
        }
        let mut sum = 0;
        let mut standby = None;
        for &item in &level.items {
            if self.has_taker(nest, item, selection) {
                sum += u64::from(item.weight);
                if item.weight == 0 && standby.is_none() {
                    standby = Some(item);
                }
            }
        }
        let mut left = self.chance.below_wide(sum);
        for &item in level.items.iter().filter(|item| item.weight > 0) {
            if self.has_taker(nest, item, selection) {
                if left < u64::from(item.weight) {
                    return Some(item);
                }
                left -= u64::from(item.weight);
            }
        }
        standby
    }

    /// Nobody inside an item takes this client: all of them are told, and the first says why.
    #[cold]
    fn pass_over(&mut self, nest: &Nest, item: Item) {
        match item.what {
            What::Site(site) => self.pass_over_site(site),
            What::Level(level) => {
                let sites = nest.levels.get(usize::from(level)).into_iter();
                sites.flat_map(|level| &level.sites).for_each(|site| self.pass_over_site(*site));
            }
        }
    }

    fn pass_over_site(&mut self, site: u16) {
        if self.is_on_side(site) {
            let standing = if self.is_open(site) { Standing::Shed } else { Standing::Out };
            self.note(site, standing);
        }
    }

    /// Whether somebody inside an item takes this client.
    fn has_taker(&mut self, nest: &Nest, item: Item, selection: &Selection<'_>) -> bool {
        let mut is_free = |site: u16| {
            self.is_on_side(site) && !selection.picks().contains(&site) && self.takes(site)
        };
        match item.what {
            What::Site(site) => is_free(site),
            What::Level(level) => nest
                .levels
                .get(usize::from(level))
                .is_some_and(|level| level.sites.iter().any(|site| is_free(*site))),
        }
    }
}

/// The first item of a level with this site inside.
fn item_with(nest: &Nest, level: &Level, site: u16) -> Option<Item> {
    let is_inside = |item: &&Item| match item.what {
        What::Site(own) => own == site,
        What::Level(below) => {
            nest.levels.get(usize::from(below)).is_some_and(|level| level.sites.contains(&site))
        }
    };
    level.items.iter().find(is_inside).copied()
}
