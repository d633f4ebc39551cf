//! DNS over TLS as an operator runs it: certificates are renewed by whatever writes the files, and
//! asked by a program that is not ours.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;

use crate::support::{Daemon, Site, until, until_so};
use crate::tls::{Certificate, Client};

const SETTINGS: &str = "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n\
    [tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"tls/certificate.pem\"\nkey = \"tls/key.pem\"\n";

/// A query for www.example.org, with its length.
const QUERY: &[u8] = b"\0\x21\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03org\0\0\x01\0\x01";

/// Has the daemon of `site` serve over TLS, besides what it serves by itself.
pub(crate) fn serve_over_tls(site: &Site, certificate: &Certificate) {
    write(site, certificate);
    site.write("meridian.toml", SETTINGS);
}

fn write(site: &Site, certificate: &Certificate) {
    site.write("tls/certificate.pem", &certificate.pem);
    site.write("tls/key.pem", &certificate.key_pem);
}

/// Where the daemon listens for TLS, by its own word.
pub(crate) fn address(daemon: &Daemon) -> SocketAddr {
    until("the address for TLS", || {
        let listeners = daemon.status().listeners;
        listeners.iter().find_map(|text| text.strip_suffix(" (TLS)")?.parse().ok())
    })
}

/// Whether a query is answered over TLS to whoever trusts this certificate.
fn answers(certificate: &Certificate, server: SocketAddr) -> bool {
    asked(&mut certificate.client(server))
}

/// Whether a query is answered, to its last octet.
fn asked(client: &mut Client) -> bool {
    let mut head = [0; 4];
    if client.write_all(QUERY).is_err() || client.read_exact(&mut head).is_err() {
        return false;
    }
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[0], head[1]])) - 2];
    client.read_exact(&mut rest).is_ok() && head[3] == 7
}

#[test]
fn a_renewed_certificate_is_taken_up_without_a_restart() {
    let site = Site::new();
    let (first, second) = (Certificate::new(), Certificate::new());
    serve_over_tls(&site, &first);
    let daemon = site.serve();
    let server = address(&daemon);
    let mut open = first.client(server);
    assert!(asked(&mut open));
    assert!(!answers(&second, server));
    write(&site, &second);
    until_so("the new certificate", || answers(&second, server));
    assert!(!answers(&first, server));
    assert!(asked(&mut open), "who is connected notices nothing");
    let told = daemon.status().tls.expect("a certificate");
    // That of the tests is valid until the year 4096.
    assert!(told.expires_at == 67_090_118_400 && told.expires_in_seconds > 0, "{told:?}");
    let status = daemon.run(&["status"]).out;
    assert!(status.contains("/tls/certificate.pem expires in "), "{status}");
    assert!(
        daemon.metric("meridian_dns_requests_total{transport=\"tls\",family=\"ipv4\"}")
            >= Some(2.0)
    );
}

#[test]
fn a_certificate_that_does_not_fit_its_key_changes_nothing() {
    let site = Site::new();
    let (first, second) = (Certificate::new(), Certificate::new());
    serve_over_tls(&site, &first);
    let daemon = site.serve();
    let server = address(&daemon);
    site.write("tls/key.pem", &second.key_pem);
    until_so("the refusal", || daemon.status().reload.outcome == "refused");
    let faults = daemon.status().reload.faults;
    let told = "certificate and key cannot be used together";
    assert!(faults.iter().any(|fault| fault.contains(told)), "{faults:?}");
    assert!(faults.iter().all(|fault| !fault.contains("PRIVATE")), "no fault shows the key");
    assert!(answers(&first, server));
}

/// A renewal that went wrong in any other way: the old certificate stays, status says why, and the
/// next renewal that is whole is taken up.
#[test]
fn broken_files_keep_the_old_certificate_and_show_in_status() {
    let site = Site::new();
    let (first, second) = (Certificate::new(), Certificate::new());
    serve_over_tls(&site, &first);
    let daemon = site.serve();
    let server = address(&daemon);
    let mut open = first.client(server);
    assert!(asked(&mut open));
    let half = &second.pem[..second.pem.len() / 2];
    for (text, told) in [
        ("", "there is no certificate in this file"),
        (half, "this is no PEM"),
        (&*second.key_pem, "there is no certificate in this file"),
    ] {
        site.write("tls/certificate.pem", text);
        until_so(told, || {
            let reload = daemon.status().reload;
            reload.outcome == "refused" && reload.faults.iter().any(|fault| fault.contains(told))
        });
        assert!(answers(&first, server), "{told}");
    }
    std::fs::remove_file(site.path().join("tls/certificate.pem")).expect("a file");
    until_so("the missing file", || {
        daemon.status().reload.faults.iter().any(|fault| fault.contains("cannot read"))
    });
    assert!(answers(&first, server) && asked(&mut open));
    write(&site, &second);
    until_so("the new certificate", || answers(&second, server));
    assert!(asked(&mut open));
}

/// Knot's client: it verifies the name, agrees on a protocol, pads, and asks twice on one connection.
#[test]
fn kdig_asks_over_tls_and_is_answered_with_padding() {
    let site = Site::new();
    let certificate = Certificate::new();
    serve_over_tls(&site, &certificate);
    let daemon = site.serve();
    let server = address(&daemon);
    let kdig = |options: &[&str]| {
        let ended = Command::new("kdig")
            .arg(format!("@{}", server.ip()))
            .args(["-p", &server.port().to_string()])
            .arg(format!("+tls-ca={}", site.path().join("tls/certificate.pem").display()))
            .args(options)
            .args(["www.example.org", "A"])
            .output()
            .expect("kdig runs: tests/setup installs it");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    let padded = kdig(&["+tls", "+tls-hostname=ns1.example.org", "+padding", "+edns"]);
    assert!(padded.contains("status: NOERROR"), "{padded}");
    assert!(padded.contains("PADDING"), "{padded}");
    assert!(padded.contains("Received 468 B"), "{padded}");
    let plain = kdig(&["+tls", "+tls-hostname=ns1.example.org", "+edns", "+nopadding"]);
    assert!(plain.contains("status: NOERROR") && !plain.contains("PADDING"), "{plain}");
    let wrong = kdig(&["+tls", "+tls-hostname=ns2.example.org", "+retry=0"]);
    assert!(!wrong.contains("status: NOERROR"), "{wrong}");
}
