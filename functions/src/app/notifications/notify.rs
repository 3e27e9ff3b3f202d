//! Notifies people. Decides when a person gets messages, and which channel accounts (configured senders)
//! send the messages. Also stores the end of each notification.

use std::collections::{BTreeMap, BTreeSet};

use domain::automation::execution::Execution;
use domain::intent::{About, Due, Notify, effect_id};
use domain::notification::availability::{Availability, Busy, Circumstances, availability};
use domain::notification::escalation::ending;
use domain::notification::person::Person;
use domain::notification::routing::{Situation, decide, is_perishable};
use domain::notification::team::WithDefaults;
use domain::notification::{Command, Next, Notification, Phase, Rejection, priority};
use domain::permission::Operation;
use domain::ticket::{Status, Ticket};
use events::notification::{
    DeliveryEnded, EXPIRE, FALLBACK, Fact, Held, RELEASE, Requested, Role, SNOOZE,
};
use events::person::{AddressSuppressed, PreferencesChanged};
use events::{
    Meta, Moment, NodeId, PersonId, Personal, TicketSn, calendar, channel_account,
    notification_policy,
};
use infra::channel::{self, Channel};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use jiff::tz::TimeZone;

use super::addresses;
use super::definitions::DEFAULT_POLICY;
use super::{
    calendars, experiments, health, learned_channels, presence, recent, returned, teams,
    unreached_person, work_notices,
};
use crate::App;
use crate::app::{tickets, times};

/// The reason why a subscriber gets no message about a ticket that this person may not read.
pub const NOT_READABLE: &str = "the person may not read the ticket";

/// The reason why an approver gets no message about a script that does not wait for an approval any more.
pub const NOT_AWAITED: &str = "the script does not wait for an approval any more";

/// An event that is older than this is late, in milliseconds: 10 minutes. The desk then checks whether it processes the
/// event again.
const LATE_MS: i64 = 600_000;

/// Maximum age in milliseconds of an event whose recipients are in the current policy, such as the operators: one day.
/// After a loss of the views, the desk reads all events again. People whom the policy names since then must not be
/// notified of them.
const AGE_MAX_MS: i64 = 24 * 3_600_000;

/// Creates a notification for a person, because a ticket waits for this person. `id` is the id of the notification. If
/// the notification already exists, does nothing. If the desk has no notification policy, or had none at the time of the
/// event, creates no notification.
pub async fn request(app: &App, id: &str, notify: Notify) -> Result<(), Error> {
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let Some(policy) = &policy.0 else {
        return Ok(());
    };
    let stream = format!("notification-{id}");
    // A repeated event changes nothing, and takes no number.
    let is_known = exists(app, &stream).await?;
    if is_known || (is_late(app, notify.about.at) && is_before_policy(app, notify.about.at).await?)
    {
        return Ok(());
    }
    let ticket = ticket(app, &notify.about.ticket).await?;
    let priority = ticket.priority().map(|priority| priority.key.clone());
    let (correlation, cause) = (notify.about.correlation.clone(), notify.about.cause.clone());
    let requested = urgent_by(policy, requested(notify, priority.unwrap_or_default()));
    let (requested, is_silent) = work_notices::apply(app, &ticket, policy, requested).await?;
    let next = if is_silent {
        Next::NotNeeded(work_notices::WORKFLOW_IS_SILENT.to_owned())
    } else {
        next(app, &requested, &ticket, Some(policy), None).await?
    };
    let meta = Meta::system(correlation, cause);
    let requested = Requested {
        number: app
            .numbers
            .of_notification(requested.at, &app.settings.zone, &meta)
            .await?,
        ..requested
    };
    let command_envelope = CommandEnvelope {
        stream,
        command_id: command_id(&["notify", id]),
        meta,
    };
    let command = Command::Request(Box::new(requested), next);
    match app
        .ledger
        .execute::<Notification>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the data of a notification that no policy has judged yet. `priority` is the key of the ticket priority.
pub(super) fn requested(notify: Notify, priority: String) -> Requested {
    let Notify {
        person,
        role,
        accounts,
        about,
    } = notify;
    // A person chooses the name of an own subscription, so the name is a personal value.
    let (name, subscription) = if role == Role::OwnSubscriber {
        let subscription = Personal::new(person.clone(), about.name.into());
        (String::new(), Some(subscription))
    } else {
        (about.name, None)
    };
    Requested {
        person,
        fact: about.fact,
        role,
        ticket: about.ticket,
        node: about.node,
        name,
        round: about.round,
        cause: about.cause,
        at: about.at,
        priority,
        is_urgent: false,
        is_critical: false,
        accounts,
        subscription,
        number: None,
    }
}

/// Returns the data of a notification with the urgency that follows from a policy.
pub(super) fn urgent_by(policy: &notification_policy::Defined, requested: Requested) -> Requested {
    let key = &requested.priority;
    Requested {
        is_urgent: matches!(
            requested.fact,
            Fact::EscalationStep | Fact::EscalationExhausted
        ) || priority::is_urgent(policy, key),
        is_critical: priority::is_critical(policy, key),
        ..requested
    }
}

/// Returns true if an event of the time `at` is late, so that the desk possibly processes it again.
pub(super) fn is_late(app: &App, at: Moment) -> bool {
    at.plus_ms(LATE_MS) <= app.ledger.clock.now()
}

/// Returns true if the desk had no notification policy at the time `at` of an event. After a loss of the views, the desk reads
/// all events again. An event from the time before the first policy must not cause a notification then.
async fn is_before_policy(app: &App, at: Moment) -> Result<bool, Error> {
    let since = policy_since(app).await?;
    Ok(since.is_some_and(|since| at < since))
}

/// Returns the time of the first notification policy. Returns `None` if the desk never had a policy.
pub(super) async fn policy_since(app: &App) -> Result<Option<Moment>, Error> {
    let stream = format!("notification_policy-{DEFAULT_POLICY}");
    let first = app.ledger.store.forward(&stream, 1, 1).await?;
    Ok(first.first().map(|commit| commit.at))
}

/// Returns true if the notification with the given stream exists. Without this check, a repeated event would count as a
/// new notification of the person, and many repeated events would collect the messages of this person in a digest.
async fn exists(app: &App, stream: &str) -> Result<bool, Error> {
    let loaded = app.ledger.load::<Notification>(stream).await?;
    Ok(loaded.aggregate.0.requested.is_some())
}

/// Returns true if an event of the time `at` is too old for people whom only the current policy names.
pub(super) fn is_too_old(app: &App, at: Moment) -> bool {
    at.plus_ms(AGE_MAX_MS) < app.ledger.clock.now()
}

/// Creates a notification for each operator that the notification policy names. `id` identifies this call. An event
/// that is older than one day notifies no operator.
pub async fn request_for_operators(app: &App, id: &str, about: About) -> Result<(), Error> {
    if is_too_old(app, about.at) {
        return Ok(());
    }
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let policy = policy.await?;
    let id = match about.fact {
        Fact::AddressMissing => match missing_address(app, &about.cause).await? {
            Some(id) => id,
            None => return Ok(()),
        },
        _ => id.to_owned(),
    };
    for name in policy.0.iter().flat_map(|policy| &policy.operators) {
        let person = app.people.find(name).await?;
        if person.is_unknown() {
            tracing::warn!(name, "the notification policy names an unknown operator");
            continue;
        }
        let notify = Notify {
            role: Role::Operator,
            accounts: Vec::new(),
            about: about.clone(),
            person,
        };
        let own_id = effect_id("notify_operators", &id, &notify.person.0);
        request(app, &own_id, notify).await?;
    }
    Ok(())
}

/// Returns the id of the report that a person has no address. The id depends only on the person and on the kinds of the
/// known addresses, so that the operators get one report for each person, and another one after a change that does not
/// help. `cause` is the id of an event of the notification that no account could send. Returns `None` if this notification
/// does not exist.
async fn missing_address(app: &App, cause: &str) -> Result<Option<String>, Error> {
    let Some(person) = unreached_person::recipient(app, cause).await? else {
        return Ok(None);
    };
    let Person(preferences, _) = addresses::person(app, &person).await?;
    let kinds = preferences.iter().flat_map(|one| &one.addresses);
    let kinds: Vec<&str> = kinds
        .filter(|(_, address)| !address.is_erased())
        .map(|(kind, _)| kind.as_str())
        .collect();
    Ok(Some(effect_id(
        "address_missing",
        person.as_str(),
        &kinds.join(","),
    )))
}

/// Continues a notification at one of its deadlines. At the deadline `RELEASE`, the reason of the hold ends, such as
/// the quiet hours of the person, and the message can be sent. At the deadline `FALLBACK`, another channel account (a
/// configured sender) sends the message. At the deadline `EXPIRE`, the desk no longer waits for the results of the
/// deliveries, and the next account of the fallback list sends the message if no account has accepted it. At the deadline
/// `SNOOZE`, the inbox shows the notification again.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    let state = app
        .ledger
        .load::<Notification>(&due.stream)
        .await?
        .aggregate
        .0;
    let Some(requested) = &state.requested else {
        return Ok(());
    };
    let at = app.ledger.clock.now();
    let command = match due.deadline.as_str() {
        RELEASE => {
            let ticket = ticket(app, &requested.ticket).await?;
            let policy = app
                .configuration
                .notification_policy(DEFAULT_POLICY)
                .await?;
            let held = match &state.phase {
                Phase::Held(held) => Some(held),
                _ => None,
            };
            let next = next(app, requested, &ticket, policy.0.as_ref(), held).await?;
            Command::Release { next, at }
        }
        EXPIRE => Command::Expire {
            at,
            obstacle: returned::obstacle_at_expiry(app, &state, at).await?,
        },
        FALLBACK => Command::FallBack {
            at,
            obstacle: returned::obstacle_of(app, &state, at).await?,
        },
        SNOOZE => Command::EndSnooze { at },
        _ => return Ok(()),
    };
    let meta = Meta::system(requested.cause.clone(), requested.cause.clone());
    app.must_execute::<Notification>(
        &due.stream,
        command_id(&["fire", &due.id()]),
        meta,
        &command,
    )
    .await
    .map(drop)
}

/// Stores the end of a delivery (the sending of one message) in its notification. `notification` is the name
/// of the event stream of the notification. `id` identifies this call: a second call with the same `id` does
/// nothing.
pub async fn end_delivery(
    app: &App,
    id: &str,
    notification: &str,
    ended: DeliveryEnded,
    meta: Meta,
) -> Result<(), Error> {
    let command = Command::EndDelivery(ended.clone());
    let id = command_id(&["end", id]);
    let is_new = app.must_execute::<Notification>(notification, id, meta, &command);
    // After a loss of the views, the desk reads all ends again. They say nothing about the account now.
    if is_new.await? {
        health::count(app, notification, &ended).await?;
    }
    Ok(())
}

/// Returns the state of a ticket. If the ticket does not exist, or if the number is empty, returns an empty state.
pub(super) async fn ticket(app: &App, sn: &TicketSn) -> Result<Ticket, Error> {
    if sn.as_str().is_empty() {
        return Ok(Ticket::default());
    }
    Ok(app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0)
}

/// Decides whether a notification is sent now, delayed until the person is available, or not needed. The decision
/// depends on the ticket, the notification policy, and the preferences, the working calendar and the appointments of
/// the person. `held` contains the data of the last hold.
async fn next(
    app: &App,
    requested: &Requested,
    ticket: &Ticket,
    policy: Option<&notification_policy::Defined>,
    held: Option<&Held>,
) -> Result<Next, Error> {
    if let Some(reason) = needlessness(app, requested, ticket).await? {
        return Ok(Next::NotNeeded(reason.to_owned()));
    }
    let reach = Reach::load(app, &requested.person, policy_of(requested, policy)).await?;
    // Without a channel account, a digest is impossible, and the number is not used.
    let recent = if reach.accounts.is_empty() {
        0
    } else {
        recent::count(app, &requested.person, &requested.cause).await?
    };
    let now = app.ledger.clock.now();
    let situation = reach.situation(requested, held, recent, now);
    let decision = decide(&situation);
    if reach.accounts.is_empty() {
        return Ok(Next::Decided(decision));
    }
    let decision = learned_channels::ordered(app, &situation, decision).await?;
    if is_perishable(&situation) {
        // Neither an experiment nor a learned hour delays the message.
        return Ok(Next::Decided(decision));
    }
    let decision = experiments::moved_decision(app, &reach, requested, held, decision, now);
    Ok(Next::Decided(decision.await?))
}

/// Returns the reason why a notification is not needed now, or why the recipient may not know its fact. Returns `None` if
/// the notification is needed.
pub(super) async fn needlessness(
    app: &App,
    requested: &Requested,
    ticket: &Ticket,
) -> Result<Option<&'static str>, Error> {
    if let Some(reason) = not_needed(requested, ticket) {
        return Ok(Some(reason));
    }
    if requested.fact == Fact::ExecutionApproval && !awaits_approval(app, &requested.cause).await? {
        return Ok(Some(NOT_AWAITED));
    }
    if is_hidden(app, requested, ticket).await? {
        return Ok(Some(NOT_READABLE));
    }
    Ok(None)
}

/// Returns true if the recipient only has a subscription, and may not read the ticket. A message would show the recipient
/// that the ticket exists.
pub(super) async fn is_hidden(
    app: &App,
    requested: &Requested,
    ticket: &Ticket,
) -> Result<bool, Error> {
    let is_of_subscription = matches!(requested.role, Role::Subscriber | Role::OwnSubscriber);
    let person = &requested.person;
    Ok(is_of_subscription && !tickets::may(app, Operation::ReadTicket, ticket, person).await?)
}

/// Returns true if the execution of a script still waits for an approval. `cause` is the id of one of its events: the
/// stream and the sequence, separated by a colon.
async fn awaits_approval(app: &App, cause: &str) -> Result<bool, Error> {
    let stream = cause.rsplit_once(':').map_or(cause, |(stream, _)| stream);
    let execution = app.ledger.load::<Execution>(stream).await?;
    Ok(execution.aggregate.0.expires.is_some())
}

/// Returns the names of all channel accounts of a policy.
fn account_names(policy: &notification_policy::Defined) -> Vec<String> {
    let names = policy.accounts.iter().chain(&policy.fallback);
    names.cloned().collect()
}

/// Returns the notification policy for one notification. The channel accounts of the notification replace the accounts
/// of the policy.
pub(super) fn policy_of(
    requested: &Requested,
    policy: Option<&notification_policy::Defined>,
) -> Option<notification_policy::Defined> {
    let mut policy = policy.cloned()?;
    if !requested.accounts.is_empty() {
        policy.accounts.clone_from(&requested.accounts);
    }
    Some(policy)
}

/// The configuration and the preferences that decide how messages reach one person.
pub(super) struct Reach {
    pub(super) preferences: PreferencesChanged,
    of_team: BTreeSet<String>,
    pub(super) zone: TimeZone,
    calendar: Option<calendar::Defined>,
    appointments: Vec<Busy>,
    pub(super) policy: Option<notification_policy::Defined>,
    accounts: BTreeMap<String, channel_account::Defined>,
    suppressed: BTreeMap<String, AddressSuppressed>,
}

impl Reach {
    pub(super) async fn load(
        app: &App,
        person: &PersonId,
        policy: Option<notification_policy::Defined>,
    ) -> Result<Self, Error> {
        let mut reach = Self::without_appointments(app, person, policy, &BTreeMap::new()).await?;
        // The appointments are only read if a message can be held because of them.
        if !reach.accounts.is_empty() {
            reach.appointments =
                presence::appointments(app, &reach.preferences, &reach.zone).await?;
        }
        Ok(reach)
    }

    /// Loads everything except the appointments of the person, which are known only for the next 48 hours. The accounts in
    /// `replaced` replace the stored accounts with the same name. This function only reads.
    pub(super) async fn without_appointments(
        app: &App,
        person: &PersonId,
        policy: Option<notification_policy::Defined>,
        replaced: &BTreeMap<String, channel_account::Defined>,
    ) -> Result<Self, Error> {
        let mut accounts = BTreeMap::new();
        let names = policy.iter().flat_map(account_names);
        for name in names.collect::<Vec<String>>() {
            let account = match replaced.get(&name) {
                Some(account) => Some(account.clone()),
                None => app.configuration.channel_account(&name).await?,
            };
            if let Some(account) = account {
                accounts.insert(name, account);
            }
        }
        let Person(preferences, suppressed) = addresses::person(app, person).await?;
        let preferences = preferences.unwrap_or_default();
        let WithDefaults {
            preferences,
            of_team,
        } = teams::preferences_of(app, person, preferences, policy.as_ref()).await?;
        let calendar = match &preferences.calendar {
            Some(name) => calendars::find(app, name).await?.0.clone(),
            None => None,
        };
        let of_calendar = calendar.as_ref().and_then(|one| one.zone.as_deref());
        let zone = zone(app, preferences.zone.as_deref().or(of_calendar));
        Ok(Self {
            preferences,
            of_team,
            zone,
            calendar,
            appointments: Vec::new(),
            policy,
            accounts,
            suppressed,
        })
    }

    /// Gives the person an address for each account that the policy names, unless the person has one.
    pub(super) fn assume_addresses(&mut self, person: &PersonId) {
        for account in self.accounts.values() {
            if let Some(channel) = channel::find(&account.channel) {
                let addresses = &mut self.preferences.addresses;
                let address = addresses.entry(channel.address_kind().to_owned());
                address.or_insert_with(|| Personal::new(person.clone(), "assumed".into()));
            }
        }
    }

    /// Returns the channel of an account. Returns an empty text for an account that is not defined.
    pub(super) fn channel_of(&self, account: &str) -> &str {
        let account = self.accounts.get(account);
        account.map_or("", |account| &account.channel)
    }

    /// Returns true if at least one account of the policy is defined.
    pub(super) fn has_accounts(&self) -> bool {
        !self.accounts.is_empty()
    }

    /// Returns whether messages to the person are held now.
    pub(super) fn availability(
        &self,
        is_urgent: bool,
        is_critical: bool,
        now: Moment,
    ) -> Availability {
        availability(&Circumstances {
            is_urgent,
            is_critical,
            quiet: self.preferences.quiet.as_ref(),
            do_not_disturb_until: self.preferences.do_not_disturb_until,
            calendar: self.calendar.as_ref(),
            zone: &self.zone,
            appointments: &self.appointments,
            presence_limit: None,
            now,
        })
    }

    /// Returns the data for the decision about one notification. `held` contains the data of its last hold. `recent` is
    /// the number of notifications of the person in the last 10 minutes.
    pub(super) fn situation<'a>(
        &'a self,
        requested: &'a Requested,
        held: Option<&Held>,
        recent: usize,
        now: Moment,
    ) -> Situation<'a> {
        let band = priority::band(self.policy.as_ref(), &requested.priority);
        Situation {
            requested,
            computed: priority::compute(requested, band, now),
            recent,
            is_urgent: requested.is_urgent,
            is_critical: requested.is_critical,
            preferences: &self.preferences,
            of_team: &self.of_team,
            zone: &self.zone,
            calendar: self.calendar.as_ref(),
            appointments: &self.appointments,
            presence_limit: held.and_then(|held| held.presence_limit),
            policy: self.policy.as_ref(),
            accounts: &self.accounts,
            address_kind: |channel| channel::find(channel).map(Channel::address_kind),
            suppressed: &self.suppressed,
            now,
        }
    }
}

/// Returns the time zone with the given name. If the name is `None` or unknown, returns the time zone of the
/// desk.
pub fn zone(app: &App, name: Option<&str>) -> TimeZone {
    name.and_then(|name| times::zone(name).ok())
        .unwrap_or_else(|| app.settings.zone.clone())
}

/// Returns the reason why the notification is not needed any more. Returns `None` if the fact is still true.
pub(super) fn not_needed(requested: &Requested, ticket: &Ticket) -> Option<&'static str> {
    if requested.fact == Fact::ChainGap {
        // This fact has no ticket.
        return None;
    }
    if ticket.opened.is_none() {
        return Some("the ticket does not exist");
    }
    match requested.fact {
        Fact::Finished
        | Fact::Terminated
        | Fact::CallbackFailed
        | Fact::Unreached
        | Fact::AddressMissing
        | Fact::AccountDegraded
        | Fact::ChainGap
        | Fact::Mentioned
        | Fact::Commented
        | Fact::Followed
        | Fact::Subscribed
        | Fact::LoadHigh => None,
        Fact::RatingInvited => ticket.stars.map(|_| "the ticket is rated"),
        _ if ticket.status.is_over() => Some("the ticket has ended"),
        Fact::ApprovalNeeded | Fact::WorkAssigned | Fact::Escalated | Fact::StillWaiting => {
            let waits = requested
                .node
                .is_some_and(|node| waits_for(ticket, node, requested.round, &requested.person));
            (!waits).then_some("the node does not wait for the person any more")
        }
        Fact::Reminded | Fact::Changed => {
            let mut current = ticket.current();
            let waits = current.any(|(_, run)| run.whose_turn().contains(&requested.person));
            (!waits).then_some("the ticket does not wait for the person any more")
        }
        Fact::EscalationStep | Fact::EscalationExhausted => {
            let is_needed = requested
                .node
                .is_some_and(|node| ending(ticket, node, requested.round).is_none());
            (!is_needed).then_some("the ticket does not need the escalation any more")
        }
        Fact::Suspended => {
            (ticket.status != Status::Suspended).then_some("the ticket is not suspended any more")
        }
        Fact::Resumed => {
            (ticket.status == Status::Suspended).then_some("the ticket is suspended again")
        }
        Fact::Progressed | Fact::NodeFailed | Fact::ProcessorsMissing | Fact::ExecutionApproval => {
            let is_current = requested.node.is_some_and(|node| {
                let node_run = ticket.nodes.get(&node);
                node_run.is_some_and(|run| run.is_current() && run.round == requested.round)
            });
            (!is_current).then_some("the ticket has left the node")
        }
    }
}

fn waits_for(ticket: &Ticket, node: NodeId, round: u32, person: &PersonId) -> bool {
    ticket.nodes.get(&node).is_some_and(|node_run| {
        node_run.is_current() && node_run.round == round && node_run.whose_turn().contains(person)
    })
}
