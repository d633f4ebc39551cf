//! Prometheus' text format (version 0.0.4): the sum of the series that a selector names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A metric's name and labels a series must have: `requests_total{code="5xx"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    name: Box<str>,
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Selector {
    /// Parses a selector. Values are equal or they are not; there are no patterns.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        if !is_name(name.trim()) {
            return Err("write name or name{label=\"value\"}".to_owned());
        }
        let wanted = match rest.strip_prefix('{') {
            None => Some((Vec::new(), "")),
            Some(inner) => labels(inner),
        };
        let wanted = wanted.filter(|(_, rest)| rest.trim().is_empty());
        let (labels, _) = wanted.ok_or_else(|| "write name{label=\"value\"}".to_owned())?;
        let own = |(name, value): (&str, String)| (name.into(), value.into());
        Ok(Self { name: name.trim().into(), labels: labels.into_iter().map(own).collect() })
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (at, (name, value)) in self.labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{}{name}=\"{value}\"", if at == 0 { "{" } else { "," })?;
        }
        if self.labels.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

/// The sum of the series that `selector` names; `None` where there is none, or one is no number.
pub fn sum(text: &[u8], selector: &Selector) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix(&*selector.name) else { continue };
        let Some((has, rest)) = series(rest) else { continue };
        let fits = selector
            .labels
            .iter()
            .all(|(name, value)| has.iter().any(|(of, is)| *of == &**name && **is == **value));
        if !fits {
            continue;
        }
        let number: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
        if !number.is_finite() {
            return None;
        }
        *sum.get_or_insert(0.0) += number;
    }
    sum
}

/// Labels with their values.
type Labels<'a> = Vec<(&'a str, String)>;

/// What stands behind a metric's name: its labels, and its value with what follows. `None` where
/// the name goes on.
fn series(rest: &str) -> Option<(Labels<'_>, &str)> {
    match rest.strip_prefix('{') {
        Some(inner) => labels(inner),
        None => rest.starts_with([' ', '\t']).then_some((Vec::new(), rest)),
    }
}

/// `name="value",…}`, and what stands behind.
fn labels(mut text: &str) -> Option<(Labels<'_>, &str)> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, rest) = text.split_once('=')?;
        let rest = rest.trim_start().strip_prefix('"')?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    text = &rest[at + 1..];
                    break;
                }
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        }
        if !is_name(name.trim()) {
            return None;
        }
        found.push((name.trim(), value));
    }
}

fn is_name(text: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    text.starts_with(begins) && text.chars().all(|c| begins(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, selector: &str) -> Option<f64> {
        sum(text.as_bytes(), &Selector::new(selector).expect("a selector"))
    }

    #[test]
    fn series_that_fit_are_summed() {
        let text = "# HELP up Whether.\n# TYPE up gauge\nup 1\nup_total 9\n\
                    s{proxy=\"web\",server=\"a\\\"b\"} 2 1700000000\ns{server=\"c\", proxy=\"web\"} 3e1\n\
                    s{proxy=\"api\"} 7\n";
        assert_eq!(of(text, "up"), Some(1.0));
        assert_eq!(of(text, "s{proxy=\"web\"}"), Some(32.0));
        assert_eq!(of(text, "s{ server=\"a\\\"b\" }"), Some(2.0));
        assert_eq!(of(text, "s"), Some(39.0));
        assert_eq!(of(text, "s{proxy=\"mail\"}"), None);
        assert_eq!(of("up NaN\n", "up"), None);
        assert_eq!(of("up\n", "up"), None);
    }

    #[test]
    fn a_selector_is_written_as_it_was_read() {
        let text = "s{a=\"b\",c=\"d\\\"e\\\\\"}";
        let selector = Selector::new(text).expect("a selector");
        assert_eq!(selector.to_string(), text);
        for wrong in ["", "a b", "a{b}", "a{b=c}", "a{b=\"c\"", "a{b=\"c\"}d", "{a=\"b\"}"] {
            assert!(Selector::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
