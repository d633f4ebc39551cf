//! Faults in files: where, what, and what to do about it. Used by every room that reads files.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        (line, 1 + String::from_utf8_lossy(&before[line_start..]).chars().count())
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
        Self { severity, message, span, label: String::new(), related: None, help: None }
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
