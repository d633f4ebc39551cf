//! Who a client is, to choices that stay: its network, hashed alike on every node.

use std::net::IpAddr;

/// How much of an address makes a client, in bits: who shares them is treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyLengths {
    /// Of IPv4, `1..=32`.
    pub v4: u8,
    /// Of IPv6, `1..=64`: what comes after tells interfaces apart, not networks.
    pub v6: u8,
}

impl KeyLengths {
    /// What resolvers send at most of IPv4 (RFC 7871 section 11.1), and what sites have of IPv6
    /// (RFC 6177): longer keys would tell clients apart that look alike.
    pub const DEFAULT: Self = Self { v4: 24, v6: 48 };

    /// How many leading bits of a client's address its key is made of.
    #[inline]
    pub const fn bits(self, client: IpAddr) -> u8 {
        match client.to_canonical() {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

/// A client network as a number that is the same on every node, in every version, and over
/// restarts: no secret goes into it, and changing how it is made would move every client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKey(u64);

/// Odd constants without structure: the fractional parts of the golden ratio and of the square
/// roots of 2 and 3.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const SALT_V4: u64 = 0x6a09_e667_f3bc_c909;
const SALT_V6: u64 = 0xbb67_ae85_84ca_a73b;

impl ClientKey {
    /// The key of a client. An IPv4-mapped address is the IPv4 address it stands for.
    #[inline]
    pub const fn of(client: IpAddr, lengths: KeyLengths) -> Self {
        let (octets, bits, salt) = match client.to_canonical() {
            IpAddr::V4(ip) => ((ip.to_bits() as u64) << 32, lengths.v4, SALT_V4),
            IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64, lengths.v6, SALT_V6),
        };
        let kept = match u64::MAX.checked_shl(64u32.saturating_sub(bits as u32)) {
            Some(mask) => octets & mask,
            None => 0,
        };
        Self(mix(kept ^ salt, FACTOR))
    }

    /// Nobody's key: drawn by chance, for choices that need not stay.
    #[inline]
    pub const fn drawn(chance: u64) -> Self {
        Self(chance)
    }

    /// The key as a word, which is never 0 but for one client in 2^64.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Whether this client is among the `share` of all clients, in 1/65535, that `salt` picks
    /// out. Who is within a share is within every larger one of the same salt.
    #[inline]
    pub const fn is_within(self, share: u16, salt: u64) -> bool {
        share == u16::MAX || (self.with(salt) >> 48) < share as u64
    }

    /// A number that is evenly spread over clients, and for one client has nothing to do with
    /// that of another salt.
    #[inline]
    pub const fn with(self, salt: u64) -> u64 {
        mix(self.0 ^ salt, FACTOR)
    }
}

/// A salt from a name, for [`ClientKey::with`]: alike on every node (FNV-1a, then mixed).
pub fn salt_of(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv, FACTOR)
}

/// Multiplies, and folds the halves of the product together, twice: every bit of `a` reaches
/// every bit of the result.
#[inline]
const fn mix(a: u64, b: u64) -> u64 {
    let once = (a as u128) * (b as u128);
    let once = (once as u64) ^ ((once >> 64) as u64);
    let twice = ((once ^ b) as u128) * (SALT_V4 as u128);
    (twice as u64) ^ ((twice >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(client: &str) -> ClientKey {
        ClientKey::of(client.parse().expect("an address"), KeyLengths::DEFAULT)
    }

    #[test]
    fn those_of_one_network_are_one_client() {
        assert_eq!(key("192.0.2.1"), key("192.0.2.254"));
        assert_ne!(key("192.0.2.1"), key("192.0.3.1"));
        assert_eq!(key("2001:db8:7::1"), key("2001:db8:7:ffff::9"));
        assert_ne!(key("2001:db8:7::1"), key("2001:db8:8::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
    }

    #[test]
    fn a_share_that_grows_loses_nobody_and_comes_out_as_large_as_it_says() {
        let keys: Vec<ClientKey> = (0..50_000u32)
            .map(|n| {
                ClientKey::of(std::net::Ipv4Addr::from_bits(n << 8).into(), KeyLengths::DEFAULT)
            })
            .collect();
        let within = |share| keys.iter().filter(move |key| key.is_within(share, 7));
        for share in [0, 655, 6_553, 32_768, 65_534] {
            let wanted = 50_000.0 * f64::from(share) / 65_536.0;
            let off = (within(share).count() as f64 - wanted).abs();
            assert!(off <= 4.0 * wanted.sqrt(), "{share}: off by {off}");
            assert!(within(share).all(|key| key.is_within(share + 1, 7)));
        }
        assert_eq!(within(0).count(), 0);
        assert_eq!(within(u16::MAX).count(), 50_000);
    }

    #[test]
    fn an_ipv4_network_is_not_the_ipv6_network_that_looks_like_it() {
        assert_ne!(key("32.1.13.0"), key("2001:d00::"));
    }

    #[test]
    fn a_key_of_all_bits_tells_all_apart() {
        let key = |client: &str| {
            let client = client.parse().expect("an address");
            ClientKey::of(client, KeyLengths { v4: 32, v6: 64 })
        };
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("2001:db8::"), key("2001:db8:0:1::"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
    }
}
