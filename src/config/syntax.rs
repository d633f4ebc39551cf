//! Faults of form: what the TOML reader says, in words that help, and as much of the file as
//! can be read in spite of them.

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::decode::{Entry, Faults, Node, Value, at, entries_of};
use crate::diagnostics::{Diagnostic, Source};

/// Lines that are given up one by one before the rest of a file is left unread.
const GIVEN_UP_MAX: usize = 64;

/// One complaint of the TOML reader.
struct Complaint {
    message: String,
    range: Range<usize>,
}

/// Reads `source`; tables and values that cannot be read are left out.
pub(super) fn read(source: &Arc<Source>, faults: &mut Faults) -> Vec<Entry> {
    let mut text = text_of(source, faults);
    let mut complaints = Vec::new();
    for _ in 0..GIVEN_UP_MAX {
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut found: Vec<Complaint> = errors.iter().map(complaint).collect();
        // The reader gives up at a key without value; without that line it goes on.
        match found.iter().position(|fault| fault.message.starts_with("key with no value")) {
            Some(stop) => {
                let stop = found.swap_remove(stop);
                let line = line_around(&text, stop.range.start);
                complaints.push(Complaint { range: trimmed(&text, line.clone()), ..stop });
                text = blanked(&text, line);
            }
            None => {
                let entries = entries_of(table.get_ref(), source);
                complaints.append(&mut found);
                report(source, &entries, complaints, faults);
                return entries;
            }
        }
    }
    report(source, &[], complaints, faults);
    Vec::new()
}

/// The text of the file. Octets that are not UTF-8 are told and stand as `?`.
fn text_of(source: &Arc<Source>, faults: &mut Faults) -> String {
    let mut text = String::with_capacity(source.text.len());
    let mut told = false;
    for chunk in source.text.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() && !told {
            let place = at(source, text.len()..text.len() + chunk.invalid().len());
            faults.syntax(
                Diagnostic::error("the file is not UTF-8", place)
                    .help("TOML files are UTF-8; save it in that encoding"),
            );
            told = true;
        }
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

fn complaint(error: &toml::de::Error) -> Complaint {
    Complaint { message: error.message().to_owned(), range: error.span().unwrap_or(0..0) }
}

/// Tells the complaints: one for each line, and only the opening of a list that never ends.
fn report(
    source: &Arc<Source>,
    entries: &[Entry],
    mut complaints: Vec<Complaint>,
    faults: &mut Faults,
) {
    let unclosed = complaints
        .iter()
        .filter(|fault| fault.message.starts_with("unclosed array"))
        .filter_map(|fault| list_that_ends_at(entries, fault.range.start))
        .min_by_key(|open| open.start);
    if let Some(open) = unclosed {
        complaints.retain(|fault| fault.range.start < open.start);
        let message = "unclosed array".to_owned();
        complaints.push(Complaint { message, range: open.start..open.start + 1 });
        faults.unread(at(source, open.start..source.text.len() + 1));
    }
    complaints.sort_by_key(|fault| fault.range.start);
    complaints.dedup_by_key(|fault| source.position(fault.range.start).0);
    let headers: Vec<usize> = complaints
        .iter()
        .filter(|fault| fault.message == TWICE && is_header(source, fault.range.start))
        .map(|fault| fault.range.start)
        .collect();
    complaints.retain(|fault| {
        let below = headers.iter().rev().find(|header| **header < fault.range.start);
        let same_table = |header: &usize| !holds_header(source, *header, fault.range.start);
        fault.message != TWICE || !below.is_some_and(same_table)
    });
    for fault in complaints {
        let (message, help) = in_our_words(&fault.message);
        let diagnostic = Diagnostic::error(message, at(source, fault.range));
        faults.syntax(Diagnostic { help: help.map(str::to_owned), ..diagnostic });
    }
}

/// The innermost list that runs up to `end`.
fn list_that_ends_at(entries: &[Entry], end: usize) -> Option<Range<usize>> {
    fn search(node: &Node, end: usize, found: &mut Option<Range<usize>>) {
        match &node.value {
            Value::Array(items) => {
                if node.span.range.end == end && found.is_none() {
                    *found = Some(node.span.range.clone());
                }
                items.iter().for_each(|item| search(item, end, found));
            }
            Value::Table(entries) => {
                entries.iter().for_each(|entry| search(&entry.node, end, found));
            }
            _ => {}
        }
    }
    let mut found = None;
    entries.iter().for_each(|entry| search(&entry.node, end, &mut found));
    found
}

/// What the reader says, said to somebody who does not know TOML's grammar by heart.
fn in_our_words(message: &str) -> (String, Option<&'static str>) {
    const WORDS: &[(&str, &str, &str)] = &[
        ("key with no value", "this line is no 'key = value'", "write key = value"),
        ("string values must be quoted", "a text without quotes", "put texts in quotes: \"fra\""),
        ("invalid boolean", "a text without quotes", "put texts in quotes: \"fra\""),
        (
            "invalid basic string",
            "a text that never ends",
            "close it with a quote on the same line",
        ),
        (
            "invalid literal string",
            "a text that never ends",
            "close it with a quote on the same line",
        ),
        (
            "invalid unquoted key",
            "a key with characters that need quotes",
            "put it in quotes: [record.\"*.apps\"]",
        ),
        ("unclosed array", "a list that never ends", "close it with ']'"),
        ("unclosed inline table", "a table that never ends", "close it with '}'"),
        ("unclosed table", "a table's name that never ends", "close it with ']'"),
        ("unclosed array table", "a table's name that never ends", "close it with ']]'"),
        ("missing comma", "a comma is missing before this", "put ',' between the items of a list"),
        (
            "duplicate key",
            "this is defined twice in the file",
            "keep one of the two, or give one another name",
        ),
        ("unexpected key or value", "something follows the value", "one 'key = value' per line"),
        ("unquoted keys cannot be empty", "a key is missing before this", "write key = value"),
    ];
    match WORDS.iter().find(|(start, _, _)| message.starts_with(start)) {
        Some((_, ours, help)) => ((*ours).to_owned(), Some(help)),
        None => (message.replace('`', "'"), None),
    }
}

/// What the reader says of a key or table that is there already.
const TWICE: &str = "duplicate key";

/// True when the line of `offset` is a table's header.
fn is_header(source: &Source, offset: usize) -> bool {
    let before = source.text.get(..offset).unwrap_or_default();
    let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    before[start..].trim_ascii_start().starts_with(b"[")
}

/// True when a table begins between the header at `from` and `to`, or at `to`.
fn holds_header(source: &Source, from: usize, to: usize) -> bool {
    let between = source.text.get(from..to).unwrap_or_default();
    between.split(|&b| b == b'\n').skip(1).any(|line| line.trim_ascii_start().starts_with(b"["))
}

fn line_around(text: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(text.len());
    let bytes = text.as_bytes();
    // A complaint at the end of a line may stand behind its line feed.
    let inside = if offset > 0 && bytes[offset - 1] == b'\n' { offset - 1 } else { offset };
    let start = bytes[..inside].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let end = bytes[inside..].iter().position(|&b| b == b'\n').map_or(text.len(), |at| inside + at);
    start..end
}

fn trimmed(text: &str, line: Range<usize>) -> Range<usize> {
    let whole = text.get(line.clone()).unwrap_or_default();
    let start = line.start + (whole.len() - whole.trim_start().len());
    start..(start + whole.trim().len())
}

fn blanked(text: &str, line: Range<usize>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[line].fill(b' ');
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each complaint as `line: message`.
    fn check(text: &str, expected: &[&str]) {
        let source = Arc::new(Source { path: "a.toml".into(), text: text.into() });
        let mut faults = Faults::default();
        read(&source, &mut faults);
        let told: Vec<String> = faults
            .finish()
            .iter()
            .map(|fault| {
                let place = fault.span.as_ref().map_or(0, |span| span.range.start);
                format!("{}: {}", source.position(place).0, fault.message)
            })
            .collect();
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn every_line_that_is_wrong_is_told_once() {
        check("a = 1\nb = 2\n", &[]);
        check(
            "a = fra\npolicy\nb = \"x\nc = 1\n",
            &[
                "1: a text without quotes",
                "2: this line is no 'key = value'",
                "3: a text that never ends",
            ],
        );
    }

    #[test]
    fn a_list_that_never_ends_is_told_where_it_begins() {
        check("x = 1\na = [1, 2\nb = 3\n[c]\nd = 4\n", &["2: a list that never ends"]);
    }

    #[test]
    fn what_stands_behind_a_broken_line_is_read() {
        let source = Arc::new(Source { path: "a.toml".into(), text: b"a\nb = 1\n".to_vec() });
        let entries = read(&source, &mut Faults::default());
        assert_eq!(entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn octets_that_are_not_utf_8_are_told_where_they_stand() {
        let source =
            Arc::new(Source { path: "a.toml".into(), text: b"a = 1\nb = \"\xff\"\n".to_vec() });
        let mut faults = Faults::default();
        read(&source, &mut faults);
        let told = faults.finish();
        assert_eq!(told[0].span.as_ref().map(|span| span.range.clone()), Some(11..12));
    }
}
