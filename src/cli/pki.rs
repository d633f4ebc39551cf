//! `meridian pki`: an authority of one's own, for a handful of nodes and vantages.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::PROBLEMS;
use super::args::{PkiCommand, PkiInitArgs, PkiIssueArgs};
use super::key::write_secret;
use super::output::{BAD, complain, paint, print};
use crate::daemon::wall;
use crate::pki::authority::{self, Pair, Subject};
use crate::pki::{Party, Role, names};
use crate::seal::is_signer;

/// What the authority's files are called.
const AUTHORITY: &str = "authority";
/// A certificate that ends sooner than this is told as a problem: time to renew it by hand.
const DAYS_LEFT: u64 = 3;
const DAY: u64 = 86_400;

pub(super) fn run(command: &PkiCommand) -> anyhow::Result<u8> {
    match command {
        PkiCommand::Init(args) => init(args),
        PkiCommand::Issue(args) => issue(args),
        PkiCommand::Show(args) => show(&args.folder),
    }
}

fn init(args: &PkiInitArgs) -> anyhow::Result<u8> {
    let folder = &args.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make '{}'", folder.display()))?;
    let (certificate, key) = paths(folder, AUTHORITY);
    refuse_to_overwrite(&[&certificate, &key])?;
    let made = authority::found(wall())?;
    write_secret(&key, made.key.as_bytes())?;
    write_new(&certificate, &made.certificate)?;
    print(&format!(
        "{} is for everybody on the bus.\n{} signs for all of them: keep it off their machines.\n",
        certificate.display(),
        key.display()
    ))?;
    Ok(0)
}

fn issue(args: &PkiIssueArgs) -> anyhow::Result<u8> {
    if !is_signer(&args.name) || args.name == AUTHORITY {
        bail!(
            "nobody can be called '{}': small letters, digits and hyphens, 63 at most",
            args.name
        );
    }
    let party = |role| Party { role, name: args.name.clone() };
    let node = args.node.then(|| party(Role::Node));
    let vantage = args.vantage.then(|| party(Role::Vantage));
    let parties: Vec<Party> = node.into_iter().chain(vantage).collect();
    if args.broker && args.hosts.is_empty() {
        bail!("a broker is known by its address: --host nats-1.example.org");
    }
    let subject = Subject { name: args.name.clone(), parties, hosts: args.hosts.clone() };
    let authority = read_pair(&args.folder, AUTHORITY)
        .context("there is no authority here; make one: meridian pki init DIR")?;
    let (certificate, key) = paths(&args.folder, &args.name);
    let days = args.days;
    if args.renew {
        let secret = read(&key)?;
        let issued = authority::issue(&authority, &subject, &secret, wall(), days)?;
        replace(&certificate, &issued)?;
    } else {
        refuse_to_overwrite(&[&certificate, &key])?;
        let secret = authority::new_key()?;
        let issued = authority::issue(&authority, &subject, &secret, wall(), days)?;
        write_secret(&key, secret.as_bytes())?;
        write_new(&certificate, &issued)?;
    }
    print(&format!("{} and {}, for {days} days\n", certificate.display(), key.display()))?;
    Ok(0)
}

/// Tells of every certificate in a folder whom it is for and how long it is good.
fn show(folder: &Path) -> anyhow::Result<u8> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read '{}'", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pem"));
    files.sort();
    if files.is_empty() {
        bail!("there is no certificate in '{}'", folder.display());
    }
    let mut outcome = 0;
    for file in files {
        let (line, is_fine) = told(&file);
        print(&line)?;
        if !is_fine {
            outcome = PROBLEMS;
        }
    }
    Ok(outcome)
}

fn told(file: &Path) -> (String, bool) {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let read = fs::read(file).ok().and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
    let Some(known) = read.and_then(|certificate| names(&certificate)) else {
        return (format!("{name}: {}\n", paint(BAD, "no certificate")), false);
    };
    let left = known.expires_at.saturating_sub(wall());
    let is_fine = left > DAYS_LEFT * DAY;
    let left = match left {
        0 => paint(BAD, "has ended"),
        left if is_fine => format!("{} days left", left / DAY),
        left => paint(BAD, format!("{} hours left", left / 3600)),
    };
    let parties = known.parties.iter().map(ToString::to_string);
    let all: Vec<String> = parties.chain(known.others).collect();
    let whom = if all.is_empty() { "signs for the others".to_owned() } else { all.join(", ") };
    (format!("{name:<24} {left:<14} {whom}\n"), is_fine)
}

fn paths(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")))
}

fn read_pair(folder: &Path, name: &str) -> anyhow::Result<Pair> {
    let (certificate, key) = paths(folder, name);
    Ok(Pair { certificate: read(&certificate)?, key: read(&key)? })
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read '{}'", file.display()))
}

fn refuse_to_overwrite(files: &[&PathBuf]) -> anyhow::Result<()> {
    for file in files {
        if file.exists() {
            bail!(
                "'{}' is there already and is kept; --renew makes a certificate anew",
                file.display()
            );
        }
    }
    Ok(())
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write '{}'", file.display());
    let mut open =
        fs::OpenOptions::new().write(true).create_new(true).open(file).with_context(cannot)?;
    open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).with_context(cannot)
}

/// Puts a new text in the place of a file at once: whoever reads it finds one or the other.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("pem.new");
    if beside.exists() {
        complain(&format!("'{}' was left behind and is written anew\n", beside.display()));
        fs::remove_file(&beside)?;
    }
    write_new(&beside, text)?;
    fs::rename(&beside, file).with_context(|| format!("cannot replace '{}'", file.display()))
}
