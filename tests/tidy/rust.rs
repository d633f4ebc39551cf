//! Just enough reading of Rust: code apart from prose, words, and paths to other rooms.

/// `text` with comments and literals blanked out; lines and offsets stay.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let named = code.last().is_some_and(|&byte| is_word(byte));
        let length = prose_length(rest, named);
        if length == 0 {
            code.push(*first);
            rest = tail;
        } else {
            let (prose, after) = rest.split_at(length);
            code.extend(prose.iter().map(|&byte| if byte == b'\n' { byte } else { b' ' }));
            rest = after;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Length of the comment or literal that `rest` begins with, 0 when it begins with code.
/// `named` says that a letter stands before, so that no raw string can begin.
fn prose_length(rest: &[u8], named: bool) -> usize {
    let end_of = |from: usize, closing: &[u8]| {
        let found = rest[from..].windows(closing.len()).position(|window| window == closing);
        found.map_or(rest.len(), |at| from + at + closing.len())
    };
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => end_of(2, b"*/"),
        [b'"', ..] => quoted_length(rest),
        [b'r', tail @ ..] | [b'b' | b'c', b'r', tail @ ..] if !named => {
            let hashes = tail.iter().take_while(|&&byte| byte == b'#').count();
            if tail.get(hashes) != Some(&b'"') {
                return 0;
            }
            let closing = [b"\"", vec![b'#'; hashes].as_slice()].concat();
            end_of(rest.len() - tail.len() + hashes + 1, &closing)
        }
        [b'\'', b'\\', _, ..] => end_of(3, b"'"),
        [b'\'', tail @ ..] => {
            // A character, or a lifetime, which has no closing quote after one character.
            let width = std::str::from_utf8(&tail[..tail.len().min(4)])
                .map_or_else(|error| error.valid_up_to(), str::len);
            let text = std::str::from_utf8(&tail[..width]).unwrap_or_default();
            let letter = text.chars().next().map_or(1, char::len_utf8);
            if tail.get(letter) == Some(&b'\'') { letter + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn quoted_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `code` with every item behind `#[cfg(test)]` blanked out.
pub(crate) fn without_tests(code: String) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut bytes = code.clone().into_bytes();
    for (start, _) in code.match_indices(MARK) {
        if bytes[start] == b' ' {
            continue; // inside an item that is gone already
        }
        let mut depth = 0_usize;
        for byte in bytes.iter_mut().skip(start).filter(|byte| **byte != b'\n') {
            let was = std::mem::replace(byte, b' ');
            match was {
                b'{' => depth += 1,
                b'}' if depth <= 1 => break,
                b'}' => depth -= 1,
                b';' if depth == 0 => break,
                _ => {}
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Offsets of `word` in `code` where it is not part of a longer word.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let edge = |at: Option<usize>| at.and_then(|at| code.as_bytes().get(at)).copied();
    let joins = |byte: Option<u8>| byte.is_some_and(is_word);
    let open = word.bytes().next_back().is_some_and(|last| !is_word(last));
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| !joins(edge(at.checked_sub(1))))
        .filter(|&at| open || !joins(edge(Some(at + word.len()))))
        .collect()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every path in `code` below `root` (`crate::`), groups spelled out, with its offset.
pub(crate) fn paths_from(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    for at in words(code, root) {
        read_tree(code.as_bytes(), at + root.len(), "", &mut found);
    }
    found
}

/// Reads one use tree from `at`, adds its paths to `found`, and returns where it ends.
fn read_tree(code: &[u8], mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let start = at;
    let mut path = prefix.to_owned();
    loop {
        at += spaces(code, at);
        if code.get(at) == Some(&b'{') {
            return read_group(code, at + 1, &path, found);
        }
        let length = code[at..].iter().take_while(|&&byte| is_word(byte)).count();
        if length > 0 {
            let separator = if path.is_empty() { "" } else { "::" };
            path = format!("{path}{separator}{}", String::from_utf8_lossy(&code[at..at + length]));
            at += length;
        }
        if length == 0 || !code[at..].starts_with(b"::") {
            found.push((start, path));
            return at;
        }
        at += 2;
    }
}

fn read_group(code: &[u8], mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    loop {
        at += spaces(code, at);
        match code.get(at) {
            None => return at,
            Some(b'}') => return at + 1,
            Some(b',') => at += 1,
            Some(_) => {
                at = read_tree(code, at, prefix, found);
                // What may follow is `*` or `as NAME`.
                at += code[at..].iter().take_while(|byte| !b",}".contains(byte)).count();
            }
        }
    }
}

fn spaces(code: &[u8], at: usize) -> usize {
    code[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[test]
fn code_is_told_from_prose() {
    let text = r##"a /* b */ "c\"d" r#"e"f"# 'g' '\'' &'h i b"j" // k"##;
    let code = code_of(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "&'h", "i", "b"]);
}

#[test]
fn tests_inside_tests_hide_nothing_that_follows() {
    let text = "a; #[cfg(test)] mod t { #[cfg(test)] use b; fn c() {} }\nd; #[cfg(test)] use e; f;";
    let code = without_tests(code_of(text));
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a;", "d;", "f;"]);
}
