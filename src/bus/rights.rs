//! Who may say what. A broker holds its clients to their subjects; where there is none, the node
//! that listens does.

use std::collections::BTreeSet;

use super::subject::{
    BUNDLE_ANNOUNCE, BUNDLE_GET, HEALTH, OVERRIDE, OVERRIDE_GET, PROBESET, STATUS, name_under,
};
use crate::pki::{Party, Role};

/// Who is let in: those whom the configuration knows. Whoever is taken out of it is refused from
/// then on, however long their certificate is still valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admitted {
    /// Names of vantages.
    pub vantages: BTreeSet<String>,
    /// Names of nodes.
    pub nodes: BTreeSet<String>,
}

impl Admitted {
    /// Whether `party` is one of them.
    pub fn knows(&self, party: &Party) -> bool {
        match party.role {
            Role::Node => self.nodes.contains(&party.name),
            Role::Vantage => self.vantages.contains(&party.name),
        }
    }
}

/// True when `party` may publish on `subject`: a vantage its own reports; a node its own status,
/// what bundles there are, and the orders it has heard of.
pub(super) fn may_publish(party: &Party, subject: &str) -> bool {
    let own = |prefix| name_under(subject, prefix) == Some(party.name.as_str());
    match party.role {
        Role::Vantage => own(HEALTH),
        Role::Node => own(STATUS) || own(OVERRIDE) || subject == BUNDLE_ANNOUNCE,
    }
}

/// True when `party` may ask for `subject`: a vantage for its own probes; a node for pieces of
/// bundles, and for orders.
pub(super) fn may_request(party: &Party, subject: &str) -> bool {
    match party.role {
        Role::Vantage => name_under(subject, PROBESET) == Some(party.name.as_str()),
        Role::Node => name_under(subject, BUNDLE_GET).is_some() || subject == OVERRIDE_GET,
    }
}

#[cfg(test)]
mod tests {
    use super::super::subject::of;
    use super::*;

    #[test]
    fn everybody_is_held_to_their_own() {
        let vantage: Party = "fra-1.vantage.meridian".parse().unwrap();
        let node: Party = "fra-1.node.meridian".parse().unwrap();
        let (health, status) = (of(HEALTH, "fra-1"), of(STATUS, "fra-1"));
        assert!(may_publish(&vantage, &health));
        assert!(may_publish(&node, &status));
        assert!(may_publish(&node, &of(OVERRIDE, "fra-1")));
        assert!(!may_publish(&node, &of(OVERRIDE, "fra-2")));
        assert!(!may_publish(&vantage, &of(HEALTH, "fra-2")));
        assert!(!may_publish(&vantage, &status));
        assert!(!may_publish(&vantage, &of(OVERRIDE, "fra-1")));
        assert!(!may_publish(&vantage, BUNDLE_ANNOUNCE));
        assert!(!may_publish(&node, &health));
        assert!(!may_publish(&node, &of(STATUS, "fra-2")));
        assert!(may_request(&vantage, &of(PROBESET, "fra-1")));
        assert!(!may_request(&vantage, &of(PROBESET, "fra-2")));
        assert!(!may_request(&vantage, &of(BUNDLE_GET, "fra-1")));
        assert!(may_request(&node, &of(BUNDLE_GET, "sin-1")));
        assert!(may_request(&node, OVERRIDE_GET));
        assert!(!may_request(&vantage, OVERRIDE_GET));
    }
}
