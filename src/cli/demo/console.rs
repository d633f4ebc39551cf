//! The demo's console: one command per line, from a person or a pipe.

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::backend::Backend;
use crate::admin::message::{self, ClientNet};
use crate::admin::{explain, status};
use crate::cli::output::{WARN, paint, print};
use crate::cli::{status as report, story};
use crate::daemon::Daemon;
use crate::wire::types::Rtype;

/// What can be typed.
pub(super) const HELP: &str = "\
Commands: fail REGION, restore REGION     and watch the answers move
          ask ADDRESS                     what a client there gets
          explain ADDRESS                 and why
          status, help, quit";

const NAME: &str = "www.example.org.";
/// The checks of the demo conclude within two seconds; this is for a machine under load.
const CONCLUDE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(2);

/// Does as told until `quit`. At the end of the input it waits for ever.
pub(super) async fn run(daemon: &Arc<Daemon>, backends: &[Backend]) -> anyhow::Result<()> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = match words[..] {
            [] => continue,
            ["quit" | "exit"] => return Ok(()),
            ["help"] => format!("{HELP}\n"),
            ["status"] => report::render(&status::status(daemon)),
            ["fail", region] => turn(daemon, backends, region, false).await,
            ["restore", region] => turn(daemon, backends, region, true).await,
            ["ask", client] => complaint(ask(daemon.addresses()[0], client).await),
            ["explain", client] => complaint(tell(daemon, client)),
            _ => complaint(Err(format!("'{line}' is no command; type help"))),
        };
        print(&text)?;
    }
    std::future::pending().await
}

/// Lines of standard input, read on a thread of their own since reading blocks.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn complaint(outcome: Result<String, String>) -> String {
    outcome.unwrap_or_else(|why| format!("{}\n", paint(WARN, why)))
}

/// Fails or restores a region and waits until its checks have seen it.
async fn turn(daemon: &Daemon, backends: &[Backend], region: &str, healthy: bool) -> String {
    let Some(backend) = backends.iter().find(|backend| backend.region == region) else {
        let names: Vec<&str> = backends.iter().map(|backend| backend.region).collect();
        return complaint(Err(format!("there is no region '{region}': {}", names.join(", "))));
    };
    backend.set_healthy(healthy);
    let begun = Instant::now();
    while begun.elapsed() < CONCLUDE {
        if serves(daemon, region) == healthy {
            let word = if healthy { "answers again" } else { "is out of the answers" };
            return format!("{region} {word} after {:.1} s\n", begun.elapsed().as_secs_f64());
        }
        sleep(LOOK).await;
    }
    complaint(Err(format!("the checks have seen nothing of it for {CONCLUDE:?}")))
}

fn serves(daemon: &Daemon, region: &str) -> bool {
    let health = daemon.health().known().status(daemon.now());
    health.pools.iter().filter(|pool| &*pool.region == region).any(|pool| pool.eligible)
}

/// A bare address stands for the network that resolvers send of it.
fn client(text: &str) -> Result<ClientNet, String> {
    let client: ClientNet = text.parse()?;
    let usual = if client.address.is_ipv4() { 24 } else { 56 };
    let prefix = if text.contains('/') { client.prefix } else { usual };
    Ok(ClientNet { prefix, ..client })
}

/// Asks the daemon over UDP, as a resolver would.
async fn ask(server: SocketAddr, text: &str) -> Result<String, String> {
    let client = client(text)?;
    let name = NAME.parse().map_err(|error| format!("{error}"))?;
    let question = message::question(std::process::id() as u16, &name, Rtype::A, client);
    let answer = exchange(server, &question).await.map_err(|error| format!("{error:#}"))?;
    let answer = message::answer(&answer)?;
    let scope = answer.scope.map_or_else(String::new, |scope| format!(", scope /{scope}"));
    let mut text = format!("{client}: {}{scope}\n", answer.rcode);
    for line in &answer.answer {
        text.push_str(&format!("  {line}\n"));
    }
    Ok(text)
}

async fn exchange(server: SocketAddr, question: &[u8]) -> anyhow::Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.context("no socket")?;
    socket.connect(server).await.context("no way to the server")?;
    socket.send(question).await.context("cannot ask")?;
    let mut answer = vec![0; message::ANSWER_MAX];
    let received =
        timeout(PATIENCE, socket.recv(&mut answer)).await.context("no answer in time")?;
    answer.truncate(received.context("no answer")?);
    Ok(answer)
}

fn tell(daemon: &Daemon, text: &str) -> Result<String, String> {
    let question = explain::question(NAME, "A", client(text)?).map_err(|why| why.to_string())?;
    let told = explain::live(daemon, &question, &[]).map_err(|why| why.to_string())?;
    Ok(story::render(&told, "as the daemon sees it", &[]))
}
