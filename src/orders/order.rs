//! One order, as an operator signs it.

use serde::{Deserialize, Serialize};

use crate::health::overrides::{OverrideState, OverrideTarget};
use crate::seal::{self, Kind, PublicKey, SigningKey};

/// The version written, and the only one read.
const VERSION: u8 = 1;
/// Octets of a reason; of names of people, nodes and areas; of a target.
pub const REASON_MAX: usize = 400;
const NAME_MAX: usize = 64;
const TARGET_MAX: usize = 320;
/// Longest order with an end, in seconds: ten years, as for orders to one node.
pub const LASTING_MAX: u64 = 10 * 365 * 86_400;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Greater than that of every order its author knew of.
    pub number: u64,
    /// Over what.
    pub target: OverrideTarget,
    /// For the clients of which area, by its name; `None` for all clients.
    pub area: Option<Box<str>>,
    /// What is ordered.
    pub what: What,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who, as people call them; the signer is who it is believed for.
    pub by: String,
    /// The node it was given to.
    pub node: String,
    /// When it begins, in seconds since 1970; `None` for at once.
    pub begins: Option<u64>,
    /// For how many seconds it holds from then on, or from when it was taken; `None` until it is
    /// released.
    pub seconds: Option<u64>,
    /// Do it whatever a node's safety rules say.
    pub force: bool,
}

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Set an override.
    Set(OverrideState),
    /// Take back whatever was set.
    Release,
}

/// Why an order is refused. Every variant is a constant, so that it can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The envelope does not hold.
    #[error("the signature is refused: {0}")]
    Seal(#[from] seal::Fault),
    /// What is in it is no order.
    #[error("these octets are no order")]
    Malformed,
    /// There are too many others.
    #[error("there are too many orders in force")]
    TooMany,
}

impl Fault {
    /// The name it is counted under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seal(fault) => fault.as_str(),
            Self::Malformed => "malformed",
            Self::TooMany => "too-many",
        }
    }
}

/// An order as it travels.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    version: u8,
    number: u64,
    target: &'a str,
    area: Option<&'a str>,
    what: u8,
    reason: &'a str,
    by: &'a str,
    node: &'a str,
    begins: Option<u64>,
    seconds: Option<u64>,
    force: bool,
}

impl What {
    /// The word in commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set(state) => state.as_str(),
            Self::Release => "release",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Release => 0,
            Self::Set(OverrideState::Drain) => 1,
            Self::Set(OverrideState::Down) => 2,
            Self::Set(OverrideState::Up) => 3,
        }
    }

    const fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Release,
            1 => Self::Set(OverrideState::Drain),
            2 => Self::Set(OverrideState::Down),
            3 => Self::Set(OverrideState::Up),
            _ => return None,
        })
    }
}

impl Order {
    /// Signs it as `signer`.
    ///
    /// # Errors
    /// [`Fault::Malformed`] when no node would read it: a text is too long, or there is no reason.
    pub fn seal(&self, key: &SigningKey, signer: &str) -> Result<Vec<u8>, Fault> {
        if !self.is_sound() {
            return Err(Fault::Malformed);
        }
        Ok(seal::seal(key, Kind::Override, signer, &self.encode()))
    }

    /// Opens what an operator signed, whose key `key_of` knows; also tells who it is.
    ///
    /// # Errors
    /// [`Fault::Seal`] or [`Fault::Malformed`].
    pub fn open(
        octets: &[u8],
        key_of: impl FnOnce(&str) -> Option<PublicKey>,
    ) -> Result<(Self, String), Fault> {
        let opened = seal::open(octets, Kind::Override, key_of)?;
        let order = Self::decode(opened.payload).ok_or(Fault::Malformed)?;
        Ok((order, opened.signer.to_owned()))
    }

    /// The octets of it.
    pub fn encode(&self) -> Vec<u8> {
        let target = self.target.to_string();
        let wire = Wire {
            version: VERSION,
            number: self.number,
            target: &target,
            area: self.area.as_deref(),
            what: self.what.number(),
            reason: &self.reason,
            by: &self.by,
            node: &self.node,
            begins: self.begins,
            seconds: self.seconds,
            force: self.force,
        };
        // Of numbers and texts: it can always be written.
        postcard::to_allocvec(&wire).unwrap_or_default()
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (wire, rest): (Wire<'_>, _) = postcard::take_from_bytes(octets).ok()?;
        if wire.version != VERSION || !rest.is_empty() {
            return None;
        }
        let order = Self {
            number: wire.number,
            target: wire.target.parse().ok()?,
            area: wire.area.map(Into::into),
            what: What::of(wire.what)?,
            reason: wire.reason.to_owned(),
            by: wire.by.to_owned(),
            node: wire.node.to_owned(),
            begins: wire.begins,
            seconds: wire.seconds,
            force: wire.force,
        };
        order.is_sound().then_some(order)
    }

    fn is_sound(&self) -> bool {
        // What is shown on terminals and in logs must not be able to draw there.
        let plain =
            |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
        let area = self.area.as_deref();
        plain(&self.reason, REASON_MAX)
            && (self.what == What::Release || !self.reason.trim().is_empty())
            && plain(&self.by, NAME_MAX)
            && plain(&self.node, NAME_MAX)
            && area.is_none_or(|area| !area.is_empty() && plain(area, NAME_MAX))
            && plain(&self.target.to_string(), TARGET_MAX)
            && self.seconds.is_none_or(|seconds| seconds <= LASTING_MAX)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn order(number: u64, target: &str, what: What) -> Order {
        Order {
            number,
            target: target.parse().expect("a target"),
            area: None,
            what,
            reason: "kernel".to_owned(),
            by: "anna".to_owned(),
            node: "ams-1".to_owned(),
            begins: None,
            seconds: Some(3600),
            force: false,
        }
    }

    const DRAIN: What = What::Set(OverrideState::Drain);

    #[test]
    fn what_was_signed_is_opened() {
        let key = SigningKey::generate().expect("a key");
        let states = [OverrideState::Drain, OverrideState::Down, OverrideState::Up];
        for what in states.map(What::Set).into_iter().chain([What::Release]) {
            let order = Order {
                area: Some("asia".into()),
                begins: Some(1_790_000_000),
                ..order(7, "pool.fra@example.org.", what)
            };
            let sealed = order.seal(&key, "anna").expect("signed");
            let opened = Order::open(&sealed, |name| (name == "anna").then(|| key.public()));
            assert_eq!(opened, Ok((order, "anna".to_owned())));
        }
    }

    #[test]
    fn whoever_is_not_known_orders_nothing() {
        let key = SigningKey::generate().expect("a key");
        let sealed = order(7, "region.fra", DRAIN).seal(&key, "mallory").expect("signed");
        let opened = Order::open(&sealed, |_| None);
        assert_eq!(opened, Err(Fault::Seal(seal::Fault::UnknownSigner)));
        let other = SigningKey::generate().expect("a key").public();
        let opened = Order::open(&sealed, |_| Some(other));
        assert_eq!(opened, Err(Fault::Seal(seal::Fault::Forged)));
        let release =
            seal::seal(&key, Kind::Bundle, "anna", &order(7, "region.fra", DRAIN).encode());
        let opened = Order::open(&release, |_| Some(key.public()));
        assert_eq!(opened, Err(Fault::Seal(seal::Fault::Kind)), "another kind");
    }

    #[test]
    fn what_no_node_would_read_is_not_signed() {
        let key = SigningKey::generate().expect("a key");
        let good = order(7, "region.fra", DRAIN);
        let wrong = [
            Order { reason: "é".repeat(REASON_MAX), ..good.clone() },
            Order { reason: "\u{1b}[31m".to_owned(), ..good.clone() },
            Order { reason: " ".to_owned(), ..good.clone() },
            Order { by: "a".repeat(65), ..good.clone() },
            Order { area: Some("".into()), ..good.clone() },
            Order { seconds: Some(LASTING_MAX + 1), ..good.clone() },
        ];
        for order in wrong {
            assert_eq!(order.seal(&key, "anna"), Err(Fault::Malformed), "{order:?}");
            assert_eq!(Order::decode(&order.encode()), None, "{order:?}");
        }
        let quiet = Order { reason: String::new(), what: What::Release, ..good.clone() };
        assert!(quiet.seal(&key, "anna").is_ok(), "a release explains itself");
        let octets = good.encode();
        for length in 0..octets.len() {
            assert_eq!(Order::decode(&octets[..length]), None, "{length}");
        }
        assert_eq!(Order::decode(&[&octets[..], &[0]].concat()), None);
    }
}
