//! What health keeps on disk: the last beliefs and the operators' overrides.
//!
//! Two files in the state directory: `health.json` (written by the daemon now and then) and
//! `overrides.toml` (written with every order; a person can read it). Each is written whole to
//! a temporary file, synced, and renamed, so that a crash leaves the old one or the new one. A
//! damaged file is set aside as `NAME.damaged-N` and never stops a start. Nothing here is on
//! the way of a health flip.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::value::{Date, Datetime, Offset, Time};

use super::council::Ruling;
use super::overrides::Override;
use super::sample::Reason;
use super::state::{Belief, FLAP_WINDOW, State};

/// Beliefs older than this are forgotten: what a member was a day ago says less of it than the
/// first probes will, within seconds. Most restarts, upgrades and reboots take far less.
pub const REMEMBER_FOR: Duration = Duration::from_secs(24 * 3600);

/// The file of beliefs.
pub const HEALTH_FILE: &str = "health.json";
/// The file of vantages.
pub const VANTAGES_FILE: &str = "vantages.json";
/// The file of overrides.
pub const OVERRIDES_FILE: &str = "overrides.toml";

/// Damaged files kept per name; the last is overwritten when all are there.
const DAMAGED_MAX: u32 = 9;
const VERSION: u32 = 1;

/// What is remembered of one check. Ages count back from the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// What was believed.
    pub belief: Belief,
    /// For how long it had been.
    pub held: Duration,
    /// Failures counted.
    pub failures: u32,
    /// Why it failed last.
    pub reason: Option<Reason>,
    /// Doublings of `rise` in force.
    pub flaps: u8,
    /// How long ago it last went from up to down.
    pub fell: Option<Duration>,
}

/// Remembered checks by their keys.
pub type Memory = HashMap<Box<str>, Remembered>;

/// Something read from disk, with what had to be said about it.
#[derive(Debug, Default)]
pub struct Loaded<T> {
    /// What was read; empty when there was nothing to read.
    pub value: T,
    /// Lines for the log.
    pub warnings: Vec<String>,
}

impl Remembered {
    /// What to remember of `state` at `now`; `None` when nothing is believed yet.
    pub fn of(state: &State, now: Duration) -> Option<Self> {
        let ago = |then| now.saturating_sub(then);
        (state.belief != Belief::Unknown).then(|| Self {
            belief: state.belief,
            held: state.held_before + ago(state.since),
            failures: state.failures,
            reason: state.last_failure,
            flaps: state.flaps,
            fell: state.fell_at.map(ago).filter(|fell| *fell < FLAP_WINDOW),
        })
    }

    /// What to remember of what several vantages have concluded.
    pub fn of_ruling(ruling: &Ruling, now: Duration) -> Option<Self> {
        (ruling.by_votes != Belief::Unknown).then(|| Self {
            belief: ruling.by_votes,
            held: ruling.held_before + now.saturating_sub(ruling.since),
            failures: 0,
            reason: ruling.reason,
            flaps: 0,
            fell: None,
        })
    }

    /// The state a check begins with at `now`. Its streaks begin anew: what was counted before
    /// the process ended may have changed since.
    pub fn state(&self, now: Duration) -> State {
        State {
            belief: self.belief,
            since: now,
            held_before: self.held,
            remembered: true,
            untried: false,
            failures: if self.belief == Belief::Down { self.failures } else { 0 },
            successes: 0,
            flaps: if self.fell.is_some() { self.flaps } else { 0 },
            fell_at: self.fell.map(|fell| now.saturating_sub(fell)),
            last: None,
            proved_at: None,
            last_failure: self.reason,
        }
    }
}

/// Reads the last beliefs. `wall` is seconds since 1970-01-01T00:00:00Z; it is trusted only to
/// forget, and a clock set back forgets nothing.
pub fn load_health(directory: &Path, wall: u64) -> Loaded<Memory> {
    let path = directory.join(HEALTH_FILE);
    let text = match read(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Loaded::default(),
        Err(warning) => return Loaded::warning(warning),
    };
    let file = match parse_health(&text) {
        Ok(file) => file,
        Err(fault) => return Loaded::warning(set_aside(&path, &fault)),
    };
    let age = Duration::from_secs(wall.saturating_sub(file.saved));
    if age > REMEMBER_FOR {
        let hours = age.as_secs() / 3600;
        let warning = format!("{}: {hours} hours old, all checks start unknown", path.display());
        return Loaded::warning(warning);
    }
    let checks = file.checks.into_iter();
    let memory = checks.filter_map(|(key, entry)| Some((key, entry.remembered(age)?))).collect();
    Loaded { value: memory, warnings: Vec::new() }
}

/// Writes the last beliefs, saved at `wall` seconds since 1970-01-01T00:00:00Z.
///
/// # Errors
/// When the directory cannot be written; the file there stays as it was.
pub fn save_health(directory: &Path, memory: &Memory, wall: u64) -> io::Result<()> {
    let checks = memory.iter().map(|(key, of)| (key.clone(), Entry::of(of))).collect();
    let file = HealthFile { version: VERSION, saved: wall, checks };
    let text = serde_json::to_vec_pretty(&file)?;
    write_whole(&directory.join(HEALTH_FILE), &text)
}

/// Reads which (boot, seq) of each vantage was let in last, so that nothing older is let in
/// after a start.
pub fn load_newest(directory: &Path) -> Loaded<HashMap<Box<str>, (u64, u64)>> {
    let path = directory.join(VANTAGES_FILE);
    let text = match read(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Loaded::default(),
        Err(warning) => return Loaded::warning(warning),
    };
    match serde_json::from_slice::<VantagesFile>(&text) {
        Ok(file) if file.version == VERSION => {
            Loaded { value: file.newest.into_iter().collect(), warnings: Vec::new() }
        }
        Ok(file) => {
            let fault = format!("version {} is not {VERSION}", file.version);
            Loaded::warning(set_aside(&path, &fault))
        }
        Err(fault) => Loaded::warning(set_aside(&path, &fault.to_string())),
    }
}

/// Writes which (boot, seq) of each vantage was let in last; no file where there is no vantage.
///
/// # Errors
/// When the directory cannot be written; the file there stays as it was.
pub fn save_newest(directory: &Path, newest: &HashMap<Box<str>, (u64, u64)>) -> io::Result<()> {
    let path = directory.join(VANTAGES_FILE);
    if newest.is_empty() && !path.exists() {
        return Ok(());
    }
    let newest = newest.iter().map(|(name, newest)| (name.clone(), *newest)).collect();
    let text = serde_json::to_vec_pretty(&VantagesFile { version: VERSION, newest })?;
    write_whole(&path, &text)
}

#[derive(Serialize, Deserialize)]
struct VantagesFile {
    version: u32,
    newest: BTreeMap<Box<str>, (u64, u64)>,
}

/// Reads the overrides. Faulty ones are left out with a warning, after a copy of the file was
/// set aside; the others stand.
pub fn load_overrides(directory: &Path) -> Loaded<Vec<Override>> {
    let path = directory.join(OVERRIDES_FILE);
    let text = match read(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Loaded::default(),
        Err(warning) => return Loaded::warning(warning),
    };
    let entries = match parse_overrides(&text) {
        Ok(entries) => entries,
        Err(fault) => return Loaded::warning(set_aside(&path, &fault)),
    };
    let mut loaded = Loaded::<Vec<Override>>::default();
    for (place, entry) in (1..).zip(entries) {
        match entry.understood() {
            Ok(order) => loaded.value.push(order),
            Err(fault) => loaded
                .warnings
                .push(format!("{}: override {place} left out: {fault}", path.display())),
        }
    }
    if !loaded.warnings.is_empty() {
        let aside = damaged_name(&path);
        let kept = fs::copy(&path, &aside).and_then(|_| save_overrides(directory, &loaded.value));
        loaded.warnings.push(match kept {
            Ok(()) => format!("{}: kept as it was in {}", path.display(), aside.display()),
            Err(fault) => format!("{}: not rewritten: {fault}", path.display()),
        });
    }
    loaded
}

/// Writes the overrides. Other tables of the file stay.
///
/// # Errors
/// When the directory cannot be written; the file there stays as it was.
pub fn save_overrides(directory: &Path, overrides: &[Override]) -> io::Result<()> {
    let path = directory.join(OVERRIDES_FILE);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let mut file: toml::Table = before.parse().unwrap_or_default();
    let entries = overrides.iter().map(entry).map(toml::Value::Table).collect();
    file.insert("override".into(), toml::Value::Array(entries));
    let text = toml::to_string(&file).map_err(io::Error::other)?;
    write_whole(&path, text.as_bytes())
}

#[derive(Serialize, Deserialize)]
struct HealthFile {
    version: u32,
    saved: u64,
    checks: BTreeMap<Box<str>, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    belief: String,
    held_s: u64,
    #[serde(default)]
    failures: u32,
    /// A reason this version does not know is left out, not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<serde_json::Value>,
    #[serde(default)]
    flaps: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fell_s: Option<u64>,
}

impl Entry {
    fn of(remembered: &Remembered) -> Self {
        Self {
            belief: remembered.belief.as_str().to_owned(),
            held_s: remembered.held.as_secs(),
            failures: remembered.failures,
            reason: remembered.reason.and_then(|reason| serde_json::to_value(reason).ok()),
            flaps: remembered.flaps,
            fell_s: remembered.fell.map(|fell| fell.as_secs()),
        }
    }

    fn remembered(self, age: Duration) -> Option<Remembered> {
        let belief = match self.belief.as_str() {
            "up" => Belief::Up,
            "down" => Belief::Down,
            "degraded" => Belief::Degraded,
            _ => return None,
        };
        let aged = |seconds| Duration::from_secs(seconds).saturating_add(age);
        Some(Remembered {
            belief,
            held: aged(self.held_s),
            failures: self.failures,
            reason: self.reason.and_then(|reason| serde_json::from_value(reason).ok()),
            flaps: self.flaps,
            fell: self.fell_s.map(aged).filter(|fell| *fell < FLAP_WINDOW),
        })
    }
}

/// An override as it is written. Made by hand, because serializing a `Datetime` into a table
/// would write a table in its place.
fn entry(order: &Override) -> toml::Table {
    let mut entry = toml::Table::new();
    entry.insert("target".into(), order.target.to_string().into());
    if let Some(area) = &order.area {
        entry.insert("area".into(), area.to_string().into());
    }
    entry.insert("state".into(), order.state.as_str().into());
    entry.insert("reason".into(), order.reason.as_str().into());
    entry.insert("by".into(), order.by.as_str().into());
    if let Some(until) = order.until.and_then(datetime) {
        entry.insert("until".into(), until.into());
    }
    entry
}

#[derive(Deserialize)]
struct OverrideEntry {
    target: String,
    area: Option<Box<str>>,
    state: String,
    until: Option<Datetime>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
}

impl OverrideEntry {
    fn understood(self) -> Result<Override, String> {
        Ok(Override {
            target: self.target.parse().map_err(|fault| format!("{fault}"))?,
            area: self.area,
            state: self.state.parse().map_err(|fault| format!("{fault}"))?,
            until: self.until.map(|until| seconds(&until)).transpose()?,
            reason: self.reason,
            by: self.by,
        })
    }
}

fn parse_health(text: &[u8]) -> Result<HealthFile, String> {
    let file: HealthFile = serde_json::from_slice(text).map_err(|fault| fault.to_string())?;
    if file.version != VERSION {
        return Err(format!("version {} is not {VERSION}", file.version));
    }
    Ok(file)
}

fn parse_overrides(text: &[u8]) -> Result<Vec<OverrideEntry>, String> {
    #[derive(Deserialize)]
    struct OverridesFile {
        #[serde(default, rename = "override")]
        entries: Vec<OverrideEntry>,
    }
    let text = std::str::from_utf8(text).map_err(|fault| fault.to_string())?;
    let file: OverridesFile = toml::from_str(text).map_err(|fault| fault.message().to_owned())?;
    Ok(file.entries)
}

impl<T: Default> Loaded<T> {
    fn warning(warning: String) -> Self {
        Self { value: T::default(), warnings: vec![warning] }
    }
}

/// The file's octets; nothing where there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(format!("{}: not read: {fault}", path.display())),
    }
}

/// Renames a damaged file out of the way and says so.
pub(crate) fn set_aside(path: &Path, fault: &str) -> String {
    let aside = damaged_name(path);
    match fs::rename(path, &aside) {
        Ok(()) => format!("{}: {fault}; set aside as {}", path.display(), aside.display()),
        Err(rename) => format!("{}: {fault}; not set aside: {rename}", path.display()),
    }
}

/// The first free name to set `path` aside under.
fn damaged_name(path: &Path) -> PathBuf {
    let name = |number| PathBuf::from(format!("{}.damaged-{number}", path.display()));
    let free = (1..DAMAGED_MAX).map(name).find(|aside| !aside.exists());
    free.unwrap_or_else(|| name(DAMAGED_MAX))
}

/// Writes `path` so that after a crash it holds the old octets or the new ones.
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory)?;
    let temporary = PathBuf::from(format!("{}.tmp", path.display()));
    let mut file = File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

/// RFC 3339 text of `seconds` since 1970-01-01T00:00:00Z; `None` past the year 9999.
pub fn rfc3339(seconds: u64) -> Option<String> {
    datetime(seconds).map(|at| at.to_string())
}

/// Seconds since 1970-01-01T00:00:00Z of an RFC 3339 text with an offset.
///
/// # Errors
/// In words, when it is no such text or lies before 1970.
pub fn parse_rfc3339(text: &str) -> Result<u64, String> {
    let at: Datetime = text.parse().map_err(|_| format!("{text:?} is no RFC 3339 time"))?;
    seconds(&at)
}

fn datetime(seconds: u64) -> Option<Datetime> {
    let (year, month, day) = date_of_days(i64::try_from(seconds / 86_400).ok()?);
    let rest = seconds % 86_400;
    let part = |value: u64| u8::try_from(value).ok();
    let (hour, minute) = (part(rest / 3600)?, part(rest / 60 % 60)?);
    let date = Date { year: u16::try_from(year).ok().filter(|year| *year <= 9999)?, month, day };
    let time = Time { hour, minute, second: Some(part(rest % 60)?), nanosecond: None };
    Some(Datetime { date: Some(date), time: Some(time), offset: Some(Offset::Z) })
}

fn seconds(at: &Datetime) -> Result<u64, String> {
    let Datetime { date: Some(date), time: Some(time), offset: Some(offset) } = at else {
        return Err(format!("{at} needs a date, a time and an offset such as Z"));
    };
    let offset_s = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(*minutes) * 60,
    };
    let days = days_of_date(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let second = i64::from(time.second.unwrap_or(0));
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second;
    let since = days * 86_400 + of_day - offset_s;
    u64::try_from(since).map_err(|_| format!("{at} lies before 1970"))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year; 400 years have 146,097 days.
const fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + day_of_year - 719_468
}

/// The date of a day at or after 1970-01-01.
fn date_of_days(days: i64) -> (i64, u8, u8) {
    let mut year = 1970 + days / 366;
    while days_of_date(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 12;
    while days_of_date(year, i64::from(month), 1) > days {
        month -= 1;
    }
    let day = days - days_of_date(year, i64::from(month), 1) + 1;
    (year, month, u8::try_from(day).unwrap_or(31))
}

#[cfg(test)]
#[path = "persist_tests.rs"]
mod tests;
