//! `meridian key`: what reports and bundles are signed with.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use super::args::KeyCommand;
use super::output::print;
use crate::seal::SigningKey;

pub(super) fn run(command: &KeyCommand) -> anyhow::Result<u8> {
    let key = match command {
        KeyCommand::Generate(args) => generate(&args.file)?,
        KeyCommand::Show(args) => read(&args.file)?,
    };
    print(&format!("key = \"{}\"\n", key.public()))?;
    Ok(0)
}

/// Reads the signing key in `file`.
pub(super) fn read(file: &Path) -> anyhow::Result<SigningKey> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read '{}'", file.display()))?;
    SigningKey::from_pem(&pem).with_context(|| format!("'{}' is no signing key", file.display()))
}

fn generate(file: &Path) -> anyhow::Result<SigningKey> {
    let key = SigningKey::generate()?;
    let pem = key.to_pem()?;
    write_secret(file, pem.as_bytes())?;
    Ok(key)
}

/// Writes a file that did not exist and that only its owner reads. What is there already is kept:
/// it may be the only copy of a key that others trust.
pub(super) fn write_secret(file: &Path, octets: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write '{}'", file.display());
    let mut options = OpenOptions::new();
    let mut open =
        options.write(true).create_new(true).mode(0o600).open(file).with_context(cannot)?;
    open.write_all(octets).and_then(|()| open.sync_all()).with_context(cannot)
}
