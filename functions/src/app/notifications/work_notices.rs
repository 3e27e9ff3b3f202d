//! Applies the notification settings of a workflow (`notify_rule` and `notify`) to the messages about work at a node.

use std::sync::Arc;

use domain::ticket::Ticket;
use domain::workflow::notice::{self, Rule};
use events::notification::{Fact, Requested};
use events::notification_policy;
use events::workflow::Deployed;
use infra::Error;

use crate::App;

/// The reason why people get no notification about work, if the workflow has the rule `NONE`.
pub const WORKFLOW_IS_SILENT: &str =
    "the workflow notifies no person of the work at its nodes (`notify_rule` is `NONE`)";
/// The same reason in events of earlier versions.
const EARLIER_TEXT: &str =
    "the workflow notifies nobody of the work at its nodes (`notify_rule` is `NONE`)";

/// Returns true if the stored reason of a notification is that the workflow has the rule `NONE`.
pub fn is_silent_workflow(reason: &str) -> bool {
    reason == WORKFLOW_IS_SILENT || reason == EARLIER_TEXT
}

/// Applies the settings of the workflow to a notification: the accounts that they choose, unless the message is urgent.
/// Also returns true if this work causes no notification.
pub async fn apply(
    app: &App,
    ticket: &Ticket,
    policy: &notification_policy::Defined,
    mut requested: Requested,
) -> Result<(Requested, bool), Error> {
    if !requested.accounts.is_empty() || !is_about_work(requested.fact) {
        return Ok((requested, false));
    }
    let Some(deployed) = workflow(app, ticket).await? else {
        return Ok((requested, false));
    };
    if !requested.is_urgent && !requested.is_critical {
        requested.accounts = accounts(app, &deployed, policy).await?;
    }
    Ok((requested, is_silent(&deployed)))
}

/// Returns true if the settings of a workflow apply to the fact.
pub fn is_about_work(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::ApprovalNeeded | Fact::WorkAssigned | Fact::StillWaiting
    )
}

/// Returns the workflow version of a ticket. Returns `None` if the ticket or this version does not exist.
pub async fn workflow(app: &App, ticket: &Ticket) -> Result<Option<Arc<Deployed>>, Error> {
    match &ticket.opened {
        Some(opened) => {
            let version = opened.workflow_version;
            app.configuration.workflow(opened.workflow, version).await
        }
        None => Ok(None),
    }
}

/// Returns true if the workflow notifies no person of the work at its nodes.
pub fn is_silent(deployed: &Deployed) -> bool {
    notice::rule(&deployed.definition) == Rule::Never
}

/// Returns the names of the accounts of the policy that belong to the kinds of messages of the workflow. The list is
/// empty if all accounts of the policy send the messages.
pub async fn accounts(
    app: &App,
    deployed: &Deployed,
    policy: &notification_policy::Defined,
) -> Result<Vec<String>, Error> {
    if deployed.definition.notify.is_empty() {
        return Ok(Vec::new());
    }
    let mut defined = Vec::new();
    for name in &policy.accounts {
        defined.extend(app.configuration.channel_account(name).await?);
    }
    Ok(notice::accounts(&deployed.definition, &defined))
}
