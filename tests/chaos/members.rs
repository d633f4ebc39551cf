//! Members that serve, refuse, or vanish: each with a machine and an address of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use crate::lab::{Lab, Machine};

/// How a member dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Nobody listens any more.
    Refused,
    /// Nothing comes back.
    BlackHole,
}

/// One member, which answers every request with 200.
pub struct Member {
    machine: Machine,
    serving: Option<(TcpListener, JoinHandle<()>)>,
}

impl Member {
    /// A member at `address`, serving.
    pub fn start(lab: &Lab, name: &str, address: Ipv4Addr) -> Self {
        let machine = lab.machine(name, &[address.into()]);
        let listener = machine.inside(|| TcpListener::bind(SocketAddr::from((address, 80))));
        let listener = listener.unwrap();
        let accepting = listener.try_clone().unwrap();
        let thread = thread::spawn(move || serve(&accepting));
        Self { machine, serving: Some((listener, thread)) }
    }

    /// It dies, from the return of this on.
    pub fn die(&mut self, how: Death) {
        match how {
            Death::Refused => self.stop(),
            Death::BlackHole => {
                self.machine.run(&["ip", "link", "set", "wire", "down"]);
            }
        }
    }

    fn stop(&mut self) {
        let Some((listener, thread)) = self.serving.take() else { return };
        // Wakes the thread that waits for a connection.
        SockRef::from(&listener).shutdown(Shutdown::Both).ok();
        thread.join().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Answers one connection after another until the listener is shut down.
fn serve(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_read_timeout(Some(Duration::from_millis(200))).ok();
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
            stream.write_all(answer.as_bytes()).ok();
        }
    }
}
