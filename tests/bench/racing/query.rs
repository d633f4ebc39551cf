//! The questions of a workload and their packets, made before the race begins. All packets of a
//! workload have one length, so that the kernel can cut many of them from one buffer.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::cities::Cities;
use crate::workload::{Kind, ORIGIN, Workload, ZONES, zone_origin};

/// Addresses that questions of [`Workload::GeoSource`] come from.
const SOURCES: usize = 512;

/// One question of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    workload: Workload,
    /// Number of the zone.
    pub zone: usize,
    /// Number of the name.
    pub name: usize,
    /// The client's /24, when the question tells it.
    pub subnet: Option<Ipv4Addr>,
}

impl Question {
    /// The question a server is asked to see whether it is up.
    pub fn first(workload: Workload) -> Self {
        let subnet = workload.has_subnets().then_some(Ipv4Addr::new(8, 8, 8, 0));
        Self { workload, zone: 0, name: 0, subnet }
    }

    /// The name it asks for, with the final dot.
    pub fn qname(&self) -> String {
        let label = match self.workload {
            Workload::Nxdomain => format!("n{:07}", self.name),
            _ => self.workload.kind().label(self.name),
        };
        match self.workload {
            Workload::Zones10k => format!("{label}.{}", zone_origin(self.zone)),
            _ => format!("{label}.{ORIGIN}"),
        }
    }

    /// Its message: type A, EDNS with 1232 octets, and the client's subnet.
    pub fn packet(&self, id: u16) -> Vec<u8> {
        message(&self.qname(), 1, self.subnet, id)
    }
}

/// A query for records of type `rtype`; `qname` ends with a dot.
pub fn message(qname: &str, rtype: u8, subnet: Option<Ipv4Addr>, id: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in qname.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, rtype, 0, 1]);
    // OPT: root, type 41, size 1232, no flags; then the length of the options.
    packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0]);
    match subnet {
        // One option of 7 octets: family 1, source prefix 24, scope 0.
        Some(network) => {
            packet.extend([11, 0, 8, 0, 7, 0, 1, 24, 0]);
            packet.extend(&network.octets()[..3]);
        }
        None => packet.push(0),
    }
    packet
}

/// The questions of a workload, as packets of one length one after the other.
pub struct Queries {
    /// What is asked.
    pub workload: Workload,
    /// Where the questions come from; [`Ipv4Addr::LOCALHOST`] when that does not matter.
    pub sources: Vec<Ipv4Addr>,
    packets: Vec<u8>,
    length: usize,
}

impl Queries {
    /// Makes the questions of a workload, the same every time: at least `count`, a power of two.
    ///
    /// # Errors
    /// When the city data cannot be read.
    pub fn new(workload: Workload, count: usize, cities: &Cities) -> Result<Self> {
        let mut chance = Chance(workload as u64 + 1);
        let mut packets = vec![];
        let mut length = 0;
        for number in 0..count {
            let question = question(workload, &mut chance, cities)?;
            let packet = question.packet(number as u16);
            length = packet.len();
            if workload.is_tcp() {
                packets.extend((length as u16).to_be_bytes());
                length += 2;
            }
            packets.extend(packet);
        }
        let sources = match workload {
            Workload::GeoSource => {
                (0..SOURCES).map(|_| client(&mut chance, cities)).collect::<Result<_>>()?
            }
            _ => vec![Ipv4Addr::LOCALHOST],
        };
        Ok(Self { workload, sources, packets, length })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.packets.len() / self.length
    }

    /// Octets of each, over TCP with the two of the length.
    pub fn length(&self) -> usize {
        self.length
    }

    /// `count` packets one after the other from number `first` on, none beyond the last. IDs are
    /// their numbers' low 16 bits.
    pub fn burst(&self, first: usize, count: usize) -> &[u8] {
        let at = first % self.count() * self.length;
        &self.packets[at..at + count * self.length]
    }
}

/// Questions drawn at random, the same every time.
///
/// # Errors
/// When the city data cannot be read.
pub fn questions(
    workload: Workload,
    count: usize,
    seed: u64,
    cities: &Cities,
) -> Result<Vec<Question>> {
    let mut chance = Chance(seed);
    (0..count).map(|_| question(workload, &mut chance, cities)).collect()
}

/// An address of the world's networks, the same every time.
///
/// # Errors
/// When the city data cannot be read.
pub fn client(chance: &mut Chance, cities: &Cities) -> Result<Ipv4Addr> {
    loop {
        let address = Ipv4Addr::from_bits(chance.below(1 << 32) as u32);
        // Loopback and what no host has may not be used as a source.
        let usable =
            !address.is_loopback() && address.octets()[0] < 224 && address.octets()[3] != 255;
        if usable && cities.place(address)?.location.is_some() {
            return Ok(address);
        }
    }
}

fn question(workload: Workload, chance: &mut Chance, cities: &Cities) -> Result<Question> {
    let names = if workload == Workload::Nxdomain { 10_000_000 } else { workload.names() };
    let zones = if workload == Workload::Zones10k { ZONES } else { 1 };
    let (zone, name) = (chance.below(zones as u64), chance.below(names as u64));
    let subnet = if workload.has_subnets() && workload.kind() == Kind::Geo {
        let [a, b, c, _] = client(chance, cities)?.octets();
        Some(Ipv4Addr::new(a, b, c, 0))
    } else {
        None
    };
    Ok(Question { workload, zone: zone as usize, name: name as usize, subnet })
}

/// Numbers that look random, by SplitMix64 (Steele, Lea, Flood 2014).
pub struct Chance(pub u64);

impl Chance {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(end)) >> 64) as u64
    }
}
