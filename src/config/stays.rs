//! What keeps clients where they are, or brings them back: `sticky`, `key`, `failback`,
//! `max_share`.

use std::time::Duration;

use super::decode::{Faults, Node, Value};
use super::terms;
use crate::steer::key::KeyLengths;
use crate::steer::record::{Failback, PolicySpec, Ties};

/// `sticky = "network"`, under `weighted` and for two choices among those equally near, and `key = { ipv4 = 24, ipv6 = 48 }`: what makes a client that stays.
pub(super) fn key(
    sticky: Option<&Node>,
    key: Option<&Node>,
    policy: PolicySpec,
    ties: Option<Ties>,
    faults: &mut Faults,
) -> Option<Option<KeyLengths>> {
    let has_two = ties == Some(Ties::TwoChoices);
    let sticky = match sticky {
        None => false,
        Some(node) => {
            node.word("'sticky'", &[("network", ())], faults)?;
            if policy != PolicySpec::Weighted && !has_two {
                let fault = node.error(match ties {
                    None => "'sticky' is for policy 'weighted'",
                    Some(_) => "'sticky' is for ties by two choices",
                });
                faults.push(fault.help(match ties {
                    _ if policy == PolicySpec::Hash => {
                        "under 'hash' every network stays: remove the key"
                    }
                    Some(Ties::Load) => {
                        "by load nobody stays: remove the key, or use ties = \"two-choices\""
                    }
                    Some(Ties::Network) => "each network stays at one already: remove the key",
                    Some(_) => "remove the key, or use ties = \"network\" or \"two-choices\"",
                    None => "remove the key, or use policy = \"weighted\"",
                }));
                return None;
            }
            true
        }
    };
    let stays = sticky || policy == PolicySpec::Hash;
    let Some(node) = key else { return Some(stays.then_some(KeyLengths::DEFAULT)) };
    if !stays {
        let fault = node.error("'key' is for clients that stay at a pool");
        faults.push(
            fault.help("use policy = \"hash\", or policy = \"weighted\" with sticky = \"network\""),
        );
        return None;
    }
    let mut fields = node.fields("a client key", faults)?;
    let mut length = |key, longest, default| match fields.get(key) {
        None => Some(default),
        Some(node) => node.integer(1..=longest, faults),
    };
    let v4 = length("ipv4", 32, KeyLengths::DEFAULT.v4);
    let v6 = length("ipv6", 64, KeyLengths::DEFAULT.v6);
    fields.finish(faults);
    Some(Some(KeyLengths { v4: v4?, v6: v6? }))
}

/// `failback = { after = "5m", ramp = "10m" }`, or `"manual"`.
pub(super) fn failback(node: &Node, faults: &mut Faults) -> Option<Failback> {
    const DAY: Duration = Duration::from_secs(86_400);
    if matches!(node.value, Value::String(_)) {
        node.word("'failback'", &[("manual", ())], faults)?;
        return Some(Failback { manual: true, ..Failback::default() });
    }
    let mut fields = node.fields("a failback", faults)?;
    let mut time = |key| match fields.get(key) {
        None => Some(Duration::ZERO),
        Some(node) => terms::duration(node, Duration::ZERO..=DAY, faults),
    };
    let (after, ramp) = (time("after"), time("ramp"));
    let manual = match fields.get("manual") {
        None => Some(false),
        Some(node) => node.boolean(faults),
    };
    fields.finish(faults);
    Some(Failback { manual: manual?, after: after?, ramp: ramp? })
}

/// `max_share = 1.25`: in basis points.
pub(super) fn max_share(
    node: &Node,
    policy: PolicySpec,
    key: Option<KeyLengths>,
    faults: &mut Faults,
) -> Option<u16> {
    if key.is_none() || !matches!(policy, PolicySpec::Hash | PolicySpec::Weighted) {
        let fault = node.error("'max_share' is for clients that stay at a pool");
        faults.push(
            fault.help("use policy = \"hash\", or policy = \"weighted\" with sticky = \"network\""),
        );
        return None;
    }
    let share = node.number(faults)?;
    if !(1.05..=6.0).contains(&share) {
        let fault = node.error("a bound out of range").label("1.05 to 6");
        faults.push(fault.help("1.25 lets no pool take more than a quarter above its fair share"));
        return None;
    }
    Some((share * 10_000.0).round() as u16)
}
