//! Texts and messages that people and programs give the API and the commands: names, types,
//! networks, targets, and answers to be put in words.

use std::str::FromStr;

use meridian::admin::message::{self, ClientNet};
use meridian::admin::view::OverrideView;
use meridian::health::overrides::OverrideTarget;
use meridian::wire::name::{Name, NameRef};
use meridian::wire::types::Rtype;

/// Reads the octets as each of them.
pub fn run(octets: &[u8]) {
    name(octets);
    message::answer(octets).ok();
    serde_json::from_slice::<OverrideView>(octets).ok();
    let Ok(text) = std::str::from_utf8(octets) else { return };
    comes_back::<Rtype>(text);
    comes_back::<ClientNet>(text);
    OverrideTarget::from_str(text).ok();
    if let Ok(client) = text.parse::<ClientNet>() {
        let packet = message::question(1, &Name::root(), Rtype::A, client);
        assert!(hickory_proto::op::Message::from_vec(&packet).is_ok(), "{packet:02x?}");
    }
}

/// A name that was read, written and read again is the same, in text as on the wire.
fn name(octets: &[u8]) {
    let origin: Name = "example.org.".parse().expect("a name");
    if let Ok(name) = Name::parse_bytes(octets, origin.as_ref()) {
        assert!(name.as_wire().len() <= 255);
        let text = name.to_string();
        let again = Name::parse(&text, NameRef::ROOT).expect("what we write we read");
        assert_eq!(again.as_wire(), name.as_wire(), "{text}");
    }
    if let Ok(name) = NameRef::from_wire(octets) {
        let again: Name = name.to_string().parse().expect("what we write we read");
        assert_eq!(again.as_wire(), octets);
    }
}

fn comes_back<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == value), "{text}");
    }
}
