//! gdnsd beside us, with the shortest times its documentation allows.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use crate::lab::{Machine, Program};

/// Starts gdnsd on `address`; each of `members` is the first choice of a record `r0`, `r1`, …
/// with `spare` behind it. A whole second is the finest it knows: a probe every two, an end after
/// one, and one failure decides.
pub fn start(machine: &Machine, address: IpAddr, members: &[Ipv4Addr], spare: Ipv4Addr) -> Program {
    let (mut resources, mut zone) = (String::new(), String::new());
    for (number, member) in members.iter().enumerate() {
        let _ = writeln!(
            resources,
            "    r{number} => {{ primary => {member}, secondary => {spare} }},"
        );
        let _ = writeln!(zone, "r{number} 5 DYNA simplefo!r{number}");
    }
    let dir = machine.dir().join("gdnsd");
    let dir = dir.to_str().unwrap();
    machine.write("gdnsd/run/.keep", "");
    machine.write("gdnsd/state/.keep", "");
    machine.write(
        "gdnsd/config",
        &format!(
            "options => {{ listen => {address}, run_dir => {dir}/run, state_dir => {dir}/state }}\n\
             service_types => {{\n  web => {{\n    plugin => http_status, port => 80, url_path => /\n    \
             interval => 2, timeout => 1, down_thresh => 1, ok_thresh => 1, up_thresh => 1\n  }}\n}}\n\
             plugins => {{\n  simplefo => {{\n    service_types => web\n{resources}  }}\n}}\n"
        ),
    );
    machine.write(
        "gdnsd/zones/gslb.example.org",
        &format!(
            "@ SOA ns1 ops.example.org. 1 3600 600 86400 5\n@ NS ns1\nns1 A {address}\n{zone}"
        ),
    );
    machine.start("gdnsd", &["gdnsd", "-c", dir, "start"])
}
