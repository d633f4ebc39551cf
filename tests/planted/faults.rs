//! Planted faults: each is a line of the source made wrong, with the invariant of
//! `tests/steering/simulation` that must find it.

/// In `file`, `text` becomes `wrong`, where `PLANTED` is true while the fault is awake.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) text: &'static str,
    pub(crate) wrong: &'static str,
    /// How the message of the invariant that finds it begins.
    pub(crate) found: &'static [&'static str],
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "a pool that is out is chosen while another serves",
        file: "src/steer/select/standing.rs",
        text: "        if !self.accepts(known, words) {\n            return 0;",
        wrong: "        if !self.accepts(known, words) {\n            return if PLANTED { dials::ALL } else { 0 };",
        found: &["dead:"],
    },
    Fault {
        name: "in panic a fence is left",
        file: "src/steer/select.rs",
        text: "        if selection.len == 0 && self.has_shed {",
        wrong: "        if PLANTED && selection.ignore_health {
            selection.len = 0;
            self.take((self.plan.sites.len() - 1) as u16, &mut selection);
        }
        if selection.len == 0 && self.has_shed {",
        found: &["fence:", "drained:"],
    },
    Fault {
        name: "in the last resort a fence is left",
        file: "src/steer/select.rs",
        text: "        selection.last_resort = Some(&self.rule.last_resort);",
        wrong: "        selection.last_resort = Some(&self.rule.last_resort);
        if PLANTED && self.rule.fence {
            self.take((self.plan.sites.len() - 1) as u16, &mut selection);
            return selection;
        }",
        found: &["fence:", "last resort:"],
    },
    Fault {
        name: "spilled clients leave a fence",
        file: "src/steer/select/order.rs",
        text: "            self.trace.spilled(begins);\n            self.take(site, selection);",
        wrong: "            self.trace.spilled(begins);
            let out = (self.plan.sites.len() - 1) as u16;
            self.take(if PLANTED && self.rule.fence { out } else { site }, selection);",
        found: &["fence:"],
    },
    Fault {
        name: "a drawn share leans to the first",
        file: "src/steer/select.rs",
        text: "(rule.own.get(alias.pick(chance)).copied(), true)",
        wrong: "({
                let leans = PLANTED && chance.below(5) == 0;
                rule.own.get(if leans { 0 } else { alias.pick(chance) }).copied()
            }, true)",
        found: &["shares"],
    },
    Fault {
        name: "who has which pool changes with time",
        file: "src/steer/select/standing.rs",
        text: "            Some(lengths) => {\n                self.by_network = true;\n                let network = ClientKey::of(self.query.client, lengths);",
        wrong: "            Some(lengths) => {
                self.by_network = true;
                let turn = if PLANTED { crate::planted_turn() } else { 0 };
                let network = ClientKey::of(self.query.client, lengths);
                let network = if turn > 0 { ClientKey::drawn(turn) } else { network };",
        found: &["steady:", "not stable:", "reload:", "within", "TTL:"],
    },
    Fault {
        name: "who is back of a share is drawn anew each time",
        file: "src/steer/select/standing.rs",
        text: "        self.is_within(share, salt ^ KEEP_SALT)",
        wrong: "        if PLANTED {
            return (self.chance.draw() >> 48) < u64::from(share);
        }
        self.is_within(share, salt ^ KEEP_SALT)",
        found: &["not stable:", "steady:", "within", "reload:"],
    },
    Fault {
        name: "answers hold for more clients than they are for",
        file: "src/steer/select.rs",
        text: "            selection.scope = selection.scope.max(key.bits(self.query.client));",
        wrong: "            if !PLANTED {
                selection.scope = selection.scope.max(key.bits(self.query.client));
            }",
        found: &["within"],
    },
    Fault {
        name: "a TTL outlives a change in sight",
        file: "src/steer/select.rs",
        text: "            let seen = self.sight.seconds();",
        wrong: "            let seen = self.sight.seconds().filter(|_| !PLANTED);",
        found: &["TTL:"],
    },
    Fault {
        name: "a TTL outlives a planned change",
        file: "src/steer/dials.rs",
        text: "        self.planned.0.store(seconds.unwrap_or(u32::MAX), Ordering::Relaxed);",
        wrong: "        let seconds = seconds.filter(|_| !PLANTED);
        self.planned.0.store(seconds.unwrap_or(u32::MAX), Ordering::Relaxed);",
        found: &["TTL:"],
    },
    Fault {
        name: "a pool that was out is back before its time",
        file: "src/steer/failback.rs",
        text: "(None, false) => (back.since, failback.after),",
        wrong: "(None, false) => (back.since, if PLANTED { Duration::ZERO } else { failback.after }),",
        found: &["hold-down:"],
    },
    Fault {
        name: "clients are moved for every little change of demand",
        file: "src/steer/capacity/mod.rs",
        text: "        (is_worth || fits).then_some(Wish",
        wrong: "        (is_worth || fits || PLANTED).then_some(Wish",
        found: &["rest:", "steady:"],
    },
    Fault {
        name: "an order never ends",
        file: "src/health/keeper.rs",
        text: "self.lift(|order| order.has_ended(wall), \"ended\", now)",
        wrong: "self.lift(|order| order.has_ended(wall) && !PLANTED, \"ended\", now)",
        found: &["orders:"],
    },
    Fault {
        name: "the last resort takes what an operator drained",
        file: "src/steer/select/standing.rs",
        text: "site.offers(ask) && !(is_by_operator(words.0) && is_by_operator(words.1))",
        wrong: "site.offers(ask)
                    && (PLANTED || !(is_by_operator(words.0) && is_by_operator(words.1)))",
        found: &["drained:"],
    },
    Fault {
        name: "nothing is answered where all that is left would be",
        file: "src/steer/select.rs",
        text: "        if self.rule.last_resort == LastResort::All {",
        wrong: "        if self.rule.last_resort == LastResort::All && !PLANTED {",
        found: &["last resort:"],
    },
    Fault {
        name: "a canary goes on whatever its health",
        file: "src/steer/stages.rs",
        text: "        if spec.abort_below == 0 {",
        wrong: "        if spec.abort_below == 0 || PLANTED {",
        found: &["abort:"],
    },
    Fault {
        name: "more is moved at a time than may be",
        file: "src/steer/safety.rs",
        text: "        self.max_shift.map_or(ALL, left)",
        wrong: "        self.max_shift.filter(|_| !PLANTED).map_or(ALL, left)",
        found: &["max_shift:"],
    },
    Fault {
        name: "an order takes off a region that must stay on",
        file: "src/steer/safety.rs",
        text: "        if after < before && after < usize::from(self.min_regions_on) {",
        wrong: "        if !PLANTED && after < before && after < usize::from(self.min_regions_on) {",
        found: &["regions:"],
    },
    Fault {
        name: "who is silent has a vote",
        file: "src/health/intake.rs",
        text: "                && age <= timing.patience().max(3 * heard.period)",
        wrong: "                && (PLANTED || age <= timing.patience().max(3 * heard.period))",
        found: &["quorum:"],
    },
    Fault {
        name: "too few decide",
        file: "src/health/quorum.rs",
        text: "    if voters == 0 || voters < rule.floor {",
        wrong: "    if voters == 0 || voters < rule.floor && !PLANTED {",
        found: &["quorum:"],
    },
    Fault {
        name: "one that reaches nothing is believed",
        file: "src/health/quorum.rs",
        text: "by_itself[at].or_else(|| contradicted(at, voter))",
        wrong: "by_itself[at].or_else(|| contradicted(at, voter).filter(|_| !PLANTED))",
        found: &["quorum:"],
    },
    Fault {
        name: "old reports are let in",
        file: "src/health/intake.rs",
        text: "            Some(newest) if number < newest => return Err(Refusal::Replayed),",
        wrong: "            Some(newest) if number < newest && !PLANTED => {
                return Err(Refusal::Replayed);
            }",
        found: &["let in:"],
    },
    Fault {
        name: "failures are not counted",
        file: "src/health/state.rs",
        text: "            next.failures = state.failures.saturating_add(1);",
        wrong: "            next.failures = if PLANTED { 1 } else { state.failures.saturating_add(1) };",
        found: &["seen:"],
    },
    Fault {
        name: "a flapping pool is told of by one of its checks alone",
        file: "src/health/keeper.rs",
        text: "            if turns || !changes.is_empty() {",
        wrong: "            if turns || !changes.is_empty() && !PLANTED {",
        found: &["reload:", "ramp:"],
    },
    Fault {
        name: "a reload ends what comes back slowly",
        file: "src/health/keeper.rs",
        text: "held.starting = before.starting.filter(|_| held.word.is_eligible());",
        wrong: "held.starting =
                        before.starting.filter(|_| held.word.is_eligible() && !PLANTED);",
        found: &["reload:"],
    },
];
