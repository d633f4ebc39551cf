//! Small real servers on loopback that answer, and misbehave, as a probe may meet them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a server does with a request it has read.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Sends this.
    Bytes(Vec<u8>),
    /// Sends this, then one octet every 50 ms for ever.
    Trickle(Vec<u8>),
    /// Sends nothing and keeps the connection.
    Hang,
    /// Closes at once.
    Close,
    /// Sends this before it has read anything, as servers of other protocols do.
    Greet(Vec<u8>),
}

/// What a server saw of one connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) sni: Option<String>,
    pub(crate) resumed: bool,
}

/// A server that ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn plain(answer: Answer) -> Self {
        Self::start(answer, None).await
    }

    pub(crate) async fn tls(answer: Answer, config: ServerConfig) -> Self {
        Self::start(answer, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    async fn start(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, answer, tls, Arc::clone(&seen)));
        Self { address, seen, task }
    }
}

async fn serve(
    listener: TcpListener,
    answer: Answer,
    tls: Option<TlsAcceptor>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, tls, seen) = (answer.clone(), tls.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return converse(stream, answer, Seen::default(), seen).await;
            };
            let Ok(stream) = tls.accept(stream).await else { return };
            let session = stream.get_ref().1;
            let of = Seen {
                head: String::new(),
                sni: session.server_name().map(str::to_owned),
                resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            };
            converse(stream, answer, of, seen).await;
        });
    }
}

async fn converse(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    answer: Answer,
    mut of: Seen,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    if let Answer::Greet(bytes) = &answer {
        let _ = stream.write_all(bytes).await;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(octet) = stream.read_u8().await else { break };
        head.push(octet);
    }
    of.head = String::from_utf8_lossy(&head).into_owned();
    seen.lock().expect("not poisoned").push(of);
    match answer {
        Answer::Close | Answer::Greet(_) => {}
        Answer::Hang => std::future::pending().await,
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Trickle(bytes) => {
            let mut next = stream.write_all(&bytes).await;
            while next.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                next = stream.write_all(b".").await;
            }
        }
    }
}

/// A whole HTTP answer.
pub(crate) fn http(status: u16, body: &str) -> Answer {
    let length = body.len();
    Answer::Bytes(
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes(),
    )
}

/// A small CA for tests.
pub(crate) struct Ca {
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    /// A server whose certificate is for `name` and ends in `until` (a year).
    pub(crate) fn server(&self, name: &str, until: i32) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate with its key")
    }
}
