//! Tests the kept connections against a small mail relay in the same process.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::super::{Mail, MailError, MailTls, Mailer as _};
use super::Smtp;
use crate::http::egress::Egress;

/// What the relay does on a connection after it accepted one mail.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Accepts further mails.
    Continues,
    /// Closes the connection without a reply to the next command.
    Closes,
    /// Answers the next command with 421 and closes the connection.
    Announces,
    /// Answers the next command with this reply, and keeps the connection.
    Replies(&'static [u8]),
    /// Accepts further mails, but has answered the content of the first mail with 354.
    IsLate,
}

/// The verbs of all commands, with the number of their connection.
type Commands = Vec<(usize, String)>;

/// Starts a relay. Returns its port and the commands that it gets.
async fn relay(then: Then) -> (u16, watch::Receiver<Commands>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (all, seen) = watch::channel(Commands::new());
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let seen = all.clone();
            // A client that closes its connection ends the task with an error.
            tokio::spawn(async move { converse(stream, number, then, &seen).await });
        }
    });
    (port, seen)
}

async fn converse(
    stream: TcpStream,
    number: usize,
    then: Then,
    seen: &watch::Sender<Commands>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 relay.example\r\n").await?;
    let (mut is_content, mut is_accepted) = (false, false);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if is_content {
            if line.trim_end() == "." {
                is_content = false;
                is_accepted = true;
                let reply: &[u8] = match (number, then) {
                    (0, Then::IsLate) => b"354 go on\r\n",
                    _ => b"250 2.0.0 accepted\r\n",
                };
                stream.write_all(reply).await?;
            }
            continue;
        }
        let verb = line.split_whitespace().next().unwrap_or_default();
        let verb = verb.to_ascii_uppercase();
        seen.send_modify(|seen| seen.push((number, verb.clone())));
        match (is_accepted, then) {
            (true, Then::Closes) => return Ok(()),
            (true, Then::Announces) => {
                return stream.write_all(b"421 4.4.2 closing\r\n").await;
            }
            (true, Then::Replies(reply)) => {
                stream.write_all(reply).await?;
                continue;
            }
            _ => {}
        }
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250 relay.example\r\n",
            "DATA" => b"354 go on\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        is_content = verb == "DATA";
        stream.write_all(reply).await?;
    }
}

fn mail(port: u16) -> Mail {
    Mail {
        host: "127.0.0.1".into(),
        port,
        tls: MailTls::None,
        login: None,
        hello: "example.com".into(),
        from: "desk@example.com".into(),
        to: "lisi@example.com".into(),
        bytes: b"Subject: test\r\n\r\ntext\r\n".to_vec(),
        timeout: Duration::from_secs(20),
    }
}

fn mailer() -> Smtp {
    Smtp::new(Egress::default().with_loopback(true))
}

/// Sends two mails one after the other. Returns the commands that the relay got, and the code of the last reply.
async fn two_mails(then: Then) -> (Commands, u16) {
    let (port, seen) = relay(then).await;
    let smtp = mailer();
    let first = smtp.send(&mail(port)).await.expect("a reply");
    assert_eq!(first.code, 250, "{first:?}");
    let second = smtp.send(&mail(port)).await.expect("a reply");
    let seen = seen.borrow().clone();
    (seen, second.code)
}

fn expected(commands: &[(usize, &str)]) -> Commands {
    let commands = commands.iter();
    commands
        .map(|(number, verb)| (*number, (*verb).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_kept_connection_needs_no_command_between_two_mails() {
    let both = [
        (0, "EHLO"),
        (0, "MAIL"),
        (0, "RCPT"),
        (0, "DATA"),
        (0, "MAIL"),
        (0, "RCPT"),
        (0, "DATA"),
    ];
    assert_eq!(two_mails(Then::Continues).await, (expected(&both), 250));
}

#[tokio::test]
async fn a_mail_is_begun_again_if_the_relay_closed_the_kept_connection() {
    let both = [
        (0, "EHLO"),
        (0, "MAIL"),
        (0, "RCPT"),
        (0, "DATA"),
        (0, "MAIL"),
        (1, "EHLO"),
        (1, "MAIL"),
        (1, "RCPT"),
        (1, "DATA"),
    ];
    let tired = Then::Replies(b"451 4.7.0 timeout waiting for client input\r\n");
    for then in [Then::Closes, Then::Announces, tired] {
        assert_eq!(two_mails(then).await, (expected(&both), 250), "{then:?}");
    }
}

#[tokio::test]
async fn a_refused_sender_is_not_tried_again() {
    let refused = Then::Replies(b"550 5.7.1 no\r\n");
    let both = [
        (0, "EHLO"),
        (0, "MAIL"),
        (0, "RCPT"),
        (0, "DATA"),
        (0, "MAIL"),
    ];
    assert_eq!(two_mails(refused).await, (expected(&both), 550));
}

#[tokio::test]
async fn a_connection_with_a_surplus_reply_is_not_kept() {
    let (port, seen) = relay(Then::IsLate).await;
    let smtp = mailer();
    // The relay may have accepted the mail.
    let unknown = smtp.send(&mail(port)).await.expect_err("no last reply");
    assert!(matches!(unknown, MailError::Unknown(_)), "{unknown}");
    let reply = smtp.send(&mail(port)).await.expect("a reply");
    assert_eq!(reply.code, 250, "{reply:?}");
    let connections: Vec<usize> = seen.borrow().iter().map(|(number, _)| *number).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1, 1, 1, 1]);
}

#[tokio::test]
async fn a_connection_without_mails_is_closed() {
    let (port, mut seen) = relay(Then::Continues).await;
    let smtp = mailer();
    smtp.send(&mail(port)).await.expect("a reply");
    // The clock of the test now moves on whenever all tasks wait.
    tokio::time::pause();
    let is_closed = |seen: &Commands| seen.last().is_some_and(|(_, verb)| verb == "QUIT");
    seen.wait_for(is_closed).await.expect("a relay");
    tokio::time::resume();
    smtp.send(&mail(port)).await.expect("a reply");
    let last = seen.borrow().last().cloned();
    assert_eq!(last, Some((1, "DATA".to_owned())));
}
