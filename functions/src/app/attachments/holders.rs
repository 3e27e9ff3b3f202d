//! Links uploaded files to their holders. A holder is a ticket, a draft or a workflow that contains
//! the file.
//!
//! A file is linked first, and then added to the holder. The reason is that the desk deletes files
//! without a link. If the file were added first, the desk could delete a file that the holder
//! already contains.

use domain::attachment::{ALONE_MS, Attachment, Command, Rejection};
use domain::draft::{DRAFT_MS, Draft};
use domain::permission::Operation;
use domain::ticket::{Command as TicketCommand, Ticket};
use events::attachment::Holder;
use events::{AttachmentId, Meta, Moment, PersonId, TicketSn};
use infra::{Error, ExecuteError};

use super::parts::prune;
use super::{NotTaken, execute};
use crate::App;
use crate::app::tickets;

/// Links files to a holder (a ticket, a draft or a workflow). After this call, the caller executes
/// the command that adds the files to the holder. A file that cannot be linked is skipped without
/// an error. The ledger later rejects the command, and the rejection contains the id of this file.
pub async fn attach(
    app: &App,
    ids: &[AttachmentId],
    to: &Holder,
    meta: &Meta,
) -> Result<(), Error> {
    attach_until(app, ids, to, app.ledger.clock.now().plus_ms(ALONE_MS), meta).await
}

/// Links files to a holder (a ticket, a draft or a workflow). At the time `until`, the desk checks
/// whether the holder still contains the files.
pub async fn attach_until(
    app: &App,
    ids: &[AttachmentId],
    to: &Holder,
    until: Moment,
    meta: &Meta,
) -> Result<(), Error> {
    for id in ids {
        let command = Command::Attach {
            to: to.clone(),
            by: meta.actor.clone(),
            until,
        };
        match execute(app, id, &command, meta).await {
            Ok(_) | Err(ExecuteError::Rejected(_)) => {}
            Err(ExecuteError::Technical(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Discards a file and deletes its content. Returns an error if a ticket, a draft or a workflow
/// contains the file.
pub async fn discard(app: &App, id: &AttachmentId, meta: &Meta) -> Result<(), NotTaken> {
    execute(
        app,
        id,
        &Command::Discard {
            by: meta.actor.clone(),
            at: app.ledger.clock.now(),
        },
        meta,
    )
    .await?;
    // If this call fails, the desk deletes the content of the discarded file later. The time of
    // this deletion is the deadline that is stored with the file.
    remove(app, id, meta).await
}

async fn remove(app: &App, id: &AttachmentId, meta: &Meta) -> Result<(), NotTaken> {
    prune(app, id, &[]).await?;
    execute(app, id, &Command::Remove, meta).await?;
    Ok(())
}

/// Decides what happens to an uploaded file at its deadline (the time at which the desk checks the
/// file). The file is kept if a ticket, a draft or a workflow contains the file. Otherwise, the
/// file is deleted.
pub async fn settle(app: &App, stream: &str) -> Result<(), Error> {
    let attachment = app.ledger.load::<Attachment>(stream).await?.aggregate.0;
    let Some(begun) = &attachment.upload_started else {
        return Ok(());
    };
    if attachment.retained || attachment.content_deleted || attachment.due > app.ledger.clock.now()
    {
        return Ok(());
    }
    let meta = Meta::system(stream, stream);
    let settled = if attachment.discarded {
        remove(app, &begun.attachment, &meta).await
    } else {
        match holds(app, &attachment).await? {
            Holds::ForEver => keep(app, &attachment, &meta).await,
            Holds::Until(place, until) => Ok(attach_until(
                app,
                std::slice::from_ref(&begun.attachment),
                &place,
                until,
                &meta,
            )
            .await?),
            Holds::Not => discard(app, &begun.attachment, &meta).await,
        }
    };
    match settled {
        Ok(()) => Ok(()),
        Err(NotTaken::Technical(error)) => Err(error),
        // Another command changed the file at the same time. The desk therefore does not change the
        // file now.
        Err(other) => {
            tracing::info!(%other, stream, "a file was settled by somebody else");
            Ok(())
        }
    }
}

/// Stores that a file is kept permanently. Also deletes the stored parts that do not belong to the
/// completed file. The client replaced these parts with other parts during the upload.
async fn keep(app: &App, attachment: &Attachment, meta: &Meta) -> Result<(), NotTaken> {
    let (begun, received) = (
        attachment
            .upload_started
            .as_ref()
            .ok_or(Rejection::Unknown)?,
        attachment.uploaded.as_ref().ok_or(Rejection::Incomplete)?,
    );
    prune(app, &begun.attachment, &received.parts).await?;
    execute(app, &begun.attachment, &Command::Keep, meta).await?;
    Ok(())
}

/// Describes for how long a ticket, a draft or a workflow contains a file.
enum Holds {
    Not,
    Until(Holder, Moment),
    ForEver,
}

/// Returns the time for which a ticket, a draft or a workflow contains the file. If the file is
/// linked to several of these objects, the result is the longest time.
async fn holds(app: &App, attachment: &Attachment) -> Result<Holds, Error> {
    let Some(begun) = &attachment.upload_started else {
        return Ok(Holds::Not);
    };
    let mut longest = Holds::Not;
    for place in &attachment.places {
        match place {
            Holder::Ticket(sn)
                if holder(app, sn)
                    .await?
                    .attachments
                    .contains(&begun.attachment) =>
            {
                return Ok(Holds::ForEver);
            }
            Holder::Workflow(id)
                if app
                    .configuration
                    .drawn(*id)
                    .await?
                    .attachments()
                    .contains(&begun.attachment) =>
            {
                return Ok(Holds::ForEver);
            }
            Holder::Ticket(_) | Holder::Workflow(_) => {}
            Holder::Draft(id) => {
                let draft = app.ledger.load::<Draft>(&id.stream()).await?.aggregate.0;
                let Some(saved) = draft
                    .saved
                    .as_ref()
                    .filter(|_| draft.attachments().contains(&begun.attachment))
                else {
                    continue;
                };
                let until = saved
                    .due
                    .unwrap_or_else(|| app.ledger.clock.now().plus_ms(DRAFT_MS))
                    .plus_ms(ALONE_MS);
                if !matches!(&longest, Holds::Until(_, other) if *other >= until) {
                    longest = Holds::Until(place.clone(), until);
                }
            }
        }
    }
    Ok(longest)
}

async fn holder(app: &App, sn: &TicketSn) -> Result<Ticket, Error> {
    Ok(app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0)
}

/// Returns true if the person `reader` may read a file.
///
/// A person may read an uploaded file in three cases:
///
/// - The person uploaded the file.
/// - A workflow contains the file.
/// - A ticket contains the file, and the person may see this ticket.
pub async fn may_read(
    app: &App,
    attachment: &Attachment,
    reader: &PersonId,
) -> Result<bool, Error> {
    let Some(begun) = &attachment.upload_started else {
        return Ok(false);
    };
    if begun.by == *reader {
        return Ok(true);
    }
    for place in &attachment.places {
        match place {
            Holder::Draft(_) => {}
            Holder::Workflow(id) => {
                if app
                    .configuration
                    .drawn(*id)
                    .await?
                    .attachments()
                    .contains(&begun.attachment)
                {
                    return Ok(true);
                }
            }
            Holder::Ticket(sn) => {
                let ticket = holder(app, sn).await?;
                if ticket.attachments.contains(&begun.attachment)
                    && tickets::may(app, Operation::ReadTicket, &ticket, reader).await?
                {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Links the files in a ticket command to the ticket before the command is executed. With this
/// order, the desk cannot delete a file that the ticket already contains. The desk deletes only
/// files without a link.
///
/// Returns false if the ticket would reject the command in its current state. The files are then
/// not linked. If the command is accepted later, the caller must call [`attach_after`].
pub async fn attach_for(
    app: &App,
    sn: &TicketSn,
    command: &TicketCommand,
    meta: &Meta,
) -> Result<bool, Error> {
    if command.attachments().is_empty() {
        return Ok(true);
    }
    match app
        .ledger
        .foresee::<Ticket>(&sn.stream(), command, &*app.configuration)
        .await
    {
        Ok((before, after)) => {
            let new: Vec<AttachmentId> = after
                .attachments
                .difference(&before.attachments)
                .cloned()
                .collect();
            attach(app, &new, &Holder::Ticket(sn.clone()), meta)
                .await
                .map(|()| true)
        }
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Links the files in a ticket command to the ticket after the command was accepted. The caller
/// uses this function only if [`attach_for`] returned false for the same command.
pub async fn attach_after(
    app: &App,
    sn: &TicketSn,
    command: &TicketCommand,
    ticket: &Ticket,
    meta: &Meta,
) -> Result<(), Error> {
    let held: Vec<AttachmentId> = command
        .attachments()
        .into_iter()
        .filter(|id| ticket.attachments.contains(id))
        .collect();
    attach(app, &held, &Holder::Ticket(sn.clone()), meta).await
}
