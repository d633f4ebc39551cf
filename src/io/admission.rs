//! Who may hold a TCP connection: so many in all, so many for each client.
//!
//! Beyond a limit the newest is refused. To close an older one instead would cut a client off in
//! the middle of its query, and would let a flood push everybody else out; the old ones leave by
//! themselves when they are idle.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections open now, over all threads. The lock is taken when one opens and when it
/// closes, never for a query.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    most_per_client: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    clients: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    client: IpAddr,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Total,
    Client,
}

impl Admission {
    pub(super) fn new(most: usize, most_per_client: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_client, open: Mutex::default() })
    }

    /// Takes one more connection of `client`, or says why not.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Result<Permit, Refusal> {
        let client = holder(client);
        let mut open = self.open();
        if open.total >= self.most {
            return Err(Refusal::Total);
        }
        let mine = open.clients.get(&client).copied().unwrap_or(0);
        if mine >= self.most_per_client {
            return Err(Refusal::Client);
        }
        open.total += 1;
        open.clients.insert(client, mine + 1);
        Ok(Permit { admission: Arc::clone(self), client })
    }

    /// Connections open now.
    pub(super) fn connections(&self) -> usize {
        self.open().total
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // The counts are right after every statement: a panic elsewhere spoils nothing.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.total = open.total.saturating_sub(1);
        match open.clients.get_mut(&self.client) {
            Some(mine) if *mine > 1 => *mine -= 1,
            _ => {
                open.clients.remove(&self.client);
            }
        }
    }
}

/// The one who is counted: an IPv4 address, or the /64 of an IPv6 address, all of which one host
/// can take for itself.
fn holder(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_given_back_makes_room() {
        let admission = Admission::new(2, 1);
        let first = admission.admit(client("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(client("192.0.2.1")).unwrap_err(), Refusal::Client);
        let _second = admission.admit(client("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(client("192.0.2.3")).unwrap_err(), Refusal::Total);
        drop(first);
        assert_eq!(admission.connections(), 1);
        admission.admit(client("192.0.2.1")).unwrap();
        assert_eq!(admission.open().clients.len(), 1);
    }

    #[test]
    fn a_slash_64_is_one_client() {
        let admission = Admission::new(10, 1);
        let _one = admission.admit(client("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(client("2001:db8::2")).unwrap_err(), Refusal::Client);
        admission.admit(client("2001:db8:0:1::1")).unwrap();
    }

    fn client(address: &str) -> IpAddr {
        address.parse().unwrap()
    }
}
