//! The cookie option: only a cookie that was given to this client is worth anything.

use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use meridian::wire::cookie::{Cookie, Jar, Keys, Secrets, Standing};
use meridian::wire::siphash::Key;

/// An hour: how long a server cookie holds (RFC 9018 section 4.3).
const OLDEST: i16 = 3600;
/// How far ahead another server's clock may be, likewise.
const NEWEST: i16 = -300;

/// Presents a cookie: any octets, or one that was given and perhaps altered since.
pub fn run(octets: &[u8]) {
    let mut choices = Unstructured::new(octets);
    if choices.arbitrary().unwrap_or(false) {
        anything(choices.take_rest());
    } else {
        given(&mut choices).ok();
    }
}

/// RFC 7873 section 5.2.2: 8 octets, or 16 to 40. None of them is good here.
fn anything(value: &[u8]) {
    let cookie = Cookie::read(value);
    assert_eq!(cookie.is_some(), matches!(value.len(), 8 | 16..=40), "{value:02x?}");
    let Some(mut cookie) = cookie else { return };
    let jar = Jar::new(&secrets(1), 1_800_000_000);
    let standing = cookie.renew(&jar, address(0));
    let expected = if value.len() == 8 { Standing::New } else { Standing::Bad };
    assert_eq!(standing, expected, "{value:02x?}");
    assert_eq!(cookie.words()[0], value[..8], "the client's part comes back");
}

/// A cookie that was given at some time is good for an hour at the same address, and at no
/// other time, to nobody else and with no bit changed.
fn given(u: &mut Unstructured<'_>) -> Result<()> {
    let client: [u8; 8] = u.arbitrary()?;
    let now: u32 = u.arbitrary()?;
    let (secret, at) = (u.int_in_range(0..=3)?, u.int_in_range(0..=3)?);
    let given_by = Jar::new(&secrets(secret), now.into());
    let mut cookie = Cookie::read(&client).expect("8 octets");
    assert_eq!(cookie.renew(&given_by, address(at)), Standing::New);
    let given = cookie.words().concat();

    let mut shown = given.clone();
    for _ in 0..u.int_in_range(0..=2)? {
        let bit = u.int_in_range(0..=shown.len() * 8 - 1)?;
        shown[bit / 8] ^= 1 << (bit % 8);
    }
    // Where it matters to the second, or anywhere.
    let edges = [0, OLDEST, OLDEST + 1, NEWEST, NEWEST - 1];
    let later = if u.ratio(1, 2)? { *u.choose(&edges)? } else { u.arbitrary()? };
    let (then, elsewhere) = (u.int_in_range(0..=3)?, u.int_in_range(0..=3)?);
    let accepting = Jar::new(&secrets(then), now.wrapping_add_signed(later.into()).into());
    let mut cookie = Cookie::read(&shown).expect("24 octets");
    let standing = cookie.renew(&accepting, address(elsewhere));

    let is_ours = secret == then || secret == other(then);
    let in_time = (NEWEST..=OLDEST).contains(&later);
    let good = shown == given && at == elsewhere && is_ours && in_time;
    let expected = if good { Standing::Valid } else { Standing::Bad };
    assert_eq!(standing, expected, "{given:02x?} {shown:02x?} after {later} s");
    // What goes back is good in any case.
    let mut next = Cookie::read(&cookie.words().concat()).expect("24 octets");
    assert_eq!(next.renew(&accepting, address(elsewhere)), Standing::Valid);
    Ok(())
}

/// Secret 0 is accepted where 1 is in force, and so on.
fn secrets(number: u8) -> Secrets {
    let key = |number| Key::new([number; 16]);
    Secrets::Shared(Keys { current: key(number), other: Some(key(other(number))) })
}

const fn other(number: u8) -> u8 {
    number.wrapping_sub(1)
}

fn address(number: u8) -> IpAddr {
    match number % 4 {
        0 => IpAddr::from([192, 0, 2, 1]),
        1 => IpAddr::from([192, 0, 2, 2]),
        2 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
        _ => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]),
    }
}
