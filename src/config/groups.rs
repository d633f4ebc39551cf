//! Groups a rule may name: `country = "@eu"`, and those of `geo/groups.toml`.
//!
//! Sources of the built-in ones, as of 2026-11: treaties' own lists of members. @eu: European Union, 27 states since
//! 2020-02-01 (europa.eu, "Country profiles"). @eea: those with Iceland, Liechtenstein and
//! Norway (EFTA, "EEA Agreement"). @efta: efta.int. @schengen: 29 states since 2025-01-01
//! (Council Decision (EU) 2024/3212). @gdpr: where Regulation (EU) 2016/679 is law, which is
//! the EEA. @eurozone: 21 states since 2026-01-01 (Council Decision on Bulgaria of 2025-07-08).
//! Territories with codes of their own (RE, GF, SJ, …) are not among them: name them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::decode::{Entry, Faults, Node};
use super::regions::check_name;
use super::{suggest, terms};
use crate::diagnostics::{Diagnostic, Span};
use crate::geo::map::{Area, Matcher};
use crate::geo::place::Country;

const EU: &str = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";
const EEA_BEYOND_EU: &str = "IS LI NO";

const GROUPS: [(&str, &[&str]); 6] = [
    ("@eea", &[EU, EEA_BEYOND_EU]),
    ("@efta", &["CH", EEA_BEYOND_EU]),
    ("@eu", &[EU]),
    ("@eurozone", &["AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK"]),
    ("@gdpr", &[EU, EEA_BEYOND_EU]),
    (
        "@schengen",
        &["AT BE BG CH CZ DE DK EE ES FI FR GR HR HU IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"],
    ),
];

/// What a group holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    pub(super) networks: Vec<(IpAddr, u8)>,
    pub(super) asns: Vec<u32>,
    pub(super) areas: Vec<Area>,
}

impl Members {
    /// How many there are of all kinds.
    pub(super) const fn len(&self) -> usize {
        self.networks.len() + self.asns.len() + self.areas.len()
    }

    /// Lets a match hold them too.
    pub(super) fn add_to(&self, matcher: &mut Matcher) {
        matcher.networks.extend(&self.networks);
        matcher.asns.extend(&self.asns);
        matcher.areas.extend(self.areas.iter().cloned());
    }

    fn extend(&mut self, other: &Self) {
        self.networks.extend(&other.networks);
        self.asns.extend(&other.asns);
        self.areas.extend(other.areas.iter().cloned());
    }
}

/// All groups there are.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Built-in ones and the operator's own, by name with `@`.
    known: BTreeMap<String, Members>,
    /// Where the operator's own are written.
    places: BTreeMap<String, Span>,
    /// Those that something names.
    used: RefCell<HashSet<String>>,
}

/// A group of the file before those it names are looked up.
struct Draft<'n> {
    entry: &'n Entry,
    members: Members,
    /// The groups it holds.
    groups: Vec<&'n Node>,
}

/// Reads `geo/groups.toml`. A group with faults still counts as defined.
pub(super) fn read(document: Option<&Node>, faults: &mut Faults) -> Groups {
    let built_in = GROUPS.iter().filter_map(|(name, _)| {
        let areas = members(name)?.collect();
        Some(((*name).to_owned(), Members { areas, ..Members::default() }))
    });
    let mut groups = Groups { known: built_in.collect(), ..Groups::default() };
    let Some(mut fields) = document.and_then(|node| node.fields("geo/groups.toml", faults)) else {
        return groups;
    };
    let table = fields.get("group").and_then(|node| node.table(faults));
    fields.finish(faults);
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for entry in table.unwrap_or_default() {
        check_name("group", entry, faults);
        let name = format!("@{}", entry.key);
        if groups.known.contains_key(&name) {
            let fault =
                Diagnostic::error(format!("'{name}' is a built-in group"), entry.key_span.clone());
            faults.push(fault.help("give yours another name"));
            continue;
        }
        groups.places.insert(name, entry.key_span.clone());
        drafts.push(draft(entry, faults));
    }
    let names: HashMap<String, usize> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| (format!("@{}", draft.entry.key), at))
        .collect();
    let mut resolver = Resolver { drafts: &drafts, names: &names, groups: &mut groups };
    for at in 0..drafts.len() {
        resolver.resolve(at, &mut Vec::new(), faults);
    }
    groups
}

fn draft<'n>(entry: &'n Entry, faults: &mut Faults) -> Draft<'n> {
    let mut draft = Draft { entry, members: Members::default(), groups: Vec::new() };
    let Some(mut fields) = entry.node.fields("a group", faults) else { return draft };
    let mut written = false;
    for key in ["countries", "subdivisions", "continents", "cidr", "asn", "groups"] {
        let Some(value) = fields.get(key) else { continue };
        written = true;
        let items = value.one_or_list();
        if items.is_empty() {
            // A match of nothing would be one of everybody.
            faults.push(value.error("an empty list holds nobody").help("remove the key"));
        }
        for item in items {
            match key {
                "countries" => {
                    let country = terms::country(item, faults).map(Area::Country);
                    draft.members.areas.extend(country);
                }
                "subdivisions" => {
                    let code = item.parsed("a subdivision", terms::parse_subdivision, faults);
                    draft.members.areas.extend(code.map(Area::Subdivision));
                }
                "continents" => {
                    let continent = terms::continent(item, faults).map(Area::Continent);
                    draft.members.areas.extend(continent);
                }
                "cidr" => draft.members.networks.extend(terms::network(item, faults)),
                "asn" => draft.members.asns.extend(terms::asn(item, faults)),
                _ => draft.groups.push(item),
            }
        }
    }
    if !written && fields.is_empty() {
        let fault = entry.node.error("a group without members");
        faults.push(fault.help("write countries = [\"DK\", \"SE\"], or cidr, asn, groups"));
    }
    fields.finish(faults);
    draft
}

/// Looks up the groups that groups hold.
struct Resolver<'d, 'n> {
    drafts: &'d [Draft<'n>],
    names: &'d HashMap<String, usize>,
    groups: &'d mut Groups,
}

impl Resolver<'_, '_> {
    /// `open`: the groups that lead here, outermost first.
    fn resolve(&mut self, at: usize, open: &mut Vec<usize>, faults: &mut Faults) {
        let draft = &self.drafts[at];
        let name = format!("@{}", draft.entry.key);
        if self.groups.known.contains_key(&name) {
            return;
        }
        open.push(at);
        let mut all = draft.members.clone();
        for node in &draft.groups {
            let Some(text) = node.text(faults) else { continue };
            if let Some(&inner) = self.names.get(text) {
                if let Some(begins) = open.iter().position(|outer| *outer == inner) {
                    let ring = open[begins..].iter().chain([&inner]);
                    let ring: Vec<String> =
                        ring.map(|at| format!("@{}", self.drafts[*at].entry.key)).collect();
                    let fault = node.error(format!("a loop of groups: {}", ring.join(" -> ")));
                    faults.push(fault.help("a group cannot hold itself"));
                    continue;
                }
                self.resolve(inner, open, faults);
            }
            let names = self.names.keys().map(String::as_str);
            if let Some(members) = self.groups.find_among(text, node, names, faults) {
                all.extend(members);
            }
        }
        open.pop();
        self.groups.known.insert(name, all);
    }
}

impl Groups {
    /// Warns of the operator's own groups that nothing has named.
    pub(super) fn unused(&self, faults: &mut Faults) {
        let used = self.used.borrow();
        for (name, place) in self.places.iter().filter(|(name, _)| !used.contains(*name)) {
            let message = format!("group '{name}' is not used");
            faults.push(Diagnostic::warning(message, place.clone()));
        }
    }

    /// What the group named at `node` holds; says so where there is none.
    pub(super) fn find(&self, name: &str, node: &Node, faults: &mut Faults) -> Option<&Members> {
        self.find_among(name, node, std::iter::empty(), faults)
    }

    /// Like `find`, with more names that would have been right.
    fn find_among<'s>(
        &'s self,
        name: &str,
        node: &Node,
        more: impl Iterator<Item = &'s str>,
        faults: &mut Faults,
    ) -> Option<&'s Members> {
        let found = self.known.get(name);
        self.used.borrow_mut().insert(name.to_owned());
        if found.is_none() {
            let mut names: Vec<&str> = self.known.keys().map(String::as_str).chain(more).collect();
            names.sort_unstable();
            names.dedup();
            let mut fault = node.error(format!("there is no group '{name}'"));
            fault.help = suggest::help(name, &names, "groups");
            faults.push(fault);
        }
        found
    }
}

/// The countries of a built-in group, such as `@eu`; `None` for one that does not exist.
fn members(group: &str) -> Option<impl Iterator<Item = Area>> {
    let lists = GROUPS.iter().find(|(name, _)| *name == group)?.1;
    let codes = lists.iter().flat_map(|list| list.split(' '));
    Some(codes.filter_map(|code| {
        code.as_bytes().try_into().ok().map(|code| Area::Country(Country(code)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::countries::continent_of;

    #[test]
    fn groups_have_as_many_members_as_their_treaties() {
        for (group, count) in [
            ("@eu", 27),
            ("@eea", 30),
            ("@gdpr", 30),
            ("@efta", 4),
            ("@schengen", 29),
            ("@eurozone", 21),
        ] {
            assert_eq!(members(group).expect("exists").count(), count, "{group}");
        }
        assert!(members("@nato").is_none());
    }

    #[test]
    fn every_member_is_a_country() {
        for area in GROUPS.iter().filter_map(|(name, _)| members(name)).flatten() {
            assert!(matches!(area, Area::Country(code) if continent_of(code).is_some()));
        }
    }
}
