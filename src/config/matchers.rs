//! `match` of a rule: which clients.

use super::decode::{Faults, Node, Value};
use super::{groups, suggest, terms};
use crate::geo::countries::continent_of;
use crate::geo::map::{Area, Matcher};

/// Reads a matcher.
pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<Matcher> {
    if let Value::String(text) = &node.value {
        return match &**text {
            "default" => Some(Matcher::default()),
            "unknown" => Some(Matcher { unknown: true, ..Matcher::default() }),
            _ => {
                let mut fault = node.error(format!("'{text}' is not a match"));
                let near = suggest::closest(text, ["default", "unknown"]);
                fault.help = Some(near.map_or_else(
                    || {
                        "write \"default\", \"unknown\", or a table: { country = \"DE\" }"
                            .to_owned()
                    },
                    |near| format!("did you mean '{near}'?"),
                ));
                faults.push(fault);
                None
            }
        };
    }
    let mut fields = node.fields("a match", faults)?;
    let mut matcher = Matcher::default();
    let mut sound = true;
    let mut written = false;
    for key in ["cidr", "asn", "country", "continent"] {
        let Some(value) = fields.get(key) else { continue };
        written = true;
        let items = value.one_or_list();
        if items.is_empty() {
            faults.push(value.error("an empty list matches no client").help("remove the key"));
            sound = false;
        }
        for item in items {
            sound &= add(&mut matcher, key, item, faults).is_some();
        }
    }
    if !written {
        if fields.is_empty() {
            let fault = node.error("a match without a condition");
            faults.push(fault.help("write match = \"default\" for every client"));
        }
        sound = false;
    }
    fields.finish(faults);
    sound.then_some(matcher)
}

fn add(matcher: &mut Matcher, key: &str, item: &Node, faults: &mut Faults) -> Option<()> {
    match key {
        "cidr" => matcher.networks.push(terms::network(item, faults)?),
        "asn" => matcher.asns.push(terms::asn(item, faults)?),
        "continent" => matcher.areas.push(Area::Continent(terms::continent(item, faults)?)),
        _ => matcher.areas.extend(area(item, faults)?),
    }
    Some(())
}

/// `"DE"`, `"US-CA"` or `"@eu"`.
fn area(node: &Node, faults: &mut Faults) -> Option<Vec<Area>> {
    let text = node.text(faults)?;
    if text.starts_with('@') {
        let members = groups::members(text);
        if members.is_none() {
            let names: Vec<&str> = groups::names().collect();
            let mut fault = node.error(format!("there is no group '{text}'"));
            fault.help = suggest::help(text, &names, "groups");
            faults.push(fault);
        }
        return members.map(Iterator::collect);
    }
    if text.contains('-') {
        let code = node.parsed("a subdivision", terms::parse_subdivision, faults)?;
        return Some(vec![Area::Subdivision(code)]);
    }
    Some(vec![Area::Country(terms::country(node, faults)?)])
}

/// True when every client that fits `later` fits `earlier` too.
pub(super) fn covers(earlier: &Matcher, later: &Matcher) -> bool {
    (!earlier.unknown || later.unknown)
        && covers_all(&earlier.networks, &later.networks, |outer, inner| {
            outer.0.is_ipv4() == inner.0.is_ipv4()
                && outer.1 <= inner.1
                && terms::masked(inner.0, outer.1) == outer.0
        })
        && covers_all(&earlier.asns, &later.asns, |outer, inner| outer == inner)
        && covers_all(&earlier.areas, &later.areas, holds)
}

/// An empty list holds everything; otherwise each inner one needs an outer one.
fn covers_all<T>(outer: &[T], inner: &[T], holds: impl Fn(&T, &T) -> bool) -> bool {
    outer.is_empty()
        || (!inner.is_empty() && inner.iter().all(|one| outer.iter().any(|o| holds(o, one))))
}

fn holds(outer: &Area, inner: &Area) -> bool {
    match (outer, inner) {
        (Area::Continent(continent), Area::Country(country)) => {
            continent_of(*country) == Some(*continent)
        }
        (Area::Country(country), Area::Subdivision(code)) => {
            code.as_bytes().starts_with(&country.0)
        }
        _ => outer == inner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::place::{Continent, Country};

    fn areas(areas: &[Area]) -> Matcher {
        Matcher { areas: areas.to_vec(), ..Matcher::default() }
    }

    #[test]
    fn a_wider_rule_covers_a_narrower_one() {
        let europe = areas(&[Area::Continent(Continent(*b"EU"))]);
        let germany = areas(&[Area::Country(Country(*b"DE"))]);
        let japan = areas(&[Area::Country(Country(*b"JP"))]);
        assert!(covers(&Matcher::default(), &germany));
        assert!(covers(&europe, &germany) && !covers(&germany, &europe));
        assert!(!covers(&europe, &japan) && !covers(&germany, &Matcher::default()));
        let both = Matcher { asns: vec![64500], ..germany.clone() };
        assert!(covers(&germany, &both) && !covers(&both, &germany));
    }

    #[test]
    fn networks_cover_what_lies_in_them() {
        let network = |text: &str, length| Matcher {
            networks: vec![(text.parse().expect("an address"), length)],
            ..Matcher::default()
        };
        assert!(covers(&network("192.0.2.0", 24), &network("192.0.2.128", 25)));
        assert!(!covers(&network("192.0.2.128", 25), &network("192.0.2.0", 24)));
        assert!(!covers(&network("0.0.0.0", 0), &network("2001:db8::", 32)));
    }
}
