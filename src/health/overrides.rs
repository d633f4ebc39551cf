//! Operators' overrides: a region, pool or member drained, held down or held up by hand.
//!
//! They stand over every check, carry who and why, may end by themselves, and survive restarts
//! ([`super::persist`] keeps them in `overrides.toml`). The end is wall time, because a person
//! wrote it; whoever calls passes the wall clock in.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// One override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Override {
    /// Over what.
    pub target: OverrideTarget,
    /// For the clients of which area, by its name; `None` for all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<Box<str>>,
    /// What is ordered.
    pub state: OverrideState,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When it ends, in seconds since 1970-01-01T00:00:00Z; `None` for never.
    pub until: Option<u64>,
}

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OverrideState {
    /// No new answers.
    Drain,
    /// Held down.
    Down,
    /// Held up.
    Up,
}

/// Over what an override stands. The narrower wins: member over pool over region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OverrideTarget {
    /// `region.NAME`: every pool of the region.
    Region(Box<str>),
    /// `pool.NAME`, or `pool.NAME@ORIGIN` where several zones have a pool of that name.
    Pool(Box<str>, Option<Box<str>>),
    /// `member.ADDRESS`, or `member.NAME` for a pool that hands over by name: in every pool.
    Member(Box<str>),
}

/// The text names no target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no target: write region.NAME, pool.NAME, pool.NAME@ZONE or member.ADDRESS")]
pub struct TargetError(pub String);

/// The text names no state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no state: write drain, down or up")]
pub struct StateError(pub String);

impl Override {
    /// True when it has ended by `wall` (seconds since 1970-01-01T00:00:00Z).
    pub fn has_ended(&self, wall: u64) -> bool {
        self.until.is_some_and(|until| until <= wall)
    }

    /// True when it is over `target` for the clients of `area`.
    pub fn is_over(&self, target: &OverrideTarget, area: Option<&str>) -> bool {
        self.target == *target && self.area.as_deref() == area
    }

    /// What it does, for logs and people: `drained by ops: kernel update`, `drained for area asia
    /// by ops: bad transit`.
    pub fn describe(&self) -> String {
        let by = if self.by.is_empty() { "an operator" } else { &self.by };
        let mut text = self.state.participle().to_owned();
        if let Some(area) = &self.area {
            text.push_str(&format!(" for area {area}"));
        }
        text.push_str(&format!(" by {by}"));
        if !self.reason.is_empty() {
            text.push_str(": ");
            text.push_str(&self.reason);
        }
        text
    }
}

impl OverrideState {
    /// The word in files and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Down => "down",
            Self::Up => "up",
        }
    }

    const fn participle(self) -> &'static str {
        match self {
            Self::Drain => "drained",
            Self::Down => "held down",
            Self::Up => "held up",
        }
    }
}

impl FromStr for OverrideState {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        match text {
            "drain" => Ok(Self::Drain),
            "down" => Ok(Self::Down),
            "up" => Ok(Self::Up),
            _ => Err(StateError(text.to_owned())),
        }
    }
}

impl FromStr for OverrideTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refused = || TargetError(text.to_owned());
        let (kind, name) = text.split_once('.').ok_or_else(refused)?;
        if name.is_empty() {
            return Err(refused());
        }
        match (kind, name.split_once('@')) {
            ("region", None) => Ok(Self::Region(name.into())),
            ("pool", None) => Ok(Self::Pool(name.into(), None)),
            ("pool", Some((name, origin))) if !name.is_empty() && !origin.is_empty() => {
                Ok(Self::Pool(name.into(), Some(origin.into())))
            }
            ("member", None) => Ok(Self::Member(name.into())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for OverrideTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(name) => write!(f, "region.{name}"),
            Self::Pool(name, None) => write!(f, "pool.{name}"),
            Self::Pool(name, Some(origin)) => write!(f, "pool.{name}@{origin}"),
            Self::Member(name) => write!(f, "member.{name}"),
        }
    }
}

impl Serialize for OverrideTarget {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_as_they_are_written() {
        for text in [
            "region.fra",
            "pool.fra",
            "pool.fra@example.org.",
            "member.192.0.2.10",
            "member.2001:db8::10",
            "member.lb.iad.example.net.",
        ] {
            assert_eq!(text.parse::<OverrideTarget>().expect("a target").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in ["", "fra", "pool.", "zone.fra", "pool.@example.org", "pool.fra@", "region.a@b"]
        {
            assert!(text.parse::<OverrideTarget>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_override_says_who_and_why() {
        let order = Override {
            target: OverrideTarget::Region("fra".into()),
            area: None,
            state: OverrideState::Drain,
            reason: "kernel update".into(),
            by: "ops".into(),
            until: Some(100),
        };
        assert_eq!(order.describe(), "drained by ops: kernel update");
        assert!(!order.has_ended(99));
        assert!(order.has_ended(100));
        let order = Override { area: Some("asia".into()), ..order };
        assert_eq!(order.describe(), "drained for area asia by ops: kernel update");
    }
}
