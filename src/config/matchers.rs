//! `match` of a rule: which clients.

use super::decode::{Faults, Node, Value};
use super::groups::Groups;
use super::{suggest, terms};
use crate::geo::countries::continent_of;
use crate::geo::map::{Area, Matcher};

/// Reads a matcher.
pub(super) fn read(node: &Node, groups: &Groups, faults: &mut Faults) -> Option<Matcher> {
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
    let group = fields.get("group");
    for key in ["cidr", "asn", "country", "continent"] {
        let Some(value) = fields.get(key) else { continue };
        written = true;
        let items = value.one_or_list();
        if items.is_empty() {
            faults.push(value.error("an empty list matches no client").help("remove the key"));
            sound = false;
        }
        for item in items {
            sound &= add(&mut matcher, key, item, groups, faults).is_some();
        }
    }
    if let Some(value) = group {
        sound &= of_groups(&mut matcher, value, written, groups, faults).is_some();
    }
    if !written && group.is_none() {
        if fields.is_empty() {
            let fault = node.error("a match without a condition");
            faults.push(fault.help("write match = \"default\" for every client"));
        }
        sound = false;
    }
    fields.finish(faults);
    sound.then_some(matcher)
}

fn add(
    matcher: &mut Matcher,
    key: &str,
    item: &Node,
    groups: &Groups,
    faults: &mut Faults,
) -> Option<()> {
    if let Value::String(text) = &item.value
        && text.starts_with('@')
    {
        let members = groups.find(text, item, faults)?;
        let (mine, all) = match key {
            "cidr" => (members.networks.len(), members.len()),
            "asn" => (members.asns.len(), members.len()),
            _ => (members.areas.len(), members.len()),
        };
        if mine < all {
            let fault = item.error(format!("group '{text}' has more than '{key}' can hold"));
            let help = format!("write match = {{ group = \"{text}\" }}");
            faults.push(fault.help(help));
            return None;
        }
        members.add_to(matcher);
        return Some(());
    }
    match key {
        "cidr" => matcher.networks.push(terms::network(item, faults)?),
        "asn" => matcher.asns.push(terms::asn(item, faults)?),
        "continent" => matcher.areas.push(Area::Continent(terms::continent(item, faults)?)),
        _ => matcher.areas.push(area(item, faults)?),
    }
    Some(())
}

/// `group = "@offices"`: whoever is in one of the groups, by whatever.
fn of_groups(
    matcher: &mut Matcher,
    value: &Node,
    with_others: bool,
    groups: &Groups,
    faults: &mut Faults,
) -> Option<()> {
    if with_others {
        let fault = value.error("'group' stands alone in a match");
        faults.push(fault.help("name the group under the other key, or put both into one group"));
        return None;
    }
    let items = value.one_or_list();
    if items.is_empty() {
        faults.push(value.error("an empty list matches no client").help("remove the key"));
        return None;
    }
    for item in items {
        groups.find(item.text(faults)?, item, faults)?.add_to(matcher);
    }
    let kinds = [matcher.networks.is_empty(), matcher.asns.is_empty(), matcher.areas.is_empty()];
    matcher.any = kinds.iter().filter(|is_empty| !**is_empty).count() > 1;
    Some(())
}

/// `"DE"` or `"US-CA"`.
pub(super) fn area(node: &Node, faults: &mut Faults) -> Option<Area> {
    if node.text(faults)?.contains('-') {
        let code = node.parsed("a subdivision", terms::parse_subdivision, faults)?;
        return Some(Area::Subdivision(code));
    }
    Some(Area::Country(terms::country(node, faults)?))
}

/// True when every client that fits `later` fits `earlier` too.
pub(super) fn covers(earlier: &Matcher, later: &Matcher) -> bool {
    if earlier.any || later.any {
        return covers_any(earlier, later);
    }
    (!earlier.unknown || later.unknown)
        && covers_all(&earlier.networks, &later.networks, |outer, inner| {
            outer.0.is_ipv4() == inner.0.is_ipv4()
                && outer.1 <= inner.1
                && terms::masked(inner.0, outer.1) == outer.0
        })
        && covers_all(&earlier.asns, &later.asns, |outer, inner| outer == inner)
        && covers_all(&earlier.areas, &later.areas, holds)
}

/// The same where one kind is enough in one of the two: told only of what is plain to see.
fn covers_any(earlier: &Matcher, later: &Matcher) -> bool {
    earlier.is_default() || earlier == later
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
