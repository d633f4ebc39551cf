//! Pools and records drawn at random: every policy, with features that may stand beside it.

use meridian::steer::chance::Chance;

pub(super) const REGIONS: [&str; 4] = ["fra", "dub", "iad", "sin"];

/// A record, and what is to be expected of it.
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) toml: String,
    /// The regions it may answer from at all, for clients of Europe and for others.
    pub(super) allowed: [Vec<&'static str>; 2],
    /// Nothing is answered, rather than something from elsewhere.
    pub(super) fenced: bool,
    /// A client gets the same answer as long as nothing changes.
    pub(super) is_stable: bool,
    /// A client that has left an answer does not come back to it while only time goes by.
    pub(super) is_steady: bool,
    /// The share of the clients that each of its pools has while all of them serve, where that is
    /// known beforehand.
    pub(super) shares: Option<Vec<(&'static str, u32)>>,
    /// Who gets which is drawn anew for each query.
    pub(super) by_chance: bool,
    pub(super) has_sides: bool,
    pub(super) has_switch: bool,
    pub(super) ttl: (u32, u32),
    /// Below this share of its pools that serve, in percent, checks are not believed.
    pub(super) panic: u32,
    /// Whatever there is is answered when nothing serves.
    pub(super) answers_all: bool,
    /// How pools come back.
    pub(super) failback: Option<Back>,
    pub(super) is_bound: bool,
}

/// How pools come back to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// After so many seconds, at the earliest.
    After(u64),
    /// When an operator says so.
    Manual,
}

/// The pools, one in each region; some have a capacity, begin slowly, or take less while members
/// are down.
pub(super) fn pools(chance: &mut Chance) -> (String, bool) {
    let mut toml = String::new();
    let with_capacity = chance.below(2) == 0;
    for (at, name) in REGIONS.iter().enumerate() {
        let tens = (at + 1) * 10;
        toml += &format!(
            "[pool.{name}]\nregion = \"{name}\"\nmonitor = \"web\"\nmembers = [\"192.0.2.{tens}\", \
             \"192.0.2.{}\"]\n",
            tens + 1
        );
        toml += match chance.below(4) {
            0 => "slow_start = \"40s\"\n",
            1 => "degraded = \"live\"\n",
            2 => "degraded = \"25%\"\nslow_start = \"20s\"\n",
            _ => "",
        };
        if with_capacity && chance.below(3) > 0 {
            let queries = 20 + chance.below(200);
            toml += &format!("capacity = {{ queries = {queries}, target = \"70%\" }}\n");
        }
    }
    (toml, with_capacity)
}

pub(super) fn record(number: u32, with_capacity: bool, chance: &mut Chance) -> Kept {
    let name = format!("r{number}");
    let mut own: Vec<&'static str> = REGIONS.to_vec();
    own.truncate(2 + chance.below(3) as usize);
    let list = own.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let weights: Vec<_> = own.iter().map(|name| (*name, 1 + chance.below(5))).collect();
    let table = weights.iter().map(|(name, weight)| format!("{name} = {weight}"));
    let table = table.collect::<Vec<_>>().join(", ");
    let kind = chance.below(12);
    let (by_chance, policy) = match kind {
        0 => (false, format!("policy = \"failover\"\npools = [{list}]")),
        1 => (false, format!("policy = \"nearest\"\npools = [{list}]")),
        2 => (true, format!("policy = \"nearest\"\npools = [{list}]\nband = \"80%\"")),
        3 => {
            let ties = "band = \"80%\"\nties = \"network\"";
            (false, format!("policy = \"nearest\"\npools = [{list}]\n{ties}"))
        }
        4 => (true, format!("policy = \"weighted\"\npools = {{ {table} }}")),
        5 => (false, format!("policy = \"weighted\"\nsticky = \"network\"\npools = {{ {table} }}")),
        6 => (false, format!("policy = \"hash\"\npools = {{ {table} }}")),
        7 => (true, format!("policy = \"round-robin\"\npools = [{list}]")),
        8 => (true, format!("policy = \"multivalue\"\npools = [{list}]")),
        9 => {
            let file = "latency = { file = \"geo/latency.csv\" }";
            (false, format!("policy = \"latency\"\npools = [{list}]\n{file}"))
        }
        10 => (false, format!("policy = \"nearest\"\npools = [\"inner{number}\", \"{}\"]", own[0])),
        _ => (false, format!("policy = \"hash\"\npools = {{ inner{number} = 2, {} = 1 }}", own[0])),
    };
    let is_nested = kind >= 10;
    let groups = if is_nested {
        let inner = own[1..].iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        format!("[group.inner{number}]\npolicy = \"failover\"\npools = [{}]\n", inner.join(", "))
    } else {
        String::new()
    };
    let mut lines = vec![policy];
    let once_in = |chance: &mut Chance, times| chance.below(times) == 0;
    let ttl = if once_in(chance, 2) {
        lines.push("ttl = { min = \"5s\", max = \"5m\" }".to_owned());
        (5, 300)
    } else {
        (30, 30)
    };
    let many = once_in(chance, 4);
    if many {
        lines.push(format!("answers = {}", 1 + chance.below(3)));
    }
    let failback = match chance.below(4) {
        0 => Some(Back::After(60)),
        1 => Some(Back::Manual),
        _ => None,
    };
    lines.extend(failback.map(|failback| match failback {
        Back::After(seconds) => {
            format!("failback = {{ after = \"{seconds}s\", ramp = \"5m\" }}")
        }
        Back::Manual => "failback = \"manual\"".to_owned(),
    }));
    let is_bound = matches!(kind, 5 | 6) && once_in(chance, 4);
    if is_bound {
        lines.push("max_share = 1.25".to_owned());
    }
    let has_sides = !is_nested && once_in(chance, 3);
    let has_switch = has_sides && once_in(chance, 2);
    let panic = if !is_nested && once_in(chance, 5) { 60 } else { 0 };
    if panic > 0 {
        lines.push(format!("panic = \"{panic}%\""));
    }
    let pool = own[own.len() - 1];
    if has_switch {
        let blue: Vec<_> = own[..own.len() - 1].iter().map(|name| format!("\"{name}\"")).collect();
        lines.push(format!("switch = {{ blue = [{}], green = [\"{pool}\"] }}", blue.join(", ")));
    } else if has_sides {
        lines.push(format!(
            "canary = {{ pool = \"{pool}\", every = \"2m\", start = \"auto\", abort = \"{}\" }}",
            ["off", "health < 90%", "health < 50%"][chance.below(3) as usize]
        ));
    }
    let fenced = once_in(chance, 3);
    let answers_all = !fenced && !once_in(chance, 3);
    if !fenced && !answers_all {
        lines.push("last_resort = \"nodata\"".to_owned());
    }
    let toml = if fenced {
        // Europe is fenced in; all others get whatever there is.
        let (record_keys, rule_keys): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line.starts_with("ttl") || line.starts_with("answers"));
        let join = |lines: Vec<&String>| lines.into_iter().cloned().collect::<Vec<_>>().join("\n");
        format!(
            "{groups}[record.\"{name}\"]\n{}\n[[record.\"{name}\".rule]]\nmatch = {{ continent = \
             [\"EU\"] }}\nfence = true\n{}\n[[record.\"{name}\".rule]]\nmatch = \"default\"\n\
             policy = \"failover\"\npools = [\"sin\", \"iad\", \"dub\", \"fra\"]\n",
            join(record_keys),
            join(rule_keys),
        )
    } else {
        format!("{groups}[record.\"{name}\"]\n{}\n", lines.join("\n"))
    };
    let elsewhere = if fenced { REGIONS.to_vec() } else { own.clone() };
    let is_plain =
        !has_sides && !is_bound && failback.is_none() && !with_capacity && !many && panic == 0;
    Kept {
        name,
        toml,
        allowed: [own, elsewhere],
        fenced,
        is_stable: !by_chance,
        is_steady: !(by_chance || is_bound),
        shares: (matches!(kind, 4..=6) && is_plain).then_some(weights),
        by_chance,
        has_sides,
        has_switch,
        ttl,
        panic,
        answers_all,
        failback,
        is_bound,
    }
}
