//! What the regions' health checks are answered: 200, or 503 by a region that fails. One thread
//! on the generator's core answers for all regions, each on its own address.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::workload::{FAILING, HEALTH_PORT, REGIONS};

/// Longest one checker may keep the others waiting.
const PATIENCE: Duration = Duration::from_millis(200);

/// The regions' answers to health checks, until the program ends.
#[derive(Debug, Clone)]
pub struct Health {
    fails: Arc<AtomicBool>,
}

impl Health {
    /// Starts to answer.
    ///
    /// # Errors
    /// When a port is taken, or the regions' addresses are not this machine's.
    pub fn start() -> Result<Self> {
        let health = Self { fails: Arc::default() };
        for (number, region) in REGIONS.iter().enumerate() {
            let listener = TcpListener::bind((region.address, HEALTH_PORT))
                .with_context(|| format!("{}: run tests/bench/race", region.address))?;
            let fails = (number == FAILING).then(|| Arc::clone(&health.fails));
            thread::spawn(move || answer(&listener, fails.as_deref()));
        }
        Ok(health)
    }

    /// Lets the failing region fail, or not.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }
}

fn answer(listener: &TcpListener, fails: Option<&AtomicBool>) {
    for stream in listener.incoming().flatten() {
        // A checker that is gone or slow has no answer to wait for.
        let _ = respond(stream, fails.is_some_and(|fails| fails.load(Ordering::Relaxed)));
    }
}

fn respond(mut stream: TcpStream, fails: bool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let _ = stream.read(&mut [0; 2048])?;
    let status = if fails { "503 Service Unavailable" } else { "200 OK" };
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    stream.write_all(response.as_bytes())
}
