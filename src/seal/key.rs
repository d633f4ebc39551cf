//! The two halves of a signer: the secret one in a file of its own, the public one in the
//! configuration of everybody who is to believe it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

/// What stands before the octets of a key as text: which algorithm they are of.
const ALGORITHM: &str = "ed25519:";
/// Octets of a public key.
const OCTETS: usize = 32;
/// Characters of a line of PEM (RFC 7468 section 3).
const PEM_LINE: usize = 64;

/// Base64 (RFC 4648 section 4), read with or without the sign at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a signer's envelopes are checked with. As text `ed25519:` and 44 characters of Base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; OCTETS]);

impl PublicKey {
    /// The key's octets.
    pub const fn octets(&self) -> &[u8; OCTETS] {
        &self.0
    }

    /// True when `signature` was made over `message` with the other half of this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPublicKey {
    /// No word on which algorithm it is of.
    #[error("a key begins with 'ed25519:'")]
    Algorithm,
    /// Octets that cannot be read.
    #[error("behind 'ed25519:' stand 44 characters of Base64")]
    Base64,
    /// Too few octets, or too many.
    #[error("it is of {0} octets, and a key is of 32")]
    Length(usize),
}

impl FromStr for PublicKey {
    type Err = NoPublicKey;

    fn from_str(text: &str) -> Result<Self, NoPublicKey> {
        let octets = text.strip_prefix(ALGORITHM).ok_or(NoPublicKey::Algorithm)?;
        let octets = BASE64.decode(octets).map_err(|_| NoPublicKey::Base64)?;
        octets.try_into().map(Self).map_err(|octets: Vec<u8>| NoPublicKey::Length(octets.len()))
    }
}

/// What a signer seals with.
pub struct SigningKey(Ed25519KeyPair);

/// Why there is no signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSigningKey {
    /// Nothing in the text is marked as a private key.
    #[error("there is no private key in it; PEM is wanted: -----BEGIN PRIVATE KEY-----")]
    Pem,
    /// A key, but not one to sign with here.
    #[error("its key is not one of Ed25519; 'meridian key generate' makes one")]
    Algorithm,
    /// The system has no randomness to make one of.
    #[error("the system has no randomness")]
    Randomness,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`NoSigningKey::Randomness`].
    pub fn generate() -> Result<Self, NoSigningKey> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| NoSigningKey::Randomness)
    }

    /// Reads PEM with a key in PKCS #8 (RFC 8410 section 7), as `to_pem` and
    /// `openssl genpkey -algorithm ed25519` write it.
    ///
    /// # Errors
    /// [`NoSigningKey::Pem`] or [`NoSigningKey::Algorithm`]; neither tells what was read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoSigningKey> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| NoSigningKey::Pem)?;
        Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| NoSigningKey::Algorithm)
    }

    /// The key as PEM, to be kept in a file that only its owner reads.
    ///
    /// # Errors
    /// [`NoSigningKey::Algorithm`], of a key that cannot be written.
    pub fn to_pem(&self) -> Result<String, NoSigningKey> {
        let document = self.0.to_pkcs8v1().map_err(|_| NoSigningKey::Algorithm)?;
        let text = BASE64.encode(document.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in text.as_bytes().chunks(PEM_LINE) {
            pem.extend(line.iter().map(|&octet| char::from(octet)));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// The half that others may know.
    pub fn public(&self) -> PublicKey {
        let mut octets = [0; OCTETS];
        octets.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(octets)
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut octets = [0; 64];
        octets.copy_from_slice(self.0.sign(message).as_ref());
        octets
    }
}

/// Equal keys sign the same.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other half is nobody's business.
        write!(f, "SigningKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 10 of RFC 8410: a key in PKCS #8 and what it publishes.
    const RFC8410_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const RFC8410_PUBLIC: &str = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    #[test]
    fn rfc8410_section_10_is_read() {
        let key = SigningKey::from_pem(RFC8410_PEM.as_bytes()).unwrap();
        assert_eq!(key.public().to_string(), RFC8410_PUBLIC);
        assert_eq!(key.to_pem().unwrap(), RFC8410_PEM);
    }

    #[test]
    fn rfc8032_section_7_1_is_signed_alike() {
        // Test 1: the empty message.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap()).collect();
        let key = SigningKey(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
        assert_eq!(key.public().octets()[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(key.sign(b"")[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.public().verifies(b"", &key.sign(b"")));
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(key.to_pem().unwrap().as_bytes()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    }

    #[test]
    fn the_sign_at_the_end_may_be_left_out() {
        let bare = RFC8410_PUBLIC.trim_end_matches('=');
        assert_eq!(bare.parse::<PublicKey>(), RFC8410_PUBLIC.parse());
    }

    #[test]
    fn what_is_no_key_is_told_so() {
        let read = |text: &str| text.parse::<PublicKey>().unwrap_err();
        assert_eq!(read(""), NoPublicKey::Algorithm);
        assert_eq!(read(&RFC8410_PUBLIC[8..]), NoPublicKey::Algorithm);
        assert_eq!(read("ed25519:*"), NoPublicKey::Base64);
        assert_eq!(read("ed25519:AAAA"), NoPublicKey::Length(3));
        let pem = |text: &str| SigningKey::from_pem(text.as_bytes()).unwrap_err();
        assert_eq!(pem(""), NoSigningKey::Pem);
        assert_eq!(pem(&RFC8410_PEM.replace("K2Vw", "K2Vu")), NoSigningKey::Algorithm);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key = SigningKey::from_pem(RFC8410_PEM.as_bytes()).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({RFC8410_PUBLIC})"));
    }
}
