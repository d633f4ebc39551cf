//! Vantages measure who is near.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::support::{Site, until};

/// A member that answers after so long, until the process ends; its port.
fn member(address: &str, port: u16, milliseconds: u64) -> u16 {
    let listener = TcpListener::bind((address, port)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::sleep(Duration::from_millis(milliseconds));
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    port
}

#[test]
fn clients_go_where_their_vantage_waits_the_least() {
    let site = Site::new();
    let port = member("127.0.0.2", 0, 150);
    member("127.0.0.3", port, 1);
    site.write(
        "meridian.toml",
        "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n\
         [health]\nvoters = 1\n[node]\nvantage = \"ber\"\n\
         [vantage.ber]\nnetworks = [\"192.0.2.0/24\"]\n",
    );
    site.write(
        "probes/monitors.toml",
        format!("[monitor.web]\ntype = \"http\"\nport = {port}\ninterval = \"500ms\"\n"),
    );
    site.write(
        "zones/example.org.toml",
        "[pool.fra]\nregion = \"fra\"\nmonitor = \"web\"\nmembers = [\"127.0.0.2\"]\n\
         [pool.sin]\nregion = \"sin\"\nmonitor = \"web\"\nmembers = [\"127.0.0.3\"]\n\
         [record.\"www\"]\npolicy = \"latency\"\nlatency = { monitor = \"web\" }\n\
         pools = [\"fra\", \"sin\"]\nttl = \"5s\"\n",
    );
    let daemon = site.serve();
    assert_eq!(daemon.www("192.0.2.1"), "127.0.0.2", "nothing is measured yet: by distance");
    until("the measured way", || (daemon.www("192.0.2.1") == "127.0.0.3").then_some(()));
    let table =
        std::fs::read_to_string(site.path().join("state/latency-web.csv")).expect("a table");
    assert!(table.contains("192.0.2.0/24,fra,15"), "{table}");
    assert!(table.contains("192.0.2.0/24,sin,"), "{table}");
    // The answer changes before the log says why.
    until("the log to tell", || daemon.log().contains("(latencies measured)").then_some(()));
    let told = site.run("explain", &["www.example.org", "--client", "192.0.2.1"]);
    assert!(told.out.contains("ms"), "{}", told.out);
    daemon.stop();
    let again = site.serve();
    assert_eq!(again.www("192.0.2.1"), "127.0.0.3", "measured before the restart");
}
