//! `[pool.NAME]` of a policy file, and the checks that follow from them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::decode::{self, Faults, Fields, Node, Value};
use super::monitors::{Monitors, Used, host_text};
use super::regions::{Regions, check_name};
use super::{capacity, offers, suggest, terms};
use crate::diagnostics::{Diagnostic, Source, Span};
use crate::health::council::Rules;
use crate::health::report::check_id;
use crate::probe::monitor::{
    Check, CheckId, CheckTarget, CompositeCheck, CompositeId, Decider, MemberCheck, Method,
    PoolChecks,
};
use crate::region::{
    Degraded, Ease, Family, MEMBERS_MAX, Member, NameServer, Pool, PoolId, RegionId, Target, Vips,
};
use crate::wire::name::Name;

/// Everything handed out so far, over all zones.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) pools: Vec<Pool>,
    pub(super) pool_checks: Vec<PoolChecks>,
    pub(super) pool_needs: Vec<(PoolId, Vec<PoolId>)>,
    pub(super) checks: Vec<Check>,
    /// What is otherwise for each of the checks than for all.
    pub(super) rules: Vec<Rules>,
    /// Each behind those that are parts of it.
    pub(super) composites: Vec<CompositeCheck>,
    by_key: HashMap<Box<str>, Decider>,
    /// By what it is called in reports, the check and where the pool stands that it was made for.
    by_id: HashMap<u64, (CheckId, Span)>,
    /// Checks that are called the same in reports, and where the pool of the second stands.
    alike: Vec<(CheckId, CheckId, Span)>,
}

/// The pools of one zone by name.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) source: Arc<Source>,
    pub(super) by_name: BTreeMap<String, Defined>,
}

/// A pool and where its parts stand.
#[derive(Debug, Clone)]
pub(super) struct Defined {
    pub(super) id: PoolId,
    pub(super) place: Span,
    /// Where `cname` or `delegate` stands.
    pub(super) target: Span,
    /// What it hands out.
    pub(super) hands_out: HandsOut,
    /// What it says of types that are not addresses.
    pub(super) offers: offers::Written,
    /// False when its definition has faults, so that nothing more is to be concluded.
    pub(super) sound: bool,
}

/// How a pool hands over.
#[derive(Debug, Clone)]
pub(super) enum HandsOut {
    Members,
    Cname(Name),
    Delegation,
}

impl Pools {
    /// The pool a record names; says so where there is none.
    pub(super) fn find(&self, name: &str, place: &Span, faults: &mut Faults) -> Option<&Defined> {
        let found = self.by_name.get(name);
        if found.is_none() {
            let names: Vec<&str> = self.by_name.keys().map(|name| &**name).collect();
            let message = format!("pool '{name}' is not defined");
            let mut fault = Diagnostic::error(message, place.clone());
            fault.help = suggest::help(name, &names, "pools of this file");
            if names.is_empty() {
                fault.help = Some(format!("define it in this file: [pool.{name}]"));
            }
            if let Some(near) = suggest::closest(name, names) {
                let near = self.by_name[near].place.clone();
                fault = fault.related(near, "a pool of a like name");
            }
            faults.absent(Some(&self.source), fault);
        }
        found
    }
}

/// What pools are read against.
pub(super) struct Context<'c> {
    pub(super) regions: &'c Regions,
    pub(super) monitors: &'c Monitors,
    pub(super) origin: &'c Name,
}

/// Reads the pools of a policy file into the inventory.
pub(super) fn read(
    node: Option<&Node>,
    source: &Arc<Source>,
    context: &Context<'_>,
    inventory: &mut Inventory,
    faults: &mut Faults,
) -> Pools {
    let mut pools = Pools { source: Arc::clone(source), by_name: BTreeMap::new() };
    let mut needs = Vec::new();
    let table = node.and_then(|node| node.table(faults));
    for entry in table.unwrap_or_default() {
        check_name("pool", entry, faults);
        let id = PoolId(inventory.pools.len() as u32);
        let mut drafted = draft(entry, context, faults);
        needs.push((entry.key.clone(), id, std::mem::take(&mut drafted.needs)));
        let sound = drafted.sound;
        let target = drafted.place.clone();
        let hands_out = match &drafted.pool.target {
            Target::Vips(_) => HandsOut::Members,
            Target::Cname(name) => HandsOut::Cname(name.clone()),
            Target::Delegate(_) => HandsOut::Delegation,
        };
        let offers = drafted.offers.clone();
        inventory.add(id, drafted);
        let place = entry.key_span.clone();
        let defined = Defined { id, place, target, hands_out, offers, sound };
        pools.by_name.insert(entry.key.clone(), defined);
    }
    pools.needs(&needs, inventory, faults);
    pools
}

/// A pool, and the pools it names as needed.
type Needing = (String, PoolId, Vec<(String, Span)>);

impl Pools {
    /// Enters which pools need which; complains of those that need each other.
    fn needs(&self, all: &[Needing], inventory: &mut Inventory, faults: &mut Faults) {
        for (name, id, needs) in all.iter().filter(|(_, _, needs)| !needs.is_empty()) {
            let mut found = Vec::new();
            for (need, place) in needs {
                let Some(needed) = self.find(need, place, faults) else { continue };
                let way = circle(all, need, name);
                if !way.is_empty() {
                    let message = format!("pool '{name}' needs itself: {name} → {way}");
                    faults.push(Diagnostic::error(message, place.clone()));
                } else if !found.contains(&needed.id) {
                    found.push(needed.id);
                }
            }
            inventory.pool_needs.push((*id, found));
        }
    }
}

/// The way from the pool `from` along what pools need to the pool `to`; empty where there is
/// none.
fn circle(all: &[Needing], from: &str, to: &str) -> String {
    let mut seen = vec![from];
    let mut ways = vec![(from, from.to_owned())];
    while let Some((at, way)) = ways.pop() {
        if at == to {
            return way;
        }
        let needs = all.iter().filter(|(name, ..)| name == at).flat_map(|(_, _, needs)| needs);
        for (need, _) in needs {
            if !seen.contains(&&**need) {
                seen.push(need);
                ways.push((need, format!("{way} → {need}")));
            }
        }
    }
    String::new()
}

struct Draft {
    pool: Pool,
    used: Option<Used>,
    /// Where the pool's name stands.
    name: Span,
    offers: offers::Written,
    place: Span,
    /// Pools it names as needed, and where.
    needs: Vec<(String, Span)>,
    sound: bool,
}

/// `slow_start = "2m"` and `degraded = "live"`: what it takes while it is not at its best.
fn ease(fields: &mut Fields<'_>, vips: bool, faults: &mut Faults) -> Ease {
    const DAY: Duration = Duration::from_secs(86_400);
    let slow_start = fields.get("slow_start");
    let slow_start =
        slow_start.and_then(|node| terms::duration(node, Duration::ZERO..=DAY, faults));
    let mut ease = Ease { slow_start: slow_start.unwrap_or_default(), ..Ease::default() };
    let Some(entry) = fields.entry("degraded") else { return ease };
    if !vips {
        let message = "'degraded' is for pools with members";
        let fault = Diagnostic::error(message, entry.key_span.clone());
        faults
            .push(fault.help("a name or a delegation has none that could be down: remove the key"));
        return ease;
    }
    let node = &entry.node;
    ease.degraded = match &node.value {
        Value::String(text) if text.ends_with('%') => {
            terms::share(node, faults).map_or(Degraded::All, Degraded::Share)
        }
        _ => {
            let words = [("all", Degraded::All), ("live", Degraded::Live)];
            node.word("'degraded'", &words, faults).unwrap_or_default()
        }
    };
    ease
}

fn draft(entry: &decode::Entry, context: &Context<'_>, faults: &mut Faults) -> Draft {
    let mut draft = Draft {
        pool: Pool {
            name: (*entry.key).into(),
            origin: context.origin.clone(),
            region: RegionId(0),
            target: Target::Vips(Vips::default()),
            answers: 1,
            ease: Ease::default(),
            capacity: None,
        },
        used: None,
        name: entry.key_span.clone(),
        offers: offers::Written::default(),
        place: entry.key_span.clone(),
        needs: Vec::new(),
        sound: false,
    };
    let Some(mut fields) = entry.node.fields("a pool", faults) else { return draft };
    let region = fields
        .required("region", &entry.key_span, faults)
        .and_then(|node| context.regions.find(node, faults));
    let target = target(&mut fields, entry, context, faults);
    if let Some((target, place)) = target {
        draft.place = place;
        draft.pool.target = target;
        draft.sound = region.is_some();
    }
    draft.pool.region = region.unwrap_or(RegionId(0));
    let vips = matches!(draft.pool.target, Target::Vips(_));
    if let Some(answers) = fields.entry("answers") {
        if vips {
            let number = answers.node.integer(1..=MEMBERS_MAX as i64, faults);
            draft.pool.answers = number.unwrap_or(1);
        } else {
            let message = "'answers' is for pools with members";
            let fault = Diagnostic::error(message, answers.key_span.clone());
            faults.push(fault.help("a name or a delegation is handed out whole: remove the key"));
        }
    }
    draft.pool.ease = ease(&mut fields, vips, faults);
    for node in fields.get("needs").map(Node::one_or_list).unwrap_or_default() {
        let name = node.text(faults).map(str::to_owned);
        draft.needs.extend(name.map(|name| (name, node.span.clone())));
    }
    if let Some(node) = fields.get("capacity") {
        draft.pool.capacity = capacity::capacity(node, faults);
        draft.sound &= draft.pool.capacity.is_some();
    }
    if let Some(node) = fields.get("monitor") {
        draft.used = context.monitors.resolve(node, &entry.key, faults);
        if matches!(draft.pool.target, Target::Delegate(_))
            && draft.used.as_ref().is_some_and(|used| used.target.is_none())
        {
            let fault = node.error("a monitor of a delegation needs a target of its own");
            faults.push(fault.help(
                "say whom to ask: monitor = { type = \"tcp\", target = \"198.51.100.53:53\" }",
            ));
        }
    }
    draft.offers = offers::Written::take(&mut fields, true, context.origin.as_ref(), faults);
    if let (Target::Delegate(_), Some((rtype, place))) =
        (&draft.pool.target, draft.offers.places.first())
    {
        let message = format!("a delegation hands over {rtype} too");
        let fault = Diagnostic::error(message, place.clone());
        faults.push(fault.help("the region's own name servers answer it: remove the key"));
    }
    fields.finish(faults);
    draft
}

/// The one of `members`, `cname` and `delegate` that is written, and where.
fn target(
    fields: &mut Fields<'_>,
    pool: &decode::Entry,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<(Target, Span)> {
    let written = ["members", "cname", "delegate"].map(|key| fields.entry(key));
    let mut present = written.into_iter().flatten();
    let Some(first) = present.next() else {
        let fault = Diagnostic::error(
            "a pool needs 'members', 'cname' or 'delegate'",
            pool.key_span.clone(),
        );
        let help = "say what the region hands out: members = [\"192.0.2.1\"]";
        faults.absent(Some(&pool.key_span.source), fault.help(help));
        return None;
    };
    if let Some(second) = present.next() {
        let message = format!("a pool cannot have both '{}' and '{}'", first.key, second.key);
        let fault = Diagnostic::error(message, second.key_span.clone());
        faults.push(
            fault
                .related(first.key_span.clone(), "the other is here")
                .help("make two pools of one region, and name both in the record"),
        );
        return None;
    }
    let target = match &*first.key {
        "members" => Target::Vips(members(&first.node, faults)?),
        "cname" => Target::Cname(terms::target_name(&first.node, context.origin.as_ref(), faults)?),
        _ => Target::Delegate(name_servers(&first.node, context, faults)?),
    };
    Some((target, first.node.span.clone()))
}

fn members(node: &Node, faults: &mut Faults) -> Option<Vips> {
    let items = node.list(faults)?;
    let mut vips = Vips::default();
    let mut seen: HashMap<IpAddr, Span> = HashMap::new();
    let mut sound = true;
    for item in items {
        let Some((address, weight)) = member(item, faults) else {
            sound = false;
            continue;
        };
        if let Some(first) = seen.insert(address, item.span.clone()) {
            let fault = item.error(format!("member {address} is in the pool twice"));
            faults.push(fault.related(first, "first here").help("give it a weight instead"));
            sound = false;
            continue;
        }
        match address {
            IpAddr::V4(address) => vips.v4.push(Member { address, weight }),
            IpAddr::V6(address) => vips.v6.push(Member { address, weight }),
        }
    }
    if items.is_empty() {
        faults.push(node.error("a pool without members").help("write at least one address"));
        return None;
    }
    for (family, count) in [("IPv4", vips.v4.len()), ("IPv6", vips.v6.len())] {
        if count > MEMBERS_MAX {
            let fault = node.error(format!("{count} {family} members in one pool"));
            let fault = fault.label(format!("at most {MEMBERS_MAX} of one family"));
            faults.push(fault.help("make two pools of the same region"));
            sound = false;
        }
    }
    let weights = vips.v4.iter().map(|m| m.weight).chain(vips.v6.iter().map(|m| m.weight));
    if sound && weights.max() == Some(0) {
        let fault = node.error("every member has weight 0");
        faults.push(fault.help("0 means standby: give at least one member a weight"));
        sound = false;
    }
    sound.then_some(vips)
}

fn member(node: &Node, faults: &mut Faults) -> Option<(IpAddr, u16)> {
    match &node.value {
        Value::String(_) => Some((terms::address(node, faults)?, 1)),
        Value::Table(_) => {
            let mut fields = node.fields("a member", faults)?;
            let address = fields.required("address", &node.span, faults);
            let address = address.and_then(|node| terms::address(node, faults));
            let weight = match fields.get("weight") {
                None => Some(1),
                Some(node) => node.integer(0..=i64::from(u16::MAX), faults),
            };
            fields.finish(faults);
            Some((address?, weight?))
        }
        _ => node.expected("an address, or { address = …, weight = … }", faults),
    }
}

fn name_servers(
    node: &Node,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<Vec<NameServer>> {
    let mut servers = Vec::new();
    let mut sound = true;
    for item in node.list(faults)? {
        let Some(mut fields) = item.fields("a name server", faults) else {
            sound = false;
            continue;
        };
        let name = fields
            .required("ns", &item.span, faults)
            .and_then(|node| terms::target_name(node, context.origin.as_ref(), faults));
        let written = fields.get("addresses").map(Node::one_or_list).unwrap_or_default();
        let addresses: Vec<_> =
            written.iter().filter_map(|node| terms::address(node, faults)).collect();
        sound &= name.is_some() && addresses.len() == written.len();
        servers.extend(name.map(|name| NameServer { name, addresses }));
        fields.finish(faults);
    }
    if sound && servers.is_empty() {
        faults.push(node.error("a delegation without name servers").help(
            "write delegate = [{ ns = \"ns1.example.net.\", addresses = [\"192.0.2.53\"] }]",
        ));
        return None;
    }
    sound.then_some(servers)
}

impl Inventory {
    fn add(&mut self, id: PoolId, draft: Draft) {
        let Draft { pool, used, name, .. } = draft;
        let mut members = Vec::new();
        let mut entry = |family, member: usize, check| {
            members.push(MemberCheck { family, member: member as u8, check });
        };
        let used = used.as_ref();
        match &pool.target {
            Target::Vips(vips) => {
                for (at, member) in vips.v4.iter().enumerate() {
                    let check = self.check(used, (&pool.origin, &name), |port| {
                        CheckTarget::Address(SocketAddr::new(member.address.into(), port))
                    });
                    entry(Some(Family::V4), at, check);
                }
                for (at, member) in vips.v6.iter().enumerate() {
                    let check = self.check(used, (&pool.origin, &name), |port| {
                        CheckTarget::Address(SocketAddr::new(member.address.into(), port))
                    });
                    entry(Some(Family::V6), at, check);
                }
            }
            Target::Cname(cname) => {
                let host = host_text(cname);
                let target = |port| CheckTarget::Host(host, port);
                entry(None, 0, self.check(used, (&pool.origin, &name), target));
            }
            Target::Delegate(_) => {
                let used = used.filter(|used| used.target.is_some());
                let nobody = |port| CheckTarget::Host("".into(), port);
                entry(None, 0, self.check(used, (&pool.origin, &name), nobody));
            }
        }
        self.pool_checks.push(PoolChecks { pool: id, members });
        self.pools.push(pool);
    }

    /// What decides by `used` on its own target, or on the `member`; equal ones share one.
    fn check(
        &mut self,
        used: Option<&Used>,
        place: (&Name, &Span),
        member: impl FnOnce(u16) -> CheckTarget,
    ) -> Option<Decider> {
        let Used { method, target } = used?;
        let target = target.clone().unwrap_or_else(|| member(method.port()));
        Some(self.decider(method, place, &target))
    }

    fn decider(
        &mut self,
        method: &Method,
        (origin, pool): (&Name, &Span),
        target: &CheckTarget,
    ) -> Decider {
        let mut key: Box<str> = format!("{}@{target}", method.name()).into();
        if let Some(known) = self.by_key.get(&key) {
            if self.is_of(*known, method) {
                return *known;
            }
            // Inline monitors of like-named pools of two zones.
            key = format!("{} {origin}@{target}", method.name()).into();
        }
        let decider = match method {
            Method::Probe(monitor, rules) => {
                let id = CheckId(self.checks.len() as u32);
                let (monitor, target) = (Arc::clone(monitor), target.clone());
                match self.by_id.entry(check_id(&key)) {
                    Entry::Occupied(of) => self.alike.push((of.get().0, id, pool.clone())),
                    Entry::Vacant(of) => _ = of.insert((id, pool.clone())),
                }
                self.checks.push(Check { key: key.clone(), monitor, target });
                self.rules.push(*rules);
                Decider::Check(id)
            }
            Method::Composite(monitor) => {
                let part = |part: &Method| {
                    let target = target.clone().with_port(part.port());
                    self.decider(part, (origin, pool), &target)
                };
                let of = monitor.of.iter().map(part).collect();
                let id = CompositeId(self.composites.len() as u32);
                let monitor = Arc::clone(monitor);
                self.composites.push(CompositeCheck { key: key.clone(), monitor, of });
                Decider::Composite(id)
            }
        };
        self.by_key.insert(key, decider);
        decider
    }

    /// Complains of checks that vantages could not tell apart.
    pub(super) fn tell_alike(&self, faults: &mut Faults) {
        for (one, other, place) in &self.alike {
            let [one, other] = [one, other].map(|id| &self.checks[id.0 as usize].key);
            let message = format!("checks '{one}' and '{other}' have one number in reports");
            let fault = Diagnostic::error(message, place.clone());
            let first = self.by_id.get(&check_id(one)).map(|(_, place)| place.clone());
            let fault = fault.help("vantages could not tell them apart: rename a monitor");
            faults.push(match first {
                Some(first) => fault.related(first, "the other is here"),
                None => fault,
            });
        }
    }

    fn is_of(&self, decider: Decider, method: &Method) -> bool {
        match (decider, method) {
            (Decider::Check(id), Method::Probe(monitor, rules)) => {
                let at = id.0 as usize;
                self.checks[at].monitor == *monitor && self.rules[at] == *rules
            }
            (Decider::Composite(id), Method::Composite(monitor)) => {
                self.composites[id.0 as usize].monitor == *monitor
            }
            _ => false,
        }
    }
}
