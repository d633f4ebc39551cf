//! What messages are about. A subject is a few tokens with dots between them, as in NATS; its last
//! token is the name of a vantage or a node, so that a broker can hold everybody to their own.

use std::fmt::Display;

use crate::seal::is_signer;

/// What all subjects begin with. Another version of what is carried begins differently.
pub const ROOT: &str = "meridian.v1.";
/// Reports of vantages; below it one subject for each.
pub const HEALTH: &str = "meridian.v1.health.";
/// Requests of vantages for what they are to probe; below it one subject for each.
pub const PROBESET: &str = "meridian.v1.probeset.";
/// What nodes serve: sealed announcements of bundles.
pub const BUNDLE_ANNOUNCE: &str = "meridian.v1.bundle.announce";
/// Requests for pieces of a bundle; below it one subject for each node that has one.
pub const BUNDLE_GET: &str = "meridian.v1.bundle.get.";
/// All orders of operators that a node has heard of; below it one subject for each node.
pub const OVERRIDE: &str = "meridian.v1.override.";
/// Requests for all orders that somebody has heard of.
pub const OVERRIDE_GET: &str = "meridian.v1.overrides.get";
/// What nodes tell of themselves; below it one subject for each.
pub const STATUS: &str = "meridian.v1.status.";

/// Longest subject in octets.
const LENGTH_MAX: usize = 128;

/// The subject of `name` below `prefix`.
pub fn of(prefix: &str, name: impl Display) -> String {
    format!("{prefix}{name}")
}

/// True for a subject that can be published to: below [`ROOT`], every token a name.
pub fn is_valid(subject: &str) -> bool {
    subject.len() <= LENGTH_MAX
        && subject.strip_prefix(ROOT).is_some_and(|rest| rest.split('.').all(is_signer))
}

/// True when `subject` is `prefix`, or below it where that ends in a dot.
pub fn is_under(subject: &str, prefix: &str) -> bool {
    if prefix.ends_with('.') { subject.starts_with(prefix) } else { subject == prefix }
}

/// The name at the end of `subject`, below `prefix`; `None` where there is more than a name.
pub fn name_under<'s>(subject: &'s str, prefix: &str) -> Option<&'s str> {
    subject.strip_prefix(prefix).filter(|name| is_signer(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_told_from_other_text() {
        for subject in [OVERRIDE_GET, "meridian.v1.health.fra-1"] {
            assert!(is_valid(subject), "{subject}");
        }
        let long = format!("{ROOT}{}", "a.".repeat(80));
        let wrong = [
            "",
            "meridian.v1",
            "meridian.v1.",
            "meridian.v2.override",
            "meridian.v1.health.",
            "meridian.v1.health.*",
            "meridian.v1.>",
            "meridian.v1.health..fra",
            "meridian.v1.health.fra 1",
            "meridian.v1.health/fra",
            &long,
        ];
        for subject in wrong {
            assert!(!is_valid(subject), "{subject}");
        }
    }

    #[test]
    fn a_dot_at_the_end_means_all_below() {
        assert!(is_under(&of(HEALTH, "fra-1"), HEALTH));
        assert!(!is_under("meridian.v1.healthy", HEALTH));
        assert!(is_under(OVERRIDE_GET, OVERRIDE_GET));
        assert!(!is_under(&of(OVERRIDE, "fra-1"), OVERRIDE_GET));
        assert!(!is_under(OVERRIDE_GET, OVERRIDE));
        assert_eq!(name_under(&of(HEALTH, "fra-1"), HEALTH), Some("fra-1"));
        assert_eq!(name_under("meridian.v1.health.fra.1", HEALTH), None);
    }
}
