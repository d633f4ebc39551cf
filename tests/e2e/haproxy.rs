//! A region's L4 tier: a real HAProxy that passes streams on to the L7 tier.

use std::net::IpAddr;

use crate::lab::{Machine, Program};

/// Listens on port 80 of `vip`. It does not ask whether the tier behind it lives, so it accepts
/// connections as long as it runs itself.
pub fn start(machine: &Machine, vip: IpAddr) -> Program {
    let configuration = machine.write(
        "haproxy/haproxy.cfg",
        &format!(
            "global\n    maxconn 256\n\
             defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
             listen l4\n    bind {vip}:80\n    server l7 127.0.0.1:8080\n"
        ),
    );
    machine.start("haproxy", &["haproxy", "-db", "-f", configuration.to_str().unwrap()])
}
