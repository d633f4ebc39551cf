//! Certificates and clients for DNS over TLS.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

/// The name certificates are for.
const NAME: &str = "ns1.example.org";

/// A certificate that vouches for itself.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

/// A client's connection.
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

impl Certificate {
    pub(crate) fn new() -> Self {
        let made =
            rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
        Self { pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() }
    }

    /// A client that trusts this certificate alone; connected, and not yet shaking hands.
    pub(crate) fn client(&self, server: SocketAddr) -> Client {
        connect(&Arc::new(self.config(&[&version::TLS13, &version::TLS12])), server)
    }

    /// What such a client may do, in one of these versions.
    pub(crate) fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(der).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"dot".to_vec()];
        config
    }
}

/// A client that is as `config` says.
pub(crate) fn connect(config: &Arc<ClientConfig>, server: SocketAddr) -> Client {
    let name = NAME.try_into().expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    let stream = TcpStream::connect(server).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    StreamOwned::new(session, stream)
}
