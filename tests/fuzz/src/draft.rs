//! Queries made of choices: mostly right, here and there wrong.

use arbitrary::{Result, Unstructured};

/// Names the worlds of `road` know something about, and some they do not.
const NAMES: [&str; 34] = [
    "example.org",
    "www.example.org",
    "alias.example.org",
    "chain.example.org",
    "away.example.org",
    "lost.example.org",
    "loop-a.example.org",
    "deep.empty.example.org",
    "empty.example.org",
    "x.wild.example.org",
    "here.wild.example.org",
    "ent.wild.example.org",
    "a.b.wildcname.example.org",
    "child.example.org",
    "x.child.example.org",
    "ns.child.example.org",
    "sibling.example.org",
    "old.example.org",
    "a.old.example.org",
    "big.example.org",
    "near.example.org",
    "share.example.org",
    "order.example.org",
    "portal.example.org",
    "game.example.org",
    "x.game.example.org",
    "any.apps.example.org",
    "none.example.org",
    "ruled.example.org",
    "below.sub.example.org",
    "sub.example.org",
    "example.net",
    "org",
    "",
];

const TYPES: [u16; 20] =
    [1, 28, 5, 2, 6, 15, 16, 39, 43, 46, 47, 48, 64, 65, 255, 251, 252, 41, 249, 250];

/// A whole message.
pub(super) fn packet(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut packet = vec![0xab, 0xcd];
    // RD as resolvers and others send it, or anything.
    let flags: u16 =
        if u.ratio(7, 8)? { *u.choose(&[0, 0x0100, 0x0010, 0x0120])? } else { u.arbitrary()? };
    packet.extend(flags.to_be_bytes());
    let questions = if u.ratio(15, 16)? { 1 } else { u.int_in_range(0..=3)? };
    let before = if u.ratio(7, 8)? { 0 } else { u.int_in_range(0..=2)? };
    let after = if u.ratio(7, 8)? { 0 } else { u.int_in_range(0..=1)? };
    let opts: u16 = *u.choose(&[1, 1, 1, 1, 1, 0, 0, 2])?;
    let off_by: u16 = if u.ratio(31, 32)? { 0 } else { 1 };
    for count in [questions, before, 0, opts + after + off_by] {
        packet.extend(count.to_be_bytes());
    }
    for _ in 0..questions {
        name(u, &mut packet)?;
        let qtype = if u.ratio(7, 8)? { *u.choose(&TYPES)? } else { u.arbitrary()? };
        packet.extend(qtype.to_be_bytes());
        packet.extend(u.choose(&[1_u16, 1, 1, 1, 1, 1, 3, 255])?.to_be_bytes());
    }
    for _ in 0..before {
        record(u, &mut packet)?;
    }
    for _ in 0..opts {
        opt(u, &mut packet)?;
    }
    for _ in 0..after {
        record(u, &mut packet)?;
    }
    if u.ratio(1, 32)? {
        let kept = u.int_in_range(0..=packet.len())?;
        packet.truncate(kept);
    }
    if u.ratio(1, 32)? {
        packet.push(0);
    }
    Ok(packet)
}

/// A question and no more.
pub(super) fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend(qtype.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// A name of the list in any case, perhaps with labels in front, or a pointer in it.
fn name(u: &mut Unstructured<'_>, packet: &mut Vec<u8>) -> Result<()> {
    for _ in 0..*u.choose(&[0, 0, 0, 0, 0, 1, 1, 3])? {
        let length = *u.choose(&[1_u8, 2, 7, 63])?;
        packet.push(length);
        let octet: u8 = u.arbitrary()?;
        packet.extend((0..length).map(|at| octet.wrapping_add(at)));
    }
    let cases: u32 = if u.ratio(1, 2)? { 0 } else { u.arbitrary()? };
    let labels = u.choose(&NAMES)?.split('.').filter(|label| !label.is_empty());
    let mut at = 0;
    for label in labels {
        packet.push(label.len() as u8);
        for octet in label.bytes() {
            let upper = cases.rotate_left(at) & 1 == 1;
            packet.push(if upper { octet.to_ascii_uppercase() } else { octet });
            at += 1;
        }
    }
    if u.ratio(31, 32)? {
        packet.push(0);
    } else {
        packet.extend([0xc0, u.arbitrary()?]);
    }
    Ok(())
}

/// A record that has no business in a query.
fn record(u: &mut Unstructured<'_>, packet: &mut Vec<u8>) -> Result<()> {
    name(u, packet)?;
    packet.extend(u.choose(&TYPES)?.to_be_bytes());
    packet.extend([0, 1, 0, 0, 0, 0]);
    let rdata: [u8; 6] = u.arbitrary()?;
    let length = u.int_in_range(0..=rdata.len())?;
    packet.extend((length as u16).to_be_bytes());
    packet.extend(&rdata[..length]);
    Ok(())
}

fn opt(u: &mut Unstructured<'_>, packet: &mut Vec<u8>) -> Result<()> {
    if u.ratio(1, 32)? {
        packet.extend([1, b'x']);
    }
    packet.extend([0, 0, 41]);
    packet.extend(u.choose(&[1232_u16, 512, 0, 4096, 65_535, 513])?.to_be_bytes());
    let version = *u.choose(&[0_u8, 0, 0, 0, 0, 0, 0, 1])?;
    packet.extend([*u.choose(&[0_u8, 0, 0, 1])?, version]);
    packet.extend(u.choose(&[0x8000_u16, 0, 0, 0xffff])?.to_be_bytes());
    let mut options = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        option(u, &mut options)?;
    }
    if u.ratio(1, 32)? {
        options.push(0);
    }
    packet.extend((options.len() as u16).to_be_bytes());
    packet.extend(options);
    Ok(())
}

fn option(u: &mut Unstructured<'_>, options: &mut Vec<u8>) -> Result<()> {
    let (code, value): (u16, Vec<u8>) = match u.int_in_range(0..=7)? {
        0..=3 => (8, subnet(u)?),
        4 | 5 => {
            let length = *u.choose(&[8_usize, 24, 16, 40, 7, 41])?;
            let octet: u8 = u.arbitrary()?;
            (10, vec![octet; length])
        }
        6 => (*u.choose(&[3_u16, 9, 11, 12, 15])?, vec![0; u.int_in_range(0..=4)?]),
        _ => (u.arbitrary()?, vec![1; u.int_in_range(0..=9)?]),
    };
    options.extend(code.to_be_bytes());
    let length = value.len() as u16 + u16::from(u.ratio(1, 32)?);
    options.extend(length.to_be_bytes());
    options.extend(value);
    Ok(())
}

/// A client subnet (RFC 7871 section 6) whose parts mostly fit together.
pub(super) fn subnet(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (family, longest) = *u.choose(&[(1_u16, 32_u8), (2, 128), (1, 32), (0, 0), (3, 8)])?;
    let source = if u.ratio(15, 16)? { u.int_in_range(0..=longest)? } else { u.arbitrary()? };
    let scope = if u.ratio(15, 16)? { 0 } else { u.arbitrary()? };
    let mut value = family.to_be_bytes().to_vec();
    value.extend([source, scope]);
    let octets = usize::from(source.div_ceil(8));
    let octets = if u.ratio(15, 16)? { octets } else { u.int_in_range(0..=20)? };
    for _ in 0..octets {
        value.push(u.arbitrary()?);
    }
    if source % 8 != 0
        && u.ratio(15, 16)?
        && value.len() > 4
        && let Some(last) = value.last_mut()
    {
        *last &= 0xff << (8 - source % 8);
    }
    Ok(value)
}
