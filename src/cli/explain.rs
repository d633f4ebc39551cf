//! `meridian explain`: asks the daemon, or the files.

use super::args::ExplainArgs;
use super::client::Client;
use super::output::print;
use super::{files, story};
use crate::admin::explain;
use crate::daemon::load::{Loader, plan};
use crate::health::keeper::Keeper;
use crate::plan::suppose::Supposition;
use crate::server::explain::Explanation;

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<u8> {
    let offline = args.offline || args.config.is_some();
    let (told, health) = if offline {
        match from_files(args)? {
            Ok(told) => (told, "everything supposed up"),
            Err(code) => return Ok(code),
        }
    } else {
        (from_daemon(args)?, "as the daemon sees it")
    };
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
    } else {
        print(&story::render(&told, health, &supposed(args)))?;
    }
    Ok(0)
}

/// What is supposed on top of known health, in words.
fn supposed(args: &ExplainArgs) -> Vec<String> {
    let down = args.down.iter().map(|target| format!("{target} supposed down"));
    let parts = args.what_if.iter().flat_map(|list| list.split(',')).map(str::trim);
    let parts = parts.filter_map(|part| part.parse::<Supposition>().ok());
    let what_if = parts.map(|part| format!("{} {}", part.target, part.state.told()));
    down.chain(what_if).collect()
}

fn from_daemon(args: &ExplainArgs) -> anyhow::Result<Explanation> {
    let client = args.client.to_string();
    let down = args.down.join(",");
    let what_if = args.what_if.join(",");
    let query = [
        ("name", &*args.name),
        ("client", &client),
        ("type", &args.rtype),
        ("down", &down),
        ("what_if", &what_if),
    ];
    Client::new(args.api.as_deref(), None)?.get("/v1/explain", &query)
}

/// `Err` is the exit code when the files are refused.
fn from_files(args: &ExplainArgs) -> anyhow::Result<Result<Explanation, u8>> {
    let question = explain::question(&args.name, &args.rtype, args.client)?;
    let down: Vec<&str> = args.down.iter().map(String::as_str).collect();
    let what_if: Vec<&str> = args.what_if.iter().map(String::as_str).collect();
    let supposed = explain::supposed(&down, &what_if)?;
    let mut loader = Loader::new(files::config_path(args.config.as_deref()));
    let read = match loader.read() {
        Ok(read) => read,
        Err(faults) => return Ok(Err(files::tell_refused(&faults))),
    };
    let keeper =
        Keeper::new(plan(&read.config), &Default::default(), Vec::new(), Default::default());
    let snapshot = loader.build(&read, None, keeper.table())?;
    Ok(Ok(explain::offline(&snapshot, &question, &supposed)?))
}
