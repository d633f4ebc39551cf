//! A client that fetches one page, from any address of a machine in the lab.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::lab::Machine;

/// Asks `server` for `path` as the client `client`, which `machine` must have, and returns the
/// body; an error when it is not served with status 200.
pub fn get(
    machine: &Machine,
    client: IpAddr,
    server: SocketAddr,
    path: &str,
) -> Result<String, String> {
    machine.inside(|| fetch(client, server, path))
}

fn fetch(client: IpAddr, server: SocketAddr, path: &str) -> Result<String, String> {
    let say = |error: std::io::Error| error.to_string();
    let patience = Duration::from_secs(2);
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).map_err(say)?;
    socket.bind(&SocketAddr::new(client, 0).into()).map_err(say)?;
    socket.connect_timeout(&server.into(), patience).map_err(say)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience)).map_err(say)?;
    let host = server.ip();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .map_err(say)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(say)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the connection was closed")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(format!("status {}", status.unwrap_or("missing"))),
    }
}
