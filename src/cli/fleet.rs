//! What of the other nodes stands in `meridian status`: the bus, the bundle, orders to all.

use anstyle::Style;

use super::output::{BAD, FAINT, WARN, paint};
use super::status::{ago, certificate};
use crate::admin::view::{BusView, OrdersView, Status};

const PLAIN: Style = Style::new();

/// A line or a few for each that there is.
pub(super) fn render(status: &Status) -> String {
    let mut out = status.bus.as_ref().map_or_else(String::new, bus);
    out.push_str(&bundle(status));
    out.push_str(&status.orders.as_ref().map_or_else(String::new, orders));
    out
}

/// True when an operator should look.
pub(super) fn has_problems(status: &Status) -> bool {
    let own = status.bundle.as_ref().and_then(|bundle| bundle.nodes.first());
    own.is_some_and(|own| own.refused.is_some()) || status.bus.as_ref().is_some_and(is_cut_off)
}

/// True when this node hears nobody, or soon will not.
fn is_cut_off(bus: &BusView) -> bool {
    let nobody = !bus.links.is_empty() && bus.links.iter().all(|link| !link.connected);
    nobody || bus.certificate.expires_in_seconds < 0
}

/// How this node is connected to others, and which connections are missing.
fn bus(bus: &BusView) -> String {
    let BusView { kind, node, links, certificate: shown, .. } = bus;
    let connected = links.iter().filter(|link| link.connected).count();
    let mut out = format!("bus     {kind} as {node}");
    if !links.is_empty() {
        let style = match connected {
            0 => BAD,
            some if some < links.len() => WARN,
            _ => PLAIN,
        };
        let told = format!("{connected} of {} connected", links.len());
        out.push_str(&format!(", {}", paint(style, told)));
    }
    let BusView { published, received, skipped, refused, .. } = bus;
    out.push_str(&format!(
        ", {published} messages out, {received} in, {skipped} skipped, {refused} refused\n"
    ));
    for link in links {
        let lasts = ago(link.since_seconds);
        let reason = link.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let (style, word) = if link.connected { (FAINT, "up") } else { (BAD, "down") };
        let word = paint(style, format_args!("{word} for {lasts}"));
        out.push_str(&format!("  {}  {word}{reason}\n", link.name));
    }
    out.push_str(&format!("  {}", certificate(shown)));
    out
}

/// Which bundle is served here, and which is refused.
fn bundle(status: &Status) -> String {
    let Some(own) = status.bundle.as_ref().and_then(|bundle| bundle.nodes.first()) else {
        return String::new();
    };
    let serial = own.serial.map_or_else(|| "none yet".to_owned(), |serial| serial.to_string());
    let refused = own.refused.as_ref().map(|refused| {
        paint(BAD, format_args!("; {} is refused (meridian bundle status)", refused.serial))
    });
    format!("bundle  {serial}{}\n", refused.unwrap_or_default())
}

/// Orders to all nodes: how many there are, and who has not heard of them; nothing while there are
/// none and none was refused.
fn orders(orders: &OrdersView) -> String {
    let refused: u64 = orders.refused.values().sum();
    if orders.orders.is_empty() && refused == 0 {
        return String::new();
    }
    let mut out = format!("orders  {} to all nodes", orders.orders.len());
    let differ: Vec<&str> =
        orders.nodes.iter().filter(|node| !node.agrees).map(|node| &*node.node).collect();
    if !differ.is_empty() {
        let told = format!("not the same on {}", differ.join(", "));
        out.push_str(&format!("; {}", paint(WARN, told)));
    }
    if refused > 0 {
        let why = orders.refused.iter().map(|(why, count)| format!("{count} {why}"));
        let told = format!("refused: {}", why.collect::<Vec<_>>().join(", "));
        out.push_str(&format!("; {}", paint(WARN, told)));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::TlsView;
    use crate::bus::Link;

    fn plain(status: &Status) -> String {
        anstream::adapter::strip_str(&render(status)).to_string()
    }

    #[test]
    fn the_bus_tells_who_is_missing_and_how_long_the_certificate_lasts() {
        let link = |name: &str, connected: bool| Link {
            name: name.to_owned(),
            connected,
            since_seconds: 61,
            reason: (!connected).then(|| "no answer".to_owned()),
        };
        let told = |connected: bool, days: i64| {
            let certificate = TlsView {
                certificate: "ams-1.pem".to_owned(),
                expires_at: 1,
                expires_in_seconds: days * 86_400,
            };
            let (kind, node) = ("direct".to_owned(), "ams-1".to_owned());
            let links = vec![link("iad-1", false), link("sin-1", connected)];
            let bus = BusView { kind, node, links, received: 7, certificate, ..BusView::default() };
            let status = Status { bus: Some(bus), ..Status::default() };
            (plain(&status), has_problems(&status))
        };
        let (text, is_problem) = told(true, 80);
        let lines = "bus     direct as ams-1, 1 of 2 connected, 0 messages out, 7 in, 0 skipped, \
                     0 refused\n  iad-1  down for 1 min 1 s: no answer\n  sin-1  up for 1 min 1 s\n  \
                     ams-1.pem expires in 80 d 0 h\n";
        assert!(text.contains(lines) && !is_problem, "{text}");
        assert!(told(false, 80).1, "nobody is there");
        assert!(told(true, -1).1, "the certificate is over");
    }
}
