//! Every kind of probe against real servers on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meridian::health::sample::{AgentWord, Reason, TlsFault};
use meridian::probe::ask::{Ask, Asker, Roots};
use meridian::probe::load::LoadSource;
use meridian::probe::monitor::{
    Agent, Auth, Check, CheckTarget, Dns, FamilyChoice, Grpc, HeaderExpect, Http, HttpExpect,
    JsonExpect, Kind, Monitor, Push, Stale, Step, Tcp, Tls, Versions, Way,
};
use meridian::probe::pattern::{Pattern, Place};
use meridian::probe::push::{Board, Told};
use meridian::probe::trace::Trace;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};

use crate::probes::{ask, check, over, secure, traced, web};
use crate::servers::{Answer, Ca, Server, http};

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

fn nobody() -> Roots {
    Roots::Only(Vec::new())
}

/// A server of whatever protocol, which ends with the test.
async fn serving<F>(serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

fn answer(head: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Bytes(
        format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {length}\r\n\r\n{body}").into_bytes(),
    )
}

// --- HTTP ----------------------------------------------------------------------------------

#[tokio::test]
async fn method_headers_body_and_credentials_are_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "open sesame\n").expect("written");
    let file: Box<str> = file.to_string_lossy().into();
    let server = Server::plain(http(200, "")).await;
    let monitor = Http {
        method: "POST".into(),
        headers: vec![("x-probe".into(), "1".into()), ("user-agent".into(), "other".into())],
        send: Some("ping".into()),
        auth: Some(Auth::Basic { user: "ops".into(), password_file: file.clone() }),
        ..web()
    };
    assert_eq!(ask(over(monitor.clone()), server.address).await, Ok(()));
    let head = server.seen()[0].head.to_ascii_lowercase();
    assert!(head.starts_with("post /readyz?deep=1 http/1.1\r\n"), "{head}");
    for line in ["x-probe: 1", "user-agent: other", "content-length: 4", "connection: close"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    // "ops:open sesame", without the end of the line.
    assert!(head.contains("authorization: basic b3bzom9wzw4gc2vzyw1l\r\n"), "{head}");
    let bearer = Http { auth: Some(Auth::Bearer { file }), ..web() };
    assert_eq!(ask(over(bearer), server.address).await, Ok(()));
    assert!(server.seen()[1].head.contains("Bearer open sesame\r\n"), "{:?}", server.seen()[1]);
    let gone = Auth::Bearer { file: "/nonexistent/token".into() };
    let unread = ask(over(Http { auth: Some(gone), ..web() }), server.address).await;
    assert_eq!(unread, Err(Reason::Local), "that is the prober's own fault");
}

#[tokio::test]
async fn bodies_and_headers_are_looked_at() {
    let server = Server::plain(answer(
        "Content-Type: application/json\r\nX-Mode: live\r\n",
        r#"{"status":"ok","parts":[{"name":"db","lag":3}]}"#,
    ))
    .await;
    let usual = HttpExpect::default;
    let json = |path: &str, equals: Option<&str>| HttpExpect {
        json: vec![JsonExpect {
            place: Place::new(path).expect("a path"),
            equals: equals.map(Into::into),
        }],
        ..usual()
    };
    let header = |name: &str, text: &str, not| HttpExpect {
        headers: vec![HeaderExpect { name: name.into(), pattern: pattern(text), not }],
        ..usual()
    };
    for (expect, expected) in [
        (HttpExpect { matches: vec![pattern("\"lag\":[0-5]\\b")], ..usual() }, Ok(())),
        (HttpExpect { matches: vec![pattern("\"lag\":[6-9]")], ..usual() }, Err(Reason::Body)),
        (HttpExpect { matches_not: vec![pattern("error")], ..usual() }, Ok(())),
        (HttpExpect { matches_not: vec![pattern("(?i)STATUS")], ..usual() }, Err(Reason::Body)),
        (json("$.status", Some("\"ok\"")), Ok(())),
        (json("$.status", Some("\"bad\"")), Err(Reason::Body)),
        (json("$.parts[?@.name=='db'].lag", Some("3")), Ok(())),
        (json("$.parts[0].name", None), Ok(())),
        (json("$.parts[1].name", None), Err(Reason::Body)),
        (header("x-mode", "^live$", false), Ok(())),
        (header("x-mode", "^test$", false), Err(Reason::Header)),
        (header("x-other", "", false), Err(Reason::Header)),
        (header("x-mode", "^live$", true), Err(Reason::Header)),
        (header("x-other", "", true), Ok(())),
        (HttpExpect { tls: Some(false), ..usual() }, Ok(())),
        (HttpExpect { tls: Some(true), ..usual() }, Err(Reason::Protocol)),
    ] {
        let monitor = Http { expect: expect.clone(), ..web() };
        assert_eq!(ask(over(monitor), server.address).await, expected, "{expect:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_within_the_bound() {
    let last = Server::plain(http(200, "there")).await;
    let to = |address: SocketAddr, path: &str| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://{address}{path}\r\n");
        Answer::Bytes(format!("{head}Content-Length: 0\r\n\r\n").into_bytes())
    };
    let middle = Server::plain(to(last.address, "/end?x")).await;
    let first = Server::plain(to(middle.address, "/middle")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "secret").expect("written");
    let auth = Some(Auth::Bearer { file: file.to_string_lossy().into() });
    let following = |redirects| Http {
        redirects,
        auth: auth.clone(),
        expect: HttpExpect { body: Some("there".into()), ..HttpExpect::default() },
        ..web()
    };
    let (outcome, trace) = traced(nobody(), &check(over(following(2)), first.address)).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(trace.http.map(|http| (http.status, http.redirects)), Some((200, 2)));
    assert!(first.seen()[0].head.contains("Bearer secret"));
    let head = &last.seen()[0].head;
    assert!(head.starts_with("GET /end?x HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains(&format!("host: {}\r\n", last.address)), "{head}");
    assert!(!head.contains("secret"), "another host sees no credentials: {head}");
    assert_eq!(ask(over(following(1)), first.address).await, Err(Reason::Redirect));
    let nowhere = b"HTTP/1.1 301 Gone\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n".to_vec();
    let nowhere = Server::plain(Answer::Bytes(nowhere)).await;
    assert_eq!(ask(over(following(1)), nowhere.address).await, Err(Reason::Redirect));
    let circle = Server::plain(answer("", "")).await;
    assert_eq!(ask(over(following(0)), circle.address).await, Err(Reason::Body));
}

/// Answers HTTP/2 and HTTP/1.1, as it is asked, in clear.
async fn both_versions() -> SocketAddr {
    serving(|stream| async move {
        let answer = service_fn(|request: Request<hyper::body::Incoming>| async move {
            let text = format!("{} {:?}", request.uri(), request.version());
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
        });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
    })
    .await
}

#[tokio::test]
async fn versions_are_offered_and_accepted_as_written() {
    let address = both_versions().await;
    let of = |http10, http11, http2| Versions { http10, http11, http2 };
    let asked = async |versions| {
        let expect = HttpExpect { body: Some("HTTP".into()), ..HttpExpect::default() };
        let monitor = Http { versions, expect, ..web() };
        let (outcome, trace) = traced(nobody(), &check(over(monitor), address)).await;
        (outcome, String::from_utf8(trace.text).expect("text"))
    };
    let (outcome, text) = asked(of(false, false, true)).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(text, "http://www.example.org/readyz?deep=1 HTTP/2.0");
    let (outcome, text) = asked(of(true, true, true)).await;
    assert_eq!((outcome, &*text), (Ok(()), "/readyz?deep=1 HTTP/1.1"));
    let old = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let old = Server::plain(Answer::Bytes(old)).await;
    let strict = Http { versions: of(false, true, false), ..web() };
    assert_eq!(ask(over(strict), old.address).await, Err(Reason::Version));
    assert_eq!(ask(over(web()), old.address).await, Ok(()));
}

#[tokio::test]
async fn phases_add_up_and_days_are_told() {
    let ca = Ca::new("ours");
    let server = Server::tls(http(200, "ok"), ca.server("www.example.org", 2999)).await;
    let roots = || Roots::Only(vec![ca.der.clone()]);
    let begun = std::time::Instant::now();
    let (outcome, trace) = traced(roots(), &check(over(secure()), server.address)).await;
    assert_eq!(outcome, Ok(()));
    let phases = trace.facts.phases;
    assert!(phases.connect_us > 0 && phases.tls_us > 0 && phases.first_byte_us > 0, "{phases:?}");
    let sum = u64::from(phases.connect_us + phases.tls_us + phases.first_byte_us);
    assert!(Duration::from_micros(sum) <= begun.elapsed(), "{phases:?}");
    assert_eq!(phases.resolve_us, 0, "an address is not resolved");
    assert_eq!(trace.facts.certificate_days, Some(i16::MAX), "some centuries");
    let tls = trace.tls.expect("a session");
    assert_eq!((tls.version, tls.alpn.as_deref()), ("TLS 1.3", None), "this server offers no ALPN");
}

#[tokio::test]
async fn a_certificate_must_last_as_long_as_is_asked() {
    let ca = Ca::new("ours");
    let year = 1970 + (std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() / 31_556_952);
    let next = i32::try_from(year).expect("a year") + 1;
    let server = Server::tls(http(200, "ok"), ca.server("www.example.org", next)).await;
    for (least, expected) in [(None, Ok(())), (Some(400), Err(Reason::Tls(TlsFault::EndsSoon)))] {
        let tls = Tls { certificate_days: least, ..Tls::default() };
        let of_http = over(Http { tls: Some(tls.clone()), ..web() });
        let tls = Tls { server_name: Some("www.example.org".into()), ..tls };
        let of_tls = Kind::Tcp(Tcp { tls, tls_first: true, dialogue: Vec::new() });
        for kind in [of_http, of_tls] {
            let roots = Roots::Only(vec![ca.der.clone()]);
            let (outcome, trace) = traced(roots, &check(kind, server.address)).await;
            assert_eq!(outcome, expected);
            let days = trace.facts.certificate_days.expect("a certificate");
            assert!((0..=366).contains(&days), "{days}");
        }
    }
}

#[tokio::test]
async fn a_file_of_trusted_certificates_is_read_again_when_it_changes() {
    let (ca, other) = (Ca::new("ours"), Ca::new("theirs"));
    let server = Server::tls(http(200, "ok"), ca.server("www.example.org", 2999)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    let write = |ca: &Ca, age: u64| {
        use base64::Engine;
        let text = base64::prelude::BASE64_STANDARD.encode(&ca.der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, pem).expect("written");
        let handle = std::fs::File::options().write(true).open(&file).expect("opened");
        let then = std::time::SystemTime::now() - Duration::from_secs(age);
        handle.set_modified(then).expect("its age set");
    };
    let ca_file = Some(file.to_string_lossy().into());
    let monitor = Http { tls: Some(Tls { ca_file, ..Tls::default() }), ..web() };
    let check = check(over(monitor), server.address);
    let asker = Asker::new(nobody(), Arc::default());
    let mut trace = Trace::default();
    write(&other, 100);
    let unknown = Err(Reason::Tls(TlsFault::UnknownIssuer));
    assert_eq!(asker.ask(&check, &mut trace).await, unknown);
    write(&ca, 50);
    assert_eq!(asker.ask(&check, &mut trace).await, Ok(()));
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(asker.ask(&check, &mut trace).await, Err(Reason::Tls(TlsFault::NoRoots)));
}

#[tokio::test]
async fn load_is_a_fact_beside_the_outcome() {
    let head = "Endpoint-Load-Metrics: TEXT cpu_utilization=0.35,rps_fractional=100,eps=3\r\n";
    let server = Server::plain(answer(head, r#"{"load": 0.8}"#)).await;
    let json = LoadSource::Json { load: "/load".into(), errors: None, full: 1.0 };
    for (source, expected) in [
        (LoadSource::Orca, (Some(350), Some(30))),
        (json, (Some(800), None)),
        (LoadSource::Nginx { limit: 10 }, (None, None)),
    ] {
        let monitor = Http { load: Some(source), ..web() };
        let (outcome, trace) = traced(nobody(), &check(over(monitor), server.address)).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!((trace.facts.load, trace.facts.errors), expected);
    }
}

// --- TCP and TLS ---------------------------------------------------------------------------

#[tokio::test]
async fn a_dialogue_is_held_line_by_line() {
    let address = serving(|mut stream| async move {
        let _ = stream.write_all(b"* one\r\n220 mail.example.org ESMTP\r\n").await;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
            let said = std::mem::take(&mut line);
            let answer = match said.trim_end().split_once(' ') {
                Some(("EHLO", name)) => format!("250-hello {name}\r\n250 STARTTLS\r\n"),
                _ => "500 what\r\n".to_owned(),
            };
            if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let dialogue = |steps: Vec<Step>| Kind::Tcp(Tcp { dialogue: steps, ..Tcp::default() });
    let greeting = || Step::Expect(pattern("^220 (?P<name>[a-z.]+) "));
    let good = vec![
        greeting(),
        Step::Send("EHLO ${name}\r\n".into()),
        Step::Expect(pattern("^250-hello mail\\.example\\.org$")),
        Step::Expect(pattern("^250 STARTTLS$")),
    ];
    assert_eq!(ask(dialogue(good), address).await, Ok(()));
    let server = Server::plain(Answer::Greet(b"554 go away\r\n".to_vec())).await;
    let end = vec![greeting()];
    // It says its one line and then waits for a request, so the prober's patience ends it.
    let check = check(dialogue(end), server.address);
    let asker = Asker::new(nobody(), Arc::default());
    let mut trace = Trace::default();
    let patience = Duration::from_millis(200);
    let asked = tokio::time::timeout(patience, asker.ask(&check, &mut trace)).await;
    assert!(asked.is_err(), "{asked:?}");
    assert_eq!(trace.text, b"554 go away\n", "what was heard is kept");
    let closing = serving(|mut stream| async move {
        let _ = stream.write_all(b"554 go away").await;
    })
    .await;
    assert_eq!(ask(dialogue(vec![greeting()]), closing).await, Err(Reason::Dialogue));
}

#[tokio::test]
async fn tls_begins_where_the_dialogue_says() {
    let ca = Ca::new("ours");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(ca.server("mail.example.org", 2999)));
    let address = serving(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let _ = stream.write_all(b"220 ready\r\n").await;
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            let _ = reader.read_line(&mut line).await;
            let _ = reader.get_mut().write_all(b"220 go ahead\r\n").await;
            let Ok(mut stream) = acceptor.accept(reader.into_inner()).await else { return };
            let _ = stream.write_all(b"250 within\r\n").await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let steps = vec![
        Step::Expect(pattern("^220 ready")),
        Step::Send("STARTTLS\r\n".into()),
        Step::Expect(pattern("^220 ")),
        Step::StartTls,
        Step::Expect(pattern("^250 within")),
    ];
    for (name, expected) in
        [("mail.example.org", Ok(())), ("www.example.org", Err(Reason::Tls(TlsFault::WrongName)))]
    {
        let tls = Tls { server_name: Some(name.into()), ..Tls::default() };
        let kind = Kind::Tcp(Tcp { tls, tls_first: false, dialogue: steps.clone() });
        let roots = Roots::Only(vec![ca.der.clone()]);
        assert_eq!(traced(roots, &check(kind, address)).await.0, expected, "{name}");
    }
}

#[tokio::test]
async fn an_agents_word_is_taken() {
    for (line, expected, word, weight) in [
        ("75%\n", Ok(()), None, Some(75)),
        ("up drain 50%\r\n", Ok(()), Some(AgentWord::Drain), Some(50)),
        ("maint", Ok(()), Some(AgentWord::Maint), None),
        ("fail#disk full\n", Err(Reason::Said), Some(AgentWord::Down), None),
        ("HTTP/1.1 400 Bad Request\r\n", Err(Reason::Protocol), None, None),
        ("", Err(Reason::Protocol), None, None),
    ] {
        let address = serving(move |mut stream| async move {
            let _ = stream.write_all(line.as_bytes()).await;
        })
        .await;
        let kind = Kind::Agent(Agent { send: None });
        let (outcome, trace) = traced(nobody(), &check(kind, address)).await;
        assert_eq!(outcome, expected, "{line:?}");
        assert_eq!((trace.facts.agent, trace.facts.weight), (word, weight), "{line:?}");
    }
    let asked = serving(|stream| async move {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let _ = stream.read_line(&mut line).await;
        let _ = stream.get_mut().write_all(if line == "web\n" { b"up" } else { b"no" }).await;
    })
    .await;
    let kind = Kind::Agent(Agent { send: Some("web\n".into()) });
    assert_eq!(ask(kind, asked).await, Ok(()));
}

// --- DNS -----------------------------------------------------------------------------------

fn dns() -> Dns {
    Dns {
        name: "www.example.org.".into(),
        rtype: "A".into(),
        tcp: false,
        recursion: false,
        rcodes: vec![0],
        authoritative: true,
        answer: vec![pattern("192\\.0\\.2\\.1$")],
        answer_not: Vec::new(),
    }
}

/// Answers A with 192.0.2.1, authoritatively; names below `nx.` with NXDOMAIN.
fn dns_answer(query: &[u8]) -> Vec<u8> {
    use hickory_proto::op::{Message, ResponseCode};
    use hickory_proto::rr::{RData, Record};
    let mut message = Message::from_vec(query).expect("a query").into_response();
    let name = message.queries[0].name().clone();
    message.metadata.authoritative = !message.metadata.recursion_desired;
    if name.to_string().starts_with("nx.") {
        message.metadata.response_code = ResponseCode::NXDomain;
    } else {
        let address = "192.0.2.1".parse().expect("an address");
        message.add_answer(Record::from_rdata(name, 60, RData::A(address)));
    }
    message.to_vec().expect("an answer")
}

#[tokio::test]
async fn dns_answers_are_judged() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let listener = TcpListener::bind(address).await.expect("the same port");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let answer = dns_answer(&buffer[..length]);
            // Somebody who guesses: another ID first.
            let mut forged = answer.clone();
            forged[0] ^= 1;
            let _ = socket.send_to(&forged, from).await;
            let _ = socket.send_to(b"junk", from).await;
            let _ = socket.send_to(&answer, from).await;
        }
    });
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut query = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = dns_answer(&query);
            let length = (answer.len() as u16).to_be_bytes();
            stream.write_all(&[&length, &*answer].concat()).await.expect("written");
        }
    });
    for (kind, expected) in [
        (dns(), Ok(())),
        (Dns { tcp: true, ..dns() }, Ok(())),
        (Dns { name: "nx.example.org.".into(), ..dns() }, Err(Reason::Rcode(3))),
        (
            Dns { name: "nx.example.org.".into(), rcodes: vec![3], answer: Vec::new(), ..dns() },
            Ok(()),
        ),
        (Dns { recursion: true, ..dns() }, Err(Reason::Records)),
        (Dns { recursion: true, authoritative: false, ..dns() }, Ok(())),
        (Dns { answer: vec![pattern("203\\.0")], ..dns() }, Err(Reason::Records)),
        (Dns { answer_not: vec![pattern("192\\.0")], ..dns() }, Err(Reason::Records)),
    ] {
        let shown = format!("{kind:?}");
        let (outcome, trace) = traced(nobody(), &check(Kind::Dns(kind), address)).await;
        assert_eq!(outcome, expected, "{shown}");
        assert!(trace.dns.is_some() && trace.facts.phases.first_byte_us > 0, "{shown}");
    }
    let unused = UdpSocket::bind("127.0.0.1:0").await.expect("a port").local_addr();
    let refused = ask(Kind::Dns(dns()), unused.expect("an address")).await;
    assert_eq!(refused, Err(Reason::Refused), "ICMP tells");
}

// --- gRPC ----------------------------------------------------------------------------------

/// A health service that knows "web" (SERVING) and "api" (NOT_SERVING).
async fn grpc_answer(
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Frames>, hyper::Error> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let body = request.into_body().collect().await?.to_bytes();
    let (status, grpc) = match &body[5..] {
        b"" | b"\x0a\x03web" => (Some(1), "0"),
        b"\x0a\x03api" => (Some(2), "0"),
        _ => (None, "5"),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", grpc.parse().expect("a value"));
    let message = status.map(|status| Bytes::from(vec![0, 0, 0, 0, 2, 8, status]));
    let frames = message.map(Frame::data).into_iter().chain([Frame::trailers(trailers)]);
    let frames: Vec<Result<_, std::convert::Infallible>> = frames.map(Ok).collect();
    Ok(Response::new(Frames(frames.into_iter())))
}

/// Frames that are all there at once.
struct Frames(std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn only_a_service_that_serves_is_up() {
    let address = serving(|stream| async move {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), service_fn(grpc_answer)).await;
    })
    .await;
    for (service, expected) in
        [("", Ok(())), ("web", Ok(())), ("api", Err(Reason::Said)), ("other", Err(Reason::Grpc(5)))]
    {
        let kind = Kind::Grpc(Grpc { service: service.into(), host: None, tls: None });
        assert_eq!(ask(kind, address).await, expected, "{service:?}");
    }
    let plain = Server::plain(http(200, "")).await;
    let kind = Kind::Grpc(Grpc { service: "".into(), host: None, tls: None });
    let asked = ask(kind, plain.address).await;
    assert!(matches!(asked, Err(Reason::Protocol | Reason::Reset)), "{asked:?}");
}

// --- Push ----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_report_holds_for_its_time() {
    let board = Arc::new(Board::default());
    let asker = Asker::new(nobody(), Arc::clone(&board));
    let address = SocketAddr::from(([192, 0, 2, 1], 0));
    let of = |stale| check(Kind::Push(Push { stale }), address);
    let (down, keep) = (of(Stale::Down), of(Stale::Keep));
    let mut trace = Trace::default();
    let told = |up| Told { up, load: Some(700), errors: None, weight: None, why: None };
    assert!(board.tell(&down.key, told(true), Duration::from_secs(30)).is_err(), "no such check");
    asker.prepare(std::slice::from_ref(&down));
    assert_eq!(asker.ask(&down, &mut trace).await, Err(Reason::Unreported), "not yet");
    assert!(!Reason::Unreported.is_evidence());
    board.tell(&down.key, told(true), Duration::from_secs(30)).expect("a check");
    assert_eq!(asker.ask(&down, &mut trace).await, Ok(()));
    assert_eq!(trace.facts.load, Some(700));
    board.tell(&down.key, told(false), Duration::from_secs(30)).expect("a check");
    assert_eq!(asker.ask(&down, &mut trace).await, Err(Reason::Said));
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(asker.ask(&down, &mut trace).await, Err(Reason::Stale));
    assert_eq!(asker.ask(&keep, &mut trace).await, Err(Reason::Unreported));
}

// --- The way there -------------------------------------------------------------------------

#[tokio::test]
async fn names_are_asked_at_the_family_that_is_chosen() {
    let server = Server::plain(http(200, "")).await;
    let asked = async |family| {
        let of = check(over(web()), server.address);
        let way = Way { family, ..Way::default() };
        let monitor = Monitor { way, ..(*of.monitor).clone() };
        let target = CheckTarget::Host("localhost".into(), server.address.port());
        let check = Check { monitor: Arc::new(monitor), target, ..of };
        traced(nobody(), &check).await
    };
    let (outcome, trace) = asked(FamilyChoice::V4).await;
    assert_eq!((outcome, trace.address), (Ok(()), Some(server.address)));
    assert!(trace.facts.phases.resolve_us > 0);
    let (outcome, trace) = asked(FamilyChoice::V6).await;
    assert!(outcome.is_err(), "nobody listens at ::1");
    assert!(trace.address.is_none_or(|address| address.is_ipv6()));
}

#[tokio::test]
async fn probes_come_from_the_source_that_is_chosen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let of = check(Kind::Tcp(Tcp::default()), address);
    let asked = async |source: [u8; 4]| {
        let way = Way { source_v4: Some(source.into()), ..Way::default() };
        let monitor = Monitor { way, ..(*of.monitor).clone() };
        traced(nobody(), &Check { monitor: Arc::new(monitor), ..of.clone() }).await.0
    };
    assert_eq!(asked([127, 0, 0, 77]).await, Ok(()));
    let (_, from) = listener.accept().await.expect("a connection");
    assert_eq!(from.ip().to_string(), "127.0.0.77");
    assert_eq!(asked([192, 0, 2, 77]).await, Err(Reason::Local), "not ours to ask from");
}
