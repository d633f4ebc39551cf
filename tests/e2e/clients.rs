//! The programs people ask with, and the resolvers they ask: each understands every kind of
//! answer, over UDP and TCP, IPv4 and IPv6, and complains of none.

use crate::delegated::{CLIENT, Delegated, SERVERS, WWW, ZONE, address};
use crate::lab::{Machine, PATIENCE, Program, until};
use crate::{resolvers, unbound};

/// What tools say of answers they do not like.
const COMPLAINTS: [&str; 8] = [
    "malformed",
    "warning",
    "mismatch",
    "bad packet",
    "error",
    "unexpected",
    "timed out",
    "failed",
];

/// Complaints that are right: Meridian does not recurse, and what is too large comes over TCP.
const RIGHT: [&str; 2] = ["recursion requested but not available", "truncated reply from"];

#[test]
fn every_tool_understands_every_answer() {
    let world = Delegated::new();
    let [v4, v6] = SERVERS[0].1.map(|address| format!("@{address}"));
    let ask = |command: &[&str]| {
        let output = world.clients.command(command).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let lines = text.lines().filter(|line| !RIGHT.iter().any(|right| line.contains(right)));
        let said: String = lines.collect::<Vec<_>>().join("\n");
        let said = said.replace("NOERROR", "").to_lowercase();
        for complaint in COMPLAINTS {
            assert!(!said.contains(complaint), "{command:?}:\n{text}");
        }
        assert!(output.status.success(), "{command:?}:\n{text}");
        text
    };
    let www = format!("www.{ZONE}");
    let (big, alias, below) =
        (format!("big.{ZONE}"), format!("alias.{ZONE}"), format!("a.old.{ZONE}"));
    let near = "+subnet=185.12.64.0/24";
    // Tool and arguments, and what must come back.
    let cases: &[(&[&str], &[&str])] = &[
        (&["dig", &v4, &www], &["NOERROR", WWW[0], "flags: qr aa rd;"]),
        (&["dig", &v6, &www, "AAAA", "+tcp", "+norec"], &["2a01:4f8::10", "(TCP)"]),
        (&["dig", &v4, &www, near], &["CLIENT-SUBNET: 185.12.64.0/24/", WWW[0]]),
        (&["dig", &v4, &www, "+subnet=0"], &["CLIENT-SUBNET: 0"]),
        (
            &["dig", &v4, &www, "+nsid", "+expire", "+padding=64", "+keepalive"],
            &["NOERROR", "(good)"],
        ),
        (&["dig", &v4, &www, "+ednsopt=65001:00ff", "+ednsflags=0x4000"], &["NOERROR"]),
        (&["dig", &v4, &www, "+edns=1", "+noednsneg"], &["BADVERS", "version: 0"]),
        // Without being told not to, dig asks again with the version that is spoken.
        (&["dig", &v4, &www, "+edns=1"], &["NOERROR", WWW[0]]),
        (&["dig", &v4, &www, "+noedns"], &["ADDITIONAL: 0"]),
        (&["dig", &v4, &big, "TXT"], &["(TCP)", "ANSWER: 10"]),
        (&["dig", &v4, &alias], &["CNAME", WWW[0]]),
        (&["dig", &v4, &below], &["DNAME", "CNAME", "185.12.64.81"]),
        (
            &["dig", &v4, &format!("x.lab.{ZONE}")],
            &["AUTHORITY: 1", "185.12.64.90", "flags: qr rd;"],
        ),
        (&["dig", &v4, &format!("nope.{ZONE}")], &["NXDOMAIN", "SOA"]),
        (&["dig", &v4, ZONE, "ANY"], &["NOERROR", "ANSWER: 1"]),
        (&["kdig", &v4, &www, near, "+cookie"], &["CLIENT-SUBNET", WWW[0]]),
        (&["kdig", &v6, &big, "TXT", "+bufsize=512"], &["(TCP)", "ANSWER: 10"]),
        (&["kdig", &v4, &below, "+tcp", "+dnssec"], &["DNAME", "185.12.64.81"]),
        (&["drill", &v4, &www], &["NOERROR", WWW[0]]),
        (&["drill", "-t", &v6, &big, "TXT"], &["NOERROR", "ANSWER: 10"]),
        (&["drill", "-D", &v4, &format!("nope.{ZONE}")], &["NXDOMAIN", "SOA"]),
        (&["delv", "-i", &v4, &www], &["; authoritative", WWW[0]]),
        (&["delv", "-i", &v4, &below], &["DNAME", "185.12.64.81"]),
    ];
    for (command, expected) in cases {
        let text = ask(command);
        for word in *expected {
            assert!(text.contains(word), "no {word} from {command:?}:\n{text}");
        }
    }
    let text = ask(&["/usr/bin/python3", "-c", DNSPYTHON, SERVERS[0].1[0], ZONE]);
    assert_eq!(text.trim(), EXPECTED.trim());
    println!(
        "\ntools: {} questions by dig, kdig, drill and delv, and dnspython: understood",
        cases.len()
    );
}

/// dnspython checks id, question, every length and every RDATA by itself.
const DNSPYTHON: &str = r#"
import sys, dns.edns, dns.flags, dns.message, dns.query, dns.rcode
server, zone = sys.argv[1:]
for name, rtype in (("www", "A"), ("nope", "A"), ("alias", "AAAA"), ("a.old", "A"),
                    ("x.lab", "A"), ("big", "TXT"), ("x.pages", "A"), ("deep.empty", "TXT")):
    options = [dns.edns.ECSOption("185.12.64.0", 24), dns.edns.GenericOption(10, b"01234567")]
    query = dns.message.make_query(f"{name}.{zone}", rtype, use_edns=0, payload=1232,
                                   want_dnssec=True, options=options)
    answer, tcp = dns.query.udp_with_fallback(query, server, timeout=5)
    again = dns.message.from_wire(answer.to_wire())
    assert again == answer and query.is_response(answer)
    print(name, rtype, dns.rcode.to_text(answer.rcode()), dns.flags.to_text(answer.flags),
          len(answer.answer), len(answer.authority), len(answer.additional), "TCP" if tcp else "UDP",
          sorted(int(option.otype) for option in answer.options))
"#;

const EXPECTED: &str = "\
www A NOERROR QR AA RD 1 0 0 UDP [8, 10]
nope A NXDOMAIN QR AA RD 0 1 0 UDP [8, 10]
alias AAAA NOERROR QR AA RD 2 0 0 UDP [8, 10]
a.old A NOERROR QR AA RD 3 0 0 UDP [8, 10]
x.lab A NOERROR QR RD 0 1 1 UDP [8, 10]
big TXT NOERROR QR AA RD 1 0 0 TCP [8, 10]
x.pages A NOERROR QR AA RD 1 0 0 UDP [8, 10]
deep.empty TXT NOERROR QR AA RD 0 1 0 UDP [8, 10]
";

/// Starts a resolver on a machine.
type Start<'a> = dyn Fn(&Machine) -> Program + 'a;

#[test]
fn every_resolver_finds_its_way() {
    let world = Delegated::new();
    let listen = address(CLIENT);
    // 198.41.0.4 is a.root-servers.net; the others know it by themselves.
    let root = address("198.41.0.4");
    let with_subnets = address(SERVERS[0].1[0]);
    let resolvers: [(&str, &Start<'_>); 3] = [
        ("Unbound", &|machine| unbound::start(machine, listen, root, with_subnets)),
        ("BIND", &|machine| resolvers::bind(machine, listen)),
        ("Knot Resolver", &|machine| resolvers::knot(machine, listen)),
    ];
    let server = format!("@{CLIENT}");
    for (name, start) in resolvers {
        let _program = start(&world.clients);
        let ask = |owner: &str, rtype: &str| {
            let name = format!("{owner}{ZONE}");
            let answer = world.clients.run(&[
                "dig",
                &server,
                &name,
                rtype,
                "+noall",
                "+comments",
                "+answer",
            ]);
            answer
                .lines()
                .filter(|line| !line.starts_with(';') || line.contains("status:"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        until(PATIENCE, &format!("{name} resolves"), || ask("", "SOA").contains("SOA"));
        let cases = [
            ("www.", "A", "NOERROR", WWW[0]),
            ("www.", "AAAA", "NOERROR", "2a01:4f8::10"),
            ("alias.", "A", "NOERROR", WWW[0]),
            ("a.old.", "A", "NOERROR", "185.12.64.81"),
            ("x.y.pages.", "A", "NOERROR", "185.12.64.82"),
            ("deep.empty.", "A", "NOERROR", "185.12.64.83"),
            ("empty.", "A", "NOERROR", ""),
            ("a.b.c.nope.", "A", "NXDOMAIN", ""),
            ("big.", "TXT", "NOERROR", "9012345678901234567"),
        ];
        for (owner, rtype, status, expected) in cases {
            let text = ask(owner, rtype);
            assert!(text.contains(&format!("status: {status}")), "{name}, {owner} {rtype}: {text}");
            assert!(text.contains(expected), "{name}, {owner} {rtype}: {text}");
        }
        println!("{name}: {} questions resolved from the root", cases.len());
    }
}
