//! Casts the vote of a person at a workflow node. The person votes on the content that the person saw. If the
//! content has changed in the meantime, the vote is rejected.

use domain::ticket::{Command, Ticket};
use events::{Meta, NodeId, PersonId, TicketSn};
use infra::commit::hex;
use infra::{ExecuteError, Kind};

use super::act::act;
use super::read::SN_BYTES_MAX;
use crate::App;

/// Maximum number of attempts to cast a vote. Another attempt is necessary if another command changes the
/// ticket between the check of the content and the vote.
const ATTEMPTS_MAX: usize = 5;

/// A vote of one person at one workflow node of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub node: NodeId,
    pub pass: bool,
    pub reason: String,
    /// The fingerprint (a hash) of the ticket content that the person saw ([`fingerprint`]).
    pub seen: String,
    pub by: PersonId,
}

/// The reason why a vote was not cast.
#[derive(Debug, thiserror::Error)]
pub enum NotCast {
    /// The content of the ticket has changed since the person saw this content.
    #[error("the content of the ticket changed; read it again before the decision")]
    Changed,
    #[error(transparent)]
    Failed(#[from] ExecuteError<Ticket>),
}

/// Returns the fingerprint (a hash) of the ticket content on which people vote at a node. The content
/// consists of the form values, the priority, the workflow version and the number of the current run of the
/// node. The content does not include remarks, followers (people who watch the ticket) and other votes.
pub fn fingerprint(ticket: &Ticket, node: NodeId) -> String {
    let round = ticket.nodes.get(&node).map_or(0, |run| run.round);
    let workflow = ticket
        .opened
        .as_ref()
        .map(|opened| (opened.workflow, opened.workflow_version));
    let form: Vec<_> = ticket
        .form
        .iter()
        .map(|(key, entry)| (key, entry.read()))
        .collect();
    let content = serde_json::json!([node, round, workflow, ticket.priority(), form]);
    let hash = blake3::derive_key(
        "ledgerdesk content of a vote",
        content.to_string().as_bytes(),
    );
    hex(&hash[..16])
}

/// Casts a vote if the fingerprint (the hash) of the ticket content is equal to `vote.seen`. Otherwise,
/// returns the error `Changed`.
pub async fn decide(
    app: &App,
    sn: &TicketSn,
    vote: &Vote,
    meta: &Meta,
    command_id: [u8; 16],
) -> Result<(), NotCast> {
    let command = Command::Decide {
        node: vote.node,
        pass: vote.pass,
        remark: vote.reason.clone(),
        by: vote.by.clone(),
    };
    if sn.as_str().len() > SN_BYTES_MAX {
        return Err(ExecuteError::Rejected(domain::ticket::Rejection::Unknown).into());
    }
    let mut attempt = 1;
    loop {
        let loaded = app
            .ledger
            .load::<Ticket>(&sn.stream())
            .await
            .map_err(ExecuteError::Technical)?;
        // A repeated request gets the result of the first request. The ticket content is therefore not checked again
        // for a repeated request.
        let is_repeated = loaded.knows(&command_id);
        if !is_repeated && fingerprint(&loaded.aggregate.0, vote.node) != vote.seen {
            return Err(NotCast::Changed);
        }
        let version = (!is_repeated).then_some(loaded.next - 1);
        match act(app, sn, &command, meta, command_id, version).await {
            Err(ExecuteError::Technical(error))
                if error.kind == Kind::Stale && attempt < ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            result => return Ok(result.map(drop)?),
        }
    }
}
