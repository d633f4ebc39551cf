//! Who is who on the wire: certificates of nodes and vantages, and the operator's own small
//! authority that signs them.
//!
//! One identity has one name: [`Party`] `fra-1.vantage.meridian` is what a certificate is for
//! (subject alternative name, RFC 5280 section 4.2.1.6), what a broker maps to permissions, the
//! last token of its subjects, and the signer of its envelopes. [`material`] is what files hold,
//! [`identity`] is that in use and replaceable while connections come and go, [`authority`] makes
//! certificates. Octets in, octets out: no file or socket here; the time is an argument, except
//! that a handshake asks the clock whether a certificate is valid.

#![forbid(unsafe_code)]

pub mod authority;
pub mod identity;
pub mod material;

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::seal::is_signer;

/// The last label of every party's name; no name of the Internet ends in it.
const REALM: &str = "meridian";

/// What somebody on the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Answers queries; hears reports.
    Node,
    /// Probes; sends reports.
    Vantage,
}

impl Role {
    /// The label that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Vantage => "vantage",
        }
    }
}

/// Somebody on the bus. As text `NAME.node.meridian` or `NAME.vantage.meridian`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// As what.
    pub role: Role,
    /// A name that [`is_signer`] allows.
    pub name: String,
}

/// A text that names no party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a party is called NAME.node.meridian or NAME.vantage.meridian")]
pub struct NoParty;

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{REALM}", self.name, self.role.as_str())
    }
}

impl FromStr for Party {
    type Err = NoParty;

    fn from_str(text: &str) -> Result<Self, NoParty> {
        let mut labels = text.split('.');
        let (name, role) = (labels.next().unwrap_or_default(), labels.next());
        let role = match role {
            Some("node") => Role::Node,
            Some("vantage") => Role::Vantage,
            _ => return Err(NoParty),
        };
        if !is_signer(name) || labels.next() != Some(REALM) || labels.next().is_some() {
            return Err(NoParty);
        }
        Ok(Self { role, name: name.to_owned() })
    }
}

/// What can be read off a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The parties it is for.
    pub parties: Vec<Party>,
    /// Other names and addresses it is for, as text.
    pub others: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

/// Reads whom `certificate` is for and until when; `None` when it is no certificate.
pub fn names(certificate: &CertificateDer<'_>) -> Option<Names> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let (mut parties, mut others) = (Vec::new(), Vec::new());
    let alternatives = certificate.subject_alternative_name().ok()?;
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => match name.parse() {
                Ok(party) => parties.push(party),
                Err(NoParty) => others.push((*name).to_owned()),
            },
            GeneralName::IPAddress(octets) => others.push(address(octets)),
            other => others.push(other.to_string()),
        }
    }
    let expires_at = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    Some(Names { parties, others, expires_at })
}

fn address(octets: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        std::net::Ipv4Addr::from(octets).to_string()
    } else if let Ok(octets) = <[u8; 16]>::try_from(octets) {
        std::net::Ipv6Addr::from(octets).to_string()
    } else {
        "an address of no kind".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_told_from_other_names() {
        let vantage: Party = "fra-1.vantage.meridian".parse().unwrap();
        assert_eq!(vantage, Party { role: Role::Vantage, name: "fra-1".to_owned() });
        assert_eq!(vantage.to_string(), "fra-1.vantage.meridian");
        let wrong = [
            "",
            "fra-1",
            "fra-1.vantage",
            "fra-1.vantage.example",
            "fra-1.vantage.meridian.",
            "fra-1.vantage.meridian.example",
            "a.fra-1.vantage.meridian",
            "*.vantage.meridian",
            "FRA.vantage.meridian",
            ".node.meridian",
        ];
        for name in wrong {
            assert_eq!(name.parse::<Party>(), Err(NoParty), "{name}");
        }
    }
}
