//! `meridian demo`, driven as a person drives it: the commands it prints are run, a region is
//! failed and restored, and answers move.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Machine, until};
use crate::meridian::binary;

/// Loading, or a region's checks, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// TTLs of the shipped example do not matter here: dig asks the daemon itself.
const MOVE: Duration = Duration::from_secs(10);

#[test]
fn the_demo_moves_answers_when_a_region_fails() {
    let lab = Lab::new();
    let machine = lab.machine("demo", &[]);
    let mut console = Console::start(&machine);
    let commands = console.dig_commands();
    assert_eq!(commands.len(), 3, "three places to try: {commands:?}");
    // What follows '#' is for people.
    let ask = |command: &String| {
        machine.run(&["sh", "-c", &command.replacen("dig ", "dig +short +tries=1 ", 1)])
    };
    let before: Vec<String> = commands.iter().map(ask).collect();
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3, "three regions: {before:?}");
    assert!(before.iter().all(|answer| !answer.trim().is_empty()), "{before:?}");

    console.say("fail fra");
    console.expect("fra is out of the answers");
    let after: Vec<String> = commands.iter().map(ask).collect();
    let moved: Vec<usize> = (0..3).filter(|&place| before[place] != after[place]).collect();
    assert_eq!(moved.len(), 1, "only one region's clients move: {before:?} {after:?}");
    assert!(before.contains(&after[moved[0]]), "they move to another region: {after:?}");

    console.say("restore fra");
    console.expect("fra answers again");
    let restored =
        until(MOVE, "they return", || commands.iter().map(ask).eq(before.iter().cloned()));
    println!("\nmeridian demo: {} moved when fra failed, back {restored:.2?} after", moved.len());

    console.say("quit");
    console.expect_end();
}

/// The demo's process with its terminal.
struct Console {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Console {
    fn start(machine: &Machine) -> Self {
        let mut child = machine
            .command(&[&binary(), "demo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, lines, heard: Vec::new() }
    }

    /// The commands it tells people to try.
    fn dig_commands(&mut self) -> Vec<String> {
        self.expect("Commands:");
        let commands = self.heard.iter().filter_map(|line| line.find("dig ").map(|at| &line[at..]));
        commands.filter(|command| command.contains("+subnet=")).map(str::to_owned).collect()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the demo listens");
    }

    /// Reads on until a line holds `words`.
    fn expect(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the demo never says {words:?}, but:\n{}", self.heard.join("\n"));
            };
            let found = line.contains(words);
            self.heard.push(line);
            if found {
                return;
            }
        }
    }

    fn expect_end(&mut self) {
        let mut status = None;
        until(PATIENCE, "the demo ends", || {
            status = self.child.try_wait().expect("it is ours");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
