//! Who takes part in the bus: identities of one authority, and keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meridian::pki::authority::{self, Pair, Subject};
use meridian::pki::identity::Identity;
use meridian::pki::material::Material;

/// An authority for one run.
pub(crate) struct Authority(Pair);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self(authority::found(now()).expect("an authority"))
    }

    fn issue(&self, party: &str) -> Pair {
        let subject = Subject {
            name: party.to_owned(),
            parties: vec![party.parse().expect("a party")],
            hosts: Vec::new(),
        };
        let key = authority::new_key().expect("a key");
        let certificate = authority::issue(&self.0, &subject, &key, now(), 1).expect("issued");
        Pair { certificate, key }
    }

    pub(crate) fn identity(&self, party: &str) -> Arc<Identity> {
        let pair = self.issue(party);
        let authority = self.0.certificate.as_bytes();
        let material = Material::read(pair.certificate.as_bytes(), pair.key.as_bytes(), authority);
        Identity::new(material.expect("material")).expect("an identity")
    }

    /// Writes what a configuration in `folder` names `bus.crt`, `bus.key` and `ca.crt`.
    pub(crate) fn write(&self, party: &str, folder: &Path) {
        let pair = self.issue(party);
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect(name);
        write("bus.crt", &pair.certificate);
        write("bus.key", &pair.key);
        write("ca.crt", &self.0.certificate);
        let for_its_owner = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("bus.key"), for_its_owner).expect("its own");
    }
}
