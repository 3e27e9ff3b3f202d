//! Reads messages of external ticket systems, and builds the requests that read their records and write back to them.
//! Each kind of system has one file. The code in these files does no I/O.
//!
//! **How to add a kind of system**: Add one file with an implementation of [`Source`], its `mod` line and its entry in
//! [`ALL`]. The storage of messages, the reading of changed records and the writes need no new code.

pub mod atlas;
pub mod bk_itsm_tickets;
pub mod bk_monitor;
pub mod django_helpdesk;
pub mod generic_json;
pub mod jira;
mod rest_list;
pub mod servicenow;
pub mod servicenow_csm;
mod since;
pub mod zammad;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use events::integration::Defined;
use jiff::civil::DateTime;
use ring::hmac;
use serde_json::{Map, Value};

use crate::http::{HttpError, HttpResponse};

/// Timeout of one request, milliseconds.
const TIMEOUT_MS: i64 = 10_000;
/// The largest number of records on one page of most systems.
const PAGE_SIZE: usize = 100;
/// Maximum number of records in one message.
const RECORDS_MAX: usize = 100;

/// A message that an external system sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The names of the headers in lower case, with their values.
    pub headers: &'a [(String, String)],
    /// The bytes of the body, as they arrived. Signatures are computed over these bytes.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Returns the value of the header `name`, which must be in lower case. Returns `None` if the header is missing or
    /// occurs twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            // A header that occurs twice does not count: two programs could use different values.
            _ => None,
        }
    }
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivered {
    /// The records that the message contains.
    Records(Vec<Value>),
    /// The message only shows that records have changed. The desk reads the changed records from the system.
    Hint,
}

/// The reason why a message is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    #[error("the header {0} with the signature is missing, or occurs twice")]
    SignatureMissing(&'static str),
    #[error("the signature in the header {0} is wrong")]
    SignatureWrong(&'static str),
    #[error("{0}")]
    Unreadable(String),
}

/// The account with which the desk identifies itself to an external system.
#[derive(Clone, Debug)]
pub struct Account {
    pub integration: Defined,
    /// The password or token of the account.
    pub secret: String,
}

/// One page of records that have changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub records: Vec<Value>,
    /// Where the next request begins. The text has a meaning only for the kind of system.
    pub cursor: String,
    /// Whether further records follow. Otherwise, the next request begins after a pause.
    pub has_more: bool,
}

/// The values and the note that the desk writes to a record in one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordWrite<'a> {
    /// The id of the record.
    pub record: &'a str,
    /// `None` if the status is not written.
    pub status: Option<StatusWrite<'a>>,
    /// `None` if the assignee is not written.
    pub assignee: Option<AssigneeWrite<'a>>,
    /// A note for people: the ticket and its status, and the remarks. The text is empty if no note is written.
    pub note: &'a str,
}

/// A status that the desk writes to a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatusWrite<'a> {
    /// The new status, as the external system writes it.
    pub status: &'a Value,
    /// The JSON pointer to the status in the record.
    pub pointer: &'a str,
    /// Further members that are written together with the status.
    pub also: &'a Map<String, Value>,
    /// The result of [`Api::route`].
    pub route: &'a str,
}

/// An assignee that the desk writes to a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AssigneeWrite<'a> {
    /// The account, as the external system writes it.
    pub account: &'a Value,
    /// The JSON pointer to the account in the record.
    pub pointer: &'a str,
}

impl RecordWrite<'_> {
    /// Returns the status and the assignee at their places in the record.
    fn members(&self) -> Map<String, Value> {
        let mut members = match &self.status {
            Some(status) => object_with(status.pointer, status.status.clone()),
            None => Map::new(),
        };
        if let Some(assignee) = &self.assignee {
            let own = object_with(assignee.pointer, assignee.account.clone());
            merge(&mut members, own);
        }
        members
    }

    /// Adds the further members that are written together with the status.
    fn also(&self, body: &mut Map<String, Value>) {
        if let Some(status) = &self.status {
            body.extend(status.also.clone());
        }
    }
}

/// Adds the members of the second object to the first one. Members that are objects in both are merged.
fn merge(target: &mut Map<String, Value>, other: Map<String, Value>) {
    for (name, value) in other {
        match (target.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(value)) => merge(known, value),
            (_, value) => {
                target.insert(name, value);
            }
        }
    }
}

/// The meaning of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    Done(T),
    /// The external system rejected the request and changed nothing. The text is the reason.
    Rejected(String),
    /// The request had no effect, so it can be sent again.
    NotSent(String),
    /// It is unknown whether the request had an effect.
    Unclear(String),
}

/// Reads the messages of one kind of external system.
pub trait Source: Send + Sync {
    /// Returns the permanent name of this kind of system. Stored integrations contain this name.
    fn name(&self) -> &'static str;
    /// Returns how the system signs its messages, or `None` if it does not sign them.
    fn signature(&self) -> Option<Signature> {
        None
    }
    /// Returns the name of the header with an id that is the same for each repetition of a message.
    fn delivery_header(&self) -> Option<&'static str> {
        None
    }
    /// Reads the body of a message.
    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered>;
    /// Returns true if the desk can identify itself only with a user name and a password, and not with a token.
    fn needs_user(&self) -> bool {
        false
    }
    /// Returns true if the desk identifies itself with the code and the secret of an app, and `user` is the person for whom
    /// it acts. The members `app`, `form` and `carrier` of an integration then have a meaning.
    fn has_app(&self) -> bool {
        false
    }
    /// Returns true if the status of a record can stay the same after the desk has written it, because the record has further
    /// steps. The desk then does not compare the record: a repair would take the next step.
    fn continues_after_write(&self) -> bool {
        false
    }
    /// Checks the query that selects the records which the desk reads. An error is the reason why the query is wrong.
    fn check_filter(&self, _filter: &str) -> Result<(), String> {
        Ok(())
    }
    /// Returns the requests to the API of the system, or `None` if the desk sends it no requests.
    fn api(&self) -> Option<&'static dyn Api> {
        None
    }
    /// Returns true if an integration describes the list from which the desk reads the changed records.
    fn has_described_list(&self) -> bool {
        false
    }
    /// Returns the requests that read the changed records, or `None` if the desk cannot read them.
    fn changes(&self) -> Option<&'static dyn Changes> {
        None
    }
}

/// Builds the requests to the API of one kind of external system.
pub trait Api: Send + Sync {
    /// Builds the request that reads one record.
    fn one(&self, account: &Account, record: &str) -> PlannedRequest;
    /// Reads the response to [`Api::one`]. The result has the form of the records in messages and pages.
    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value>;
    /// Returns how the status of a record can be changed, if the system needs this in the write: for example the id of a
    /// transition. An error is the reason why the record cannot get this status.
    fn route(&self, _record: &Value, _status: &Value) -> Result<String, String> {
        Ok(String::new())
    }
    /// Returns whether an earlier write with this [`Api::route`], whose result is unknown, had its effect, although the record
    /// does not have the status that the desk wrote.
    fn is_executed(&self, _record: &Value, _route: &str) -> bool {
        false
    }
    /// Builds the request that writes values and a note to a record.
    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest;
    /// Reads the response to [`Api::write`]. Some systems answer a write with an empty body, or with another object than the
    /// record.
    fn written(&self, response: &Result<HttpResponse, HttpError>) -> Answer<()> {
        match (self.record(response), response) {
            (Answer::Unclear(_), Ok(response)) if is_readable(response) => Answer::Done(()),
            (answer, _) => answer.and_read(|_| Ok(())),
        }
    }
    /// Returns false if the desk can write notes only together with a status.
    fn writes_notes(&self) -> bool {
        true
    }
    /// Returns false if the desk cannot write the assignee of a record.
    fn writes_assignee(&self) -> bool {
        true
    }
    /// Returns true if the system needs a request of its own for the assignee.
    fn separates_assignee(&self) -> bool {
        false
    }
    /// Returns true if the system needs a request of its own for notes of people.
    fn separates_notes(&self) -> bool {
        false
    }
    /// Builds the request that reads the newest notes of a record.
    fn notes(&self, account: &Account, record: &str) -> PlannedRequest {
        self.one(account, record)
    }
    /// Reads the response to [`Api::notes`]. The result is a text that contains the texts of the notes.
    fn read_notes(&self, response: &Result<HttpResponse, HttpError>) -> Answer<String> {
        succeeded(response).and_read(|body| match body {
            Value::Null => Err("the response is empty".into()),
            body => Ok(body.to_string()),
        })
    }
    /// Returns whether a response to [`Api::notes`] contains all notes of the record. Otherwise, earlier notes can exist.
    fn has_all_notes(&self, _response: &Result<HttpResponse, HttpError>) -> bool {
        true
    }
    /// Builds the request that shows the rights of the account, or `None` if the system does not report them.
    fn rights(&self, _account: &Account) -> Option<PlannedRequest> {
        None
    }
    /// Reads the response to [`Api::rights`]. Returns the names of the rights that the desk does not need, and of those
    /// that it needs but does not have.
    fn read_rights(&self, _response: &Result<HttpResponse, HttpError>) -> Answer<Rights> {
        Answer::Done(Rights::default())
    }
}

/// The difference between the rights of an account and the rights that the desk needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub excess: Vec<String>,
    pub missing: Vec<String>,
}

/// Builds the requests that read the changed records of one kind of external system.
pub trait Changes: Send + Sync {
    /// Returns the largest number of records on one page.
    fn page_size(&self) -> usize {
        PAGE_SIZE
    }
    /// Builds the request that reads the page of records at the cursor. The cursor of the first page is empty. `size` is the
    /// number of records on a full page. A list that began with a larger size can continue with a smaller one: some records
    /// are then read twice.
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest;
    /// Reads the response to [`Changes::changed`].
    fn page(
        &self,
        account: &Account,
        cursor: &str,
        size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page>;
}

/// How a system signs its messages: an HMAC over the bytes of the body, in hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// The name of the header in lower case.
    pub header: &'static str,
    /// The text before the hexadecimal digits, such as `sha256=`, or an empty text.
    pub prefix: &'static str,
    algorithm: &'static hmac::Algorithm,
}

impl std::fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Signature {
    pub const fn sha256(header: &'static str) -> Self {
        Self {
            header,
            prefix: "sha256=",
            algorithm: &hmac::HMAC_SHA256,
        }
    }
    /// Describes an HMAC-SHA256 whose header contains only the hexadecimal digits.
    pub const fn plain_sha256(header: &'static str) -> Self {
        Self {
            prefix: "",
            ..Self::sha256(header)
        }
    }
    pub const fn sha1(header: &'static str) -> Self {
        Self {
            header,
            prefix: "sha1=",
            algorithm: &hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }

    /// Checks the signature of a message. The time of the check does not depend on the content of the signature.
    pub fn check(&self, message: &Message<'_>, secret: &[u8]) -> Result<(), NotDelivered> {
        let given = message
            .header(self.header)
            .ok_or(NotDelivered::SignatureMissing(self.header))?;
        let wrong = NotDelivered::SignatureWrong(self.header);
        let digits = given
            .strip_prefix(self.prefix)
            .ok_or_else(|| wrong.clone())?;
        let bytes = from_hex(digits).ok_or_else(|| wrong.clone())?;
        let key = hmac::Key::new(*self.algorithm, secret);
        hmac::verify(&key, message.body, &bytes).map_err(|_| wrong)
    }

    /// Returns the value of the header for a body. The tests and the imitated systems sign with it.
    pub fn sign(&self, secret: &[u8], body: &[u8]) -> String {
        let key = hmac::Key::new(*self.algorithm, secret);
        let tag = hmac::sign(&key, body);
        format!("{}{}", self.prefix, crate::commit::hex(tag.as_ref()))
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let bytes = digits.as_bytes();
    if !bytes.len().is_multiple_of(2)
        || bytes.len() > 128
        || !bytes.iter().all(u8::is_ascii_hexdigit)
    {
        return None;
    }
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Builds a request with the credentials of the account: a password if the integration has a user, and a bearer token
/// otherwise. `path` is the path below the URL of the integration, or a query.
fn planned(
    account: &Account,
    method: &str,
    path: &str,
    body: Option<(&str, Value)>,
) -> PlannedRequest {
    planned_with(account, "Bearer ", method, path, body)
}

/// Builds a request as [`planned`]. `token` is the text before the token in the header `Authorization`.
fn planned_with(
    account: &Account,
    token: &str,
    method: &str,
    path: &str,
    body: Option<(&str, Value)>,
) -> PlannedRequest {
    let integration = &account.integration;
    let authorization = if integration.user.is_empty() {
        format!("{token}{}", account.secret)
    } else {
        let credentials = format!("{}:{}", integration.user, account.secret);
        format!("Basic {}", STANDARD.encode(credentials))
    };
    planned_as(
        account,
        ("Authorization", authorization),
        method,
        path,
        body,
    )
}

/// Builds a request as [`planned`]. `identity` is the header with the credentials of the account.
fn planned_as(
    account: &Account,
    identity: (&str, String),
    method: &str,
    path: &str,
    body: Option<(&str, Value)>,
) -> PlannedRequest {
    let mut headers = vec![(identity.0.to_owned(), identity.1)];
    let body = body.map(|(kind, body)| {
        headers.push(("Content-Type".to_owned(), kind.to_owned()));
        body
    });
    let slash = if path.starts_with('?') { "" } else { "/" };
    PlannedRequest {
        method: method.to_owned(),
        url: format!(
            "{}{slash}{path}",
            account.integration.url.trim_end_matches('/')
        ),
        headers,
        body,
        timeout_ms: TIMEOUT_MS,
    }
}

/// The media type of most bodies.
const JSON: &str = "application/json";

/// Returns a query for a URL from names and values.
fn query(parameters: &[(&str, &str)]) -> String {
    let parameters = parameters.iter();
    let parameters: Vec<String> = parameters
        .map(|(name, value)| format!("{name}={}", percent(value)))
        .collect();
    format!("?{}", parameters.join("&"))
}

/// Returns an object with the value at the place of a JSON pointer. Numbers in the pointer are names of members, because a
/// merge patch cannot change one entry of a list.
fn object_with(pointer: &str, value: Value) -> Map<String, Value> {
    let names = pointer.trim_start_matches('/').split('/');
    let names: Vec<String> = names
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    let mut inner = value;
    for name in names.into_iter().rev() {
        inner = Value::Object(Map::from_iter([(name, inner)]));
    }
    match inner {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Returns an update time of a record at the precision of one second, without its time zone.
fn second_of(time: &Value) -> Option<DateTime> {
    time.as_str()?.get(..19)?.replace(' ', "T").parse().ok()
}

/// Returns the JSON object of a successful response.
fn object(response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
    succeeded(response).and_read(|body| {
        if body.is_object() {
            Ok(body)
        } else {
            Err("the response is not a record".into())
        }
    })
}

/// All kinds of systems that send cases.
pub const ALL: &[&dyn Source] = &[
    &generic_json::GenericJson,
    &atlas::Atlas,
    &bk_itsm_tickets::BkItsmTickets,
    &bk_monitor::BkMonitor,
    &django_helpdesk::DjangoHelpdesk,
    &jira::Jira,
    &servicenow::ServiceNow,
    &servicenow_csm::ServiceNowCsm,
    &zammad::Zammad,
];

/// Returns the implementation for a kind of system, or `None` if the kind is unknown.
pub fn find(kind: &str) -> Option<&'static dyn Source> {
    ALL.iter().find(|source| source.name() == kind).copied()
}

/// Reads a JSON body.
fn json(body: &[u8]) -> Result<Value, NotDelivered> {
    serde_json::from_slice(body)
        .map_err(|error| NotDelivered::Unreadable(format!("the body is not JSON: {error}")))
}

/// Returns the records of a body that is one record, a list of records, or an object with a list in `member`.
fn records_of(body: Value, member: &str) -> Result<Delivered, NotDelivered> {
    let unreadable = |reason: String| Err(NotDelivered::Unreadable(reason));
    let records = match body {
        Value::Array(records) => records,
        Value::Object(mut members) => match members.remove(member) {
            Some(Value::Array(records)) => records,
            Some(record @ Value::Object(_)) => vec![record],
            Some(_) => return unreadable(format!("`{member}` is neither an object nor a list")),
            None => vec![members.into()],
        },
        _ => return unreadable("the body is neither an object nor a list".into()),
    };
    if records.len() > RECORDS_MAX {
        return unreadable(format!("the message has more than {RECORDS_MAX} records"));
    }
    if let Some(at) = records.iter().position(|record| !record.is_object()) {
        return unreadable(format!("record {at} is not an object"));
    }
    Ok(Delivered::Records(records))
}

/// Returns whether a successful response is empty or JSON. Another response, such as a login page, does not come from the
/// API, so the write was possibly not made.
fn is_readable(response: &HttpResponse) -> bool {
    let is_json = || serde_json::from_slice::<Value>(&response.body).is_ok();
    response.is_success() && !response.is_cut && (response.body.is_empty() || is_json())
}

/// Returns the JSON body of a successful response.
fn succeeded(response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
    let response = match response {
        Ok(response) => response,
        Err(HttpError::NotSent(reason)) => return Answer::NotSent(reason.clone()),
        Err(HttpError::Unknown(reason)) => return Answer::Unclear(reason.clone()),
    };
    match response.status {
        200..=299 if response.is_cut => Answer::Unclear("the response is too long".into()),
        200..=299 if response.body.is_empty() => Answer::Done(Value::Null),
        200..=299 => match serde_json::from_slice(&response.body) {
            Ok(body) => Answer::Done(body),
            Err(_) => Answer::Unclear("the response is not JSON".into()),
        },
        429 => Answer::NotSent("the rate limit is reached (HTTP 429)".into()),
        status @ (408 | 425 | 500..) => Answer::Unclear(format!("the response status is {status}")),
        status => Answer::Rejected(format!("the response status is {status}")),
    }
}

impl<T> Answer<T> {
    /// Converts the value of a successful response. An error is the reason why the response cannot be used.
    fn and_read<U>(self, read: impl FnOnce(T) -> Result<U, String>) -> Answer<U> {
        match self {
            Self::Done(value) => match read(value) {
                Ok(read) => Answer::Done(read),
                Err(reason) => Answer::Unclear(reason),
            },
            Self::Rejected(reason) => Answer::Rejected(reason),
            Self::NotSent(reason) => Answer::NotSent(reason),
            Self::Unclear(reason) => Answer::Unclear(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"the secret of the webhook";
    const BODY: &[u8] = br#"{"ticket": {"id": 81}}"#;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    /// The digits were computed with the module `hmac` of Python 3.11.
    #[test]
    fn signatures_are_those_of_another_implementation() {
        let sha1 = Signature::sha1("x-hub-signature");
        let sha256 = Signature::sha256("x-hub-signature");
        assert_eq!(sha1.sign(SECRET, BODY), SHA1);
        assert_eq!(sha256.sign(SECRET, BODY), SHA256);
        let plain = Signature::plain_sha256("x-webhook-signature");
        assert_eq!(format!("sha256={}", plain.sign(SECRET, BODY)), SHA256);
    }

    #[test]
    fn a_signature_without_a_prefix_has_only_digits() {
        let plain = Signature::plain_sha256("x-webhook-signature");
        let digits = plain.sign(SECRET, BODY);
        let check = |given: &str| {
            let headers = headers(&[("x-webhook-signature", given)]);
            let message = Message {
                headers: &headers,
                body: BODY,
            };
            plain.check(&message, SECRET)
        };
        assert_eq!(check(&digits), Ok(()));
        let wrong = Err(NotDelivered::SignatureWrong("x-webhook-signature"));
        for given in ["", SHA256, &digits[2..]] {
            assert_eq!(check(given), wrong, "{given}");
        }
    }

    const SHA1: &str = "sha1=4137765e50dac2a428fc2008138b770d20c579bc";
    const SHA256: &str = "sha256=8b5d783e20850a87c10a95c11b3cb9202bf9485fe39c5709fd2bc39eaf78b1c2";

    #[test]
    fn every_wrong_signature_is_rejected() {
        let mut rejected = 0;
        for (signature, right) in [
            (Signature::sha1("x-hub-signature"), SHA1),
            (Signature::sha256("x-hub-signature"), SHA256),
        ] {
            let check = |pairs: &[(&str, &str)], body: &[u8], secret: &[u8]| {
                let headers = headers(pairs);
                let message = Message {
                    headers: &headers,
                    body,
                };
                signature.check(&message, secret)
            };
            let name = "x-hub-signature";
            assert_eq!(check(&[(name, right)], BODY, SECRET), Ok(()));
            let upper = right.to_uppercase().replace("SHA", "sha");
            assert_eq!(check(&[(name, &upper)], BODY, SECRET), Ok(()));
            let missing = Err(NotDelivered::SignatureMissing(name));
            assert_eq!(check(&[], BODY, SECRET), missing);
            assert_eq!(
                check(&[(name, right), (name, right)], BODY, SECRET),
                missing
            );
            let (prefix, digits) = right.split_once('=').expect("a prefix");
            let last = if digits.ends_with('0') { "1" } else { "0" };
            let wrong = Err(NotDelivered::SignatureWrong(name));
            for given in [
                String::new(),
                digits.to_owned(),
                format!("md5={digits}"),
                format!("{prefix}="),
                format!("{prefix}={}", &digits[2..]),
                format!("{prefix}={digits}00"),
                format!("{prefix}={}{last}", &digits[..digits.len() - 1]),
                format!("{prefix}={digits} "),
                format!("{prefix}={}zz", &digits[2..]),
            ] {
                assert_eq!(check(&[(name, &given)], BODY, SECRET), wrong, "{given}");
                rejected += 1;
            }
            // The same JSON with other bytes has another signature.
            assert_eq!(
                check(&[(name, right)], br#"{"ticket":{"id":81}}"#, SECRET),
                wrong
            );
            assert_eq!(check(&[(name, right)], BODY, b"another secret"), wrong);
            rejected += 4;
        }
        println!("{rejected} wrong signatures were rejected");
    }

    #[test]
    fn every_kind_of_system_has_its_own_name() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|one| find(one.name()).is_some()));
        for source in ALL {
            for body in ["", "x", "7", "[7]", "null"] {
                let read = source.read(body.as_bytes());
                assert!(
                    matches!(read, Err(NotDelivered::Unreadable(_))),
                    "{} {body}: {read:?}",
                    source.name()
                );
            }
        }
    }
}
