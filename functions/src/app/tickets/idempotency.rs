//! Handles the idempotency keys of requests that open tickets. Before a ticket is opened, a ticket
//! number is reserved for the idempotency key. A repeated request gets the same number and
//! therefore opens no second ticket. The reservation never expires.

use domain::idempotency_key::{self, IdempotencyKey};
use domain::ticket::Ticket;
use events::idempotency_key::Reserved;
use events::ticket::Opened;
use events::{Meta, TicketSn};
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;

/// The idempotency key of a request, and a hash of this request.
#[derive(Clone, Debug)]
pub struct Key {
    pub app: String,
    pub key: String,
    /// The BLAKE3 hash of the request, in hexadecimal digits. If a later request has the same key
    /// but another hash, the later request is rejected.
    pub request: String,
}

/// The reason why a request did not open a ticket.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    #[error(transparent)]
    Refused(#[from] ExecuteError<Ticket>),
    #[error("the idempotency key was used for another request")]
    KeyReused,
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self::Refused(ExecuteError::Technical(error))
    }
}

/// Returns the ticket that an earlier request with the same idempotency key opened. Returns `None`
/// if no such ticket exists. Returns an error if the earlier request had different content.
pub async fn opened_before(app: &App, key: &Key) -> Result<Option<Opened>, NotOpened> {
    let Some((sn, _)) = reserved(app, key).await? else {
        return Ok(None);
    };
    Ok(app
        .ledger
        .load::<Ticket>(&sn.stream())
        .await?
        .aggregate
        .0
        .opened)
}

fn key_stream(key: &Key) -> String {
    format!(
        "idempotency_key-{}",
        hex(&command_id(&["idempotency_key", &key.app, &key.key]))
    )
}

pub(super) async fn reserved(app: &App, key: &Key) -> Result<Option<(TicketSn, i64)>, NotOpened> {
    let bound = app
        .ledger
        .load::<IdempotencyKey>(&key_stream(key))
        .await?
        .aggregate
        .0;
    match bound.reserved {
        Some(reserved) if reserved.request != key.request => Err(NotOpened::KeyReused),
        reserved => Ok(reserved.map(|reserved| (reserved.sn, reserved.id))),
    }
}

pub(super) async fn reserve(
    app: &App,
    key: &Key,
    (sn, id): (TicketSn, i64),
    meta: &Meta,
) -> Result<(TicketSn, i64), NotOpened> {
    let wanted = Reserved {
        sn,
        id,
        request: key.request.clone(),
    };
    let command_envelope = CommandEnvelope {
        stream: key_stream(key),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    match app
        .ledger
        .execute::<IdempotencyKey>(
            &command_envelope,
            &idempotency_key::Command(wanted.clone()),
            &NoContext,
        )
        .await
    {
        Ok(_) => Ok((wanted.sn, wanted.id)),
        Err(ExecuteError::Rejected(idempotency_key::Rejection::AlreadyReserved(first))) => {
            Ok((first.sn, first.id))
        }
        Err(ExecuteError::Rejected(idempotency_key::Rejection::KeyReused)) => {
            Err(NotOpened::KeyReused)
        }
        Err(ExecuteError::Technical(error)) => Err(error.into()),
    }
}
