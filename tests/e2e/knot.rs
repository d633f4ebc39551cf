//! A region's own DNS: a real Knot that serves a name delegated to the region.

use std::net::IpAddr;

use crate::lab::{Machine, Program};

/// Starts a name server for one zone with the given records (all with TTL `ttl`).
pub fn start(machine: &Machine, listen: IpAddr, zone: &str, ttl: u32, records: &str) -> Program {
    let dir = machine.dir().join("knot");
    let dir = dir.to_str().unwrap();
    machine.write(&format!("knot/{zone}.zone"), &format!("$TTL {ttl}\n{records}"));
    let path = machine.write(
        "knot/knot.conf",
        &format!(
            "server:\n    listen: {listen}@53\n    rundir: {dir}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
             database:\n    storage: {dir}\n\
             log:\n  - target: stderr\n    any: info\n\
             zone:\n  - domain: {zone}\n    storage: {dir}\n    file: {zone}.zone\n"
        ),
    );
    machine.start("knotd", &["knotd", "-c", path.to_str().unwrap()])
}
