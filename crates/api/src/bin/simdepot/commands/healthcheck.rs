//! `simdepot healthcheck`: for containers whose image has no HTTP client.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use simdepot_api::config;

use crate::output::Outcome;

/// Shorter than the time-out that a supervisor usually gives.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run() -> anyhow::Result<Outcome> {
    let address = config::reachable(config::listen_from_env()?);
    let ready = is_ready(address).with_context(|| format!("{address} does not answer"))?;
    Ok(ready.into())
}

fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status.split(' ').nth(1) == Some("200"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Whole, because closing with unread bytes would reset the connection.
            let lines: Vec<String> = BufReader::new(&stream)
                .lines()
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            assert_eq!(lines[0], "GET /readyz HTTP/1.1");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_200_is_ready() {
        assert!(is_ready(answering("HTTP/1.1 200 OK\r\n\r\n")).unwrap());
        assert!(!is_ready(answering("HTTP/1.1 503 Service Unavailable\r\n\r\n")).unwrap());
        assert!(!is_ready(answering("")).unwrap());
    }

    #[test]
    fn nobody_there_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(is_ready(free).is_err());
    }
}
