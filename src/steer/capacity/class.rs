//! The clients of one order, and which part of them begins where.

use crate::geo::map::ORDER_MAX;

/// Something by position of an order.
pub(super) type ByPosition = [f64; ORDER_MAX];

/// Which positions are there to be sent to.
pub(super) type Serving = [bool; ORDER_MAX];

/// Which part of an order's clients begins at which position: cumulative, `0.0..=1.0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Parts {
    begins: ByPosition,
    /// Nobody is told where to begin: the first, or one of those equally near.
    pub(super) is_home: bool,
}

impl Parts {
    /// Everybody begins with the first.
    pub(super) const FIRST: Self = Self { begins: [1.0; ORDER_MAX], is_home: true };

    /// Everybody is where the rule lets them go, which is spread like this over the positions.
    pub(super) fn home(shares: &ByPosition, serving: &Serving) -> Self {
        Self { is_home: true, ..Self::arriving(shares, serving) }
    }

    /// From the parts that are to arrive at each position. Clients of the first that serves
    /// begin with the very first: should that come back, they are its again.
    pub(super) fn arriving(arrivals: &ByPosition, serving: &Serving) -> Self {
        let mut begins = *arrivals;
        if let Some(first) = serving.iter().position(|serves| *serves).filter(|first| *first > 0) {
            begins[0] = begins[first];
            begins[first] = 0.0;
        }
        let mut sum = 0.0;
        let mut parts = begins.map(|part| {
            sum += part.max(0.0);
            sum
        });
        if sum <= 0.0 {
            return Self::FIRST;
        }
        parts.iter_mut().for_each(|part| *part /= sum);
        Self { begins: parts, is_home: false }
    }

    /// The part that arrives at each position: who begins at one that does not serve goes to the
    /// first that does.
    pub(super) fn arrivals(&self, serving: &Serving) -> ByPosition {
        let mut arrivals = [0.0; ORDER_MAX];
        let mut before = 0.0;
        for (position, part) in self.begins.iter().enumerate() {
            if let Some(end) = end(position, serving) {
                arrivals[end] += part - before;
            }
            before = *part;
        }
        arrivals
    }

    /// The part of the way from here to there.
    pub(super) fn towards(&self, there: &Self, part: f64) -> Self {
        let mut between = Self { is_home: self.is_home && there.is_home, ..*self };
        for (here, there) in between.begins.iter_mut().zip(there.begins) {
            *here += (there - *here) * part;
        }
        between
    }

    /// The part of the clients who arrive elsewhere under `other`.
    pub(super) fn moved(&self, other: &Self, serving: &Serving) -> f64 {
        let (mut at, mut mine, mut theirs, mut moved) = (0.0, 0, 0, 0.0);
        while mine < ORDER_MAX && theirs < ORDER_MAX {
            let until = self.begins[mine].min(other.begins[theirs]);
            if end(mine, serving) != end(theirs, serving) {
                moved += (until - at).max(0.0);
            }
            at = until.max(at);
            if self.begins[mine] <= until {
                mine += 1;
            } else {
                theirs += 1;
            }
        }
        moved
    }

    /// As a [word](crate::steer::spill::Spill::word). `carried` is by how much each position has
    /// got more than it should before, in the demand of the class: what rounding takes from a
    /// position here it is given next time.
    pub(super) fn word(&self, demand: f64, carried: impl Fn(usize) -> f64) -> (u64, Self) {
        const WHOLE: f64 = 256.0;
        let mut word = [u8::MAX; ORDER_MAX];
        let mut rounded = [1.0; ORDER_MAX];
        let mut least = 0.0;
        for position in 0..ORDER_MAX {
            let wanted = self.begins[position] * WHOLE;
            // Too much so far: this bound goes down, else up.
            let off: f64 = (0..=position).map(&carried).sum::<f64>() * WHOLE / demand.max(1e-300);
            let byte = if off.abs() < 1e9 { (wanted - off).round() } else { wanted.round() };
            let byte = byte.clamp(wanted.floor(), wanted.ceil()).max(least).min(WHOLE);
            // 255 says all, so that 255 parts of 256 cannot be said.
            let byte =
                if byte >= WHOLE - 1.0 && wanted > WHOLE - 1.0 { WHOLE } else { byte.min(254.0) };
            least = byte;
            word[position] = if byte >= WHOLE { u8::MAX } else { byte as u8 };
            rounded[position] = byte / WHOLE;
        }
        if let (Some(byte), Some(last)) = (word.last_mut(), rounded.last_mut()) {
            (*byte, *last) = (u8::MAX, 1.0);
        }
        let word =
            if word[0] == u8::MAX { crate::steer::spill::FIRST } else { u64::from_le_bytes(word) };
        (word, Self { begins: rounded, ..*self })
    }
}

/// Where somebody ends who begins at `position`.
fn end(position: usize, serving: &Serving) -> Option<usize> {
    if serving[position] { Some(position) } else { serving.iter().position(|serves| *serves) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Serving = [true; ORDER_MAX];

    fn by_position(first: &[f64]) -> ByPosition {
        let mut all = [0.0; ORDER_MAX];
        all[..first.len()].copy_from_slice(first);
        all
    }

    fn serving(out: &[usize]) -> Serving {
        let mut serving = ALL;
        out.iter().for_each(|position| serving[*position] = false);
        serving
    }

    fn arriving(first: &[f64]) -> Parts {
        Parts::arriving(&by_position(first), &ALL)
    }

    #[test]
    fn what_arrives_is_what_was_wanted() {
        let wanted = by_position(&[0.5, 0.0, 0.25, 0.25]);
        assert_eq!(Parts::arriving(&wanted, &ALL).arrivals(&ALL), wanted);
        let serving = serving(&[0, 1]);
        let wanted = by_position(&[0.0, 0.0, 0.75, 0.25]);
        assert_eq!(Parts::arriving(&wanted, &serving).arrivals(&serving), wanted);
        assert_eq!(Parts::FIRST.arrivals(&serving), by_position(&[0.0, 0.0, 1.0]));
        assert_eq!(arriving(&[]), Parts::FIRST, "nobody has to go anywhere");
    }

    #[test]
    fn clients_of_a_pool_that_comes_back_are_its_again() {
        let lost = serving(&[0]);
        let parts = Parts::arriving(&by_position(&[0.0, 0.5, 0.5]), &lost);
        assert_eq!(parts.arrivals(&lost), by_position(&[0.0, 0.5, 0.5]));
        assert_eq!(parts.arrivals(&ALL), by_position(&[0.5, 0.0, 0.5]));
    }

    #[test]
    fn who_moves_is_counted_once() {
        let (near, far) = (arriving(&[0.6, 0.4]), arriving(&[0.8, 0.0, 0.2]));
        assert!((near.moved(&far, &ALL) - 0.4).abs() < 1e-12);
        assert_eq!(near.moved(&near, &ALL), 0.0);
        assert!((Parts::FIRST.moved(&arriving(&[0.0, 1.0]), &ALL) - 1.0).abs() < 1e-12);
        // Both end at the second while the first is out.
        assert_eq!(Parts::FIRST.moved(&arriving(&[0.0, 1.0]), &serving(&[0])), 0.0);
        let half = near.towards(&far, 0.5);
        let arrivals = half.arrivals(&ALL);
        assert!((arrivals[0] - 0.7).abs() < 1e-12 && (arrivals[2] - 0.1).abs() < 1e-12);
    }

    #[test]
    fn words_say_the_shares_to_a_part_in_256() {
        let (word, rounded) = arriving(&[0.5, 0.25, 0.25]).word(1.0, |_| 0.0);
        assert_eq!(word.to_le_bytes(), [128, 192, 255, 255, 255, 255, 255, 255]);
        assert_eq!(rounded, arriving(&[0.5, 0.25, 0.25]));
        assert_eq!(Parts::FIRST.word(1.0, |_| 0.0), (0, Parts::FIRST));
        assert_eq!(arriving(&[0.9999, 0.0001]).word(1.0, |_| 0.0).0, 0);
        let (word, rounded) = arriving(&[0.0, 1.0]).word(1.0, |_| 0.0);
        assert_eq!(word.to_le_bytes(), [0, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(rounded, arriving(&[0.0, 1.0]));
    }

    #[test]
    fn rounding_makes_up_for_what_it_took() {
        // 0.3 is between 76 and 77 parts: who has got too much gets less.
        let parts = arriving(&[0.3, 0.7]);
        let first =
            |much| parts.word(10.0, |at| if at == 0 { much } else { 0.0 }).0.to_le_bytes()[0];
        assert_eq!((first(0.1), first(-0.1)), (76, 77));
    }
}
