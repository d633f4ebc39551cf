//! What is asked about a family of zones: names that exist, and names beside, above and below.

use crate::message::{AD, ANY, CD, CNAME, DNAME, DS, NS, Question, RD, SOA, TYPES, type_number};
use crate::name::Name;
use crate::random::Random;
use crate::zones::{Family, Record, Zone};

/// `count` questions about the zones of a family.
pub fn about(family: &Family, seed: u64, number: usize, count: usize) -> Vec<Question> {
    let mut random = Random::new(!seed, number as u64);
    (0..count).map(|_| question(&mut random, family)).collect()
}

fn question(random: &mut Random, family: &Family) -> Question {
    let zone: &Zone = random.pick(&family.zones);
    let record = random.pick(&zone.records);
    let name = near(random, record, zone);
    let name = in_some_case(random, name);
    let qtype = match random.below(100) {
        0..=34 => type_number(record.rtype),
        35..=54 => type_number(random.pick::<&str>(&["A", "AAAA", "TXT", "MX"])),
        55..=61 => ANY,
        62..=69 => DS,
        70..=76 => NS,
        77..=80 => SOA,
        81..=86 => CNAME,
        87..=89 => DNAME,
        _ => random.pick(&TYPES).1,
    };
    let mut flags = 0;
    for (bit, percent) in [(RD, 30), (AD, 15), (CD, 15)] {
        flags |= if random.chance(percent) { bit } else { 0 };
    }
    let edns =
        random.chance(60).then(|| (*random.pick(&[512, 700, 1232, 4096]), random.chance(30)));
    Question { name, qtype, flags, edns }
}

/// The record's owner or its target, or a name near one of them.
fn near(random: &mut Random, record: &Record, zone: &Zone) -> Name {
    let name = match &record.target {
        Some(target) if random.chance(25) => target,
        _ => &record.owner,
    };
    let below = |random: &mut Random, name: &Name| {
        let label = *random.pick::<&[u8]>(&[b"a", b"b", b"ns", b"q", b"*", b"MiXed", b"\0"]);
        name.child(label).unwrap_or_else(|| name.clone())
    };
    match random.below(100) {
        0..=44 => name.clone(),
        45..=59 => below(random, name),
        60..=67 => {
            let deeper = below(random, name);
            below(random, &deeper)
        }
        68..=77 => name.parent(),
        78..=85 => below(random, &name.parent()),
        86..=88 => stretched(random, name),
        89..=93 => below(random, &zone.apex),
        94..=96 => zone.apex.clone(),
        _ => Name::plain("nowhere.test"),
    }
}

/// A name below `name` that is as long as names get, or nearly: what a DNAME makes of it may be
/// too long.
fn stretched(random: &mut Random, name: &Name) -> Name {
    let mut name = name.clone();
    let room = random.below(40);
    while let Some(left) = 255_usize.checked_sub(name.wire().len() + room).filter(|left| *left > 1)
    {
        let Some(longer) = name.child(&vec![b'l'; (left - 1).min(50)]) else { break };
        name = longer;
    }
    name
}

fn in_some_case(random: &mut Random, mut name: Name) -> Name {
    if random.chance(15) {
        for octet in name.0.iter_mut().flatten() {
            if random.chance(50) {
                *octet = octet.to_ascii_uppercase();
            }
        }
    }
    name
}
