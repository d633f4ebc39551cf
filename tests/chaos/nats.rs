//! A cluster of real NATS servers: what carries reports between vantages and nodes.

use crate::lab::{Machine, Program};
use crate::scene::SERVERS;

/// Port for clients.
pub const PORT: u16 = 4222;
/// Port for the other servers of the cluster.
const CLUSTER: u16 = 6222;

/// Starts the server `name`, which has `address`. Certificates lie in the folder `pki` beside its
/// own; who shows none of that authority is refused.
pub fn start(machine: &Machine, name: &str, address: &str, pki: &str) -> Program {
    let routes: Vec<String> =
        SERVERS.iter().map(|(_, other)| format!("nats-route://{other}:{CLUSTER}")).collect();
    let routes = routes.join(", ");
    let tls = format!(
        "cert_file: \"{pki}/{name}.pem\", key_file: \"{pki}/{name}.key\", ca_file: \"{pki}/authority.pem\", verify: true, timeout: 5"
    );
    let configuration = machine.write(
        "nats/nats.conf",
        &format!(
            "server_name: {name}\nlisten: \"{address}:{PORT}\"\nping_interval: \"2s\"\nwrite_deadline: \"2s\"\n\
             tls {{ {tls} }}\n\
             cluster {{ name: meridian, listen: \"{address}:{CLUSTER}\", routes: [{routes}], tls {{ {tls} }} }}\n"
        ),
    );
    machine.start("nats", &["nats-server", "-c", configuration.to_str().unwrap()])
}
