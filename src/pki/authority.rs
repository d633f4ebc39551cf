//! The operator's own authority: for a handful of nodes and vantages that need certificates of each
//! other and of nobody else. Keys are ECDSA on P-256, which every broker and library takes.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::{Party, Role};

/// How long an authority is good for, in days: ten years.
const AUTHORITY_DAYS: u32 = 3653;
/// How long before now a certificate begins to be valid: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// For everybody.
    pub certificate: String,
    /// For its owner.
    pub key: String,
}

/// Whom a certificate is for, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name shown to people.
    pub name: String,
    /// The parties it is for; none for a broker.
    pub parties: Vec<Party>,
    /// Host names and addresses it is for besides.
    pub hosts: Vec<String>,
}

impl Subject {
    /// Whether others connect to it: to nodes and brokers, not to vantages.
    fn is_server(&self) -> bool {
        self.parties.is_empty() || self.parties.iter().any(|party| party.role == Role::Node)
    }
}

/// A new authority. `now` in seconds since 1970.
///
/// # Errors
/// When the system has no randomness.
pub fn found(now: u64) -> Result<Pair, Error> {
    let key = KeyPair::generate()?;
    let mut params = params("Meridian authority", now, AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// A new key, in PEM.
///
/// # Errors
/// When the system has no randomness.
pub fn new_key() -> Result<String, Error> {
    Ok(KeyPair::generate()?.serialize_pem())
}

/// A certificate of `authority` for `subject` and its key in PEM, good for `days` from `now`.
///
/// # Errors
/// When a file of the authority is none, or a host is no name.
pub fn issue(
    authority: &Pair,
    subject: &Subject,
    key: &str,
    now: u64,
    days: u32,
) -> Result<String, Error> {
    let issuer =
        Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = params(&subject.name, now, days)?;
    let names = subject.parties.iter().map(ToString::to_string).chain(subject.hosts.clone());
    params.subject_alt_names = CertificateParams::new(names.collect::<Vec<_>>())?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if subject.is_server() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&KeyPair::from_pem(key)?, &issuer)?.pem())
}

fn params(name: &str, now: u64, days: u32) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(now);
    params.not_before = now - BACKDATED;
    params.not_after = now + days * DAY;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::super::identity::Identity;
    use super::super::material::{File, Material};
    use super::*;

    /// 2026-11-21T00:00:00Z.
    const NOW: u64 = 1_795_219_200;

    fn vantage() -> Subject {
        let party = "fra-1.vantage.meridian".parse().unwrap();
        Subject { name: "fra-1".to_owned(), parties: vec![party], hosts: Vec::new() }
    }

    #[test]
    fn what_is_issued_is_read_back() {
        let authority = found(NOW).unwrap();
        let key = new_key().unwrap();
        let mut subject = vantage();
        subject.hosts = vec!["192.0.2.1".to_owned(), "bus.example.org".to_owned()];
        let certificate = issue(&authority, &subject, &key, NOW, 30).unwrap();
        let read = |key: &str| {
            let authority = authority.certificate.as_bytes();
            Material::read(certificate.as_bytes(), key.as_bytes(), authority)
        };
        let material = read(&key).unwrap();
        assert_eq!(material.name_as(Role::Vantage), Some("fra-1"));
        assert_eq!(material.name_as(Role::Node), None);
        assert_eq!(material.names.others, subject.hosts);
        assert_eq!(material.names.expires_at, NOW + 30 * 86_400);
        assert!(Identity::new(material).is_ok());
        let faults = read(&new_key().unwrap()).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.file).collect::<Vec<_>>(), [File::Key]);
    }

    #[test]
    fn every_file_that_is_none_is_told() {
        let faults = Material::read(b"", b"", b"").unwrap_err();
        let files: Vec<_> = faults.iter().map(|fault| fault.file).collect();
        assert_eq!(files, [File::Certificate, File::Key, File::Authority]);
    }
}
