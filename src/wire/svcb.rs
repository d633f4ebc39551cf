//! IANA "Service Parameter Keys (SvcParamKeys)": what stands in SVCB and HTTPS records (RFC 9460
//! section 14.3.2, RFC 9461, RFC 9540).

/// Keys without which the record is not to be used.
pub const MANDATORY: u16 = 0;
/// Protocols.
pub const ALPN: u16 = 1;
/// The default protocol is none of them.
pub const NO_DEFAULT_ALPN: u16 = 2;
/// The port.
pub const PORT: u16 = 3;
/// Addresses of IPv4.
pub const IPV4HINT: u16 = 4;
/// Encrypted ClientHello.
pub const ECH: u16 = 5;
/// Addresses of IPv6.
pub const IPV6HINT: u16 = 6;
/// The template of DNS over HTTPS.
pub const DOHPATH: u16 = 7;
/// Oblivious HTTP.
pub const OHTTP: u16 = 8;
/// Groups of TLS.
pub const GROUPS: u16 = 9;
/// The last that may be used: 65535 is reserved.
pub const LAST_KEY: u16 = 65_534;

/// Keys by the names they have in zone files.
pub const KEYS: [(&str, u16); 10] = [
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6HINT),
    ("dohpath", DOHPATH),
    ("ohttp", OHTTP),
    ("tls-supported-groups", GROUPS),
];
