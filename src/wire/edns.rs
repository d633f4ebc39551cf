//! EDNS (RFC 6891) and the client subnet option (RFC 7871) as they come in a query. Cookies have
//! a file of their own, and so have options that few ask for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cookie::{COOKIE, Cookie};
use super::options::Extras;

/// Option code of the client subnet (RFC 7871 section 6).
pub const CLIENT_SUBNET: u16 = 8;

/// The OPT record of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP answer the sender takes, in octets; below 512 it means 512.
    pub udp_size: u16,
    /// EDNS version asked for.
    pub version: u8,
    /// The DO bit (RFC 3225).
    pub dnssec_ok: bool,
    /// The client subnet, if the option came.
    pub client_subnet: Option<ClientSubnet>,
    /// The cookie, if the option came.
    pub cookie: Option<Cookie>,
    /// What else is asked for, seldom anything.
    pub extras: Extras,
}

/// A client subnet option, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSubnet {
    /// 1 for IPv4, 2 for IPv6; 0 only with a source prefix of 0.
    pub family: u8,
    /// Prefix length in bits the sender gave.
    pub source: u8,
    /// The address's bits from the left, zero past the prefix; of IPv4 the upper 32.
    pub address: u128,
}

/// Why options cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdnsError {
    /// An option is cut off.
    Options,
    /// The client subnet is malformed.
    ClientSubnet,
    /// The cookie is malformed.
    Cookie,
}

impl Edns {
    /// Reads the options in RDATA. Unknown ones are ignored (RFC 6891 section 6.1.2); of
    /// several client subnets or cookies the first counts.
    #[inline]
    pub fn read_options(&mut self, mut options: &[u8]) -> Result<(), EdnsError> {
        while !options.is_empty() {
            if let Some((subnet, rest)) = ClientSubnet::read_usual(options)
                && self.client_subnet.is_none()
            {
                self.client_subnet = Some(subnet);
                options = rest;
                continue;
            }
            let (head, rest) = options.split_first_chunk::<4>().ok_or(EdnsError::Options)?;
            let head = u32::from_be_bytes(*head);
            let length = (head & 0xffff) as usize;
            let (value, rest) = rest.split_at_checked(length).ok_or(EdnsError::Options)?;
            match (head >> 16) as u16 {
                CLIENT_SUBNET if self.client_subnet.is_none() => {
                    let subnet = ClientSubnet::read(value).ok_or(EdnsError::ClientSubnet)?;
                    self.client_subnet = Some(subnet);
                }
                COOKIE if self.cookie.is_none() => {
                    self.cookie = Some(Cookie::read(value).ok_or(EdnsError::Cookie)?);
                }
                code => self.extras.note(code),
            }
            options = rest;
        }
        Ok(())
    }
}

impl ClientSubnet {
    /// Reads a whole option at the front of `options` if it is what most resolvers send, a /24 of
    /// IPv4, in which nothing can be wrong; and returns what follows it.
    #[inline]
    fn read_usual(options: &[u8]) -> Option<(Self, &[u8])> {
        const SOURCE: u8 = 24;
        let (option, rest) = options.split_first_chunk::<11>()?;
        let [head @ .., a, b, c] = *option;
        if head != [0, CLIENT_SUBNET as u8, 0, 7, 0, 1, SOURCE, 0] {
            return None;
        }
        let address = u128::from(u32::from_be_bytes([a, b, c, 0])) << 96;
        Some((Self { family: 1, source: SOURCE, address }, rest))
    }

    /// Reads the option's value. `None` unless all of RFC 7871 section 6 and 7.1.2 holds: a
    /// known family, a prefix that fits it, a scope of 0, exactly the octets the prefix needs,
    /// and no bit set past it.
    #[inline]
    pub fn read(value: &[u8]) -> Option<Self> {
        let ([0, family, source, 0], given) = value.split_first_chunk::<4>()? else {
            return None;
        };
        let longest = match family {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        if *source > longest || given.len() != octets_of(*source) {
            return None;
        }
        let mut octets = [0; 16];
        octets.get_mut(..given.len())?.copy_from_slice(given);
        let address = u128::from_be_bytes(octets);
        // Whole octets have no bits past them.
        if source % 8 != 0 && address << source != 0 {
            return None;
        }
        Some(Self { family: *family, source: *source, address })
    }

    /// The client's address, as far as it is known; `None` when the sender keeps it to itself
    /// (source prefix 0).
    #[inline]
    pub const fn client(&self) -> Option<IpAddr> {
        if self.source == 0 {
            return None;
        }
        match self.family {
            1 => Some(IpAddr::V4(Ipv4Addr::from_bits((self.address >> 96) as u32))),
            _ => Some(IpAddr::V6(Ipv6Addr::from_bits(self.address))),
        }
    }

    /// How many octets of the address the option carries.
    #[inline]
    pub const fn octets(&self) -> usize {
        octets_of(self.source)
    }
}

/// Octets that a prefix of `source` bits takes.
#[inline]
const fn octets_of(source: u8) -> usize {
    (source as usize + 7) >> 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_subnets_give_the_client() {
        let read = |value: &[u8]| ClientSubnet::read(value).expect("good").client();
        assert_eq!(read(&[0, 1, 24, 0, 192, 0, 2]), Some("192.0.2.0".parse().expect("address")));
        assert_eq!(read(&[0, 1, 20, 0, 10, 1, 0xf0]), Some("10.1.240.0".parse().expect("address")));
        let v6 = [0, 2, 48, 0, 0x20, 1, 0x0d, 0xb8, 0, 0xaa];
        assert_eq!(read(&v6), Some("2001:db8:aa::".parse().expect("address")));
        assert_eq!(read(&[0, 1, 0, 0]), None);
        assert_eq!(read(&[0, 0, 0, 0]), None);
    }

    #[test]
    fn the_usual_option_reads_as_any_other() {
        let option = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        let (usual, rest) = ClientSubnet::read_usual(&option).expect("usual");
        assert_eq!((Some(usual), rest), (ClientSubnet::read(&option[4..]), &[][..]));
        for at in 0..8 {
            let mut other = option;
            other[at] ^= 1;
            assert_eq!(ClientSubnet::read_usual(&other), None, "{at}");
        }
        assert_eq!(ClientSubnet::read_usual(&option[..10]), None);
    }

    #[test]
    fn malformed_subnets_are_refused() {
        let cases: [&[u8]; 10] = [
            &[],
            &[0, 1, 24],
            &[0, 3, 8, 0, 1],
            &[1, 1, 8, 0, 1],
            &[0, 0, 8, 0, 1],
            &[0, 1, 33, 0, 1, 2, 3, 4, 5],
            &[0, 1, 24, 0, 1, 2],
            &[0, 1, 24, 0, 1, 2, 3, 0],
            &[0, 1, 20, 0, 10, 1, 0xf8],
            &[0, 1, 24, 24, 192, 0, 2],
        ];
        for value in cases {
            assert_eq!(ClientSubnet::read(value), None, "{value:?}");
        }
    }
}
