//! Resolvers that start at the root they were built with: BIND and Knot Resolver. Unbound has a
//! file of its own.

use std::net::IpAddr;

use crate::lab::{Machine, Program};

/// Starts BIND as a resolver.
pub fn bind(machine: &Machine, listen: IpAddr) -> Program {
    let dir = machine.dir().join("resolver");
    let path = machine.write(
        "resolver/named.conf",
        &format!(
            "options {{ directory \"{}\"; pid-file none; listen-on {{ {listen}; }}; listen-on-v6 {{ none; }};\n\
             recursion yes; allow-recursion {{ any; }}; dnssec-validation no; }};\ncontrols {{ }};\n",
            dir.display()
        ),
    );
    machine.start("resolver", &["named", "-g", "-n", "1", "-c", path.to_str().unwrap()])
}

/// Starts Knot Resolver. What it would do in the background needs the world outside.
pub fn knot(machine: &Machine, listen: IpAddr) -> Program {
    let path = machine.write(
        "kresd/kresd.conf",
        &format!(
            "net.listen('{listen}', 53)\ntrust_anchors.remove('.')\ncache.size = 10 * MB\n\
             for _, module in ipairs({{'ta_update', 'ta_signal_query', 'priming', \
             'detect_time_skew'}}) do modules.unload(module) end\n"
        ),
    );
    machine.start("kresd", &["kresd", "-n", "-c", path.to_str().unwrap(), "kresd"])
}
