//! Orders to all nodes: signed here, given to one node, which tells the others.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::args::{EverywhereArgs, Orderer, OverrideArgs, ReleaseArgs};
use super::client::Client;
use super::output::{GOOD, WARN, paint, print};
use super::{PROBLEMS, key};
use crate::admin::view::{OrdersView, Status};
use crate::health::overrides::OverrideState;
use crate::orders::{Order, What};

/// How long other nodes are waited for, and how often they are looked at.
const OTHERS_HEAR: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `drain`, `down` and `up` with `--everywhere`.
pub(super) fn set(client: &Client, state: &str, args: &OverrideArgs) -> anyhow::Result<u8> {
    let state: OverrideState = state.parse()?;
    let order = Order {
        number: 0,
        target: args.target.parse()?,
        area: args.area.as_deref().map(Into::into),
        what: What::Set(state),
        reason: args.orderer.reason.clone(),
        by: args.orderer.by(),
        node: String::new(),
        begins: args.at.map(|at| at.0),
        seconds: args.lasting.map(|lasting| lasting.0.as_secs()),
        force: args.force,
    };
    give(client, order, &args.everywhere)
}

/// `release` with `--everywhere`.
pub(super) fn release(client: &Client, args: &ReleaseArgs) -> anyhow::Result<u8> {
    let orderer = Orderer { reason: args.reason.clone(), by: None };
    let order = Order {
        number: 0,
        target: args.target.parse()?,
        area: args.area.as_deref().map(Into::into),
        what: What::Release,
        by: orderer.by(),
        reason: orderer.reason,
        node: String::new(),
        begins: None,
        seconds: None,
        force: false,
    };
    give(client, order, &args.everywhere)
}

/// Signs an order and gives it to the node; tells who has taken it.
fn give(client: &Client, order: Order, args: &EverywhereArgs) -> anyhow::Result<u8> {
    let (Some(file), Some(signer)) = (&args.key, &args.signer) else {
        bail!("an order to all nodes is signed: --key FILE --as NAME");
    };
    let key = key::read(file)?;
    let known: OrdersView = client.get("/v1/orders", &[])?;
    let number = known.newest.saturating_add(1);
    let order = Order { number, node: known.node, ..order };
    let sealed = order.seal(&key, signer).context(
        "no node would read this: a reason has 400 octets at most, names 64, and neither has line \
         breaks or other control characters",
    )?;
    let given: OrdersView = client.post_octets("/v1/orders", sealed)?;
    let what = format!("{} {}", order.what.as_str(), order.target);
    print(&format!("order {number}, {what}: taken by {}\n", given.node))?;
    let missing = others(client)?;
    if missing.is_empty() {
        return Ok(0);
    }
    let line = format!("not heard to have taken it yet: {}", missing.join(", "));
    print(&format!("{}\n", paint(WARN, line)))?;
    print("whoever is away takes it when it is back\n")?;
    Ok(PROBLEMS)
}

/// Waits until the others have taken what this node has; tells who has, and gives those who have
/// not.
fn others(client: &Client) -> anyhow::Result<Vec<String>> {
    let begun = Instant::now();
    loop {
        let status: Status = client.get("/v1/status", &[])?;
        let nodes = status.orders.unwrap_or_default().nodes;
        let (agree, differ): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.agrees);
        let agree: Vec<String> = agree.into_iter().map(|node| node.node).collect();
        let mut missing: Vec<String> = differ.into_iter().map(|node| node.node).collect();
        // On a direct bus every link is to a node; some may never have said a word.
        let bus = status.bus.filter(|bus| bus.kind == "direct").unwrap_or_default();
        let silent = bus.links.into_iter().map(|link| link.name);
        missing.extend(silent.filter(|name| !agree.contains(name)));
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() || begun.elapsed() > OTHERS_HEAR {
            if !agree.is_empty() {
                print(&format!("{} by {}\n", paint(GOOD, "taken"), agree.join(", ")))?;
            }
            return Ok(missing);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
