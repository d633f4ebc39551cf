//! Master files into records (RFC 1035 section 5), every fault told at once.
//!
//! An entry with a fault is left out and reading goes on with the next. `$INCLUDE` is opened
//! through a function the caller gives, so this knows no folder and reads no file by itself.

use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::generate;
use super::rdata::{self, Fault, Input};
use super::records::{Part, Place, Record, Records, Sink};
use super::scan::{Entry, ScanFault, Scanner, Token};
use super::text::{self, TtlFault};
use crate::diagnostics::{Diagnostic, Source, Span};
use crate::wire::name::{Name, NameRef};
use crate::wire::types::{Class, Rtype, Ttl};

/// How deep `$INCLUDE` may go.
pub const INCLUDE_DEPTH_MAX: usize = 8;
/// After this many faults reading stops: more would help nobody.
pub const FAULTS_MAX: usize = 100;
/// Most records one `$GENERATE` may make.
pub const GENERATE_MAX: u64 = 65_536;
/// The largest file: places in it are 32-bit numbers.
const FILE_MAX: usize = u32::MAX as usize;

const DIRECTIVES: [&str; 4] = ["$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE"];

/// Opens an included file; the path is as written, relative to the zones folder.
pub type Open<'a> = &'a dyn Fn(&Path) -> io::Result<Arc<Source>>;

/// Reads the zone `origin` from `source` and the files it includes. Returns what could be read
/// and every fault, in the order met.
pub fn read(source: &Arc<Source>, origin: &Name, open: Open<'_>) -> (Records, Vec<Diagnostic>) {
    let mut records = Records::new();
    let faults = read_into(&mut records, source, origin, open);
    if faults.iter().any(Diagnostic::is_error) {
        records.set_incomplete();
    }
    (records, faults)
}

/// As [`read`], with a place of the caller's for the records.
pub(super) fn read_into<S: Sink>(
    sink: &mut S,
    source: &Arc<Source>,
    origin: &Name,
    open: Open<'_>,
) -> Vec<Diagnostic> {
    let mut reader = Reader {
        sink,
        faults: Vec::new(),
        open,
        files: Vec::new(),
        default_ttl: None,
        last_ttl: None,
        told_folded: false,
        rdata: Vec::new(),
        full: false,
    };
    reader.file(source, origin.clone(), None);
    reader.faults
}

/// Where a part of the entry at `at` stands, found by scanning it again.
pub(super) fn part(text: &[u8], at: usize, part: Part) -> Option<Range<usize>> {
    let mut tokens = Vec::new();
    let entry = Scanner::from(text, at).entry(&mut tokens)?.ok()?;
    let head = Head::read(text, entry, &tokens).ok()?;
    let found = match part {
        Part::Owner => head.owner.map(Token::range),
        Part::Ttl => head.ttl.map(|(_, token)| token.range()),
        Part::Class => head.class.map(|(_, token)| token.range()),
        Part::Type => None,
        Part::Rdata => match head.rdata {
            [] => None,
            [first, .., last] => Some(first.range().start..last.range().end),
            [one] => Some(one.range()),
        },
        Part::Field(number) => head.rdata.get(number).map(|token| token.range()),
    };
    Some(found.unwrap_or_else(|| head.type_token.range()))
}

struct Reader<'o, S> {
    sink: &'o mut S,
    faults: Vec<Diagnostic>,
    open: Open<'o>,
    /// The files being read, the outermost first.
    files: Vec<PathBuf>,
    /// `$TTL` (RFC 2308 section 4).
    default_ttl: Option<Ttl>,
    /// The TTL last written, for files without `$TTL` (RFC 1035 section 5.1).
    last_ttl: Option<Ttl>,
    /// A TTL above 2^31 - 1 has been told of.
    told_folded: bool,
    rdata: Vec<u8>,
    full: bool,
}

/// One file while it is read.
struct File<'s> {
    source: &'s Arc<Source>,
    number: u16,
    origin: Name,
    /// The owner an entry without one belongs to; empty before the first.
    owner: Vec<u8>,
    /// The last owner could not be read: what belongs to it is read and left out.
    bad_owner: bool,
}

/// An entry's parts before its RDATA is read.
struct Head<'t> {
    owner: Option<Token>,
    ttl: Option<(Ttl, Token)>,
    class: Option<(Class, Token)>,
    rtype: Rtype,
    type_token: Token,
    rdata: &'t [Token],
}

impl<S: Sink> Reader<'_, S> {
    /// Reads one file; `from` is the `$INCLUDE` that asked for it.
    fn file(&mut self, source: &Arc<Source>, origin: Name, from: Option<Span>) {
        if source.text.len() > FILE_MAX {
            self.faults.push(match from {
                Some(span) => Diagnostic::error("the file is larger than 4 GiB", span),
                None => {
                    Diagnostic::unplaced(format!("{} is larger than 4 GiB", source.path.display()))
                }
            });
            return;
        }
        let Ok(number) = self.sink.add_source(source) else {
            self.faults.extend(from.map(|span| Diagnostic::error("too many included files", span)));
            return;
        };
        self.files.push(source.path.clone());
        let mut file = File { source, number, origin, owner: Vec::new(), bad_owner: false };
        let mut scanner = Scanner::new(&source.text);
        let mut tokens = Vec::new();
        while let Some(entry) = scanner.entry(&mut tokens) {
            let result = match entry {
                Ok(entry) => self.entry(&mut file, entry, &tokens),
                Err(fault) => {
                    // It may have begun with an owner.
                    file.owner.clear();
                    file.bad_owner = true;
                    Err(scan_fault(fault))
                }
            };
            if let Err(fault) = result {
                self.faults.push(fault.at(source));
            }
            if self.full {
                break;
            }
            if self.faults.len() >= FAULTS_MAX {
                self.full = true;
                let message = format!("{FAULTS_MAX} faults; the rest is not read");
                self.faults.push(Diagnostic::unplaced(message));
                break;
            }
        }
        self.files.pop();
    }

    fn entry(&mut self, file: &mut File<'_>, entry: Entry, tokens: &[Token]) -> Result<(), Fault> {
        let text = &file.source.text;
        match tokens {
            [first, rest @ ..]
                if !entry.blank && !first.quoted && text[first.start as usize] == b'$' =>
            {
                self.directive(file, entry, *first, rest)
            }
            _ => self.record(file, entry, tokens),
        }
    }

    fn record(&mut self, file: &mut File<'_>, entry: Entry, tokens: &[Token]) -> Result<(), Fault> {
        let text = &file.source.text;
        // The owner first: what follows may leave its own out even when this entry is bad.
        if let (false, Some(owner)) = (entry.blank, tokens.first()) {
            file.owner.clear();
            file.bad_owner = true;
            text::name(owner.text(text), file.origin.as_wire(), &mut file.owner).map_err(
                |(error, at)| rdata::name_fault(error, at, *owner, text, file.origin.as_ref()),
            )?;
            file.bad_owner = false;
        }
        let head = Head::read(text, entry, tokens)?;
        if file.owner.is_empty() && !file.bad_owner {
            return Err(Fault::new(head.type_token.range(), "this record has no owner")
                .label("a line that begins with a blank belongs to the owner above it")
                .help("no owner stands above; write one, or @ for the origin"));
        }
        let class = head.class.map_or(Class::IN, |(class, _)| class);
        let input = Input {
            text,
            type_token: head.type_token,
            tokens: head.rdata,
            origin: file.origin.as_ref(),
        };
        let read = rdata::read(head.rtype, input, &mut self.rdata);
        let ttl = self.ttl(&head, file)?;
        read?;
        let Ok(owner) = NameRef::from_wire(&file.owner) else {
            return Ok(());
        };
        let place = Place { source: file.number, at: entry.start };
        let record = Record { owner, rtype: head.rtype, class, ttl, rdata: &self.rdata, place };
        self.sink.push(&record).map_err(|full| {
            self.full = true;
            Fault::new(head.type_token.range(), full.to_string())
        })
    }

    /// The TTL of an entry: its own, else `$TTL`, else the one before; an SOA without any
    /// gives its MINIMUM to itself and to what follows, as BIND does.
    fn ttl(&mut self, head: &Head<'_>, file: &File<'_>) -> Result<Ttl, Fault> {
        if let Some((ttl, token)) = head.ttl {
            self.tell_folded(ttl, token, file);
            self.last_ttl = Some(ttl);
            return Ok(ttl);
        }
        if let Some(ttl) = self.default_ttl.or(self.last_ttl) {
            return Ok(ttl);
        }
        let place = head.type_token.range();
        if head.rtype == Rtype::SOA
            && let Some(minimum) = self.rdata.last_chunk::<4>()
        {
            let ttl = Ttl::new(u32::from_be_bytes(*minimum)).unwrap_or(Ttl::MAX);
            self.last_ttl = Some(ttl);
            let span = Span { source: Arc::clone(file.source), range: place };
            let message = format!("no TTL given; the SOA's minimum of {} s is used", ttl.seconds());
            self.faults.push(Diagnostic::warning(message, span).help(TTL_HELP));
            return Ok(ttl);
        }
        // Told once.
        self.last_ttl = Some(Ttl::MAX);
        Err(Fault::new(place, "this record has no TTL")
            .label("neither here nor before")
            .help(TTL_HELP))
    }

    /// Warns, once, of a TTL whose highest bit is set: it counts as 0 (RFC 2181 section 8).
    fn tell_folded(&mut self, ttl: Ttl, token: Token, file: &File<'_>) {
        if ttl != Ttl::ZERO || self.told_folded || !text::is_folded(token.text(&file.source.text)) {
            return;
        }
        self.told_folded = true;
        let span = Span { source: Arc::clone(file.source), range: token.range() };
        let fault = Diagnostic::warning("a TTL above 2147483647 seconds counts as 0", span);
        self.faults.push(fault.label("RFC 2181 section 8").help("write the TTL that is meant"));
    }

    fn directive(
        &mut self,
        file: &mut File<'_>,
        entry: Entry,
        word: Token,
        rest: &[Token],
    ) -> Result<(), Fault> {
        let text = &file.source.text;
        match word.text(text).to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => {
                let [name] = exactly(word, rest, "$ORIGIN", "a name")?;
                file.origin = self.name(file, name)?;
            }
            b"$TTL" => {
                let [token] = exactly(word, rest, "$TTL", "a time, for example 1h")?;
                let ttl = text::ttl(token.text(text)).map_err(|fault| ttl_fault(fault, token))?;
                self.tell_folded(ttl, token, file);
                self.default_ttl = Some(ttl);
            }
            b"$INCLUDE" => self.include(file, word, rest)?,
            b"$GENERATE" => self.generate(file, entry, word, rest)?,
            other => {
                let written = String::from_utf8_lossy(word.text(text));
                let fault = Fault::new(word.range(), format!("unknown directive '{written}'"));
                return Err(match text::nearest(other, DIRECTIVES.into_iter()) {
                    Some(like) => fault.help(format!("did you mean '{like}'?")),
                    None => fault.help(format!("the directives are {}", DIRECTIVES.join(", "))),
                });
            }
        }
        Ok(())
    }

    fn name(&self, file: &File<'_>, token: Token) -> Result<Name, Fault> {
        let text = &file.source.text;
        let mut wire = Vec::new();
        text::name(token.text(text), file.origin.as_wire(), &mut wire)
            .and_then(|()| Name::from_wire(&wire).map_err(|error| (error, 0..1)))
            .map_err(|(error, at)| rdata::name_fault(error, at, token, text, file.origin.as_ref()))
    }

    /// RFC 1035 section 5.1: the origin and owner of this file stay what they are.
    fn include(&mut self, file: &File<'_>, word: Token, rest: &[Token]) -> Result<(), Fault> {
        let text = &file.source.text;
        let (path, origin) = match rest {
            [path] => (*path, file.origin.clone()),
            [path, origin] => (*path, self.name(file, *origin)?),
            _ => {
                return Err(Fault::new(all(word, rest), "$INCLUDE wants a file")
                    .help("written as: $INCLUDE <file> [<origin>]"));
            }
        };
        let mut octets = Vec::new();
        let unescaped = text::unescaped(path.text(text), &mut octets);
        let Some(name) = unescaped.ok().and_then(|()| String::from_utf8(octets).ok()) else {
            return Err(Fault::new(path.range(), "this file name cannot be read"));
        };
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(&name).components().all(inside) {
            return Err(Fault::new(path.range(), "this file is outside the zones folder")
                .label("relative to the zones folder, without .."));
        }
        if self.files.len() > INCLUDE_DEPTH_MAX {
            return Err(Fault::new(path.range(), "included too deep")
                .label(format!("{INCLUDE_DEPTH_MAX} files one in another at most"))
                .help("does a file include itself?"));
        }
        let source = (self.open)(Path::new(&name)).map_err(|error| {
            Fault::new(path.range(), format!("cannot read '{name}'")).label(error.to_string())
        })?;
        let span = Span { source: Arc::clone(file.source), range: path.range() };
        if self.files.contains(&source.path) {
            return Err(Fault::new(path.range(), format!("'{name}' includes itself"))
                .label("it is being read already"));
        }
        self.file(&source, origin, Some(span));
        Ok(())
    }

    /// `$GENERATE start-stop[/step] owner [ttl] [class] type data`: one record per number, the
    /// number put where `$` stands (as BIND does).
    fn generate(
        &mut self,
        file: &File<'_>,
        entry: Entry,
        word: Token,
        rest: &[Token],
    ) -> Result<(), Fault> {
        let text = &file.source.text;
        let form = "written as: $GENERATE <first>-<last>[/<step>] <owner> [<ttl>] <type> <data>";
        let [range, parts @ ..] = rest else {
            return Err(Fault::new(word.range(), "$GENERATE wants a range").help(form));
        };
        if parts.len() < 3 {
            return Err(
                Fault::new(all(word, rest), "$GENERATE wants an owner, a type and data").help(form)
            );
        }
        let Some((first, last, step)) = generate::range(range.text(text)) else {
            return Err(Fault::new(range.range(), "bad range")
                .label("two numbers with a hyphen expected")
                .help(form));
        };
        if (last - first) / step >= GENERATE_MAX {
            return Err(Fault::new(range.range(), "this makes too many records")
                .label(format!("{GENERATE_MAX} at most")));
        }
        let mut number = first;
        while number <= last {
            let mut line = Vec::new();
            for part in parts {
                // As in BIND, quotes only keep together what belongs to one side; data that
                // need quotes of their own have them escaped.
                let written = part.text(text);
                let unquoted = if part.quoted { generate::unquoted(written) } else { Vec::new() };
                let written = if part.quoted { &unquoted } else { written };
                generate::expand(written, number, &mut line).map_err(|at| {
                    let start = part.start as usize + at;
                    Fault::new(start..start + 1, "bad modifier behind $")
                        .label("${offset[,width[,base]]} expected, base one of d, o, x, X, n, N")
                })?;
                line.push(b' ');
            }
            self.generated(file, entry, word, line, number)?;
            number += step;
        }
        Ok(())
    }

    /// One record `$GENERATE` made; a fault in it is told at the directive.
    fn generated(
        &mut self,
        file: &File<'_>,
        entry: Entry,
        word: Token,
        line: Vec<u8>,
        number: u64,
    ) -> Result<(), Fault> {
        let source = Arc::new(Source { path: file.source.path.clone(), text: line });
        let mut tokens = Vec::new();
        let scanned = Scanner::new(&source.text).entry(&mut tokens);
        let mut made = File {
            source: &source,
            number: file.number,
            origin: file.origin.clone(),
            owner: Vec::new(),
            bad_owner: false,
        };
        // A line without owner behind the directive belongs to the one above it, as in BIND.
        let result = match scanned {
            Some(Err(fault)) => Err(scan_fault(fault)),
            _ => self.record(&mut made, Entry { blank: false, ..entry }, &tokens),
        };
        result.map_err(|fault| Fault {
            range: word.range(),
            label: format!("for {number}: {}", String::from_utf8_lossy(&source.text).trim_end()),
            ..fault
        })
    }
}

const TTL_HELP: &str = "begin the file with a default, for example: $TTL 1h";

impl<'t> Head<'t> {
    /// Owner, TTL and class in either order, and the type. The owner's text is not read.
    fn read(text: &[u8], entry: Entry, tokens: &'t [Token]) -> Result<Self, Fault> {
        let owner = if entry.blank { None } else { tokens.first().copied() };
        let mut rest = tokens.get(usize::from(!entry.blank)..).unwrap_or_default();
        let (mut ttl, mut class) = (None, None);
        while let Some((&token, after)) = rest.split_first() {
            let word = token.text(text);
            if !token.quoted && looks_like_a_number(word) && ttl.is_none() {
                let value = text::ttl(word).map_err(|fault| match fault {
                    TtlFault::NoTtl => not_an_owner(text, owner, ttl_fault(fault, token)),
                    TtlFault::TooLong => ttl_fault(fault, token),
                })?;
                ttl = Some((value, token));
            } else if let (None, Some(value)) = (class, text::class(word)) {
                class = Some((value, token));
            } else {
                let fault = || not_an_owner(text, owner, rdata::unknown_type(word, token));
                let rtype = text::rtype(word).filter(|_| !token.quoted).ok_or_else(fault)?;
                if rtype.is_meta() {
                    let message = format!("{rtype} is no type for data");
                    return Err(Fault::new(token.range(), message)
                        .label("stands in questions or messages only"));
                }
                return Ok(Self { owner, ttl, class, rtype, type_token: token, rdata: after });
            }
            rest = after;
        }
        let last = tokens.last().map_or(0..0, |token| token.range());
        let fault = Fault::new(last, "the record's type and data are missing")
            .label("expected after this")
            .help("written as: <owner> [<ttl>] [<class>] <type> <data>");
        Err(not_an_owner(text, owner, fault))
    }
}

/// No type begins with a digit, so this was meant as a TTL.
fn looks_like_a_number(word: &[u8]) -> bool {
    word.strip_prefix(b"-").unwrap_or(word).first().is_some_and(u8::is_ascii_digit)
}

/// When the word in an owner's place is a type, the blank in front was forgotten.
fn not_an_owner(text: &[u8], owner: Option<Token>, fault: Fault) -> Fault {
    let Some(owner) = owner else {
        return fault;
    };
    let word = owner.text(text);
    if text::rtype(word).is_none() && text::class(word).is_none() {
        return fault;
    }
    let word = String::from_utf8_lossy(word);
    Fault {
        label: "read as the rest of the record".to_owned(),
        help: Some(format!(
            "'{word}' at the beginning of the line is read as an owner name; put a blank in front to go on with the owner above"
        )),
        ..fault
    }
}

fn ttl_fault(fault: TtlFault, token: Token) -> Fault {
    match fault {
        TtlFault::NoTtl => {
            Fault::new(token.range(), "bad TTL").label("seconds, or for example 1h30m, expected")
        }
        TtlFault::TooLong => Fault::new(token.range(), "the TTL is too long")
            .label("2147483647 seconds at most (RFC 2181 section 8)"),
    }
}

fn scan_fault(fault: ScanFault) -> Fault {
    match fault {
        ScanFault::OpenQuote(range) => Fault::new(range, "this quoted text has no end")
            .label("no closing quote on this line")
            .help("write \\\" for a quote inside the text"),
        ScanFault::OpenParenthesis(range) => {
            Fault::new(range, "this parenthesis is never closed").label("opened here")
        }
        ScanFault::StrayParenthesis(range) => {
            Fault::new(range, "this parenthesis was never opened")
                .help("write \\) for a parenthesis that is part of a name")
        }
    }
}

fn exactly<const N: usize>(
    word: Token,
    rest: &[Token],
    directive: &str,
    what: &str,
) -> Result<[Token; N], Fault> {
    rest.try_into().map_err(|_| Fault::new(all(word, rest), format!("{directive} wants {what}")))
}

fn all(word: Token, rest: &[Token]) -> Range<usize> {
    word.range().start..rest.last().unwrap_or(&word).range().end
}

impl Fault {
    fn at(self, source: &Arc<Source>) -> Diagnostic {
        let span = Span { source: Arc::clone(source), range: self.range };
        let fault = Diagnostic::error(self.message, span).label(self.label);
        match self.help {
            Some(help) => fault.help(help),
            None => fault,
        }
    }
}
