//! Saves, lists and deletes drafts and templates. A draft is a form that is not submitted yet. A
//! template is a form that its owner can use for several tickets.

use domain::attachment::ALONE_MS;
use domain::draft::{Command, DRAFT_MS, Draft, Rejection};
use events::attachment::Holder;
use events::draft::{FormRef, Saved};
use events::{DraftId, Entry, Meta, PersonId};
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
use crate::app::cards::read_card;
use crate::app::{attachments, tickets};

/// Maximum number of form templates (forms that their owner can use for several tickets) that one
/// person can save.
pub const TEMPLATES_MAX: usize = 200;
/// Number of drafts that a task reads before the task yields to other tasks.
const READ_AT_ONCE: usize = 8;

/// Returns the id under which a form is saved. A person has at most one draft for each form. The id
/// of a draft therefore depends only on the person and the form. A template always gets a new id.
pub fn id(app: &App, owner: &PersonId, form_ref: &FormRef) -> DraftId {
    let place = match form_ref {
        FormRef::Service(service) => format!("service|{service}"),
        FormRef::Node { ticket, node } => format!("node|{ticket}|{node}"),
        FormRef::Template { .. } => return DraftId(hex(&app.ledger.fresh_id())),
    };
    DraftId(hex(&command_id(&["draft", owner.as_str(), &place])))
}

/// Returns a saved draft or template. Returns `None` if the id is unknown or the draft or template
/// belongs to another person.
pub async fn load(app: &App, id: &DraftId, owner: &PersonId) -> Result<Option<Saved>, Error> {
    Ok(app
        .ledger
        .load::<Draft>(&id.stream())
        .await?
        .aggregate
        .0
        .saved
        .filter(|saved| saved.owner == *owner))
}

async fn execute(
    app: &App,
    id: &DraftId,
    command: &Command,
    meta: &Meta,
) -> Result<(), ExecuteError<Draft>> {
    let command_envelope = CommandEnvelope {
        stream: id.stream(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    let outcome = app
        .ledger
        .execute::<Draft>(&command_envelope, command, &NoContext)
        .await?;
    tickets::await_card(app, outcome.position).await;
    Ok(())
}

/// Saves the values of a form as a draft or template with the id `id`. The files in the form are
/// kept as long as the draft or template exists.
pub async fn save(
    app: &App,
    id: &DraftId,
    owner: &PersonId,
    form_ref: FormRef,
    form: Vec<Entry>,
    meta: &Meta,
) -> Result<(), ExecuteError<Draft>> {
    let due = match form_ref {
        FormRef::Template { .. } => None,
        FormRef::Service(_) | FormRef::Node { .. } => {
            Some(app.ledger.clock.now().plus_ms(DRAFT_MS))
        }
    };
    let bytes = serde_json::to_vec(&form).map_or(0, |text| text.len());
    app.limits
        .drafted(owner, bytes, app.ledger.clock.now())
        .map_err(ExecuteError::Technical)?;
    let form: Vec<Entry> = form
        .into_iter()
        .map(|entry| entry.owned_by(owner.clone()))
        .collect();
    let saved = Saved {
        draft: id.clone(),
        owner: owner.clone(),
        form_ref,
        form,
        due,
    };
    let named = Draft {
        saved: Some(saved.clone()),
    }
    .attachments();
    let until = due
        .unwrap_or_else(|| app.ledger.clock.now().plus_ms(DRAFT_MS))
        .plus_ms(ALONE_MS);
    attachments::attach_until(app, &named, &Holder::Draft(id.clone()), until, meta)
        .await
        .map_err(ExecuteError::Technical)?;
    execute(app, id, &Command::Save(Box::new(saved)), meta).await
}

/// Deletes a draft or template. `meta` contains the actor. The owner may delete a draft or template
/// at any time. The desk may delete a draft only after its deadline.
pub async fn discard(app: &App, id: &DraftId, meta: &Meta) -> Result<(), ExecuteError<Draft>> {
    execute(
        app,
        id,
        &Command::Discard {
            by: meta.actor.clone(),
            at: app.ledger.clock.now(),
        },
        meta,
    )
    .await
}

/// Deletes the draft of a form after its owner has submitted the form. An error is only logged,
/// because the form is already submitted. After an error, the draft is deleted at its deadline.
pub async fn sent(app: &App, owner: &PersonId, form_ref: &FormRef, meta: &Meta) {
    let id = id(app, owner, form_ref);
    let discarded = match load(app, &id, owner).await {
        Ok(Some(_)) => discard(app, &id, meta).await,
        Ok(None) => Ok(()),
        Err(error) => Err(ExecuteError::Technical(error)),
    };
    if let Err(error) = discarded {
        tracing::warn!(%error, draft = %id, "a draft stays although it was sent");
    }
}

/// Deletes a draft if its deadline is reached. `stream` is the name of the event stream of the
/// draft.
pub async fn expire(app: &App, stream: &str) -> Result<(), Error> {
    let draft = app.ledger.load::<Draft>(stream).await?.aggregate.0;
    let Some(saved) = draft
        .saved
        .filter(|saved| saved.due.is_some_and(|due| due <= app.ledger.clock.now()))
    else {
        return Ok(());
    };
    match discard(app, &saved.draft, &Meta::system(stream, stream)).await {
        Ok(())
        | Err(ExecuteError::Rejected(
            Rejection::NotDue
            | Rejection::NotTheOwner
            | Rejection::NameUnfit
            | Rejection::TooManyFields,
        )) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Returns at most `most` drafts and templates of a person, from the newest to the oldest. The
/// parameter `kind` selects drafts, all templates, or the templates of one service.
pub async fn list(
    app: &App,
    owner: &PersonId,
    kind: &str,
    most: usize,
) -> Result<Vec<Saved>, Error> {
    let (from, to) = (format!("{owner}|{kind}"), format!("{owner}|{kind}|~"));
    let range = Range {
        view: "draft",
        index: "owner",
        from: &from,
        to: &to,
        descending: true,
        skip: 0,
        limit: most,
    };
    let mut found = Vec::new();
    for (at, entry) in app.views.range(range).await?.into_iter().enumerate() {
        // A read of a draft may complete without waiting. A long list of drafts would then block
        // other tasks, so this task yields from time to time.
        if at % READ_AT_ONCE == READ_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let Some(document) = app.views.get("draft", &entry.key).await? else {
            continue;
        };
        let mut draft: Draft = read_card(&app.ledger, &entry.key, &document).await?;
        found.extend(draft.saved.take());
    }
    Ok(found)
}
