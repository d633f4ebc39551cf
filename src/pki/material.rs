//! What the files of an identity hold: a certificate with its chain, its key, and the authority
//! whose word is believed of others.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Names, Party, Role, names};

/// Everything that somebody shows and believes. Two are equal when they are the same one.
#[derive(Clone)]
pub struct Material {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) roots: Arc<RootCertStore>,
    /// What the certificate says.
    pub names: Names,
}

/// Which file a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The certificate's.
    Certificate,
    /// The key's.
    Key,
    /// The authority's.
    Authority,
}

/// What is wrong with a file. Says nothing of what a key's file holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NoMaterial {
    /// Where.
    pub file: File,
    /// What.
    pub what: String,
}

impl Material {
    /// Reads three files in PEM.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(certificate: &[u8], key: &[u8], authority: &[u8]) -> Result<Self, Vec<NoMaterial>> {
        let mut faults = Vec::new();
        let mut keep = |file, what: String| faults.push(NoMaterial { file, what });
        let chain = chain(certificate).map_err(|what| keep(File::Certificate, what)).ok();
        let said = chain.as_ref().and_then(|chain| {
            let said = names(chain.first()?);
            if said.is_none() {
                keep(File::Certificate, "the certificate in this file cannot be read".to_owned());
            }
            said
        });
        let no_key = "there is no private key in PEM in this file".to_owned();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| keep(File::Key, no_key)).ok();
        let roots = roots(authority).map_err(|what| keep(File::Authority, what)).ok();
        let key = chain.zip(key).and_then(|(chain, key)| {
            CertifiedKey::from_der(chain, key, &provider())
                .map_err(|error| keep(File::Key, format!("it is not the certificate's: {error}")))
                .ok()
        });
        match (key, roots, said) {
            (Some(key), Some(roots), Some(names)) if faults.is_empty() => {
                Ok(Self { key: Arc::new(key), roots: Arc::new(roots), names })
            }
            _ => Err(faults),
        }
    }

    /// The name of this identity as `role`; `None` when its certificate is not for one.
    pub fn name_as(&self, role: Role) -> Option<&str> {
        let party = self.names.parties.iter().find(|party| party.role == role);
        party.map(|party: &Party| party.name.as_str())
    }
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert && self.roots.roots == other.roots.roots
    }
}

impl Eq for Material {}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is nobody's business.
        write!(f, "Material({:?})", self.names)
    }
}

/// What computes: one library for signatures, handshakes and seals.
pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("this is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM in this file".to_owned());
    }
    Ok(chain)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem)? {
        roots.add(certificate).map_err(|error| format!("this is no authority: {error}"))?;
    }
    Ok(roots)
}
