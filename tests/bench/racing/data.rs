//! The zones as master files, which most servers read as they are.

use std::fmt::Write as _;

use crate::workload::{Kind, TTL, Workload, static_address};

/// The master file of one of the workload's zones: SOA, NS, the name server's address, and the
/// static names. Steered names are not in it; they stand in each server's own files.
pub fn zone(workload: Workload, origin: &str, serial: u32) -> String {
    let mut text = format!(
        "$ORIGIN {origin}\n$TTL {TTL}\n@ SOA ns1 hostmaster {serial} 3600 600 86400 60\n\
         @ NS ns1\nns1 A 192.0.2.53\n"
    );
    if workload.kind() == Kind::Static {
        for number in 0..workload.names() {
            let label = Kind::Static.label(number);
            let _ = writeln!(text, "{label} A {}", static_address(number));
        }
    }
    text
}
