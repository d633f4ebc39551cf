//! What changes keep on disk: `changes.toml` in the state folder, for people to read and for the
//! next start. Written whole with every change; a damaged file is set aside and never stops a
//! start.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{At, Planned, Stand};
use crate::daemon::steward::Returned;
use crate::daemon::watchman::family_word;
use crate::health::overrides::Override;
use crate::health::persist::{self, parse_rfc3339, rfc3339};
use crate::health::starts::Start;
use crate::region::Family;
use crate::steer::failback::Return;
use crate::steer::stages::{ALL, Canary, Phase};
use crate::wire::name::Name;

/// The file.
pub const CHANGES_FILE: &str = "changes.toml";
const VERSION: u32 = 1;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Where changes stand.
    pub stands: Vec<Stand>,
    /// Overrides that begin later.
    pub planned: Vec<Planned>,
    /// Pools on their way back to their clients.
    pub returned: Vec<Returned>,
    /// Pools that start slowly.
    pub starts: Vec<Start>,
}

/// What was kept, with lines for the log.
pub fn load(directory: &Path) -> (Kept, Vec<String>) {
    let path = directory.join(CHANGES_FILE);
    let text = match persist::read(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return (Kept::default(), Vec::new()),
        Err(warning) => return (Kept::default(), vec![warning]),
    };
    match parse(&text) {
        Ok(kept) => (kept, Vec::new()),
        Err(fault) => (Kept::default(), vec![persist::set_aside(&path, &fault)]),
    }
}

/// Writes what must survive.
///
/// # Errors
/// When the directory cannot be written; the file there stays as it was.
pub fn save(directory: &Path, kept: &Kept) -> io::Result<()> {
    let file = File {
        version: VERSION,
        changes: kept.stands.iter().map(ChangeEntry::of).collect(),
        planned: kept.planned.iter().map(PlannedEntry::of).collect(),
        returned: kept.returned.iter().map(ReturnedEntry::of).collect(),
        starts: kept.starts.iter().map(StartEntry::of).collect(),
    };
    let text = toml::to_string(&file).map_err(io::Error::other)?;
    persist::write_whole(&directory.join(CHANGES_FILE), text.as_bytes())
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default, rename = "change")]
    changes: Vec<ChangeEntry>,
    #[serde(default)]
    planned: Vec<PlannedEntry>,
    #[serde(default, rename = "returning", alias = "held")]
    returned: Vec<ReturnedEntry>,
    #[serde(default, rename = "starting")]
    starts: Vec<StartEntry>,
}

#[derive(Serialize, Deserialize)]
struct ReturnedEntry {
    pool: String,
    zone: String,
    /// For how long it has served again.
    #[serde(default)]
    lasts_s: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_operator: bool,
    /// How long ago an operator said that clients may come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resumed_s: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StartEntry {
    pool: String,
    zone: String,
    family: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    area: Option<Box<str>>,
    /// For how long.
    lasts_s: u64,
}

#[derive(Serialize, Deserialize)]
struct ChangeEntry {
    record: String,
    pools: Vec<Box<str>>,
    #[serde(flatten)]
    at: AtEntry,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordered: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum AtEntry {
    Canary {
        phase: String,
        /// From 1.
        step: usize,
        /// In basis points.
        share: u16,
        held_s: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    Switch {
        active: String,
        untouched: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct PlannedEntry {
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    area: Option<Box<str>>,
    state: String,
    from: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    reason: String,
    by: String,
    #[serde(default)]
    forced: bool,
}

fn parse(text: &[u8]) -> Result<Kept, String> {
    let text = std::str::from_utf8(text).map_err(|fault| fault.to_string())?;
    let file: File = toml::from_str(text).map_err(|fault| fault.message().to_owned())?;
    if file.version != VERSION {
        return Err(format!("version {} is not {VERSION}", file.version));
    }
    let stands = file.changes.into_iter().map(ChangeEntry::understood).collect::<Result<_, _>>()?;
    let planned =
        file.planned.into_iter().map(PlannedEntry::understood).collect::<Result<_, _>>()?;
    let returned =
        file.returned.into_iter().map(ReturnedEntry::understood).collect::<Result<_, _>>()?;
    let starts = file.starts.into_iter().map(StartEntry::understood).collect::<Result<_, _>>()?;
    Ok(Kept { stands, planned, returned, starts })
}

fn zone(text: &str) -> Result<Name, String> {
    text.parse().map_err(|_| format!("'{text}' is no name"))
}

impl ReturnedEntry {
    fn of(returned: &Returned) -> Self {
        let Return { lasts, by_operator, resumed } = returned.way;
        Self {
            pool: returned.pool.to_string(),
            zone: returned.zone.to_string(),
            lasts_s: lasts.as_secs(),
            by_operator,
            resumed_s: resumed.map(|resumed| resumed.as_secs()),
        }
    }

    fn understood(self) -> Result<Returned, String> {
        let way = Return {
            lasts: Duration::from_secs(self.lasts_s),
            by_operator: self.by_operator,
            resumed: self.resumed_s.map(Duration::from_secs),
        };
        Ok(Returned { zone: zone(&self.zone)?, pool: self.pool.into(), way })
    }
}

impl StartEntry {
    fn of(start: &Start) -> Self {
        Self {
            pool: start.pool.to_string(),
            zone: start.zone.to_string(),
            family: family_word(Some(start.family)).to_owned(),
            area: start.area.clone(),
            lasts_s: start.lasts.as_secs(),
        }
    }

    fn understood(self) -> Result<Start, String> {
        let mut known = [Family::V4, Family::V6].into_iter();
        let family = known.find(|known| family_word(Some(*known)) == self.family);
        Ok(Start {
            zone: zone(&self.zone)?.to_string().into(),
            pool: self.pool.into(),
            family: family.ok_or_else(|| format!("'{}' is no family", self.family))?,
            area: self.area,
            lasts: Duration::from_secs(self.lasts_s),
        })
    }
}

impl ChangeEntry {
    fn of(stand: &Stand) -> Self {
        let at = match &stand.at {
            At::Canary(canary) => AtEntry::Canary {
                phase: canary.phase.as_str().to_owned(),
                step: canary.step + 1,
                share: canary.share,
                held_s: canary.held.as_secs(),
                note: canary.note.clone(),
            },
            At::Switch { green, untouched } => AtEntry::Switch {
                active: if *green { "green" } else { "blue" }.to_owned(),
                untouched: *untouched,
            },
        };
        Self {
            record: stand.record.to_string(),
            pools: stand.pools.clone(),
            at,
            by: stand.by.clone(),
            reason: stand.reason.clone(),
            ordered: (stand.ordered > 0).then(|| rfc3339(stand.ordered)).flatten(),
        }
    }

    fn understood(self) -> Result<Stand, String> {
        let at = match self.at {
            AtEntry::Canary { phase, step, share, held_s, note } => {
                let known = Phase::ALL.into_iter().find(|known| known.as_str() == phase);
                At::Canary(Canary {
                    phase: known.ok_or_else(|| format!("'{phase}' is no phase of a canary"))?,
                    step: step.saturating_sub(1),
                    share: share.min(ALL),
                    held: Duration::from_secs(held_s),
                    note,
                })
            }
            AtEntry::Switch { active, untouched } => {
                let green = match &*active {
                    "green" => true,
                    "blue" => false,
                    _ => return Err(format!("'{active}' is no side of a switch")),
                };
                At::Switch { green, untouched }
            }
        };
        Ok(Stand {
            record: self.record.parse().map_err(|_| format!("'{}' is no name", self.record))?,
            pools: self.pools,
            at,
            by: self.by,
            reason: self.reason,
            ordered: self.ordered.as_deref().map(parse_rfc3339).transpose()?.unwrap_or(0),
        })
    }
}

impl PlannedEntry {
    fn of(planned: &Planned) -> Self {
        let order = &planned.order;
        Self {
            target: order.target.to_string(),
            area: order.area.clone(),
            state: order.state.as_str().to_owned(),
            from: rfc3339(planned.from).unwrap_or_default(),
            until: order.until.and_then(rfc3339),
            reason: order.reason.clone(),
            by: order.by.clone(),
            forced: planned.forced,
        }
    }

    fn understood(self) -> Result<Planned, String> {
        let order = Override {
            target: self.target.parse().map_err(|fault| format!("{fault}"))?,
            area: self.area,
            state: self.state.parse().map_err(|fault| format!("{fault}"))?,
            reason: self.reason,
            by: self.by,
            until: self.until.as_deref().map(parse_rfc3339).transpose()?,
        };
        let from = parse_rfc3339(&self.from)?;
        Ok(Planned { order, from, forced: self.forced, held: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::overrides::OverrideState;

    fn stands() -> Vec<Stand> {
        let canary = Canary {
            phase: Phase::Aborted,
            step: 2,
            share: 0,
            held: Duration::from_secs(61),
            note: "health 0 % < 90 %".to_owned(),
        };
        let stand = |record: &str, at| Stand {
            record: record.parse().expect("a name"),
            pools: vec!["dub".into()],
            at,
            by: "ops".to_owned(),
            reason: "release \"7\"".to_owned(),
            ordered: 1_790_000_000,
        };
        let switch = At::Switch { green: true, untouched: false };
        vec![stand("www.example.org.", At::Canary(canary)), stand("api.example.org.", switch)]
    }

    fn planned() -> Vec<Planned> {
        let order = Override {
            target: "region.fra".parse().expect("a target"),
            area: Some("asia".into()),
            state: OverrideState::Drain,
            reason: "kernel".to_owned(),
            by: "ops".to_owned(),
            until: Some(1_790_003_600),
        };
        vec![Planned { order, from: 1_790_000_000, forced: true, held: String::new() }]
    }

    fn ways() -> Vec<Returned> {
        let way = |pool: &str, by_operator, resumed: Option<u64>| Returned {
            zone: "example.org.".parse().expect("a name"),
            pool: pool.into(),
            way: Return {
                lasts: Duration::from_secs(700),
                by_operator,
                resumed: resumed.map(Duration::from_secs),
            },
        };
        vec![way("fra", false, None), way("dub", true, None), way("iad", false, Some(30))]
    }

    fn starts() -> Vec<Start> {
        let start = |family, area: Option<&str>| Start {
            zone: "example.org.".into(),
            pool: "fra".into(),
            family,
            area: area.map(Into::into),
            lasts: Duration::from_secs(17),
        };
        vec![start(Family::V4, None), start(Family::V6, Some("asia"))]
    }

    #[test]
    fn who_waited_for_a_word_by_an_older_version_still_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "version = 1\n[[held]]\npool = \"fra\"\nzone = \"example.org.\"\n";
        std::fs::write(folder.path().join(CHANGES_FILE), text).expect("written");
        let (kept, warnings) = load(folder.path());
        assert_eq!((&*kept.returned[0].pool, warnings.len()), ("fra", 0));
        assert_eq!(kept.returned[0].way.lasts, Duration::ZERO);
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept =
            Kept { stands: stands(), planned: planned(), returned: ways(), starts: starts() };
        save(folder.path(), &kept).expect("written");
        assert_eq!(load(folder.path()), (kept, Vec::new()));
    }

    #[test]
    fn nothing_kept_is_no_trouble() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(load(folder.path()), (Kept::default(), Vec::new()));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_told() {
        for text in ["version = 1\n[[change]]\nrecord = 7\n", "version = 9\n", "\u{0}", "change ="]
        {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(CHANGES_FILE);
            std::fs::write(&path, text).expect("written");
            let (kept, warnings) = load(folder.path());
            assert_eq!((kept, warnings.len()), (Kept::default(), 1), "{text}");
            assert!(warnings[0].contains("set aside as"), "{}", warnings[0]);
            assert!(!path.exists() && folder.path().join("changes.toml.damaged-1").exists());
        }
    }
}
