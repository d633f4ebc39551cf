//! What an explanation calls things.

use super::CandidateView;
use crate::health::table::{PoolWord, Verdict};
use crate::region::{Family, Target};
use crate::steer::record::LastResort;
use crate::steer::resolved::Resolved;
use crate::steer::tally::Reason;

/// What keeps a pool with these words out.
pub(super) fn because(words: (PoolWord, PoolWord), has_any: bool) -> Reason {
    let is_by_operator = |word: PoolWord| {
        matches!(word.verdict(), Verdict::Draining | Verdict::ForcedDown | Verdict::Maintenance)
    };
    match has_any {
        false => Reason::NoAddress,
        true if is_by_operator(words.0) || is_by_operator(words.1) => Reason::Drained,
        true => Reason::Unhealthy,
    }
}

/// A pool that a fence keeps this client from, whatever it is otherwise.
pub(super) fn keep_outside(view: &mut CandidateView) {
    "outside".clone_into(&mut view.group);
    "struck out".clone_into(&mut view.outcome);
    view.because = Some(Reason::Fenced.as_str().to_owned());
    view.why = Some("the rule's fence keeps its clients from it".to_owned());
}

pub(super) fn why(words: (PoolWord, PoolWord), verdict: &str) -> &str {
    let believed = words.0.verdict().is_eligible() || words.1.verdict().is_eligible();
    if believed && words.0.live() == 0 && words.1.live() == 0 {
        return "nothing to hand out for this type";
    }
    verdict
}

pub(super) fn target_text(target: &Target) -> String {
    match target {
        Target::Vips(vips) => {
            let v4 = vips.v4.iter().map(|member| member.address.to_string());
            let v6 = vips.v6.iter().map(|member| member.address.to_string());
            v4.chain(v6).collect::<Vec<_>>().join(" ")
        }
        Target::Cname(name) => format!("CNAME {name}"),
        Target::Delegate(servers) => {
            let names: Vec<String> = servers.iter().map(|server| server.name.to_string()).collect();
            format!("NS {}", names.join(" "))
        }
    }
}

/// A name that is answered by its addresses, and what is known of them.
pub(super) fn resolved_text(resolved: &Resolved) -> String {
    let known = [Family::V4, Family::V6].map(|family| resolved.read(family));
    let all = known.iter().flatten().flat_map(|known| known.iter().collect::<Vec<_>>());
    let all: Vec<String> = all.map(|address| address.to_string()).collect();
    let target = resolved.target();
    match (known.iter().any(Option::is_some), &all[..]) {
        (false, _) => format!("addresses of {target}, not resolved yet"),
        (true, []) => format!("addresses of {target}, which has none"),
        (true, all) => format!("addresses of {target}: {}", all.join(" ")),
    }
}

pub(super) fn last_resort_text(last_resort: &LastResort) -> String {
    match last_resort {
        LastResort::All => "all pools of the rule, healthy or not".to_owned(),
        LastResort::Default => "the zone file's own records".to_owned(),
        LastResort::Nodata => "no data".to_owned(),
        LastResort::Servfail => "SERVFAIL".to_owned(),
        LastResort::Cname(name) => format!("CNAME {name}"),
        LastResort::Addresses(v4, v6) => {
            let v4 = v4.iter().map(ToString::to_string);
            v4.chain(v6.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
        }
    }
}
