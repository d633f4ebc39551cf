//! Clients of twenty places of the world are sent to the nearest of six regions, and told
//! exactly for how many of their neighbours that holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::RecordType;

use crate::dns::Asker;
use crate::lab::Lab;
use crate::meridian::{Geo, Meridian};
use crate::world::{Atlas, PLACES, Place, REGIONS, regions_toml};

const NAME: &str = "www.example.org.";
/// Neighbours asked for within a scope; enough to find a tenth of a percent that differs.
const NEIGHBOURS: u128 = 2_000;
/// Most steps of the walk through the block beside a scope.
const STEPS: usize = 200_000;

#[test]
fn with_city_data_each_place_gets_its_nearest_region_and_an_exact_scope() {
    let atlas = Atlas::open();
    for place in PLACES {
        let order = atlas.order(&REGIONS, place.address()).expect("the databases know it");
        assert_eq!(order[0].name, place.nearest, "{}: the list says otherwise", place.city);
    }
    check(Geo::City, Some(&atlas));
}

#[test]
fn with_the_embedded_data_each_place_gets_its_nearest_region_and_an_exact_scope() {
    check(Geo::Embedded, None);
}

fn check(geo: Geo, atlas: Option<&Atlas>) {
    let lab = Lab::new();
    let address: IpAddr = "198.51.100.53".parse().unwrap();
    let meridian = Meridian::start(lab.machine("meridian", &[address]), address, geo, &files());
    let asker = Asker::new(&meridian.machine, address, meridian.address);
    println!("\n{geo:?} data, dig @{address} {NAME} +subnet=...");
    for place in PLACES {
        let (region, scope) = dig(&meridian, place.address());
        println!("  {:12} {:28} {region} scope /{scope}", place.city, subnet(place.address()));
        assert_eq!(region, place.nearest, "{}", place.city);
        every_neighbour_within_the_scope_has_the_same_answer(&asker, &place, scope, atlas);
        a_shorter_scope_would_be_wrong(&asker, &place, scope);
    }
}

/// Asks as an operator would, and returns the region and the scope.
fn dig(meridian: &Meridian, client: IpAddr) -> (&'static str, u8) {
    let server = format!("@{}", meridian.address.ip());
    // The family of the question is not that of the client: an IPv6 client may well ask for A.
    let text = meridian.machine.run(&[
        "dig",
        &server,
        NAME,
        "A",
        &format!("+subnet={}", subnet(client)),
        "+norec",
        "+tries=1",
    ]);
    let scope = text
        .lines()
        .find_map(|line| line.strip_prefix("; CLIENT-SUBNET: ")?.rsplit('/').next()?.parse().ok());
    let region = REGIONS.iter().find(|region| {
        text.lines()
            .any(|line| line.starts_with(NAME) && line.ends_with(&format!("A\t{}", region.vip)))
    });
    let (Some(scope), Some(region)) = (scope, region) else {
        panic!("no region or no scope for {client} in\n{text}");
    };
    (region.name, scope)
}

/// RFC 7871 section 7.2.1: what is cached for the scope's network holds for all of it, and the
/// scopes of two answers never overlap.
fn every_neighbour_within_the_scope_has_the_same_answer(
    asker: &Asker,
    place: &Place,
    scope: u8,
    atlas: Option<&Atlas>,
) {
    let client = place.address();
    let size = block_size(client, scope);
    let step = (size / NEIGHBOURS).max(block_size(client, source(client)));
    let first = number(client) & !(size - 1);
    let mut address = first;
    while address - first < size {
        let neighbour = like(client, address);
        let answer = ask(asker, neighbour);
        assert_eq!(answer, (place.nearest, scope), "{neighbour}, a neighbour of {client}/{scope}");
        if let Some(nearest) = atlas.and_then(|atlas| nearest_to_all_of(atlas, neighbour)) {
            assert_eq!(nearest, place.nearest, "{neighbour} by the database itself");
        }
        address += step;
    }
}

/// Walks through the block that one bit less would take in, until somebody has another answer.
fn a_shorter_scope_would_be_wrong(asker: &Asker, place: &Place, scope: u8) {
    assert!(scope > 0, "{}: not all the world has one region", place.city);
    let client = place.address();
    let size = block_size(client, scope);
    let first = (number(client) & !(size - 1)) ^ size;
    let mut address = first;
    for _ in 0..STEPS {
        let (region, scope) = ask(asker, like(client, address));
        if region != place.nearest {
            return;
        }
        let length = block_size(client, scope.min(source(client)));
        address = (address & !(length - 1)) + length;
        assert!(address - first < size, "{client}/{} would be as right", scope - 1);
    }
    panic!("{client}: no other answer found in {STEPS} steps through the block beside its scope");
}

fn ask(asker: &Asker, client: IpAddr) -> (&'static str, u8) {
    let reply = asker.ask_for(NAME, RecordType::A, Some((client, source(client))));
    let reply = reply.unwrap_or_else(|| panic!("{client} is not answered"));
    let vip = reply.address().unwrap_or_else(|| panic!("{client} gets no address"));
    let region = REGIONS.iter().find(|region| region.vip() == vip).expect("an address of ours");
    (region.name, reply.scope.expect("the client subnet is echoed"))
}

/// The region nearest to every part of the network a resolver would send for `client`; `None`
/// when the parts differ or are not known.
fn nearest_to_all_of(atlas: &Atlas, client: IpAddr) -> Option<&'static str> {
    let size = block_size(client, source(client));
    let first = number(client) & !(size - 1);
    let parts = (0..8).map(|part| like(client, first + size / 8 * part));
    let mut nearest = parts.map(|part| Some(atlas.order(&REGIONS, part)?[0].name));
    let head = nearest.next()??;
    nearest.all(|region| region == Some(head)).then_some(head)
}

/// The prefix length public resolvers send.
fn source(client: IpAddr) -> u8 {
    if client.is_ipv4() { 24 } else { 56 }
}

fn subnet(client: IpAddr) -> String {
    let size = block_size(client, source(client));
    format!("{}/{}", like(client, number(client) & !(size - 1)), source(client))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn like(family: IpAddr, number: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).expect("an IPv4 address")).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

fn block_size(family: IpAddr, prefix: u8) -> u128 {
    let bits = if family.is_ipv4() { 32 } else { 128 };
    1 << (bits - u32::from(prefix))
}

fn files() -> [(&'static str, String); 3] {
    let pools: String = REGIONS
        .iter()
        .map(|r| format!("[pool.{}]\nregion = \"{}\"\nmembers = [\"{}\"]\n", r.name, r.name, r.vip))
        .collect();
    let names = REGIONS.map(|region| format!("{:?}", region.name)).join(", ");
    [
        ("geo/regions.toml", regions_toml(&REGIONS)),
        (
            "zones/example.org.zone",
            "$TTL 60\n@ SOA ns1 ops 1 3600 600 86400 5\n@ NS ns1\nns1 A 198.51.100.53\nwww A 192.0.2.10\n".into(),
        ),
        (
            "zones/example.org.toml",
            format!("{pools}[record.\"www\"]\npolicy = \"nearest\"\npools = [{names}]\nttl = \"30s\"\n"),
        ),
    ]
}
