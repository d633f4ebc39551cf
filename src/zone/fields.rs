//! Which fields the RDATA of each type has, and how each is written.

use crate::wire::types::Rtype;

/// How a field is written, and so how long it is in the wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Ipv4,
    Ipv6,
    Name,
    U8,
    U16,
    U32,
    /// Seconds, units allowed, 32 bits.
    Seconds,
    /// A type's mnemonic.
    Type,
    /// Seconds since 1970 or `YYYYMMDDHHmmSS` (RFC 4034 section 3.2).
    Time,
    /// Letters and digits with a length octet (RFC 8659 section 4.1).
    Tag,
    /// One character string.
    Text,
    /// One or more character strings, to the end.
    Texts,
    /// Text without length, to the end of the RDATA.
    Rest,
    /// Hex digits to the end, blanks allowed.
    Hex,
    /// Base64 to the end, blanks allowed.
    Base64,
    /// Hex with a length octet, `-` for none (RFC 5155 section 3.3).
    Salt,
    /// Base32hex with a length octet.
    Hash,
    /// Type mnemonics to the end, as a bitmap (RFC 4034 section 4.1.2).
    Types,
    /// A certificate type, number or mnemonic (RFC 4398 section 2.1).
    Certificate,
    /// Pairs of hex digits with hyphens: this many (RFC 7043).
    Eui(u8),
    /// Service parameters (RFC 9460).
    Parameters,
}

/// The fields of one type, each with the name the RFCs give it.
pub(super) type Schema = &'static [(&'static str, Field)];

const NAMED: Schema = &[("name", Field::Name)];
const DIGEST: Schema = &[
    ("key tag", Field::U16),
    ("algorithm", Field::U8),
    ("digest type", Field::U8),
    ("digest", Field::Hex),
];
const KEY: Schema = &[
    ("flags", Field::U16),
    ("protocol", Field::U8),
    ("algorithm", Field::U8),
    ("public key", Field::Base64),
];
const SIGNATURE: Schema = &[
    ("type covered", Field::Type),
    ("algorithm", Field::U8),
    ("labels", Field::U8),
    ("original TTL", Field::Seconds),
    ("expiration", Field::Time),
    ("inception", Field::Time),
    ("key tag", Field::U16),
    ("signer", Field::Name),
    ("signature", Field::Base64),
];
const ASSOCIATION: Schema = &[
    ("usage", Field::U8),
    ("selector", Field::U8),
    ("matching type", Field::U8),
    ("data", Field::Hex),
];
const SERVICE: Schema =
    &[("priority", Field::U16), ("target", Field::Name), ("parameters", Field::Parameters)];

/// The fields of `rtype`; `None` when it can only be written as `\#`.
pub(super) const fn schema(rtype: Rtype) -> Option<Schema> {
    Some(match rtype {
        Rtype::A => &[("address", Field::Ipv4)],
        Rtype::AAAA => &[("address", Field::Ipv6)],
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::DNAME => &[("target", Field::Name)],
        Rtype::MD | Rtype::MF | Rtype::MB | Rtype::MG | Rtype::MR => NAMED,
        Rtype::SOA => &[
            ("primary server", Field::Name),
            ("mailbox", Field::Name),
            ("serial", Field::U32),
            ("refresh", Field::Seconds),
            ("retry", Field::Seconds),
            ("expire", Field::Seconds),
            ("minimum", Field::Seconds),
        ],
        Rtype::MX | Rtype::KX => &[("preference", Field::U16), ("exchange", Field::Name)],
        Rtype::RT => &[("preference", Field::U16), ("host", Field::Name)],
        Rtype::LP => &[("preference", Field::U16), ("pointer", Field::Name)],
        Rtype::AFSDB => &[("subtype", Field::U16), ("host", Field::Name)],
        Rtype::PX => {
            &[("preference", Field::U16), ("RFC 822", Field::Name), ("X.400", Field::Name)]
        }
        Rtype::RP | Rtype::MINFO => &[("mailbox", Field::Name), ("name", Field::Name)],
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::WALLET => &[("text", Field::Texts)],
        Rtype::ISDN => &[("address", Field::Texts)],
        Rtype::X25 => &[("address", Field::Text)],
        Rtype::HINFO => &[("CPU", Field::Text), ("system", Field::Text)],
        Rtype::SRV => &[
            ("priority", Field::U16),
            ("weight", Field::U16),
            ("port", Field::U16),
            ("target", Field::Name),
        ],
        Rtype::NAPTR => &[
            ("order", Field::U16),
            ("preference", Field::U16),
            ("flags", Field::Text),
            ("services", Field::Text),
            ("regular expression", Field::Text),
            ("replacement", Field::Name),
        ],
        Rtype::CAA => &[("flags", Field::U8), ("tag", Field::Tag), ("value", Field::Rest)],
        Rtype::URI => &[("priority", Field::U16), ("weight", Field::U16), ("target", Field::Rest)],
        Rtype::DS | Rtype::CDS => DIGEST,
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::KEY => KEY,
        Rtype::RRSIG | Rtype::SIG => SIGNATURE,
        Rtype::TLSA | Rtype::SMIMEA => ASSOCIATION,
        Rtype::SVCB | Rtype::HTTPS => SERVICE,
        Rtype::SSHFP => {
            &[("algorithm", Field::U8), ("digest type", Field::U8), ("fingerprint", Field::Hex)]
        }
        Rtype::NSEC => &[("next name", Field::Name), ("types", Field::Types)],
        Rtype::NSEC3 => &[
            ("algorithm", Field::U8),
            ("flags", Field::U8),
            ("iterations", Field::U16),
            ("salt", Field::Salt),
            ("next hash", Field::Hash),
            ("types", Field::Types),
        ],
        Rtype::NSEC3PARAM => &[
            ("algorithm", Field::U8),
            ("flags", Field::U8),
            ("iterations", Field::U16),
            ("salt", Field::Salt),
        ],
        Rtype::CSYNC => &[("serial", Field::U32), ("flags", Field::U16), ("types", Field::Types)],
        Rtype::ZONEMD => &[
            ("serial", Field::U32),
            ("scheme", Field::U8),
            ("algorithm", Field::U8),
            ("digest", Field::Hex),
        ],
        Rtype::CERT => &[
            ("certificate type", Field::Certificate),
            ("key tag", Field::U16),
            ("algorithm", Field::U8),
            ("certificate", Field::Base64),
        ],
        Rtype::OPENPGPKEY => &[("public key", Field::Base64)],
        Rtype::DHCID => &[("digest", Field::Base64)],
        Rtype::L32 => &[("preference", Field::U16), ("locator", Field::Ipv4)],
        Rtype::EUI48 => &[("address", Field::Eui(6))],
        Rtype::EUI64 => &[("address", Field::Eui(8))],
        _ => return None,
    })
}
