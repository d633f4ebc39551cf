//! Sockets: datagrams and streams in, answers out. Knows no DNS beyond TCP's length octets.
