//! DNS cookies (RFC 7873): the option as it comes, and server cookies that every server with the
//! same secret understands (RFC 9018). What becomes of a client by its cookie is `server`'s
//! choice; the time and the secrets are arguments.

use std::net::IpAddr;

use super::siphash::Key;

/// Option code (RFC 7873 section 4).
pub const COOKIE: u16 = 10;

/// Octets of the option's value in an answer: client cookie and server cookie.
pub const COOKIE_LENGTH: usize = 24;

/// A server cookie holds for an hour, and may come from a server whose clock is five minutes
/// ahead (RFC 9018 section 4.3). Seconds.
const OLDEST: i32 = 3600;
const NEWEST: i32 = -300;
/// From this age on a client is given a new one (RFC 9018 section 4.3). Seconds.
const RENEWED: i32 = 1800;

/// How long a process keeps a secret it has drawn: RFC 7873 section 7.1 recommends a day.
/// Seconds.
const PERIOD: u64 = 86_400;

/// A COOKIE option: as it came, until [`renew`](Self::renew) puts in what goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// The first eight octets of the option, least significant first, as SipHash reads them.
    client: u64,
    /// The next eight: version, three reserved octets, timestamp (RFC 9018 section 4).
    head: u64,
    /// The last eight.
    hash: u64,
    sent: Sent,
}

/// The server cookie that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// A length this server does not make.
    Foreign,
    Sixteen,
}

/// What a client's cookie says of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It knows cookies and has none of ours yet.
    New,
    /// Its server cookie is too old, or not made for it by a server with our secrets: it counts
    /// as having none (RFC 7873 section 5.2.4).
    Bad,
    /// It receives what is sent to its address.
    Valid,
}

/// The secrets of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Makes cookies, and is accepted.
    pub current: Key,
    /// Is accepted, too: the one before, or the one that comes next (RFC 9018 section 5).
    pub other: Option<Key>,
}

/// Where the secrets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// Drawn by this process; the secret of each day is made of it.
    Drawn(Key),
    /// Shared with other servers, and changed by whoever runs them.
    Shared(Keys),
}

/// The secrets and the time that one thread works with.
#[derive(Debug, Clone, Copy)]
pub struct Jar {
    keys: Keys,
    /// Seconds since 1970, modulo 2^32.
    now: u32,
    /// When other keys are due.
    until: u64,
}

impl Cookie {
    /// Reads the option's value. `None` unless it has 8 octets, or 16 to 40 (RFC 7873
    /// section 5.2.2).
    #[inline]
    pub fn read(value: &[u8]) -> Option<Self> {
        let (client, server) = value.split_first_chunk::<8>()?;
        let mut cookie =
            Self { client: u64::from_le_bytes(*client), head: 0, hash: 0, sent: Sent::Nothing };
        match server.len() {
            0 => {}
            16 => {
                let (head, hash) = server.split_first_chunk::<8>()?;
                cookie.head = u64::from_le_bytes(*head);
                cookie.hash = u64::from_le_bytes(*hash.first_chunk()?);
                cookie.sent = Sent::Sixteen;
            }
            8..=32 => cookie.sent = Sent::Foreign,
            _ => return None,
        }
        Some(cookie)
    }

    /// The option's value as it goes back, once it is [renewed](Self::renew).
    #[inline]
    pub const fn words(&self) -> [[u8; 8]; 3] {
        [self.client.to_le_bytes(), self.head.to_le_bytes(), self.hash.to_le_bytes()]
    }

    /// Says what the cookie of the client at `address` is worth, and puts a new server cookie
    /// into it unless the one it has is good for a while.
    #[inline]
    pub fn renew(&mut self, jar: &Jar, address: IpAddr) -> Standing {
        let standing = match self.sent {
            Sent::Nothing => Standing::New,
            Sent::Foreign => Standing::Bad,
            Sent::Sixteen => match self.check(jar, address) {
                Checked::Fresh => return Standing::Valid,
                Checked::Stale => Standing::Valid,
                Checked::Bad => Standing::Bad,
            },
        };
        self.head = u64::from(jar.now.swap_bytes()) << 32 | 1;
        self.hash = self.hashed(jar.keys.current, address);
        standing
    }

    #[inline]
    fn check(&self, jar: &Jar, address: IpAddr) -> Checked {
        // Serial number arithmetic, as RFC 9018 section 4.3 wants.
        let age = jar.now.wrapping_sub(((self.head >> 32) as u32).swap_bytes()) as i32;
        if self.head & 0xff != 1 || !(NEWEST..=OLDEST).contains(&age) {
            return Checked::Bad;
        }
        if self.hash == self.hashed(jar.keys.current, address) {
            return if age < RENEWED { Checked::Fresh } else { Checked::Stale };
        }
        self.check_other(jar, address)
    }

    #[cold]
    fn check_other(&self, jar: &Jar, address: IpAddr) -> Checked {
        match jar.keys.other {
            Some(key) if self.hash == self.hashed(key, address) => Checked::Stale,
            _ => Checked::Bad,
        }
    }

    /// RFC 9018 section 4.4: over client cookie, version, reserved octets as they came,
    /// timestamp, and address.
    #[inline]
    fn hashed(&self, key: Key, address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(v4) => {
                let last = u64::from(u32::from_le_bytes(v4.octets())) | 20 << 56;
                key.hash([self.client, self.head], last)
            }
            IpAddr::V6(v6) => self.hashed_v6(key, u128::from_le_bytes(v6.octets())),
        }
    }

    #[inline(never)]
    fn hashed_v6(&self, key: Key, address: u128) -> u64 {
        key.hash([self.client, self.head, address as u64, (address >> 64) as u64], 32 << 56)
    }
}

/// How a check of a server cookie ended.
enum Checked {
    /// It may be used on.
    Fresh,
    /// Valid, but to be replaced: old, or made with a secret on its way in or out.
    Stale,
    Bad,
}

impl Jar {
    /// Without keys until it [advances](Self::advance).
    pub const fn empty() -> Self {
        let keys = Keys { current: Key::new([0; 16]), other: None };
        Self { keys, now: 0, until: 0 }
    }

    /// The keys of `secrets` at a time in seconds since 1970.
    pub fn new(secrets: &Secrets, seconds: u64) -> Self {
        match secrets {
            Secrets::Shared(keys) => Self { keys: *keys, now: seconds as u32, until: u64::MAX },
            Secrets::Drawn(root) => {
                let period = seconds / PERIOD;
                let key =
                    |period| Key::of_hashes([0, 1].map(|half| root.hash([period, half], 16 << 56)));
                let other = period.checked_sub(1).map(key);
                let keys = Keys { current: key(period), other };
                Self { keys, now: seconds as u32, until: (period + 1).saturating_mul(PERIOD) }
            }
        }
    }

    /// Moves on to a later time; rarely to other keys.
    #[inline]
    pub fn advance(&mut self, secrets: &Secrets, seconds: u64) {
        self.now = seconds as u32;
        if seconds >= self.until {
            *self = Self::new(secrets, seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn jar() -> Jar {
        Jar::new(&Secrets::Drawn(Key::new([3; 16])), NOW)
    }

    fn address() -> IpAddr {
        "192.0.2.1".parse().expect("an address")
    }

    /// What a client has after it asked at `seconds`.
    fn learned(secrets: &Secrets, seconds: u64) -> Cookie {
        let mut cookie = Cookie::read(b"client!!").expect("8 octets");
        assert_eq!(cookie.renew(&Jar::new(secrets, seconds), address()), Standing::New);
        Cookie::read(&cookie.words().concat()).expect("24 octets")
    }

    #[test]
    fn only_the_lengths_of_the_standard_are_read() {
        let lengths: Vec<usize> =
            (0..60).filter(|length| Cookie::read(&vec![1; *length]).is_some()).collect();
        assert_eq!(lengths, [&[8][..], &(16..=40).collect::<Vec<_>>()].concat());
    }

    #[test]
    fn a_cookie_of_another_length_is_bad() {
        let mut cookie = Cookie::read(&[1; 40]).expect("40 octets");
        assert_eq!(cookie.renew(&jar(), address()), Standing::Bad);
        assert_eq!(cookie.words()[0], [1; 8]);
    }

    #[test]
    fn a_drawn_secret_holds_over_midnight_and_no_longer() {
        let secrets = Secrets::Drawn(Key::new([3; 16]));
        let midnight = NOW - NOW % PERIOD + PERIOD;
        let cookie = learned(&secrets, midnight - 10);
        for (later, standing) in
            [(midnight - 5, Standing::Valid), (midnight + 600, Standing::Valid)]
        {
            let mut jar = Jar::new(&secrets, midnight - 10);
            jar.advance(&secrets, later);
            assert_eq!({ cookie }.renew(&jar, address()), standing, "{later}");
        }
        let keys = |seconds| Jar::new(&secrets, seconds).keys;
        assert_ne!(keys(midnight - 1), keys(midnight));
        assert_eq!(keys(midnight).other, Some(keys(midnight - 1).current));
        assert_ne!(keys(midnight + PERIOD).other, Some(keys(midnight - 1).current));
    }

    #[test]
    fn a_clock_at_zero_has_a_key() {
        let secrets = Secrets::Drawn(Key::new([3; 16]));
        let cookie = learned(&secrets, 0);
        assert_eq!({ cookie }.renew(&Jar::new(&secrets, 1), address()), Standing::Valid);
    }

    #[test]
    fn every_changed_bit_makes_a_cookie_bad() {
        let secrets = Secrets::Drawn(Key::new([3; 16]));
        let good = learned(&secrets, NOW);
        assert_eq!({ good }.renew(&jar(), address()), Standing::Valid);
        for bit in 0..COOKIE_LENGTH * 8 {
            let mut octets = good.words().concat();
            octets[bit / 8] ^= 1 << (bit % 8);
            let mut cookie = Cookie::read(&octets).expect("24 octets");
            assert_eq!(cookie.renew(&jar(), address()), Standing::Bad, "bit {bit}");
        }
    }
}
