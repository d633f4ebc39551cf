//! The numbers of the protocol: types, classes, response codes, opcodes, TTLs.
//!
//! Every number a peer may send is representable: an unknown QTYPE is normal traffic
//! (RFC 3597), so these are open newtypes with constants, not closed enums.

use std::fmt;
use std::str::FromStr;

/// A resource record type or QTYPE (RFC 1035 section 3.2.2, IANA "Resource Record (RR) TYPEs").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rtype(pub u16);

/// Declares the type constants and the table of their mnemonics in one place.
macro_rules! rtypes {
    ($($name:ident = $number:literal $(as $text:literal)?,)*) => {
        #[allow(missing_docs, reason = "each constant is named by its IANA mnemonic")]
        impl Rtype {
            $(pub const $name: Self = Self($number);)*
        }
        /// Mnemonic and number of every type this server knows by name.
        const MNEMONICS: &[(&str, u16)] = &[$((mnemonic!($name $($text)?), $number),)*];
    };
}

/// A constant's name is its mnemonic, but for signs that no name of ours can have.
macro_rules! mnemonic {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident $text:literal) => {
        $text
    };
}

rtypes! {
    A = 1, NS = 2, MD = 3, MF = 4, CNAME = 5, SOA = 6, MB = 7, MG = 8, MR = 9, NULL = 10,
    WKS = 11, PTR = 12, HINFO = 13, MINFO = 14, MX = 15, TXT = 16, RP = 17, AFSDB = 18,
    X25 = 19, ISDN = 20, RT = 21, NSAP = 22, NSAP_PTR = 23 as "NSAP-PTR", SIG = 24, KEY = 25,
    PX = 26, GPOS = 27, AAAA = 28, LOC = 29, NXT = 30, EID = 31, NIMLOC = 32, SRV = 33,
    ATMA = 34, NAPTR = 35, KX = 36, CERT = 37, A6 = 38, DNAME = 39, SINK = 40, OPT = 41,
    APL = 42, DS = 43, SSHFP = 44, IPSECKEY = 45, RRSIG = 46, NSEC = 47, DNSKEY = 48,
    DHCID = 49, NSEC3 = 50, NSEC3PARAM = 51, TLSA = 52, SMIMEA = 53, HIP = 55, NINFO = 56,
    RKEY = 57, TALINK = 58, CDS = 59, CDNSKEY = 60, OPENPGPKEY = 61, CSYNC = 62, ZONEMD = 63,
    SVCB = 64, HTTPS = 65, DSYNC = 66, HHIT = 67, BRID = 68, SPF = 99, UINFO = 100, UID = 101,
    GID = 102, UNSPEC = 103, NID = 104, L32 = 105, L64 = 106, LP = 107, EUI48 = 108,
    EUI64 = 109, NXNAME = 128, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253,
    MAILA = 254, ANY = 255, URI = 256, CAA = 257, AVC = 258, DOA = 259, AMTRELAY = 260,
    RESINFO = 261, WALLET = 262, CLA = 263, IPN = 264, TA = 32768, DLV = 32769, ANAME = 65305,
}

impl Rtype {
    /// True for types that only have a meaning in a question or in one message
    /// (RFC 6895 section 3.1: QTYPEs and Meta-TYPEs), so they never stand in a zone.
    pub const fn is_meta(self) -> bool {
        self.0 == 0 || self.0 == Self::OPT.0 || (self.0 >= 128 && self.0 <= 255)
    }
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is neither a known mnemonic nor `TYPE` and a number (RFC 3597 section 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown record type '{0}'")]
pub struct UnknownType(pub String);

impl FromStr for Rtype {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let upper = text.to_ascii_uppercase();
        if let Some((_, number)) = MNEMONICS.iter().find(|(name, _)| *name == upper) {
            return Ok(Self(*number));
        }
        upper
            .strip_prefix("TYPE")
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| UnknownType(text.to_owned()))
    }
}

/// Every mnemonic, for suggestions ("did you mean …").
pub fn mnemonics() -> impl Iterator<Item = &'static str> {
    MNEMONICS.iter().map(|(name, _)| *name)
}

/// A class (RFC 1035 section 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl Class {
    /// The Internet.
    pub const IN: Self = Self(1);
    /// Chaos, used for `version.bind` and friends.
    pub const CH: Self = Self(3);
    /// Hesiod.
    pub const HS: Self = Self(4);
    /// QCLASS `*`.
    pub const ANY: Self = Self(255);
}

/// A response code, up to 12 bits with the upper eight in OPT (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error; also NODATA.
    pub const NOERROR: Self = Self(0);
    /// The query could not be read.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The opcode is not served.
    pub const NOTIMP: Self = Self(4);
    /// Not our zone, or not for this client.
    pub const REFUSED: Self = Self(5);
    /// A DNAME substitution would be too long (RFC 6672 section 2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// EDNS version not supported (RFC 6891 section 6.1.3).
    pub const BADVERS: Self = Self(16);
    /// A good server cookie is needed (RFC 7873 section 8).
    pub const BADCOOKIE: Self = Self(23);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            other => return write!(f, "RCODE{other}"),
        };
        f.write_str(name)
    }
}

impl fmt::Debug for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An opcode (RFC 1035 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A standard query.
    pub const QUERY: Self = Self(0);
}

/// A time to live in seconds. The top bit is never set (RFC 2181 section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// Not to be kept.
    pub const ZERO: Self = Self(0);
    /// The largest TTL, 2^31 - 1 seconds.
    pub const MAX: Self = Self(i32::MAX as u32);

    /// A TTL of `seconds`; `None` when it does not fit 31 bits.
    pub const fn new(seconds: u32) -> Option<Self> {
        if seconds <= Self::MAX.0 { Some(Self(seconds)) } else { None }
    }

    /// The TTL in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_types_survive_a_round_trip_through_text() {
        for text in ["A", "AAAA", "HTTPS", "TYPE65400", "NSEC3PARAM"] {
            assert_eq!(text.parse::<Rtype>().expect("parses").to_string(), text);
        }
        assert_eq!("type1".parse(), Ok(Rtype::A));
        assert_eq!("mx".parse(), Ok(Rtype::MX));
    }

    #[test]
    fn nonsense_is_no_type() {
        for text in ["", "TYPE", "TYPE70000", "TYPE-1", "TYPE+1", "BOGUS"] {
            assert!(text.parse::<Rtype>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_ttl_never_has_its_top_bit_set() {
        assert_eq!(Ttl::new(1 << 31), None);
        assert_eq!(Ttl::new(i32::MAX as u32), Some(Ttl::MAX));
    }
}
