//! What a steered name answers beside single addresses: HTTPS, SRV, MX, TXT, pools by name, and
//! several addresses in order.

use std::collections::BTreeSet;

use meridian::health::table::Verdict;
use meridian::region::PoolId;

use crate::support::{Server, ask, lines, scope, shape};
use crate::{BERLIN, LONDON, NEW_YORK, SYDNEY, ZONE, server, with_policy};

/// The RDATA of the answer section, for a client network.
fn rdata(server: &mut Server, name: &str, qtype: &str, client: &str) -> Vec<String> {
    let message = server.ask(&ask(name, qtype).subnet(client));
    // The decoder ends some parameters in a comma.
    let plain = |text: String| text.replace(", ", " ").trim_end_matches(',').to_owned();
    message.answers.iter().map(|record| plain(record.data.to_string())).collect()
}

fn one(server: &mut Server, name: &str, qtype: &str, client: &str) -> String {
    let all = rdata(server, name, qtype, client);
    let [only] = &all[..] else { panic!("{name} {qtype}: {all:?}") };
    only.clone()
}

const WWW: &str = r#"
[record."www"]
policy = "nearest"
pools  = ["fra", "dub", "iad", "sin"]
https  = { alpn = ["h2", "h3"] }
"#;

// --- HTTPS -----------------------------------------------------------------------------------

#[test]
fn an_https_record_hints_at_the_addresses_its_client_gets() {
    let mut server = server(WWW);
    for (client, v4, v6) in
        [(LONDON, "192.0.2.20", "2001:db8:d::10"), (NEW_YORK, "192.0.2.30", "2001:db8:1::10")]
    {
        let https = one(&mut server, "www.example.org", "HTTPS", client);
        assert_eq!(https, format!("1 . alpn=h2,h3 ipv4hint={v4} ipv6hint={v6}"));
        assert_eq!(one(&mut server, "www.example.org", "A", client), v4);
        assert_eq!(one(&mut server, "www.example.org", "AAAA", client), v6);
    }
}

#[test]
fn each_family_is_hinted_at_from_where_it_is_alive() {
    let mut server = server(WWW);
    // Singapore has no IPv6: as with AAAA, its clients get the next region's.
    let aaaa = one(&mut server, "www.example.org", "AAAA", SYDNEY);
    let https = one(&mut server, "www.example.org", "HTTPS", SYDNEY);
    assert_eq!(https, format!("1 . alpn=h2,h3 ipv4hint=192.0.2.40 ipv6hint={aaaa}"));
}

#[test]
fn hints_follow_health_as_addresses_do() {
    let mut server = server(WWW);
    server.region("dub", Verdict::Down);
    let https = one(&mut server, "www.example.org", "HTTPS", LONDON);
    assert!(https.contains("ipv6hint=2001:db8:f::10"), "{https}");
    assert!(!https.contains("192.0.2.20"), "{https}");
}

#[test]
fn scope_and_ttl_are_those_of_the_addresses() {
    let mut server = server(WWW);
    for client in [BERLIN, LONDON, NEW_YORK, SYDNEY] {
        let a = server.ask(&ask("www.example.org", "A").subnet(client));
        let aaaa = server.ask(&ask("www.example.org", "AAAA").subnet(client));
        let https = server.ask(&ask("www.example.org", "HTTPS").subnet(client));
        assert_eq!(scope(&https), scope(&a).max(scope(&aaaa)));
        assert_eq!(https.answers[0].ttl, a.answers[0].ttl);
    }
}

#[test]
fn what_a_pool_says_of_its_service_wins() {
    let pools = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10"]
https   = { port = 8443, alpn = ["h2"], ech = "AAz+DQAIAAAAAAAAAAA=" }
[pool.dub]
region  = "dub"
members = ["192.0.2.20"]
https   = { ech = false }
[record."www"]
policy = "failover"
pools  = ["fra", "dub"]
https  = { alpn = ["h3", "h2"], ech = "AAz+DQAIAQEBAQEBAQE=" }
"#;
    let mut server = with_policy(pools, ZONE);
    let https = one(&mut server, "www.example.org", "HTTPS", BERLIN);
    assert!(https.starts_with("1 . alpn=h2 port=8443 ipv4hint=192.0.2.10 ech="), "{https}");
    assert!(https.contains("AAz+DQAIAAAAAAAAAAA="), "{https}");
    server.region("fra", Verdict::Down);
    let https = one(&mut server, "www.example.org", "HTTPS", BERLIN);
    assert_eq!(https, "1 . alpn=h3,h2 ipv4hint=192.0.2.20");
}

#[test]
fn several_pools_of_one_service_make_one_record() {
    let mut server = server(&WWW.replace("https ", "answers = 2\nhttps "));
    let https = one(&mut server, "www.example.org", "HTTPS", LONDON);
    let a = rdata(&mut server, "www.example.org", "A", LONDON);
    assert_eq!(a[0], "192.0.2.20");
    assert!(https.contains("ipv4hint=192.0.2.20,192.0.2.1"), "{https}");
}

#[test]
fn several_pools_of_unlike_services_are_told_apart_and_ranked() {
    let policy = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10"]
https   = { port = 8443 }
[pool.dub]
region  = "dub"
members = ["192.0.2.20"]
[record."www"]
policy  = "nearest"
pools   = ["fra", "dub"]
answers = 2
https   = { alpn = "h2" }
"#;
    let mut server = with_policy(policy, ZONE);
    let london = rdata(&mut server, "www.example.org", "HTTPS", LONDON);
    assert_eq!(
        london,
        ["1 . alpn=h2 ipv4hint=192.0.2.20", "2 . alpn=h2 port=8443 ipv4hint=192.0.2.10"]
    );
}

#[test]
fn where_chance_picks_both_families_are_of_one_pool() {
    for policy in ["weighted", "round-robin"] {
        let records = WWW.replace("nearest", policy).replace(", \"sin\"", "");
        let mut server = server(&records);
        let mut seen = BTreeSet::new();
        for _ in 0..300 {
            let https = one(&mut server, "www.example.org", "HTTPS", BERLIN);
            let pool = |region: &str, v4: &[&str], v6: &str| {
                let is = v4.iter().any(|ip| https.contains(&format!("ipv4hint={ip} ")))
                    && https.contains(&format!("ipv6hint={v6}"));
                is.then(|| region.to_owned())
            };
            let found = pool("fra", &["192.0.2.10", "192.0.2.11"], "2001:db8:f::10")
                .or_else(|| pool("dub", &["192.0.2.20"], "2001:db8:d::10"))
                .or_else(|| pool("iad", &["192.0.2.30"], "2001:db8:1::10"));
            seen.insert(found.unwrap_or_else(|| panic!("{policy}: of two pools: {https}")));
        }
        assert_eq!(seen.len(), 3, "{policy}: {seen:?}");
    }
}

#[test]
fn a_pool_by_name_answers_its_alias_to_https_too() {
    let policy = r#"
[pool.iad]
region = "iad"
cname  = "lb.iad.example.net."
[record."www"]
pools = ["iad"]
https = { alpn = ["h2"] }
"#;
    let mut server = with_policy(policy, &ZONE.replace("www 60 TXT static", ""));
    let message = server.ask(&ask("www.example.org", "HTTPS"));
    assert_eq!(lines(&message.answers), ["www.example.org. 30 CNAME lb.iad.example.net."]);
}

#[test]
fn a_stand_in_is_promised_nothing() {
    let records = format!("{WWW}fence = true\nlast_resort = \"nodata\"\n");
    let mut server = server(&records);
    for region in ["fra", "dub", "iad", "sin"] {
        server.region(region, Verdict::Down);
    }
    let message = server.ask(&ask("www.example.org", "HTTPS"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
}

#[test]
fn hints_can_be_left_out_and_belong_to_the_owner_only() {
    for https in
        ["{ alpn = [\"h2\"], hints = false }", "{ alpn = [\"h2\"], target = \"lb.example.net.\" }"]
    {
        let mut server = server(&WWW.replace("{ alpn = [\"h2\", \"h3\"] }", https));
        let https = one(&mut server, "www.example.org", "HTTPS", BERLIN);
        assert!(!https.contains("hint"), "{https}");
    }
}

#[test]
fn a_service_can_lead_to_each_pools_own_name() {
    let https = "https  = { alpn = [\"h2\"], target = \"@pool\" }\npool_names = true";
    let mut server = server(&WWW.replace("https  = { alpn = [\"h2\", \"h3\"] }", https));
    let https = one(&mut server, "www.example.org", "HTTPS", LONDON);
    assert_eq!(https, "1 dub.www.example.org. alpn=h2 ipv4hint=192.0.2.20 ipv6hint=2001:db8:d::10");
    assert_eq!(one(&mut server, "dub.www.example.org", "A", NEW_YORK), "192.0.2.20");
}

// --- SRV and MX ------------------------------------------------------------------------------

const BALANCERS: &str = r#"
[pool.fra]
region = "fra"
cname  = "sip.fra.example.net."
[pool.iad]
region = "iad"
cname  = "sip.iad.example.net."
srv    = { port = 5070 }
"#;

#[test]
fn srv_names_pools_in_order_of_preference() {
    let record = r#"
[record."_sip._tcp"]
policy  = "nearest"
pools   = ["fra", "iad"]
answers = 2
srv     = { port = 5060, priority = 10 }
"#;
    let mut server = with_policy(&format!("{BALANCERS}{record}"), ZONE);
    let near_fra = ["10 0 5060 sip.fra.example.net.", "11 0 5070 sip.iad.example.net."];
    assert_eq!(rdata(&mut server, "_sip._tcp.example.org", "SRV", BERLIN), near_fra);
    let near_iad = ["10 0 5070 sip.iad.example.net.", "11 0 5060 sip.fra.example.net."];
    assert_eq!(rdata(&mut server, "_sip._tcp.example.org", "SRV", NEW_YORK), near_iad);
    server.region("fra", Verdict::Down);
    let left = ["10 0 5070 sip.iad.example.net."];
    assert_eq!(rdata(&mut server, "_sip._tcp.example.org", "SRV", BERLIN), left);
    // Its pools are hosts, not aliases.
    let message = server.ask(&ask("_sip._tcp.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
}

#[test]
fn srv_leaves_the_draw_to_clients_where_it_is_spread() {
    let record = r#"
[record."_sip._tcp"]
policy  = "weighted"
pools   = { fra = 95, iad = 5 }
answers = 2
srv     = { port = 5060, spread = true }
"#;
    let mut server = with_policy(&format!("{BALANCERS}{record}"), ZONE);
    let mut all = rdata(&mut server, "_sip._tcp.example.org", "SRV", BERLIN);
    all.sort();
    assert_eq!(all, ["0 5 5070 sip.iad.example.net.", "0 95 5060 sip.fra.example.net."]);
}

#[test]
fn srv_of_pools_with_addresses_names_the_pools() {
    let records = r#"
[record."www"]
policy     = "nearest"
pools      = ["fra", "dub", "iad", "sin"]
pool_names = true
[record."_https._tcp"]
policy  = "nearest"
pools   = ["fra", "dub"]
srv     = { port = 443, names = "www" }
"#;
    let mut server = server(records);
    let srv = one(&mut server, "_https._tcp.example.org", "SRV", LONDON);
    assert_eq!(srv, "0 0 443 dub.www.example.org.");
    assert_eq!(one(&mut server, "dub.www.example.org", "A", BERLIN), "192.0.2.20");
    assert_eq!(one(&mut server, "_https._tcp.example.org", "A", LONDON), "192.0.2.20");
}

#[test]
fn mx_names_pools_by_preference_beside_addresses() {
    let records = r#"
[record."@"]
policy     = "failover"
pools      = ["dub", "iad"]
answers    = 2
pool_names = true
mx         = { preference = 5 }
"#;
    let mut server = server(records);
    let mx = rdata(&mut server, "example.org", "MX", BERLIN);
    assert_eq!(mx, ["5 dub.example.org.", "6 iad.example.org."]);
    assert_eq!(rdata(&mut server, "example.org", "A", BERLIN), ["192.0.2.20", "192.0.2.30"]);
    assert_eq!(one(&mut server, "iad.example.org", "A", BERLIN), "192.0.2.30");
}

// --- TXT -------------------------------------------------------------------------------------

#[test]
fn texts_are_those_of_the_pool_that_was_picked() {
    let long = "x".repeat(300);
    let policy = format!(
        r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10"]
txt     = ["in Frankfurt", "{long}"]
[pool.iad]
region  = "iad"
members = ["192.0.2.30"]
[record."www"]
policy = "nearest"
pools  = ["fra", "iad"]
"#
    );
    let mut server = with_policy(&policy, ZONE);
    let berlin = server.ask(&ask("www.example.org", "TXT").subnet(BERLIN));
    assert_eq!(berlin.answers.len(), 2);
    assert_eq!(lines(&berlin.answers)[0], "www.example.org. 30 TXT in Frankfurt");
    let hickory_proto::rr::RData::TXT(text) = &berlin.answers[1].data else { panic!("no text") };
    let pieces: Vec<usize> = text.txt_data.iter().map(|piece| piece.len()).collect();
    assert_eq!(pieces, [255, 45]);
    // A pool without texts leaves what the zone file has.
    let new_york = server.ask(&ask("www.example.org", "TXT").subnet(NEW_YORK));
    assert_eq!(lines(&new_york.answers), ["www.example.org. 60 TXT static"]);
    assert!(scope(&new_york).is_some_and(|scope| scope > 0));
}

// --- Names of pools --------------------------------------------------------------------------

const NAMED: &str = r#"
[record."www"]
policy     = "nearest"
pools      = ["fra", "dub", "iad", "sin"]
pool_names = true
"#;

#[test]
fn each_pool_has_a_name_of_its_own() {
    let mut server = server(NAMED);
    for client in [BERLIN, SYDNEY] {
        assert_eq!(one(&mut server, "dub.www.example.org", "A", client), "192.0.2.20");
        assert_eq!(one(&mut server, "iad.www.example.org", "AAAA", client), "2001:db8:1::10");
    }
    let drawn: BTreeSet<String> =
        (0..100).map(|_| one(&mut server, "fra.www.example.org", "A", BERLIN)).collect();
    assert_eq!(drawn.len(), 2);
    let message = server.ask(&ask("dub.www.example.org", "A").subnet(BERLIN));
    assert_eq!(scope(&message), Some(0));
    // It has a name whatever its health; the answer is what there is.
    server.region("dub", Verdict::Down);
    assert_eq!(one(&mut server, "dub.www.example.org", "A", BERLIN), "192.0.2.20");
}

#[test]
fn names_of_pools_are_names_of_the_zone() {
    let mut server = server(NAMED);
    for (name, qtype, expected) in [
        ("sin.www.example.org", "AAAA", "NOERROR aa 0/1/0"),
        ("sin.www.example.org", "TXT", "NOERROR aa 0/1/0"),
        ("gru.www.example.org", "A", "NXDOMAIN aa 0/1/0"),
        ("x.sin.www.example.org", "A", "NXDOMAIN aa 0/1/0"),
        ("sin.www.example.org", "DS", "NOERROR aa 0/1/0"),
        ("SIN.www.example.org", "A", "NOERROR aa 1/0/0"),
    ] {
        assert_eq!(shape(&server.ask(&ask(name, qtype))), expected, "{name} {qtype}");
    }
}

#[test]
fn a_wildcard_does_not_reach_past_names_of_pools() {
    let records = format!("{NAMED}[record.\"*\"]\npools = [\"sin\"]\n");
    let mut server = server(&records);
    // "www" exists, so its closest encloser is itself (RFC 4592 section 3.3.1).
    let message = server.ask(&ask("gru.www.example.org", "A"));
    assert_eq!(shape(&message), "NXDOMAIN aa 0/1/0");
    assert_eq!(one(&mut server, "else.example.org", "A", BERLIN), "192.0.2.40");
}

// --- Several addresses -----------------------------------------------------------------------

const SEVERAL: &str = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
answers = 3
[pool.iad]
region  = "iad"
members = ["192.0.2.30", "192.0.2.31"]
answers = 2
[record."www"]
policy  = "nearest"
pools   = ["fra", "iad"]
answers = 2
"#;

fn octets(server: &mut Server, client: &str) -> Vec<u8> {
    let all = rdata(server, "www.example.org", "A", client);
    all.iter().map(|ip| ip.rsplit('.').next().and_then(|o| o.parse().ok()).expect("ip")).collect()
}

#[test]
fn by_default_the_preferred_pool_stands_first_and_its_members_by_lot() {
    let mut server = with_policy(SEVERAL, ZONE);
    let mut heads = BTreeSet::new();
    for _ in 0..200 {
        let all = octets(&mut server, NEW_YORK);
        assert!(all[..2].iter().all(|octet| *octet >= 30), "{all:?}");
        assert!(all[2..].iter().all(|octet| *octet < 30), "{all:?}");
        heads.insert(all[0]);
    }
    assert_eq!(heads, BTreeSet::from([30, 31]));
}

#[test]
fn fixed_is_the_order_of_the_file() {
    let mut server = with_policy(&format!("{SEVERAL}order = \"fixed\"\n"), ZONE);
    for client in [BERLIN, NEW_YORK] {
        for _ in 0..20 {
            assert_eq!(octets(&mut server, client), [10, 11, 12, 30, 31]);
        }
    }
    server.set(PoolId(0), Verdict::Down);
    assert_eq!(octets(&mut server, BERLIN), [30, 31]);
}

#[test]
fn shuffled_every_address_comes_first_equally_often() {
    let mut server = with_policy(&format!("{SEVERAL}order = \"shuffle\"\n"), ZONE);
    let mut first = std::collections::BTreeMap::new();
    for _ in 0..5000 {
        let mut all = octets(&mut server, NEW_YORK);
        *first.entry(all[0]).or_insert(0) += 1;
        all.sort_unstable();
        assert_eq!(all, [10, 11, 12, 30, 31]);
    }
    // 1000 each; a deviation of 28 is usual, of 150 never.
    assert!(first.values().all(|count| (850..1150).contains(count)), "{first:?}");
}
