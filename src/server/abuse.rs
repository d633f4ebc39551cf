//! What keeps the server from being used against others: who has shown by a cookie that its
//! address is its own, and what becomes of an answer past a network's rate.

use std::net::IpAddr;

use super::stats::{Counter, Thread};
use crate::limit::{Kind, Limit, Ruling};
use crate::wire::cookie::{Jar, Standing};
use crate::wire::edns::Edns;
use crate::wire::response::{Response, Section};
use crate::wire::types::Rcode;

/// Checks the cookie of the client at `address`, and puts in what goes back; `None` without one.
#[inline]
pub(super) fn check_cookie(
    edns: Option<&mut Edns>,
    jar: &Jar,
    address: IpAddr,
    stats: &Thread,
) -> Option<Standing> {
    let standing = edns?.cookie.as_mut()?.renew(jar, address);
    stats.count(match standing {
        Standing::New => Counter::CookieNew,
        Standing::Bad => Counter::CookieBad,
        Standing::Valid => Counter::CookieValid,
    });
    Some(standing)
}

/// The kind of an answer, for the share it counts against.
#[inline]
pub(super) fn kind(response: &Response<'_>) -> Kind {
    match response.rcode() {
        Rcode::NOERROR if response.count(Section::Answer) > 0 => Kind::Answer,
        Rcode::NOERROR if response.is_truncated() => Kind::Answer,
        Rcode::NOERROR if response.is_authoritative() => Kind::Nodata,
        Rcode::NOERROR => Kind::Referral,
        Rcode::NXDOMAIN => Kind::Nxdomain,
        _ => Kind::Error,
    }
}

/// Does as was ruled; false when nothing is to be sent.
///
/// A short answer says how to come through: over TCP, or for a client that knows cookies, with
/// the one that is in the answer (RFC 7873 section 5.2.3). Errors have no short form.
#[cold]
pub(super) fn hold_back(
    ruling: Ruling,
    limit: &Limit,
    standing: Option<Standing>,
    response: &mut Response<'_>,
    stats: &Thread,
) -> bool {
    let is_error = kind(response) == Kind::Error;
    let (counter, is_sent) = match ruling {
        Ruling::Pass => return true,
        Ruling::Exempt => (Counter::LimitExempt, true),
        Ruling::Drop | Ruling::Slip if limit.dry_run => (Counter::LimitDryRun, true),
        Ruling::Slip if !is_error => {
            if standing.is_some() {
                demand_cookie(response);
            } else {
                response.truncate();
            }
            (Counter::LimitSlipped, true)
        }
        Ruling::Drop | Ruling::Slip => (Counter::LimitDropped, false),
    };
    stats.count(counter);
    is_sent
}

/// Answers nothing but "come again with this cookie" (RFC 7873 section 5.2.3).
#[cold]
pub(super) const fn demand_cookie(response: &mut Response<'_>) {
    response.clear();
    response.set_authoritative(false);
    response.set_rcode(Rcode::BADCOOKIE);
}
