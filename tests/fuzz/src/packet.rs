//! Any octets as a packet: the whole road of a query.
//!
//! The first octet says which world, over what and from where; the packet is the rest.

use meridian::server::Transport;

use super::road::{self, WORLDS};

/// Sends the packet down the road, and holds the answer against what every answer must be.
pub fn run(octets: &[u8]) {
    let Some((&how, packet)) = octets.split_first() else { return };
    let transport = match (how & 0x80, how & 0x20) {
        (0, _) => Transport::Udp,
        (_, 0) => Transport::Tcp,
        _ => Transport::Tls,
    };
    let client = if how & 0x40 == 0 { "192.0.2.53" } else { "2001:db8::53" };
    road::exchange(usize::from(how) % WORLDS, packet, client, transport);
}
