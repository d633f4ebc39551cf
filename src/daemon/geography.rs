//! The world over reloads: read anew only when something changed, and never worse than before.
//!
//! Reading databases takes time and memory, so a world stays in use as long as the files and
//! the operator's networks are the same. A database that is broken is refused; the world that
//! was made of the one before stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admin::view::DatabaseView;
use crate::config::Config;
use crate::geo::db::Kind;
use crate::geo::networks::Network;
use crate::geo::world::{Fallback, World};

use super::wall;

/// The world in use and what it was made of.
#[derive(Default)]
pub(super) struct Geography {
    used: Option<Used>,
    /// Files that were refused, so that they are not read again until they change.
    refused: Option<(Vec<File>, String)>,
}

struct Used {
    world: Arc<World>,
    files: Vec<File>,
    networks: Vec<Network>,
    /// Networks pin regions by number, so a world is good only for the same list.
    regions: Vec<Box<str>>,
}

/// A file as far as it can be told apart from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: PathBuf,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl File {
    /// A file that cannot be looked at differs from every one that can.
    fn look(path: &PathBuf) -> Self {
        let found = fs::metadata(path).ok();
        let (inode, length, changed) = found.map_or((0, 0, (0, 0)), |found| {
            (found.ino(), found.len(), (found.mtime(), found.mtime_nsec()))
        });
        Self { path: path.clone(), inode, length, changed }
    }
}

impl Geography {
    /// The world of this configuration: the one in use where nothing changed.
    ///
    /// # Errors
    /// When a database is broken and the world in use does not fit: there is none, or the
    /// networks or regions changed as well.
    pub(super) fn world(&mut self, config: &Config) -> Result<Arc<World>, String> {
        let files: Vec<File> = config.settings.databases.iter().map(File::look).collect();
        let fits = self.used.as_ref().filter(|used| {
            let names = config.regions.iter().map(|region| &region.name);
            used.networks == config.networks && used.regions.iter().eq(names)
        });
        if let Some(used) = fits {
            let known_bad = self.refused.as_ref().is_some_and(|(refused, _)| *refused == files);
            if used.files == files || known_bad {
                if !known_bad {
                    self.refused = None;
                }
                return Ok(Arc::clone(&used.world));
            }
        }
        // Gaps of the operator's databases are filled by the shipped one: a country is better
        // than nothing, and an IPv4-only database says nothing of IPv6.
        let began = Instant::now();
        let loaded = World::load(&config.settings.databases, &config.networks, Fallback::Embedded);
        match (loaded, fits) {
            (Ok(world), _) => {
                tell(&world, began.elapsed());
                let world = Arc::new(world);
                self.used = Some(Used {
                    world: Arc::clone(&world),
                    files,
                    networks: config.networks.clone(),
                    regions: config.regions.iter().map(|region| region.name.clone()).collect(),
                });
                self.refused = None;
                Ok(world)
            }
            (Err(error), Some(used)) => {
                let world = Arc::clone(&used.world);
                self.refused = Some((files, in_words(&error)));
                Ok(world)
            }
            (Err(error), None) => Err(in_words(&error)),
        }
    }

    /// Why the files on disk are not the ones in use, if they are not.
    fn refusal(&self) -> Option<&str> {
        self.refused.as_ref().map(|(_, why)| why.as_str())
    }

    /// The databases in use, in order of trust. A refusal stands with the first whose file it
    /// names, else with the first.
    pub(super) fn views(&self) -> Vec<DatabaseView> {
        let sources = self.used.as_ref().map_or(&[][..], |used| used.world.sources());
        let now = wall();
        let mut views: Vec<DatabaseView> = sources
            .iter()
            .map(|source| DatabaseView {
                name: source.name.to_string(),
                kind: kind(source.kind).to_owned(),
                built_at: source.built,
                age_seconds: now.saturating_sub(source.built),
                refused: None,
            })
            .collect();
        if let Some(why) = self.refusal() {
            let named = views.iter().position(|view| why.contains(&view.name)).unwrap_or(0);
            if let Some(view) = views.get_mut(named) {
                view.refused = Some(why.to_owned());
            }
        }
        views
    }
}

/// Nothing is answered before the first world is there, so people want to know what it took.
fn tell(world: &World, took: Duration) {
    let names: Vec<&str> = world.sources().iter().map(|source| &*source.name).collect();
    let (took, places) = (took.as_secs_f64(), world.places().len());
    tracing::info!("geo data read in {took:.2} s, {places} places: {}", names.join(", "));
}

/// An error and its causes in one line.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::City => "city",
        Kind::Country => "country",
        Kind::Asn => "AS numbers",
    }
}
