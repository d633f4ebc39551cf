//! What a member says of itself, and what is believed of it for that.

use super::sample::AgentWord;
use super::state::Belief;

/// Above this load, in thousandths, a member shows signs of trouble.
const LOAD_MAX: u16 = 1000;
/// From so many errors on, in thousandths of what it answers, too.
const ERRORS_MAX: u16 = 100;

/// What a member says of itself, as most vantages have heard it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Says {
    /// Its word.
    pub agent: Option<AgentWord>,
    /// The share of its usual clients that it wants, in percent.
    pub weight: Option<u8>,
    /// Its load, in thousandths.
    pub load: Option<u16>,
    /// Its errors, in thousandths.
    pub errors: Option<u16>,
    /// Days until its certificate ends.
    pub certificate_days: Option<i16>,
    /// Fewer days than these are a sign of trouble.
    pub warns_below: Option<u16>,
}

impl Says {
    /// What is believed of a member that says this of itself and of which the checks say
    /// `belief`. Nothing it says makes it better than it is.
    pub fn temper(&self, belief: Belief) -> Belief {
        let is_in_trouble = self.weight.is_some_and(|weight| weight < 100)
            || self.load.is_some_and(|load| load > LOAD_MAX)
            || self.errors.is_some_and(|errors| errors >= ERRORS_MAX)
            || self.ending().is_some();
        match (self.agent, belief) {
            (Some(AgentWord::Maint), _) => Belief::Maintenance,
            (_, Belief::Down) | (Some(AgentWord::Down), _) => Belief::Down,
            (Some(AgentWord::Drain), _) => Belief::Draining,
            _ if self.weight == Some(0) => Belief::Draining,
            (_, Belief::Up) if is_in_trouble => Belief::Degraded,
            _ => belief,
        }
    }

    /// In words; empty where nothing is out of the ordinary.
    pub fn describe(&self) -> String {
        let mut words = Vec::new();
        if let Some(agent) = self.agent.filter(|agent| *agent != AgentWord::Up) {
            words.push(format!("it says {}", agent.as_str()));
        }
        if let Some(weight) = self.weight.filter(|weight| *weight < 100) {
            words.push(format!("it wants {weight} % of its clients"));
        }
        if let Some(load) = self.load.filter(|load| *load > LOAD_MAX) {
            words.push(format!("its load is {} %", load / 10));
        }
        if let Some(errors) = self.errors.filter(|errors| *errors >= ERRORS_MAX) {
            words.push(format!("{} % of its answers are errors", errors / 10));
        }
        if let Some(days) = self.ending() {
            words.push(match days {
                ..0 => "its certificate has ended".to_owned(),
                0 => "its certificate ends within a day".to_owned(),
                1 => "its certificate ends in a day".to_owned(),
                _ => format!("its certificate ends in {days} days"),
            });
        }
        words.join(", ")
    }

    /// Days until its certificate ends, where those are too few.
    pub fn ending(&self) -> Option<i16> {
        let warns_below = self.warns_below?;
        self.certificate_days.filter(|days| i32::from(*days) < i32::from(warns_below))
    }
}
