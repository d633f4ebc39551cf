//! The real wire: sockets on loopback, the daemon's own loops, and clients that count octets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use meridian::io::{Counters, Identity, Listeners, Running, Setup, TcpLimits};
use meridian::server::stats::Stats;
use meridian::server::worker::Worker;

use crate::support::Server;
use crate::support::tls::Certificate;

/// A server that listens on loopback until it is dropped.
pub(crate) struct Wire {
    running: Option<Running>,
    identity: Option<Arc<Identity>>,
    pub(crate) stats: Arc<Stats>,
    _server: Server,
}

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

/// Both ways.
pub(crate) const WAYS: [Way; 2] = [Way::Udp, Way::Tcp];

/// Long past anything that an answer takes here.
const PATIENCE: Duration = Duration::from_secs(5);

impl Wire {
    /// Serves what `server` would answer.
    pub(crate) fn new(server: Server) -> Self {
        let settings = &server.config.settings;
        let encrypted = settings.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
        let listeners = Listeners::bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], 1)
            .and_then(|listeners| listeners.bind_tls(encrypted))
            .expect("sockets");
        let tls = settings.tls.as_ref().map(|tls| Arc::clone(&tls.server.0));
        let identity = tls.map(|config| Arc::new(Identity::new(config)));
        let setup = Setup {
            tcp: TcpLimits {
                connections: settings.tcp.connections,
                connections_per_client: settings.tcp.connections_per_client,
                idle: settings.tcp.idle_timeout,
            },
            identity: identity.clone(),
            ..Setup::default()
        };
        let stats = Arc::new(Stats::new(listeners.threads()));
        let source = server.publisher.source();
        let worker =
            |thread| Worker::new(thread, Arc::clone(&source), Arc::clone(&stats), thread as u64);
        let running = listeners.start(worker, setup).expect("threads");
        Self { running: Some(running), identity, stats, _server: server }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").addresses()[0]
    }

    /// What its sockets have counted.
    pub(crate) fn counters(&self) -> Counters {
        self.running.as_ref().expect("it runs").counters()
    }

    /// Where it listens for TLS.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").tls_addresses()[0]
    }

    /// Shows this certificate from now on.
    pub(crate) fn renew(&self, certificate: &Certificate) {
        let other = crate::rfc7858::serve(certificate, "");
        let tls = other._server.config.settings.tls.as_ref().expect("TLS");
        self.identity.as_ref().expect("TLS").replace(&tls.server.0);
    }

    /// What comes back for `packet`; `None` when another query that was sent behind it is
    /// answered and it is not.
    pub(crate) fn ask(&self, way: Way, packet: &[u8]) -> Option<Vec<u8>> {
        let last = [&[0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\0\0\x06\0\x01"].concat();
        let answers: Vec<Vec<u8>> = match way {
            Way::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                socket.connect(self.address()).expect("connected");
                socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                socket.send(packet).expect("sent");
                socket.send(&last).expect("sent");
                let mut octets = vec![0; 65_535];
                let mut receive = || {
                    let length = socket.recv(&mut octets).expect("an answer in time");
                    octets[..length].to_vec()
                };
                until_last(&mut receive)
            }
            Way::Tcp => {
                let mut stream = TcpStream::connect(self.address()).expect("connected");
                stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                for message in [packet, &last] {
                    let length = (message.len() as u16).to_be_bytes();
                    stream.write_all(&[&length[..], message].concat()).expect("sent");
                }
                let mut receive = || {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).expect("an answer in time");
                    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut octets).expect("a whole answer");
                    octets
                };
                until_last(&mut receive)
            }
        };
        assert!(answers.len() <= 1, "{} answers to one query", answers.len());
        answers.into_iter().next()
    }
}

/// What is received before the answer to the last query.
fn until_last(receive: &mut dyn FnMut() -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    loop {
        let answer = receive();
        if answer[..2] == [0xff, 0xff] {
            return answers;
        }
        answers.push(answer);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let stopped = running.stop(PATIENCE);
            assert_eq!((stopped.late, stopped.panicked), (0, 0), "threads late or panicked");
        }
    }
}
