//! The demo's regional backends: small HTTP servers on loopback that can be told to fail.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request is read up to this many octets; its first line is all that counts.
const REQUEST_MAX: usize = 4096;
/// A client that sends nothing for this long is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// One region's backend: `/readyz` says whether it serves, every other path names the region.
pub(super) struct Backend {
    /// The region it plays.
    pub(super) region: &'static str,
    /// Where it listens.
    pub(super) address: SocketAddr,
    healthy: Arc<AtomicBool>,
}

impl Backend {
    /// Listens on `address` and serves until the process ends.
    pub(super) async fn start(region: &'static str, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let healthy = Arc::new(AtomicBool::new(true));
        tokio::spawn(serve(listener, region, Arc::clone(&healthy)));
        Ok(Self { region, address, healthy })
    }

    /// Fails (`false`): `/readyz` answers 503 as a load balancer without servers does.
    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }
}

async fn serve(listener: TcpListener, region: &'static str, healthy: Arc<AtomicBool>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let healthy = healthy.load(Ordering::Relaxed);
                tokio::spawn(tokio::time::timeout(PATIENCE, respond(stream, region, healthy)));
            }
            // Out of file descriptors, as a rule: give others time to close theirs.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn respond(mut stream: TcpStream, region: &str, healthy: bool) -> io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let path = std::str::from_utf8(&request).unwrap_or("").split(' ').nth(1).unwrap_or("/");
    let (status, body) = match (healthy, path) {
        (false, _) => ("503 Service Unavailable", format!("{region} has failed\n")),
        (true, "/readyz") => ("200 OK", "ok\n".to_owned()),
        (true, _) => ("200 OK", format!("hello from {region}\n")),
    };
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(backend: &Backend, path: &str) -> String {
        let mut stream = TcpStream::connect(backend.address).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    #[tokio::test]
    async fn a_backend_names_its_region_and_can_fail_and_return() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let backend = Backend::start("fra", any).await.expect("starts");
        assert!(get(&backend, "/").await.ends_with("hello from fra\n"));
        assert!(get(&backend, "/readyz").await.starts_with("HTTP/1.1 200 "));
        backend.set_healthy(false);
        assert!(get(&backend, "/readyz").await.starts_with("HTTP/1.1 503 "));
        backend.set_healthy(true);
        assert!(get(&backend, "/readyz").await.starts_with("HTTP/1.1 200 "));
    }
}
