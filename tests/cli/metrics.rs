//! Every metric of `docs/metrics.md` is exported and moves, and none is exported that is not
//! in there.

use std::collections::{BTreeMap, BTreeSet};

use meridian::admin::catalog::{CATALOG, Kind};
use meridian::admin::view::HeldView;

use crate::support::{BERLIN, Daemon, Site, run, until_so, zone};
use crate::tls::Certificate;
use crate::tls_files::address;

const DOCUMENTATION: &str = include_str!("../../docs/metrics.md");

/// Name, type and labels of each row of the documentation's table.
fn documented() -> BTreeMap<String, (String, String)> {
    let rows = DOCUMENTATION.lines().filter(|line| line.starts_with("| `meridian_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning, worry] = cells[..] else {
            panic!("not five cells: {row}")
        };
        assert!(!meaning.is_empty() && !worry.is_empty(), "an empty cell: {row}");
        let plain = |cell: &str| cell.replace(['`', ' '], "");
        (plain(name), (plain(kind), plain(labels)))
    })
    .collect()
}

#[test]
fn the_documentation_says_what_the_catalog_says() {
    let documented = documented();
    let catalog: BTreeMap<String, (String, String)> = CATALOG
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            (metric.name.to_owned(), (kind.to_owned(), metric.labels.to_owned()))
        })
        .collect();
    assert_eq!(documented, catalog);
}

/// Names of the series that were exported, histograms without their suffixes.
fn exported(daemon: &Daemon) -> BTreeMap<String, Vec<(String, f64)>> {
    let (_, body) = daemon.get("/metrics");
    let mut series: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (head, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        let value = value.parse().expect("a number");
        series.entry(name.to_owned()).or_default().push((labels.to_owned(), value));
    }
    series
}

#[test]
fn every_metric_moves_and_none_is_undocumented() {
    let site = Site::new();
    crate::tls_files::serve_over_tls(&site, &Certificate::new());
    let operator = join_a_bus(&site);
    let daemon = site.serve();
    let before = exported(&daemon);
    let open = live_a_little(&site, &daemon, &operator);
    let after = exported(&daemon);
    drop(open);

    let names: BTreeSet<&String> = after.keys().collect();
    let documented = documented();
    let expected: BTreeSet<&String> = documented.keys().collect();
    assert_eq!(names, expected);
    for (name, series) in &after {
        let labels = &documented[name].1;
        for (text, _) in series {
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                assert!(text.contains(&format!("{label}=\"")), "{name} lacks {label}: {text}");
            }
        }
        // Constant by its meaning, or moved only by a failure of the machine.
        let still = ["meridian_build_info", "meridian_ready", "meridian_threads_lost"];
        if still.contains(&name.as_str()) || RARE.contains(&name.as_str()) {
            continue;
        }
        assert_ne!(before.get(name), Some(series), "{name} has not moved");
    }
}

/// Moved by what a test cannot make a healthy machine do, or by another node (`bundle.rs`).
const RARE: &[&str] = &[
    "meridian_socket_errors_total",
    "meridian_panics_total",
    "meridian_bus_link_up",
    "meridian_steering_heavy_networks",
];

/// A bus with another node that is not there, and the file of an operator's key; gives the public
/// half and the file.
fn join_a_bus(site: &Site) -> [String; 2] {
    let pki = site.path().join("pki").to_string_lossy().into_owned();
    let done = |args: &[&str]| {
        let ended = run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        ended.out
    };
    done(&["pki", "init", &pki]);
    done(&["pki", "issue", &pki, "ams-1", "--node"]);
    let file = format!("{pki}/ops.seal");
    let public = done(&["key", "generate", &file]);
    let settings = std::fs::read_to_string(site.path().join("meridian.toml")).expect("settings");
    let bus = "[bus]\nkind = \"direct\"\nlisten = \"127.0.0.1:0\"\n\
               nodes = { sin-1 = \"127.0.0.1:1\" }\ncertificate = \"pki/ams-1.pem\"\n\
               key = \"pki/ams-1.key\"\nauthority = \"pki/authority.pem\"\n";
    site.write("meridian.toml", format!("{settings}{bus}"));
    [public.trim().trim_start_matches("key = ").to_owned(), file]
}

/// A query for the root with an OPT that holds a client's cookie (RFC 7873 section 4.1).
const COOKIE_QUERY: &[u8] =
    b"\x00\x01\0\0\0\x01\0\0\0\0\0\x01\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x0812345678";

/// Makes everything happen that is counted; returns connections that are still open.
fn live_a_little(
    site: &Site,
    daemon: &Daemon,
    [public, key]: &[String; 2],
) -> Vec<std::net::TcpStream> {
    use std::io::{Read, Write};
    use std::net::{TcpStream, UdpSocket};
    until_so("the checks", || daemon.status().checks.iter().all(|check| check.state == "up"));
    daemon.ask("text.example.org.", "TXT", BERLIN);
    daemon.ask("below.example.org.", "A", BERLIN);
    daemon.www(BERLIN);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(&[1, 2, 3], daemon.dns).expect("sends");
    socket.send_to(&[0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0], daemon.dns).expect("sends");
    socket.send_to(COOKIE_QUERY, daemon.dns).expect("sends");
    let large = daemon.ask("large.example.org.", "TXT", BERLIN);
    assert_eq!(large.rcode, "NXDOMAIN");
    site.limit_rate();
    let settings = site.path().join("meridian.toml");
    let before = std::fs::read_to_string(settings).expect("settings");
    site.write(
        "meridian.toml",
        format!(
            "{before}[safety]\nmin_regions_on = 1\n[log]\ndecisions = {{ sample = \"100%\" }}\n\
             [area.asia]\nmatch = {{ continent = \"AS\" }}\n\
             [aliases]\nresolvers = \"{}\"\n[vantage.here]\n[node]\nvantage = \"here\"\n\
             [orders]\noperators = {{ ops = {public} }}\n",
            daemon.dns
        ),
    );
    let canary = "[record.\"canary\"]\npolicy = \"failover\"\npools = [\"fra\", \"sin\"]\n\
                  panic = \"50%\"\ncanary = { pool = \"sin\" }\n";
    let capacity = "[pool.fra.capacity]\nqueries = 500\nload = \"push\"\n[pool.sin]";
    let policy = site.policy("nearest").replacen("[pool.sin]", capacity, 1);
    // Asked of a server that refuses.
    let shown = format!(
        "[pool.far]\nmonitor = {{ type = \"tls\", target = \"{}\", verify = false }}\n",
        address(daemon)
    );
    let flattened = "region = \"sin\"\ncname = \"lb.example.net.\"\n\
                     [record.\"far\"]\npools = [\"far\"]\nflatten = true\n";
    site.write("zones/example.org.toml", format!("{policy}{canary}{shown}{flattened}"));
    until_so("answers past the rate", || {
        daemon.www(BERLIN);
        daemon.metric("meridian_dns_rate_limited_total{outcome=\"dry-run\"}") > Some(0.0)
    });
    until_so("a name that cannot be resolved", || {
        daemon.metric("meridian_alias_lookups_total{outcome=\"failed\"}") > Some(0.0)
    });
    until_so("a report of the node's own", || {
        daemon.metric("meridian_vantage_reports_total{vantage=\"here\"}") > Some(0.0)
    });
    until_so("a certificate that is shown", || {
        daemon.get("/metrics").1.contains("meridian_check_certificate_days{")
    });
    let held = daemon.status().rate_limit.networks;
    let of_answers = |held: &HeldView| held.network == "127.0.0.0/24" && held.kind == "answer";
    assert!(held.iter().any(of_answers), "{held:?}");
    until_so("the network in the report", || {
        daemon.run(&["status"]).out.contains("\n  127.0.0.0/24  answer  ")
    });
    let lines: String = (0..40).map(|n| format!("large TXT \"{n:060}\"\n")).collect();
    site.write(
        "zones/example.org.zone",
        zone(2, &format!("{lines}sub NS ns.sub\nns.sub A 192.0.2.1\n")),
    );
    until_so("the second serial", || daemon.status().zones[0].serial == 2);
    daemon.ask("large.example.org.", "TXT", BERLIN);
    daemon.ask("a.sub.example.org.", "A", BERLIN);
    let mut stream = TcpStream::connect(daemon.dns).expect("connects");
    stream.write_all(&[0, 0]).expect("writes");
    let mut rest = Vec::new();
    // A message of length zero ends the connection, by a reset or a close.
    let _ = stream.read_to_end(&mut rest);
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == "198.51.100.20");
    let drain = ["drain", "region.sin", "--reason", "test"];
    assert_eq!(daemon.run(&drain).code, 2, "no region would be left");
    let drained = daemon.run(&[&drain[..], &["--force"]].concat());
    assert_eq!(drained.code, 0, "{}", drained.err);
    let planned = ["down", "pool.fra", "--reason", "test", "--at", "2030-01-01T00:00Z"];
    assert_eq!(daemon.run(&planned).code, 0);
    let finish = ["canary", "finish", "canary.example.org", "--reason", "test", "--force"];
    assert_eq!(daemon.run(&finish).code, 0);
    let order = ["up", "member.198.51.100.20", "--reason", "test", "--everywhere", "--key", key];
    assert_eq!(daemon.run(&[&order[..], &["--as", "nobody"]].concat()).code, 2);
    assert_eq!(daemon.run(&[&order[..], &["--as", "ops"]].concat()).code, 1, "one is not there");
    until_so("the pool to be seen as emptied", || {
        daemon.get("/metrics").1.contains("meridian_pool_answers_alive{")
    });
    site.write("geo/city.mmdb", "this is no database");
    until_so("the refused database", || {
        daemon.metric("meridian_geo_databases_refused") == Some(1.0)
    });
    site.write("zones/example.org.zone", zone(3, "bad A nonsense\n"));
    until_so("the refused reload", || daemon.status().reload.outcome == "refused");
    crowd(daemon)
}

/// Opens more connections than one client may have.
fn crowd(daemon: &Daemon) -> Vec<std::net::TcpStream> {
    let connect = |_| std::net::TcpStream::connect(daemon.dns).ok();
    let all = (0..80).filter_map(connect).collect();
    until_so("connections to be refused", || {
        daemon.metric("meridian_tcp_refused_total{limit=\"client\"}") > Some(0.0)
    });
    all
}
