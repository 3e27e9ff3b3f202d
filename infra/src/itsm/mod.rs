//! External ITSMs: one file per system, each a pure codec of requests and responses.
//!
//! **Recipe, an external ITSM**: add one file with an implementation of [`Itsm`], its `mod` line and
//! its entry in [`ALL`]. Attempts, leases and deadlines are already in the runner.

pub mod bk_itsm;

use domain::api_call::plan::PlannedRequest;
use domain::itsm::application::Answer;
use events::integration::Defined;
use serde_json::Value;

use crate::http::{HttpError, HttpResponse};

/// The connection to one external ITSM.
#[derive(Clone, Debug)]
pub struct Connection {
    pub integration: Defined,
    /// The secret of the app under which the desk calls the external ITSM.
    pub secret: String,
}

/// One request to an external ITSM.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Creates a ticket.
    Create {
        service: i64,
        /// The user name of the person for whom the ticket is created.
        creator: String,
        fields: Vec<(String, Value)>,
        /// The URL that the external ITSM calls at the end of the ticket. The URL contains a
        /// secret.
        callback_url: String,
        /// The mark by which [`Request::Find`] finds the ticket, at most 32 characters.
        mark: String,
    },
    /// Searches for the ticket that was created with a mark ([`Request::Create`]).
    Find { creator: String, mark: String },
    /// Lets the external ITSM verify the token of a callback.
    Verify { token: String },
    /// Reads a ticket.
    Read { external: String },
}

/// The codec of one kind of external ITSM.
pub trait Itsm: Send + Sync {
    /// Returns the permanent name, which integrations use as their kind.
    fn name(&self) -> &'static str;
    /// Returns the HTTP request of a request. The error is the English reason why there is none.
    fn request(&self, connection: &Connection, request: &Request)
    -> Result<PlannedRequest, String>;
    /// Returns the meaning of a response.
    fn answer(&self, request: &Request, response: &Result<HttpResponse, HttpError>) -> Answer;
}

/// Every kind of external ITSM.
pub const ALL: &[&dyn Itsm] = &[&bk_itsm::BkItsm];

/// Returns the codec of a kind of external ITSM.
pub fn find(kind: &str) -> Option<&'static dyn Itsm> {
    ALL.iter().find(|itsm| itsm.name() == kind).copied()
}
