//! Probes of real servers on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian::health::keeper::{Event, Keeper};
use meridian::health::persist::Memory;
use meridian::health::sample::{Reason, TlsFault};
use meridian::probe::ask::{Ask, Asker, Roots};
use meridian::probe::monitor::{
    Check, CheckId, CheckTarget, Decider, Http, HttpExpect, Kind, MemberCheck, Monitor, PoolChecks,
    Tcp, Tls, Way,
};
use meridian::probe::schedule::{Limits, Prober};
use meridian::probe::trace::Trace;
use meridian::probe::watch::{Watch, plan};
use meridian::region::{AreaId, Ease, Family, Member, Pool, PoolId, RegionId, Target, Vips};

use crate::servers::{Answer, Ca, Server, http};

const LIMITS: Limits = Limits { concurrency: 64, per_host: 64 };

pub(crate) fn check(kind: Kind, address: SocketAddr) -> Check {
    let monitor = Monitor {
        name: "m".into(),
        kind,
        port: address.port(),
        interval: Duration::from_millis(40),
        fast_interval: Duration::from_millis(20),
        timeout: Duration::from_millis(400),
        rise: 2,
        fall: 2,
        slow_interval: Duration::from_millis(40),
        way: Way::default(),
    };
    let target = CheckTarget::Address(address);
    Check { key: format!("m@{address}").into(), monitor: Arc::new(monitor), target }
}

pub(crate) fn web() -> Http {
    Http { path: "/readyz?deep=1".into(), host: Some("www.example.org".into()), ..Http::default() }
}

/// The same over TLS.
pub(crate) fn secure() -> Http {
    Http { tls: Some(Tls::default()), ..web() }
}

fn lax() -> Http {
    Http { tls: Some(Tls { verify: false, ..Tls::default() }), ..web() }
}

/// The body must hold `text`.
fn holding(text: &str) -> Http {
    let expect = HttpExpect { body: Some(text.into()), ..HttpExpect::default() };
    Http { expect, ..web() }
}

pub(crate) fn over(http: Http) -> Kind {
    Kind::Http(Box::new(http))
}

async fn ask_with(roots: Roots, check: &Check) -> Result<(), Reason> {
    traced(roots, check).await.0
}

/// The outcome of one probe, and what it has come to.
pub(crate) async fn traced(roots: Roots, check: &Check) -> (Result<(), Reason>, Trace) {
    let asker = Asker::new(roots, Arc::default());
    let mut trace = Trace::default();
    let asked = tokio::time::timeout(Duration::from_secs(10), asker.ask(check, &mut trace)).await;
    (asked.unwrap_or(Err(Reason::TimedOut)), trace)
}

pub(crate) async fn ask(kind: Kind, address: SocketAddr) -> Result<(), Reason> {
    ask_with(Roots::Only(Vec::new()), &check(kind, address)).await
}

/// An address that is taken and refuses: bound, but nobody listens.
pub(crate) fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket().expect("IPv4");
    (socket, address)
}

#[tokio::test]
async fn a_port_that_accepts_is_up_and_one_that_refuses_is_not() {
    let server = Server::plain(Answer::Hang).await;
    assert_eq!(ask(Kind::Tcp(Tcp::default()), server.address).await, Ok(()));
    let (_socket, address) = refusing();
    assert_eq!(ask(Kind::Tcp(Tcp::default()), address).await, Err(Reason::Refused));
    assert_eq!(ask(over(web()), address).await, Err(Reason::Refused));
}

#[tokio::test]
async fn a_name_is_resolved_for_each_probe() {
    let server = Server::plain(http(200, "")).await;
    let port = server.address.port();
    let by_name = |name: &str| Check {
        target: CheckTarget::Host(name.into(), port),
        ..check(over(Http { host: None, ..web() }), server.address)
    };
    // localhost may be ::1 first, where nobody listens: either way it was resolved.
    let asked = ask_with(Roots::System, &by_name("127.0.0.1")).await;
    assert_eq!(asked, Ok(()));
    assert!(server.seen()[0].head.contains(&format!("127.0.0.1:{port}")));
    let asked = ask_with(Roots::System, &by_name("no such name")).await;
    assert_eq!(asked, Err(Reason::Resolve));
}

#[tokio::test]
async fn the_request_is_what_the_monitor_says() {
    let server = Server::plain(http(204, "")).await;
    assert_eq!(ask(over(web()), server.address).await, Ok(()));
    let head = server.seen()[0].head.to_ascii_lowercase();
    assert!(head.starts_with("get /readyz?deep=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: www.example.org\r\n"), "{head}");
    assert_eq!(head.matches("host:").count(), 1, "{head}");
    let agent = format!("\r\nuser-agent: meridian/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(head.contains(&agent), "{head}");
}

#[tokio::test]
async fn without_a_host_the_address_is_asked_for() {
    let server = Server::plain(http(200, "")).await;
    let monitor = Http { host: None, ..web() };
    assert_eq!(ask(over(monitor), server.address).await, Ok(()));
    let head = server.seen()[0].head.to_ascii_lowercase();
    assert!(head.contains(&format!("\r\nhost: {}\r\n", server.address)), "{head}");
}

#[tokio::test]
async fn only_expected_statuses_count() {
    for (status, expected) in [
        (200, Ok(())),
        (299, Ok(())),
        (503, Err(Reason::Status(503))),
        (404, Err(Reason::Status(404))),
        (401, Ok(())),
    ] {
        let server = Server::plain(http(status, "")).await;
        let status = vec![200..=299, 401..=401];
        let expect = HttpExpect { status, ..HttpExpect::default() };
        let monitor = Http { expect, ..web() };
        assert_eq!(ask(over(monitor), server.address).await, expected);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::plain(http(200, "")).await;
    let location = other.address;
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n");
    let server = Server::plain(Answer::Bytes(answer.into_bytes())).await;
    assert_eq!(ask(over(web()), server.address).await, Err(Reason::Status(302)));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn the_body_must_hold_the_expected_text() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = format!("{head}5\r\nall i\r\n6\r\ns well\r\n0\r\n\r\n");
    let within = "x".repeat(65_536 - 7) + "is well";
    let beyond = "x".repeat(65_536 - 6) + "is well";
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "y".repeat(300_000));
    for (answer, expected) in [
        (http(200, "all is well"), Ok(())),
        (http(200, "all is lost"), Err(Reason::Body)),
        (http(200, ""), Err(Reason::Body)),
        (Answer::Bytes(chunks.into_bytes()), Ok(())),
        (http(200, &within), Ok(())),
        (http(200, &beyond), Err(Reason::Body)),
        (Answer::Bytes(endless.into_bytes()), Err(Reason::Body)),
        (Answer::Trickle(b"HTTP/1.1 200 OK\r\n\r\nis well".to_vec()), Ok(())),
    ] {
        let server = Server::plain(answer).await;
        let monitor = holding("is well");
        assert_eq!(ask(over(monitor), server.address).await, expected);
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_apart() {
    let server = Server::plain(Answer::Bytes(b"220 smtp.example.org ESMTP\r\n".to_vec())).await;
    assert_eq!(ask(over(web()), server.address).await, Err(Reason::Protocol));
    let server = Server::plain(Answer::Close).await;
    let asked = ask(over(web()), server.address).await;
    assert!(matches!(asked, Err(Reason::Reset | Reason::Protocol)), "{asked:?}");
}

#[tokio::test]
async fn https_keeps_host_and_sni_and_never_resumes() {
    let ca = Ca::new("ours");
    let server = Server::tls(http(200, "ok"), ca.server("www.example.org", 2999)).await;
    let monitor = secure();
    let check = check(over(monitor), server.address);
    let asker = Asker::new(Roots::Only(vec![ca.der.clone()]), Arc::default());
    for _ in 0..3 {
        assert_eq!(asker.ask(&check, &mut Trace::default()).await, Ok(()));
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "a connection for each probe");
    for of in seen {
        assert_eq!(of.sni.as_deref(), Some("www.example.org"));
        assert!(of.head.to_ascii_lowercase().contains("\r\nhost: www.example.org\r\n"));
        assert!(!of.resumed);
    }
}

#[tokio::test]
async fn bad_certificates_fail_with_their_reason() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("theirs"));
    let tls = |fault| Err(Reason::Tls(fault));
    for (config, expected) in [
        (ca.server("www.example.org", 2999), Ok(())),
        (ca.server("*.example.org", 2999), Ok(())),
        (ca.server("other.example.org", 2999), tls(TlsFault::WrongName)),
        (ca.server("www.example.org", 2002), tls(TlsFault::Expired)),
        (stranger.server("www.example.org", 2999), tls(TlsFault::UnknownIssuer)),
    ] {
        let server = Server::tls(http(200, "ok"), config).await;
        let roots = || Roots::Only(vec![ca.der.clone()]);
        let strict = check(over(secure()), server.address);
        assert_eq!(ask_with(roots(), &strict).await, expected);
        let lax = check(over(lax()), server.address);
        assert_eq!(ask_with(roots(), &lax).await, Ok(()), "verify = false takes any");
        assert_eq!(
            server.seen().last().and_then(|of| of.sni.clone()).as_deref(),
            Some("www.example.org")
        );
    }
}

#[tokio::test]
async fn tls_with_nobody_to_trust_or_nobody_who_speaks_it_fails() {
    let ca = Ca::new("ours");
    let server = Server::tls(http(200, "ok"), ca.server("www.example.org", 2999)).await;
    let https = over(secure());
    let without_roots = ask(https.clone(), server.address).await;
    assert_eq!(without_roots, Err(Reason::Tls(TlsFault::NoRoots)));
    let greeting = b"220 smtp.example.org ESMTP\r\n".to_vec();
    let other = Server::plain(Answer::Greet(greeting)).await;
    let roots = Roots::Only(vec![ca.der.clone()]);
    let asked = ask_with(roots, &check(https, other.address)).await;
    assert_eq!(asked, Err(Reason::Tls(TlsFault::Handshake)));
}

/// A pool with one IPv4 member per address, and what watches it.
async fn watched(checks: &[Check]) -> (Prober<Asker>, Arc<Watch>, Events) {
    let member = |check: &Check| match check.target {
        CheckTarget::Address(SocketAddr::V4(address)) => {
            Member { address: *address.ip(), weight: 1 }
        }
        _ => panic!("an IPv4 address"),
    };
    let v4 = checks.iter().map(member).collect();
    let pool = Pool {
        name: "fra".into(),
        origin: "example.org.".parse().expect("a name"),
        region: RegionId(0),
        target: Target::Vips(Vips { v4, v6: Vec::new() }),
        answers: 1,
        ease: Ease::default(),
        capacity: None,
    };
    let members = (0u32..).zip(checks).map(|(at, _)| MemberCheck {
        family: Some(Family::V4),
        member: at as u8,
        check: Some(Decider::Check(CheckId(at))),
    });
    let of = PoolChecks { pool: PoolId(0), members: members.collect() };
    let plan = plan(&[], &[pool], (checks, &[]), &[of]);
    let keeper = Keeper::new(plan, &Memory::new(), Vec::new(), Duration::ZERO);
    let (watch, events) = Watch::new(keeper);
    let asker = Asker::new(Roots::Only(Vec::new()), Arc::default());
    let sink = Arc::clone(&watch) as Arc<dyn meridian::probe::schedule::Sink>;
    let mut prober = Prober::new(asker, sink, LIMITS, Instant::now(), 1);
    prober.update(checks, LIMITS);
    (prober, watch, events)
}

type Events = tokio::sync::mpsc::UnboundedReceiver<Event>;

/// Waits for the pool to be told with this verdict, and gives the reason.
async fn told(events: &mut Events, verdict: &str) -> String {
    let wait = async {
        loop {
            match events.recv().await.expect("the watch lives") {
                Event::Pool { to, why, .. } if to.as_str() == verdict => return why,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("told in time")
}

#[tokio::test]
async fn a_server_that_dies_takes_its_pool_down_and_brings_it_back() {
    let server = Server::plain(http(200, "")).await;
    let address = server.address;
    let checks = [check(over(web()), address)];
    let (_prober, watch, mut events) = watched(&checks).await;
    told(&mut events, "up").await;
    let table = watch.keeper().table();
    assert!(table.word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
    drop(server);
    let why = told(&mut events, "down").await;
    assert!(why.starts_with("down after 2 failures: connection"), "{why}");
    assert!(!table.word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
    let listener = tokio::net::TcpListener::bind(address).await.expect("the same port");
    let back = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    told(&mut events, "up").await;
    assert!(table.word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
    back.abort();
}

#[tokio::test]
async fn a_server_that_hangs_is_told_apart_by_http_and_not_by_tcp() {
    let server = Server::plain(Answer::Hang).await;
    let (_tcp, watch, mut events) =
        watched(&[check(Kind::Tcp(Tcp::default()), server.address)]).await;
    told(&mut events, "up").await;
    assert!(watch.keeper().table().word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
    let (_http, watch, mut events) = watched(&[check(over(web()), server.address)]).await;
    assert_eq!(told(&mut events, "down").await, "down after 2 failures: no answer in time");
    assert!(!watch.keeper().table().word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
    let slow = Server::plain(Answer::Trickle(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).await;
    let monitor = holding("never");
    let (_slow, _, mut events) = watched(&[check(over(monitor), slow.address)]).await;
    assert_eq!(told(&mut events, "down").await, "down after 2 failures: no answer in time");
}

#[tokio::test]
async fn many_targets_share_one_asker_and_each_gets_its_own_requests() {
    let mut servers = Vec::new();
    for number in 0..24u16 {
        servers.push(Server::plain(http(if number % 3 == 0 { 503 } else { 200 }, "")).await);
    }
    let checks: Vec<_> = servers.iter().map(|server| check(over(web()), server.address)).collect();
    let asker = Arc::new(Asker::new(Roots::Only(Vec::new()), Arc::default()));
    let asked = checks.iter().cloned().map(|check| {
        let asker = Arc::clone(&asker);
        tokio::spawn(async move { asker.ask(&check, &mut Trace::default()).await })
    });
    for (number, asked) in asked.collect::<Vec<_>>().into_iter().enumerate() {
        let expected = if number % 3 == 0 { Err(Reason::Status(503)) } else { Ok(()) };
        assert_eq!(asked.await.expect("asked"), expected, "server {number}");
        assert_eq!(servers[number].seen().len(), 1);
    }
}
