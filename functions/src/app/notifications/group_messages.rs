//! Reads the messages that people write to the desk in the chat group of a ticket. Such a message is about the ticket of the
//! group, unless it names another one. The rights of the person are checked later, when the command is executed, so it makes
//! no difference whether the person is a member of the group.

use domain::notification::chat_group::ChatGroup;
use domain::notification::chat_group::card::{BY_ADDRESS, GroupCard, address};
use domain::notification::grammar::{self, Said, Verb};
use domain::views::Card as _;
use events::TicketSn;
use infra::Error;
use infra::inbound::Message;
use infra::views::Range;

use super::answers::Answer;
use super::chat_groups;
use crate::App;

/// The meaning of a written message.
pub(super) enum Meaning {
    /// A command. In the group of a ticket, it always names a ticket.
    Command(Said),
    /// The message is no command that can be executed.
    Answer(Answer),
}

/// The group of a ticket.
struct Group {
    ticket: TicketSn,
    /// False if the group is closed, or if a newer group has replaced it.
    is_open: bool,
}

/// Reads a message that arrived for a channel account. Outside of the groups of tickets, each message is a command.
pub(super) async fn read(app: &App, account: &str, message: &Message) -> Result<Meaning, Error> {
    let said = grammar::chat(&message.text);
    let Some(group) = find(app, account, &message.group).await? else {
        return Ok(Meaning::Command(said));
    };
    if !group.is_open {
        // The sender can mean another ticket now, so the desk does not guess one.
        let names_none = said.ticket.is_none() && said.verb != Verb::Help;
        return Ok(if names_none {
            Meaning::Answer(Answer::GroupClosed(group.ticket.to_string()))
        } else {
            Meaning::Command(said)
        });
    }
    let takes_remarks = chat_groups::takes_remarks(app).await?;
    let said = if takes_remarks {
        grammar::group(&message.text).unwrap_or(said)
    } else {
        said
    };
    if said.verb == Verb::Help {
        let sn = group.ticket.to_string();
        return Ok(Meaning::Answer(Answer::GroupHelp { sn, takes_remarks }));
    }
    let ticket = Some(said.ticket.unwrap_or(group.ticket));
    Ok(Meaning::Command(Said {
        verb: said.verb,
        ticket,
        text: said.text,
    }))
}

/// Returns the group of a ticket that a channel account created. `chat` is the id of the group on the platform. Returns
/// `None` if the account created no such group. The group comes from a view (a table that is updated after each commit), and
/// its state from the ledger.
async fn find(app: &App, account: &str, chat: &str) -> Result<Option<Group>, Error> {
    if chat.is_empty() {
        return Ok(None);
    }
    let address = address(account, chat);
    let (from, to) = (format!("{address}|"), format!("{address}|~"));
    let range = Range {
        view: GroupCard::VIEW,
        index: BY_ADDRESS,
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: 1,
    };
    let entries = app.views.range(range).await?;
    let Some(entry) = entries.first() else {
        return Ok(None);
    };
    let loaded = app.ledger.load::<ChatGroup>(&entry.key).await?;
    let group = loaded.aggregate.0;
    Ok(group.requested.as_ref().map(|requested| Group {
        ticket: requested.ticket.clone(),
        is_open: group.end.is_none() && group.chat == chat && requested.account == account,
    }))
}
