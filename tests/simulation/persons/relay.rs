//! An imitation of a mail relay that loses replies, refuses mails, and knows what it got.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::Moment;
use infra::channel::{Mail, MailError, MailReply, Mailer};
use infra::clock::{Clock as _, ManualClock};

use crate::scheduler::Dice;

/// A mail that the desk sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Moment,
    pub(super) to: String,
    /// The id of the delivery with its keyed tag.
    mark: String,
    /// False if the relay did not accept the mail.
    pub(super) arrived: bool,
}

pub(super) struct Relay {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    /// Probability of a fault in percent.
    faults: usize,
    faults_left: usize,
    sent: Vec<Sent>,
}

impl Relay {
    pub(super) fn new(dice: &mut Dice, clock: Arc<ManualClock>) -> Self {
        let seed = u64::try_from(dice.below(1_000_000)).expect("a small number");
        Self {
            clock,
            state: Mutex::new(State {
                faults: [0, 20, 60][dice.below(3)],
                faults_left: dice.below(12),
                dice: Dice::new(seed),
                sent: Vec::new(),
            }),
        }
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.state.lock().expect("no holder panics").sent.clone()
    }

    /// Returns the mails of a delivery.
    pub(super) fn sent_with(&self, delivery: &str) -> Vec<Sent> {
        let mut sent = self.sent();
        sent.retain(|one| one.mark.starts_with(delivery));
        sent
    }

    /// Returns the mark of the newest mail to an address that the relay accepted.
    pub(super) fn newest_mark(&self, to: &str) -> Option<String> {
        let sent = self.sent().into_iter().rev();
        let mut accepted = sent.filter(|one| one.to == to && one.arrived);
        accepted.next().map(|one| one.mark)
    }
}

fn reply(code: u16, text: &str) -> MailReply {
    MailReply {
        code,
        text: text.into(),
    }
}

#[async_trait]
impl Mailer for Relay {
    async fn send(&self, mail: &Mail) -> Result<MailReply, MailError> {
        let at = self.clock.now();
        let text = String::from_utf8_lossy(&mail.bytes).into_owned();
        let mut lines = text.lines();
        let mark = lines.find_map(|line| line.strip_prefix("X-Ledgerdesk-Delivery: "));
        let mark = mark.expect("a mark").to_owned();
        let mut state = self.state.lock().expect("no holder panics");
        let is_fault = state.faults_left > 0 && state.dice.below(100) < state.faults;
        let kind = if is_fault {
            state.faults_left -= 1;
            state.dice.below(5)
        } else {
            5
        };
        let (outcome, arrived) = match kind {
            0 => (Ok(reply(451, "4.3.0 try again")), false),
            1 => (Ok(reply(550, "5.1.1 no such user")), false),
            2 => (Err(MailError::NotSent("connection refused".into())), false),
            3 => (Err(MailError::Unknown("no reply".into())), false),
            4 => (Err(MailError::Unknown("no reply".into())), true),
            _ => (Ok(reply(250, "2.0.0 accepted")), true),
        };
        state.sent.push(Sent {
            at,
            to: mail.to.clone(),
            mark,
            arrived,
        });
        outcome
    }
}

/// A mail with which a person links the address.
pub(super) fn mail_with_code(from: &str, code: &str) -> String {
    format!(
        "Authentication-Results: relay.example; dmarc=pass header.from=example.com\r\nFrom: {from}\r\n\
        To: itsm@example.com\r\nMessage-ID: <{code}@example.com>\r\n\r\nlink {code}\r\n"
    )
}

/// A report that a mail could not be delivered.
pub(super) fn report(mark: &str, recipient: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example\r\nTo: desk@example.com\r\nMessage-ID: <r{mark}@relay.example>\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain\r\n\r\nNot delivered.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; relay.example\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
        --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{mark}@example.com>\r\n\r\n--b--\r\n"
    )
}
