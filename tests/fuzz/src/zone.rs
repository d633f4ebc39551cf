//! A master file: read, compiled and checked, or every fault told with its place.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hickory_proto::op::Message;
use meridian::diagnostics::{self, Diagnostic, Source};
use meridian::wire::name::Name;
use meridian::wire::types::Rtype;
use meridian::zone::hash::HashKey;
use meridian::zone::lookup::Lookup;
use meridian::zone::node::Node;
use meridian::zone::{SteeredName, Zone, load};

/// What `$INCLUDE inc.zone` brings.
const INCLUDED: &str = "inc 5 A 192.0.2.5\n@ 5 TXT included\n";

/// Loads the text as `example.org`; the first octet says whether something is steered in it.
pub fn run(octets: &[u8]) {
    let Some((&how, text)) = octets.split_first() else { return };
    // A few lines can mean a million records; what is slow to write is slow to read.
    let generates = text.windows(4).filter(|word| word.eq_ignore_ascii_case(b"$GEN")).count();
    if generates > 1 || text.len() > 1 << 14 {
        return;
    }
    let origin: Name = "example.org.".parse().expect("a name");
    let source = Arc::new(Source { path: "zones/example.org.zone".into(), text: text.to_vec() });
    let key = HashKey::new([1, 2]);
    let steered = if how & 1 == 1 { steered(how) } else { Vec::new() };
    let (zone, faults) = load::load(&source, &origin, &steered, key, &open);
    told(&faults);
    if !faults.iter().any(Diagnostic::is_error) {
        served(&zone);
    }
}

fn steered(how: u8) -> Vec<SteeredName> {
    let owner = if how & 2 == 0 { "www.example.org." } else { "*.example.org." };
    let owner: Name = owner.parse().expect("a name");
    vec![SteeredName { owner, cut: how & 4 != 0, cname: how & 8 != 0 }]
}

fn open(path: &Path) -> io::Result<Arc<Source>> {
    if path.ends_with("inc.zone") {
        return Ok(Arc::new(Source { path: path.into(), text: INCLUDED.into() }));
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Faults stand in their files, say something, and can be drawn.
pub(super) fn told(faults: &[Diagnostic]) {
    for fault in faults {
        assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault:?}");
        let related = fault.related.iter().map(|(span, _)| span);
        for span in fault.span.iter().chain(related) {
            let length = span.source.text.len();
            assert!(span.range.start <= span.range.end, "{fault:?}");
            assert!(span.range.end <= length + 1, "{fault:?} in {length} octets");
        }
    }
    let drawn = diagnostics::render(faults);
    assert_eq!(drawn.is_empty(), faults.is_empty());
}

/// Every name that is there is found, and every record is one on the wire.
fn served(zone: &Zone) {
    assert!(zone.soa().is_some() && zone.apex_ns().is_some(), "no fault, and no SOA or NS");
    let mut names = 0;
    for node in zone.nodes() {
        names += 1;
        let found = zone.search(node.wire_name(), Rtype::TXT);
        match found {
            Lookup::Found(found) => assert_eq!(found.wire_name(), node.wire_name()),
            Lookup::Referral { .. } | Lookup::Dname { .. } | Lookup::SteeredCut { .. } => {}
            Lookup::Wildcard { .. } | Lookup::NxDomain { .. } => {
                panic!("{} is there and not found", node.name())
            }
        }
        if names <= 64 {
            readable(node);
        }
    }
    assert_eq!(names, zone.name_count());
}

/// hickory reads the records as they would go out.
fn readable(node: Node<'_>) {
    for rrset in node.rrsets() {
        for record in rrset.iter() {
            let mut message = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
            message.extend_from_slice(node.wire_name());
            message.extend_from_slice(record);
            if message.len() > 65_535 {
                continue;
            }
            if let Err(error) = Message::from_vec(&message) {
                panic!("{error}: {message:02x?}");
            }
        }
    }
}
