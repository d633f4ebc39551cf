//! Output for people: colours where they are wanted, and quiet where the reader went away.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::args::Color;

/// It serves.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// It does not.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Look at it.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Less important than the rest.
pub const FAINT: Style = Style::new().dimmed();
/// A heading.
pub const HEAD: Style = Style::new().bold();

/// Settles for the whole process when output is coloured.
pub fn set_color(color: Color) {
    let choice = match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes to standard error; where even that fails there is nobody left to tell.
pub fn complain(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = out.write_all(text.as_bytes());
}

/// True when standard error is coloured.
pub fn stderr_is_colored() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// `text` in `style`.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// `text`, filled up with spaces to `width` characters, in `style`.
pub fn cell(style: Style, text: &str, width: usize) -> String {
    paint(style, format_args!("{text:<width$}"))
}

/// A length of time in its two largest units: `3 d 4 h`, `12 s`.
pub fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Rows as columns, each as wide as its widest cell, two spaces apart, every line indented
/// by `indent`. A cell is its text and its style.
pub fn table(indent: usize, rows: &[Vec<(Style, String)>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|(_, text)| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        out.push_str(&" ".repeat(indent));
        for (column, (style, text)) in row.iter().enumerate() {
            let last = column + 1 == row.len();
            out.push_str(&cell(*style, text, if last { 0 } else { widths[column] }));
            out.push_str(if last { "\n" } else { "  " });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        let told = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(told(0), "0 s");
        assert_eq!(told(61), "1 min 1 s");
        assert_eq!(told(3 * 3600 + 120), "3 h 2 min");
        assert_eq!(told(90_000), "1 d 1 h");
    }

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let row = |a: &str, b: &str| vec![(GOOD, a.to_owned()), (Style::new(), b.to_owned())];
        let drawn = table(2, &[row("a", "1"), row("long", "2")]);
        let plain = anstream::adapter::strip_str(&drawn).to_string();
        assert_eq!(plain, "  a     1\n  long  2\n");
    }
}
