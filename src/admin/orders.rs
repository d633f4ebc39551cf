//! Orders to all nodes over the API: taken here as from any other node, and told to the others.

use super::view::OrdersView;
use crate::daemon::Daemon;
use crate::daemon::orders::take;
use crate::health::overrides::OverrideTarget;
use crate::orders::What;
use crate::orders::order::Fault;

/// Why an order is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// Nobody may order.
    #[error("nobody's orders are carried out: there is no section [orders] in meridian.toml")]
    Off,
    /// It is refused.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Nothing has that name.
    #[error("{0} names no region, pool or member of this configuration")]
    Nothing(OverrideTarget),
    /// No area has that name.
    #[error("there is no area '{0}' in meridian.toml")]
    NoArea(String),
    /// Nothing to release.
    #[error("there is no order to all nodes over {0}")]
    NotSet(OverrideTarget),
    /// Another came first.
    #[error("order {0} is not newer than what is known: give it again")]
    Old(u64),
}

/// Orders that hold.
pub(super) fn list(daemon: &Daemon) -> Result<OrdersView, OrderError> {
    daemon.orders().view().ok_or(OrderError::Off)
}

/// Takes an order in. What nothing here is called is taken for a slip of the keyboard; an order
/// from another node may well be over something that only that one has.
pub(super) fn order(daemon: &Daemon, sealed: &[u8]) -> Result<OrdersView, OrderError> {
    let known = list(daemon)?;
    let order = daemon.orders().read(sealed)?;
    let area = order.area.as_deref();
    if let Some(name) = area.filter(|name| daemon.snapshot().area(name).is_none()) {
        return Err(OrderError::NoArea(name.to_owned()));
    }
    let target = order.target.to_string();
    let stands =
        known.orders.iter().any(|known| known.target == target && known.area.as_deref() == area);
    if order.what == What::Release && !stands {
        return Err(OrderError::NotSet(order.target));
    }
    if !stands && daemon.health().keeper().touched_by(&order.target) == 0 {
        return Err(OrderError::Nothing(order.target));
    }
    if !take(daemon, sealed, None)? {
        return Err(OrderError::Old(order.number));
    }
    list(daemon)
}
