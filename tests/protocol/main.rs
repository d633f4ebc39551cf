//! Behaviour demanded by a standard, one file per RFC, asked of the real road in process.

#[path = "../support/mod.rs"]
mod support;

mod isc_tn_2012_1;
mod reflection;
mod rfc1034;
mod rfc1035;
mod rfc2181;
mod rfc2308;
mod rfc2782;
mod rfc4592;
mod rfc4892;
mod rfc5001;
mod rfc6672;
mod rfc6891;
mod rfc7766;
mod rfc7828;
mod rfc7830;
mod rfc7858;
mod rfc7871;
mod rfc7873;
mod rfc8482;
mod rfc8906;
mod rfc8914;
mod rfc9018;
mod rfc9460;
mod rfc9471;
mod rfc9619;
mod steered;
mod wire;

use support::Server;

/// A zone with one of everything.
const ZONE: &str = r#"
$ORIGIN example.org.
$TTL 1h
@           SOA   ns1 hostmaster 7 2h 30m 14d 5m
            NS    ns1
            NS    ns2.example.net.
            MX    10 mail
ns1         A     192.0.2.1
mail        A     192.0.2.25
            AAAA  2001:db8::25
www         A     192.0.2.80
alias       CNAME www
chain       CNAME alias
away        CNAME www.example.net.
lost        CNAME nowhere
loop-a      CNAME loop-b
loop-b      CNAME loop-a
deep.empty  TXT   "below an empty non-terminal"
*.wild      A     192.0.2.99
*.wild      TXT   "any"
here.wild   A     192.0.2.98
sub.ent.wild A    192.0.2.97
*.wildcname CNAME www
child       NS    ns.child
            NS    ns.example.net.
ns.child    A     192.0.2.54
ns.child    AAAA  2001:db8::54
sibling     NS    ns.child
old         DNAME new
a.new       A     192.0.2.7
big         TXT   "0123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "1123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "2123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "3123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "4123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "5123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "6123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "7123456789012345678901234567890123456789012345678901234567890123456789"
"#;

fn server() -> Server {
    Server::new(&[("zones/example.org.zone", ZONE)])
}
