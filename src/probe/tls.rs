//! TLS of probes: who is trusted, what a certificate says, and no session ever resumed: an expired
//! certificate would pass.
//!
//! The machine's certificates are read for the first probe that needs them; files of an
//! operator's own are read again when they change. What can be shared between handshakes is.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::connect::reason_of;
use super::monitor::{CheckTarget, Tls};
use super::trace::{TlsSeen, Trace, micros_since};
use crate::health::sample::{Reason, TlsFault};

/// A connection after its handshake.
pub(super) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// The certificates that are trusted.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Those of the machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    System,
    /// These, in DER.
    Only(Vec<Vec<u8>>),
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct TlsClients {
    provider: Arc<CryptoProvider>,
    roots: Roots,
    usual: OnceCell<Result<Verifier, TlsFault>>,
    made: Mutex<HashMap<Made, Entry>>,
}

type Verifier = Arc<dyn ServerCertVerifier>;

/// What a client's configuration depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Made {
    verify: bool,
    ca_file: Option<Box<str>>,
    alpn: Vec<&'static [u8]>,
}

/// A configuration, and when the file behind it was changed.
#[derive(Debug, Clone)]
struct Entry {
    config: Arc<ClientConfig>,
    changed: Option<SystemTime>,
}

impl TlsClients {
    pub(super) fn new(roots: Roots) -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            roots,
            usual: OnceCell::new(),
            made: Mutex::new(HashMap::new()),
        }
    }

    /// Shakes hands over `stream`. The server's name is `tls`'s own, else `host`, else the
    /// target's; an address is verified as one and sends no SNI.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        tls: &Tls,
        host: Option<&str>,
        target: &CheckTarget,
        alpn: &[&'static [u8]],
        trace: &mut Trace,
    ) -> Result<TlsStream, Reason> {
        let config = self.config(tls, alpn).await.map_err(Reason::Tls)?;
        let peer = stream.peer_addr().map_err(|error| reason_of(&error))?.ip();
        let name = server_name(tls, host, target, peer).ok_or(Reason::Protocol)?;
        let begun = Instant::now();
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.map_err(|error| {
            trace.complain(|| error.to_string());
            tls_within(&error).map_or_else(|| reason_of(&error), Reason::Tls)
        })?;
        trace.facts.phases.tls_us = trace.facts.phases.tls_us.saturating_add(micros_since(begun));
        look(&stream, tls, trace)?;
        Ok(stream)
    }

    async fn config(
        &self,
        tls: &Tls,
        alpn: &[&'static [u8]],
    ) -> Result<Arc<ClientConfig>, TlsFault> {
        let key = Made { verify: tls.verify, ca_file: tls.ca_file.clone(), alpn: alpn.to_vec() };
        let file = key.ca_file.clone().filter(|_| key.verify);
        let changed = match &file {
            Some(file) => Some(changed(file).ok_or(TlsFault::NoRoots)?),
            None => None,
        };
        let known = self.lock().get(&key).filter(|entry| entry.changed == changed).cloned();
        if let Some(entry) = known {
            return Ok(entry.config);
        }
        let verifier = match (key.verify, file) {
            (false, _) => Arc::new(Unverified(Arc::clone(&self.provider))) as Verifier,
            (true, Some(file)) => self.verifier(move || file_roots(&file)).await?,
            (true, None) => self.usual().await?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder =
            builder.with_safe_default_protocol_versions().map_err(|_| TlsFault::Handshake)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let config = Arc::new(config);
        let entry = Entry { config: Arc::clone(&config), changed };
        self.lock().insert(key, entry);
        Ok(config)
    }

    async fn usual(&self) -> Result<Verifier, TlsFault> {
        let roots = self.roots.clone();
        let read = move || match roots {
            Roots::System => rustls_native_certs::load_native_certs().certs,
            Roots::Only(all) => all.into_iter().map(CertificateDer::from).collect(),
        };
        let made = self.usual.get_or_init(|| self.verifier(read)).await;
        made.clone()
    }

    /// Files are read, and other probes are not to wait for that.
    async fn verifier(
        &self,
        read: impl FnOnce() -> Vec<CertificateDer<'static>> + Send + 'static,
    ) -> Result<Verifier, TlsFault> {
        let certificates = spawn_blocking(read).await.map_err(|_| TlsFault::NoRoots)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        if store.is_empty() {
            return Err(TlsFault::NoRoots);
        }
        let provider = Arc::clone(&self.provider);
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        built.map(|verifier| verifier as Verifier).map_err(|_| TlsFault::NoRoots)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Made, Entry>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed(file: &str) -> Option<SystemTime> {
    std::fs::metadata(file).ok()?.modified().ok()
}

fn file_roots(file: &str) -> Vec<CertificateDer<'static>> {
    let Ok(read) = CertificateDer::pem_file_iter(file) else { return Vec::new() };
    read.filter_map(Result::ok).collect()
}

fn server_name(
    tls: &Tls,
    host: Option<&str>,
    target: &CheckTarget,
    peer: IpAddr,
) -> Option<ServerName<'static>> {
    let own = tls.server_name.as_deref();
    let name = own.or_else(|| host.map(without_port)).or(match target {
        CheckTarget::Host(name, _) => Some(&**name),
        CheckTarget::Address(_) => None,
    });
    match name {
        Some(name) => {
            let name = name.trim_end_matches('.').trim_matches(['[', ']']);
            ServerName::try_from(name.to_owned()).ok()
        }
        None => Some(ServerName::from(peer)),
    }
}

/// A host without the port that may stand behind it.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// Notes what the handshake has shown, and whether the certificates last long enough.
fn look(stream: &TlsStream, tls: &Tls, trace: &mut Trace) -> Result<(), Reason> {
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let parsed = chain.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    let mut subject: Option<Box<str>> = None;
    let mut ends = i64::MAX;
    for (_, certificate) in parsed {
        ends = ends.min(certificate.validity().not_after.timestamp());
        subject.get_or_insert_with(|| certificate.subject().to_string().into());
    }
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(_) | None => "TLS",
    };
    let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into());
    trace.tls = Some(TlsSeen { version, alpn, subject: subject.unwrap_or_default(), ends });
    let days = days_until(ends);
    trace.facts.certificate_days = Some(days);
    match tls.certificate_days {
        Some(least) if i32::from(days) < i32::from(least) => {
            trace.complain(|| format!("the certificate ends in {days} days, not in {least}"));
            Err(Reason::Tls(TlsFault::EndsSoon))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whole days from now until `ends`, in seconds since 1970-01-01T00:00:00Z.
fn days_until(ends: i64) -> i16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let left = ends.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
    i16::try_from(left.div_euclid(86_400)).unwrap_or(if left < 0 { i16::MIN } else { i16::MAX })
}

/// The TLS fault that `error` is, or wraps: an I/O error's own source is what stands below the
/// error it wraps, so that one has to be unwrapped by hand, however deep.
pub(super) fn tls_within(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    if let Some(fault) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_fault(fault));
    }
    tls_within(error.downcast_ref::<io::Error>()?.get_ref()?)
}

fn tls_fault(error: &rustls::Error) -> TlsFault {
    let rustls::Error::InvalidCertificate(fault) = error else { return TlsFault::Handshake };
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::WrongName
        }
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
        _ => TlsFault::BadCertificate,
    }
}

/// `verify = false`: any certificate will do, for names that only the region itself knows. The
/// handshake's signature is verified all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_the_name() {
        assert_eq!(without_port("www.example.org:8443"), "www.example.org");
        assert_eq!(without_port("www.example.org"), "www.example.org");
        assert_eq!(without_port("[2001:db8::1]:443"), "[2001:db8::1]");
        assert_eq!(without_port("2001:db8::1"), "2001:db8::1");
    }

    #[test]
    fn days_are_whole_and_go_below_zero() {
        assert_eq!(days_until(i64::MAX), i16::MAX);
        assert_eq!(days_until(86_400), days_until(0) + 1);
        assert!(days_until(0) < -20_000);
    }
}
