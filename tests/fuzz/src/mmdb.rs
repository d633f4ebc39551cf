//! A GeoIP database: read whole, or a fault that names the file.

use std::cell::RefCell;
use std::fs;
use std::net::IpAddr;

use meridian::geo::db::DbError;
use meridian::geo::world::{Fallback, World};

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> =
        RefCell::new(tempfile::NamedTempFile::with_suffix(".mmdb").expect("a file"));
}

/// Loads the octets as a database and looks up addresses in it.
pub fn run(octets: &[u8]) {
    if octets.len() > 1 << 16 {
        return;
    }
    let loaded = FILE.with_borrow_mut(|file| {
        fs::write(file.path(), octets).expect("a file");
        World::load(&[file.path()], &[], Fallback::None)
    });
    match loaded {
        Ok(world) => sound(&world, octets),
        Err(DbError::Broken { .. } | DbError::NoUsableFields { .. }) => {}
        Err(error @ DbError::Read { .. }) => panic!("{error}"),
    }
}

/// Every address has a place, and a network around it.
fn sound(world: &World, octets: &[u8]) {
    let ends = ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff::", "192.0.2.1", "2001:db8::1"];
    let fixed = ends.iter().map(|text| text.parse::<IpAddr>().expect("an address"));
    let drawn = octets
        .chunks_exact(16)
        .take(8)
        .filter_map(|chunk| <[u8; 16]>::try_from(chunk).ok().map(IpAddr::from));
    for address in fixed.chain(drawn) {
        let located = world.locate(address);
        let (network, length) = located.network;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        assert!(length <= bits, "{address} in {network}/{length}");
        if let Some(location) = located.place.location {
            let shown = format!("{location:?}");
            assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
        }
    }
    assert!(!world.places().is_empty());
}
