//! Converts requests and responses for external ITSM systems (systems for IT service management).
//! Each kind of system has one file. The code in these files does no I/O.
//!
//! **How to add an external ITSM**: Add one file with an implementation of [`Itsm`], its `mod` line
//! and its entry in [`ALL`]. Attempts, leases (exclusive rights to make an attempt) and deadlines
//! need no new code, because the queue worker implements them.

pub mod bk_itsm;

use domain::api_call::plan::PlannedRequest;
use domain::itsm::application::Answer;
use events::Moment;
use events::integration::Defined;
use serde_json::Value;

use crate::http::{HttpError, HttpResponse};

/// The settings for requests to one external ITSM (system for IT service management).
#[derive(Clone, Debug)]
pub struct Connection {
    pub integration: Defined,
    /// The password with which the desk identifies itself to the external ITSM as an API client
    /// (app).
    pub secret: String,
}

/// One request to an external ITSM (system for IT service management).
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Searches for services that the external ITSM displays to a group (`display_role`) of the type `display_type`. An
    /// empty text is not part of the search.
    Discover {
        display_type: String,
        display_role: String,
    },
    /// Creates a ticket in the external ITSM.
    Create {
        service: i64,
        /// User name of the person who becomes the creator of the ticket.
        creator: String,
        fields: Vec<(String, Value)>,
        /// The URL that the external ITSM calls when the ticket ends. The URL contains a secret.
        callback_url: String,
        /// A unique text of at most 32 characters. The external ITSM stores this text in the
        /// ticket, so that [`Request::Find`] can find the ticket by the text.
        mark: String,
    },
    /// Searches for the ticket that [`Request::Create`] created with the unique text `mark`. The ticket was created
    /// after the time `since`.
    Find {
        creator: String,
        mark: String,
        since: Moment,
    },
    /// Sends the token of a callback (an incoming request that claims to come from the external
    /// ITSM) to the external ITSM. The external ITSM checks whether the token is valid.
    Verify { token: String },
    /// Reads a ticket of the external ITSM. `mark` is the text with which the desk created it. A ticket with another
    /// text is not the ticket of the desk.
    Read { external: String, mark: String },
    /// Reads the status of one ticket, and the result of its approval. The result is not among the fields of the ticket.
    ReadResult { external: String, mark: String },
    /// Reads the statuses of several tickets. The largest number is [`Itsm::statuses_max`].
    Statuses { externals: Vec<String> },
    /// Reads the numbers of the tickets about which a callback of the external ITSM failed.
    FailedCallbacks,
    /// Withdraws a ticket of the external ITSM as its creator.
    Withdraw {
        external: String,
        /// The account that created the ticket.
        creator: String,
        reason: String,
    },
}

/// Converts requests and responses for one kind of external ITSM.
pub trait Itsm: Send + Sync {
    /// Returns the permanent name of this kind of ITSM. Stored integrations (connections to
    /// external ITSM systems) contain this name, so the name must not change.
    fn name(&self) -> &'static str;
    /// Converts a request to an HTTP request. If the conversion is not possible, returns the reason
    /// as an English text.
    fn request(&self, connection: &Connection, request: &Request)
    -> Result<PlannedRequest, String>;
    /// Returns the largest number of tickets whose statuses one request reads.
    fn statuses_max(&self) -> usize;
    /// Converts the HTTP response, or the HTTP error, to an answer to the request.
    fn answer(&self, request: &Request, response: &Result<HttpResponse, HttpError>) -> Answer;
}

/// All kinds of external ITSM systems (systems for IT service management) that the desk supports.
pub const ALL: &[&dyn Itsm] = &[&bk_itsm::BkItsm];

/// Returns the implementation for a kind of external ITSM, or `None` if the kind is unknown.
pub fn find(kind: &str) -> Option<&'static dyn Itsm> {
    ALL.iter().find(|itsm| itsm.name() == kind).copied()
}
