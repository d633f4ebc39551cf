//! `meridian demo`: regions to fail and restore, and a daemon that moves answers.
//!
//! One process: three regional backends on loopback, the daemon in front of them with a
//! configuration of its own in a temporary folder, and a console.

mod backend;
mod console;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;

use super::args::DemoArgs;
use super::output::{self, FAINT, HEAD, paint, print};
use super::{files, serve};
use crate::daemon::{self, Options, StartError, log, watchman};
use crate::health::keeper::Event;
use backend::Backend;

/// The regions of the embedded files, with the address each backend listens on.
const REGIONS: [(&str, [u8; 4]); 3] =
    [("fra", [127, 0, 0, 11]), ("iad", [127, 0, 0, 12]), ("sin", [127, 0, 0, 13])];
/// The three places of the embedded networks.toml, and the region nearest to each.
const PLACES: [(&str, &str, &str); 3] = [
    ("192.0.2.0/24", "Berlin", "fra"),
    ("198.51.100.0/24", "New York", "iad"),
    ("203.0.113.0/24", "Tokyo", "sin"),
];

pub(super) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    // What health concludes is told on standard output; the log is for what goes wrong.
    log::start("error", output::stderr_is_colored());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(demonstrate(args));
    // The thread that reads standard input may wait for a line that never comes.
    runtime.shutdown_background();
    code
}

async fn demonstrate(args: &DemoArgs) -> anyhow::Result<u8> {
    let ended = serve::signals()?;
    let mut backends = Vec::new();
    for (region, address) in REGIONS {
        let address = SocketAddr::from((address, 0));
        let started = Backend::start(region, address).await;
        backends.push(started.with_context(|| format!("cannot play region {region}"))?);
    }
    let folder = Folder::fill(args.port, &backends).context("cannot write the demo's files")?;
    let options = Options { config: folder.0.clone(), on_event: Some(Box::new(tell)) };
    let (daemon, tasks) = match daemon::start(options).await {
        Ok(started) => started,
        Err(StartError::Faults(faults)) => return Ok(files::tell_refused(&faults)),
        Err(error) => return Err(error).context("cannot start the daemon"),
    };
    print(&welcome(daemon.addresses()[0], daemon.api(), &backends, &folder.0))?;
    tokio::select! {
        _ = ended => {}
        end = console::run(&daemon, &backends) => end?,
    }
    daemon.stop(tasks).await;
    Ok(0)
}

fn welcome(
    dns: SocketAddr,
    api: Option<SocketAddr>,
    backends: &[Backend],
    folder: &Path,
) -> String {
    let mut text = format!("{}\n", paint(HEAD, format_args!("Meridian answers on {dns}")));
    for backend in backends {
        text.push_str(&format!("  region {}  http://{}/\n", backend.region, backend.address));
    }
    if let Some(api) = api {
        text.push_str(&format!("  API         http://{api}/v1/status (also /metrics)\n"));
    }
    text.push_str(&format!("  files       {} (edit them: they are watched)\n\n", folder.display()));
    text.push_str("Ask for three places of the world, in another terminal:\n");
    for (network, place, region) in PLACES {
        let backend = backends.iter().find(|backend| backend.region == region);
        let address = backend.map_or_else(String::new, |backend| backend.address.ip().to_string());
        text.push_str(&format!(
            "  dig @{} -p {} www.example.org A +subnet={network:<15}  {}\n",
            dns.ip(),
            dns.port(),
            paint(FAINT, format_args!("# {place}: expect {address} ({region})"))
        ));
    }
    text.push_str(&format!("\n{}\n", console::HELP));
    text
}

/// Prints what health concluded.
fn tell(event: &Event) {
    let Event::Pool { region, family, from, to, why, .. } = event else { return };
    if from == to {
        return;
    }
    let style = if to.is_eligible() { output::GOOD } else { output::BAD };
    // A verdict that stands for itself has its own word as the reason.
    let why = if why == to.as_str() { String::new() } else { format!(", {why}") };
    let line = format!(
        "  * region {region} {}: {} -> {}{why}\n",
        watchman::family_word(*family),
        from.as_str(),
        paint(style, to.as_str())
    );
    // A reader that went away does not end the demo.
    let _ = print(&line);
}

/// The demo's files, removed when it ends.
struct Folder(PathBuf);

impl Folder {
    fn fill(port: u16, backends: &[Backend]) -> io::Result<Self> {
        let root = std::env::temp_dir().join(format!("meridian-demo-{}", std::process::id()));
        fs::create_dir(&root)?;
        let folder = Self(root);
        for inner in ["geo", "zones"] {
            fs::create_dir(folder.0.join(inner))?;
        }
        let mut policy = include_str!("files/example.org.toml").to_owned();
        for backend in backends {
            let mark = format!("@{}@", backend.region.to_ascii_uppercase());
            policy = policy.replace(&mark, &backend.address.port().to_string());
        }
        let settings = include_str!("files/meridian.toml").replace("@PORT@", &port.to_string());
        for (path, text) in [
            ("meridian.toml", &*settings),
            ("geo/regions.toml", include_str!("files/regions.toml")),
            ("geo/networks.toml", include_str!("files/networks.toml")),
            ("zones/example.org.zone", include_str!("files/example.org.zone")),
            ("zones/example.org.toml", &policy),
        ] {
            fs::write(folder.0.join(path), text)?;
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Somebody may have it open; it lies in the temporary folder either way.
        let _ = fs::remove_dir_all(&self.0);
    }
}
