//! The client subnet option, beside a reading that follows RFC 7871 word for word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::opt::ClientSubnet as Theirs;
use meridian::server::Transport;
use meridian::wire::edns::ClientSubnet;

use super::road;

/// Reads the octets as the option's value, and sends one in eight along with a query.
pub fn run(octets: &[u8]) {
    if octets.len() > 64 {
        return;
    }
    let ours = ClientSubnet::read(octets);
    assert_eq!(ours.map(|subnet| meaning(&subnet)), by_the_book(octets), "{octets:02x?}");
    if let Some(subnet) = ours.filter(|subnet| subnet.family != 0) {
        let theirs = Theirs::try_from(octets).expect("what we read hickory reads");
        assert_eq!(theirs.source_prefix(), subnet.source);
        assert_eq!(subnet.client(), (subnet.source > 0).then(|| theirs.addr()));
    }
    // The road takes ten times as long as all the rest.
    if octets.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet)).is_multiple_of(8) {
        travelled(octets, ours);
    }
}

/// Family, source prefix length and address.
type Meaning = (u8, u8, Option<IpAddr>);

fn meaning(subnet: &ClientSubnet) -> Meaning {
    (subnet.family, subnet.source, subnet.client())
}

/// RFC 7871 section 6: family, lengths, as many octets as needed, zero past the prefix.
/// Section 7.1.2: the scope is 0 in a query. An address of no family has no octets.
fn by_the_book(value: &[u8]) -> Option<Meaning> {
    let family = u16::from_be_bytes([*value.first()?, *value.get(1)?]);
    let (source, scope) = (*value.get(2)?, *value.get(3)?);
    let given = &value[4..];
    let bits = match family {
        0 => 0,
        1 => 32,
        2 => 128,
        _ => return None,
    };
    let fits = scope == 0 && source <= bits && given.len() == usize::from(source.div_ceil(8));
    let bit = |at: usize| given[at / 8] >> (7 - at % 8) & 1;
    if !fits || (usize::from(source)..given.len() * 8).any(|at| bit(at) == 1) {
        return None;
    }
    let mut octets = [0; 16];
    octets[..given.len()].copy_from_slice(given);
    let address = match family {
        1 => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
        _ => Ipv6Addr::from(octets).into(),
    };
    Some((family as u8, source, (source > 0).then_some(address)))
}

/// FORMERR for what is malformed (section 7.1.2), else the option back with a scope.
fn travelled(value: &[u8], ours: Option<ClientSubnet>) {
    let mut packet =
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\x01\x04near\x07example\x03org\0\0\x01\0\x01".to_vec();
    let length = value.len() as u8;
    packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length + 4, 0, 8, 0, length]);
    packet.extend(value);
    let answer = road::exchange(0, &packet, "192.0.2.53", Transport::Udp);
    let formerr = answer[3] & 0xf == 1;
    assert_eq!(formerr, ours.is_none(), "{value:02x?}");
    if !formerr {
        let (mut sent, mut back) = (value.to_vec(), answer[answer.len() - value.len()..].to_vec());
        (sent[3], back[3]) = (0, 0);
        assert_eq!(sent, back, "the option comes back but for its scope");
    }
}
