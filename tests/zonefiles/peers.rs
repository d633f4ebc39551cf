//! How the peers read a zone file: `named-checkzone`, `kzonecheck` and `nsd-checkzone`, each as it
//! is when nobody asks for more or less, but that nobody looks names up elsewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Records as owner in lower case, type, TTL and RDATA.
pub(crate) type Set = BTreeSet<(Vec<u8>, u16, u32, Vec<u8>)>;

/// What one peer makes of a file.
pub(crate) struct Opinion {
    /// Its records; empty from one that shows none.
    pub(crate) records: Result<Set, ()>,
    /// What it said.
    pub(crate) told: String,
}

/// BIND; its raw format holds the RDATA octets.
pub(crate) fn bind(folder: &Path, file: &str, origin: &str) -> Opinion {
    let raw = folder.join(format!("{file}.raw"));
    let output = run(Command::new("named-checkzone")
        .args(["-i", "local", "-D", "-F", "raw", "-o"])
        .arg(&raw)
        .args(["-w", ".", origin, file])
        .current_dir(folder));
    let records = output.status.success().then(|| raw_records(&raw));
    // It is not there when the file was refused.
    let _ = std::fs::remove_file(&raw);
    Opinion { records: records.ok_or(()), told: told(&output) }
}

/// Knot shows no records.
pub(crate) fn knot(folder: &Path, file: &str, origin: &str) -> Opinion {
    let output = run(Command::new("kzonecheck").args(["-o", origin, file]).current_dir(folder));
    let records = output.status.success().then(Set::new).ok_or(());
    Opinion { records, told: told(&output) }
}

/// NSD; it writes text, which BIND makes octets of.
pub(crate) fn nsd(folder: &Path, file: &str, origin: &str) -> Opinion {
    let output = run(Command::new("nsd-checkzone").args(["-p", origin, file]).current_dir(folder));
    if !output.status.success() {
        return Opinion { records: Err(()), told: told(&output) };
    }
    let printed = format!("{file}.nsd");
    std::fs::write(folder.join(&printed), &output.stdout).expect("writable");
    let records = bind(folder, &printed, origin).records.unwrap_or_default();
    std::fs::remove_file(folder.join(&printed)).expect("there");
    Opinion { records: Ok(records), told: told(&output) }
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/setup installs it"))
}

fn told(output: &Output) -> String {
    let text = [&output.stderr[..], &output.stdout[..]].concat();
    String::from_utf8_lossy(&text).lines().take(6).collect::<Vec<_>>().join("\n      ")
}

/// BIND's raw format, version 1: a head of 24 octets, then RRsets: length of all, class, type,
/// type covered, TTL, number of records, owner with its length, and each RDATA with its length.
fn raw_records(path: &Path) -> Set {
    let octets = std::fs::read(path).expect("readable");
    let mut records = Set::new();
    let mut rest = &octets[24..];
    while !rest.is_empty() {
        let number = |rest: &[u8], at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        let long = |rest: &[u8], at: usize| {
            u32::from(number(rest, at)) << 16 | u32::from(number(rest, at + 2))
        };
        let (rrset, after) = rest.split_at(long(rest, 0) as usize);
        let (rtype, ttl) = (number(rrset, 6), long(rrset, 10));
        let owner_end = 20 + usize::from(number(rrset, 18));
        let owner = rrset[20..owner_end].to_ascii_lowercase();
        let mut data = &rrset[owner_end..];
        while !data.is_empty() {
            let (rdata, after) = data[2..].split_at(usize::from(number(data, 0)));
            records.insert((owner.clone(), rtype, ttl, rdata.to_vec()));
            data = after;
        }
        rest = after;
    }
    records
}

/// A record for a person.
pub(crate) fn shown((owner, rtype, ttl, rdata): &(Vec<u8>, u16, u32, Vec<u8>)) -> String {
    let octets: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("  {} {ttl} TYPE{rtype} {octets}", String::from_utf8_lossy(owner).escape_debug())
}
