//! `meridian demo`, driven through a pipe.

use std::io::Write;
use std::process::Stdio;

use crate::support::{binary, ended};

#[test]
fn a_region_fails_and_returns_and_the_answers_move() {
    let mut child = binary()
        .args(["demo", "--port", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let script = "ask 192.0.2.7\nask 198.51.100.7\nask 203.0.113.7\nfail fra\nask 192.0.2.7\n\
                  explain 192.0.2.7\nstatus\nrestore fra\nask 192.0.2.7\nfail nrt\nask nobody\n\
                  dance\nhelp\nquit\n";
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("writes");
    let ended = ended(child.wait_with_output().expect("ends"));
    assert_eq!((ended.code, &*ended.err), (0, ""), "{}", ended.out);
    let out = &ended.out;
    let mut rest = out.as_str();
    for part in [
        "www.example.org A +subnet=192.0.2.0/24",
        "# Berlin: expect 127.0.0.11 (fra)",
        "# New York: expect 127.0.0.12 (iad)",
        "# Tokyo: expect 127.0.0.13 (sin)",
        "192.0.2.7/24: NOERROR, scope /",
        "www.example.org. 5 IN A 127.0.0.11",
        "www.example.org. 5 IN A 127.0.0.12",
        "www.example.org. 5 IN A 127.0.0.13",
        "fra is out of the answers after ",
        "www.example.org. 5 IN A 127.0.0.12",
        "failures: status 503",
        "pick  iad: the first choice is unhealthy",
        "1 of 3 pools out",
        "fra answers again after ",
        "www.example.org. 5 IN A 127.0.0.11",
        "there is no region 'nrt': fra, iad, sin",
        "'nobody' is no IP address",
        "'dance' is no command; type help",
        "Commands: fail REGION",
    ] {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("missing {part:?} in its place in\n{out}"));
        rest = &rest[at + part.len()..];
    }
    // Failed before its first check it goes down from unknown, else from up.
    let fell = ["up -> down", "unknown -> down"].map(|fall| format!("* region fra ipv4: {fall}"));
    assert!(fell.iter().any(|line| out.contains(line)), "{out}");
    assert!(out.contains("* region fra ipv4: down -> up"), "{out}");
}
