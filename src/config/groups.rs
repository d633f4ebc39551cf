//! Groups of countries a rule may name: `country = "@eu"`.
//!
//! Sources, as of 2026-11: treaties' own lists of members. @eu: European Union, 27 states since
//! 2020-02-01 (europa.eu, "Country profiles"). @eea: those with Iceland, Liechtenstein and
//! Norway (EFTA, "EEA Agreement"). @efta: efta.int. @schengen: 29 states since 2025-01-01
//! (Council Decision (EU) 2024/3212). @gdpr: where Regulation (EU) 2016/679 is law, which is
//! the EEA. @eurozone: 21 states since 2026-01-01 (Council Decision on Bulgaria of 2025-07-08).
//! Territories with codes of their own (RE, GF, SJ, …) are not among them: name them.

use crate::geo::map::Area;
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

/// The countries of a group, such as `@eu`; `None` for a group that does not exist.
pub(super) fn members(group: &str) -> Option<impl Iterator<Item = Area>> {
    let lists = GROUPS.iter().find(|(name, _)| *name == group)?.1;
    let codes = lists.iter().flat_map(|list| list.split(' '));
    Some(codes.filter_map(|code| {
        code.as_bytes().try_into().ok().map(|code| Area::Country(Country(code)))
    }))
}

/// The names of all groups.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _)| *name)
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
        for area in names().filter_map(members).flatten() {
            assert!(matches!(area, Area::Country(code) if continent_of(code).is_some()));
        }
    }
}
