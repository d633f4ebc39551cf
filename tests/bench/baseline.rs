//! What was accepted before, and how far what was measured is from it.
//!
//! Knows nothing of how the figures came about. The file is TOML: a table per kind of figure,
//! a line per case.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Figures of one kind by case.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The file, as it is written and read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Baseline {
    /// Instructions per query, record or leaf.
    pub(crate) instructions: Figures,
    /// Time per query in passes of the reference loop, by processor: they mean nothing on
    /// another.
    pub(crate) ratios: BTreeMap<String, Figures>,
}

/// One case that is not what was accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// It takes more than there is room for.
    Worse { case: String, was: f64, is: f64 },
    /// It takes so much less that the baseline would not notice the way back.
    Better { case: String, was: f64, is: f64 },
    /// Nothing was ever accepted for it.
    New { case: String, is: f64 },
    /// It was accepted, and is measured no longer.
    Gone { case: String },
}

const HEADER: &str = "\
# What answering and loading may take: tests/run fails where it takes a tenth more (times: see
# tests/bench/road.rs). A change that is worth it is accepted with
#     tests/bench/instructions --accept
#     cargo bench --bench road -- --accept
# and its reason belongs into the commit.
";

impl Baseline {
    /// Reads the file's text; `None` when it is not what [`Baseline::to_text`] writes.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let file: toml::Table = text.parse().ok()?;
        let figure =
            |of: &toml::Value| of.as_float().or_else(|| of.as_integer().map(|of| of as f64));
        let figures = |of: &toml::Value| {
            let lines = of.as_table()?.iter();
            lines.map(|(case, of)| Some((case.clone(), figure(of)?))).collect::<Option<Figures>>()
        };
        let processors = file.get("ratios")?.as_table()?.iter();
        let ratios = processors.map(|(name, of)| Some((name.clone(), figures(of)?)));
        Some(Self {
            instructions: figures(file.get("instructions")?)?,
            ratios: ratios.collect::<Option<_>>()?,
        })
    }

    /// The file's text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        let line = |out: &mut String, line: fmt::Arguments<'_>| {
            out.write_fmt(line).expect("a string takes everything");
        };
        line(&mut text, format_args!("\n[instructions]\n"));
        for (case, figure) in &self.instructions {
            line(&mut text, format_args!("{case} = {figure:.0}\n"));
        }
        for (processor, ratios) in &self.ratios {
            line(&mut text, format_args!("\n[ratios.{processor:?}]\n"));
            for (case, figure) in ratios {
                line(&mut text, format_args!("{case} = {figure:.3}\n"));
            }
        }
        text
    }
}

/// The least figure of every case in several runs of the same.
pub(crate) fn least(runs: &[Figures]) -> Figures {
    let mut least = Figures::new();
    for (case, &is) in runs.iter().flatten() {
        least.entry(case.clone()).and_modify(|least| *least = is.min(*least)).or_insert(is);
    }
    least
}

/// The median of every case in several runs of the same.
pub(crate) fn median(runs: &[Figures]) -> Figures {
    let cases = runs.first().into_iter().flat_map(|first| first.keys());
    let median = |case: &String| {
        let mut figures: Vec<f64> = runs.iter().filter_map(|run| run.get(case).copied()).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    cases.map(|case| (case.clone(), median(case))).collect()
}

/// What in `measured` is further from `accepted` than `room`, a share such as 0.1.
pub(crate) fn compare(accepted: &Figures, measured: &Figures, room: f64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (case, &is) in measured {
        let case = case.clone();
        let finding = match accepted.get(&case) {
            None => Finding::New { case, is },
            Some(&was) if is > was * (1.0 + room) => Finding::Worse { case, was, is },
            Some(&was) if is < was * (1.0 - room) => Finding::Better { case, was, is },
            Some(_) => continue,
        };
        findings.push(finding);
    }
    let gone = accepted.keys().filter(|case| !measured.contains_key(*case)).cloned();
    findings.extend(gone.map(|case| Finding::Gone { case }));
    findings
}

impl Finding {
    /// Whether a run must fail for it: getting better is no fault, everything else is.
    pub(crate) const fn is_fault(&self) -> bool {
        match self {
            Self::Worse { .. } | Self::New { .. } | Self::Gone { .. } => true,
            Self::Better { .. } => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_cent = |was: f64, is: f64| (is / was - 1.0) * 100.0;
        match self {
            Self::Worse { case, was, is } => {
                write!(f, "WORSE: {case} {was} -> {is:.3}, {:+.0} %", per_cent(*was, *is))
            }
            Self::Better { case, was, is } => write!(
                f,
                "better: {case} {was} -> {is:.3}, {:+.0} %; accept it, so that it stays",
                per_cent(*was, *is)
            ),
            Self::New { case, is } => write!(f, "NEW: {case} {is:.3} was never accepted"),
            Self::Gone { case } => write!(f, "GONE: {case} is not measured any longer"),
        }
    }
}
