//! An authority and those it knows.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meridian::pki::authority::{self, Pair, Subject};
use meridian::pki::identity::Identity;
use meridian::pki::material::Material;

/// An authority of an operator.
pub(crate) struct Authority(pub(crate) Pair);

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self(authority::found(now()).expect("an authority"))
    }

    /// A certificate for `party`, such as `fra-1.vantage.meridian`.
    pub(crate) fn material(&self, party: &str) -> Material {
        self.lasting(party, now(), 1)
    }

    pub(crate) fn lasting(&self, party: &str, now: u64, days: u32) -> Material {
        let subject = Subject {
            name: party.to_owned(),
            parties: vec![party.parse().expect("a party")],
            hosts: Vec::new(),
        };
        let pair = self.issue(&subject, now, days);
        let Pair { certificate, key } = &pair;
        let authority = self.0.certificate.as_bytes();
        Material::read(certificate.as_bytes(), key.as_bytes(), authority).expect("material")
    }

    pub(crate) fn issue(&self, subject: &Subject, now: u64, days: u32) -> Pair {
        let key = authority::new_key().expect("a key");
        let certificate =
            authority::issue(&self.0, subject, &key, now, days).expect("a certificate");
        Pair { certificate, key }
    }

    pub(crate) fn identity(&self, party: &str) -> Arc<Identity> {
        Identity::new(self.material(party)).expect("an identity")
    }
}
