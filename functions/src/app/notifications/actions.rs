//! Offers actions in the messages of notifications, and executes them. The link of an action contains a signed token. The
//! token belongs to one person and one notification, expires, and can be used once. When it is used, the desk checks the
//! rights of the person and the state of the ticket again. Only the token of a message that no other person can read
//! replaces a login.

use domain::notification::action::Action;
use domain::notification::{Command, Notification, content};
use domain::permission::Operation;
use domain::ticket::{Context, NodeRun, Rejection, Ticket};
use domain::views::ticket_card::TicketCard;
use events::notification::{Acted, Requested, Role};
use events::person::Language;
use events::ticket::NodeStatus;
use events::{Meta, Moment, NodeId, Origin, PersonId};
use infra::channel;
use infra::ledger::command_id;
use infra::{Error, ExecuteError};

use super::signed_text;
use crate::App;
use crate::app::tickets;
use crate::app::tickets::decide::{NotCast, Vote, decide};

/// Time for which a token is valid, in milliseconds (one week).
pub const VALID_MS: i64 = 7 * 24 * 3_600_000;
/// What the tokens are used for, see [`signed_text`]. The text must never change.
const PURPOSE: &str = "action of a notification";
/// The end of the text in a token of a message that only its person can read. No id and no name of an account ends with it.
pub(super) const PERSONAL: &str = ".+";
/// The beginning of the names of the streams of notifications.
const STREAM: &str = "notification-";
/// A text for commands that need one. The commands are only tried, so the text is stored nowhere.
const TEXT: &str = "-";

/// What a valid token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub action: Action,
    /// The name of the stream of the notification.
    pub notification: String,
    pub person: PersonId,
    /// The name of the channel account whose message contains the token. The text is empty in tokens of older versions.
    pub account: String,
    /// True if only the person could read the message. Then the token alone proves who uses it. False in tokens of older
    /// versions.
    pub is_personal: bool,
    pub until: Moment,
}

/// The message for which actions are offered.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The name of the stream of the notification.
    pub notification: &'a str,
    /// The name of the channel account that sends the message.
    pub account: &'a str,
    /// True if other people can read the message.
    pub is_shared: bool,
}

/// Returns true if people other than the recipient can read the messages that an account sends to the address `to`. An
/// account that is not defined any more counts as shared.
pub async fn is_shared(app: &App, account: &str, to: &str) -> Result<bool, Error> {
    let defined = app.configuration.channel_account(account).await?;
    Ok(defined.is_none_or(|defined| {
        channel::find(&defined.channel).is_none_or(|codec| codec.is_shared(&defined, to))
    }))
}

/// The reason why a person may not use a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOwn {
    /// The token does not prove who uses it, so the person must log in first.
    LoginRequired,
    /// The token belongs to another person.
    OtherPerson,
}

/// Checks that a token may be used. `owner` is the person to whom the token belongs, and `by` the person whom the desk or a
/// chat platform has identified. If no person is identified, only the token of a personal message is sufficient.
pub fn check_user(
    owner: &PersonId,
    is_personal: bool,
    by: Option<&PersonId>,
) -> Result<(), NotOwn> {
    match by {
        Some(by) if by == owner => Ok(()),
        Some(_) => Err(NotOwn::OtherPerson),
        None if is_personal => Ok(()),
        None => Err(NotOwn::LoginRequired),
    }
}

/// Returns the token of a claim.
pub fn sign(key: &[u8; 32], claim: &Claim) -> String {
    let id = claim.notification.trim_start_matches(STREAM);
    let (action, until) = (claim.action.name(), claim.until.0);
    let (person, account) = (&claim.person, &claim.account);
    let mark = if claim.is_personal { PERSONAL } else { "" };
    let text = format!("{action}.{until}.{id}.{person}.{account}{mark}");
    signed_text::sign(key, PURPOSE, &text)
}

/// Returns the claim in a token. Returns `None` if this desk did not create the token. The time is not checked.
pub fn read(key: &[u8; 32], token: &str) -> Option<Claim> {
    let text = signed_text::read(key, PURPOSE, token)?;
    let (text, is_personal) = match text.strip_suffix(PERSONAL) {
        Some(text) => (text, true),
        None => (text.as_str(), false),
    };
    let mut parts = text.splitn(4, '.');
    let action = Action::named(parts.next()?)?;
    let until = Moment(parts.next()?.parse().ok()?);
    let notification = format!("{STREAM}{}", parts.next()?);
    let person = parts.next()?;
    // Tokens of older versions have no account. The ids of people and the names of accounts contain no dot.
    let (person, account) = person.split_once('.').unwrap_or((person, ""));
    Some(Claim {
        action,
        notification,
        person: person.into(),
        account: account.to_owned(),
        is_personal,
        until,
    })
}

/// Returns the actions that the recipient of a notification can do now, as buttons for the message `sent`.
pub async fn offered(
    app: &App,
    sent: Sent<'_>,
    requested: &Requested,
    card: &TicketCard,
    language: Language,
) -> Result<Vec<content::Action>, Error> {
    let ticket = &card.ticket;
    let mut possible = Vec::new();
    let mut context = Context::default();
    for action in candidates(requested, ticket) {
        // An unavailable directory, for example, must not stop the message.
        match is_possible(app, &mut context, *action, requested, ticket).await {
            Ok(true) => possible.push(*action),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, action = action.name(), "an action is not offered");
            }
        }
    }
    let key = app.token_keys().await?.newest;
    let until = app.ledger.clock.now().plus_ms(VALID_MS);
    let site = app.settings.site.trim_end_matches('/');
    let button = |(at, action): (usize, Action)| {
        let value = sign(
            &key,
            &Claim {
                action,
                notification: sent.notification.to_owned(),
                person: requested.person.clone(),
                account: sent.account.to_owned(),
                is_personal: !sent.is_shared,
                until,
            },
        );
        content::Action {
            name: action.name().to_owned(),
            label: action.label(language).to_owned(),
            is_primary: at == 0 && action != Action::Comment,
            url: format!("{site}/act/{value}"),
            value,
        }
    };
    Ok(possible.into_iter().enumerate().map(button).collect())
}

/// Returns the actions that fit the notification and the state of the ticket. Rights are checked later.
fn candidates(requested: &Requested, ticket: &Ticket) -> &'static [Action] {
    match node_of(requested, ticket) {
        _ if ticket.opened.is_none()
            || ticket.status.is_over()
            || !requested.fact.concerns_ticket() =>
        {
            &[]
        }
        Some((_, node_run)) if requested.role == Role::Processor && !node_run.automatic => {
            if node_run.is_vote && node_run.status == NodeStatus::Running {
                Action::OF_VOTE
            } else {
                Action::OF_WORK
            }
        }
        _ => &[Action::Comment],
    }
}

/// Returns the node of the notification if the ticket is still at this node in the same round.
fn node_of<'a>(requested: &Requested, ticket: &'a Ticket) -> Option<(NodeId, &'a NodeRun)> {
    let node = requested.node?;
    let node_run = ticket.nodes.get(&node)?;
    (node_run.is_current() && node_run.round == requested.round).then_some((node, node_run))
}

/// Returns true if the ticket would accept the action now. The actions of one message share the data in `context`.
async fn is_possible(
    app: &App,
    context: &mut Context,
    action: Action,
    requested: &Requested,
    ticket: &Ticket,
) -> Result<bool, Error> {
    let node = node_of(requested, ticket).map(|(node, _)| node);
    if action == Action::Resolve && ticket.where_to_resolve(&requested.person).ok() != node {
        return Ok(false);
    }
    let Some(command) = action.command(&requested.person, node, TEXT) else {
        return Ok(false);
    };
    let asked = app
        .ledger
        .ask_in::<Ticket, _>(context, &*app.configuration, |context| {
            domain::Decider::decide(ticket, &command, context).map(|events| !events.is_empty())
        })
        .await;
    match asked {
        Ok(changes) => Ok(changes),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// The reason why an action was not executed.
#[derive(Debug, thiserror::Error)]
pub enum NotActed {
    #[error("the link is not valid")]
    Unknown,
    #[error("the link has expired")]
    Expired,
    #[error("the link was used already")]
    Used,
    #[error("the person must log in")]
    LoginRequired,
    #[error("the link belongs to another person")]
    OtherPerson,
    /// The ticket has left the node, or the person lost the right to read it.
    #[error("the ticket does not wait for this action any more")]
    Stale,
    #[error("the action needs a text")]
    TextRequired,
    /// The content of the ticket has changed since the person saw it.
    #[error("the content of the ticket changed")]
    Changed,
    #[error(transparent)]
    Rejected(Rejection),
    #[error(transparent)]
    Technical(#[from] Error),
}

impl From<ExecuteError<Ticket>> for NotActed {
    fn from(failure: ExecuteError<Ticket>) -> Self {
        match failure {
            ExecuteError::Rejected(rejection) => Self::Rejected(rejection),
            ExecuteError::Technical(error) => Self::Technical(error),
        }
    }
}

impl From<NotOwn> for NotActed {
    fn from(reason: NotOwn) -> Self {
        match reason {
            NotOwn::LoginRequired => Self::LoginRequired,
            NotOwn::OtherPerson => Self::OtherPerson,
        }
    }
}

/// An action that can be executed now.
#[derive(Clone, Debug)]
pub struct Pending {
    pub claim: Claim,
    pub requested: Requested,
    pub ticket: Ticket,
    pub node: Option<NodeId>,
}

impl Pending {
    /// Returns the fingerprint (a hash) of the content on which the person decides.
    pub fn seen(&self) -> String {
        self.node.map_or_else(String::new, |node| {
            tickets::decide::fingerprint(&self.ticket, node)
        })
    }
}

/// Checks the token of an action and the state of its ticket. Executes nothing. `by` is the person whom the desk or a chat
/// platform has identified, see [`check_user`].
pub async fn pending(app: &App, token: &str, by: Option<&PersonId>) -> Result<Pending, NotActed> {
    let keys = app.token_keys().await?;
    let claim = keys.first(|key| read(key, token));
    let claim = claim.ok_or(NotActed::Unknown)?;
    check_user(&claim.person, claim.is_personal, by)?;
    if claim.until < app.ledger.clock.now() {
        return Err(NotActed::Expired);
    }
    let loaded = app.ledger.load::<Notification>(&claim.notification).await?;
    let state = loaded.aggregate.0;
    let requested = state.requested.filter(|one| one.person == claim.person);
    let requested = requested.ok_or(NotActed::Unknown)?;
    if state.acted.iter().any(|name| name == claim.action.name()) {
        return Err(NotActed::Used);
    }
    let loaded = app
        .ledger
        .load::<Ticket>(&requested.ticket.stream())
        .await?;
    let ticket = loaded.aggregate.0;
    let may_read = tickets::may(app, Operation::ReadTicket, &ticket, &claim.person);
    let node = node_of(&requested, &ticket).map(|(node, _)| node);
    if !may_read.await? || (claim.action.needs_node() && node.is_none()) {
        return Err(NotActed::Stale);
    }
    Ok(Pending {
        claim,
        requested,
        ticket,
        node,
    })
}

/// Executes the action of a token as its person, and marks the token as used. `by` is the person whom the desk or a chat
/// platform has identified. `seen` is the fingerprint (the hash) of the content on which the person voted, if the person saw
/// a page with the content.
pub async fn act(
    app: &App,
    (token, by): (&str, Option<&PersonId>),
    text: &str,
    seen: Option<&str>,
    origin: Origin,
    correlation: &str,
) -> Result<Pending, NotActed> {
    let pending = pending(app, token, by).await?;
    let (claim, sn) = (&pending.claim, &pending.requested.ticket);
    if claim.action == Action::Comment && text.trim().is_empty() {
        return Err(NotActed::TextRequired);
    }
    let resolves_here = pending.ticket.where_to_resolve(&claim.person).ok() == pending.node;
    if claim.action == Action::Resolve && !resolves_here {
        return Err(NotActed::Stale);
    }
    let meta = Meta {
        actor: claim.person.clone(),
        origin,
        correlation: correlation.to_owned(),
        causation: claim.notification.clone(),
        ..Meta::default()
    };
    let name = claim.action.name();
    let id = command_id(&["act", &claim.notification, name]);
    let command = claim.action.command(&claim.person, pending.node, text);
    let command = command.ok_or(NotActed::Stale)?;
    match (&command, seen) {
        (domain::ticket::Command::Decide { node, pass, .. }, Some(seen)) => {
            let vote = Vote {
                node: *node,
                pass: *pass,
                reason: text.to_owned(),
                seen: seen.to_owned(),
                by: claim.person.clone(),
            };
            match Box::pin(decide(app, sn, &vote, &meta, id)).await {
                Ok(()) => {}
                Err(NotCast::Changed) => return Err(NotActed::Changed),
                Err(NotCast::Failed(failure)) => return Err(failure.into()),
            }
        }
        _ => {
            Box::pin(tickets::act(app, sn, &command, &meta, id, None)).await?;
        }
    }
    let acted = Acted {
        action: name.to_owned(),
        by: claim.person.clone(),
        account: claim.account.clone(),
    };
    let id = command_id(&["acted", &claim.notification, name]);
    app.must_execute::<Notification>(&claim.notification, id, meta, &Command::Act(acted))
        .await?;
    #[cfg(feature = "local")]
    app.sending.engaged("acted");
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn claim() -> Claim {
        Claim {
            action: Action::Acknowledge,
            notification: format!("{STREAM}0123456789abcdef0123456789abcdef"),
            person: "p0123456789abcdef01234567".into(),
            account: "mail".into(),
            is_personal: true,
            until: Moment(1_796_000_000_000),
        }
    }

    #[test]
    fn a_token_of_an_older_version_has_no_account() {
        let text =
            "acknowledge.1796000000000.0123456789abcdef0123456789abcdef.p0123456789abcdef01234567";
        let token = signed_text::sign(&[1; 32], PURPOSE, text);
        let expected = Claim {
            account: String::new(),
            is_personal: false,
            ..claim()
        };
        assert_eq!(read(&[1; 32], &token), Some(expected));
    }

    #[test]
    fn only_the_token_of_a_personal_message_replaces_a_login() {
        for account in ["mail", "own", ""] {
            let shared = Claim {
                account: account.to_owned(),
                is_personal: false,
                ..claim()
            };
            let token = sign(&[1; 32], &shared);
            assert_eq!(read(&[1; 32], &token), Some(shared));
        }
        let without_account = Claim {
            account: String::new(),
            ..claim()
        };
        let token = sign(&[1; 32], &without_account);
        assert_eq!(read(&[1; 32], &token), Some(without_account));
        let (owner, other) = (PersonId::from("p-1"), PersonId::from("p-2"));
        let check = |is_personal, by| check_user(&owner, is_personal, by);
        assert_eq!(check(true, None), Ok(()));
        assert_eq!(check(false, None), Err(NotOwn::LoginRequired));
        for is_personal in [true, false] {
            assert_eq!(check(is_personal, Some(&owner)), Ok(()));
            let refused = check(is_personal, Some(&other));
            assert_eq!(refused, Err(NotOwn::OtherPerson));
        }
    }

    #[test]
    fn a_token_is_bound_to_its_desk_and_its_claim() {
        let token = sign(&[1; 32], &claim());
        assert!(token.len() <= 200, "{}", token.len());
        assert_eq!(read(&[1; 32], &token), Some(claim()));
        assert_eq!(read(&[2; 32], &token), None, "another desk");
        let other = Claim {
            action: Action::Approve,
            ..claim()
        };
        assert_ne!(sign(&[1; 32], &other), token);
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
        for (from, to) in [
            ("acknowledge", "resolve"),
            ("1796", "1896"),
            (".p0123", ".p1123"),
            (".mail.+", ".mail.-"),
            (".0123456789abcdef0123", ".1123456789abcdef0123"),
        ] {
            assert!(plain.contains(from), "{plain}");
            let forged = URL_SAFE_NO_PAD.encode(plain.replace(from, to));
            assert_eq!(read(&[1; 32], &forged), None, "{from}");
        }
        let long = "a".repeat(400);
        for wrong in ["", "x", &token[1..], "AAAA", "我", &long] {
            assert_eq!(read(&[1; 32], wrong), None, "{wrong}");
        }
    }
}
