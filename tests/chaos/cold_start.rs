//! The first answer after a start is right, whatever the start knows.

use std::time::Duration;

use crate::lab::until;
use crate::scene::{CLIENTS, Carrier, NODES, Scene, ZONE};
use crate::verdict::nearest;

/// Starts of each kind.
const STARTS: usize = 50;
const STARTS_DIRECT: usize = 20;
/// Longest that a start may take.
const START: Duration = Duration::from_secs(20);

#[test]
fn fifty_first_answers_of_each_kind_are_right() {
    first_answers(&mut Scene::world(Carrier::Nats), STARTS);
}

#[test]
fn without_brokers_first_answers_are_right_too() {
    first_answers(&mut Scene::world(Carrier::Direct), STARTS_DIRECT);
}

fn first_answers(scene: &mut Scene, starts: usize) {
    println!("\n{starts} starts of {} each, first answer right:", NODES[0].0);
    for is_dead in [false, true] {
        let dead: &[&str] = if is_dead { &["fra"] } else { &[] };
        if is_dead {
            scene.kill_region(0);
            scene.wait_dead(0);
            scene.wait_noted(0, 0);
        }
        for forgets in [false, true] {
            let mut right = 0;
            for _ in 0..starts {
                scene.kill_node(0);
                if forgets {
                    scene.forget(0);
                }
                scene.start_node(0);
                let asker = scene.client(0, NODES[0].1).patience(Duration::from_millis(50));
                let mut first = None;
                until(START, "the node answers", || {
                    first = asker.ask(&format!("www.{ZONE}"));
                    first.is_some()
                });
                let first = first.and_then(|reply| reply.address());
                right += usize::from(first == Some(nearest(0, dead)));
            }
            let primary = if is_dead { "dead" } else { "healthy" };
            let memory = if forgets { "nothing remembered" } else { "as it was killed" };
            println!("  {} nearest to {}, {memory}: {right} of {starts}", primary, CLIENTS[0].0);
            assert_eq!(right, starts, "{primary}, {memory}");
        }
    }
}
