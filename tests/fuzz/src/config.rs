//! The operator's files: all of them understood, or every fault told with its place.
//!
//! The input is up to five files with a zero octet between them; an empty one is the shipped one.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;

use meridian::config::{self, Config, assemble};
use meridian::diagnostics::Diagnostic;
use meridian::geo::world::World;
use meridian::health::table::HealthTable;
use meridian::steer::tally::Tallies;

use super::zone::told;

const FILES: [(&str, &str); 5] = [
    ("zones/example.org.toml", include_str!("../../../zones/example.org.toml")),
    ("geo/regions.toml", include_str!("../../../geo/regions.toml")),
    ("geo/networks.toml", include_str!("../../../geo/networks.toml")),
    ("probes/monitors.toml", include_str!("../../../probes/monitors.toml")),
    ("meridian.toml", include_str!("../../../meridian.toml")),
];

const ZONE: &str = include_str!("../../../zones/example.org.zone");

/// A folder with the files, and what they hold.
struct Folder {
    path: tempfile::TempDir,
    written: [Vec<u8>; FILES.len()],
}

thread_local! {
    static FOLDER: RefCell<Folder> = RefCell::new(Folder::new());
}

/// Writes the files and loads them, and assembles what was understood.
pub fn run(octets: &[u8]) {
    if octets.len() > 1 << 14 {
        return;
    }
    let mut given = octets.split(|&octet| octet == 0);
    let loaded = FOLDER.with_borrow_mut(|folder| {
        for (place, (_, shipped)) in FILES.iter().enumerate() {
            let text = given.next().filter(|text| !text.is_empty());
            folder.write(place, text.unwrap_or(shipped.as_bytes()));
        }
        config::load(folder.path.path(), None)
    });
    told(&loaded.diagnostics);
    let refused = loaded.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(loaded.config.is_none(), refused, "a configuration with errors, or none without");
    if let Some(config) = loaded.config {
        assembled(&config);
    }
}

fn assembled(config: &Config) {
    let world = Arc::new(World::from_networks(&config.networks));
    let health = Arc::new(HealthTable::new(config.pools.len(), config.areas.len()));
    let snapshot = assemble::snapshot(config, world, health, None, &mut Tallies::new(1));
    let snapshot = snapshot.expect("files without errors can be served");
    assert_eq!(snapshot.pools.len(), config.pool_checks.len());
}

impl Folder {
    fn new() -> Self {
        let path = tempfile::tempdir().expect("a folder");
        for folder in ["zones", "geo", "probes"] {
            fs::create_dir(path.path().join(folder)).expect("a folder");
        }
        fs::write(path.path().join("zones/example.org.zone"), ZONE).expect("a file");
        Self { path, written: Default::default() }
    }

    fn write(&mut self, place: usize, text: &[u8]) {
        if self.written[place] != text {
            fs::write(self.path.path().join(FILES[place].0), text).expect("a file");
            self.written[place] = text.to_vec();
        }
    }
}
