//! Erases the personal data of a person on request.
//!
//! The erasure first removes the user name and the encryption key of the person. Then the erasure
//! removes the data that contains encrypted values of the person: ticket variables, uploaded files
//! and values in stored documents. A report lists the personal data that is not removed.

use std::collections::{BTreeMap, BTreeSet};

use domain::draft::Draft;
use domain::notification::feedback::Feedback;
use domain::views::Card;
use domain::views::ticket_card::TicketCard;
use events::attachment::AttachmentEvent;
use events::notification::{NotificationEvent, Role};
use events::ticket::{Opened, TicketEvent};
use events::{AnyEvent, AttachmentId, Body, Entry, Event, PersonId, Personal, Remark};
use infra::Error;
use infra::store::Commit;
use infra::views::Document;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::App;
use crate::app::attachments;
use crate::app::cards::{read_card, stored_card, write_card};
use crate::app::context::SUPERUSER;
use crate::app::logins::secret_name;
use crate::app::notifications::erased_members::{self, Groups, Known};
use crate::app::notifications::own_subscriptions;
use crate::app::outbound::VARIABLES;

/// Maximum number of commits or stored documents that one read returns.
const PAGE: usize = 500;

/// This lock allows only one erasure at a time. Without this lock, the last two superusers could
/// erase each other at the same time, and the desk would have no superuser.
static ERASING: Mutex<()> = Mutex::const_new(());

/// A function that reports the progress of a search. The argument is the feed position of the last
/// searched commit. The feed is the sequence of all commits.
pub type Progress<'a> = &'a (dyn Fn(i64) + Send + Sync);

/// The reason why a person was not erased.
#[derive(Debug, thiserror::Error)]
pub enum NotErased {
    #[error("no person is registered under {0:?}: nothing to erase")]
    Unknown(String),
    #[error("{0} is the last superuser: add another superuser to role {SUPERUSER} first")]
    LastSuperuser(String),
    #[error(
        "the user name and the key of {person} are removed, but not everything else: erase {person} again ({error})"
    )]
    Unfinished { person: PersonId, error: Error },
    #[error(transparent)]
    Technical(#[from] Error),
}

/// The result of an erasure or of a dry run. The report lists the data that is removed and the data
/// that is not removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub person: PersonId,
    /// True after an erasure. The value is false after a dry run, which does not change any data.
    pub erased: bool,
    /// The event streams that contain values of the person to erase. These values are encrypted
    /// with the key of the person and become unreadable when the key is erased.
    pub sealed: Vec<String>,
    /// The event streams that contain the person id of the person to erase.
    pub named: Vec<String>,
    /// The uploaded files that are encrypted with the key of the person to erase. The erasure
    /// deletes the content of these files.
    pub files: Vec<AttachmentId>,
    /// The number of values of the person that were removed from the key store. Such a value
    /// contains the ticket variables or the inputs of an automatic workflow node.
    pub secrets: u64,
    /// The number of cards and drafts that contained a value of the person to erase. A card is the
    /// stored summary of a ticket.
    pub documents: u64,
    pub remaining: Vec<Remaining>,
}

/// One kind of personal data that an erasure does not remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remaining {
    pub kind: &'static str,
    /// The number of objects that contain this kind of personal data. The value is `None` if the
    /// number is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    pub detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
}

/// Returns a report about the data that an erasure of a person would remove. This function searches
/// all commits for this data, but changes no data. The parameter `person` is a user name or a
/// person id. `is_configuration` returns true for the name of a configuration stream. `progress`
/// reports the progress of the search.
pub async fn survey(
    app: &App,
    person: &str,
    is_configuration: fn(&str) -> bool,
    progress: Progress<'_>,
) -> Result<Report, NotErased> {
    let pid = find(app, person).await?;
    let mut inventory = Inventory::default();
    inventory.read(app, &pid, progress).await?;
    check(app, &pid, person, &inventory).await?;
    let documents = documents(app, &pid, false).await?;
    let mut known = Known::read(app, &pid).await?;
    let groups = erased_members::leave(app, &pid, &inventory.named, &mut known, false).await?;
    let found = (inventory, groups);
    Ok(report(app, pid, found, is_configuration, documents, false).await?)
}

/// Erases a person permanently, and returns a report about the removed data. The parameter `person`
/// is a user name or a person id. An interrupted erasure may have removed the user name already. To
/// complete such an erasure, the caller must use the person id.
///
/// `is_configuration` returns true for the name of a configuration stream. This function searches
/// all commits for data of the person, and `progress` reports the progress of this search.
pub async fn erase(
    app: &App,
    person: &str,
    is_configuration: fn(&str) -> bool,
    progress: Progress<'_>,
) -> Result<Report, NotErased> {
    let _one = ERASING.lock().await;
    let pid = find(app, person).await?;
    let mut inventory = Inventory::default();
    inventory.read(app, &pid, progress).await?;
    check(app, &pid, person, &inventory).await?;
    // The platforms need the address of the person for the removal from chat groups, so the removal is requested first.
    let mut known = Known::read(app, &pid).await?;
    erased_members::leave(app, &pid, &inventory.named, &mut known, true).await?;
    own_subscriptions::clear(app, &pid).await?;
    app.ledger.forget(&pid).await?;
    match clean(app, &pid, &mut inventory, &mut known, progress).await {
        Ok((documents, groups)) => {
            let found = (inventory, groups);
            Ok(report(app, pid, found, is_configuration, documents, true).await?)
        }
        Err(error) => {
            // The log also contains the person id, because a disconnected client does not receive
            // this error. The operator needs the person id to complete the erasure.
            tracing::error!(person = %pid, %error, "an erasure is incomplete; erase the person again by this id");
            Err(NotErased::Unfinished { person: pid, error })
        }
    }
}

/// Returns the person id for a user name. A parameter `person` that is already a person id is
/// returned without change. The caller later checks whether this person exists in the ledger.
async fn find(app: &App, person: &str) -> Result<PersonId, NotErased> {
    match app.ledger.keys.find(person).await? {
        Some(pid) => Ok(pid),
        None if PersonId::is_id(person) => Ok(PersonId::from(person)),
        None => Err(NotErased::Unknown(person.to_owned())),
    }
}

async fn check(
    app: &App,
    pid: &PersonId,
    person: &str,
    inventory: &Inventory,
) -> Result<(), NotErased> {
    if inventory.named.is_empty() && app.ledger.keys.name(pid).await?.is_none() {
        return Err(NotErased::Unknown(person.to_owned()));
    }
    let role = app.configuration.role(SUPERUSER).await?;
    let members = role
        .0
        .as_ref()
        .map(|role| role.members.as_slice())
        .unwrap_or_default();
    if !members.contains(pid) || app.ledger.keys.name(pid).await?.is_none() {
        return Ok(());
    }
    for other in members.iter().filter(|other| *other != pid) {
        if app.ledger.keys.name(other).await?.is_some() {
            return Ok(());
        }
    }
    Err(NotErased::LastSuperuser(person.to_owned()))
}

/// Removes the remaining personal data after the encryption key was erased: secrets, file contents,
/// values in stored documents, and old copies of the key. Returns the number of stored documents
/// from which values were removed, and the chat groups that contain the person.
async fn clean(
    app: &App,
    pid: &PersonId,
    inventory: &mut Inventory,
    known: &mut Known,
    progress: Progress<'_>,
) -> Result<(u64, Groups), Error> {
    // The first search ended before the key was erased. Other requests may have written commits
    // about the person in the meantime. This second search finds these commits.
    inventory.read(app, pid, progress).await?;
    let groups = erased_members::leave(app, pid, &inventory.named, known, true).await?;
    own_subscriptions::clear(app, pid).await?;
    for name in &inventory.secrets {
        app.ledger.keys.remove_secret(name).await?;
    }
    // Deletes the password hash with which the person logged in to the web console.
    app.ledger.keys.remove_secret(&secret_name(pid)).await?;
    // Removes old copies of the user name and the encryption key of the person from the key store.
    // This call fails if another process reads the key store at the same time. Even after such a
    // failure, the code below removes all remaining data of the person.
    let scrubbed = app.ledger.keys.scrub().await;
    for id in &inventory.files {
        attachments::erase_content(app, id).await?;
    }
    let documents = documents(app, pid, true).await?;
    scrubbed.map(|()| (documents, groups))
}

/// Returns the number of stored documents that contain values of a person. These documents are
/// drafts, cards (the stored summaries of tickets) and feedback on notifications. If `anew` is true, this function also writes
/// each of these documents again without the values.
async fn documents(app: &App, pid: &PersonId, anew: bool) -> Result<u64, Error> {
    Ok(documents_of::<TicketCard>(app, pid, anew).await?
        + documents_of::<Draft>(app, pid, anew).await?
        + documents_of::<Feedback>(app, pid, anew).await?)
}

async fn documents_of<C: Card>(app: &App, pid: &PersonId, anew: bool) -> Result<u64, Error> {
    let (mut found, mut after) = (0, String::new());
    loop {
        let page = app.views.scan(C::VIEW, &after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after.clone_from(last);
        for (key, document) in page {
            if !names(&document.body, pid) || !holds(&mut stored_card::<C>(&key, &document)?, pid) {
                continue;
            }
            found += 1;
            if anew {
                let card: C = read_card(&app.ledger, &key, &document).await?;
                let body = write_card(&app.ledger, &card).await?;
                // If another process stored a newer document in the meantime, this write has no
                // effect. The newer document does not contain the values of the person, because the
                // key of the person is already erased.
                let sequence = document.sequence;
                app.views
                    .put_with(
                        C::VIEW,
                        &key,
                        &Document { sequence, body },
                        &card.index(),
                        &card.facets(),
                        sequence,
                    )
                    .await?;
            }
        }
        tokio::task::yield_now().await;
    }
}

fn holds<C: Card>(card: &mut C, pid: &PersonId) -> bool {
    card.personals()
        .iter()
        .any(|personal| personal.subject == *pid && !personal.is_erased())
}

/// Returns true if the text of a commit or a stored document contains the person id.
fn names(body: &[u8], pid: &PersonId) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.contains(pid.as_str()))
}

/// Lists the places in the ledger that contain data of one person. The size of this list depends on
/// the amount of this data, and not on the size of the ledger.
#[derive(Default)]
struct Inventory {
    /// The feed position of the last searched commit. The feed is the sequence of all commits.
    position: i64,
    named: BTreeSet<String>,
    sealed: BTreeSet<String>,
    files: BTreeSet<AttachmentId>,
    /// The event streams of uploaded files that are encrypted with the key of the desk. The person
    /// uploaded these files, but the key of the person did not encrypt the files.
    shared_files: BTreeSet<String>,
    secrets: BTreeSet<String>,
    /// The event streams of tickets with unencrypted text from this person.
    plain: BTreeSet<String>,
    imported: BTreeSet<String>,
    /// The event streams of notifications from before the names of own subscriptions were sealed.
    subscribed: BTreeSet<String>,
    unreadable: BTreeSet<String>,
}

impl Inventory {
    /// Searches the next commits of the feed for data of the person. The search starts after the
    /// last searched position, and reads only unencrypted parts of the commits.
    async fn read(
        &mut self,
        app: &App,
        pid: &PersonId,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        loop {
            let page = app.ledger.store.feed(self.position, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            self.position = last.position;
            for placed in page.iter().filter(|placed| names(&placed.commit.body, pid)) {
                self.take(pid, &placed.commit);
            }
            progress(self.position);
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, pid: &PersonId, commit: &Commit) {
        let stream = &commit.stream;
        self.named.insert(stream.clone());
        let Ok(mut body) = Body::read(&commit.body) else {
            self.unreadable.insert(stream.clone());
            return;
        };
        self.take_sealed(pid, stream, body.meta.personals());
        for raw in &body.events {
            let Ok(mut event) = AnyEvent::read(raw) else {
                self.unreadable.insert(stream.clone());
                continue;
            };
            self.take_sealed(pid, stream, event.personals());
            match &event {
                AnyEvent::TicketEvent(event) => self.take_ticket(pid, stream, event),
                AnyEvent::AttachmentEvent(event) => self.take_file(pid, stream, event),
                AnyEvent::NotificationEvent(NotificationEvent::Requested(requested))
                    if requested.role == Role::OwnSubscriber && !requested.name.is_empty() =>
                {
                    self.subscribed.insert(stream.clone());
                }
                _ => {}
            }
        }
    }

    fn take_sealed(&mut self, pid: &PersonId, stream: &str, personals: Vec<&mut Personal>) {
        if personals.iter().any(|personal| personal.subject == *pid) {
            self.sealed.insert(stream.to_owned());
        }
    }

    fn take_file(&mut self, pid: &PersonId, stream: &str, event: &AttachmentEvent) {
        if let AttachmentEvent::UploadStarted(begun) = event {
            match &begun.subject {
                Some(subject) if subject == pid => {
                    self.files.insert(begun.attachment.clone());
                }
                None if begun.by == *pid => drop(self.shared_files.insert(stream.to_owned())),
                _ => {}
            }
        }
    }

    fn take_ticket(&mut self, pid: &PersonId, stream: &str, event: &TicketEvent) {
        match event {
            TicketEvent::Opened(opened) if opened.creator == *pid => {
                self.secrets.extend(opened.variables.clone());
            }
            TicketEvent::NodeRetried(retried) if retried.by == *pid => {
                self.secrets.extend(
                    retried
                        .inputs
                        .values()
                        .filter(|value| value.starts_with(VARIABLES))
                        .cloned(),
                );
            }
            TicketEvent::RowImported(observed) if observed.actor == pid.as_str() => {
                self.imported.insert(stream.to_owned());
            }
            _ => {}
        }
        if has_plain_text_of(event, pid) {
            self.plain.insert(stream.to_owned());
        }
    }
}

/// Returns true if an event contains unencrypted text of the person. Such a text is, for example,
/// the reason of a vote.
fn has_plain_text_of(event: &TicketEvent, pid: &PersonId) -> bool {
    let of_form = |form: &[Entry]| {
        form.iter()
            .any(|entry| entry.personal.is_none() && !entry.value.is_null())
    };
    let of_text = |remark: &Remark| !remark.text.is_empty();
    match event {
        TicketEvent::Opened(opened) => opened.creator == *pid && !opened.dynamic_fields.is_empty(),
        TicketEvent::NodeCompleted(completed) => {
            completed.by == *pid && (of_form(&completed.form) || of_text(&completed.reason))
        }
        TicketEvent::VoteCast(vote) => {
            vote.by == *pid && (of_form(&vote.form) || of_text(&vote.reason))
        }
        TicketEvent::FieldsChanged(changed) => changed.by == *pid && of_form(&changed.form),
        TicketEvent::NodeClaimed(claimed) => claimed.by == *pid && of_text(&claimed.reason),
        TicketEvent::NodeAssigned(distributed) => {
            distributed.by == *pid && of_text(&distributed.message)
        }
        TicketEvent::NodeTransferred(delivered) => {
            delivered.by == *pid && of_text(&delivered.message)
        }
        TicketEvent::NodeReassigned(reassigned) => {
            reassigned.by == *pid && of_text(&reassigned.message)
        }
        TicketEvent::NodeRetried(retried) => {
            retried.by == *pid
                && (of_text(&retried.reason)
                    || retried
                        .inputs
                        .values()
                        .any(|value| !value.starts_with(VARIABLES)))
        }
        TicketEvent::NodeSkipped(skipped) => {
            skipped.by == *pid && (of_text(&skipped.reason) || !skipped.outputs.is_empty())
        }
        TicketEvent::TransitionTaken(taken) => {
            taken.by.as_ref() == Some(pid) && of_text(&taken.reason)
        }
        TicketEvent::Suspended(suspended) => suspended.by == *pid && of_text(&suspended.reason),
        TicketEvent::Resumed(resumed) => resumed.by == *pid && of_text(&resumed.reason),
        TicketEvent::Withdrawn(withdrawn) => withdrawn.by == *pid && of_text(&withdrawn.reason),
        TicketEvent::Terminated(terminated) => terminated.by == *pid && of_text(&terminated.reason),
        TicketEvent::Closed(closed) => closed.by == *pid && of_text(&closed.reason),
        TicketEvent::RemarkAdded(remarked) => remarked.by == *pid && of_text(&remarked.text),
        TicketEvent::Rated(rated) => rated.by == *pid && of_text(&rated.comment),
        TicketEvent::Reminded(reminded) => reminded.by == *pid && of_text(&reminded.message),
        TicketEvent::Acknowledged(acknowledged) => {
            acknowledged.by == *pid && of_text(&acknowledged.reason)
        }
        TicketEvent::Escalated(escalated) => escalated.by == *pid && of_text(&escalated.reason),
        _ => false,
    }
}

async fn report(
    app: &App,
    person: PersonId,
    (inventory, groups): (Inventory, Groups),
    is_configuration: fn(&str) -> bool,
    documents: u64,
    erased: bool,
) -> Result<Report, Error> {
    let waiting = app
        .views
        .count(
            "ticket",
            "todo",
            &format!("{person}|"),
            &format!("{person}|~"),
        )
        .await?;
    let mut remaining = plain_texts(app, &inventory.plain).await?;
    let configuration = inventory
        .named
        .iter()
        .filter(|stream| is_configuration(stream))
        .cloned()
        .collect();
    let mut add = |kind: &'static str, streams: BTreeSet<String>, detail: &str| {
        if !streams.is_empty() {
            let (count, streams) = (Some(streams.len() as u64), streams.into_iter().collect());
            remaining.push(Remaining {
                kind,
                count,
                detail: detail.to_owned(),
                streams,
            });
        }
    };
    add(
        "imported_rows",
        inventory.imported,
        "imported tickets name the person by id; their other columns are kept as they were imported",
    );
    add(
        "shared_files",
        inventory.shared_files,
        "files that the person uploaded for everyone, such as templates of workflows, stay readable",
    );
    add(
        "configuration",
        configuration,
        "roles, services and workflows name the person by id; name another person there",
    );
    add(
        "subscription_names",
        inventory.subscribed,
        "notifications of an earlier version contain the name of a subscription of the person",
    );
    add(
        "chat_groups",
        groups.left,
        "open chat groups contain the person; the desk removes the person at the platform, and destroys the address for it after the removal, at the latest after two days",
    );
    add(
        "chat_group_members",
        groups.kept,
        "open chat groups possibly contain the person, but the desk has no address; remove the person at the platform",
    );
    add(
        "unreadable",
        inventory.unreadable,
        "streams name the person, but this version of the program cannot read them",
    );
    if waiting > 0 {
        let detail =
            "tickets wait for the person, who cannot act any more; reassign them".to_owned();
        remaining.push(Remaining {
            kind: "waiting",
            count: Some(waiting),
            detail,
            streams: Vec::new(),
        });
    }
    let uncounted = [
        (
            "callbacks",
            "the receivers of callbacks, with their headers, belong to the apps that opened the tickets",
        ),
        (
            "inbound_messages",
            "callbacks of external systems are sealed under the key of the desk and may name the person",
        ),
        (
            "other_people",
            "text and files of other people may mention the person",
        ),
        (
            "copies",
            "copies of the key store that were made before, and exports and reports that were printed before, can still contain the person's data",
        ),
        (
            "service_task",
            "the organization directory, the receivers of callbacks and API calls, and logs of systems in front of the desk keep what they have",
        ),
    ];
    remaining.extend(uncounted.map(|(kind, detail)| Remaining {
        kind,
        count: None,
        detail: detail.to_owned(),
        streams: Vec::new(),
    }));
    Ok(Report {
        person,
        erased,
        sealed: inventory.sealed.into_iter().collect(),
        named: inventory.named.into_iter().collect(),
        files: inventory.files.into_iter().collect(),
        secrets: inventory.secrets.len() as u64,
        documents,
        remaining,
    })
}

/// Returns the tickets that contain unencrypted text of a person. The result has one entry per
/// service.
async fn plain_texts(app: &App, streams: &BTreeSet<String>) -> Result<Vec<Remaining>, Error> {
    let mut by_service: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for stream in streams {
        let service = opened(app, stream)
            .await?
            .map(|opened| (opened.seals_text, opened.service_name))
            .unwrap_or_default();
        by_service.entry(service).or_default().push(stream.clone());
    }
    let remaining = |((seals_text, service), streams): ((bool, String), Vec<String>)| {
        let (kind, detail) = if seals_text {
            (
                "unsealed_choices",
                format!(
                    "tickets contain choices of this person, which stay (service {service} seals its text)"
                ),
            )
        } else {
            (
                "unsealed_text",
                format!(
                    "tickets contain text of this person that is not sealed (service {service} does not seal its text)"
                ),
            )
        };
        Remaining {
            kind,
            count: Some(streams.len() as u64),
            detail,
            streams,
        }
    };
    Ok(by_service.into_iter().map(remaining).collect())
}

/// Returns the event that opened a ticket, from the first commit of the ticket stream. Returns
/// `None` if this commit does not contain such an event.
async fn opened(app: &App, stream: &str) -> Result<Option<Opened>, Error> {
    let first = app.ledger.store.forward(stream, 1, 1).await?;
    let Some(body) = first
        .first()
        .and_then(|commit| Body::read(&commit.body).ok())
    else {
        return Ok(None);
    };
    let opened = body
        .events
        .first()
        .and_then(|raw| TicketEvent::read(raw).ok());
    Ok(match opened {
        Some(TicketEvent::Opened(opened)) => Some(opened),
        _ => None,
    })
}
