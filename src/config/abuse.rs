//! `[cookies]` and `[rate_limit]`: what keeps the server from being used against others.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::decode::{Faults, Fields, Node};
use super::{Cookies, terms};
use crate::diagnostics::Diagnostic;
use crate::limit::{SLIP_MAX, Spec};
use crate::wire::cookie::Keys;
use crate::wire::siphash::Key;

/// How a secret is written: 16 octets in hexadecimal, as BIND and Knot do.
const DIGITS: usize = 32;

/// Reads `[cookies]`; `None` when they are off. `root` is the folder of `meridian.toml`.
pub(super) fn cookies(node: Option<&Node>, root: &Path, faults: &mut Faults) -> Option<Cookies> {
    let mut cookies = Cookies { require: false, secret_file: None, shared: None };
    let Some(mut fields) = node.and_then(|node| node.fields("the section 'cookies'", faults))
    else {
        return Some(cookies);
    };
    let mut flag =
        |key, default| fields.get(key).and_then(|node| node.boolean(faults)).unwrap_or(default);
    let enabled = flag("enabled", true);
    cookies.require = flag("require", false);
    if let Some(node) = fields.get("secret_file")
        && let Some(text) = node.text(faults)
    {
        let path = root.join(text);
        cookies.shared = shared(node, text, &path, faults);
        cookies.secret_file = Some(path);
    }
    fields.finish(faults);
    enabled.then_some(cookies)
}

/// The secrets in a file. What the file holds is never part of a fault.
fn shared(node: &Node, name: &str, path: &Path, faults: &mut Faults) -> Option<Keys> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            faults.push(node.error(format!("cannot read '{name}': {error}")));
            return None;
        }
    };
    match keys(&text) {
        Ok(keys) => {
            if std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
                let message = format!("everybody on this machine can read '{name}'");
                let fault = Diagnostic::warning(message, node.span.clone());
                faults
                    .push(fault.help("a secret that is known lets others make cookies: chmod 640"));
            }
            Some(keys)
        }
        Err(why) => {
            faults.push(node.error(format!("'{name}' {why}")).help(
                "one line of 32 hexadecimal digits, and a second one for the secret before or after",
            ));
            None
        }
    }
}

/// One or two secrets, a line each. Empty lines and those that begin with `#` do not count.
fn keys(text: &str) -> Result<Keys, String> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        keys.push(key(line).ok_or_else(|| format!("has no secret on line {number}"))?);
    }
    match keys[..] {
        [current] => Ok(Keys { current, other: None }),
        [current, other] => Ok(Keys { current, other: Some(other) }),
        [] => Err("has no secret".to_owned()),
        _ => Err("has more than two secrets".to_owned()),
    }
}

fn key(text: &str) -> Option<Key> {
    if text.len() != DIGITS || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(|octets| Key::new(octets.to_be_bytes()))
}

/// Reads `[rate_limit]`; `None` without it.
pub(super) fn rate_limit(node: Option<&Node>, faults: &mut Faults) -> Option<Spec> {
    let node = node?;
    let mut fields = node.fields("the section 'rate_limit'", faults)?;
    let rate = fields.required("responses_per_second", &node.span, faults);
    let rate = rate.and_then(|node| node.integer(1..=1_000_000, faults));
    let window = fields.get("window").and_then(|node| {
        terms::duration(node, Duration::from_secs(1)..=Duration::from_secs(60), faults)
    });
    let slip = fields.get("slip").and_then(|node| node.integer(0..=SLIP_MAX.into(), faults));
    let prefix = prefix(&mut fields, faults);
    let exempt = fields.get("exempt").map(Node::one_or_list).unwrap_or_default();
    let exempt: Vec<(IpAddr, u8)> =
        exempt.iter().filter_map(|item| terms::network(item, faults)).collect();
    let dry_run = fields.get("dry_run").and_then(|node| node.boolean(faults));
    fields.finish(faults);
    Some(Spec {
        per_second: rate?,
        window: window.unwrap_or(Duration::from_secs(5)),
        slip: slip.unwrap_or(2),
        prefix,
        exempt,
        dry_run: dry_run.unwrap_or(false),
    })
}

fn prefix(fields: &mut Fields<'_>, faults: &mut Faults) -> (u8, u8) {
    let node = fields.get("prefix");
    let Some(mut prefix) = node.and_then(|node| node.fields("'prefix'", faults)) else {
        return (24, 56);
    };
    let mut length = |key, most, default| {
        prefix.get(key).and_then(|node| node.integer(1..=most, faults)).unwrap_or(default)
    };
    let lengths = (length("ipv4", 32, 24), length("ipv6", 64, 56));
    prefix.finish(faults);
    lengths
}

/// A secret for a process that shares none, from the operating system.
pub(super) fn draw(faults: &mut Faults) -> Option<Key> {
    let mut octets = [0; 16];
    match getrandom::fill(&mut octets) {
        Ok(()) => Some(Key::new(octets)),
        Err(error) => {
            faults.push(Diagnostic::unplaced(format!("the system gives no randomness: {error}")));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Previous, load};
    use super::*;

    const ONE: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn secrets_are_read_in_their_order() {
        let one = Key::new(std::array::from_fn(|at| 0x11 * at as u8));
        let two = Key::new([0xff; 16]);
        let text = format!("# from the vault\n{ONE}\n\n  {}  \n", "F".repeat(32));
        assert_eq!(keys(&text), Ok(Keys { current: one, other: Some(two) }));
        assert_eq!(keys(ONE), Ok(Keys { current: one, other: None }));
    }

    #[test]
    fn what_is_no_secret_is_told_by_its_line_and_not_shown() {
        for (text, why) in [
            ("", "has no secret"),
            ("abc\n", "has no secret on line 1"),
            ("# x\n+0112233445566778899aabbccddeeff", "has no secret on line 2"),
            ("00112233445566778899aabbccddeeff00", "has no secret on line 1"),
        ] {
            assert_eq!(keys(text), Err(why.to_owned()), "{text:?}");
        }
        assert_eq!(keys(&format!("{ONE}\n{ONE}\n{ONE}")), Err("has more than two secrets".into()));
    }

    #[test]
    fn a_secret_that_others_can_read_is_worth_a_warning_and_is_in_no_message() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("zones")).expect("made");
        let secret = folder.path().join("cookie.secret");
        std::fs::write(&secret, ONE).expect("written");
        let settings = "[cookies]\nsecret_file = \"cookie.secret\"\n";
        std::fs::write(folder.path().join("meridian.toml"), settings).expect("written");
        for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&secret, mode).expect("allowed");
            let loaded = load(folder.path(), None);
            let about = |fault: &&Diagnostic| fault.message.contains("cookie.secret");
            assert_eq!(loaded.diagnostics.iter().filter(about).count(), warnings);
            let config = loaded.config.expect("no error");
            assert!(!format!("{config:?}{:?}", loaded.diagnostics).contains("112233"));
            let shared = config.settings.cookies.and_then(|cookies| cookies.shared);
            assert_eq!(shared, keys(ONE).ok());
        }
    }

    #[test]
    fn a_drawn_secret_is_kept_over_a_reload() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("meridian.toml"), "").expect("written");
        std::fs::create_dir(folder.path().join("zones")).expect("made");
        let first = load(folder.path(), None).config.expect("no error");
        let previous = Previous { config: &first, read_at: std::time::SystemTime::now() };
        let second = load(folder.path(), Some(previous)).config.expect("no error");
        let other = load(folder.path(), None).config.expect("no error");
        assert_eq!(first.cookie_secret, second.cookie_secret);
        assert_ne!(first.cookie_secret, other.cookie_secret);
    }
}
