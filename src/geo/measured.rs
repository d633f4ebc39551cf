//! Measured latencies while a map is compiled: which networks they split the address space at,
//! and in which order sites come by them.

use crate::geo::ground::Point;
use crate::geo::latency::{Gauge, Measured};
use crate::geo::map::{LatencySpec, MapSpec};
use crate::geo::sites::Sites;
use crate::geo::spans::{Key, Nested, Spans};
use crate::geo::world::World;
use crate::region::EARTH_RADIUS_KM;

/// One table of latencies, over one world, for the sites of one map.
#[derive(Debug)]
pub(crate) struct Measuring {
    pub(crate) gauge: Gauge,
    /// The sites by what their distance lets expect: in the same order as by milliseconds.
    pub(crate) sites: Sites,
    /// Milliseconds of one unit of their measure.
    scale: f64,
    /// The networks of both families.
    entries: Vec<Entry>,
}

/// A network something was measured from.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its place in the table.
    at: u32,
    /// The number of the next network around it; 0 for none.
    around: u32,
}

impl Measuring {
    pub(crate) fn new(world: &World, spec: &MapSpec, latency: &LatencySpec) -> Self {
        let gauge = Gauge::new(world, latency.latencies.clone(), latency.min_samples);
        let scale = gauge.estimate.per_kilometre * EARTH_RADIUS_KM;
        let sites = Sites::with_base(spec, gauge.estimate.base / scale);
        Self { gauge, sites, scale, entries: Vec::new() }
    }

    /// One family by the networks something was measured from; 0 where nothing was. To be called
    /// once for each family.
    pub(crate) fn split<K: Key>(&mut self) -> Spans<K> {
        let networks = self.gauge.latencies().networks().iter().zip(0..);
        let (given, places): (Vec<_>, Vec<u32>) = networks
            .filter_map(|(measured, at)| {
                let (network, length) = measured.network;
                Some(((K::from_ip(network)?, length), at))
            })
            .unzip();
        let nested = Nested::new(&given);
        let before = self.entries.len() as u32;
        self.entries.extend(nested.networks.iter().map(|network| {
            let around = network.parent.map_or(0, |parent| before + parent + 1);
            // Each network is in the table once.
            Entry { at: places[network.given[0] as usize], around }
        }));
        nested.spans.map(|id| if id == 0 { 0 } else { before + id })
    }

    /// Puts `sites` in order for clients at `from` in a network, fewest milliseconds first, and
    /// those of which nothing is known last; tells how many of the first are equally near, those
    /// with up to `within` times as many milliseconds as the first.
    pub(crate) fn put_in_order(
        &self,
        spec: &MapSpec,
        sites: &mut [u16],
        network: u32,
        from: Option<&Point>,
        within: Option<f64>,
    ) -> usize {
        let mut measured: Vec<(f64, u16)> = sites
            .iter()
            .map(|&site| {
                let blend =
                    self.gauge.blend(self.around(network), spec.sites[usize::from(site)].region);
                let estimate = from.and_then(|from| self.sites.expect(site, from));
                let milliseconds = blend.with(estimate.map(|measure| measure * self.scale));
                let biased = milliseconds.map(|taken| taken * self.sites.factor(site));
                (biased.unwrap_or(f64::INFINITY), site)
            })
            .collect();
        measured.sort_by(|one, other| one.0.total_cmp(&other.0));
        let tied = match (within, measured.first()) {
            (Some(within), Some(&(least, _))) if least.is_finite() => {
                measured.iter().take_while(|(taken, _)| *taken <= least * within).count()
            }
            _ => 1,
        };
        // Those that are equally near stand as written: which is the nearest does not matter.
        let tied = tied.min(crate::geo::map::ORDER_MAX);
        let written = |site: u16| sites.iter().position(|written| *written == site);
        if let Some(head) = measured.get_mut(..tied) {
            head.sort_by_key(|&(_, site)| written(site));
        }
        sites.iter_mut().zip(measured).for_each(|(slot, (_, site))| *slot = site);
        tied
    }

    /// A network and those around it.
    fn around(&self, network: u32) -> impl Iterator<Item = &Measured> {
        let entry = |number: u32| Some(self.entries[number.checked_sub(1)? as usize]);
        let chain = std::iter::successors(entry(network), move |inner| entry(inner.around));
        chain.map(|entry| &self.gauge.latencies().networks()[entry.at as usize])
    }
}
