//! The TCP and TLS probe: a connection that opens, a handshake, and a dialogue of lines.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ask::BODY_MAX;
use super::connect::{self, reason_of};
use super::monitor::{Agent, Check, Step, Tcp};
use super::tls::{TlsClients, TlsStream};
use super::trace::{Trace, micros_since};
use crate::health::sample::{AgentWord, Reason};

/// A connection, with TLS or not yet.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// Opens a connection to `address` and holds the dialogue.
pub(super) async fn ask(
    tls: &TlsClients,
    tcp: &Tcp,
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<(), Reason> {
    let plain = connect::tcp(address, &check.monitor.way, trace).await?;
    let mut stream = Stream::Plain(plain);
    if tcp.tls_first {
        stream = encrypted(stream, tls, tcp, check, trace).await?;
    }
    let mut heard = Heard::default();
    for step in &tcp.dialogue {
        match step {
            Step::Send(text) => {
                let text = heard.fill_in(text);
                stream.write(&text).await?;
            }
            Step::Expect(pattern) => heard.listen(&mut stream, pattern.regex(), trace).await?,
            Step::StartTls => {
                // What came in clear after this point was not said within TLS (RFC 3207 sec. 6).
                heard.unread.clear();
                stream = encrypted(stream, tls, tcp, check, trace).await?;
            }
        }
    }
    Ok(())
}

async fn encrypted(
    stream: Stream,
    tls: &TlsClients,
    tcp: &Tcp,
    check: &Check,
    trace: &mut Trace,
) -> Result<Stream, Reason> {
    let Stream::Plain(plain) = stream else { return Err(Reason::Protocol) };
    let stream = tls.connect(plain, &tcp.tls, None, &check.target, &[], trace).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// What was heard of a dialogue.
#[derive(Default)]
struct Heard {
    unread: Vec<u8>,
    octets: usize,
    /// What the last pattern has captured: by number, and by name.
    captured: Vec<(Option<String>, Vec<u8>)>,
}

impl Heard {
    /// Reads lines until one matches.
    async fn listen(
        &mut self,
        stream: &mut Stream,
        pattern: &regex::bytes::Regex,
        trace: &mut Trace,
    ) -> Result<(), Reason> {
        let begun = Instant::now();
        loop {
            while let Some(end) = self.unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                if self.take(pattern, line.trim_ascii_end(), trace) {
                    return Ok(());
                }
            }
            let mut chunk = [0; 2048];
            let length = stream.read(&mut chunk).await?;
            if trace.facts.phases.first_byte_us == 0 {
                trace.facts.phases.first_byte_us = micros_since(begun);
            }
            if length == 0 {
                // The last line may have no end.
                let line = std::mem::take(&mut self.unread);
                if !line.is_empty() && self.take(pattern, line.trim_ascii_end(), trace) {
                    return Ok(());
                }
            }
            self.octets += length;
            if length == 0 || self.octets > BODY_MAX {
                trace.complain(|| format!("no line matches {pattern}"));
                return Err(Reason::Dialogue);
            }
            self.unread.extend_from_slice(&chunk[..length]);
        }
    }

    fn take(&mut self, pattern: &regex::bytes::Regex, line: &[u8], trace: &mut Trace) -> bool {
        trace.text.extend_from_slice(line);
        trace.text.push(b'\n');
        let Some(captures) = pattern.captures(line) else { return false };
        let groups = pattern.capture_names().zip(captures.iter());
        self.captured = groups
            .map(|(name, group)| {
                let group = group.map(|group| group.as_bytes().to_vec()).unwrap_or_default();
                (name.map(str::to_owned), group)
            })
            .collect();
        true
    }

    /// `${1}` and `${name}` become what was captured, and nothing where there is nothing.
    fn fill_in(&self, text: &str) -> Vec<u8> {
        let mut filled = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, tail)) = after.split_once('}') else { break };
            filled.extend_from_slice(before.as_bytes());
            let by_number = name.parse().ok().and_then(|at: usize| self.captured.get(at));
            let by_name = || self.captured.iter().find(|(of, _)| of.as_deref() == Some(name));
            if let Some((_, group)) = by_number.or_else(by_name) {
                filled.extend_from_slice(group);
            }
            rest = tail;
        }
        filled.extend_from_slice(rest.as_bytes());
        filled
    }
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Reason> {
        let read = match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        };
        read.map_err(|error| reason_of(&error))
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Reason> {
        async fn whole(
            stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
            octets: &[u8],
        ) -> std::io::Result<()> {
            stream.write_all(octets).await?;
            stream.flush().await
        }
        let written = match self {
            Self::Plain(stream) => whole(stream, octets).await,
            Self::Tls(stream) => whole(&mut **stream, octets).await,
        };
        written.map_err(|error| reason_of(&error))
    }
}

/// Longest line of an agent.
const LINE_MAX: usize = 1024;

/// Asks an agent and takes its word.
pub(super) async fn ask_agent(
    agent: &Agent,
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<(), Reason> {
    let mut stream = connect::tcp(address, &check.monitor.way, trace).await?;
    let begun = Instant::now();
    if let Some(text) = &agent.send {
        stream.write_all(text.as_bytes()).await.map_err(|error| reason_of(&error))?;
    }
    let mut buffer = [0; LINE_MAX];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.map_err(|error| reason_of(&error))?;
        if filled == 0 && read > 0 {
            trace.facts.phases.first_byte_us = micros_since(begun);
        }
        let ended = buffer[filled..filled + read].iter().any(|octet| b"\r\n".contains(octet));
        filled += read;
        if ended || read == 0 || filled == LINE_MAX {
            break;
        }
    }
    trace.text.extend_from_slice(&buffer[..filled]);
    let said = super::load::agent::parse(&buffer[..filled]).map_err(|fault| {
        trace.complain(|| fault.to_string());
        Reason::Protocol
    })?;
    trace.facts.agent = said.word;
    trace.facts.weight = said.weight;
    match said.word {
        Some(AgentWord::Down) => {
            trace.complain(|| said.why.map_or_else(|| "down".to_owned(), |why| why.into()));
            Err(Reason::Said)
        }
        Some(AgentWord::Up | AgentWord::Drain | AgentWord::Maint) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_captured_is_said_again() {
        let pattern = regex::bytes::Regex::new(r"^PING :(?P<what>\w+)").expect("a pattern");
        let mut heard = Heard::default();
        let mut trace = Trace::default();
        assert!(!heard.take(&pattern, b"NOTICE hello", &mut trace));
        assert!(heard.take(&pattern, b"PING :abc", &mut trace));
        assert_eq!(heard.fill_in("PONG :${1}/${what}${none}\r\n"), b"PONG :abc/abc\r\n");
        assert_eq!(heard.fill_in("costs ${ 5"), b"costs ${ 5");
        assert_eq!(trace.text, b"NOTICE hello\nPING :abc\n");
    }
}
