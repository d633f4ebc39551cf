//! Where Meridian reads a file otherwise than its peers on purpose. Each rule has its name, and
//! its reason in `docs/zone-checks.md`.

use meridian::diagnostics::Diagnostic;

use crate::peers::{Opinion, Set};

/// Whether two readers have the same records.
pub(crate) enum Same {
    Yes,
    /// But for what this rule says.
    By(&'static str),
    No,
}

/// The lowest TTL is taken for an RRset whose TTLs differ; BIND and NSD take the first.
const LOWEST_TTL: &str = "lowest-ttl";

/// Of records that are the same but for the case of names in them, the first is kept, as in NSD;
/// BIND keeps the last.
const FIRST_OF_DUPLICATES: &str = "first-of-duplicates";

/// Compares our records with BIND's.
pub(crate) fn records(ours: &Set, theirs: &Set, faults: &[Diagnostic]) -> Same {
    if ours == theirs {
        return Same::Yes;
    }
    let without_ttl = |set: &Set| -> Set {
        set.iter()
            .map(|(owner, rtype, _, rdata)| (owner.clone(), *rtype, 0, rdata.clone()))
            .collect()
    };
    let differ = faults.iter().any(|fault| fault.message.starts_with("the TTLs of "));
    if differ && without_ttl(ours) == without_ttl(theirs) {
        return Same::By(LOWEST_TTL);
    }
    let lower = |set: &Set| -> Set {
        let lower = |octets: &Vec<u8>| octets.to_ascii_lowercase();
        set.iter()
            .map(|(owner, rtype, ttl, data)| (owner.clone(), *rtype, *ttl, lower(data)))
            .collect()
    };
    let duplicates = faults.iter().any(|fault| fault.message.ends_with("record is there already"));
    if duplicates && lower(ours) == lower(theirs) {
        return Same::By(FIRST_OF_DUPLICATES);
    }
    Same::No
}

/// The rule by which we accept a file that all peers refuse. Each is something that BIND alone
/// refuses by the sound of it; Knot and NSD refuse the same file for what they do not know,
/// `$GENERATE` or a type.
pub(crate) fn acceptance(bind: &Opinion, text: &[u8]) -> Option<&'static str> {
    let told = |text: &str| bind.told.contains(text);
    let last = text.rsplit(|&octet| octet == b'\n').next().unwrap_or_default();
    if told("extra input text") && last.starts_with(b"$") {
        // A directive on a last line without its end.
        Some("last-line")
    } else if told("CDS/CDNSKEY consistency checks failed") {
        // Meridian does not sign, so it has no keys that they could be held against.
        Some("cds-without-keys")
    } else if told("invalid NS owner name (wildcard)") {
        // RFC 4592 section 4.2 leaves it undefined; it is answered as data, with a warning.
        Some("wildcard-ns")
    } else {
        None
    }
}
