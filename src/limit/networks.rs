//! Sets of networks, found by bisection however many they are: who has no limit, whose client
//! subnets are believed, who is told what.

use std::net::IpAddr;

/// A set of addresses.
#[derive(Debug, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u128, u128)]>,
    v6: Box<[(u128, u128)]>,
}

/// Clients that something is for, as an operator names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceSpec {
    /// Those in these networks; `None` for everybody.
    pub allow: Option<Vec<(IpAddr, u8)>>,
    /// But not those.
    pub deny: Vec<(IpAddr, u8)>,
}

/// Clients that something is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Audience {
    /// All of them.
    Everybody,
    /// None.
    Nobody,
    /// Those that `allow` has, or all without it, and `deny` has not.
    Some {
        /// Who is in.
        allow: Option<Networks>,
        /// Who is out all the same.
        deny: Networks,
    },
}

impl AudienceSpec {
    /// Everybody.
    pub const fn everybody() -> Self {
        Self { allow: None, deny: Vec::new() }
    }

    /// Nobody.
    pub const fn nobody() -> Self {
        Self { allow: Some(Vec::new()), deny: Vec::new() }
    }
}

impl Audience {
    /// Compiles what was named.
    pub fn new(spec: &AudienceSpec) -> Self {
        match &spec.allow {
            None if spec.deny.is_empty() => Self::Everybody,
            Some(allow) if allow.is_empty() => Self::Nobody,
            allow => Self::Some {
                allow: allow.as_deref().map(Networks::new),
                deny: Networks::new(&spec.deny),
            },
        }
    }

    /// Whether `client` is among them.
    #[inline]
    pub fn has(&self, client: IpAddr) -> bool {
        match self {
            Self::Everybody => true,
            Self::Nobody => false,
            Self::Some { allow, deny } => {
                allow.as_ref().is_none_or(|allow| allow.has(client)) && !deny.has(client)
            }
        }
    }
}

impl Networks {
    /// All addresses of these networks.
    pub(super) fn new(networks: &[(IpAddr, u8)]) -> Self {
        let family = |is_v4| {
            let family = networks.iter().filter(move |(address, _)| address.is_ipv4() == is_v4);
            joined(family.map(|(address, length)| span(*address, *length)).collect())
        };
        Self { v4: family(true), v6: family(false) }
    }

    /// Whether `address` is among them.
    pub fn has(&self, address: IpAddr) -> bool {
        let (spans, at) = match address {
            IpAddr::V4(v4) => (&self.v4, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (&self.v6, v6.to_bits()),
        };
        let after = spans.partition_point(|(first, _)| *first <= at);
        after.checked_sub(1).and_then(|before| spans.get(before)).is_some_and(|span| at <= span.1)
    }
}

/// First and last address of a network.
fn span(address: IpAddr, length: u8) -> (u128, u128) {
    let (first, bits) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host = u32::from(bits - length.min(bits));
    let rest = 1u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
    (first & !rest, first | rest)
}

/// Sorted, and without any that overlap.
fn joined(mut spans: Vec<(u128, u128)>) -> Box<[(u128, u128)]> {
    spans.sort_unstable();
    let mut joined: Vec<(u128, u128)> = Vec::new();
    for (first, last) in spans {
        match joined.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_who_is_allowed_and_not_denied() {
        let network = |text: &str, length| (text.parse().expect("an address"), length);
        let (wide, narrow) = (network("192.0.2.0", 24), network("192.0.2.0", 28));
        let has = |allow, deny| {
            let audience = Audience::new(&AudienceSpec { allow, deny });
            ["192.0.2.1", "192.0.2.200", "2001:db8::1"]
                .map(|client| audience.has(client.parse().expect("an address")))
        };
        assert_eq!(has(None, vec![]), [true, true, true]);
        assert_eq!(has(Some(vec![]), vec![]), [false, false, false]);
        assert_eq!(has(Some(vec![wide]), vec![]), [true, true, false]);
        assert_eq!(has(Some(vec![wide]), vec![narrow]), [false, true, false]);
        assert_eq!(has(None, vec![narrow]), [false, true, true]);
    }

    #[test]
    fn addresses_inside_are_found_and_none_beside() {
        let network = |text: &str, length| (text.parse().expect("an address"), length);
        let exempt = Networks::new(&[
            network("192.0.2.0", 24),
            network("192.0.2.128", 25),
            network("198.51.100.7", 32),
            network("2001:db8::", 32),
        ]);
        let has = |text: &str| exempt.has(text.parse().expect("an address"));
        for inside in ["192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8:ffff::1"] {
            assert!(has(inside), "{inside}");
        }
        for beside in ["192.0.1.255", "192.0.3.0", "198.51.100.8", "2001:db7::", "::c000:200"] {
            assert!(!has(beside), "{beside}");
        }
        assert!(!Networks::new(&[]).has("192.0.2.1".parse().expect("an address")));
        let all = Networks::new(&[network("0.0.0.0", 0), network("::", 0)]);
        assert!(all.has("203.0.113.9".parse().expect("an address")));
        assert!(all.has("2001:db8::1".parse().expect("an address")));
    }
}
