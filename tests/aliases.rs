//! Names that are flattened, resolved over loopback from a small DNS server in this process, and
//! answered on the real road. Time is an argument; only the network is real.

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use meridian::daemon::aliases::{Aliases, Standing, store};
use meridian::daemon::load;
use meridian::geo::world::{Fallback, World};
use meridian::health::keeper::Keeper;
use meridian::health::table::Verdict;
use meridian::region::{Family, PoolId};
use support::{Server, ask, lines, shape};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// What the server says of one name and type.
#[derive(Clone)]
enum Says {
    /// This chain ends in these addresses: owner, TTL, alias or address.
    Records(Vec<(&'static str, u32, &'static str)>),
    NxDomain,
    Nodata,
    Servfail,
    /// Nothing at all over UDP but TC; the records over TCP.
    Truncated(Vec<(&'static str, u32, &'static str)>),
    /// No answer, ever.
    Silence,
}

#[derive(Default)]
struct Script {
    says: Mutex<HashMap<(String, RecordType), Says>>,
    asked: Mutex<BTreeMap<String, u32>>,
}

impl Script {
    fn say(&self, name: &str, rtype: RecordType, says: Says) {
        self.says.lock().expect("free").insert((name.to_owned(), rtype), says);
    }

    fn asked(&self) -> u32 {
        self.asked.lock().expect("free").values().sum()
    }

    fn answer(&self, packet: &[u8], is_tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(packet).ok()?;
        let question = query.queries.first()?.clone();
        let name = question.name().to_string().to_lowercase();
        let transport = if is_tcp { "tcp" } else { "udp" };
        *self.asked.lock().ok()?.entry(transport.to_owned()).or_default() += 1;
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        let says = self.says.lock().ok()?.get(&(name, question.query_type())).cloned();
        let records = match says {
            Some(Says::Records(records)) => records,
            Some(Says::Truncated(records)) if is_tcp => records,
            Some(Says::Truncated(_)) => {
                response.metadata.truncation = true;
                Vec::new()
            }
            Some(Says::Servfail) | None => {
                response.metadata.response_code = ResponseCode::ServFail;
                Vec::new()
            }
            Some(Says::NxDomain) => {
                response.metadata.response_code = ResponseCode::NXDomain;
                Vec::new()
            }
            Some(Says::Nodata) => Vec::new(),
            Some(Says::Silence) => return None,
        };
        response.add_query(question);
        for (owner, ttl, rdata) in records {
            let rdata = match rdata.parse() {
                Ok(IpAddr::V4(ip)) => RData::A(A(ip)),
                Ok(IpAddr::V6(ip)) => RData::AAAA(AAAA(ip)),
                Err(_) => RData::CNAME(CNAME(Name::from_ascii(rdata).ok()?)),
            };
            response.add_answer(Record::from_rdata(Name::from_ascii(owner).ok()?, ttl, rdata));
        }
        response.to_vec().ok()
    }
}

/// A resolver on loopback, UDP and TCP on one port.
async fn resolver() -> (SocketAddr, Arc<Script>) {
    let script = Arc::new(Script::default());
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = udp.local_addr().expect("an address");
        if let Ok(tcp) = TcpListener::bind(address).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().expect("an address");
    let of_udp = Arc::clone(&script);
    tokio::spawn(async move {
        let mut packet = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut packet).await {
            if let Some(answer) = of_udp.answer(&packet[..length], false) {
                udp.send_to(&answer, from).await.expect("sent");
            }
        }
    });
    let of_tcp = Arc::clone(&script);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let script = Arc::clone(&of_tcp);
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut packet = vec![0; length.into()];
                    stream.read_exact(&mut packet).await.expect("a query");
                    let Some(answer) = script.answer(&packet, true) else { continue };
                    stream.write_u16(answer.len() as u16).await.expect("written");
                    stream.write_all(&answer).await.expect("written");
                }
            });
        }
    });
    (address, script)
}

const POLICY: &str = r#"
[pool.cdn]
region = "here"
cname  = "edge.cdn.test."
[pool.own]
region  = "here"
members = ["198.51.100.7", "2001:db8::7"]
[record."@"]
policy = "failover"
pools  = ["cdn", "own"]
ttl    = "60s"
https  = { alpn = ["h2"] }
[record."www"]
pools = ["cdn"]
"#;

const ZONE: &str = "
$ORIGIN example.org.
$TTL 1h
@     SOA   ns1 hostmaster 7 2h 30m 14d 5m
@     NS    ns1
@     MX    10 ns1
ns1   A     192.0.2.53
lb    CNAME farm
farm  120 A 192.0.2.9
out   90 CNAME edge.cdn.test.
";

/// Everything of a daemon that matters here.
struct Stage {
    server: Server,
    aliases: Aliases,
    keeper: Keeper,
}

impl Stage {
    fn new(policy: &str, resolver: SocketAddr) -> Self {
        let settings = format!("[aliases]\nresolvers = [\"{resolver}\"]\nmax_stale = \"1h\"\n");
        let mut server = Server::over(
            &[
                ("meridian.toml", &settings),
                ("geo/regions.toml", "[region.here]\n"),
                ("zones/example.org.toml", policy),
                ("zones/example.org.zone", ZONE),
            ],
            |config| World::load::<&str>(&[], &config.networks, Fallback::Embedded).expect("world"),
        );
        let plan = load::plan(&server.config);
        let keeper = Keeper::new(plan, &Default::default(), Vec::new(), Duration::ZERO);
        server.health = keeper.table();
        let mut next = server.reloaded();
        next.health = keeper.table();
        server.publisher.publish(next);
        Self { server, aliases: Aliases::new(7), keeper }
    }

    /// The next process of the same files, `later` seconds after this one wrote down at `now` what
    /// it knew; its clock begins anew.
    fn restarted(&self, now: u64, later: u64, resolver: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let known = self.aliases.known(Duration::from_secs(now));
        store::save(folder.path(), &known, 1_000_000).expect("written");
        let (known, warnings) = store::load(folder.path(), 1_000_000 + later);
        assert_eq!(warnings, Vec::<String>::new());
        let mut next = Self::new(POLICY, resolver);
        next.aliases = Aliases::new(8).remembering(known);
        let snapshot = next.server.publisher.current();
        next.aliases.follow(&snapshot, Duration::ZERO);
        next
    }

    /// Lets the clock stand at `seconds`: what is due is asked, and health is told.
    async fn at(&mut self, seconds: u64) {
        let now = Duration::from_secs(seconds);
        let snapshot = self.server.publisher.current();
        for (key, sample) in self.aliases.turn(&snapshot, now).await {
            self.keeper.observe(&key, &sample, now);
        }
    }

    fn answers(&mut self, name: &str, qtype: &str) -> Vec<String> {
        let mut all = self.server.answers(name, qtype);
        all.sort();
        all
    }

    fn standing(&self, family: Family, now: u64) -> Standing {
        let known = self.aliases.known(Duration::from_secs(now));
        known.iter().find(|known| known.family == family).expect("followed").standing
    }
}

const EDGE: &str = "edge.cdn.test.";

fn v4(address: &'static str, ttl: u32) -> Says {
    Says::Records(vec![(EDGE, ttl, address)])
}

async fn stage() -> (Stage, Arc<Script>) {
    let (address, script) = resolver().await;
    script.say(EDGE, RecordType::A, v4("203.0.113.1", 40));
    script.say(EDGE, RecordType::AAAA, v4("2001:db8:c::1", 40));
    (Stage::new(POLICY, address), script)
}

#[tokio::test]
async fn the_apex_answers_the_addresses_its_name_leads_to() {
    let (mut stage, _script) = stage().await;
    stage.at(0).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 40 A 203.0.113.1"]);
    assert_eq!(stage.answers("example.org", "AAAA"), ["example.org. 40 AAAA 2001:db8:c::1"]);
    let https = stage.answers("example.org", "HTTPS");
    assert!(https[0].contains("203.0.113.1") && https[0].contains("2001:db8:c::1"), "{https:?}");
    // Other data of the apex is untouched, and there is no CNAME to be seen.
    assert_eq!(stage.answers("example.org", "MX"), ["example.org. 3600 MX 10 ns1.example.org."]);
    assert_eq!(stage.answers("example.org", "NS").len(), 1);
    let message = stage.server.ask(&ask("example.org", "CNAME"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
    // Elsewhere the name itself is handed out.
    assert_eq!(stage.answers("www.example.org", "A"), ["www.example.org. 30 CNAME edge.cdn.test."]);
}

#[tokio::test]
async fn before_anything_is_known_nobody_is_told_that_there_is_nothing() {
    let (mut stage, _script) = stage().await;
    let message = stage.server.ask(&ask("example.org", "A"));
    assert_eq!(shape(&message), "SERVFAIL aa 0/0/0");
}

#[tokio::test]
async fn an_answer_lasts_no_longer_than_the_addresses_nor_than_the_record_says() {
    let (mut stage, script) = stage().await;
    stage.at(0).await;
    stage.at(25).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 15 A 203.0.113.1"]);
    script.say(EDGE, RecordType::A, v4("203.0.113.1", 4000));
    stage.at(39).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 60 A 203.0.113.1"]);
}

#[tokio::test]
async fn a_change_of_addresses_is_followed_before_the_ttl_ends() {
    let (mut stage, script) = stage().await;
    stage.at(0).await;
    let asked = script.asked();
    script.say(
        EDGE,
        RecordType::A,
        Says::Records(vec![(EDGE, 40, "203.0.113.2"), (EDGE, 40, "203.0.113.3")]),
    );
    stage.at(20).await;
    assert_eq!(script.asked(), asked, "not yet due");
    stage.at(38).await;
    assert_eq!(
        stage.answers("example.org", "A"),
        ["example.org. 40 A 203.0.113.2", "example.org. 40 A 203.0.113.3"]
    );
}

#[tokio::test]
async fn the_least_ttl_of_the_chain_counts() {
    let (mut stage, script) = stage().await;
    script.say(
        EDGE,
        RecordType::A,
        Says::Records(vec![(EDGE, 17, "far.cdn.test."), ("far.cdn.test.", 300, "203.0.113.8")]),
    );
    stage.at(0).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 17 A 203.0.113.8"]);
}

#[tokio::test]
async fn what_is_truncated_is_asked_again_over_tcp() {
    let (mut stage, script) = stage().await;
    script.say(EDGE, RecordType::A, Says::Truncated(vec![(EDGE, 40, "203.0.113.5")]));
    stage.at(0).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 40 A 203.0.113.5"]);
    assert!(script.asked.lock().expect("free").contains_key("tcp"));
}

#[tokio::test]
async fn while_resolution_fails_the_last_addresses_stay_for_a_while() {
    let (mut stage, script) = stage().await;
    stage.at(0).await;
    script.say(EDGE, RecordType::A, Says::Servfail);
    stage.at(38).await;
    stage.at(100).await;
    assert_eq!(stage.standing(Family::V4, 100), Standing::Stale(Duration::from_secs(60)));
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 30 A 203.0.113.1"]);
    for now in (200..3_600).step_by(300) {
        stage.at(now).await;
        assert_eq!(stage.answers("example.org", "A"), ["example.org. 30 A 203.0.113.1"], "{now}");
    }
    // After `max_stale` they are gone, and the next pool answers.
    for now in [3_700, 3_800, 3_900] {
        stage.at(now).await;
    }
    assert_eq!(stage.standing(Family::V4, 3_900), Standing::Gone);
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 60 A 198.51.100.7"]);
    script.say(EDGE, RecordType::A, v4("203.0.113.1", 40));
    stage.at(4_000).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 40 A 203.0.113.1"]);
}

#[tokio::test]
async fn a_name_that_is_gone_is_believed_the_third_time() {
    let (mut stage, script) = stage().await;
    stage.at(0).await;
    script.say(EDGE, RecordType::A, Says::NxDomain);
    script.say(EDGE, RecordType::AAAA, Says::NxDomain);
    for now in [38, 40] {
        stage.at(now).await;
        assert_eq!(stage.answers("example.org", "A").len(), 1);
        assert!(stage.answers("example.org", "A")[0].ends_with("203.0.113.1"), "{now}");
    }
    stage.at(42).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 60 A 198.51.100.7"]);
    assert_eq!(stage.answers("example.org", "AAAA"), ["example.org. 60 AAAA 2001:db8::7"]);
}

#[tokio::test]
async fn a_family_the_name_does_not_have_is_answered_by_the_next_pool() {
    let (mut stage, script) = stage().await;
    script.say(EDGE, RecordType::AAAA, Says::Nodata);
    for now in [0, 2, 4] {
        stage.at(now).await;
    }
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 36 A 203.0.113.1"]);
    assert_eq!(stage.answers("example.org", "AAAA"), ["example.org. 60 AAAA 2001:db8::7"]);
}

#[tokio::test]
async fn a_name_that_never_resolves_leaves_its_clients_to_others() {
    let (mut stage, script) = stage().await;
    script.say(EDGE, RecordType::A, Says::Servfail);
    for now in [0, 10, 20] {
        stage.at(now).await;
    }
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 60 A 198.51.100.7"]);
}

/// The clock of the resolver's timeouts is held: it goes on when nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn a_resolver_that_is_silent_is_no_answer_and_leaves_clients_to_others() {
    let (mut stage, script) = stage().await;
    for rtype in [RecordType::A, RecordType::AAAA] {
        script.say(EDGE, rtype, Says::Silence);
    }
    let begun = tokio::time::Instant::now();
    stage.at(0).await;
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(3), "it was waited for: {waited:?}");
    assert!(waited <= Duration::from_secs(30), "and given up: {waited:?}");
    assert!(script.asked() > 2, "both families were asked for more than once");
    assert_eq!(shape(&stage.server.ask(&ask("example.org", "A"))), "SERVFAIL aa 0/0/0");
    for now in [10, 20] {
        stage.at(now).await;
    }
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 60 A 198.51.100.7"]);
    assert_eq!(stage.aliases.known(Duration::from_secs(20))[0].failures, 3);
}

#[tokio::test(start_paused = true)]
async fn while_the_resolver_is_silent_the_last_addresses_stay() {
    let (mut stage, script) = stage().await;
    stage.at(0).await;
    script.say(EDGE, RecordType::A, Says::Silence);
    for now in [38, 100, 1_000] {
        stage.at(now).await;
        let answers = stage.answers("example.org", "A");
        assert!(answers[0].ends_with(" A 203.0.113.1"), "{now}: {answers:?}");
    }
    assert_eq!(stage.standing(Family::V4, 1_000), Standing::Stale(Duration::from_secs(960)));
}

#[tokio::test]
async fn the_last_addresses_outlive_a_restart_while_nothing_can_be_resolved() {
    let (mut stage, _script) = stage().await;
    stage.at(0).await;
    let (dead, script) = resolver().await;
    let mut next = stage.restarted(10, 100, dead);
    // Before anybody was asked: 30 s were left, and 100 have passed.
    assert_eq!(next.standing(Family::V4, 0), Standing::Stale(Duration::from_secs(70)));
    assert_eq!(next.answers("example.org", "A"), ["example.org. 30 A 203.0.113.1"]);
    assert_eq!(next.answers("example.org", "AAAA"), ["example.org. 30 AAAA 2001:db8:c::1"]);
    // Nor while the resolver has nothing but SERVFAIL to say.
    for now in [0, 600] {
        next.at(now).await;
        assert_eq!(next.answers("example.org", "A"), ["example.org. 30 A 203.0.113.1"], "{now}");
    }
    assert!(script.asked() > 0);
    // The hour of `max_stale` counts over all processes.
    let mut third = next.restarted(600, 1_000, dead);
    third.at(0).await;
    assert_eq!(third.standing(Family::V4, 0), Standing::Stale(Duration::from_secs(1_670)));
    for now in [2_000, 2_100, 2_200] {
        third.at(now).await;
    }
    assert_eq!(third.standing(Family::V4, 2_200), Standing::Gone);
    assert_eq!(third.answers("example.org", "A"), ["example.org. 60 A 198.51.100.7"]);
    script.say(EDGE, RecordType::A, v4("203.0.113.9", 40));
    third.at(2_300).await;
    assert_eq!(third.answers("example.org", "A"), ["example.org. 40 A 203.0.113.9"]);
}

#[tokio::test]
async fn what_is_still_good_after_a_restart_lasts_no_longer_than_it_would_have() {
    let (mut stage, script) = stage().await;
    stage.at(0).await;
    let (dead, _) = resolver().await;
    let mut next = stage.restarted(10, 5, dead);
    assert_eq!(next.answers("example.org", "A"), ["example.org. 25 A 203.0.113.1"]);
    // A name that has moved on meanwhile is followed with the first answer.
    let (alive, fresh) = resolver().await;
    fresh.say(EDGE, RecordType::A, v4("203.0.113.2", 40));
    let mut moved = stage.restarted(10, 5, alive);
    moved.at(0).await;
    assert_eq!(moved.answers("example.org", "A"), ["example.org. 40 A 203.0.113.2"]);
    assert!(script.asked() > 0);
}

#[tokio::test]
async fn a_name_of_our_own_is_looked_up_without_the_network() {
    let (address, script) = resolver().await;
    let policy = "[pool.a]\nregion = \"here\"\ncname = \"lb\"\n[record.\"@\"]\npools = [\"a\"]\n\
                  ttl = \"10m\"\n";
    let mut stage = Stage::new(policy, address);
    stage.at(0).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 120 A 192.0.2.9"]);
    assert_eq!(script.asked(), 0);
}

#[tokio::test]
async fn a_name_of_our_own_that_leads_away_is_followed_from_there() {
    let (address, script) = resolver().await;
    script.say(EDGE, RecordType::A, v4("203.0.113.1", 4000));
    let policy = "[pool.a]\nregion = \"here\"\ncname = \"out\"\n[record.\"@\"]\npools = [\"a\"]\n\
                  ttl = \"10m\"\n";
    let mut stage = Stage::new(policy, address);
    stage.at(0).await;
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 90 A 203.0.113.1"]);
}

#[tokio::test]
async fn a_name_can_be_flattened_anywhere_beside_other_data() {
    let (address, script) = resolver().await;
    script.say(EDGE, RecordType::A, v4("203.0.113.1", 40));
    let policy = POLICY.replace("[record.\"www\"]", "[record.\"ns1\"]\nflatten = true");
    let mut stage = Stage::new(&policy, address);
    stage.at(0).await;
    assert_eq!(stage.answers("ns1.example.org", "A"), ["ns1.example.org. 30 A 203.0.113.1"]);
}

#[tokio::test]
async fn what_is_known_outlives_a_reload() {
    let (mut stage, _script) = stage().await;
    stage.at(0).await;
    let next = stage.server.reloaded();
    stage.server.publisher.publish(next);
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 40 A 203.0.113.1"]);
}

#[tokio::test]
async fn several_pools_are_answered_in_one_answer() {
    let (address, script) = resolver().await;
    script.say(EDGE, RecordType::A, v4("203.0.113.1", 40));
    let policy = POLICY.replace("ttl    = \"60s\"", "answers = 2");
    let mut stage = Stage::new(&policy, address);
    stage.at(0).await;
    let message = stage.server.ask(&ask("example.org", "A"));
    assert_eq!(
        lines(&message.answers),
        ["example.org. 30 A 203.0.113.1", "example.org. 30 A 198.51.100.7"]
    );
    // Drained, it is out as any other.
    stage.server.set(PoolId(0), Verdict::Draining);
    assert_eq!(stage.answers("example.org", "A"), ["example.org. 30 A 198.51.100.7"]);
}
