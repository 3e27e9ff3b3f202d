#!/usr/bin/env bash
# The asynchronous SMTP client of lettre 0.11.23 waits about 40 ms in each mail, although the relay answers at once.
#
# Expected: a mail to a relay on the same machine takes about a millisecond, because each step is one small message and one reply.
# Happens: lettre sends the text of the mail and the last line with the dot in two writes, and it never sets the TCP option nodelay. The
#   operating system holds the second write back until the relay has confirmed the first one. The relay has nothing to reply before the
#   dot, so its system confirms only after the delayed acknowledgement of Linux, 40 ms. A pool of connections does not help.
# Where a service desk meets it: a notification is sent over one connection per mail or one after another over a pool. The 40 ms are most
#   of the time from an event to the mail, and a single sender cannot pass 25 mails per second.
# What to do: open the TCP connection yourself, set nodelay, and pass it to AsyncSmtpConnection::connect_with_transport. The transport
#   builder has no setting for it.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src"

cat > "$work/Cargo.toml" <<'T'
[package]
name = "mail"
version = "0.0.0"
edition = "2024"

[dependencies]
lettre = { version = "=0.11.23", default-features = false, features = ["builder", "smtp-transport", "tokio1"] }
tokio = { version = "=1.48.0", features = ["io-util", "macros", "net", "rt-multi-thread", "time"] }
T

cat > "$work/src/main.rs" <<'R'
use std::time::{Duration, Instant};

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A relay that accepts every mail and answers each line of the dialogue at once.
async fn relay(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 relay\r\n").await.unwrap();
            let (mut line, mut is_text) = (String::new(), false);
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                let reply = match line.trim_end() {
                    "DATA" => {
                        is_text = true;
                        "354 go on\r\n"
                    }
                    "." => {
                        is_text = false;
                        "250 stored\r\n"
                    }
                    _ if is_text => "",
                    _ => "250 ok\r\n",
                };
                stream.write_all(reply.as_bytes()).await.unwrap();
                line.clear();
            }
        });
    }
}

/// Sends one mail, and returns the time from the first byte of its text to the reply of the relay.
async fn mail(mut connection: AsyncSmtpConnection) -> Duration {
    let address = |text: &str| text.parse().unwrap();
    connection.command(Mail::new(Some(address("desk@example.com")), vec![])).await.unwrap();
    connection.command(Rcpt::new(address("lisi@example.com"), vec![])).await.unwrap();
    connection.command(Data).await.unwrap();
    let begin = Instant::now();
    connection.message(b"Subject: ticket\r\n\r\nPlease approve.\r\n").await.unwrap();
    begin.elapsed()
}

#[tokio::main]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(relay(listener));
    let hello = ClientId::Domain("desk.example.com".into());
    let (mut as_is, mut prompt) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        let connection = AsyncSmtpConnection::connect_tokio1(at, None, &hello, None, None).await.unwrap();
        as_is.push(mail(connection).await);
        let stream = TcpStream::connect(at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        prompt.push(mail(AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await.unwrap()).await);
    }
    as_is.sort();
    prompt.sort();
    let (as_is, prompt) = (as_is[7], prompt[7]);
    println!("lettre 0.11.23, text of a mail to the reply, median of 15: as it is {as_is:.1?}, with nodelay {prompt:.1?}");
    let is_as_described = as_is > Duration::from_millis(30) && as_is > 5 * prompt;
    std::process::exit(i32::from(!is_as_described));
}
R

CARGO_TARGET_DIR="$work/target" cargo run --quiet --manifest-path "$work/Cargo.toml" || { echo "the behavior has changed" >&2; exit 1; }
