//! Which continent a country belongs to: ISO 3166-1 alpha-2 codes by the continent GeoIP
//! databases file them under (they follow GeoNames: Cyprus in Asia, Turkey in Asia, Russia
//! in Europe). `XK` is the code in common use for Kosovo.

use crate::geo::place::{Continent, Country};

/// Each continent with its countries, sorted.
const CONTINENTS: [([u8; 2], &str); 7] = [
    (
        *b"AF",
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS \
         LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG \
         YT ZA ZM ZW",
    ),
    (*b"AN", "AQ BV GS HM TF"),
    (
        *b"AS",
        "AE AF AM AZ BD BH BN BT CC CN CX CY GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW \
         KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TL TM TR TW UZ VN YE",
    ),
    (
        *b"EU",
        "AD AL AT AX BA BE BG BY CH CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT \
         JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        *b"NA",
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ \
         MS MX NI PA PM PR SV SX TC TT US VC VG VI",
    ),
    (*b"OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS"),
    (*b"SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// The number of each code's continent in [`CONTINENTS`], by letters; one more than the last
/// for codes that are no country.
const BY_CODE: [[u8; 26]; 26] = by_code();

const fn by_code() -> [[u8; 26]; 26] {
    let mut table = [[CONTINENTS.len() as u8; 26]; 26];
    let mut number = 0;
    while number < CONTINENTS.len() {
        let list = CONTINENTS[number].1.as_bytes();
        let mut at = 0;
        while at < list.len() {
            table[(list[at] - b'A') as usize][(list[at + 1] - b'A') as usize] = number as u8;
            at += 3;
        }
        number += 1;
    }
    table
}

/// The continent of a country; `None` for codes that are no country (`EU`, `ZZ`).
pub fn continent_of(country: Country) -> Option<Continent> {
    let [first, second] = country.0.map(|letter| usize::from(letter.wrapping_sub(b'A')));
    let number = *BY_CODE.get(first)?.get(second)?;
    CONTINENTS.get(usize::from(number)).map(|(name, _)| Continent(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_is_listed_once() {
        let mut all: Vec<_> = CONTINENTS.iter().flat_map(|(_, list)| list.split(' ')).collect();
        assert!(all.iter().all(|code| code.len() == 2));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), count), (250, 250));
        let known = |code: &&str| continent_of(Country(code.as_bytes().try_into().unwrap()));
        assert_eq!(all.iter().filter_map(known).count(), 250);
    }

    #[test]
    fn codes_that_are_no_country_have_no_continent() {
        assert_eq!(continent_of(Country(*b"DE")), Some(Continent(*b"EU")));
        assert_eq!(continent_of(Country(*b"ZZ")), None);
        assert_eq!(continent_of(Country([0xff, 0])), None);
    }
}
