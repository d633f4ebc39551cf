//! A nats-server that lets nobody in without a certificate, and holds everybody to their own.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meridian::pki::authority::Subject;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::parties::{Authority, now};

/// A server, as long as it lives.
pub(crate) struct Broker {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Broker {
    /// On a free port of its own choice.
    pub(crate) fn start(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let subject = Subject {
            name: "nats-1".to_owned(),
            parties: Vec::new(),
            hosts: vec!["127.0.0.1".to_owned()],
        };
        let pair = authority.issue(&subject, now(), 1);
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect(name);
        write("authority.pem", &authority.0.certificate);
        write("server.pem", &pair.certificate);
        write("server.key", &pair.key);
        let process = run(&folder, "-1");
        let port = port(&folder, process.id());
        Self { folder, port, process }
    }

    pub(crate) fn url(&self) -> String {
        format!("tls://127.0.0.1:{}", self.port)
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }

    /// Has it stand still, or go on.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.process), signal).expect("signalled");
    }

    /// Starts it where it was.
    pub(crate) fn restart(&mut self) {
        self.process = run(&self.folder, &self.port.to_string());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &TempDir, port: &str) -> Child {
    let at = folder.path().display();
    let text = format!(
        r#"
listen: "127.0.0.1:{port}"
ports_file_dir: "{at}"
tls {{
    cert_file: "{at}/server.pem"
    key_file: "{at}/server.key"
    ca_file: "{at}/authority.pem"
    verify_and_map: true
    timeout: 5
}}
authorization {{
    users = [
        {{
            user: "fra-1.vantage.meridian"
            permissions: {{
                publish: ["meridian.v1.health.fra-1", "meridian.v1.probeset.fra-1", "meridian.v1.bundle.get.>"]
                subscribe: ["_INBOX.fra-1.vantage.meridian.>"]
            }}
        }}
        {{
            user: "ams-1.node.meridian"
            permissions: {{
                publish: ["meridian.v1.>", "_INBOX.>"]
                subscribe: ["meridian.v1.>", "_INBOX.ams-1.node.meridian.>"]
            }}
        }}
        {{
            user: "sin-1.node.meridian"
            permissions: {{
                publish: ["meridian.v1.>", "_INBOX.>"]
                subscribe: ["meridian.v1.>", "_INBOX.sin-1.node.meridian.>"]
            }}
        }}
    ]
}}
"#
    );
    let file = folder.path().join("server.conf");
    fs::write(&file, text).expect("written");
    Command::new("nats-server")
        .arg("-c")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is installed")
}

/// The port it chose, from the file it writes then.
fn port(folder: &TempDir, process: u32) -> u16 {
    let file = folder.path().join(format!("nats-server_{process}.ports"));
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Some(port) =
            text.rsplit(':').next().and_then(|rest| rest.split('"').next()?.parse().ok())
        {
            return port;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no port: {text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
