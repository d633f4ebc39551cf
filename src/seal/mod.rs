//! Sealed envelopes: what travels between machines, with its author's signature around it.
//!
//! A message of the health plane may pass a broker that nobody vouches for, so what it says is
//! believed for the key it was signed with and for nothing else. [`seal`] makes an envelope,
//! [`open`] checks one; [`key`] holds both halves of a signer. Pure: no file, socket or clock. An
//! envelope proves who wrote a payload and what kind it is of; it does not prove that the payload
//! is new, which is for its reader to tell from what stands in it.
//!
//! ```text
//! octet 0      version, 1
//! octet 1      kind
//! octet 2      length of the signer's name, 1 to 63
//! ...          the signer's name
//! ...          the payload
//! last 64      Ed25519 signature (RFC 8032) over "meridian envelope\0" and all octets before it
//! ```

#![forbid(unsafe_code)]

pub mod key;

pub use key::{PublicKey, SigningKey};

/// The version written, and the only one read.
const VERSION: u8 = 1;
/// What no other protocol signs anything behind: a signature made here is good for nothing else.
const DOMAIN: &[u8] = b"meridian envelope\0";
/// Octets before the signer's name.
const HEAD: usize = 3;
/// Octets of an Ed25519 signature.
const SIGNATURE: usize = 64;

/// Longest name of a signer in octets: a label of a certificate's name (RFC 1035 section 2.3.4)
/// and a token of a subject.
pub const SIGNER_MAX: usize = 63;
/// Longest envelope in octets: what brokers carry where nobody changed their settings (1 MiB).
pub const OCTETS_MAX: usize = 1 << 20;
/// Longest payload in octets that any signer can seal.
pub const PAYLOAD_MAX: usize = OCTETS_MAX - HEAD - SIGNER_MAX - SIGNATURE;

/// What a payload is. A signature for one kind is none for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// What a vantage saw.
    Report = 1,
    /// What a vantage is to probe.
    ProbeSet = 2,
    /// What nodes are to serve.
    Bundle = 3,
    /// An operator's order.
    Override = 4,
}

/// What was in an envelope, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Who sealed it.
    pub signer: &'a str,
    /// What was sealed.
    pub payload: &'a [u8],
}

/// Why an envelope is refused. Every variant is a constant, so that it can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Octets are missing.
    #[error("it is cut short")]
    TooShort,
    /// More octets than [`OCTETS_MAX`].
    #[error("it is too long")]
    TooLong,
    /// Written by another version.
    #[error("it is of another version")]
    Version,
    /// Sealed as something else.
    #[error("it is of another kind")]
    Kind,
    /// Nobody, or nobody whose key is known.
    #[error("its signer is not known")]
    UnknownSigner,
    /// Not signed with that signer's key, or changed since.
    #[error("its signature is forged")]
    Forged,
}

impl Fault {
    /// Every variant, to register counters by.
    pub const ALL: [Self; 6] = [
        Self::TooShort,
        Self::TooLong,
        Self::Version,
        Self::Kind,
        Self::UnknownSigner,
        Self::Forged,
    ];

    /// The name it is counted under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "too-short",
            Self::TooLong => "too-long",
            Self::Version => "version",
            Self::Kind => "kind",
            Self::UnknownSigner => "unknown-signer",
            Self::Forged => "forged",
        }
    }
}

/// True for a name that a signer can have: 1 to 63 octets of small letters, digits and hyphens,
/// no hyphen at either end. Such a name is one label of a host name, one token of a subject and
/// one name of a file.
pub fn is_signer(name: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    (1..=SIGNER_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Seals `payload` for `signer`. What [`open`] would refuse is sealed all the same and opened by
/// nobody: a name that [`is_signer`] denies, a payload beyond [`PAYLOAD_MAX`].
pub fn seal(key: &SigningKey, kind: Kind, signer: &str, payload: &[u8]) -> Vec<u8> {
    let mut signed =
        Vec::with_capacity(DOMAIN.len() + HEAD + signer.len() + payload.len() + SIGNATURE);
    signed.extend_from_slice(DOMAIN);
    signed.extend([VERSION, kind as u8, u8::try_from(signer.len()).unwrap_or(u8::MAX)]);
    signed.extend_from_slice(signer.as_bytes());
    signed.extend_from_slice(payload);
    let signature = key.sign(&signed);
    signed.drain(..DOMAIN.len());
    signed.extend_from_slice(&signature);
    signed
}

/// Opens an envelope of `kind`. `key_of` knows the keys of those who may seal one.
///
/// # Errors
/// The first [`Fault`] found; nothing is told of a payload whose signature does not hold.
pub fn open<'a>(
    bytes: &'a [u8],
    kind: Kind,
    key_of: impl FnOnce(&str) -> Option<PublicKey>,
) -> Result<Opened<'a>, Fault> {
    if bytes.len() > OCTETS_MAX {
        return Err(Fault::TooLong);
    }
    // The version comes first: what stands behind it is for that version to say.
    if *bytes.first().ok_or(Fault::TooShort)? != VERSION {
        return Err(Fault::Version);
    }
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(Fault::TooShort)?;
    let (&[_, of, length], rest) = signed.split_first_chunk().ok_or(Fault::TooShort)?;
    if of != kind as u8 {
        return Err(Fault::Kind);
    }
    let (signer, payload) = rest.split_at_checked(usize::from(length)).ok_or(Fault::TooShort)?;
    let signer = std::str::from_utf8(signer).ok().filter(|name| is_signer(name));
    let signer = signer.ok_or(Fault::UnknownSigner)?;
    let key = key_of(signer).ok_or(Fault::UnknownSigner)?;
    if !key.verifies(&[DOMAIN, signed].concat(), signature) {
        return Err(Fault::Forged);
    }
    Ok(Opened { signer, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &[u8] = b"all is well";

    #[test]
    fn what_was_sealed_is_opened() {
        let key = SigningKey::generate().unwrap();
        for payload in [&b""[..], PAYLOAD, &[0; PAYLOAD_MAX]] {
            let bytes = seal(&key, Kind::Report, "fra-1", payload);
            let opened = open(&bytes, Kind::Report, |name| (name == "fra-1").then(|| key.public()));
            assert_eq!(opened, Ok(Opened { signer: "fra-1", payload }));
        }
    }

    #[test]
    fn any_changed_octet_is_noticed() {
        let key = SigningKey::generate().unwrap();
        let whole = seal(&key, Kind::Report, "fra-1", PAYLOAD);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            // Whoever the changed name is, suppose that it has the same key.
            let fault = open(&bytes, Kind::Report, |_| Some(key.public())).unwrap_err();
            let wanted: &[Fault] = match at {
                0 => &[Fault::Version],
                1 => &[Fault::Kind],
                2..8 => &[Fault::UnknownSigner, Fault::Forged],
                _ => &[Fault::Forged],
            };
            assert!(wanted.contains(&fault), "octet {at}: {fault}");
        }
    }

    #[test]
    fn any_cut_is_noticed() {
        let key = SigningKey::generate().unwrap();
        let whole = seal(&key, Kind::Report, "fra-1", PAYLOAD);
        for length in 0..whole.len() {
            let fault = open(&whole[..length], Kind::Report, |_| Some(key.public())).unwrap_err();
            let bare = HEAD + SIGNATURE + "fra-1".len();
            assert_eq!(fault == Fault::TooShort, length < bare, "{length} octets: {fault}");
        }
    }

    #[test]
    fn a_signature_holds_for_one_kind_only() {
        let key = SigningKey::generate().unwrap();
        let mut bytes = seal(&key, Kind::Report, "fra-1", PAYLOAD);
        let open_as = |bytes: &[u8], kind| open(bytes, kind, |_| Some(key.public())).unwrap_err();
        assert_eq!(open_as(&bytes, Kind::Bundle), Fault::Kind);
        bytes[1] = Kind::Bundle as u8;
        assert_eq!(open_as(&bytes, Kind::Bundle), Fault::Forged);
    }

    #[test]
    fn nobody_seals_for_another() {
        let (mine, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let bytes = seal(&mine, Kind::Report, "fra-1", PAYLOAD);
        let opened = open(&bytes, Kind::Report, |_| Some(theirs.public()));
        assert_eq!(opened, Err(Fault::Forged));
        let opened = open(&bytes, Kind::Report, |_| None);
        assert_eq!(opened, Err(Fault::UnknownSigner));
    }

    #[test]
    fn a_signature_for_another_purpose_is_no_seal() {
        let key = SigningKey::generate().unwrap();
        let mut bytes = seal(&key, Kind::Report, "fra-1", PAYLOAD);
        let signed = bytes.len() - SIGNATURE;
        let bare = key.sign(&bytes[..signed]);
        bytes[signed..].copy_from_slice(&bare);
        let opened = open(&bytes, Kind::Report, |_| Some(key.public()));
        assert_eq!(opened, Err(Fault::Forged));
    }

    #[test]
    fn what_no_signer_can_be_called_opens_nothing() {
        let key = SigningKey::generate().unwrap();
        let long = "a".repeat(SIGNER_MAX + 1);
        let longer = "a".repeat(300);
        for name in ["", "-a", "a-", "Fra", "a.b", "a*", "a/b", "é", &long, &longer] {
            assert!(!is_signer(name), "{name}");
            let bytes = seal(&key, Kind::Report, name, PAYLOAD);
            let opened = open(&bytes, Kind::Report, |_| Some(key.public()));
            assert_eq!(opened, Err(Fault::UnknownSigner), "{name}");
        }
        assert!(is_signer(&"a".repeat(SIGNER_MAX)));
    }

    #[test]
    fn another_version_is_told_whatever_stands_behind_it() {
        let nobody = |_: &str| None;
        assert_eq!(open(&[2], Kind::Report, nobody), Err(Fault::Version));
        assert_eq!(open(&[VERSION], Kind::Report, nobody), Err(Fault::TooShort));
        assert_eq!(open(&[], Kind::Report, nobody), Err(Fault::TooShort));
    }

    #[test]
    fn too_long_a_payload_is_refused() {
        let key = SigningKey::generate().unwrap();
        let bytes = seal(&key, Kind::Report, "fra-1", &vec![0; OCTETS_MAX]);
        let opened = open(&bytes, Kind::Report, |_| Some(key.public()));
        assert_eq!(opened, Err(Fault::TooLong));
    }
}
