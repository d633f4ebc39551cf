//! RFC 5001: NSID.

use crate::support::{Ask, Server, ask, option, shape};

fn server(nsid: &str) -> Server {
    let settings = format!("[edns]\n{nsid}\n");
    Server::new(&[("meridian.toml", &settings), ("zones/example.org.zone", crate::ZONE)])
}

/// With an NSID option, empty as section 2.1 wants it.
fn asking(query: Ask) -> Ask {
    query.edns(1232, &[0, 3, 0, 0])
}

/// Section 2.1: "a name server [that] understands the NSID option … MUST echo its NSID".
#[test]
fn whoever_asks_is_told() {
    let mut server = server("nsid = \"fra1.example.net\"");
    for query in
        [asking(ask("www.example.org", "A")), asking(ask("www.example.org", "A")).over_tcp()]
    {
        let message = server.ask(&query);
        assert_eq!(shape(&message), "NOERROR aa 1/0/0");
        assert_eq!(option(&message, 3).as_deref(), Some(&b"fra1.example.net"[..]));
    }
    for (name, expected) in [("nowhere.example.org", "NXDOMAIN"), ("www.example.com", "REFUSED")] {
        let message = server.ask(&asking(ask(name, "A")));
        assert!(shape(&message).starts_with(expected));
        assert!(option(&message, 3).is_some(), "{name}");
    }
}

/// Section 2.1: "MUST NOT include an NSID option … if the requestor did not".
#[test]
fn whoever_does_not_ask_is_not_told() {
    let mut server = server("nsid = \"fra1\"");
    assert_eq!(option(&server.ask(&ask("www.example.org", "A").edns(1232, &[])), 3), None);
    assert!(server.ask(&ask("www.example.org", "A")).edns.is_none());
}

/// Section 2.1: "The NSID option … MUST be empty [in a query] … ignored".
#[test]
fn what_a_client_writes_into_it_is_ignored() {
    let query = ask("www.example.org", "A").edns(1232, &[0, 3, 0, 2, b'h', b'i']);
    assert_eq!(option(&server("nsid = \"fra1\"").ask(&query), 3).as_deref(), Some(&b"fra1"[..]));
}

/// Section 3: what it holds is the operator's choice, and may be nothing.
#[test]
fn octets_may_be_written_in_hexadecimal_and_nothing_is_told_by_default() {
    let message = server("nsid = { hex = \"00ff10\" }").ask(&asking(ask("www.example.org", "A")));
    assert_eq!(option(&message, 3).as_deref(), Some(&[0, 255, 16][..]));
    let message = crate::server().ask(&asking(ask("www.example.org", "A")));
    assert_eq!(option(&message, 3), None);
}

/// An answer leaves it room: 512 octets would hold the records or the longest identifier.
#[test]
fn it_is_part_of_the_size() {
    let mut server = server(&format!("nsid = \"{}\"", "n".repeat(128)));
    for size in 512..1232 {
        let query = ask("big.example.org", "TXT").edns(size, &[0, 3, 0, 0]);
        let octets = server.answer(&query.packet(), query.client(), query.transport());
        assert!(octets.len() <= usize::from(size), "{} of {size}", octets.len());
        let message = server.ask(&query);
        assert_eq!(option(&message, 3).map(|nsid| nsid.len()), Some(128), "{size}");
        assert_eq!(message.answers.is_empty(), message.metadata.truncation, "{size}");
    }
}
