//! Returns the operations that a person can execute on a ticket now. The names are those of the API `/v1`.

use std::collections::BTreeMap;

use domain::ticket::{Command, NodeRun, Status, Ticket};
use domain::views::ticket_card::TicketCard;
use events::ticket::NodeStatus;
use events::workflow::{Definition, Processors};
use events::{NodeId, PersonId};
use infra::{Error, ExecuteError};

use crate::App;

/// A text for commands that need one. The commands are only tried, so the text is stored nowhere.
const TEXT: &str = "-";

/// The operations on a whole ticket.
pub const OF_TICKET: [&str; 6] = ["withdraw", "suspend", "resume", "remark", "rate", "remind"];
/// The operations on a node.
pub const OF_NODE: [&str; 11] = [
    "decide",
    "submit",
    "distribute",
    "deliver",
    "claim",
    "terminate",
    "reassign",
    "acknowledge",
    "escalate",
    "retry",
    "ignore",
];

/// Returns the operations on the whole ticket that the person can execute now.
pub async fn of_ticket(
    app: &App,
    card: &TicketCard,
    by: &PersonId,
) -> Result<Vec<&'static str>, Error> {
    let by = || by.clone();
    let text = || TEXT.to_owned();
    let commands = [
        (
            "withdraw",
            Command::Withdraw {
                by: by(),
                reason: text(),
            },
        ),
        (
            "suspend",
            Command::Suspend {
                by: by(),
                reason: text(),
            },
        ),
        (
            "resume",
            Command::Resume {
                by: by(),
                reason: text(),
            },
        ),
        (
            "remark",
            Command::Remark {
                by: by(),
                text: text(),
                parent: None,
                mentions: Vec::new(),
                internal: false,
                files: Vec::new(),
            },
        ),
        (
            "rate",
            Command::Rate {
                by: by(),
                stars: 5,
                comment: text(),
            },
        ),
        (
            "remind",
            Command::Remind {
                by: by(),
                message: text(),
            },
        ),
    ];
    accepted(app, &card.ticket, commands).await
}

/// Returns the operations on a current node that the person can execute now. The list contains `submit` and `decide`
/// if the person may submit the form or vote; the values of the form are checked later.
pub async fn of_node(
    app: &App,
    card: &TicketCard,
    definition: &Definition,
    node: NodeId,
    node_run: &NodeRun,
    by: &PersonId,
) -> Result<Vec<&'static str>, Error> {
    let mut operations = Vec::new();
    let ticket = &card.ticket;
    let may_act = ticket.may_act(node_run, by) && ticket.status == Status::Running;
    if may_act && !node_run.automatic {
        match node_run.status {
            NodeStatus::Running if node_run.is_vote => operations.push("decide"),
            NodeStatus::Running => operations.push("submit"),
            NodeStatus::Distributing => operations.push("distribute"),
            _ => {}
        }
        let can_deliver = definition.node(node).is_some_and(|node| node.can_deliver);
        if can_deliver && node_run.status == NodeStatus::Running {
            operations.push("deliver");
        }
    }
    let by = || by.clone();
    let text = || TEXT.to_owned();
    let commands = [
        (
            "claim",
            Command::Claim {
                node,
                by: by(),
                reason: text(),
            },
        ),
        (
            "terminate",
            Command::TerminateAt {
                node,
                by: by(),
                reason: text(),
            },
        ),
        (
            "reassign",
            Command::Reassign {
                node,
                by: by(),
                to: Processors::Person(vec![by()]),
                message: text(),
            },
        ),
        (
            "acknowledge",
            Command::Acknowledge {
                node: Some(node),
                by: by(),
                reason: text(),
            },
        ),
        (
            "escalate",
            Command::Escalate {
                node: Some(node),
                by: by(),
                reason: text(),
            },
        ),
        (
            "retry",
            Command::Retry {
                node,
                by: by(),
                inputs: BTreeMap::new(),
                reason: text(),
            },
        ),
        (
            "ignore",
            Command::Ignore {
                node,
                by: by(),
                outputs: BTreeMap::new(),
                reason: text(),
            },
        ),
    ];
    operations.extend(accepted(app, ticket, commands).await?);
    Ok(operations)
}

/// Returns the names of the commands that the ticket would accept now.
async fn accepted<const N: usize>(
    app: &App,
    ticket: &Ticket,
    commands: [(&'static str, Command); N],
) -> Result<Vec<&'static str>, Error> {
    let mut accepted = Vec::new();
    for (name, command) in commands {
        let asked = app
            .ledger
            .ask(&*app.configuration, |context| {
                domain::Decider::decide(ticket, &command, context).map(|_| ())
            })
            .await;
        match asked {
            Ok(()) => accepted.push(name),
            Err(ExecuteError::Rejected(_)) => {}
            Err(ExecuteError::Technical(error)) => return Err(error),
        }
    }
    Ok(accepted)
}
