//! Steered names beside static ones, for the files named after RFCs: one policy and one zone.

use crate::support::Server;

const REGIONS: &str = r#"
[region.fra]
location = [50.11, 8.68]
[region.sin]
location = [1.35, 103.99]
"#;

const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["198.51.100.1"]
[pool.balancer]
region = "fra"
cname  = "lb.example.org."
[pool.regional]
region   = "sin"
delegate = [{ ns = "ns1.sin.example.net.", addresses = ["198.51.100.53"] }]
[record."@"]
policy = "failover"
pools  = ["fra"]
[record."www"]
policy = "failover"
pools  = ["fra"]
[record."*.apps"]
policy = "failover"
pools  = ["fra"]
[record."balanced"]
policy = "failover"
pools  = ["balancer"]
[record."regional"]
policy = "failover"
pools  = ["regional"]
[record."mixed"]
policy = "failover"
pools  = ["regional", "fra"]
[record."under.mixed"]
policy = "failover"
pools  = ["fra"]
[record."stand-in"]
policy = "failover"
pools  = ["fra"]
last_resort = "default"
[record."fenced"]
policy = "failover"
pools  = ["fra"]
last_resort = "nodata"
"#;

const ZONE: &str = r#"
$ORIGIN example.org.
$TTL 1h
@          SOA   ns1 hostmaster 7 2h 30m 14d 5m
           NS    ns1
           TXT   "the apex"
ns1        A     192.0.2.1
lb         A     192.0.2.55
www        TXT   "beside what is steered"
alias      CNAME www
to-apps    CNAME x.apps
rewritten  DNAME apps
here.apps  TXT   "in the way of the wildcard"
sub.ent.apps TXT "below an empty non-terminal"
regional   DS    4711 13 2 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB
fenced     TXT   "still here"
stand-in   CNAME lb
*.aliases  CNAME www
deep.mixed TXT   "below a name that is handed over to some"
*.wild.mixed TXT "any"
cut.mixed  NS    ns.else.test.
cut.mixed  DS    4711 13 2 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB
new.mixed  DNAME apps
"#;

/// Every pool is healthy.
pub(crate) fn server() -> Server {
    Server::new(&[
        ("geo/regions.toml", REGIONS),
        ("zones/example.org.toml", POLICY),
        ("zones/example.org.zone", ZONE),
    ])
}
