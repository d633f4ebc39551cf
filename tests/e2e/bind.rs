//! The parent: a real BIND that serves the root, the parent zone, and a neighbour's zone.

use std::net::IpAddr;

use crate::lab::{Machine, Program};

/// Starts a name server for the given zones, each an apex (`.` for the root) and its records
/// below the SOA.
pub fn start(machine: &Machine, listen: IpAddr, zones: &[(&str, String)]) -> Program {
    let dir = machine.dir().join("bind");
    let dir = dir.to_str().unwrap();
    let mut configuration = format!(
        "options {{ directory \"{dir}\"; pid-file none; listen-on {{ {listen}; }}; listen-on-v6 {{ none; }};\n\
         recursion no; dnssec-validation no; notify no; querylog no; }};\ncontrols {{ }};\n"
    );
    for (apex, records) in zones {
        let file = if *apex == "." { "root.zone" } else { &format!("{apex}.zone") };
        machine.write(
            &format!("bind/{file}"),
            &format!("$TTL 300\n@ SOA ns.parent.test. ops.parent.test. 1 3600 600 86400 5\n@ NS ns.parent.test.\n{records}"),
        );
        configuration += &format!("zone \"{apex}\" {{ type primary; file \"{file}\"; }};\n");
    }
    let path = machine.write("bind/named.conf", &configuration);
    machine.start("named", &["named", "-g", "-4", "-n", "1", "-c", path.to_str().unwrap()])
}
