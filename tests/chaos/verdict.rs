//! What is right, and what became of a phase.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::crowd::{Round, Said};
use crate::scene::{CLIENTS, NODES, REGIONS};

/// Regions by name.
pub type Regions<'a> = &'a [&'a str];

/// What happened in a phase, and what answers may say of it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When.
    pub at: Instant,
    /// By when it has to show in every answer.
    pub budget: Duration,
    /// Regions that were dead before.
    pub before: Regions<'a>,
    /// Regions that are dead from here on.
    pub after: Regions<'a>,
}

/// What became of the questions of one phase.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Rounds of questions.
    pub asked: usize,
    /// Rounds in which no node answered.
    pub unanswered: usize,
    /// Questions to single nodes that they did not answer.
    pub silent: [usize; NODES.len()],
    /// Answers without an address.
    pub empty: usize,
    /// Answers that name a dead region after the budget.
    pub dead: usize,
    /// Answers that name another region than the nearest one that lives.
    pub strayed: usize,
    /// From the event to the last answer that was still as before.
    pub settled: Duration,
}

/// The address of the nearest region to a client that is not among `dead`.
pub fn nearest(client: usize, dead: Regions<'_>) -> IpAddr {
    let order = CLIENTS[client].2;
    let left = order.iter().find(|region| !dead.contains(region)).expect("a region is left");
    let region = REGIONS.iter().find(|region| region.0 == *left).expect("it exists");
    region.1.parse().unwrap()
}

/// Judges every round of a phase.
pub fn judge(rounds: &[Round], event: Event<'_>) -> Tally {
    let mut tally = Tally { asked: rounds.len(), ..Tally::default() };
    for round in rounds {
        if round.said.iter().all(|said| *said == Said::Nothing) {
            tally.unanswered += 1;
        }
        let [old, new] = [event.before, event.after].map(|dead| nearest(round.client, dead));
        let since = round.at.checked_duration_since(event.at);
        for (said, silent) in round.said.iter().zip(&mut tally.silent) {
            match *said {
                Said::Nothing => *silent += 1,
                Said::Empty => tally.empty += 1,
                Said::Address(address) => {
                    let may_be_old = since.is_none_or(|since| since <= event.budget);
                    let is_dead = |region: &&str| {
                        let known = REGIONS.iter().find(|known| known.0 == *region);
                        known.is_some_and(|known| known.1.parse() == Ok(address))
                    };
                    let is_right =
                        (address == new && since.is_some()) || (address == old && may_be_old);
                    if !is_right && event.after.iter().any(is_dead) {
                        tally.dead += 1;
                    } else if !is_right {
                        tally.strayed += 1;
                    }
                    if let Some(since) = since.filter(|_| address == old && address != new) {
                        tally.settled = tally.settled.max(since);
                    }
                }
            }
        }
    }
    tally
}

impl Tally {
    /// Prints the line of a phase, and panics unless every question was answered right. Silence
    /// of single nodes is told, and judged by who killed them.
    pub fn report(self, phase: &str, budget: Duration) {
        let Self { asked, unanswered, silent, empty, dead, strayed, settled } = self;
        println!(
            "  {phase}: {asked} rounds, {unanswered} unanswered, {empty} empty, {dead} to dead \
             regions, {strayed} astray; silent {silent:?}; settled after {:.2} s of {:.2} s",
            settled.as_secs_f64(),
            budget.as_secs_f64(),
        );
        assert!(asked > 100, "{phase}: too few questions to say anything");
        assert_eq!(
            (unanswered, empty, dead, strayed),
            (0, 0, 0, 0),
            "{phase}: unanswered, empty, to dead regions, astray"
        );
    }
}
