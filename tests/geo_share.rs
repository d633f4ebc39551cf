//! Maps are compiled once: records on the same regions share one, and a change that moves no
//! client compiles none.

use std::fs;
use std::sync::Arc;

use meridian::config::{self, assemble};
use meridian::geo::table::GeoMap;
use meridian::geo::world::World;
use meridian::health::table::HealthTable;
use meridian::snapshot::Snapshot;
use meridian::steer::tally::Tallies;

const ZONE: &str = "$TTL 300\n@ SOA ns1 ops 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n";
const REGIONS: &str = "[region.fra]\nlocation = [50.1, 8.7]\n\
                       [region.iad]\nlocation = [38.9, -77.4]\n\
                       [region.sin]\nlocation = [1.3, 103.9]\n";

#[test]
fn a_hundred_records_on_the_same_regions_share_one_map() {
    let world = Arc::new(World::embedded());
    let one = snapshot(&world, &nearest(1, 30, 1), None);
    let hundred = snapshot(&world, &nearest(100, 30, 1), None);
    assert_eq!(hundred.catalog.len(), 1);
    assert_eq!(hundred.maps().count(), 1);
    assert_eq!(memory(&hundred), memory(&one));
}

#[test]
fn a_change_of_ttl_or_weight_compiles_no_map() {
    let world = Arc::new(World::embedded());
    let before = snapshot(&world, &nearest(3, 30, 1), None);
    for policy in [nearest(3, 60, 1), nearest(3, 30, 9)] {
        let after = snapshot(&world, &policy, Some(&before));
        assert!(std::ptr::eq(only_map(&after), only_map(&before)), "{policy}");
    }
}

#[test]
fn another_bias_or_another_world_compiles_the_map_anew() {
    let world = Arc::new(World::embedded());
    let before = snapshot(&world, &nearest(1, 30, 1), None);
    let biased = nearest(1, 30, 1) + "bias = { fra = 20 }\n";
    let after = snapshot(&world, &biased, Some(&before));
    assert!(!std::ptr::eq(only_map(&after), only_map(&before)));
    let elsewhere = snapshot(&Arc::new(World::embedded()), &nearest(1, 30, 1), Some(&before));
    assert!(!std::ptr::eq(only_map(&elsewhere), only_map(&before)));
}

/// So many records with the policy "nearest" over three regions, a member of one of which has
/// a weight.
fn nearest(records: usize, ttl: u32, weight: u32) -> String {
    let mut policy = format!(
        "[pool.fra]\nregion = \"fra\"\n\
         members = [\"192.0.2.1\", {{ address = \"192.0.2.2\", weight = {weight} }}]\n"
    );
    for (pool, member) in [("iad", 3), ("sin", 4)] {
        policy += &format!("[pool.{pool}]\nregion = {pool:?}\nmembers = [\"192.0.2.{member}\"]\n");
    }
    for record in 0..records {
        policy += &format!(
            "[record.www-{record}]\npolicy = \"nearest\"\nttl = \"{ttl}s\"\n\
             pools = [\"fra\", \"iad\", \"sin\"]\n"
        );
    }
    policy
}

fn snapshot(world: &Arc<World>, policy: &str, previous: Option<&Snapshot>) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("meridian.toml", ""),
        ("geo/regions.toml", REGIONS),
        ("zones/example.org.toml", policy),
        ("zones/example.org.zone", ZONE),
    ];
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let loaded = config::load(folder.path(), None);
    let faults = meridian::diagnostics::render(&loaded.diagnostics);
    let config = loaded.config.unwrap_or_else(|| panic!("the files are refused:\n{faults}"));
    let health = Arc::new(HealthTable::new(config.pools.len(), config.areas.len()));
    let mut tallies = Tallies::new(1);
    assemble::snapshot(&config, Arc::clone(world), health, previous, &mut tallies).unwrap()
}

fn only_map(snapshot: &Snapshot) -> &GeoMap {
    let mut maps = snapshot.maps();
    let map = maps.next().expect("a map");
    assert!(maps.next().is_none(), "one map");
    map
}

fn memory(snapshot: &Snapshot) -> usize {
    snapshot.maps().map(GeoMap::memory).sum()
}
