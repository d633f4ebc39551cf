//! DNS messages for people: a question with a client subnet in wire form, and the words of an
//! answer. For `explain` and the demo; a query from the network never comes here.

use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::EdnsOption;

use super::view::AnswerView;
use crate::wire::name::Name;
use crate::wire::types::{Rcode, Rtype};

/// Octets an answer may have; nothing that is explained is larger.
pub const ANSWER_MAX: usize = 65_535;
/// UDP payload size the question offers (RFC 9715 section 3).
const UDP_SIZE: u16 = 1232;

/// A client as a resolver tells of it: an address and how many of its bits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientNet {
    /// The address.
    pub address: IpAddr,
    /// Bits that count; all of them for a bare address.
    pub prefix: u8,
}

impl FromStr for ClientNet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("'{address}' is no IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => most,
            Some(text) => text
                .parse()
                .ok()
                .filter(|&length| length <= most)
                .ok_or_else(|| format!("'/{text}' is no prefix length of 0 to {most}"))?,
        };
        Ok(Self { address, prefix })
    }
}

impl std::fmt::Display for ClientNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A question for `name` and `rtype` in wire form, with the client's network as client subnet
/// (RFC 7871 section 6).
pub fn question(id: u16, name: &Name, rtype: Rtype, client: ClientNet) -> Vec<u8> {
    let mut packet = Vec::with_capacity(320);
    packet.extend(id.to_be_bytes());
    // One question and one additional record, no flags.
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    packet.extend(name.as_wire());
    packet.extend(rtype.0.to_be_bytes());
    packet.extend([0, 1]);
    let subnet = subnet(client);
    packet.extend([0, 0, 41]);
    packet.extend(UDP_SIZE.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend((subnet.len() as u16 + 4).to_be_bytes());
    packet.extend([0, 8]);
    packet.extend((subnet.len() as u16).to_be_bytes());
    packet.extend(subnet);
    packet
}

/// The option's data: family, source and scope length, and as many octets as the source needs.
fn subnet(client: ClientNet) -> Vec<u8> {
    let (family, octets) = match client.address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let mut data = vec![0, family, client.prefix, 0];
    data.extend(&octets[..usize::from(client.prefix).div_ceil(8)]);
    // Bits past the source length must be zero (RFC 7871 section 6).
    if let (Some(last), used @ 1..=7) = (data.last_mut(), client.prefix % 8) {
        *last &= 0xff << (8 - used);
    }
    data
}

/// An answer in words; the error says why it is none.
pub fn answer(packet: &[u8]) -> Result<AnswerView, String> {
    let message = Message::from_vec(packet).map_err(|error| error.to_string())?;
    let scope = message.edns.as_ref().and_then(|edns| {
        edns.options().as_ref().iter().find_map(|(_, option)| match option {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        })
    });
    Ok(AnswerView {
        rcode: Rcode(message.metadata.response_code.into()).to_string(),
        answer: message.answers.iter().map(ToString::to_string).collect(),
        scope,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientNet {
        text.parse().expect("a client")
    }

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let read = |text: &str| text.parse::<ClientNet>().map(|client| client.to_string());
        assert_eq!(read("203.0.113.7").as_deref(), Ok("203.0.113.7/32"));
        assert_eq!(read("203.0.113.0/24").as_deref(), Ok("203.0.113.0/24"));
        assert_eq!(read("2001:db8::/56").as_deref(), Ok("2001:db8::/56"));
        for wrong in ["", "203.0.113.0/33", "2001:db8::/129", "203.0.113/24", "192.0.2.1/x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_question_is_read_back_with_its_subnet() {
        let name: Name = "www.example.org.".parse().expect("a name");
        let packet = question(7, &name, Rtype::AAAA, client("203.0.113.255/20"));
        let message = Message::from_vec(&packet).expect("a message");
        assert_eq!(message.metadata.id, 7);
        assert_eq!(message.queries[0].to_string(), "www.example.org. IN AAAA");
        let told = answer(&packet).expect("readable");
        assert_eq!((told.scope, told.rcode.as_str()), (Some(0), "NOERROR"));
        assert!(packet.ends_with(&[0, 8, 0, 7, 0, 1, 20, 0, 203, 0, 112]));
    }

    #[test]
    fn octets_that_are_no_message_are_told() {
        assert!(answer(&[1, 2, 3]).is_err());
    }
}
