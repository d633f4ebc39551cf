//! How the clients of a rule come to its pools where that takes more than one draw: groups in
//! groups, pools that are equally near, rules with two sides.
//!
//! Each pool keeps a share of all clients, independently of the others; a client whom a pool does
//! not keep goes to whoever would be next. What comes of it is told as parts of the whole.

use crate::geo::map::Order;
use crate::steer::nest::{Choice, Item, Nest, What};
use crate::steer::record::{Policy, Rule};

/// Rounds after which hardly anybody is left who was refused by all that were drawn.
const ROUNDS: usize = 8;

/// How somebody is chosen, by place among the rule's own sites.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// This place.
    Place(usize),
    /// The first that has somebody who keeps the client.
    Listed(Vec<Self>),
    /// One of those that have somebody, by weight; the first with weight 0 when no other has.
    Drawn(Vec<(Self, f64)>),
    /// The item of the first of these places that keeps the client.
    Nearest(Vec<Self>, Vec<(usize, usize)>),
}

impl Node {
    /// How clients of an order come to the pools of a rule that are on one side: the places for
    /// which `is_on` holds.
    pub(super) fn of(rule: &Rule, order: &Order, is_on: &dyn Fn(usize) -> bool) -> Self {
        let place = |site: u16| rule.own.iter().position(|own| *own == site);
        let kept = order.sites.iter().take(usize::from(order.len)).copied();
        let mut near: Vec<usize> = kept.filter_map(place).collect();
        let rest = (0..rule.own.len()).filter(|at| !near.contains(at)).collect::<Vec<_>>();
        near.extend(rest);
        let weighed = |weight: &dyn Fn(usize) -> f64| {
            let on = (0..rule.own.len()).filter(|at| is_on(*at));
            Self::Drawn(on.map(|at| (Self::Place(at), weight(at))).collect())
        };
        match &rule.policy {
            Policy::Weighted { weights, .. } | Policy::Hash { weights, .. } => {
                weighed(&|at| weights.get(at).copied().map_or(0.0, f64::from))
            }
            Policy::RoundRobin => weighed(&|_| 1.0),
            Policy::Nested(nest) => Self::of_level(nest, 0, &near, &place, is_on),
            Policy::Failover | Policy::Nearest => {
                let tied = if order.tied > 1 { usize::from(order.tied) } else { 0 };
                let head = near.iter().take(tied).filter(|at| is_on(**at));
                let head = head.map(|at| (Self::Place(*at), 1.0)).collect();
                let tail = near.iter().skip(tied).filter(|at| is_on(**at));
                let all = std::iter::once(Self::Drawn(head));
                Self::Listed(all.chain(tail.map(|at| Self::Place(*at))).collect())
            }
        }
    }

    fn of_level(
        nest: &Nest,
        number: u16,
        near: &[usize],
        place: &dyn Fn(u16) -> Option<usize>,
        is_on: &dyn Fn(usize) -> bool,
    ) -> Self {
        let Some(level) = nest.levels.get(usize::from(number)) else {
            return Self::Listed(Vec::new());
        };
        let node = |item: &Item| match item.what {
            What::Site(site) => match place(site).filter(|at| is_on(*at)) {
                Some(at) => Self::Place(at),
                None => Self::Listed(Vec::new()),
            },
            // Levels name later ones: this ends.
            What::Level(below) if below > number => Self::of_level(nest, below, near, place, is_on),
            What::Level(_) => Self::Listed(Vec::new()),
        };
        let items: Vec<Self> = level.items.iter().map(node).collect();
        match level.choice {
            Choice::Listed => Self::Listed(items),
            Choice::Drawn | Choice::Stays { .. } => {
                let weights = level.items.iter().map(|item| f64::from(item.weight));
                Self::Drawn(items.into_iter().zip(weights).collect())
            }
            Choice::Nearest => {
                let of = |at: &usize| Some((*at, items.iter().position(|item| item.has(*at))?));
                let places = near.iter().filter_map(of).collect();
                Self::Nearest(items, places)
            }
        }
    }

    fn has(&self, place: usize) -> bool {
        match self {
            Self::Place(at) => *at == place,
            Self::Listed(nodes) | Self::Nearest(nodes, _) => {
                nodes.iter().any(|node| node.has(place))
            }
            Self::Drawn(nodes) => nodes.iter().any(|(node, _)| node.has(place)),
        }
    }

    /// By place, the part of all clients that comes there and is kept; `keeps` are the shares
    /// that places keep, 0 for those that do not serve. What is missing to 1 nobody keeps.
    pub(super) fn flow(&self, keeps: &[f64]) -> Vec<f64> {
        let mut flow = vec![0.0; keeps.len()];
        match self {
            Self::Place(at) => flow[*at] = keeps[*at],
            Self::Listed(nodes) => {
                let mut left = 1.0;
                for node in nodes {
                    let inside = node.flow(keeps);
                    add(&mut flow, &inside, left);
                    left *= 1.0 - sum(&inside);
                }
            }
            Self::Drawn(nodes) => {
                let inside: Vec<Vec<f64>> =
                    nodes.iter().map(|(node, _)| node.flow(keeps)).collect();
                let parts = drawn(nodes, &inside.iter().map(|of| sum(of)).collect::<Vec<_>>());
                inside.iter().zip(parts).for_each(|(inside, part)| add(&mut flow, inside, part));
            }
            Self::Nearest(nodes, places) => {
                let inside: Vec<Vec<f64>> = nodes.iter().map(|node| node.flow(keeps)).collect();
                let mut left = 1.0;
                for (at, item) in places {
                    let takes = sum(&inside[*item]);
                    if takes > 0.0 {
                        add(&mut flow, &inside[*item], left * keeps[*at] / takes);
                    }
                    left *= 1.0 - keeps[*at];
                }
            }
        }
        flow
    }
}

/// How often each node is drawn in the end, so that all clients whom somebody keeps are kept once.
/// `takes` is the part of all clients that each keeps.
fn drawn(nodes: &[(Node, f64)], takes: &[f64]) -> Vec<f64> {
    let weight = |at: usize| if takes[at] > 0.0 { nodes[at].1 } else { 0.0 };
    let all: f64 = (0..nodes.len()).map(weight).sum();
    let mut parts = vec![0.0; nodes.len()];
    if all <= 0.0 {
        if let Some(at) = (0..nodes.len()).find(|at| takes[*at] > 0.0) {
            parts[at] = 1.0;
        }
        return parts;
    }
    let mut drawing: Vec<f64> = (0..nodes.len()).map(|at| weight(at) / all).collect();
    for _ in 0..ROUNDS {
        let refused: Vec<f64> = drawing.iter().zip(takes).map(|(d, t)| d * (1.0 - t)).collect();
        parts.iter_mut().zip(&drawing).for_each(|(part, drawing)| *part += drawing);
        let again = |at: usize| {
            let from = (0..refused.len()).filter(|from| *from != at && all > weight(*from));
            from.map(|from| refused[from] * weight(at) / (all - weight(from))).sum()
        };
        drawing = (0..drawing.len()).map(again).collect();
    }
    let kept: f64 = parts.iter().zip(takes).map(|(part, takes)| part * takes).sum();
    let whole = 1.0 - takes.iter().map(|takes| 1.0 - takes).product::<f64>();
    let scale = if kept > 0.0 { whole / kept } else { 0.0 };
    parts.iter().map(|part| part * scale).collect()
}

fn add(flow: &mut [f64], more: &[f64], part: f64) {
    flow.iter_mut().zip(more).for_each(|(flow, more)| *flow += more * part);
}

fn sum(flow: &[f64]) -> f64 {
    flow.iter().sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(flow: &[f64], wanted: &[f64]) {
        let near = flow.iter().zip(wanted).all(|(flow, wanted)| (flow - wanted).abs() < 0.01);
        assert!(near, "{flow:?}, not {wanted:?}");
    }

    fn group() -> Node {
        Node::Listed(vec![Node::Place(0), Node::Place(1)])
    }

    #[test]
    fn a_list_gives_the_next_what_the_first_does_not_keep() {
        is_near(&group().flow(&[1.0, 1.0]), &[1.0, 0.0]);
        is_near(&group().flow(&[0.25, 1.0]), &[0.25, 0.75]);
        is_near(&group().flow(&[0.5, 0.5]), &[0.5, 0.25]);
    }

    #[test]
    fn a_group_is_drawn_for_what_is_inside_and_passed_over_when_empty() {
        let nest = Node::Drawn(vec![(group(), 3.0), (Node::Place(2), 1.0)]);
        is_near(&nest.flow(&[1.0, 1.0, 1.0]), &[0.75, 0.0, 0.25]);
        is_near(&nest.flow(&[0.2, 1.0, 1.0]), &[0.15, 0.6, 0.25]);
        is_near(&nest.flow(&[0.0, 0.0, 1.0]), &[0.0, 0.0, 1.0]);
        is_near(&nest.flow(&[0.0, 0.0, 0.0]), &[0.0, 0.0, 0.0]);
        let standby = Node::Drawn(vec![(Node::Place(0), 1.0), (Node::Place(1), 0.0)]);
        is_near(&standby.flow(&[0.0, 1.0]), &[0.0, 1.0]);
    }

    #[test]
    fn the_nearest_group_is_that_of_the_nearest_who_keeps() {
        let nearest = Node::Nearest(vec![group(), Node::Place(2)], vec![(1, 0), (2, 1), (0, 0)]);
        is_near(&nearest.flow(&[1.0, 1.0, 1.0]), &[1.0, 0.0, 0.0]);
        is_near(&nearest.flow(&[0.0, 0.5, 1.0]), &[0.0, 0.5, 0.5]);
    }
}
