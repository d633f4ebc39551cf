//! TOML into values that know where they stand, with every fault recorded on the way.
//!
//! A getter that meets the wrong thing says so and gives `None`, and its caller goes on: one
//! run tells everything. Nothing here knows what the keys mean.

use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::later;
use super::suggest;
use super::syntax;
use crate::diagnostics::{Diagnostic, Source, Span};

/// What has been found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    meaning: Vec<Diagnostic>,
    syntax: Vec<Diagnostic>,
    /// Stretches of files that were not understood at all.
    unread: Vec<Span>,
}

impl Faults {
    /// Records a fault.
    pub(super) fn push(&mut self, fault: Diagnostic) {
        self.meaning.push(fault);
    }

    /// Records that something is absent from `source`. Where the file cannot be read to its
    /// end that proves nothing, so nothing is said.
    pub(super) fn absent(&mut self, source: Option<&Arc<Source>>, fault: Diagnostic) {
        if !source.is_some_and(|source| self.is_broken(source)) {
            self.meaning.push(fault);
        }
    }

    /// Records a fault of the file's form.
    pub(super) fn syntax(&mut self, fault: Diagnostic) {
        self.syntax.push(fault);
    }

    /// Records that nothing read from `span` means what it seems to.
    pub(super) fn unread(&mut self, span: Span) {
        self.unread.push(span);
    }

    /// Adds what has been found elsewhere.
    pub(super) fn append(&mut self, other: Self) {
        self.meaning.extend(other.meaning);
        self.syntax.extend(other.syntax);
        self.unread.extend(other.unread);
    }

    /// True when a fault so far is an error.
    pub(super) fn any_error(&self) -> bool {
        self.syntax.iter().chain(&self.meaning).any(Diagnostic::is_error)
    }

    fn is_broken(&self, source: &Arc<Source>) -> bool {
        self.syntax.iter().filter_map(|fault| fault.span.as_ref()).any(|s| s.source == *source)
    }

    /// Everything, in the order of files and of places in them. What stands on a line whose
    /// form is wrong already is left out.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let line = |fault: &Diagnostic| {
            let span = fault.span.as_ref()?;
            Some((span.source.path.clone(), span.source.position(span.range.start).0))
        };
        let broken: Vec<_> = self.syntax.iter().map(line).collect();
        let unread = |fault: &Diagnostic| {
            let inside = |span: &Span| {
                self.unread.iter().any(|unread| {
                    unread.source == span.source && unread.range.contains(&span.range.start)
                })
            };
            fault.span.as_ref().is_some_and(inside)
        };
        let meaning = self.meaning.into_iter().filter(|fault| !unread(fault));
        let kept = meaning.filter(|fault| {
            broken.is_empty() || fault.span.is_none() || !broken.contains(&line(fault))
        });
        let mut all: Vec<Diagnostic> = kept.collect();
        all.extend(self.syntax);
        all.sort_by_cached_key(|fault| {
            fault.span.as_ref().map(|span| (rank(&span.source), span.range.start))
        });
        all
    }
}

/// Files in the order a person reads them: what is referred to stands first.
fn rank(source: &Source) -> (u8, std::path::PathBuf) {
    let path = source.path.to_string_lossy();
    let rank = match path.as_ref() {
        "meridian.toml" => 0,
        "geo/regions.toml" => 1,
        "geo/groups.toml" => 2,
        "geo/networks.toml" => 3,
        "probes/monitors.toml" => 4,
        _ if source.path.extension().is_some_and(|extension| extension == "csv") => 6,
        _ => 5,
    };
    (rank, source.path.clone())
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// A TOML value. Tables keep the order of the file.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    /// `None` when it does not fit 64 bits.
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

/// Reads a file as TOML, as much of it as can be read.
pub(super) fn parse(source: &Arc<Source>, faults: &mut Faults) -> Node {
    Node { span: at(source, 0..0), value: Value::Table(syntax::read(source, faults)) }
}

pub(super) fn at(source: &Arc<Source>, range: std::ops::Range<usize>) -> Span {
    Span { source: Arc::clone(source), range }
}

pub(super) fn entries_of(table: &DeTable<'_>, source: &Arc<Source>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: at(source, key.span()),
            node: node_of(value.get_ref(), value.span(), source),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.range.start);
    entries
}

fn node_of(value: &DeValue<'_>, span: std::ops::Range<usize>, source: &Arc<Source>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(
            items.iter().map(|item| node_of(item.get_ref(), item.span(), source)).collect(),
        ),
        DeValue::Table(table) => Value::Table(entries_of(table, source)),
    };
    Node { span: at(source, span), value }
}

impl Node {
    /// An error at this value.
    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message, self.span.clone())
    }

    /// A text.
    pub(super) fn text(&self, faults: &mut Faults) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => self.expected("a text in quotes", faults),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, faults: &mut Faults) -> Option<bool> {
        match self.value {
            Value::Boolean(value) => Some(value),
            _ => self.expected("true or false", faults),
        }
    }

    /// A whole number within `range`.
    pub(super) fn integer<T>(&self, range: RangeInclusive<i64>, faults: &mut Faults) -> Option<T>
    where
        T: TryFrom<i64>,
    {
        let Value::Integer(number) = self.value else {
            return self.expected("a whole number", faults);
        };
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let (low, high) = range.into_inner();
            faults.push(self.error("number out of range").label(format!("{low} to {high}")));
        }
        fits.and_then(|number| T::try_from(number).ok())
    }

    /// A number with or without a fraction.
    pub(super) fn number(&self, faults: &mut Faults) -> Option<f64> {
        match self.value {
            Value::Float(number) => Some(number),
            Value::Integer(Some(number)) => Some(number as f64),
            _ => self.expected("a number", faults),
        }
    }

    /// A text that `parse` understands; its complaint becomes the label.
    pub(super) fn parsed<T>(
        &self,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(faults)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                faults.push(self.error(format!("'{text}' is not {what}")).label(why));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        what: &str,
        words: &[(&str, T)],
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(faults)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let planned = later::word(what, text);
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let fault = match planned {
            Some(_) => self.error(format!("{what} '{text}' is not supported by this version")),
            None => self.error(format!("unknown {what} '{text}'")),
        };
        let help = match planned {
            Some(_) => Some(format!("supported here: {}", names.join(", "))),
            None => suggest::help(text, &names, "one of"),
        };
        faults.push(Diagnostic { help, ..fault });
        None
    }

    /// A list.
    pub(super) fn list(&self, faults: &mut Faults) -> Option<&[Self]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => self.expected("a list in brackets", faults),
        }
    }

    /// A list, or one value that stands for a list of one.
    pub(super) fn one_or_list(&self) -> &[Self] {
        match &self.value {
            Value::Array(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// A table whose keys are fixed; `what` it is goes into messages ("a pool").
    pub(super) fn fields(&self, what: &'static str, faults: &mut Faults) -> Option<Fields<'_>> {
        let Value::Table(entries) = &self.value else {
            return self.expected(&format!("{what}, as a table"), faults);
        };
        Some(Fields { entries, span: self.span.clone(), what, known: Vec::new() })
    }

    /// A table whose keys are names.
    pub(super) fn table(&self, faults: &mut Faults) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            _ => self.expected("a table", faults),
        }
    }

    /// Says what would have been right instead.
    pub(super) fn expected<T>(&self, what: &str, faults: &mut Faults) -> Option<T> {
        let found = match &self.value {
            Value::String(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        };
        faults.push(self.error(format!("expected {what}")).label(format!("this is {found}")));
        None
    }
}

/// A table whose keys are fixed. Keys that were never asked for are unknown ones.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    span: Span,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of a key.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// A key with its value.
    pub(super) fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key that must be there. `place` is shown where it is not.
    pub(super) fn required(
        &mut self,
        key: &'static str,
        place: &Span,
        faults: &mut Faults,
    ) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() && !self.has_slip_of(key) {
            let message = format!("{} needs '{key}'", self.what);
            let fault = Diagnostic::error(message, place.clone());
            let help = later::example(key).map(|example| format!("write {example}"));
            faults.absent(Some(&place.source), Diagnostic { help, ..fault });
        }
        node
    }

    /// True when a key that nobody asked for looks like `key`; it is told as unknown, with
    /// `key` as what was meant.
    pub(super) fn has_slip_of(&self, key: &str) -> bool {
        let unknown = self.entries.iter().map(|entry| &*entry.key);
        suggest::closest(key, unknown.filter(|other| !self.known.contains(other))).is_some()
    }

    /// True without any key.
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the table stands.
    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// Complains of every key that nobody asked for.
    pub(super) fn finish(self, faults: &mut Faults) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&&*entry.key)) {
            let (key, what) = (&entry.key, self.what);
            let span = entry.key_span.clone();
            let fault = if let Some(later) = later::key(what, key) {
                Diagnostic::error(format!("'{key}' is not supported by this version"), span)
                    .label(later)
                    .help("remove the key")
            } else {
                let help = later::hint(what, key)
                    .map(str::to_owned)
                    .or_else(|| suggest::help(key, &self.known, "keys here"));
                let fault = Diagnostic::error(format!("unknown key '{key}'"), span);
                Diagnostic { help, ..fault.label(format!("not a key of {what}")) }
            };
            faults.push(fault);
        }
    }
}
