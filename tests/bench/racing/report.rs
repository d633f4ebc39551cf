//! What a race comes to: medians over the rounds, ratios, spreads; as text, Markdown or JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::rounds::{Entry, Figure};
use crate::workload::Workload;

/// The server all others are held against.
const LIMIT: &str = "echo";

/// How figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Columns.
    Text,
    /// A table.
    Markdown,
    /// One object per line.
    Json,
}

/// A table of rows that are shown in any form.
pub struct Table {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; the first column is the server's name.
    pub fn new(title: impl Into<String>, columns: &'static [&'static str]) -> Self {
        Self { title: title.into(), columns, rows: vec![] }
    }

    /// Adds a row. One shorter than the columns ends in a remark.
    pub fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The whole table.
    pub fn show(&self, form: Form) -> String {
        match form {
            Form::Text => self.text(),
            Form::Markdown => self.markdown(),
            Form::Json => self.rows.iter().map(|row| format!("{}\n", self.object(row))).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n{:<16}", self.title, self.columns[0]);
        for column in &self.columns[1..] {
            let _ = write!(text, " {column:>width$}", width = column.len().max(8));
        }
        for row in &self.rows {
            let _ = write!(text, "\n{:<16}", row[0]);
            for (cell, column) in row[1..].iter().zip(&self.columns[1..]) {
                let _ = write!(text, " {cell:>width$}", width = column.len().max(8));
            }
        }
        text + "\n\n"
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<String> = self.columns.iter().map(|column| (*column).to_owned()).collect();
        let mut rule = vec!["---:".to_owned(); head.len()];
        rule[0] = "---".into();
        let mut text = format!("### {}\n\n{}{}", self.title, line(&head), line(&rule));
        for row in &self.rows {
            let mut row = row.clone();
            row.resize(head.len(), String::new());
            text += &line(&row);
        }
        text + "\n"
    }

    fn object(&self, row: &[String]) -> Value {
        let cells = self.columns.iter().zip(row).map(|(column, cell)| {
            let value = cell.parse::<f64>().map_or_else(|_| json!(cell), |number| json!(number));
            ((*column).to_owned(), value)
        });
        let mut object: serde_json::Map<String, Value> = cells.collect();
        object.insert("table".into(), json!(self.title));
        Value::Object(object)
    }
}

/// The table of one workload, the fastest first.
pub fn race(workload: Workload, entries: &[Entry]) -> Table {
    let columns = &[
        "server",
        "q/s",
        "ratio",
        "spread",
        "busy",
        "user µs",
        "sys µs",
        "CPU µs",
        "CPU ratio",
        "lost ‰",
        "elsewhere %",
        "scope",
    ];
    let mut table = Table::new(workload.name(), columns);
    let limit = entries.iter().find(|entry| entry.server == LIMIT);
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
    for entry in order {
        table.add(row(entry, limit));
    }
    table
}

fn row(entry: &Entry, limit: Option<&Entry>) -> Vec<String> {
    let server = entry.server.to_owned();
    let seen = match &entry.checked {
        Ok(seen) => seen,
        Err(error) => return vec![server, format!("WRONG: {error:#}")],
    };
    let wrong: u64 = entry.figures.iter().map(|figure| figure.count.wrong).sum();
    if wrong > 0 {
        return vec![server, format!("WRONG: {wrong} answers under load")];
    }
    let asked: u64 = entry.figures.iter().map(|figure| figure.count.asked).sum();
    let lost: u64 = entry.figures.iter().map(|figure| figure.count.lost()).sum();
    let of = |value: fn(&Figure) -> f64| median(entry.figures.iter().map(value).collect());
    let rates: Vec<f64> = entry.figures.iter().map(|figure| figure.count.rate()).collect();
    let spread = rates.iter().copied().fold(f64::MIN, f64::max)
        - rates.iter().copied().fold(f64::MAX, f64::min);
    let against = |value: &dyn Fn(&Figure, &Figure) -> f64| {
        limit.map_or_else(|| "–".into(), |limit| format!("{:.3}", ratio(entry, limit, value)))
    };
    let steered = seen.scope > 0.0 || seen.elsewhere > 0.0;
    vec![
        server,
        format!("{:.0}", rate(entry)),
        against(&|ours, limit| ours.count.rate() / limit.count.rate()),
        format!("{:.3}", spread / rate(entry)),
        format!("{:.3}", of(busy)),
        format!("{:.3}", of(user)),
        format!("{:.3}", of(system)),
        format!("{:.3}", of(cpu)),
        against(&|ours, limit| cpu(limit) / cpu(ours)),
        format!("{:.3}", lost as f64 / asked.max(1) as f64 * 1000.0),
        if steered { format!("{:.2}", seen.elsewhere * 100.0) } else { "–".into() },
        if seen.scope > 0.0 { format!("{:.1}", seen.scope) } else { "–".into() },
    ]
}

/// Median answers per second.
fn rate(entry: &Entry) -> f64 {
    median(entry.figures.iter().map(|figure| figure.count.rate()).collect())
}

/// Median of the ratios within each round, so that what slows a round slows both.
fn ratio(entry: &Entry, limit: &Entry, value: &dyn Fn(&Figure, &Figure) -> f64) -> f64 {
    median(
        entry.figures.iter().zip(&limit.figures).map(|(ours, limit)| value(ours, limit)).collect(),
    )
}

/// Share of its core a server used; when it is not near 1, the generator or another program was
/// what saturated, and only the CPU figures tell something.
fn busy(figure: &Figure) -> f64 {
    (figure.cpu.0 + figure.cpu.1).as_secs_f64() / figure.count.time.as_secs_f64()
}

/// µs in all per answer.
fn cpu(figure: &Figure) -> f64 {
    user(figure) + system(figure)
}

/// µs in the program per answer.
fn user(figure: &Figure) -> f64 {
    figure.cpu.0.as_secs_f64() * 1e6 / figure.count.answered.max(1) as f64
}

/// µs in the kernel per answer.
fn system(figure: &Figure) -> f64 {
    figure.cpu.1.as_secs_f64() * 1e6 / figure.count.answered.max(1) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
