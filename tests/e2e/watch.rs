//! Clients that never stop asking, and what became of every single question.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;

use crate::dns::Asker;

/// Time between two questions, over all clients.
const PACE: Duration = Duration::from_millis(5);

/// A thread that lets clients ask in turn until it is finished.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

/// One question and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When the answer was there, or was given up.
    pub at: Instant,
    /// Who asked.
    pub client: IpAddr,
    /// What came.
    pub outcome: Outcome,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing came.
    Unanswered,
    /// An answer without the one address it should have, or an error.
    Empty,
    /// An address.
    Address(IpAddr),
}

/// What became of the questions of one phase.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Questions.
    pub asked: usize,
    /// Of these, without any answer.
    pub unanswered: usize,
    /// Of these, with an answer that held no address.
    pub empty: usize,
    /// Of these, with an address that was not right at that time.
    pub wrong: usize,
    /// From the event until the last answer that still was as before it.
    pub settled: Duration,
}

impl Watch {
    /// Lets every client in `askers` ask for `name` in turn.
    pub fn start(name: &str, askers: BTreeMap<IpAddr, Asker>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let name = name.to_owned();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut samples = Vec::new();
            for (&client, asker) in askers.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let outcome = ask(asker, &name);
                samples.push(Sample { at: Instant::now(), client, outcome });
                thread::sleep(PACE);
            }
            samples
        });
        Self { stop, thread }
    }

    /// Watches on for `time`, then ends and hands over what was seen.
    pub fn finish_after(self, time: Duration) -> Vec<Sample> {
        thread::sleep(time);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn ask(asker: &Asker, name: &str) -> Outcome {
    match asker.ask(name) {
        None => Outcome::Unanswered,
        Some(reply) if reply.rcode != ResponseCode::NoError => Outcome::Empty,
        Some(reply) => reply.address().map_or(Outcome::Empty, Outcome::Address),
    }
}

/// Judges every sample: before the event and within `budget` after it `old(client)` is right,
/// from the event on `new(client)` is.
pub fn judge(
    samples: &[Sample],
    event: Instant,
    budget: Duration,
    old: impl Fn(IpAddr) -> IpAddr,
    new: impl Fn(IpAddr) -> IpAddr,
) -> Tally {
    let mut tally = Tally { asked: samples.len(), ..Tally::default() };
    for sample in samples {
        let since = sample.at.checked_duration_since(event);
        match sample.outcome {
            Outcome::Unanswered => tally.unanswered += 1,
            Outcome::Empty => tally.empty += 1,
            Outcome::Address(address) => {
                let is_new = address == new(sample.client);
                let is_old = address == old(sample.client);
                let right = match since {
                    None => is_old,
                    Some(since) => is_new || (is_old && since <= budget),
                };
                tally.wrong += usize::from(!right);
                if let Some(since) = since.filter(|_| is_old && !is_new) {
                    tally.settled = tally.settled.max(since);
                }
            }
        }
    }
    tally
}

impl Tally {
    /// Prints the line of a phase, and panics unless every question was answered right.
    pub fn report(self, phase: &str, budget: Duration) {
        let Self { asked, unanswered, empty, wrong, settled } = self;
        println!(
            "  {phase}: {asked} asked, {unanswered} unanswered, {empty} empty, {wrong} wrong; \
             settled after {:.2} s of {:.2} s",
            settled.as_secs_f64(),
            budget.as_secs_f64()
        );
        assert!(asked > 100, "{phase}: too few questions to say anything");
        assert_eq!((unanswered, empty, wrong), (0, 0, 0), "{phase}: unanswered, empty, wrong");
    }
}
