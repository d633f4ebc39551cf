//! A map of the world as SVG: a dot where clients are, in the colour of the region that serves
//! them. The dots of populated places draw the continents; nothing else is needed.
//!
//! One file without outside resources, for light and dark surroundings.

use std::fmt::Write as _;

use crate::plan::report::{Dot, Marker, Report};
use crate::region::Location;

/// Size of the map in pixels; the degrees of latitude it shows, where people live.
const WIDTH: f64 = 1440.0;
const HEIGHT: f64 = WIDTH * (NORTH - SOUTH) / 360.0;
const NORTH: f64 = 80.0;
const SOUTH: f64 = -58.0;
/// Above the map, and around everything.
const TOP: f64 = 104.0;
const EDGE: f64 = 40.0;
/// The legend: width of an entry, height of a line.
const ENTRY: f64 = 240.0;
const LINE: f64 = 30.0;

/// Colours that stay apart from one another on light and on dark ground.
const COLOURS: [&str; 20] = [
    "#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#06b6d4", "#ec4899", "#84cc16",
    "#f97316", "#6366f1", "#14b8a6", "#eab308", "#d946ef", "#22c55e", "#0ea5e9", "#f43f5e",
    "#a16207", "#7c3aed", "#b45309", "#0d9488",
];
/// Of clients whom no region serves.
const NOBODY: &str = "#9ca3af";

/// Diameters of dots in pixels, each for those that weigh less than its bound.
const SIZES: [(f64, f64); 6] =
    [(4.0, 1.6), (32.0, 1.9), (256.0, 2.4), (2048.0, 3.2), (16_384.0, 4.8), (f64::MAX, 7.5)];

const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;\
fill:#1f2328}\
.bg{fill:#fcfcfa}.soft{fill:#667080}.grid{stroke:#e7e7e2;stroke-width:1;fill:none}\
.halo{stroke:#fcfcfa}.ring{stroke:#fcfcfa}\
.name{font-weight:650;font-size:14px;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}\
@media(prefers-color-scheme:dark){text{fill:#e6e8eb}.bg{fill:#0f1318}.soft{fill:#8d96a3}\
.grid{stroke:#1e242c}.halo{stroke:#0f1318}.ring{stroke:#0f1318}}";

/// The map of a simulated record whose dots were collected. `heading` says what was supposed.
pub fn map(report: &Report, heading: &str) -> String {
    let columns = (WIDTH / ENTRY).floor() as usize;
    let entries = report.markers.len() + usize::from(has_nobody(report));
    let legend = entries.div_ceil(columns) as f64 * LINE;
    let (width, height) = (WIDTH + 2.0 * EDGE, TOP + HEIGHT + 44.0 + legend + 14.0);
    let record = escaped(&report.record);
    let mut out = String::with_capacity(256 << 10);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>Who serves which clients of {record}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n"
    );
    head(&mut out, report, heading);
    let _ = writeln!(out, "<g transform=\"translate({EDGE} {TOP})\">");
    graticule(&mut out);
    let compares = report.moved.is_some();
    for moved in [false, true] {
        // Where something is compared, who stays is pale.
        let pale = if compares && !moved { " opacity=\".22\"" } else { "" };
        let _ = writeln!(out, "<g fill=\"none\" stroke-linecap=\"round\"{pale}>");
        for marker in (0..report.markers.len()).map(Some).chain([None]) {
            let of = report.dots.iter().filter(|dot| (dot.marker, dot.moved) == (marker, moved));
            dots(&mut out, colour(marker), of);
        }
        out.push_str("</g>\n");
    }
    markers(&mut out, &report.markers);
    let _ = write!(out, "</g>\n<g transform=\"translate({EDGE} {:.0})\">\n", TOP + HEIGHT + 44.0);
    entries_of(&mut out, report, columns);
    out.push_str("</g>\n</svg>\n");
    out
}

fn has_nobody(report: &Report) -> bool {
    report.dots.iter().any(|dot| dot.marker.is_none())
}

fn colour(marker: Option<usize>) -> &'static str {
    marker.map_or(NOBODY, |at| COLOURS[at % COLOURS.len()])
}

/// Title, what is shown, and the figures of the whole.
fn head(out: &mut String, report: &Report, heading: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{EDGE}\" y=\"54\" font-size=\"30\" font-weight=\"700\" \
         letter-spacing=\"-.4\">{}</text>",
        escaped(report.record.trim_end_matches('.'))
    );
    let what = if heading.is_empty() {
        format!("who serves which clients, {} queries", report.rtype)
    } else {
        format!("today → {heading}: those who move stand out, {} queries", report.rtype)
    };
    let _ = writeln!(
        out,
        "<text class=\"soft\" x=\"{EDGE}\" y=\"82\" font-size=\"16\">{}</text>",
        escaped(&what)
    );
    let mut figures = Vec::new();
    if let Some(moved) = &report.moved {
        figures.push((format!("{:.1} %", moved.share.ipv4 * 100.0), "of IPv4 clients move"));
    }
    if let Some(mean) = report.all.mean_km {
        figures.push((format!("{} km", grouped(mean)), "mean distance"));
    }
    if let Some(p95) = report.all.p95_km {
        figures.push((format!("{} km", grouped(p95)), "95 % are nearer"));
    }
    for (at, (figure, what)) in figures.iter().rev().enumerate() {
        let x = WIDTH + EDGE - at as f64 * 190.0;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"54\" font-size=\"24\" font-weight=\"650\" \
             text-anchor=\"end\">{figure}</text>\
             <text class=\"soft\" x=\"{x}\" y=\"80\" font-size=\"14\" \
             text-anchor=\"end\">{what}</text>"
        );
    }
}

/// A line every 30 degrees.
fn graticule(out: &mut String) {
    out.push_str("<path class=\"grid\" d=\"");
    for step in 0..=12 {
        let x = f64::from(step) * WIDTH / 12.0;
        let _ = write!(out, "M{x:.0} 0V{HEIGHT:.0}");
    }
    for latitude in [60.0, 30.0, 0.0, -30.0] {
        let y = (NORTH - latitude) / (NORTH - SOUTH) * HEIGHT;
        let _ = write!(out, "M0 {y:.1}H{WIDTH:.0}");
    }
    out.push_str("\"/>\n");
}

/// A place on the map, if it is on it.
fn spot(at: Location) -> Option<(f64, f64)> {
    let shown = (SOUTH..=NORTH).contains(&at.latitude);
    let x = (at.longitude + 180.0) / 360.0 * WIDTH;
    let y = (NORTH - at.latitude) / (NORTH - SOUTH) * HEIGHT;
    shown.then_some((x, y))
}

/// Dots of one colour, by size: lines of no length with round ends, which take few octets.
fn dots<'d>(out: &mut String, colour: &str, dots: impl Iterator<Item = &'d Dot>) {
    let mut by_size: [String; SIZES.len()] = Default::default();
    for dot in dots {
        let Some((x, y)) = spot(dot.at) else { continue };
        let size = SIZES.iter().position(|(bound, _)| dot.weight < *bound);
        let path = &mut by_size[size.unwrap_or(SIZES.len() - 1)];
        let _ = write!(path, "M{x:.0} {y:.0}h0");
    }
    for (path, (_, width)) in by_size.iter().zip(SIZES) {
        if !path.is_empty() {
            let _ =
                writeln!(out, "<path stroke=\"{colour}\" stroke-width=\"{width}\" d=\"{path}\"/>");
        }
    }
}

/// Where regions are, each with its name beside it where there is room.
fn markers(out: &mut String, markers: &[Marker]) {
    let mut taken: Vec<[f64; 4]> = Vec::new();
    let spots: Vec<Option<(f64, f64)>> = markers.iter().map(|m| m.at.and_then(spot)).collect();
    for (x, y) in spots.iter().flatten() {
        taken.push([x - 9.0, y - 9.0, x + 9.0, y + 9.0]);
    }
    for (at, (marker, spot)) in markers.iter().zip(&spots).enumerate() {
        let Some((x, y)) = *spot else { continue };
        let colour = colour(Some(at));
        if marker.lost {
            let _ = writeln!(
                out,
                "<path d=\"M{:.1} {:.1}l12 12m0-12l-12 12\" class=\"halo\" stroke-width=\"7\" \
                 stroke-linecap=\"round\"/><path d=\"M{:.1} {:.1}l12 12m0-12l-12 12\" \
                 stroke=\"{colour}\" stroke-width=\"3.5\" stroke-linecap=\"round\"/>",
                x - 6.0,
                y - 6.0,
                x - 6.0,
                y - 6.0
            );
        } else {
            let _ = writeln!(
                out,
                "<circle class=\"ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8\" fill=\"{colour}\" \
                 stroke-width=\"3\"/><circle class=\"bg\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.8\"/>"
            );
        }
        let wide = marker.region.chars().count() as f64 * 8.6;
        let places = [
            (x + 13.0, y + 5.0, "start"),
            (x - 13.0, y + 5.0, "end"),
            (x, y - 14.0, "middle"),
            (x, y + 24.0, "middle"),
        ];
        let field = |&(x, y, anchor): &(f64, f64, &str)| {
            let left = match anchor {
                "start" => x,
                "end" => x - wide,
                _ => x - wide / 2.0,
            };
            [left, y - 12.0, left + wide, y + 3.0]
        };
        let free = places.iter().find(|place| {
            let field = field(place);
            let on_map = field[0] >= 0.0 && field[2] <= WIDTH;
            on_map && !taken.iter().any(|other| overlaps(&field, other))
        });
        let place = free.unwrap_or(&places[0]);
        taken.push(field(place));
        let (x, y, anchor) = place;
        let _ = writeln!(
            out,
            "<text class=\"name halo\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(&marker.region)
        );
    }
}

fn overlaps(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// What the colours mean.
fn entries_of(out: &mut String, report: &Report, columns: usize) {
    for (at, marker) in report.markers.iter().enumerate() {
        let share =
            if marker.lost { "lost".to_owned() } else { format!("{:.1} %", marker.share * 100.0) };
        entry(out, at, columns, colour(Some(at)), &marker.region, &share);
    }
    if has_nobody(report) {
        let served: f64 = report.markers.iter().map(|marker| marker.share).sum();
        let share = format!("{:.1} %", (1.0 - served).max(0.0) * 100.0);
        entry(out, report.markers.len(), columns, NOBODY, "no region", &share);
    }
}

fn entry(out: &mut String, at: usize, columns: usize, colour: &str, name: &str, share: &str) {
    let (x, y) = ((at % columns) as f64 * ENTRY, (at / columns) as f64 * LINE);
    let _ = writeln!(
        out,
        "<circle cx=\"{:.0}\" cy=\"{y:.0}\" r=\"7\" fill=\"{colour}\"/>\
         <text x=\"{:.0}\" y=\"{:.0}\" font-size=\"16\"><tspan font-weight=\"650\">{}</tspan>\
         <tspan class=\"soft\" dx=\"9\">{share}</tspan></text>",
        x + 8.0,
        x + 24.0,
        y + 5.5,
        escaped(name)
    );
}

/// A number with thin spaces between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
