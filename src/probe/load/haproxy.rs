//! HAProxy's statistics as CSV (management guide, section 9.1): the row of one proxy.

use super::{Counts, Reading, share};
use crate::health::sample::AgentWord;

/// The columns that matter, by their names in the first line.
#[derive(Debug, Default, Clone, Copy)]
struct Row<'a> {
    sessions: Option<&'a str>,
    session_limit: Option<&'a str>,
    status: Option<&'a str>,
    total: Option<&'a str>,
    connect_errors: Option<&'a str>,
    response_errors: Option<&'a str>,
    responses: [Option<&'a str>; 6],
}

const RESPONSES: [&str; 6] =
    ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];

/// Sessions of `proxy` against `limit`, else against its own; its backend's row where it has one,
/// else its frontend's. Errors are answers of 500 and above, or where there are no HTTP answers,
/// connections that failed.
pub fn parse(text: &[u8], proxy: &str, limit: Option<u32>) -> Option<Reading> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.trim_start_matches(['#', ' ']).split(',').collect();
    let place = |name: &str| names.iter().position(|other| *other == name);
    let (proxies, services) = (place("pxname")?, place("svname")?);
    let mut found = None;
    for line in lines {
        let cells: Vec<&str> = cells(line);
        if cells.get(proxies) != Some(&proxy) {
            continue;
        }
        let cell = |name: &str| cells.get(place(name)?).copied().filter(|cell| !cell.is_empty());
        let row = || Row {
            sessions: cell("scur"),
            session_limit: cell("slim"),
            status: cell("status"),
            total: cell("stot"),
            connect_errors: cell("econ"),
            response_errors: cell("eresp"),
            responses: RESPONSES.map(cell),
        };
        match cells.get(services).copied() {
            Some("BACKEND") => return reading(row(), limit),
            Some("FRONTEND") => found = Some(row()),
            _ => {}
        }
    }
    reading(found?, limit)
}

/// Cells of a line; those in quotes may hold commas, as the last checks' texts do.
fn cells(line: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, octet) in line.bytes().enumerate() {
        match octet {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                cells.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    cells.push(&line[start..]);
    cells
}

fn reading(row: Row<'_>, limit: Option<u32>) -> Option<Reading> {
    let number = |cell: Option<&str>| cell?.parse::<u32>().ok().map(f64::from);
    let count = |cell: Option<&str>| Some(cell?.parse::<u64>().ok()? as f64);
    let limit = limit.map(f64::from).or_else(|| number(row.session_limit));
    let load = number(row.sessions).zip(limit).and_then(|(used, limit)| share(used, limit));
    let answers: f64 = row.responses.iter().filter_map(|cell| count(*cell)).sum();
    let counts = if answers > 0.0 {
        Some(Counts { requests: answers, errors: count(row.responses[4]).unwrap_or(0.0) })
    } else {
        let failed = [row.connect_errors, row.response_errors];
        let errors = failed.iter().filter_map(|cell| count(*cell)).sum();
        count(row.total).map(|requests| Counts { requests, errors })
    };
    let word = row.status.filter(|status| status.starts_with("DOWN")).map(|_| AgentWord::Down);
    Some(Reading { load, errors: None, counts, word })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "# pxname,svname,scur,slim,stot,econ,eresp,status,last_chk,hrsp_2xx,hrsp_5xx,\n";

    #[test]
    fn the_backends_row_is_read() {
        let text = format!(
            "{HEAD}web,FRONTEND,99,100,7,,,OPEN,,1,2,\nweb,s1,1,,1,0,0,UP,\"L7OK, fine\",1,0,\n\
             web,BACKEND,30,200,900,1,2,UP,,880,20,\nother,BACKEND,0,1,0,0,0,DOWN,,0,0,\n"
        );
        let reading = parse(text.as_bytes(), "web", None).expect("a row");
        assert_eq!(reading.load, Some(0.15));
        assert_eq!(reading.counts, Some(Counts { requests: 900.0, errors: 20.0 }));
        assert_eq!(reading.word, None);
        assert_eq!(parse(text.as_bytes(), "web", Some(60)).expect("a row").load, Some(0.5));
        let down = parse(text.as_bytes(), "other", None).expect("a row");
        assert_eq!(down.word, Some(AgentWord::Down));
        assert_eq!(parse(text.as_bytes(), "none", None), None);
    }

    #[test]
    fn without_http_failed_connections_are_errors() {
        let text = format!("{HEAD}tcp,BACKEND,1,,500,3,2,UP,,,,\n");
        let reading = parse(text.as_bytes(), "tcp", None).expect("a row");
        assert_eq!(reading.load, None, "no limit");
        assert_eq!(reading.counts, Some(Counts { requests: 500.0, errors: 5.0 }));
    }

    #[test]
    fn a_comma_in_quotes_is_no_border() {
        assert_eq!(cells("a,\"b,c\",d"), ["a", "\"b,c\"", "d"]);
        assert_eq!(cells(""), [""]);
        assert_eq!(parse(b"<html>", "web", None), None);
    }
}
