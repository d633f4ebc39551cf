//! Probe sets, as a node sends them to an agent: what was understood is sent as it was understood.

use meridian::probe::set::ProbeSet;

/// Reads the octets as a probe set.
pub fn run(octets: &[u8]) {
    let Ok(set) = ProbeSet::decode(octets) else { return };
    let again = set.encode().expect("what was understood can be sent");
    assert_eq!(ProbeSet::decode(&again), Ok(set));
}
