//! `[orders]`: whose orders to all nodes are carried out here.

use std::collections::BTreeMap;

use super::bundle::keys;
use super::decode::{Faults, Node};
use crate::seal::PublicKey;

/// `[orders]`: who orders for all nodes at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// `operators`: their keys, by name.
    pub operators: BTreeMap<String, PublicKey>,
}

/// Reads `[orders]`; without it nobody's are.
pub(super) fn orders(node: Option<&Node>, faults: &mut Faults) -> Orders {
    let fields = node.and_then(|node| Some((node.fields("the section 'orders'", faults)?, node)));
    let Some((mut fields, node)) = fields else { return Orders::default() };
    let listed = fields.required("operators", &node.span, faults);
    let without = "without an operator nobody's orders are carried out";
    let operators = listed.map(|listed| keys(listed, "operator", without, faults));
    fields.finish(faults);
    Orders { operators: operators.unwrap_or_default() }
}
