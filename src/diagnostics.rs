//! Faults in files: where, what, and what to do about it. Used by every room that reads files.
//!
//! [`render`] draws them in the manner of rustc. Nothing here knows what the files mean.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
};

/// One file as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As the operator would name it, relative to the configuration's directory.
    pub path: PathBuf,
    /// Its octets; master files need not be UTF-8.
    pub text: Vec<u8>,
}

/// A range of octets in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub source: Arc<Source>,
    /// The octets.
    pub range: Range<usize>,
}

/// Whether a fault stops the files from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files are refused.
    Error,
    /// They are used, but look wrong.
    Warning,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, one line, lower case, no full stop.
    pub message: String,
    /// Where; `None` when there is no place in a file (a missing file).
    pub span: Option<Span>,
    /// What to write under the carets, or nothing.
    pub label: String,
    /// Another place that matters, with what to say of it.
    pub related: Option<(Span, String)>,
    /// What to do, one line.
    pub help: Option<String>,
    /// The number of a check that documents list, shown in brackets.
    pub code: Option<&'static str>,
}

impl Source {
    /// Reads `root/path` and remembers it as `path`.
    pub fn read(root: &Path, path: &Path) -> std::io::Result<Arc<Self>> {
        let text = std::fs::read(root.join(path))?;
        Ok(Arc::new(Self { path: path.to_owned(), text }))
    }

    /// Line and column, both from 1, of the octet at `offset`; columns count characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let in_line = &before[self.line_start(offset)..];
        (line, 1 + String::from_utf8_lossy(in_line).chars().count())
    }

    /// Where the line of the octet at `offset` begins.
    fn line_start(&self, offset: usize) -> usize {
        let before = &self.text[..offset.min(self.text.len())];
        before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1)
    }

    /// Where the line of the octet at `offset` ends, its line feed not counted.
    fn line_end(&self, offset: usize) -> usize {
        let start = offset.min(self.text.len());
        self.text[start..].iter().position(|&b| b == b'\n').map_or(self.text.len(), |at| start + at)
    }
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(message: impl Into<String>, span: Span) -> Self {
        Self::new(Severity::Error, message.into(), Some(span))
    }

    /// A warning at `span`.
    pub fn warning(message: impl Into<String>, span: Span) -> Self {
        Self::new(Severity::Warning, message.into(), Some(span))
    }

    /// An error with no place in a file.
    pub fn unplaced(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into(), None)
    }

    const fn new(severity: Severity, message: String, span: Option<Span>) -> Self {
        Self {
            severity,
            message,
            span,
            label: String::new(),
            related: None,
            help: None,
            code: None,
        }
    }

    /// With text under the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related = Some((span, text.into()));
        self
    }

    /// True for an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// All faults as plain text, in the order given, an empty line after each.
///
/// ```text
/// error: unknown key 'polcy'
///  --> zones/example.org.toml:14:1
///    |
/// 14 | polcy = "nearest"
///    | ^^^^^
///    |
///    = help: did you mean 'policy'?
/// ```
pub fn render(faults: &[Diagnostic]) -> String {
    render_with(&Renderer::plain().term_width(WIDTH), faults)
}

/// As [`render`], with colours for a terminal.
pub fn render_styled(faults: &[Diagnostic]) -> String {
    render_with(&Renderer::styled().hyperlink(false).term_width(WIDTH), faults)
}

/// `2 errors, 1 warning`; empty when there are no faults.
pub fn summary(faults: &[Diagnostic]) -> String {
    let errors = faults.iter().filter(|fault| fault.is_error()).count();
    let count = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts = [count(errors, "error"), count(faults.len() - errors, "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Columns of one printed line; what does not fit is cut around the carets.
const WIDTH: usize = 120;
/// Two places of one file are drawn in one picture when they are at most this far apart,
/// so that a fault in a file of a million lines copies a few of them only.
const TOGETHER: usize = 16 * 1024;

fn render_with(renderer: &Renderer, faults: &[Diagnostic]) -> String {
    let mut text = String::new();
    for fault in faults {
        text.push_str(&renderer.render(&[picture(fault)]));
        text.push_str("\n\n");
    }
    text
}

fn picture(fault: &Diagnostic) -> Group<'_> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&fault.message);
    let mut group = Group::with_title(match fault.code {
        Some(code) => title.id(code),
        None => title,
    });
    let main = fault.span.as_ref().map(|span| (span, AnnotationKind::Primary, &*fault.label));
    let related =
        fault.related.as_ref().map(|(span, text)| (span, AnnotationKind::Context, text.as_str()));
    group = match (main, related) {
        (Some(one), Some(two)) if may_stand_together(one.0, two.0) => {
            group.element(snippet(&[one, two]))
        }
        (one, two) => group.elements([one, two].into_iter().flatten().map(|mark| snippet(&[mark]))),
    };
    match &fault.help {
        Some(help) => group.element(Level::HELP.message(normalize_untrusted_str(help))),
        None => group,
    }
}

fn may_stand_together(one: &Span, two: &Span) -> bool {
    Arc::ptr_eq(&one.source, &two.source) && one.range.start.abs_diff(two.range.start) < TOGETHER
}

/// A place to draw: where, how, and what to write beside it.
type Mark<'a> = (&'a Span, AnnotationKind, &'a str);

/// Draws places of one file. Each is cut to its first line.
fn snippet<'a>(marks: &[Mark<'a>]) -> Snippet<'a, Annotation<'a>> {
    let source = &marks[0].0.source;
    let first = marks.iter().map(|mark| mark.0.range.start).min().unwrap_or(0);
    let last = marks.iter().map(|mark| mark.0.range.start).max().unwrap_or(0);
    let window = source.line_start(first)..source.line_end(last);
    let excerpt = Excerpt::new(&source.text[window.clone()]);
    let annotations = marks.iter().map(|(span, kind, label)| {
        let start = span.range.start.min(source.text.len());
        let end = span.range.end.clamp(start, source.line_end(start));
        let range = excerpt.offset(start - window.start)..excerpt.offset(end - window.start);
        kind.span(range).label((!label.is_empty()).then_some(*label))
    });
    let annotations: Vec<_> = annotations.collect();
    Snippet::source(excerpt.text)
        .path(source.path.to_string_lossy())
        .line_start(source.position(window.start).0)
        .annotations(annotations)
}

/// Octets made text: what is not UTF-8 becomes U+FFFD, and offsets are translated.
struct Excerpt {
    text: String,
    /// For each piece: where it begins in the octets, where in the text, whether it is a
    /// replacement.
    pieces: Vec<(usize, usize, bool)>,
}

impl Excerpt {
    fn new(octets: &[u8]) -> Self {
        let mut excerpt = Self { text: String::with_capacity(octets.len()), pieces: Vec::new() };
        let mut at = 0;
        for chunk in octets.utf8_chunks() {
            excerpt.pieces.push((at, excerpt.text.len(), false));
            excerpt.text.push_str(chunk.valid());
            at += chunk.valid().len();
            for _ in chunk.invalid() {
                excerpt.pieces.push((at, excerpt.text.len(), true));
                excerpt.text.push(char::REPLACEMENT_CHARACTER);
                at += 1;
            }
        }
        excerpt.pieces.push((at, excerpt.text.len(), true));
        excerpt
    }

    /// Where the octet at `offset` stands in the text, on a character's boundary.
    fn offset(&self, offset: usize) -> usize {
        let after = self.pieces.partition_point(|piece| piece.0 <= offset);
        let Some(&(octets, text, replaced)) = self.pieces.get(after.saturating_sub(1)) else {
            return 0;
        };
        let mut at = if replaced { text } else { text + offset - octets };
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &[u8]) -> Arc<Source> {
        Arc::new(Source { path: path.into(), text: text.to_vec() })
    }

    /// The place of the first `needle`.
    fn span(source: &Arc<Source>, needle: &str) -> Span {
        let at = source.text.windows(needle.len()).position(|w| w == needle.as_bytes());
        let at = at.expect("the needle is there");
        Span { source: Arc::clone(source), range: at..at + needle.len() }
    }

    fn drawn(fault: Diagnostic) -> String {
        render(&[fault])
    }

    #[test]
    fn a_fault_shows_its_line_its_place_and_what_to_do() {
        let file = source("a.toml", b"first = 1\n  polcy = \"nearest\"\nlast = 2\n");
        let fault = Diagnostic::error("unknown key 'polcy'", span(&file, "polcy"))
            .label("not a key of a record")
            .help("did you mean 'policy'?");
        assert_eq!(
            drawn(fault),
            "error: unknown key 'polcy'\n \
             --> a.toml:2:3\n  |\n\
             2 |   polcy = \"nearest\"\n  |   ^^^^^ not a key of a record\n  |\n  \
             = help: did you mean 'policy'?\n\n"
        );
    }

    #[test]
    fn a_place_in_another_file_is_shown_too() {
        let one = source("a.toml", b"region = \"fra\"\n");
        let two = source("b.toml", b"\n\n[region.dub]\n");
        let fault = Diagnostic::error("no region 'fra'", span(&one, "\"fra\""))
            .related(span(&two, "dub"), "regions are defined here");
        let text = drawn(fault);
        assert!(text.contains("--> a.toml:1:10\n"), "{text}");
        assert!(text.contains("::: b.toml:3:9\n"), "{text}");
        assert!(text.contains("--- regions are defined here"), "{text}");
    }

    #[test]
    fn two_places_of_one_file_share_a_picture() {
        let file = source("a.toml", b"www = 1\nb = 1\nc = 1\nd = 1\ne = 1\nwww = 2\n");
        let second = Span { source: Arc::clone(&file), range: 32..35 };
        let fault = Diagnostic::warning("twice", second).related(span(&file, "www"), "first here");
        let text = drawn(fault);
        assert!(text.contains("--> a.toml:6:1\n"), "{text}");
        assert!(text.contains("1 | www = 1\n  | --- first here\n"), "{text}");
        assert!(text.contains("6 | www = 2\n  | ^^^\n"), "{text}");
        assert_eq!(text.matches("a.toml").count(), 1, "{text}");
    }

    #[test]
    fn what_is_not_utf_8_is_shown_and_later_places_stay_right() {
        let file = source("z.zone", b"caf\xe9 \xff\xfe IN BOGUS x\n");
        let text = drawn(Diagnostic::error("unknown type", span(&file, "BOGUS")));
        assert!(text.contains("z.zone:1:12\n"), "{text}");
        assert!(text.contains("1 | caf\u{fffd} \u{fffd}\u{fffd} IN BOGUS x\n"), "{text}");
        assert!(text.contains("  |            ^^^^^\n"), "{text}");
        assert_eq!(file.position(11), (1, 12));
    }

    #[test]
    fn carets_stand_below_what_follows_a_tab() {
        let file = source("z.zone", b"www\tIN\tBOGUS\n");
        let text = drawn(Diagnostic::error("unknown type", span(&file, "BOGUS")));
        assert!(text.contains("z.zone:1:8\n"), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3].find("BOGUS"), lines[4].find('^'), "{text}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let long = format!("{}BOGUS{}\n", "a ".repeat(5000), " b".repeat(5000));
        let file = source("z.zone", long.as_bytes());
        let text = drawn(Diagnostic::error("unknown type", span(&file, "BOGUS")));
        assert!(text.contains("z.zone:1:10001\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 10), "{text}");
        assert!(text.contains("BOGUS") && text.contains("^^^^^"), "{text}");
    }

    #[test]
    fn a_place_over_several_lines_is_drawn_at_its_first() {
        let file = source("z.zone", b"a ( b\nc\nd )\n");
        let whole = Span { source: Arc::clone(&file), range: 2..11 };
        let text = drawn(Diagnostic::error("never closed", whole));
        assert!(text.contains("1 | a ( b\n  |   ^^^\n"), "{text}");
    }

    #[test]
    fn the_end_of_a_file_and_places_beyond_it_can_be_shown() {
        for (octets, at) in
            [(&b""[..], 0), (b"a = ", 4), (b"a = \n", 5), (b"a", 99), (b"\xc3\xa9", 1)]
        {
            let file = source("a.toml", octets);
            for length in [0, 1, 50] {
                let place = Span { source: Arc::clone(&file), range: at..at + length };
                let text = drawn(Diagnostic::error("unfinished", place));
                assert!(text.contains("--> a.toml:"), "{text}");
            }
        }
    }

    #[test]
    fn a_fault_without_a_place_is_one_line_with_help() {
        let fault = Diagnostic::unplaced("cannot read 'zones'").help("make the folder");
        assert_eq!(drawn(fault), "error: cannot read 'zones'\n |\n = help: make the folder\n\n");
    }

    #[test]
    fn the_summary_counts_errors_and_warnings_apart() {
        let file = source("a.toml", b"a");
        let error = || Diagnostic::unplaced("x");
        let warning = Diagnostic::warning("y", span(&file, "a"));
        assert_eq!(summary(&[]), "");
        assert_eq!(summary(&[error()]), "1 error");
        assert_eq!(summary(&[error(), warning, error()]), "2 errors, 1 warning");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let file = source("a.toml", b"a = \x1b[31mred\n");
        let fault = Diagnostic::error("bad \x1b[31m", span(&file, "red")).help("not \x1b[31m");
        assert!(!drawn(fault).contains('\x1b'));
    }
}
