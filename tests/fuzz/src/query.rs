//! Packets that are nearly right: names of the zones, known types, options with sense, and one
//! thing or another broken. What random octets take long to find is here at once.

use arbitrary::Unstructured;
use meridian::server::Transport;

use super::draft;
use super::road::{self, WORLDS};

/// Sends one to three queries down the road, and holds each answer against what it must be.
pub fn run(octets: &[u8]) {
    let mut choices = Unstructured::new(octets);
    let mut world = || -> arbitrary::Result<()> {
        let world = choices.int_in_range(0..=WORLDS - 1)?;
        for _ in 0..choices.int_in_range(1..=3)? {
            let transports = [Transport::Udp, Transport::Udp, Transport::Tcp, Transport::Tls];
            let transport = *choices.choose(&transports)?;
            let client = choices.choose(&["192.0.2.53", "198.51.100.7", "2001:db8::53"])?;
            let packet = draft::packet(&mut choices)?;
            road::exchange(world, &packet, client, transport);
        }
        Ok(())
    };
    // Where the octets end, the packet is left as it is.
    world().ok();
}
