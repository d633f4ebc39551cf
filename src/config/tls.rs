//! `[tls]`: DNS over TLS (RFC 7858). The key never leaves what TLS makes of it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use super::decode::{Faults, Fields, Node};
use super::settings::socket;
use super::validity::not_after;
use crate::diagnostics::Diagnostic;

/// The port of DNS over TLS (RFC 7858 section 3.1).
const PORT: u16 = 853;

/// What a client that asks for a protocol by name asks for (RFC 7858 section 3.1, IANA).
const ALPN: &[u8] = b"dot";

/// DNS over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `listen`: where. Default `["0.0.0.0:853", "[::]:853"]`.
    pub listen: Vec<SocketAddr>,
    /// `certificate`: file with the certificate and those that vouch for it, in PEM.
    pub certificate: PathBuf,
    /// `key`: file with its private key, in PEM.
    pub key: PathBuf,
    /// When the certificate expires, seconds since 1970; `None` when it does not say.
    pub expires_at: Option<u64>,
    /// What was made of both.
    pub server: TlsServer,
}

/// A certificate with its key, ready to be shown. Two are equal when they are the same one.
#[derive(Clone)]
pub struct TlsServer(pub Arc<ServerConfig>);

impl PartialEq for TlsServer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsServer {}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}

/// Reads `[tls]`; `None` without it. `root` is the folder of `meridian.toml`, `plain` what is
/// listened on in the clear.
pub(super) fn tls(
    node: Option<&Node>,
    root: &Path,
    plain: &[SocketAddr],
    faults: &mut Faults,
) -> Option<Tls> {
    let node = node?;
    let mut fields = node.fields("the section 'tls'", faults)?;
    let listen = match fields.get("listen") {
        None => vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)),
        ],
        Some(node) => {
            let items = node.one_or_list();
            if items.is_empty() {
                let fault = node.error("no address to listen on");
                faults.push(fault.help("write listen = [\"[::]:853\"]"));
            }
            items.iter().filter_map(|item| listener(item, plain, faults)).collect()
        }
    };
    let certificate = file(&mut fields, "certificate", node, root, faults);
    let key = file(&mut fields, "key", node, root, faults);
    fields.finish(faults);
    let ((certificate_node, certificate, chain), (key_node, key, secret)) = (certificate?, key?);
    warn_of_readers(key_node, &key, faults);
    let chain = certificates(certificate_node, &chain, faults);
    let secret = private_key(key_node, &secret, faults);
    let chain = chain?;
    let expires_at = chain.first().and_then(|certificate| not_after(certificate));
    let server = server(key_node, chain, secret?, faults)?;
    Some(Tls { listen, certificate, key, expires_at, server })
}

fn listener(node: &Node, plain: &[SocketAddr], faults: &mut Faults) -> Option<SocketAddr> {
    let address = socket(node, PORT, faults)?;
    if address.port() != 0 && plain.contains(&address) {
        let fault = node.error(format!("{address} is listened on in the clear"));
        faults.push(fault.help(format!("TLS has a port of its own, {PORT}")));
    }
    Some(address)
}

/// A file that is named by `key`: where it is named, its path, and what it holds.
pub(super) fn file<'n>(
    fields: &mut Fields<'n>,
    key: &'static str,
    section: &Node,
    root: &Path,
    faults: &mut Faults,
) -> Option<(&'n Node, PathBuf, Vec<u8>)> {
    let node = fields.required(key, &section.span, faults)?;
    let text = node.text(faults)?;
    let path = root.join(text);
    match std::fs::read(&path) {
        Ok(octets) => Some((node, path, octets)),
        Err(error) => {
            faults.push(node.error(format!("cannot read '{text}': {error}")));
            None
        }
    }
}

fn certificates(
    node: &Node,
    octets: &[u8],
    faults: &mut Faults,
) -> Option<Vec<CertificateDer<'static>>> {
    match CertificateDer::pem_slice_iter(octets).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Some(chain),
        Ok(_) => {
            let fault = node.error("there is no certificate in this file");
            faults.push(fault.help("PEM is wanted: -----BEGIN CERTIFICATE-----"));
            None
        }
        Err(error) => {
            faults.push(node.error(format!("this is no PEM: {error}")));
            None
        }
    }
}

fn private_key(node: &Node, octets: &[u8], faults: &mut Faults) -> Option<PrivateKeyDer<'static>> {
    match PrivateKeyDer::from_pem_slice(octets) {
        Ok(key) => Some(key),
        Err(pem::Error::NoItemsFound) => {
            let fault = node.error("there is no private key in this file");
            faults.push(fault.help("PEM is wanted: -----BEGIN PRIVATE KEY-----"));
            None
        }
        // What the file holds is no part of a fault.
        Err(_) => {
            faults.push(node.error("this is no PEM with a private key"));
            None
        }
    }
}

pub(super) fn warn_of_readers(node: &Node, path: &Path, faults: &mut Faults) {
    if std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
        let fault =
            Diagnostic::warning("everybody on this machine can read this key", node.span.clone());
        faults.push(fault.help("whoever has the key can stand in for this server: chmod 640"));
    }
}

/// What is shown to clients. No client is asked for a certificate, and no query comes before
/// the handshake is done (early data may be replayed). Sessions are resumed by tickets, whose keys
/// last for hours; nothing is kept here for a client that is gone.
fn server(
    node: &Node,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    faults: &mut Faults,
) -> Option<TlsServer> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let built = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .and_then(|config| Ok((config, aws_lc_rs::Ticketer::new()?)));
    match built {
        Ok((mut config, ticketer)) => {
            config.alpn_protocols = vec![ALPN.to_vec()];
            config.ticketer = ticketer;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            Some(TlsServer(Arc::new(config)))
        }
        Err(error) => {
            let fault = node.error("certificate and key cannot be used together");
            faults.push(fault.label(error.to_string()));
            None
        }
    }
}
