//! Envelopes, as anybody may put them on the bus: nothing opens that was not sealed by the key it
//! names, as what it is read as.

use meridian::seal::{Fault, Kind, OCTETS_MAX, SigningKey, is_signer, open, seal};

thread_local! {
    static KEY: SigningKey = SigningKey::generate().expect("a key");
}

const KINDS: [Kind; 4] = [Kind::Report, Kind::ProbeSet, Kind::Bundle, Kind::Override];

/// Reads the octets as an envelope; then has them sealed, and changed.
pub fn run(octets: &[u8]) {
    KEY.with(|key| {
        let known = |name: &str| {
            assert!(is_signer(name), "{name:?} was asked for");
            Some(key.public())
        };
        for kind in KINDS {
            assert!(open(octets, kind, known).is_err(), "nobody sealed this");
        }
        // The first octet says which kind, the second how long the name is, the third what is
        // changed.
        let [kind, length, change, rest @ ..] = octets else { return };
        let kind = KINDS[usize::from(kind % 4)];
        let (name, payload) = rest.split_at(usize::from(*length).min(rest.len()));
        let name = String::from_utf8_lossy(name);
        let mut sealed = seal(key, kind, &name, payload);
        let opened = open(&sealed, kind, known);
        if is_signer(&name) && sealed.len() <= OCTETS_MAX {
            let opened = opened.expect("it was sealed so");
            assert_eq!((opened.signer, opened.payload), (&*name, payload));
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert_eq!(open(&sealed, other, known), Err(Fault::Kind));
            }
            let at = usize::from(*change) % sealed.len();
            sealed[at] ^= change | 1;
            assert!(open(&sealed, kind, known).is_err(), "octet {at} was changed");
        } else {
            assert!(opened.is_err(), "{name:?} is no signer");
        }
    });
}
