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
    /// One character string, or nothing.
    TextOrNone,
    /// One or more character strings, to the end.
    Texts,
    /// Text without length, to the end of the RDATA.
    Rest,
    /// A decimal number as a character string (RFC 1712 section 3).
    Decimal,
    /// Digits as a character string (RFC 1183 section 3.1).
    Digits,
    /// Hex digits to the end, blanks allowed.
    Hex,
    /// Base64 to the end, blanks allowed.
    Base64,
    /// As [`Field::Base64`], or nothing.
    Base64OrNone,
    /// As [`Field::Base64`], `-` for none.
    Base64OrDash,
    /// Hex with a length octet, `-` for none (RFC 5155 section 3.3).
    Salt,
    /// Base32hex with a length octet.
    Hash,
    /// Type mnemonics to the end, as a bitmap (RFC 4034 section 4.1.2).
    Types,
    /// As [`Field::Types`], in the one bitmap of RFC 2535 section 5.2.
    OldTypes,
    /// A certificate type, number or mnemonic (RFC 4398 section 2.1).
    Certificate,
    /// A DNSSEC algorithm, number or mnemonic (RFC 4034 appendix A.1).
    Algorithm,
    /// How a change is told: number or `NOTIFY` (RFC 9859 section 2.1).
    Scheme,
    /// Pairs of hex digits with hyphens: this many (RFC 7043).
    Eui(u8),
    /// Four groups of hex digits with colons (RFC 6742 section 2.1).
    Locator,
    /// Service parameters (RFC 9460).
    Parameters,
    /// Latitude, longitude, altitude and how exact they are (RFC 1876 section 3).
    Location,
    /// Address prefixes (RFC 3123 section 5).
    Prefixes,
    /// An IP protocol, number or name (RFC 1035 section 3.4.2).
    Protocol,
    /// Ports or names of services, as a bitmap.
    Services,
    /// 0 or 1, the highest bit of an octet.
    HighBit,
    /// A number up to 127 in the same octet.
    LowBits,
    /// What the second octet of the RDATA says: nothing (`.`), an address or a name (RFC 4025
    /// section 2.5, RFC 8777 section 4.2.4).
    Gateway,
    /// Base64 to the end; nothing when the third octet, the algorithm, is 0 (RFC 4025
    /// section 2.4).
    IpsecKey,
    /// The lengths of what follows and this number (RFC 8005 section 5).
    HipAlgorithm,
    /// Hex digits whose length stands in front.
    HipTag,
    /// Base64 without blanks whose length stands in front.
    HipKey,
    /// Names to the end.
    Names,
    /// `0x` and hex digits with dots anywhere (RFC 1706 section 6).
    Nsap,
    /// `+` and digits, or hex digits with dots (ATM Forum af-saa-0069).
    Atm,
    /// The rest of an address and the name of its prefix (RFC 2874 section 3.1).
    Suffix,
    /// 64 bits.
    U64,
}

impl Field {
    /// It takes every token to the end.
    pub(super) const fn is_last(self) -> bool {
        self.may_be_absent() && !matches!(self, Self::TextOrNone)
            || matches!(self, Self::Texts | Self::Hex | Self::Base64 | Self::Base64OrDash)
            || matches!(self, Self::Location)
    }

    /// It is text, which may stand in quotes (RFC 1035 section 5.1). Numbers, names and
    /// addresses may not; BIND and Knot refuse them so, too.
    pub(super) const fn may_be_quoted(self) -> bool {
        matches!(self, Self::Text | Self::Texts | Self::TextOrNone | Self::Rest | Self::Tag)
            || matches!(self, Self::Decimal | Self::Digits | Self::Parameters)
    }

    /// It may have no token.
    pub(super) const fn may_be_absent(self) -> bool {
        matches!(self, Self::TextOrNone | Self::Base64OrNone | Self::Types | Self::OldTypes)
            || matches!(self, Self::Parameters | Self::Prefixes | Self::Services | Self::Names)
            || matches!(self, Self::Suffix | Self::IpsecKey)
    }
}

/// The fields of one type, each with the name the RFCs give it.
pub(super) type Schema = &'static [(&'static str, Field)];

const NAMED: Schema = &[("name", Field::Name)];
const TEXTS: Schema = &[("text", Field::Texts)];
const DIGEST: Schema = &[
    ("key tag", Field::U16),
    ("algorithm", Field::Algorithm),
    ("digest type", Field::U8),
    ("digest", Field::Hex),
];
const KEY: Schema = &[
    ("flags", Field::U16),
    ("protocol", Field::U8),
    ("algorithm", Field::Algorithm),
    ("public key", Field::Base64),
];
/// RFC 2535 section 3.1.2: the flags may say that there is no key.
const OLD_KEY: Schema = &[KEY[0], KEY[1], KEY[2], ("public key", Field::Base64OrNone)];
const SIGNATURE: Schema = &[
    ("type covered", Field::Type),
    ("algorithm", Field::Algorithm),
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
        Rtype::MD | Rtype::MF | Rtype::MB | Rtype::MG | Rtype::MR | Rtype::NSAP_PTR => NAMED,
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
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::NINFO => TEXTS,
        Rtype::RESINFO | Rtype::WALLET | Rtype::CLA => TEXTS,
        Rtype::ISDN => &[("address", Field::Text), ("subaddress", Field::TextOrNone)],
        Rtype::X25 => &[("address", Field::Digits)],
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
        Rtype::DS | Rtype::CDS | Rtype::TA | Rtype::DLV => DIGEST,
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::RKEY => KEY,
        Rtype::KEY => OLD_KEY,
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
            ("algorithm", Field::Algorithm),
            ("certificate", Field::Base64),
        ],
        Rtype::OPENPGPKEY => &[("public key", Field::Base64)],
        Rtype::DHCID => &[("digest", Field::Base64)],
        Rtype::L32 => &[("preference", Field::U16), ("locator", Field::Ipv4)],
        Rtype::NID => &[("preference", Field::U16), ("node ID", Field::Locator)],
        Rtype::L64 => &[("preference", Field::U16), ("locator", Field::Locator)],
        Rtype::EUI48 => &[("address", Field::Eui(6))],
        Rtype::EUI64 => &[("address", Field::Eui(8))],
        Rtype::LOC => &[("location", Field::Location)],
        Rtype::APL => &[("prefixes", Field::Prefixes)],
        Rtype::IPSECKEY => &[
            ("precedence", Field::U8),
            ("gateway type", Field::U8),
            ("algorithm", Field::U8),
            ("gateway", Field::Gateway),
            ("public key", Field::IpsecKey),
        ],
        Rtype::AMTRELAY => &[
            ("precedence", Field::U8),
            ("discovery optional", Field::HighBit),
            ("relay type", Field::LowBits),
            ("relay", Field::Gateway),
        ],
        Rtype::HIP => &[
            ("public key algorithm", Field::HipAlgorithm),
            ("host identity tag", Field::HipTag),
            ("public key", Field::HipKey),
            ("rendezvous servers", Field::Names),
        ],
        Rtype::DSYNC => &[
            ("type", Field::Type),
            ("scheme", Field::Scheme),
            ("port", Field::U16),
            ("target", Field::Name),
        ],
        Rtype::HHIT | Rtype::BRID => &[("data", Field::Base64)],
        Rtype::IPN => &[("number", Field::U64)],
        Rtype::DOA => &[
            ("enterprise", Field::U32),
            ("type", Field::U32),
            ("location", Field::U8),
            ("media type", Field::Text),
            ("data", Field::Base64OrDash),
        ],
        Rtype::TALINK => &[("previous", Field::Name), ("next", Field::Name)],
        Rtype::WKS => &[
            ("address", Field::Ipv4),
            ("protocol", Field::Protocol),
            ("services", Field::Services),
        ],
        Rtype::NSAP => &[("address", Field::Nsap)],
        Rtype::GPOS => &[
            ("longitude", Field::Decimal),
            ("latitude", Field::Decimal),
            ("altitude", Field::Decimal),
        ],
        Rtype::NXT => &[("next name", Field::Name), ("types", Field::OldTypes)],
        Rtype::EID | Rtype::NIMLOC => &[("data", Field::Hex)],
        Rtype::ATMA => &[("address", Field::Atm)],
        Rtype::A6 => &[("prefix length", Field::U8), ("suffix", Field::Suffix)],
        Rtype::SINK => &[
            ("meaning", Field::U8),
            ("coding", Field::U8),
            ("subcoding", Field::U8),
            ("data", Field::Base64),
        ],
        _ => return None,
    })
}
