//! One line of HAProxy's agent check (its configuration manual, section 5.2, `agent-check`).
//!
//! ```text
//! line   = word *( separators word ) [ CR / LF … ]
//! word   = 1*DIGIT "%" / "maxconn:" 1*DIGIT / "weight:" 1*DIGIT [ "%" ] / "ready" / "drain"
//!        / "maint" / "up" / ( "down" / "fail" / "failed" / "stopped" ) [ "#" text ]
//! separators = 1*( SP / TAB / "," )
//! ```
//!
//! A text behind `#` goes to the end of the line. Words are taken in any order and any case. Where
//! an administrative and an operating state are said, the worse holds: a server that is `up drain`
//! drains, and one that is `down ready` is down.

use thiserror::Error;

use crate::health::sample::AgentWord;

/// Octets of a text that are kept.
const WHY_MAX: usize = 200;

/// What an agent has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The worst of its words.
    pub word: Option<AgentWord>,
    /// The weight it asks for, in per cent; at most 100.
    pub weight: Option<u8>,
    /// Connections it can bear.
    pub maxconn: Option<u32>,
    /// The word for "down" and the text behind it.
    pub why: Option<Box<str>>,
}

/// Why a line is none of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Nothing stands in it.
    #[error("the agent has said nothing")]
    Empty,
    /// A word that is none of an agent's.
    #[error("no word of an agent check: '{0}'")]
    Word(Box<str>),
}

/// Reads a line; what stands behind its end is ignored.
///
/// # Errors
/// An empty line, and the first word that is none.
pub fn parse(line: &[u8]) -> Result<Said, Fault> {
    let end = line.iter().position(|octet| matches!(octet, b'\r' | b'\n' | 0));
    let mut rest = &line[..end.unwrap_or(line.len())];
    let mut said = Said::default();
    let mut any = false;
    loop {
        let skipped = rest.iter().position(|octet| !is_separator(*octet));
        let Some(skipped) = skipped else { break };
        rest = &rest[skipped..];
        let end = rest.iter().position(|octet| is_separator(*octet) || *octet == b'#');
        let (word, mut after) = rest.split_at(end.unwrap_or(rest.len()));
        let text = after.strip_prefix(b"#");
        if text.is_some() {
            after = &[];
        }
        said.take(word, text)?;
        any = true;
        rest = after;
    }
    if any { Ok(said) } else { Err(Fault::Empty) }
}

const fn is_separator(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b',')
}

impl Said {
    fn take(&mut self, word: &[u8], text: Option<&[u8]>) -> Result<(), Fault> {
        let shown = || String::from_utf8_lossy(&word[..word.len().min(WHY_MAX)]).into_owned();
        let fault = || Fault::Word(shown().into());
        let lower = word.to_ascii_lowercase();
        match lower.as_slice() {
            b"up" | b"ready" => self.worst(AgentWord::Up),
            b"drain" => self.worst(AgentWord::Drain),
            b"maint" => self.worst(AgentWord::Maint),
            b"down" | b"fail" | b"failed" | b"stopped" => {
                self.worst(AgentWord::Down);
                let text = text.map(|text| String::from_utf8_lossy(text).trim().to_owned());
                let why = match text.filter(|text| !text.is_empty()) {
                    Some(text) => format!("{}: {text}", shown()),
                    None => shown(),
                };
                self.why = Some(why.chars().take(WHY_MAX).filter(|c| !c.is_control()).collect());
                return Ok(());
            }
            _ => self.number(&lower).ok_or_else(fault)?,
        }
        // Only a word for "down" has a text.
        if text.is_some() { Err(fault()) } else { Ok(()) }
    }

    fn number(&mut self, word: &[u8]) -> Option<()> {
        if let Some(number) = word.strip_prefix(b"maxconn:") {
            self.maxconn = Some(digits(number)?);
            return Some(());
        }
        let percent = match word.strip_prefix(b"weight:") {
            Some(number) => number.strip_suffix(b"%").unwrap_or(number),
            None => word.strip_suffix(b"%")?,
        };
        self.weight = Some(digits(percent)?.min(100) as u8);
        Some(())
    }

    fn worst(&mut self, word: AgentWord) {
        let rank = |word: AgentWord| match word {
            AgentWord::Up => 0,
            AgentWord::Drain => 1,
            AgentWord::Maint => 2,
            AgentWord::Down => 3,
        };
        if self.word.is_none_or(|before| rank(word) > rank(before)) {
            self.word = Some(word);
        }
    }
}

/// A number of one to nine digits.
fn digits(text: &[u8]) -> Option<u32> {
    let all = !text.is_empty() && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    all.then(|| text.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> (Option<AgentWord>, Option<u8>, Option<u32>, Option<String>) {
        let said = parse(line.as_bytes()).unwrap_or_else(|fault| panic!("{line:?}: {fault}"));
        (said.word, said.weight, said.maxconn, said.why.map(Into::into))
    }

    #[test]
    fn every_word_of_the_manual_is_understood() {
        let down = |why: &str| (Some(AgentWord::Down), None, None, Some(why.to_owned()));
        for (line, expected) in [
            ("75%\n", (None, Some(75), None, None)),
            ("250%", (None, Some(100), None, None)),
            ("weight:40", (None, Some(40), None, None)),
            ("weight:0%", (None, Some(0), None, None)),
            ("maxconn:30", (None, None, Some(30), None)),
            ("ready", (Some(AgentWord::Up), None, None, None)),
            ("UP", (Some(AgentWord::Up), None, None, None)),
            ("drain", (Some(AgentWord::Drain), None, None, None)),
            ("maint\r\n", (Some(AgentWord::Maint), None, None, None)),
            ("up, 50%,maxconn:9\tdrain", (Some(AgentWord::Drain), Some(50), Some(9), None)),
            ("down ready", down("down")),
            ("stopped", down("stopped")),
            ("fail#disk full, 3 left\nup", down("fail: disk full, 3 left")),
            ("failed#", down("failed")),
        ] {
            assert_eq!(said(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_no_word_is_a_fault() {
        assert_eq!(parse(b""), Err(Fault::Empty));
        assert_eq!(parse(b" ,\t\n up"), Err(Fault::Empty));
        for line in ["75", "-5%", "%", "upp", "maxconn: 3", "maxconn:", "up#well", "1234567890%"] {
            assert!(matches!(parse(line.as_bytes()), Err(Fault::Word(_))), "{line:?}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
    }
}
