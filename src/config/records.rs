//! `[record."NAME"]` of a policy file: which names are steered, and how.

use std::collections::HashMap;
use std::net::IpAddr;

use super::capacity;
use super::changes::{self, Written};
use super::decode::{Entry, Faults, Fields, Node, Value};
use super::groups::Groups;
use super::latency;
use super::matchers;
use super::nearness;
use super::nests::{Items, Nests};
use super::offers::{self, HostName};
use super::pools::Pools;
use super::stays;
use super::terms;
use crate::diagnostics::{Diagnostic, Span};
use crate::geo::map::{Matcher, RULES_MAX};
use crate::region::PoolId;
use crate::steer::record::{
    AnswerOrder, Candidate, LastResort, PolicySpec, RecordSpec, RuleSpec, TtlRange,
};
use crate::wire::name::Name;
use crate::wire::types::Ttl;

/// A record with the places of its parts.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) spec: RecordSpec,
    /// Where its owner is written.
    pub(super) place: Span,
    pub(super) rules: Vec<RulePlaces>,
    /// Where `pool_names` is asked for.
    pub(super) pool_names: Option<Span>,
    /// The hosts its SRV and MX records name.
    pub(super) hosts: Vec<HostName>,
    /// False when it has faults, so that nothing more is to be concluded.
    pub(super) sound: bool,
}

/// Where the parts of a rule stand.
#[derive(Debug, Clone)]
pub(super) struct RulePlaces {
    /// Its `match`, or the record's name.
    pub(super) matcher: Span,
    /// Its `policy`.
    pub(super) policy: Span,
    /// Its `last_resort`.
    pub(super) last_resort: Span,
    /// Its `ties`, or the record's.
    pub(super) ties: Option<Span>,
    /// Its `spill`, where it is written.
    pub(super) spill: Option<Span>,
    /// Each pool, in the order of the rule's.
    pub(super) pools: Vec<Span>,
}

/// What records are read against.
pub(super) struct Context<'c> {
    pub(super) origin: &'c Name,
    pub(super) origins: &'c [Name],
    pub(super) pools: &'c Pools,
    pub(super) groups: &'c Groups,
    pub(super) nests: &'c Nests,
    pub(super) latencies: &'c latency::Files<'c>,
    pub(super) ttl: Ttl,
}

/// Reads the records of a policy file.
pub(super) fn read(node: Option<&Node>, context: &Context<'_>, faults: &mut Faults) -> Vec<Read> {
    let table = node.and_then(|node| node.table(faults));
    let mut records = Vec::new();
    let mut seen: HashMap<Name, Span> = HashMap::new();
    for entry in table.unwrap_or_default() {
        let Some(owner) = owner(entry, context, faults) else { continue };
        if let Some(first) = seen.insert(owner.clone(), entry.key_span.clone()) {
            let message = format!("{owner} is steered twice");
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults.push(fault.related(first, "first here").help("make one record of the two"));
            continue;
        }
        records.extend(record(entry, owner, context, faults));
    }
    records
}

fn owner(entry: &Entry, context: &Context<'_>, faults: &mut Faults) -> Option<Name> {
    let (text, origin) = (&entry.key, context.origin);
    let error = |message: String| Diagnostic::error(message, entry.key_span.clone());
    let owner = match Name::parse(text, origin.as_ref()) {
        Ok(owner) => owner,
        Err(why) => {
            faults.push(error(format!("'{text}' is not a name")).label(why.to_string()));
            return None;
        }
    };
    if !owner.is_in(origin) {
        let home = context.origins.iter().filter(|other| owner.is_in(other));
        let home = home.max_by_key(|other| other.label_count());
        let fault = error(format!("{owner} is not in the zone {origin}"));
        faults.push(match home {
            Some(home) => {
                let home = home.to_string();
                fault.help(format!("it belongs to zones/{}.toml", home.trim_end_matches('.')))
            }
            None => fault.help("no zone here has this name; relative names have no trailing dot"),
        });
        return None;
    }
    let whole = origin.to_string();
    if text.ends_with(whole.trim_end_matches('.')) && !whole.trim_end_matches('.').is_empty() {
        let fault =
            Diagnostic::warning("a name that holds the zone's name twice", entry.key_span.clone());
        faults
            .push(fault.label(format!("this is {owner}")).help(format!("did you mean '{text}.'?")));
    }
    Some(owner)
}

fn record(entry: &Entry, owner: Name, context: &Context<'_>, faults: &mut Faults) -> Option<Read> {
    let mut fields = entry.node.fields("a record", faults)?;
    let ttl = fields.get("ttl").and_then(|node| terms::ttl_range(node, faults));
    let ttl = ttl.unwrap_or_else(|| TtlRange::fixed(context.ttl));
    let answers = fields.get("answers").and_then(|node| node.integer(1..=8, faults)).unwrap_or(0);
    let subnets = fields.get("client_subnet").and_then(|node| node.boolean(faults));
    let rule_list = fields.get("rule");
    let order = fields.get("order").and_then(|node| node.word("order", &ORDERS, faults));
    let pool_names = fields.get("pool_names");
    let flatten = fields.get("flatten");
    let written = offers::Written::take(&mut fields, false, context.origin.as_ref(), faults);
    let common = Parts::take(&mut fields);
    fields.finish(faults);
    let mut sound = true;
    let mut rules = Vec::new();
    match rule_list {
        None => rules.push(rule(&common, None, entry, context, faults)),
        Some(node) => {
            let list = node.list(faults);
            let items = list.unwrap_or_default();
            if items.len() > RULES_MAX {
                let fault = node.error(format!("more than {RULES_MAX} rules"));
                faults.push(fault.help("put the conditions of like rules together"));
                sound = false;
            }
            for item in items {
                let Some(mut fields) = item.fields("a rule", faults) else {
                    sound = false;
                    continue;
                };
                let parts = Parts::take(&mut fields).or(&common);
                rules.push(rule(&parts, Some((&mut fields, item)), entry, context, faults));
                fields.finish(faults);
            }
            if list.is_some() && items.is_empty() {
                faults.push(node.error("a record without rules").help("write at least one rule"));
            }
        }
    }
    sound &= !rules.is_empty() && rules.iter().all(Option::is_some);
    sound = sound && changes::agree(staged(&rules), common.change, faults);
    let (rules, places): (Vec<_>, Vec<_>) = rules.into_iter().flatten().unzip();
    let origin = context.origin.clone();
    let by_source = subnets == Some(false);
    let pool_names = pool_names.filter(|node| node.boolean(faults) == Some(true));
    let of = offers::Record { owner: &owner, pool_names: pool_names.is_some(), rules: &rules };
    let offers::Resolved { services, hosts, sound: offers_sound } =
        written.resolve(&of, context.pools, faults);
    sound &= offers_sound;
    let names_hosts = written.names_hosts();
    let flatten = flatten.and_then(|node| node.boolean(faults)).unwrap_or(owner == origin);
    let pool_names = pool_names.map(|node| node.span.clone());
    let spec = RecordSpec {
        owner,
        origin,
        ttl,
        answers,
        by_source,
        order: order.unwrap_or_default(),
        services,
        names_hosts,
        flatten,
        of_pool: false,
        pool_names: pool_names.is_some(),
        rules,
    };
    let place = entry.key_span.clone();
    Some(Read { spec, place, rules: places, pool_names, hosts, sound })
}

/// The rules with their places.
fn staged(rules: &[Option<(RuleSpec, RulePlaces)>]) -> impl Iterator<Item = (&RuleSpec, &Span)> {
    rules.iter().flatten().map(|(rule, places)| (rule, &places.matcher))
}

const ORDERS: [(&str, AnswerOrder); 3] = [
    ("preference", AnswerOrder::Preference),
    ("shuffle", AnswerOrder::Shuffle),
    ("fixed", AnswerOrder::Fixed),
];

/// What may stand in a rule, or in the record for all its rules.
#[derive(Default)]
struct Parts<'n> {
    policy: Option<&'n Node>,
    pools: Option<&'n Node>,
    bias: Option<&'n Node>,
    panic: Option<&'n Node>,
    last_resort: Option<&'n Node>,
    key: Option<&'n Node>,
    sticky: Option<&'n Node>,
    failback: Option<&'n Node>,
    max_share: Option<&'n Node>,
    fence: Option<&'n Node>,
    change: Written<'n>,
    spill: Option<&'n Node>,
    nearness: nearness::Written<'n>,
    /// A key looks like a misspelt `policy` or `pools`: that is told already.
    slips: [bool; 2],
}

impl<'n> Parts<'n> {
    fn take(fields: &mut Fields<'n>) -> Self {
        Self {
            policy: fields.get("policy"),
            pools: fields.get("pools"),
            bias: fields.get("bias"),
            panic: fields.get("panic"),
            last_resort: fields.get("last_resort"),
            key: fields.get("key"),
            sticky: fields.get("sticky"),
            failback: fields.get("failback"),
            max_share: fields.get("max_share"),
            fence: fields.get("fence"),
            change: Written::take(fields),
            spill: fields.get("spill"),
            nearness: nearness::Written::take(fields),
            slips: ["policy", "pools"].map(|key| fields.has_slip_of(key)),
        }
    }

    /// What is not written here is taken from the record.
    fn or(self, common: &Self) -> Self {
        let policy = common.policy.filter(|node| !is_geo(node));
        Self {
            policy: self.policy.or(policy),
            pools: self.pools.or(common.pools),
            bias: self.bias.or(common.bias),
            panic: self.panic.or(common.panic),
            last_resort: self.last_resort.or(common.last_resort),
            key: self.key.or(common.key),
            sticky: self.sticky.or(common.sticky),
            failback: self.failback.or(common.failback),
            max_share: self.max_share.or(common.max_share),
            fence: self.fence.or(common.fence),
            change: self.change.or(common.change),
            spill: self.spill.or(common.spill),
            nearness: self.nearness.or(common.nearness),
            slips: [0, 1].map(|key| self.slips[key] || common.slips[key]),
        }
    }
}

/// `policy = "geo"`: the rules decide, each with a policy of its own.
fn is_geo(node: &Node) -> bool {
    matches!(&node.value, Value::String(text) if text == "geo")
}

pub(super) const POLICIES: [(&str, PolicySpec); 7] = [
    ("failover", PolicySpec::Failover),
    ("nearest", PolicySpec::Nearest),
    ("latency", PolicySpec::Latency),
    ("weighted", PolicySpec::Weighted),
    ("hash", PolicySpec::Hash),
    ("round-robin", PolicySpec::RoundRobin),
    ("multivalue", PolicySpec::Multivalue),
];

fn rule(
    parts: &Parts<'_>,
    own: Option<(&mut Fields<'_>, &Node)>,
    record: &Entry,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<(RuleSpec, RulePlaces)> {
    let is_rule = own.is_some();
    let (matcher, place) = match own {
        None => (Some(Matcher::default()), record.key_span.clone()),
        Some((fields, node)) => match fields.required("match", &node.span, faults) {
            None => (None, node.span.clone()),
            Some(node) => (matchers::read(node, context.groups, faults), node.span.clone()),
        },
    };
    let mut items = Items::default();
    let candidates = candidates(parts, is_rule, &place, context, &mut items, faults);
    let choices = candidates.as_ref().map(|pools| pools.len() + usize::from(items.nested));
    let policy = policy(parts, is_rule, choices, &place, faults);
    let fence = match parts.fence {
        None => Some(false),
        Some(node) => node.boolean(faults),
    };
    let panic_below = match parts.panic {
        None => Some(0),
        Some(node) => terms::share(node, faults),
    };
    let failback = match parts.failback {
        None => Some(None),
        Some(node) => stays::failback(node, faults).map(Some),
    };
    let last_resort = last_resort(parts, fence == Some(true), context, faults);
    let candidates = candidates?;
    let policy = policy?;
    weights_fit(parts.pools, policy, &candidates, faults)?;
    let mut pools: Vec<Candidate> = candidates.iter().map(|(candidate, _)| *candidate).collect();
    biases(parts.bias, policy, &mut pools, context, faults)?;
    let nearness = nearness::read(parts.nearness, policy, parts.policy, context.latencies, faults)?;
    let ties = nearness.band.map(|band| band.ties);
    let key = stays::key(parts.sticky, parts.key, policy, ties, faults)?;
    let nearness = nearness.sticky(key.is_some());
    let max_share = match parts.max_share {
        None => Some(0),
        Some(node) => stays::max_share(node, policy, key, faults),
    };
    let nest = match (items.nested, max_share) {
        (false, _) => None,
        (true, Some(1..)) => {
            let place = parts.max_share.map_or(&place, |node| &node.span).clone();
            let fault =
                Diagnostic::error("'max_share' is for pools that stand side by side", place);
            faults.push(fault.help("a group has no fair share of its own: remove the key"));
            return None;
        }
        (true, _) if nearness.band.is_some() => {
            let place = parts.nearness.place().unwrap_or(&place).clone();
            let fault = Diagnostic::error("'band' is for pools that stand side by side", place);
            faults.push(fault.help("groups are not equally near: remove the key"));
            return None;
        }
        (true, _) => {
            Some(context.nests.nest(&items, (policy, key), context.pools, &place, faults)?)
        }
    };
    let ids: Vec<PoolId> = pools.iter().map(|candidate| candidate.pool).collect();
    let find = |name: &str, span: &Span, faults: &mut Faults| {
        context.pools.find(name, span, faults).map(|pool| pool.id)
    };
    let (new_side, change) = changes::read(parts.change, &ids, find, faults)?;
    let spill = capacity::spill(parts.spill, policy, faults)?;
    let span = |node: Option<&Node>| node.map_or(&place, |node| &node.span).clone();
    let places = RulePlaces {
        policy: span(parts.policy),
        last_resort: span(parts.last_resort),
        ties: parts.nearness.ties().cloned(),
        spill: parts.spill.map(|node| node.span.clone()),
        pools: candidates.into_iter().map(|(_, span)| span).collect(),
        matcher: place,
    };
    let spec = RuleSpec {
        matcher: matcher?,
        policy,
        pools,
        key,
        band: nearness.band,
        latency: nearness.latency,
        nest,
        new_side,
        change,
        failback: failback?,
        max_share: max_share?,
        fence: fence?,
        panic_below: panic_below?,
        last_resort: last_resort?,
        spill,
    };
    Some((spec, places))
}

fn policy(
    parts: &Parts<'_>,
    is_rule: bool,
    pools: Option<usize>,
    place: &Span,
    faults: &mut Faults,
) -> Option<PolicySpec> {
    let Some(node) = parts.policy else {
        // With one pool there is nothing to put in order.
        if pools.is_none_or(|pools| pools == 1) {
            return Some(PolicySpec::Failover);
        }
        if parts.slips[0] {
            return None;
        }
        let what = if is_rule { "a rule" } else { "a record" };
        let fault = Diagnostic::error(format!("{what} needs 'policy'"), place.clone());
        let words: Vec<String> = POLICIES.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let help = format!("write policy = {}", words.join(", or "));
        faults.absent(Some(&place.source), fault.help(help));
        return None;
    };
    if is_geo(node) {
        let fault = node.error("policy 'geo' needs rules");
        faults
            .push(fault.help("add [[record.\"NAME\".rule]] tables, each with a policy of its own"));
        return None;
    }
    node.word("policy", &POLICIES, faults)
}

/// The pools, from a list of names or a table of names and weights.
fn candidates(
    parts: &Parts<'_>,
    is_rule: bool,
    place: &Span,
    context: &Context<'_>,
    items: &mut Items,
    faults: &mut Faults,
) -> Option<Vec<(Candidate, Span)>> {
    let Some(node) = parts.pools else {
        if parts.slips[1] {
            return None;
        }
        if let Some(sides) = parts.change.pools() {
            let mut found: Vec<(Candidate, Span)> = Vec::new();
            for item in sides {
                // Faults in it are told where the switch is read.
                let Value::String(name) = &item.value else { continue };
                let pool = context.pools.find(name, &item.span, faults)?.id;
                if !found.iter().any(|(candidate, _)| candidate.pool == pool) {
                    let candidate = Candidate { pool, weight: 1, bias: 0 };
                    found.push((candidate, item.span.clone()));
                }
            }
            return Some(found);
        }
        let fenced = matches!(parts.fence.map(|node| &node.value), Some(Value::Boolean(true)));
        let what = match (fenced, is_rule) {
            (true, _) => "a fence",
            (false, true) => "a rule",
            (false, false) => "a record",
        };
        let fault = Diagnostic::error(format!("{what} needs 'pools'"), place.clone());
        faults
            .absent(Some(&place.source), fault.help("name the pools: pools = [\"fra\", \"dub\"]"));
        return None;
    };
    let mut found: Vec<(Candidate, Span)> = Vec::new();
    let mut sound = true;
    let mut add = |name: &str, weight, span: &Span, faults: &mut Faults| {
        let is_group = !context.pools.by_name.contains_key(name) && context.nests.has(name);
        if context.nests.is_broken(name) {
            return false;
        }
        let is_second = items.has(name);
        items.push(name, weight, is_group);
        if is_group {
            for (pool, place) in context.nests.pools_in(name, context.pools) {
                if !found.iter().any(|(candidate, _)| candidate.pool == pool) {
                    found.push((Candidate { pool, weight, bias: 0 }, place));
                }
            }
            return true;
        }
        let Some(pool) = context.pools.find(name, span, faults) else { return false };
        if let Some((_, first)) = found.iter().find(|(candidate, _)| candidate.pool == pool.id) {
            if !is_second {
                // Inside a group it stands once more.
                return true;
            }
            let fault = Diagnostic::error(format!("pool '{name}' is named twice"), span.clone());
            faults.push(fault.related(first.clone(), "first here"));
            return false;
        }
        found.push((Candidate { pool: pool.id, weight, bias: 0 }, span.clone()));
        true
    };
    match &node.value {
        Value::Array(items) => {
            for item in items {
                let name = item.text(faults);
                sound &= name.is_some_and(|name| add(name, 1, &item.span, faults));
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                let weight = entry.node.integer(0..=1_000_000, faults);
                sound &= add(&entry.key, weight.unwrap_or(0), &entry.key_span, faults);
                sound &= weight.is_some();
            }
        }
        _ => return node.expected("a list of pools, or a table of pools and weights", faults),
    }
    if found.is_empty() && sound {
        let fault = node.error("no pools");
        faults.push(fault.help("name the pools: pools = [\"fra\", \"dub\"]"));
        sound = false;
    }
    sound.then_some(found)
}

fn weights_fit(
    node: Option<&Node>,
    policy: PolicySpec,
    pools: &[(Candidate, Span)],
    faults: &mut Faults,
) -> Option<()> {
    // Pools that a switch names have no weights.
    let Some(node) = node else { return Some(()) };
    let Value::Table(_) = node.value else { return Some(()) };
    if !matches!(policy, PolicySpec::Weighted | PolicySpec::Hash) {
        let word = POLICIES.iter().find(|(_, p)| *p == policy).map_or("", |(word, _)| word);
        let fault = node.error(format!("policy '{word}' takes no weights"));
        let names = "write the pools as a list, or use policy = \"weighted\" or \"hash\"";
        faults.push(fault.help(names));
        return None;
    }
    if pools.iter().all(|(candidate, _)| candidate.weight == 0) {
        let fault = node.error("every pool has weight 0");
        faults.push(fault.help("0 means standby: give at least one pool a weight"));
        return None;
    }
    Some(())
}

/// `bias = { iad = 25 }`: only of pools the rule has. A record's biases apply to those rules
/// that have the pool.
fn biases(
    node: Option<&Node>,
    policy: PolicySpec,
    pools: &mut [Candidate],
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<()> {
    let Some(node) = node else { return Some(()) };
    if !matches!(policy, PolicySpec::Nearest | PolicySpec::Latency) {
        let fault = node.error("'bias' is for policy 'nearest'");
        faults.push(fault.help("remove the key, or use policy = \"nearest\""));
        return None;
    }
    let mut sound = true;
    for entry in node.table(faults)? {
        let bias: Option<i8> = entry.node.integer(-99..=99, faults);
        let pool = context.pools.find(&entry.key, &entry.key_span, faults).map(|pool| pool.id);
        sound &= bias.is_some() && pool.is_some();
        let Some(pool) = pool else { continue };
        match pools.iter_mut().find(|candidate| candidate.pool == pool) {
            Some(candidate) => candidate.bias = bias.unwrap_or(0),
            None => {
                let message =
                    format!("a bias for pool '{}', which is not among the pools", entry.key);
                let fault = Diagnostic::error(message, entry.key_span.clone());
                faults.push(fault.help("name it in 'pools', or remove the bias"));
                sound = false;
            }
        }
    }
    sound.then_some(())
}

const RESORTS: [(&str, LastResort); 4] = [
    ("all", LastResort::All),
    ("default", LastResort::Default),
    ("nodata", LastResort::Nodata),
    ("servfail", LastResort::Servfail),
];

fn last_resort(
    parts: &Parts<'_>,
    fence: bool,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<LastResort> {
    let Some(node) = parts.last_resort else {
        return Some(if fence { LastResort::Nodata } else { LastResort::All });
    };
    let resort = resort_of(node, context, faults)?;
    if fence && !matches!(resort, LastResort::Nodata | LastResort::Servfail) {
        let fault = node.error("a fence cannot be left by its last resort");
        let fault = match parts.fence {
            Some(fence) => fault.related(fence.span.clone(), "the fence"),
            None => fault,
        };
        faults.push(fault.help("use \"nodata\" or \"servfail\""));
        return None;
    }
    Some(resort)
}

fn resort_of(node: &Node, context: &Context<'_>, faults: &mut Faults) -> Option<LastResort> {
    if let Value::Array(items) = &node.value {
        let found: Vec<_> = items.iter().filter_map(|item| terms::address(item, faults)).collect();
        if items.is_empty() {
            faults.push(node.error("no addresses").help("write at least one, or \"nodata\""));
        }
        return (found.len() == items.len() && !found.is_empty()).then(|| addresses(&found));
    }
    let text = node.text(faults)?;
    if let Some((_, resort)) = RESORTS.iter().find(|(word, _)| *word == text) {
        return Some(resort.clone());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(addresses(&[address]));
    }
    if text.ends_with('.') {
        return terms::name(node, context.origin.as_ref(), faults).map(LastResort::Cname);
    }
    let words = RESORTS.map(|(word, _)| word);
    let near = super::suggest::closest(text, words);
    let fault = node.error(format!("'{text}' is not a last resort"));
    faults.push(match near {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None if text.contains('.') => fault.help(format!("a name ends in a dot: \"{text}.\"")),
        None => fault.help(
            "one of \"all\", \"default\", \"nodata\", \"servfail\", a name that ends in a dot, \
             or addresses",
        ),
    });
    None
}

fn addresses(all: &[IpAddr]) -> LastResort {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in all {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => v6.push(*address),
        }
    }
    LastResort::Addresses(v4, v6)
}

impl RulePlaces {
    /// Where a pool of the rule is named.
    pub(super) fn pool(&self, rule: &RuleSpec, pool: PoolId) -> &Span {
        let at = rule.pools.iter().position(|candidate| candidate.pool == pool);
        at.and_then(|at| self.pools.get(at)).unwrap_or(&self.matcher)
    }
}
