//! Something wrong with a sound zone file, or merely something odd.

use crate::generate::Chance;

/// Pieces that mean something somewhere.
const PIECES: [&str; 44] = [
    "(",
    ")",
    "\"",
    ";",
    "\\",
    "\\0",
    "\\256",
    "\\032",
    "\\.",
    "\\#",
    "@",
    ".",
    "..",
    " ",
    "\n",
    "\t",
    "-1",
    "256",
    "65536",
    "4294967296",
    "2147483648",
    "1h",
    "1x",
    "IN",
    "CH",
    "TYPE0",
    "TYPE65280",
    "CLASS1",
    "ANY",
    "A",
    "NS",
    "CNAME",
    "$TTL",
    "$ORIGIN",
    "$INCLUDE",
    "$GENERATE",
    "$",
    "*",
    "=",
    ",",
    "/",
    ":",
    "0x",
    "Zm8",
];

/// `text` with one or two things changed.
pub(crate) fn spoil(chance: &mut Chance, text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..1 + chance.below(2) {
        text = once(chance, &text);
    }
    text
}

fn once(chance: &mut Chance, text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split(|&octet| octet == b'\n').map(<[u8]>::to_vec).collect();
    let line = chance.below(lines.len());
    let words: Vec<Vec<u8>> =
        lines[line].split(|&octet| octet == b' ').map(<[u8]>::to_vec).collect();
    let word = chance.below(words.len());
    let mut changed = words;
    match chance.below(12) {
        0 => {
            lines.remove(line);
            return lines.join(&b'\n');
        }
        1 => {
            let again = lines[line].clone();
            lines.insert(chance.below(lines.len()), again);
            return lines.join(&b'\n');
        }
        2 => {
            changed.remove(word);
        }
        3 => {
            let again = changed[word].clone();
            changed.insert(word, again);
        }
        4 => {
            let other = chance.below(changed.len());
            changed.swap(word, other);
        }
        5 | 6 => changed[word] = PIECES[chance.below(PIECES.len())].into(),
        7 => changed.insert(word, PIECES[chance.below(PIECES.len())].into()),
        8 => {
            let at = chance.below(changed[word].len() + 1);
            let piece = PIECES[chance.below(PIECES.len())];
            changed[word].splice(at..at, piece.bytes());
        }
        9 if !changed[word].is_empty() => {
            let at = chance.below(changed[word].len());
            changed[word].remove(at);
        }
        10 if !changed[word].is_empty() => {
            let at = chance.below(changed[word].len());
            changed[word][at] = b' ' + chance.below(95) as u8;
        }
        _ => changed[word].make_ascii_uppercase(),
    }
    lines[line] = changed.join(&b' ');
    lines.join(&b'\n')
}
