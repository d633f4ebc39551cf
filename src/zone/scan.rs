//! The octets of a master file into entries of tokens with their places (RFC 1035 section 5.1):
//! blanks, comments, quotes, parentheses, escapes. Knows no owner, type or directive.

use std::ops::Range;

/// One word or quoted text. Its octets are as written, escapes not yet undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// First octet; for quoted text the one after the quote.
    pub(super) start: u32,
    /// After the last octet; for quoted text the closing quote.
    pub(super) end: u32,
    /// Written in quotes.
    pub(super) quoted: bool,
}

/// One entry: a line, or several joined by parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its line begins.
    pub(super) start: u32,
    /// It begins with a blank: no owner is written.
    pub(super) blank: bool,
}

/// What the scanner stumbles over. The scanner goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScanFault {
    /// Quoted text without a closing quote on its line.
    OpenQuote(Range<usize>),
    /// `(` without `)`.
    OpenParenthesis(Range<usize>),
    /// `)` without `(`.
    StrayParenthesis(Range<usize>),
}

/// Walks over a master file.
#[derive(Debug)]
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

/// Which octets end a word, or protect the next one.
const IS_SPECIAL: [bool; 256] = {
    let special = b" \t\r\n;()\"\\";
    let mut is = [false; 256];
    let mut at = 0;
    while at < special.len() {
        is[special[at] as usize] = true;
        at += 1;
    }
    is
};

impl Token {
    /// The octets it stands on, quotes included.
    pub(super) const fn range(self) -> Range<usize> {
        if self.quoted {
            self.start as usize - 1..self.end as usize + 1
        } else {
            self.start as usize..self.end as usize
        }
    }

    /// Its octets.
    pub(super) fn text(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
}

impl<'t> Scanner<'t> {
    /// At the beginning of `text`.
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self::from(text, 0)
    }

    /// At `at`, the beginning of a line.
    pub(super) const fn from(text: &'t [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// The next entry with at least one token, its tokens put into `tokens`; `None` at the end.
    pub(super) fn entry(&mut self, tokens: &mut Vec<Token>) -> Option<Result<Entry, ScanFault>> {
        tokens.clear();
        while self.at < self.text.len() {
            let start = self.at;
            let blank = matches!(self.text[start], b' ' | b'\t');
            match self.tokens(tokens) {
                Err(fault) => return Some(Err(fault)),
                Ok(()) if !tokens.is_empty() => {
                    return Some(Ok(Entry { start: start as u32, blank }));
                }
                Ok(()) => {}
            }
        }
        None
    }

    /// The tokens up to the end of the entry.
    fn tokens(&mut self, tokens: &mut Vec<Token>) -> Result<(), ScanFault> {
        let mut outermost = 0;
        let mut depth = 0_usize;
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                b';' => self.skip_line(),
                b'(' => {
                    if depth == 0 {
                        outermost = self.at;
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    let Some(less) = depth.checked_sub(1) else {
                        let at = self.at;
                        self.next_line();
                        return Err(ScanFault::StrayParenthesis(at..at + 1));
                    };
                    depth = less;
                    self.at += 1;
                }
                b'"' => {
                    let start = self.at + 1;
                    self.close_quote(self.at)?;
                    let end = self.at as u32 - 1;
                    tokens.push(Token { start: start as u32, end, quoted: true });
                }
                _ => tokens.push(self.word()),
            }
        }
        if depth == 0 {
            return Ok(());
        }
        self.at = self.after_open_parenthesis(outermost);
        Err(ScanFault::OpenParenthesis(outermost..outermost + 1))
    }

    /// A word; a quote ends it, as in BIND and NSD: `alpn="h2,h3"` is two tokens that touch.
    fn word(&mut self) -> Token {
        let start = self.at;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|&octet| IS_SPECIAL[usize::from(octet)]);
            self.at += plain.unwrap_or(rest.len());
            if self.text.get(self.at) != Some(&b'\\') {
                break;
            }
            self.at += self.escape_length();
        }
        Token { start: start as u32, end: self.at as u32, quoted: false }
    }

    /// From the quote at `open` to behind the closing one.
    fn close_quote(&mut self, open: usize) -> Result<(), ScanFault> {
        self.at = open + 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += self.escape_length(),
                Some(b'\n') | None => {
                    let end = self.at;
                    self.next_line();
                    return Err(ScanFault::OpenQuote(open..end));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// A backslash and the octet it protects; a line end is never protected.
    fn escape_length(&self) -> usize {
        match self.text.get(self.at + 1) {
            Some(b'\n') | None => 1,
            Some(_) => 2,
        }
    }

    /// To the line feed.
    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    fn next_line(&mut self) {
        self.skip_line();
        self.at = self.text.len().min(self.at + 1);
    }

    /// Where to go on after a `(` that is never closed: the next line that begins like an
    /// entry of its own.
    fn after_open_parenthesis(&self, open: usize) -> usize {
        let mut scanner = Self::from(self.text, open);
        loop {
            scanner.next_line();
            match self.text.get(scanner.at) {
                None => return self.text.len(),
                Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b')') => {}
                Some(_) => return scanner.at,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every entry as its tokens joined with `|`, `_` in front when no owner is written.
    fn scan(text: &str) -> Vec<String> {
        let mut scanner = Scanner::new(text.as_bytes());
        let mut tokens = Vec::new();
        let mut entries = Vec::new();
        while let Some(entry) = scanner.entry(&mut tokens) {
            entries.push(match entry {
                Ok(entry) => {
                    let words: Vec<_> = tokens.iter().map(|token| &text[token.range()]).collect();
                    format!("{}{}", if entry.blank { "_" } else { "" }, words.join("|"))
                }
                Err(fault) => format!("{fault:?}"),
            });
        }
        entries
    }

    #[test]
    fn words_quotes_and_comments_are_told_apart() {
        assert_eq!(scan("a TXT \"b ; c\" d;e\n\n ; nothing\n\tA x"), ["a|TXT|\"b ; c\"|d", "_A|x"]);
    }

    #[test]
    fn parentheses_join_lines() {
        assert_eq!(scan("a SOA ( 1 ; one\n2\n  (3) )\nb"), ["a|SOA|1|2|3", "b"]);
    }

    #[test]
    fn an_escape_protects_the_octet_behind_it() {
        assert_eq!(scan(r#"a\ b\;c "x\"y" \(d"#), [r#"a\ b\;c|"x\"y"|\(d"#]);
    }

    #[test]
    fn a_quote_ends_a_word() {
        assert_eq!(scan("a HTTPS 1 . key=\"b c\" d"), ["a|HTTPS|1|.|key=|\"b c\"|d"]);
        assert_eq!(scan("a TXT b\"c\"d"), ["a|TXT|b|\"c\"|d"]);
    }

    #[test]
    fn the_scanner_goes_on_behind_a_fault() {
        assert_eq!(scan("a \"b\nc ) d\ne"), ["OpenQuote(2..4)", "StrayParenthesis(7..8)", "e"]);
        assert_eq!(scan("a ( b\n c\nd"), ["OpenParenthesis(2..3)", "d"]);
    }
}
