//! A composite: what is believed of a target whose health is a matter of several checks.
//!
//! Its parts are probed, voted on and shown like all checks, each once however many composites
//! and pools use it; the composite is concluded from what is believed of them, for each view by
//! itself. Nothing here knows who believes it, nor why.

use super::state::Belief;

/// So many of these parts must serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composite {
    /// Parts that must serve; at least 1, and not more than there are.
    pub need: u16,
    /// The places of the parts in the list that the composite stands in, all of them before it.
    pub of: Vec<u32>,
}

/// Parts by what is believed of them.
#[derive(Debug, Default)]
struct Counts {
    up: u16,
    degraded: u16,
    unknown: u16,
    draining: u16,
    maintenance: u16,
}

impl Composite {
    /// What is believed of the composite where `part` tells it of each part.
    ///
    /// It serves where as many parts do as it needs: up by those that are up alone, degraded
    /// where it takes a degraded one as well. A part of which nothing is known may be either, so
    /// it is never enough to take the composite out, and without it nothing is concluded where it
    /// would decide. Where the parts that drain or are worked on would have been enough, the
    /// composite drains or is worked on.
    pub fn belief(&self, part: impl Fn(u32) -> Belief) -> Belief {
        let mut counts = Counts::default();
        for belief in self.of.iter().map(|place| part(*place)) {
            match belief {
                Belief::Up => counts.up += 1,
                Belief::Degraded => counts.degraded += 1,
                Belief::Unknown => counts.unknown += 1,
                Belief::Draining => counts.draining += 1,
                Belief::Maintenance => counts.maintenance += 1,
                Belief::Down => {}
            }
        }
        let reached = |parts: u16| parts >= self.need;
        let mut parts = counts.up;
        for (more, belief) in [
            (0, Belief::Up),
            (counts.degraded, Belief::Degraded),
            (counts.unknown, Belief::Unknown),
            (counts.draining, Belief::Draining),
            (counts.maintenance, Belief::Maintenance),
        ] {
            parts += more;
            if reached(parts) {
                return belief;
            }
        }
        Belief::Down
    }

    /// Why that is believed, in words; `part` tells of each part its key, what is believed of it,
    /// and why.
    pub fn describe<'k>(
        &self,
        belief: Belief,
        part: impl Fn(u32) -> (&'k str, Belief, String),
    ) -> String {
        let parts: Vec<_> = self.of.iter().map(|place| part(*place)).collect();
        let serving = parts.iter().filter(|(_, belief, _)| serves(*belief)).count();
        let (all, need) = (parts.len(), self.need);
        let mut text =
            format!("{}: {serving} of {all} parts serve, {need} needed", belief.as_str());
        let mut before = "; ";
        for (key, _, why) in parts.iter().filter(|(_, belief, _)| *belief != Belief::Up) {
            text.push_str(&format!("{before}{key} {why}"));
            before = ", ";
        }
        text
    }
}

/// By place in a list of checks and composites, the composites that a check is a part of, whatever
/// lies between; each behind its own parts.
pub(super) fn parts_of<'c>(all: impl Iterator<Item = Option<&'c Composite>>) -> Vec<Vec<u32>> {
    let mut parts_of: Vec<Vec<u32>> = Vec::new();
    let mut checks_of: Vec<Vec<u32>> = Vec::new();
    for (place, composite) in (0u32..).zip(all) {
        parts_of.push(Vec::new());
        let Some(composite) = composite else {
            checks_of.push(vec![place]);
            continue;
        };
        let of = composite.of.iter().filter_map(|part| checks_of.get(*part as usize));
        let mut checks: Vec<u32> = of.flatten().copied().collect();
        checks.sort_unstable();
        checks.dedup();
        checks.iter().for_each(|check| parts_of[*check as usize].push(place));
        checks_of.push(checks);
    }
    parts_of
}

/// True where a part is known to serve.
pub const fn serves(belief: Belief) -> bool {
    matches!(belief, Belief::Up | Belief::Degraded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What so many needed parts come to, a letter each.
    fn of(need: u16, parts: &str) -> Belief {
        let letters: Vec<char> = parts.chars().collect();
        let composite = Composite { need, of: (0..letters.len() as u32).collect() };
        composite.belief(|place| match letters[place as usize] {
            'u' => Belief::Up,
            's' => Belief::Degraded,
            'd' => Belief::Down,
            'r' => Belief::Draining,
            'm' => Belief::Maintenance,
            _ => Belief::Unknown,
        })
    }

    #[test]
    fn as_many_parts_must_serve_as_it_needs() {
        assert_eq!(of(2, "uu"), Belief::Up);
        assert_eq!(of(2, "ud"), Belief::Down);
        assert_eq!(of(1, "ud"), Belief::Up);
        assert_eq!(of(1, "dd"), Belief::Down);
        assert_eq!(of(2, "uud"), Belief::Up);
        assert_eq!(of(2, "udd"), Belief::Down);
    }

    #[test]
    fn degraded_parts_serve_and_are_told() {
        assert_eq!(of(2, "us"), Belief::Degraded);
        assert_eq!(of(1, "us"), Belief::Up);
        assert_eq!(of(2, "usd"), Belief::Degraded);
        assert_eq!(of(2, "sdd"), Belief::Down);
    }

    #[test]
    fn what_is_not_known_takes_nothing_out() {
        assert_eq!(of(2, "u?"), Belief::Unknown);
        assert_eq!(of(2, "d?"), Belief::Down);
        assert_eq!(of(1, "d?"), Belief::Unknown);
        assert_eq!(of(1, "u?"), Belief::Up);
        assert_eq!(of(2, "??d"), Belief::Unknown);
    }

    #[test]
    fn a_part_that_is_taken_out_takes_the_rest_along_in_its_own_way() {
        assert_eq!(of(2, "ur"), Belief::Draining);
        assert_eq!(of(2, "um"), Belief::Maintenance);
        assert_eq!(of(2, "rm"), Belief::Maintenance);
        assert_eq!(of(2, "rd"), Belief::Down);
        assert_eq!(of(1, "ur"), Belief::Up);
    }

    #[test]
    fn every_belief_is_worth_no_less_than_a_worse_one() {
        let worth = |belief: Belief| {
            "dmr?su".chars().position(|letter| of(1, &letter.to_string()) == belief)
        };
        for parts in ["uu", "us", "ss", "u?", "s?", "??", "ur", "rr", "rm", "mm", "ud", "dd"] {
            for need in 1..=2 {
                for better in ["u", "s"] {
                    let more = format!("{parts}{better}");
                    let (before, after) = (of(need, parts), of(need, &more));
                    assert!(worth(after) >= worth(before), "{need} of {parts}, and {better}");
                }
            }
        }
    }

    #[test]
    fn a_check_knows_what_it_is_a_part_of_at_any_depth() {
        let two = Composite { need: 1, of: vec![0, 1] };
        let outer = Composite { need: 1, of: vec![2, 1] };
        let all = [None, None, Some(&two), Some(&outer)];
        assert_eq!(parts_of(all.into_iter()), [vec![2, 3], vec![2, 3], vec![], vec![]]);
    }

    #[test]
    fn it_tells_which_part_is_to_blame() {
        let composite = Composite { need: 2, of: vec![0, 1] };
        let part = |place| match place {
            0 => ("https@192.0.2.1:443", Belief::Up, "up".to_owned()),
            _ => ("tcp@192.0.2.1:25", Belief::Down, "down after 3 failures".to_owned()),
        };
        assert_eq!(
            composite.describe(Belief::Down, part),
            "down: 1 of 2 parts serve, 2 needed; tcp@192.0.2.1:25 down after 3 failures"
        );
    }
}
