//! The HTTP and HTTPS probe: one request, one answer, no redirects, no reuse.
//!
//! Two clients serve every check: one verifies certificates, one does not. The address of each
//! request is pinned by a task-local that the clients' resolver reads, so that Host and SNI are
//! the monitor's while the connection goes to the member. TLS sessions are never resumed: a
//! certificate that has expired would pass.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::header::{HOST, HeaderValue};
use reqwest::{Client, Response, Url};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::ask::reason_of;
use super::monitor::{CheckTarget, Http};
use crate::health::sample::{Reason, TlsFault};

/// Octets of the body in which the expected text is looked for.
pub const BODY_MAX: usize = 64 * 1024;

const USER_AGENT: &str = concat!("meridian/", env!("CARGO_PKG_VERSION"));

/// The certificates that are trusted.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Those of the machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    System,
    /// These, in DER.
    Only(Vec<Vec<u8>>),
}

/// See the module's text. Each client is made for the first probe that needs it: the machine's
/// certificates take time to read and memory to keep. Why there is none is the reason of each
/// probe that needs it.
#[derive(Debug)]
pub(super) struct HttpClients {
    roots: Roots,
    verifying: OnceCell<Result<Client, TlsFault>>,
    trusting: OnceCell<Result<Client, TlsFault>>,
}

tokio::task_local! {
    static PINNED: SocketAddr;
}

impl HttpClients {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots, verifying: OnceCell::new(), trusting: OnceCell::new() }
    }

    async fn client(&self, http: &Http) -> Result<&Client, TlsFault> {
        let provider = || Arc::new(aws_lc_rs::default_provider());
        let made = if http.tls && http.verify {
            let make = || async {
                let roots = self.roots.clone();
                let make = move || verified(roots, &provider()).and_then(client);
                // Files are read, and other probes are not to wait for that.
                spawn_blocking(make).await.unwrap_or(Err(TlsFault::Handshake))
            };
            self.verifying.get_or_init(make).await
        } else {
            let make = || async { unverified(&provider()).and_then(client) };
            self.trusting.get_or_init(make).await
        };
        made.as_ref().map_err(|fault| *fault)
    }

    /// Asks `address` as `http` says.
    pub(super) async fn ask(
        &self,
        http: &Http,
        target: &CheckTarget,
        address: SocketAddr,
    ) -> Result<(), Reason> {
        let client = self.client(http).await.map_err(Reason::Tls)?;
        let url = url(http, target, address).ok_or(Reason::Protocol)?;
        let mut request = client.get(url);
        if let Some(host) = &http.host {
            let host = HeaderValue::from_str(host).map_err(|_| Reason::Protocol)?;
            request = request.header(HOST, host);
        }
        let answer = PINNED.scope(address, request.send()).await;
        let answer = answer.map_err(|error| reason(&error))?;
        let status = answer.status().as_u16();
        if !http.status.iter().any(|expected| expected.contains(&status)) {
            return Err(Reason::Status(status));
        }
        match &http.body {
            Some(text) => expect_text(answer, text.as_bytes()).await,
            None => Ok(()),
        }
    }
}

/// What is asked for. Its host gives the SNI: the monitor's, else the target's name. An address
/// has no SNI, and the connection goes where the URL says, so the member's own stands in for
/// a host that is an address.
fn url(http: &Http, target: &CheckTarget, address: SocketAddr) -> Option<Url> {
    let scheme = if http.tls { "https" } else { "http" };
    let host = match (http.host.as_deref().map(without_port), target) {
        (Some(host), _) if host.parse::<IpAddr>().is_err() && !host.starts_with('[') => host,
        (None, CheckTarget::Host(host, _)) => host.trim_end_matches('.'),
        _ => return Url::parse(&format!("{scheme}://{address}{}", http.path)).ok(),
    };
    Url::parse(&format!("{scheme}://{host}:{}{}", address.port(), http.path)).ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.contains(':') => name,
        _ => host,
    }
}

/// Reads until `text` was seen, or [`BODY_MAX`] octets, or the end.
async fn expect_text(mut answer: Response, text: &[u8]) -> Result<(), Reason> {
    let mut body = Vec::new();
    loop {
        // What was searched before need not be again, except where `text` may have begun.
        let from = body.len().saturating_sub(text.len().saturating_sub(1));
        let Some(chunk) = answer.chunk().await.map_err(|error| reason(&error))? else {
            return if text.is_empty() { Ok(()) } else { Err(Reason::Body) };
        };
        body.extend_from_slice(&chunk[..chunk.len().min(BODY_MAX - body.len())]);
        if text.is_empty() || body[from..].windows(text.len()).any(|part| part == text) {
            return Ok(());
        }
        if body.len() >= BODY_MAX {
            return Err(Reason::Body);
        }
    }
}

/// The class of a request's error: the innermost cause that says something.
fn reason(error: &reqwest::Error) -> Reason {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = cause {
        if let Some(fault) = tls_within(error) {
            return Reason::Tls(fault);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            found = Some(reason_of(error));
        }
        cause = error.source();
    }
    found.unwrap_or(Reason::Protocol)
}

/// The TLS fault that `error` is, or wraps: an I/O error's own source is what stands below the
/// error it wraps, so that one has to be unwrapped by hand, however deep.
fn tls_within(error: &(dyn Error + 'static)) -> Option<TlsFault> {
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

fn client(tls: ClientConfig) -> Result<Client, TlsFault> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Pinned)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .http1_only()
        .no_proxy()
        .referer(false)
        .user_agent(USER_AGENT)
        .build()
        .map_err(|_| TlsFault::Handshake)
}

fn verified(roots: Roots, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsFault> {
    let mut store = RootCertStore::empty();
    let certificates = match roots {
        Roots::System => rustls_native_certs::load_native_certs().certs,
        Roots::Only(certificates) => certificates.into_iter().map(CertificateDer::from).collect(),
    };
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err(TlsFault::NoRoots);
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| TlsFault::Handshake)?;
    Ok(unresumed(builder.with_root_certificates(store).with_no_client_auth()))
}

fn unverified(provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| TlsFault::Handshake)?;
    let verifier = Arc::new(Unverified(Arc::clone(provider)));
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(unresumed(builder.with_no_client_auth()))
}

fn unresumed(mut tls: ClientConfig) -> ClientConfig {
    tls.resumption = Resumption::disabled();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls
}

/// Resolves every name to the address that the request at hand is pinned to.
struct Pinned;

impl reqwest::dns::Resolve for Pinned {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let pinned = PINNED.try_with(|address| *address);
        Box::pin(async move {
            let addresses: reqwest::dns::Addrs = Box::new(std::iter::once(pinned?));
            Ok(addresses)
        })
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
