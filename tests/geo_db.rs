//! Databases of every shape give the same places, and broken ones a fault that names the file.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use meridian::geo::compile::MIN_PREFIX;
use meridian::geo::db::{DbError, Kind};
use meridian::geo::map::{Area, MapSpec, Matcher, RuleSpec};
use meridian::geo::networks::Network;
use meridian::geo::place::{Continent, Country, Place};
use meridian::geo::table::GeoMap;
use meridian::geo::world::{Fallback, World};
use meridian::region::Location;

use mmdb::{Value, Writer};

#[path = "support/mmdb.rs"]
mod mmdb;

const RECORD_SIZES: [u16; 3] = [24, 28, 32];

#[test]
fn every_schema_and_layout_gives_the_same_place() {
    for shape in [geoip2, ip_location_db, ipinfo] {
        for size in RECORD_SIZES {
            let joint = TestFile::new(
                6,
                size,
                &[("198.51.100.0/24", shape()), ("2001:db8:1::/48", shape())],
            );
            let world = joint.load();
            assert_eq!(located(&world, "198.51.100.7"), (berlin(), ip("198.51.100.0"), 24));
            assert_eq!(located(&world, "2001:db8:1::7"), (berlin(), ip("2001:db8:1::"), 48));
            assert!(world.locate(ip("192.0.2.1")).place.is_unknown());
            assert_eq!(world.sources()[0].kind, Kind::City);
            assert_eq!(world.sources()[0].built, 1_780_000_000);
            let v4 = TestFile::new(4, size, &[("198.51.100.0/24", shape())]).load();
            assert_eq!(located(&v4, "198.51.100.7"), (berlin(), ip("198.51.100.0"), 24));
            assert!(v4.locate(ip("2001:db8:1::7")).place.is_unknown());
            let v6 = TestFile::new(6, size, &[("2001:db8:1::/48", shape())]).load();
            assert_eq!(located(&v6, "2001:db8:1::7"), (berlin(), ip("2001:db8:1::"), 48));
            assert!(v6.locate(ip("198.51.100.7")).place.is_unknown());
        }
    }
}

#[test]
fn the_ipv4_part_shown_twice_is_counted_once() {
    let mut writer = Writer::new(6, 28, "City");
    let stored = writer.store(&geoip2());
    writer.put(ip("198.51.100.0"), 24, stored);
    writer.alias(ip("2002::"), 16);
    writer.alias(ip("::ffff:0:0"), 96);
    let world = TestFile::of(&writer.finish()).load();
    assert_eq!(world.locate(ip("198.51.100.7")).place, &berlin());
    assert!(world.locate(ip("2002:c633:6407::1")).place.is_unknown());
    assert_eq!(world.locate(ip("::ffff:198.51.100.7")).place, &berlin());
}

#[test]
fn the_registered_country_stands_in_and_a_country_brings_continent_and_centroid() {
    let record = map([("registered_country", map([("iso_code", text("JP"))]))]);
    let other = map([("country", map([("iso_code", text("DE"))]))]);
    let file = TestFile::new(6, 24, &[("198.51.100.0/24", record), ("192.0.2.0/24", other)]);
    let world = file.load();
    let place = world.locate(ip("198.51.100.1")).place;
    assert_eq!((place.country, place.continent), (Some(Country(*b"JP")), Some(Continent(*b"AS"))));
    let at = place.location.unwrap();
    assert!(
        (30.0..40.0).contains(&at.latitude) && (130.0..142.0).contains(&at.longitude),
        "{at:?}"
    );
    assert_eq!(world.sources()[0].kind, Kind::Country);
}

#[test]
fn a_city_file_and_an_asn_file_complete_each_other() {
    let asn = |value| map([("autonomous_system_number", value)]);
    for number in [Value::Unsigned(64_500), text("AS64500"), text("64500")] {
        let city = TestFile::new(4, 24, &[("198.51.100.0/24", geoip2())]);
        let asns = TestFile::new(4, 32, &[("198.51.0.0/16", asn(number))]);
        let world = World::load(&[&city.path, &asns.path], &[], Fallback::None).unwrap();
        let here = world.locate(ip("198.51.100.1"));
        assert_eq!(here.place, &Place { asn: Some(64_500), ..berlin() });
        assert_eq!(here.network, (ip("198.51.100.0"), 24));
        assert_eq!(here.source, "test.mmdb, test.mmdb");
        let there = world.locate(ip("198.51.101.1"));
        assert_eq!(there.place, &Place { asn: Some(64_500), ..Place::default() });
        assert_eq!(there.source, "test.mmdb");
        assert_eq!(world.sources()[1].kind, Kind::Asn);
    }
}

#[test]
fn the_first_database_with_coordinates_wins() {
    let country = TestFile::new(4, 24, &[("198.51.100.0/24", map([("country_code", text("FR"))]))]);
    let city = TestFile::new(4, 24, &[("198.51.100.0/25", ip_location_db())]);
    let world = World::load(&[&country.path, &city.path], &[], Fallback::None).unwrap();
    assert_eq!(world.locate(ip("198.51.100.1")).place, &berlin());
    assert_eq!(world.locate(ip("198.51.100.200")).place.country, Some(Country(*b"FR")));
}

#[test]
fn the_operators_word_is_laid_over_databases() {
    let city = TestFile::new(4, 24, &[("198.51.100.0/24", geoip2())]);
    let network = |cidrs, place| Network { cidrs, asns: vec![], place };
    let asn = Place { asn: Some(64_501), ..Place::default() };
    let paris = Place { country: Some(Country(*b"FR")), ..Place::default() };
    let networks = [
        network(vec![(ip("198.51.100.0"), 26)], paris),
        network(vec![(ip("198.51.100.0"), 25)], asn),
    ];
    let world = World::load(&[&city.path], &networks, Fallback::None).unwrap();
    let near = world.locate(ip("198.51.100.1"));
    assert_eq!((near.place.country, near.place.asn), (Some(Country(*b"FR")), Some(64_501)));
    assert_eq!((near.place.continent, &near.place.city), (Some(Continent(*b"EU")), &None));
    assert_eq!(near.source, "test.mmdb, networks.toml, entry 1");
    assert_eq!(world.locate(ip("198.51.100.65")).place, &Place { asn: Some(64_501), ..berlin() });
    assert_eq!(world.locate(ip("198.51.100.129")).place, &berlin());
}

#[test]
fn networks_may_be_named_by_their_autonomous_system() {
    let record = map([("asn", text("AS64500")), ("country", text("DE"))]);
    let file = TestFile::new(4, 24, &[("198.51.100.0/24", record)]);
    let place = Place { country: Some(Country(*b"US")), ..Place::default() };
    let networks = [Network { cidrs: vec![], asns: vec![64_500], place }];
    let world = World::load(&[&file.path], &networks, Fallback::None).unwrap();
    let here = world.locate(ip("198.51.100.1")).place;
    assert_eq!((here.country, here.asn), (Some(Country(*b"US")), Some(64_500)));
    assert!(world.locate(ip("192.0.2.1")).place.is_unknown());
}

#[test]
fn splits_nobody_can_ask_about_are_voted_away_unless_the_operator_made_them() {
    let country = |code: &str| map([("country_code", text(code))]);
    let file = TestFile::new(
        6,
        24,
        &[
            ("198.51.100.0/24", country("DE")),
            ("198.51.100.0/26", country("FR")),
            ("2001:db8::/56", country("FR")),
            ("2001:db8::/58", country("DE")),
        ],
    );
    let rule = |matcher| RuleSpec { matcher, ..RuleSpec::default() };
    let in_country =
        |code| Matcher { areas: vec![Area::Country(Country(code))], ..Matcher::default() };
    let cidr = Matcher { networks: vec![(ip("198.51.100.64"), 27)], ..Matcher::default() };
    let rules = vec![rule(cidr), rule(in_country(*b"DE")), rule(in_country(*b"FR"))];
    let spec = MapSpec { sites: vec![], rules, ..MapSpec::default() };
    let world = file.load();
    let voted = GeoMap::compile(&world, &spec, MIN_PREFIX).unwrap();
    let exact = GeoMap::compile(&world, &spec, (32, 64)).unwrap();
    let rule_of = |map: &GeoMap, client| map.lookup(ip(client)).order.rule;
    assert_eq!(rule_of(&exact, "198.51.100.1"), Some(2));
    assert_eq!(rule_of(&voted, "198.51.100.1"), Some(1));
    assert_eq!(rule_of(&voted, "198.51.100.70"), Some(0), "the operator's own network stays");
    assert_eq!(rule_of(&exact, "2001:db8::1"), Some(1));
    assert_eq!(rule_of(&voted, "2001:db8::1"), Some(2));
    // A /27 written by the operator lets its own border stand, and no other.
    let longest = |v4| {
        let leaves = voted.leaves().filter(|leaf| leaf.network.is_ipv4() == v4);
        leaves.map(|leaf| leaf.length).max()
    };
    assert_eq!((longest(true), longest(false)), (Some(27), Some(56)));
    assert_eq!(exact.lookup(ip("198.51.100.1")).scope_full, 26);
    assert_eq!(voted.lookup(ip("198.51.100.1")).scope_full, 26);
    assert_eq!(voted.lookup(ip("198.51.100.200")).scope_full, 25);
    assert_eq!(voted.lookup(ip("2001:db8::1")).scope_full, 56);
}

#[test]
fn the_shipped_database_knows_countries_and_comes_last() {
    let world = World::embedded();
    assert_eq!(world.locate(ip("193.0.6.139")).place.country, Some(Country(*b"NL")));
    assert_eq!(world.locate(ip("2001:67c:2e8::1")).place.country, Some(Country(*b"NL")));
    assert!(world.places().iter().filter(|place| place.location.is_some()).count() > 200);
    let city = TestFile::new(4, 24, &[("193.0.6.0/24", geoip2())]);
    let world = World::load(&[&city.path], &[], Fallback::Embedded).unwrap();
    assert_eq!(world.locate(ip("193.0.6.139")).place, &berlin());
    assert_eq!(world.locate(ip("193.0.7.1")).source, "built-in country database");
    assert_eq!(world.sources().last().unwrap().kind, Kind::Country);
}

#[test]
fn broken_files_are_refused_by_name_wherever_they_are_cut() {
    let whole = TestFile::new(6, 28, &[("198.51.100.0/24", geoip2()), ("2001:db8::/32", ipinfo())]);
    let bytes = std::fs::read(&whole.path).unwrap();
    for end in (0..bytes.len()).step_by(7) {
        let cut = TestFile::of(&bytes[..end]);
        let error = World::load(&[&cut.path], &[], Fallback::None).unwrap_err();
        assert!(error.to_string().contains("test.mmdb"), "{error}");
    }
    let missing = World::load(&["nowhere/test.mmdb"], &[], Fallback::None).unwrap_err();
    assert!(matches!(missing, DbError::Read { .. }), "{missing:?}");
    let useless =
        TestFile::new(4, 24, &[("198.51.100.0/24", map([("is_vpn", Value::Unsigned(1))]))]);
    let error = World::load(&[&useless.path], &[], Fallback::None).unwrap_err();
    assert!(matches!(error, DbError::NoUsableFields { .. }), "{error:?}");
}

#[test]
fn damaged_bytes_never_panic() {
    let whole = TestFile::new(6, 24, &[("198.51.100.0/24", geoip2()), ("2001:db8::/32", ipinfo())]);
    let bytes = std::fs::read(&whole.path).unwrap();
    for place in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x55;
        std::fs::write(&whole.path, &bytes).unwrap();
        // Any outcome will do but a panic: some damage cannot be seen.
        drop(World::load(&[&whole.path], &[], Fallback::None));
    }
}

fn geoip2() -> Value {
    let english = |name| map([("names", map([("en", text(name))]))]);
    map([
        ("city", english("Berlin")),
        ("continent", map([("code", text("EU"))])),
        ("country", map([("iso_code", text("DE")), ("names", map([("en", text("Germany"))]))])),
        ("location", map([("latitude", Value::Double(52.5)), ("longitude", Value::Double(13.25))])),
        ("subdivisions", Value::Array(vec![map([("iso_code", text("BE"))])])),
    ])
}

fn ip_location_db() -> Value {
    map([
        ("city", text("Berlin")),
        ("country_code", text("DE")),
        ("latitude", Value::Float(52.5)),
        ("longitude", Value::Float(13.25)),
        ("state1", text("BE")),
    ])
}

fn ipinfo() -> Value {
    map([
        ("city", text("Berlin")),
        ("continent_code", text("EU")),
        ("country", text("DE")),
        ("lat", text("52.5")),
        ("lng", text("13.25")),
        ("region", text("Land Berlin")),
        ("region_code", text("BE")),
    ])
}

fn berlin() -> Place {
    Place {
        continent: Some(Continent(*b"EU")),
        country: Some(Country(*b"DE")),
        subdivision: Some("DE-BE".into()),
        city: Some("Berlin".into()),
        location: Location::new(52.5, 13.25),
        ..Place::default()
    }
}

fn located(world: &World, address: &str) -> (Place, IpAddr, u8) {
    let located = world.locate(ip(address));
    (located.place.clone(), located.network.0, located.network.1)
}

fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    Value::Map(entries.into())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A database in a folder that goes away with it.
struct TestFile {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl TestFile {
    fn new(ip_version: u8, record_size: u16, networks: &[(&str, Value)]) -> Self {
        let mut writer = Writer::new(ip_version, record_size, "a name that says nothing");
        for (network, value) in networks {
            let (address, length) = network.split_once('/').unwrap();
            let stored = writer.store(value);
            writer.put(ip(address), length.parse().unwrap(), stored);
        }
        Self::of(&writer.finish())
    }

    fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.mmdb");
        std::fs::write(&path, bytes).unwrap();
        Self { path, _folder: folder }
    }

    fn load(&self) -> World {
        let paths: [&Path; 1] = [&self.path];
        World::load(&paths, &[], Fallback::None).unwrap()
    }
}
