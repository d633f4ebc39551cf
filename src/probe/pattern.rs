//! What a text must match, and where in a JSON value to look: compiled when files are read, known
//! by their text.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json_path::JsonPath;

/// Octets a compiled pattern may take, so that none of an agent's probe set takes its memory.
const COMPILED_MAX: usize = 1 << 20;

/// A regular expression, in the syntax of the regex crate (RE2's, without look-around).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

/// A JSON path (RFC 9535).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    text: String,
    path: JsonPath,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(COMPILED_MAX).build();
        built.map(Self).map_err(|error| one_line(&error.to_string()))
    }

    /// The expression.
    pub const fn regex(&self) -> &Regex {
        &self.0
    }

    /// True when it matches somewhere in `text`.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

impl Place {
    /// Parses `text`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let path = JsonPath::parse(text).map_err(|error| one_line(&error.to_string()))?;
        Ok(Self { text: text.to_owned(), path })
    }

    /// The values found there.
    pub fn find<'v>(&self, value: &'v serde_json::Value) -> Vec<&'v serde_json::Value> {
        self.path.query(value).all()
    }
}

/// The last line of a complaint says what is wrong; those before it draw the expression.
fn one_line(complaint: &str) -> String {
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or(complaint).trim_start_matches("error: ").trim().to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Place {}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_line() {
        let complaint = Pattern::new("a(b").expect_err("not closed");
        assert_eq!(complaint, "unclosed group");
        assert!(Pattern::new(r"\w{1000}{1000}").is_err(), "too large");
        assert!(Place::new("status").is_err());
        assert!(Place::new("$.status").is_ok());
    }
}
