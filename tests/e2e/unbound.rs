//! The resolver: a real Unbound that starts at the lab's root and sends client subnets on.

use std::net::IpAddr;

use crate::lab::{Machine, Program};

/// Unbound counts whole seconds, so it may keep an answer this much longer than its TTL.
pub const CLOCK_GRAIN_S: u32 = 1;

/// Starts a resolver that knows `root` as the root server and tells `ecs_server` its clients'
/// networks (RFC 7871).
pub fn start(machine: &Machine, listen: IpAddr, root: IpAddr, ecs_server: IpAddr) -> Program {
    let hints = machine.write(
        "unbound/root.hints",
        &format!(". 300 NS ns.parent.test.\nns.parent.test. 300 A {root}\n"),
    );
    let path = machine.write(
        "unbound/unbound.conf",
        &format!(
            "server:\n\
             \x20 interface: {listen}\n  access-control: 0.0.0.0/0 allow\n  do-ip6: no\n\
             \x20 module-config: \"subnetcache validator iterator\"\n\
             \x20 send-client-subnet: {ecs_server}\n  client-subnet-always-forward: no\n\
             \x20 root-hints: {}\n  target-fetch-policy: \"0 0 0 0 0\"\n\
             \x20 username: \"\"\n  chroot: \"\"\n  directory: \"\"\n  pidfile: \"\"\n\
             \x20 use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n\
             remote-control:\n  control-enable: no\n",
            hints.display()
        ),
    );
    machine.start("unbound", &["unbound", "-d", "-c", path.to_str().unwrap()])
}
