//! `meridian explain`: asks the daemon, or the files.

use super::args::ExplainArgs;
use super::client::Client;
use super::output::print;
use super::{files, story};
use crate::admin::explain;
use crate::daemon::load::{Loader, plan};
use crate::health::keeper::Keeper;
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
        print(&story::render(&told, health, &args.down))?;
    }
    Ok(0)
}

fn from_daemon(args: &ExplainArgs) -> anyhow::Result<Explanation> {
    let client = args.client.to_string();
    let down = args.down.join(",");
    let query =
        [("name", &*args.name), ("client", &client), ("type", &args.rtype), ("down", &down)];
    Client::new(args.api.as_deref(), None)?.get("/v1/explain", &query)
}

/// `Err` is the exit code when the files are refused.
fn from_files(args: &ExplainArgs) -> anyhow::Result<Result<Explanation, u8>> {
    let question = explain::question(&args.name, &args.rtype, args.client)?;
    let mut loader = Loader::new(files::config_path(args.config.as_deref()));
    let read = match loader.read() {
        Ok(read) => read,
        Err(faults) => return Ok(Err(files::tell_refused(&faults))),
    };
    let keeper =
        Keeper::new(plan(&read.config), &Default::default(), Vec::new(), Default::default());
    let snapshot = loader.build(&read, None, keeper.table())?;
    let down: Vec<&str> = args.down.iter().map(String::as_str).collect();
    Ok(Ok(explain::offline(&snapshot, &question, &down)?))
}
