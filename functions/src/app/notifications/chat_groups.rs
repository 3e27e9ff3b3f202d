//! Lets the chat group of a ticket follow the ticket, and creates and closes groups for people. The queue `send` makes the
//! requests to the platform.

use domain::intent::SyncChatGroup;
use domain::notification::chat_group::of_ticket::{is_confidential, is_required, people};
use domain::notification::chat_group::{ChatGroup, Command, End, MEMBERS_MAX, Wanted, stream};
use domain::permission::Operation;
use domain::ticket::Ticket;
use events::chat_group::{CloseReason, Requested};
use events::notification_policy::{ChatGroups, GroupRemarks};
use events::person::Language;
use events::{CategoryId, Meta, PersonId, TicketSn};
use infra::ledger::command_id;
use infra::{Error, channel};

use super::chat_group_rounds::{catch_up, is_before_rules};
use super::definitions::DEFAULT_POLICY;
use super::{chat_group_message, notify};
use crate::App;
use crate::app::tickets;

/// The reason why a person cannot create or close the chat group of a ticket.
#[derive(Debug)]
pub enum NotGrouped {
    /// The notification policy names no account for chat groups.
    NotConfigured,
    /// The ticket has ended.
    Ended,
    /// The person lacks this permission.
    NotPermitted(Operation),
    /// The texts of the ticket are confidential, and these people may not take part in it.
    Confidential(Vec<PersonId>),
    /// The ticket has no open chat group.
    Missing,
    Technical(Error),
}

impl From<Error> for NotGrouped {
    fn from(error: Error) -> Self {
        Self::Technical(error)
    }
}

/// Returns the name of the command that creates a group.
pub fn label(language: Language) -> &'static str {
    match language {
        Language::Chinese => "建立工单群",
        Language::English => "create a chat group",
    }
}

/// Returns the reason why a person cannot create or close a group, as a text in the given language.
pub async fn refusal(app: &App, reason: &NotGrouped, language: Language) -> Result<String, Error> {
    let (chinese, english) = match reason {
        NotGrouped::NotConfigured => (
            "通知策略没有配置群聊账号（`chat_groups.account`）。",
            "the notification policy names no channel account for chat groups (`chat_groups.account`)",
        ),
        NotGrouped::Ended => ("工单已结束。", "the ticket has ended"),
        NotGrouped::NotPermitted(Operation::TakePart) => (
            "只有参与该工单的人可以建群。",
            "only people who take part in the ticket can create its chat group",
        ),
        NotGrouped::NotPermitted(_) => (
            "只有建群的人和工单的管理人可以关闭群聊。",
            "only the person who created the chat group and managers of the ticket can close it",
        ),
        NotGrouped::Confidential(_) => (
            "该工单内容保密，以下人员无权参与该工单：",
            "the ticket is confidential, and these people may not take part in it: ",
        ),
        NotGrouped::Missing => (
            "该工单没有打开的群聊。",
            "the ticket has no open chat group",
        ),
        NotGrouped::Technical(_) => ("系统异常。", "an error occurred"),
    };
    let text = match language {
        Language::Chinese => chinese,
        Language::English => english,
    };
    let names = match reason {
        NotGrouped::Confidential(people) => app.people.all_names(people).await?.join(", "),
        _ => String::new(),
    };
    Ok(format!("{text}{names}"))
}

/// Returns the chat group of a ticket. If the ticket never had a group, the state is empty.
pub async fn read(app: &App, sn: &TicketSn) -> Result<ChatGroup, Error> {
    Ok(app.ledger.load::<ChatGroup>(&stream(sn)).await?.aggregate.0)
}

/// Returns the state of a group for people: `none`, `creating`, `open`, `changing`, `waiting` (the last change failed),
/// `closing`, `closed` or `failed` (the group could not be created).
pub fn state(group: &ChatGroup) -> &'static str {
    match &group.end {
        Some(End::Closed(_)) => "closed",
        Some(End::Failed(_)) => "failed",
        None if group.requested.is_none() => "none",
        None if group.is_stalled => "waiting",
        None if group.closing.is_some() => "closing",
        None if group.chat.is_empty() => "creating",
        None if group.step().is_some() => "changing",
        None => "open",
    }
}

/// The chat group of a ticket, and what a person can do with it.
#[derive(Debug)]
pub struct Offer {
    pub group: ChatGroup,
    /// True if the person can create the group, or add the people again who were left out.
    pub may_create: bool,
    pub may_close: bool,
}

/// Returns the chat group of a ticket, and what a person can do with it.
pub async fn offer(
    app: &App,
    sn: &TicketSn,
    ticket: &Ticket,
    person: &PersonId,
) -> Result<Offer, Error> {
    let group = read(app, sn).await?;
    let is_possible = if group.is_active() {
        group.closing.is_none() && (group.is_stalled || !group.left_out.is_empty())
    } else {
        true
    };
    let has_channel = match rules(app).await? {
        Some(rules) => channel_of(app, &rules).await?.is_some(),
        None => false,
    };
    let may_create = is_possible
        && has_channel
        && !ticket.status.is_over()
        && tickets::may(app, Operation::TakePart, ticket, person).await?;
    let is_open = group.is_active() && (group.closing.is_none() || group.is_stalled);
    let may_close = is_open && may_close(app, ticket, &group, person).await?;
    Ok(Offer {
        group,
        may_create,
        may_close,
    })
}

/// Returns true if a person may close a group: the person requested it, or manages the ticket.
async fn may_close(
    app: &App,
    ticket: &Ticket,
    group: &ChatGroup,
    person: &PersonId,
) -> Result<bool, Error> {
    let requested_by = group.requested.as_ref().and_then(|one| one.by.as_ref());
    if requested_by == Some(person) {
        return Ok(true);
    }
    tickets::may(app, Operation::ManageTicket, ticket, person).await
}

/// Returns the language of the groups. A group whose policy was removed is closed in the default language.
pub async fn language(app: &App) -> Result<Language, Error> {
    Ok(rules(app).await?.unwrap_or_default().language)
}

/// Lets the chat group of a ticket follow the ticket after one of its events: the group is requested if the policy requires
/// it, its people and its name change, it gets a message, or it is closed. `id` identifies this call: a second call with the
/// same `id` does nothing.
pub async fn sync(app: &App, id: &str, sync: SyncChatGroup) -> Result<(), Error> {
    let sn = &sync.ticket;
    let loaded = app.ledger.load::<Ticket>(&sn.stream()).await?;
    let (ticket, next) = (loaded.aggregate.0, loaded.head.next);
    let meta = Meta::system(sync.correlation.clone(), sync.cause.clone());
    let is_over = ticket.status.is_over();
    if is_over && !sync.is_end {
        // The event that ended the ticket closes the group, after the last message.
        return Ok(());
    }
    let rules = rules(app).await?;
    // After a loss of the views, the desk reads all events again. An old event must neither create a group nor send a
    // message then.
    let rules = rules.filter(|_| is_over || !notify::is_too_old(app, sync.at));
    let group = read(app, sn).await?;
    if !group.is_active() {
        let Some(rules) = rules.filter(|_| !is_over) else {
            return Ok(());
        };
        let Some(requested) = required(app, sn, &ticket, &rules).await? else {
            return Ok(());
        };
        // After a loss of the views, the desk reads all events again. An event from the time before the rules must not create
        // a group then.
        if notify::is_late(app, sync.at) && is_before_rules(app, sync.at).await? {
            return Ok(());
        }
        let command = Command::Request(Box::new(requested));
        execute(app, &sync, id, &format!("request/{next}"), &command).await?;
        return catch_up(app, sn, next, true, &meta).await;
    }
    if !is_over {
        let language = language(app).await?;
        let wanted = wanted(app, sn, &ticket, language).await?;
        let command = Command::Update(wanted);
        execute(app, &sync, id, &format!("update/{next}"), &command).await?;
        catch_up(app, sn, next, false, &meta).await?;
    }
    let at = app.ledger.clock.now();
    let announced = sync.fact.filter(|fact| {
        let messages = rules.iter().flat_map(|rules| &rules.messages);
        messages
            .copied()
            .any(|category| category == fact.category())
    });
    // The first message of a group shows the newest state, so the group gets no messages about earlier events.
    let is_new = group.requested.is_some_and(|one| sync.at > one.due);
    if let Some(fact) = announced.filter(|_| is_new && !notify::is_too_old(app, sync.at)) {
        let cause = sync.cause.clone();
        let command = Command::Announce { fact, cause, at };
        execute(app, &sync, id, "announce", &command).await?;
    }
    if is_over {
        let language = rules.unwrap_or_default().language;
        let command = Command::Close {
            reason: CloseReason::TicketEnded,
            by: None,
            name: chat_group_message::closed_name(sn, &ticket, language),
            at,
        };
        execute(app, &sync, id, &format!("close/{next}"), &command).await?;
    }
    Ok(())
}

/// Executes one command of [`sync`]. `what` distinguishes the commands of one call.
async fn execute(
    app: &App,
    sync: &SyncChatGroup,
    id: &str,
    what: &str,
    command: &Command,
) -> Result<(), Error> {
    let id = command_id(&["chat_group", what, id]);
    let meta = Meta::system(sync.correlation.clone(), sync.cause.clone());
    app.must_execute::<ChatGroup>(&stream(&sync.ticket), id, meta, command)
        .await
        .map(drop)
}

/// Creates the chat group of a ticket for a person. If the group exists, adds the people again who were left out. `id`
/// identifies this call.
pub async fn request_by(
    app: &App,
    sn: &TicketSn,
    person: &PersonId,
    id: [u8; 16],
    meta: Meta,
) -> Result<(), NotGrouped> {
    let loaded = app.ledger.load::<Ticket>(&sn.stream()).await?;
    let (ticket, next) = (loaded.aggregate.0, loaded.head.next);
    if !tickets::may(app, Operation::TakePart, &ticket, person).await? {
        return Err(NotGrouped::NotPermitted(Operation::TakePart));
    }
    if ticket.status.is_over() {
        return Err(NotGrouped::Ended);
    }
    let rules = rules(app).await?.ok_or(NotGrouped::NotConfigured)?;
    let channel = channel_of(app, &rules).await?;
    let channel = channel.ok_or(NotGrouped::NotConfigured)?;
    let wanted = wanted(app, sn, &ticket, rules.language).await?;
    let is_active = read(app, sn).await?.is_active();
    if !is_active && is_confidential(&ticket) && !wanted.not_permitted.is_empty() {
        return Err(NotGrouped::Confidential(wanted.not_permitted));
    }
    let requested = requested(sn, &rules, channel, wanted, Some(person.clone()));
    let command = Command::Request(Box::new(requested));
    app.must_execute::<ChatGroup>(&stream(sn), id, meta, &command)
        .await?;
    let meta = Meta::system(sn.stream(), sn.stream());
    catch_up(app, sn, next, true, &meta).await?;
    Ok(())
}

/// Closes the chat group of a ticket for a person: for the person who requested it, or for a manager of the ticket. `id`
/// identifies this call.
pub async fn close_by(
    app: &App,
    sn: &TicketSn,
    person: &PersonId,
    id: [u8; 16],
    meta: Meta,
) -> Result<(), NotGrouped> {
    let ticket = notify::ticket(app, sn).await?;
    let group = read(app, sn).await?;
    if !may_close(app, &ticket, &group, person).await? {
        return Err(NotGrouped::NotPermitted(Operation::ManageTicket));
    }
    if !group.is_active() {
        return Err(NotGrouped::Missing);
    }
    let command = Command::Close {
        reason: CloseReason::ByPerson,
        by: Some(person.clone()),
        name: chat_group_message::closed_name(sn, &ticket, language(app).await?),
        at: app.ledger.clock.now(),
    };
    app.must_execute::<ChatGroup>(&stream(sn), id, meta, &command)
        .await?;
    Ok(())
}

/// Returns true if free text to the desk in a group is a remark of its ticket.
pub(super) async fn takes_remarks(app: &App) -> Result<bool, Error> {
    let rules = rules(app).await?;
    Ok(rules.is_some_and(|rules| rules.remarks == GroupRemarks::Addressed))
}

/// Returns the rules for chat groups in the notification policy. Returns `None` if the policy has none.
async fn rules(app: &App) -> Result<Option<ChatGroups>, Error> {
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let policy = policy.await?;
    Ok(policy
        .0
        .as_ref()
        .and_then(|policy| policy.chat_groups.clone()))
}

/// Returns the channel of the account for groups. Returns `None` if the account does not exist or has no groups any more.
async fn channel_of(app: &App, rules: &ChatGroups) -> Result<Option<String>, Error> {
    let account = app.configuration.channel_account(&rules.account).await?;
    Ok(account.map(|account| account.channel).filter(|name| {
        let codec = channel::find(name);
        codec.is_some_and(|codec| codec.groups().is_some())
    }))
}

/// Returns the group that the policy requires for a ticket. Returns `None` if the policy requires no group, or if the ticket
/// is confidential and one of its people may not take part in it.
async fn required(
    app: &App,
    sn: &TicketSn,
    ticket: &Ticket,
    rules: &ChatGroups,
) -> Result<Option<Requested>, Error> {
    let categories = categories(app, rules).await?;
    if !is_required(rules, ticket, &categories) {
        return Ok(None);
    }
    let Some(channel) = channel_of(app, rules).await? else {
        let account = rules.account.as_str();
        tracing::warn!(account, "the account for chat groups cannot own groups");
        return Ok(None);
    };
    let wanted = wanted(app, sn, ticket, rules.language).await?;
    if is_confidential(ticket) && !wanted.not_permitted.is_empty() {
        tracing::info!(%sn, "a confidential ticket gets no chat group, because not all of its people may take part in it");
        return Ok(None);
    }
    Ok(Some(requested(sn, rules, channel, wanted, None)))
}

fn requested(
    sn: &TicketSn,
    rules: &ChatGroups,
    channel: String,
    wanted: Wanted,
    by: Option<PersonId>,
) -> Requested {
    Requested {
        ticket: sn.clone(),
        account: rules.account.clone(),
        channel,
        name: wanted.name,
        members: wanted.members,
        not_permitted: wanted.not_permitted,
        omitted: wanted.omitted,
        by,
        keeps: rules.keeps,
        due: wanted.at,
    }
}

/// Returns the nodes of the service catalog whose tickets get a group.
async fn categories(app: &App, rules: &ChatGroups) -> Result<Vec<CategoryId>, Error> {
    if rules.categories.is_empty() {
        return Ok(Vec::new());
    }
    let named = rules.categories.iter().map(ToString::to_string).collect();
    let all = tickets::list::with_catalogs_below(app, named).await?;
    let ids = all.iter().filter_map(|id| id.parse::<i64>().ok());
    Ok(ids.map(CategoryId).collect())
}

/// Returns the people and the name of the group. Each member may read the ticket. If the ticket is confidential, each member
/// may also take part in it, because a discussion can contain its texts.
pub(super) async fn wanted(
    app: &App,
    sn: &TicketSn,
    ticket: &Ticket,
    language: Language,
) -> Result<Wanted, Error> {
    let needed = if is_confidential(ticket) {
        Operation::TakePart
    } else {
        Operation::ReadTicket
    };
    let mut wanted = Wanted {
        name: chat_group_message::name(sn, ticket, language),
        members: Vec::new(),
        not_permitted: Vec::new(),
        omitted: 0,
        at: app.ledger.clock.now(),
    };
    for person in people(ticket) {
        let list = if tickets::may(app, needed, ticket, &person).await? {
            &mut wanted.members
        } else {
            &mut wanted.not_permitted
        };
        if list.len() < MEMBERS_MAX {
            list.push(person);
        } else {
            wanted.omitted += 1;
        }
    }
    Ok(wanted)
}
