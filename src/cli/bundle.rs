//! `meridian bundle`: the zones and policies of many nodes, published, looked at, taken back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::args::{BundleCommand, PublishArgs, RollbackArgs, SignArgs, StatusArgs};
use super::client::{Client, Faulty};
use super::output::{BAD, GOOD, WARN, complain, paint, print};
use super::{PROBLEMS, key};
use crate::admin::view::{BundleView, NodeView, ReleaseView, Status};
use crate::bundle::{Contents, Hash, Release};
use crate::daemon::load::Loader;
use crate::daemon::wall;
use crate::diagnostics;

/// How long other nodes are waited for, and how often they are looked at. A node that reads a large
/// configuration for longer tells with its next word.
const OTHERS_ANSWER: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Folders that a bundle is made of.
const FOLDERS: [&str; 3] = ["zones", "geo", "probes"];

pub(super) fn run(command: &BundleCommand) -> anyhow::Result<u8> {
    match command {
        BundleCommand::Publish(args) => publish(args),
        BundleCommand::Status(args) => status(args),
        BundleCommand::Rollback(args) => rollback(args),
    }
}

fn publish(args: &PublishArgs) -> anyhow::Result<u8> {
    let mut contents = Contents::default();
    for folder in FOLDERS {
        collect(&args.folder, folder, &mut contents)?;
    }
    let read = Loader::new(args.folder.clone()).read_files(Some(&args.folder));
    let faults = match &read {
        Ok(read) => &read.warnings,
        Err(faults) => faults,
    };
    if !faults.is_empty() {
        complain(&diagnostics::render_styled(faults));
        complain(&format!("{}\n", diagnostics::summary(faults)));
    }
    if read.is_err() {
        return Ok(PROBLEMS);
    }
    let octets = contents.encode()?;
    let client = client(&args.sign)?;
    let known = known(&client)?;
    let release = Release {
        serial: newest(&known) + 1,
        hash: Hash::of(&octets),
        octets: octets.len() as u64,
        made_at: wall(),
        note: Release::note(&args.sign.note),
    };
    send(&client, &args.sign, &release, &octets)
}

fn rollback(args: &RollbackArgs) -> anyhow::Result<u8> {
    let client = client(&args.sign)?;
    let known = known(&client)?;
    let serving = known.releases.iter().find(|release| release.serving);
    let serving = serving.context("no bundle is served that one could go back from")?;
    let back = match args.to {
        Some(serial) => known.releases.iter().find(|release| release.serial == serial),
        None => known
            .releases
            .iter()
            .rev()
            .find(|release| release.serial < serving.serial && release.hash != serving.hash),
    };
    let back = back.context("there is no such release on this node any more")?;
    let note = format!("back to {}: {}", back.serial, args.sign.note);
    let release = Release {
        serial: newest(&known) + 1,
        hash: back.hash.parse()?,
        octets: back.octets,
        made_at: wall(),
        note: Release::note(&note),
    };
    send(&client, &args.sign, &release, &[])
}

/// The greatest serial that is known on any node: here, elsewhere, or refused.
fn newest(known: &BundleView) -> u64 {
    let kept = known.releases.iter().map(|release| release.serial);
    let served = known.nodes.iter().filter_map(|node| node.serial);
    let refused = known.nodes.iter().filter_map(|node| node.refused.as_ref());
    kept.chain(served).chain(refused.map(|refused| refused.serial)).max().unwrap_or(0)
}

fn status(args: &StatusArgs) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    let view = known(&client)?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&view)?))?;
    } else {
        print(&told(&view))?;
    }
    let serials = view.nodes.iter().map(|node| node.serial);
    let differ = serials.collect::<std::collections::BTreeSet<_>>().len() > 1;
    let refused = view.nodes.iter().any(|node| node.refused.is_some());
    Ok(if differ || refused { PROBLEMS } else { 0 })
}

/// What nodes serve and have, as text.
fn told(view: &BundleView) -> String {
    let mut text = String::new();
    for node in &view.nodes {
        let serial =
            node.serial.map_or_else(|| "its own files".to_owned(), |serial| serial.to_string());
        text.push_str(&format!("{:<24} serves {serial}\n", node.node));
        if let Some(refused) = &node.refused {
            let line = format!("refuses {}", refused.serial);
            text.push_str(&format!("{:<24} {}\n", "", paint(BAD, line)));
            for fault in &refused.faults {
                text.push_str(&format!("{:<26} {fault}\n", ""));
            }
        }
    }
    for release in view.releases.iter().rev() {
        let mark = if release.serving { paint(GOOD, "serving") } else { "       ".to_owned() };
        let ReleaseView { serial, hash, publisher, note, octets, .. } = release;
        let hash = hash.get(..12).unwrap_or(hash);
        text.push_str(&format!(
            "{serial:>6} {mark} {hash} {octets:>9} octets by {publisher}: {note}\n"
        ));
    }
    text
}

fn client(args: &SignArgs) -> anyhow::Result<Client> {
    Client::new(args.api.api.as_deref(), args.api.config.as_deref())
}

fn known(client: &Client) -> anyhow::Result<BundleView> {
    let status: Status = client.get("/v1/status", &[])?;
    status
        .bundle
        .context("this node follows no bundles: there is no section [bundle] in its meridian.toml")
}

fn send(client: &Client, args: &SignArgs, release: &Release, octets: &[u8]) -> anyhow::Result<u8> {
    let key = key::read(&args.key)?;
    let signed = release.seal(&key, &args.publisher);
    let body = postcard::to_allocvec(&(signed, octets)).context("cannot write the request")?;
    let serial = release.serial;
    if let Err(error) = client.post_octets::<BundleView>("/v1/bundle", body) {
        let Some(Faulty(faults)) = error.downcast_ref() else { return Err(error) };
        complain(&format!("{} {faults}\n", paint(BAD, format_args!("{serial} is refused:"))));
        return Ok(PROBLEMS);
    }
    print(&format!("{serial} is served here, and announced to the others\n\n"))?;
    let view = answered(client, serial)?;
    print(&told(&view))?;
    let others = view.nodes.iter().filter(|node| node.serial != Some(serial));
    let waiting: Vec<&str> =
        others.filter(|node| !refuses(node, serial)).map(|node| &*node.node).collect();
    if !waiting.is_empty() {
        let line = format!("not heard to serve {serial} yet: {}", waiting.join(", "));
        print(&format!("\n{}\n", paint(WARN, line)))?;
    }
    Ok(if view.nodes.iter().any(|node| refuses(node, serial)) { PROBLEMS } else { 0 })
}

fn refuses(node: &NodeView, serial: u64) -> bool {
    node.refused.as_ref().is_some_and(|refused| refused.serial == serial)
}

/// Waits until every node that is known serves a release or refuses it, for as long as that takes
/// as a rule.
fn answered(client: &Client, serial: u64) -> anyhow::Result<BundleView> {
    let begun = Instant::now();
    loop {
        let view = known(client)?;
        let has_answered = |node: &NodeView| node.serial == Some(serial) || refuses(node, serial);
        if view.nodes.iter().all(has_answered) || begun.elapsed() > OTHERS_ANSWER {
            return Ok(view);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Takes the files below `folder`. A link might lead anywhere on this machine; it is refused.
fn collect(root: &Path, folder: &str, contents: &mut Contents) -> anyhow::Result<()> {
    let at = root.join(folder);
    let entries = match fs::read_dir(&at) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read '{}'", at.display())),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read '{}'", at.display()))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            bail!("'{}' has no plain name", entry.path().display())
        };
        let (path, kind) = (format!("{folder}/{name}"), entry.file_type()?);
        // Editors' and version control's own, and databases, which are each node's.
        if name.starts_with('.') || name.ends_with('~') || name.ends_with(".mmdb") {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, contents)?;
        } else if kind.is_file() {
            let octets = fs::read(entry.path()).with_context(|| format!("cannot read '{path}'"))?;
            contents.add(&path, octets)?;
        } else {
            bail!("'{path}' is a link or no file: a bundle holds files only");
        }
    }
    Ok(())
}
