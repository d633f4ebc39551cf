//! `meridian geo build`: makes the shipped country table anew.

use anyhow::Context;

use super::args::GeoBuildArgs;
use super::output::print;
use crate::geo::embedded;

pub(super) fn build(args: &GeoBuildArgs) -> anyhow::Result<u8> {
    let table = embedded::build_embedded(&args.country, &args.city_v4, &args.city_v6)
        .context("cannot make the country table")?;
    std::fs::write(&args.output, &table)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    print(&format!("{}: {} octets\n", args.output.display(), table.len()))?;
    Ok(0)
}
