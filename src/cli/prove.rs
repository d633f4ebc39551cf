//! `meridian prove`: what holds whatever regions are lost, or a client for whom it does not.
//!
//! Exit codes: 0 proved, 1 a counterexample, 2 the files cannot be used.

use std::fmt::Write as _;
use std::path::Path;

use super::PROBLEMS;
use super::args::ProveArgs;
use super::live::Live;
use super::offline::{self, Progress};
use super::output::{BAD, FAINT, GOOD, HEAD, WARN, paint, print};
use crate::plan::prove::{Finding, Kind, Proof, Prover};
use crate::plan::traffic::Rates;

/// Findings of one kind that are told; the rest is in the data.
const TOLD: usize = 12;

pub(super) fn run(args: &ProveArgs) -> anyhow::Result<u8> {
    let mut progress = Progress::new(args.timing);
    let (mut loader, path) = offline::loader(args.config.as_deref());
    let snapshot = match offline::compile(&mut loader, &mut progress)? {
        Ok(snapshot) => snapshot,
        Err(code) => return Ok(code),
    };
    let records = offline::records(&snapshot, &args.names)?;
    let mut prover = Prover::new(&snapshot, usize::from(args.lost));
    if !args.rate.is_empty() {
        let rates = Rates::new(&args.rate, records.iter().map(|(_, record)| &record.owner))?;
        let words: Vec<String> = args.rate.iter().map(|rate| format!("--rate {rate}")).collect();
        prover.ask(rates, words.join(" "), None);
    }
    if args.live {
        let live = Live::ask(args.api.as_deref(), &path)?;
        // Nobody asks: nothing is too much.
        if let Some(rates) = live.rates() {
            prover.ask(rates, "--live".to_owned(), Some(live.measured(&snapshot)));
        }
    }
    for (at, (served, record)) in records.iter().enumerate() {
        if at % 16 == 0 {
            let done = 0.5 + 0.5 * at as f64 / records.len() as f64;
            progress.step(done, &record.owner.to_string());
        }
        prover.add(served, record);
    }
    let proof = prover.finish();
    progress.took("proof");
    progress.finish();
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&proof)?))?;
    } else {
        print(&tell(&proof, &path))?;
    }
    Ok(if proof.proved { 0 } else { PROBLEMS })
}

fn tell(proof: &Proof, config: &Path) -> String {
    let mut out = String::new();
    let mut told = 0;
    for (at, finding) in proof.findings.iter().enumerate() {
        let first = at == 0 || proof.findings[at - 1].kind != finding.kind;
        if first {
            told = 0;
            let _ = writeln!(out, "{}", heading(finding.kind));
        }
        told += 1;
        if told <= TOLD {
            tell_finding(&mut out, finding, config);
        }
        let last = proof.findings.get(at + 1).is_none_or(|next| next.kind != finding.kind);
        if last && told > TOLD {
            let _ = writeln!(out, "  and {} more (--json tells all)", told - TOLD);
        }
        if last {
            out.push('\n');
        }
    }
    let _ = writeln!(out, "{}", verdict(proof));
    for not in &proof.not_proved {
        let _ = writeln!(out, "{}", paint(FAINT, format_args!("not proved: {not}")));
    }
    out
}

fn heading(kind: Kind) -> String {
    let (style, text) = match kind {
        Kind::Unanswered => (BAD, "clients that get nothing"),
        Kind::FenceBroken => (BAD, "fences that are broken"),
        Kind::ScopesOverlap => (BAD, "scopes that overlap"),
        Kind::Dead => (BAD, "clients handed to a lost region"),
        Kind::OverCapacity => (BAD, "regions over their capacity"),
        Kind::OverTarget => (WARN, "regions above their targets"),
        Kind::Unmatched => (WARN, "clients no rule is for"),
        Kind::IdleRule => (WARN, "rules for nobody"),
        Kind::NoFamily => (WARN, "types that no pool of a rule has"),
        Kind::LastResort => (HEAD, "last resorts that are reached, and hand something out"),
    };
    paint(style, text)
}

fn tell_finding(out: &mut String, finding: &Finding, config: &Path) {
    let mut at = finding.record.clone();
    if !finding.rtype.is_empty() {
        let _ = write!(at, " {}", finding.rtype);
    }
    if let Some(rule) = finding.rule {
        let _ = write!(at, ", rule {rule}");
    }
    match finding.others {
        0 => {}
        1 => at.push_str(", and another record alike"),
        others => {
            let _ = write!(at, ", and {others} other records alike");
        }
    }
    let lost = match &finding.lost[..] {
        [] => String::new(),
        lost => format!(" without {}", lost.join(" and ")),
    };
    let _ = writeln!(out, "  {}{lost}", paint(HEAD, at));
    let mut clients = String::new();
    if let Some(client) = &finding.client {
        let _ = write!(clients, ", for {client}");
        if finding.networks != [0.0; 2] {
            let [v4, v6] = finding.networks;
            let _ = write!(clients, " and its like, {v4:.0} /24s and {v6:.0} /48s");
        }
    }
    let _ = writeln!(out, "    {}: {}{clients}", finding.step, finding.what);
    if let Some(simulate) = &finding.simulate {
        let config = match config.to_str() {
            Some(".") | None => String::new(),
            Some(path) => format!(" --config {path}"),
        };
        let line = format_args!("meridian simulate {simulate}{config}");
        let _ = writeln!(out, "    {}", paint(FAINT, line));
    }
    if let Some(explain) = &finding.explain {
        let config = match config.to_str() {
            Some(".") | None => "--offline".to_owned(),
            Some(path) => format!("--config {path}"),
        };
        let _ = writeln!(
            out,
            "    {}",
            paint(FAINT, format_args!("meridian explain {explain} {config}"))
        );
    }
}

fn verdict(proof: &Proof) -> String {
    let losses = match proof.lost {
        0 => "with nothing lost".to_owned(),
        1 => "under every loss of one region".to_owned(),
        most => format!("under every loss of up to {most} regions"),
    };
    let (style, word) = if proof.proved { (GOOD, "proved") } else { (BAD, "not so") };
    let claims = match &proof.capacity {
        None => {
            "every client is answered, no fence is broken, and scopes do not overlap".to_owned()
        }
        Some(roomy) => format!(
            "every client is answered, no fence is broken, scopes do not overlap, and with {:.0} \
             queries/s no region gets more than its max",
            roomy.queries_per_second
        ),
    };
    let mut text = format!(
        "{} {losses}, {claims}: {} records ({} distinct), {} maps, {} classes of clients, {} \
         selections",
        paint(style, format_args!("{word}:")),
        proof.records,
        proof.distinct,
        proof.maps,
        proof.classes,
        proof.selections,
    );
    if let Some(roomy) = &proof.capacity {
        let _ = write!(text, ", {} sets of losses planned", roomy.planned);
    }
    text
}
