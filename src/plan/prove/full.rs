//! Pools at capacity, as far as an answer can hang on them: whatever the planner may come to, its
//! clients begin at one of these places of their order, or are shed where they are drawn.
//!
//! A pool that sheds a client is passed over as one that is lost is, and losses are gone through
//! anyhow; so one by one is not looked at, but all at once, where who serves is taken all the
//! same.

use crate::geo::map::ORDER_MAX;
use crate::steer::record::Plan;
use crate::steer::select::Selection;
use crate::steer::spill::{ALL_FIRST, FIRST};

/// How full pools are to one class of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fullness {
    /// Nobody is sent on.
    AtRest,
    /// The class begins at this place of its order.
    Begins(usize),
    /// Pools of the rule take nobody for want of room.
    NoRoom,
}

/// What a plan was told before.
pub(super) struct Before {
    word: u64,
    keeps: Vec<u16>,
}

impl Fullness {
    /// All that clients of an order under a rule may meet.
    pub(super) fn all(plan: &Plan, order: u32, rule: usize) -> Vec<Self> {
        let mut all = vec![Self::AtRest];
        if plan.spill.is_none() {
            return all;
        }
        let of = plan.map.orders().get(order as usize);
        let places = of.map_or(0, |order| usize::from(order.len));
        // Where none is as near as the first, to begin there is to be at rest.
        let first = usize::from(of.is_none_or(|order| order.head().len() < 2));
        all.extend((first..places.min(ORDER_MAX)).map(Self::Begins));
        if plan.rules.get(rule).is_some_and(|rule| rule.dialled) {
            all.push(Self::NoRoom);
        }
        all
    }

    /// Tells a plan so.
    pub(super) fn turn(self, plan: &Plan, order: u32, rule: usize) -> Before {
        let (Some(spill), own) = (&plan.spill, plan.rules.get(rule).map_or(0, |of| of.own.len()))
        else {
            return Before { word: FIRST, keeps: Vec::new() };
        };
        let keeps = (0..own).map(|place| spill.keep(rule, place)).collect();
        let before = Before { word: spill.word(order as usize), keeps };
        match self {
            Self::AtRest => {}
            Self::Begins(place) => spill.set_word(order as usize, begins(place)),
            Self::NoRoom => (0..own).for_each(|place| spill.set_keep(rule, place, 0)),
        }
        before
    }

    /// Whether it has made a difference: where the pool to begin with is lost, what is left is as
    /// at rest, and is looked at there.
    pub(super) fn shows(self, plan: &Plan, order: u32, selection: &Selection<'_>) -> bool {
        let Self::Begins(place) = self else { return true };
        let order = plan.map.orders().get(order as usize);
        order.is_some_and(|order| selection.picks().first() == order.sites.get(place))
    }

    /// What is to be said of it after what it leads to.
    pub(super) fn told(self) -> String {
        match self {
            Self::AtRest => String::new(),
            Self::Begins(0) => ", told where to begin by capacity".to_owned(),
            Self::Begins(place) => {
                format!(", sent on to the {}. of their pools by capacity", place + 1)
            }
            Self::NoRoom => ", while no pool of the rule has room".to_owned(),
        }
    }
}

impl Before {
    /// As it was.
    pub(super) fn restore(self, plan: &Plan, order: u32, rule: usize) {
        let Some(spill) = &plan.spill else { return };
        spill.set_word(order as usize, self.word);
        for (place, keep) in self.keeps.into_iter().enumerate() {
            spill.set_keep(rule, place, keep);
        }
    }
}

/// The word by which everybody begins at a place.
fn begins(place: usize) -> u64 {
    match place {
        0 => ALL_FIRST,
        place => u64::MAX.checked_shl(8 * place as u32).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::spill::begins_at;

    #[test]
    fn everybody_begins_where_it_is_said() {
        for place in 0..ORDER_MAX {
            assert!((0..=255).all(|byte| begins_at(begins(place), byte) == place), "{place}");
        }
    }
}
