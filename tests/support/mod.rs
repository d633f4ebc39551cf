//! A server in one process: files in, answers out, no socket and no clock.
//!
//! Tests write the files an operator would write; health is set by hand.

#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod tls;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use meridian::config::{self, Config, assemble};
use meridian::geo::world::{Fallback, World};
use meridian::health::table::{HealthTable, PoolWord, Sight, Verdict};
use meridian::region::{AreaId, Family, PoolId, Target};
use meridian::server::stats::Stats;
use meridian::server::worker::Worker;
use meridian::server::{Answer, Transport};
use meridian::snapshot::{Publisher, Snapshot};
use meridian::steer::dials::Dials;
use meridian::steer::tally::Tallies;

/// A server whose files and health a test controls.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) health: Arc<HealthTable>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) publisher: Publisher,
    pub(crate) worker: Worker,
    /// Time since the server began, and as no clock says otherwise, since 1970.
    pub(crate) now: Duration,
    _folder: tempfile::TempDir,
}

/// A question, as a client asks it.
#[derive(Clone)]
pub(crate) struct Ask {
    packet: Vec<u8>,
    additional: Vec<u8>,
    client: IpAddr,
    transport: Transport,
}

impl Server {
    /// A server over these files (path, content); everything is healthy. The embedded country
    /// data says where clients are, unless `world` is given.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::over(files, |config| {
            World::load::<&str>(&[], &config.networks, Fallback::Embedded).expect("a world")
        })
    }

    /// As [`Server::new`], over another world.
    pub(crate) fn over(files: &[(&str, &str)], world: impl FnOnce(&Config) -> World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        Self::from_folder(folder.path().to_owned().as_path(), folder, world)
    }

    fn from_folder(
        path: &Path,
        folder: tempfile::TempDir,
        world: impl FnOnce(&Config) -> World,
    ) -> Self {
        let loaded = config::load(path, None);
        let faults = meridian::diagnostics::render(&loaded.diagnostics);
        let Some(config) = loaded.config else { panic!("the files are refused:\n{faults}") };
        let health = Arc::new(HealthTable::new(config.pools.len(), config.areas.len()));
        let stats = Arc::new(Stats::new(1));
        let world = Arc::new(world(&config));
        let mut tallies = Tallies::new(1);
        let snapshot = assemble::snapshot(&config, world, Arc::clone(&health), None, &mut tallies)
            .expect("a snapshot");
        let publisher = Publisher::new(snapshot);
        let worker = Worker::new(0, publisher.source(), Arc::clone(&stats), 1);
        let now = Duration::ZERO;
        let server = Self { config, health, stats, publisher, worker, now, _folder: folder };
        let pools = server.config.pools.len() as u32;
        (0..pools).for_each(|pool| server.set(PoolId(pool), Verdict::Up));
        server
    }

    /// The snapshot in use.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.publisher.current()
    }

    /// The same files once more, as after a reload.
    pub(crate) fn reload(&mut self) {
        let before = self.snapshot();
        let (world, health) = (Arc::clone(&before.world), Arc::clone(&self.health));
        let mut tallies = Tallies::new(1);
        let next = assemble::snapshot(&self.config, world, health, Some(&before), &mut tallies);
        self.publisher.publish(next.expect("a snapshot"));
    }

    /// A snapshot of the same files, as a reload makes it.
    pub(crate) fn reloaded(&self) -> meridian::snapshot::Snapshot {
        let current = self.publisher.current();
        let (world, health) = (Arc::clone(&current.world), Arc::clone(&self.health));
        let mut tallies = Tallies::new(1);
        assemble::snapshot(&self.config, world, health, Some(&current), &mut tallies)
            .expect("a snapshot")
    }

    /// Sets the verdict of every pool of a region.
    pub(crate) fn region(&self, name: &str, verdict: Verdict) {
        let mut found = false;
        for (at, pool) in self.config.pools.iter().enumerate() {
            if &*self.config.regions[usize::from(pool.region.0)].name == name {
                self.set(PoolId(at as u32), verdict);
                found = true;
            }
        }
        assert!(found, "no pool in region {name}");
    }

    /// Sets the verdict of one pool, all members alike.
    pub(crate) fn set(&self, pool: PoolId, verdict: Verdict) {
        for family in [Family::V4, Family::V6] {
            let members = match &self.config.pools[pool.0 as usize].target {
                Target::Vips(vips) if family == Family::V4 => vips.v4.len(),
                Target::Vips(vips) => vips.v6.len(),
                _ => 1,
            };
            let live = if verdict.is_eligible() { (1u64 << members) as u32 - 1 } else { 0 };
            let word = PoolWord::new(verdict, PoolWord::KEEP_ALL, live);
            self.health.store_everywhere(pool, family, word);
        }
    }

    /// Sets the share of clients, in percent, that every pool of a region takes.
    pub(crate) fn keep(&self, region: &str, percent: f64) {
        let share = (percent / 100.0 * f64::from(PoolWord::KEEP_ALL)).round() as u16;
        self.change(region, |word| word.with_keep(share));
    }

    /// Sets how soon every pool of a region may change.
    pub(crate) fn sight(&self, region: &str, seconds: u64) {
        self.change(region, |word| word.with_sight(Sight::of(seconds)));
    }

    fn change(&self, region: &str, change: impl Fn(PoolWord) -> PoolWord) {
        for (at, pool) in (0u32..).zip(&self.config.pools) {
            if &*self.config.regions[usize::from(pool.region.0)].name == region {
                for family in [Family::V4, Family::V6] {
                    for area in AreaId::all(self.health.areas()) {
                        let word = self.health.word(PoolId(at), family, area);
                        self.health.store(PoolId(at), family, area, change(word));
                    }
                }
            }
        }
    }

    /// The dials of a record.
    pub(crate) fn dials(&self, owner: &str) -> Arc<Dials> {
        let owner: meridian::wire::name::Name = owner.parse().expect("a name");
        let snapshot = self.publisher.current();
        let mut records = snapshot.catalog.values().flat_map(|served| &served.records);
        let record = records.find(|record| record.owner == owner).expect("a steered name");
        Arc::clone(&record.dials)
    }

    /// Answers octets; empty when nothing is sent back.
    pub(crate) fn answer(
        &mut self,
        packet: &[u8],
        client: IpAddr,
        transport: Transport,
    ) -> Vec<u8> {
        let mut out = vec![0; 65_535];
        self.worker.begin(self.now);
        self.worker.prepare(0, packet);
        let length = self.worker.answer(0, packet, client, transport, &mut out);
        out.truncate(length);
        out
    }

    /// Asks and reads the answer with hickory's decoder.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Message {
        let packet = ask.packet();
        let octets = self.answer(&packet, ask.client, ask.transport);
        Message::from_vec(&octets).unwrap_or_else(|error| panic!("{error}: {octets:02x?}"))
    }

    /// Asks for `name` and `qtype` and gives the answer section as text.
    pub(crate) fn answers(&mut self, name: &str, qtype: &str) -> Vec<String> {
        lines(&self.ask(&ask(name, qtype)).answers)
    }
}

/// A question by a client at 192.0.2.53 over UDP, without EDNS.
pub(crate) fn ask(name: &str, qtype: &str) -> Ask {
    let name: meridian::wire::name::Name = name.parse().expect("a name");
    let qtype: meridian::wire::types::Rtype = qtype.parse().expect("a type");
    let mut packet = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend_from_slice(name.as_wire());
    packet.extend_from_slice(&qtype.0.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    Ask {
        packet,
        additional: Vec::new(),
        client: "192.0.2.53".parse().expect("an address"),
        transport: Transport::Udp,
    }
}

impl Ask {
    /// From this source address.
    pub(crate) fn from(mut self, client: &str) -> Self {
        self.client = client.parse().expect("an address");
        self
    }

    /// In this class.
    pub(crate) fn class(mut self, class: u16) -> Self {
        let at = self.packet.len() - 2;
        self.packet[at..].copy_from_slice(&class.to_be_bytes());
        self
    }

    /// Over TCP.
    pub(crate) fn over_tcp(mut self) -> Self {
        self.transport = Transport::Tcp;
        self
    }

    /// With EDNS: this UDP size and these options.
    pub(crate) fn edns(mut self, udp_size: u16, options: &[u8]) -> Self {
        let [hi, lo] = udp_size.to_be_bytes();
        let [length_hi, length_lo] = (options.len() as u16).to_be_bytes();
        self.additional = vec![0, 0, 41, hi, lo, 0, 0, 0, 0, length_hi, length_lo];
        self.additional.extend_from_slice(options);
        self
    }

    /// With this value of a COOKIE option.
    pub(crate) fn cookie(self, value: &[u8]) -> Self {
        self.edns(1232, &[&[0, 10, 0, value.len() as u8], value].concat())
    }

    /// With a client subnet such as `192.0.2.0/24`.
    pub(crate) fn subnet(self, subnet: &str) -> Self {
        let (address, prefix) = subnet.split_once('/').expect("a subnet");
        let prefix: u8 = prefix.parse().expect("a prefix length");
        let (family, octets) = match address.parse().expect("an address") {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let kept = usize::from(prefix.div_ceil(8));
        let mut option = vec![0, 8, 0, 4 + kept as u8, 0, family, prefix, 0];
        option.extend_from_slice(&octets[..kept]);
        self.edns(1232, &option)
    }

    /// The source address.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// How it is asked.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The octets.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = self.packet.clone();
        packet[11] = u8::from(!self.additional.is_empty());
        packet.extend_from_slice(&self.additional);
        packet
    }
}

/// Records as `owner TTL type rdata`.
pub(crate) fn lines(records: &[hickory_proto::rr::Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| {
            format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
        })
        .collect()
}

/// The scope of the client subnet option in a response; `None` without the option.
pub(crate) fn scope(message: &Message) -> Option<u8> {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
        _ => None,
    }
}

/// The value of the first option with this code in a response, from the octets as hickory kept
/// them; `None` without the option.
pub(crate) fn option(message: &Message, code: u16) -> Option<Vec<u8>> {
    use hickory_proto::rr::rdata::opt::EdnsOption;
    let options = message.edns.as_ref()?.options().as_ref();
    options.iter().find(|(known, _)| u16::from(*known) == code).map(|(_, option)| match option {
        EdnsOption::Unknown(_, value) => value.clone(),
        known => Vec::<u8>::try_from(known).expect("octets"),
    })
}

/// The value of the COOKIE option in a response; `None` without the option.
pub(crate) fn cookie(message: &Message) -> Option<Vec<u8>> {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    match message.edns.as_ref()?.option(EdnsCode::Cookie)? {
        EdnsOption::Unknown(_, value) => Some(value.clone()),
        _ => None,
    }
}

/// The code, AA, and the three sections' sizes, in one line.
pub(crate) fn shape(message: &Message) -> String {
    let flags = if message.metadata.authoritative { "aa" } else { "--" };
    format!(
        "{} {flags} {}/{}/{}",
        code(message),
        message.answers.len(),
        message.authorities.len(),
        message.additionals.len()
    )
}

/// The response code's mnemonic.
pub(crate) fn code(message: &Message) -> &'static str {
    match message.metadata.response_code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::BADVERS => "BADVERS",
        ResponseCode::BADCOOKIE => "BADCOOKIE",
        _ => "another",
    }
}

/// True when the section has a record of this type.
pub(crate) fn has(records: &[hickory_proto::rr::Record], rtype: RecordType) -> bool {
    records.iter().any(|record| record.record_type() == rtype)
}
