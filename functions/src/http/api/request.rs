//! Reads one request of the API `/v1`: its headers, its query and its body. The headers identify
//! the user and the app (the client program). The query and the body are checked against the
//! description of the operation before the operation is executed.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::person::Language;
use events::workflow::Processors;
use events::{Entry, Meta, Moment, NodeId, PersonId, RoleId};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::Problem;
use super::resource::{Kind, Operation, flaws as query_flaws, instant};
use super::shape::{FLAWS_MAX, Flaw, flaws as body_flaws, named, quoted, step};
use crate::App;
use crate::app::identity::{Caller, Presented, identify};
use crate::app::people::{NAMED_MAX, is_name, one_name};
use crate::http::blueking::render::request_id;
use crate::http::body::{self, BODY_BYTES_MAX, NotRead, object, pairs};
use crate::http::language;

/// The error message for a request without the code or the secret of an app (a client program).
const NO_CREDENTIALS: &str =
    "application code and secret are missing (HTTP Basic, or the header X-Bkapi-Authorization)";
/// The largest number of roles in one request. The number is limited, because the server must read
/// the members of each role.
const ROLES_MAX: usize = 100;
/// The largest number of bytes in the header `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;

/// A request of the API `/v1` with an identified caller.
pub(super) struct Asked {
    pub(super) app: App,
    pub(super) query: Map<String, Value>,
    pub(super) body: Map<String, Value>,
    pub(super) caller: Caller,
    pub(super) request_id: String,
    pub(super) idempotency_key: Option<String>,
    /// The ticket versions in the header `If-Match`. The caller accepts a change only at one of
    /// these versions.
    pub(super) if_match: Option<Expected>,
    /// The entity tags from the header `If-None-Match`. These tags identify the versions in the
    /// cache of the client.
    pub(super) if_none_match: Option<Tags>,
    pub(super) content_type: String,
    /// The language of texts for people in the response.
    pub(super) language: Language,
    /// The value of the header `Range`, which requests a part of a file.
    pub(super) range: Option<String>,
    /// The value of the header `Last-Event-ID`: the id of the last server-sent event that the client
    /// got before its connection was lost.
    pub(super) last_event_id: Option<String>,
    /// The beginning of the relative URL for a new object. For a request to `/v1/tickets`, the
    /// beginning is `tickets/`. The header `Location` of the response contains this beginning and
    /// the id of the new object.
    pub(super) below: String,
}

impl Asked {
    /// Checks the query against the operation, and then reads and checks the body.
    ///
    /// Rejects members that are unknown, missing or null, and members of a wrong type. The error
    /// lists every rejected member.
    pub(super) async fn read(mut self, operation: &Operation, body: Body) -> Result<Self, Problem> {
        self.check_query(operation)?;
        let bytes = body::read(body, BODY_BYTES_MAX)
            .await
            .map_err(|reason| match reason {
                NotRead::TooLarge(most) => {
                    Problem::too_large(format!("the body is larger than {most} bytes"))
                }
                NotRead::BrokenOff(_) => {
                    Problem::malformed("body", "the connection ended before the whole body arrived")
                }
                NotRead::TooSlow => Problem::malformed("body", reason.to_string()),
                NotRead::Busy => Problem::unavailable("body", reason.to_string()),
            })?;
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            check_content_type(&self.content_type)?;
            self.body =
                object(&bytes).map_err(|reason| Problem::malformed("body", reason.to_string()))?;
            let duplicates = duplicate_members(&bytes);
            if !duplicates.is_empty() {
                return Err(Problem::flawed(duplicates));
            }
        }
        let members = match operation.kind {
            Kind::Acts(members) | Kind::Takes(members) => members,
            Kind::Read | Kind::Removes | Kind::Upload | Kind::Download | Kind::Events => &[],
        };
        let flaws = body_flaws(members, &self.body, "");
        if !flaws.is_empty() {
            return Err(Problem::flawed(flaws));
        }
        Ok(self)
    }

    /// Checks the query and the header `If-Match`. Rejects unknown query parameters and invalid
    /// values. Also rejects `If-Match` if the operation changes data but does not compare ticket
    /// versions.
    pub(super) fn check_query(&self, operation: &Operation) -> Result<(), Problem> {
        let flaws = query_flaws(operation.query, &self.query);
        if !flaws.is_empty() {
            return Err(Problem::flawed(flaws));
        }
        if self.if_match.is_some()
            && matches!(
                operation.kind,
                Kind::Takes(_) | Kind::Removes | Kind::Upload
            )
        {
            return Err(Problem::malformed(
                "If-Match",
                "this operation does not compare versions; leave out `If-Match`",
            ));
        }
        Ok(())
    }

    /// Reads the headers of a request and identifies the caller. Returns the request without its
    /// body, and the unread body. The header `Authorization` (HTTP Basic) or
    /// `X-Bkapi-Authorization` identifies the app.
    ///
    /// The login token in `X-Bk-Token` identifies the user. If the app may impersonate users, the
    /// header `X-On-Behalf-Of` may contain the user name instead.
    pub(super) async fn open(app: App, request: Request) -> Result<(Self, Body), Problem> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        let given = |name: &str| {
            Ok::<_, Problem>(
                text_of(headers, name)?
                    .filter(|value| !value.is_empty())
                    .map(str::to_owned),
            )
        };
        // The credentials are checked before all other parts of the request. A caller without
        // credentials therefore gets the same response for every path and method.
        let (authorization, bkapi_authorization) = given("Authorization")
            .and_then(|authorization| Ok((authorization, given("X-Bkapi-Authorization")?)))
            .map_err(|problem| {
                Problem::no_credentials(&format!("{NO_CREDENTIALS}: {}", problem.detail()))
            })?;
        let bkapi_authorization: Map<String, Value> = bkapi_authorization
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let text = |key: &str| {
            bkapi_authorization
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let (code, secret) = authorization.as_deref().and_then(basic).unzip();
        let (code, secret) = (
            code.or_else(|| text("bk_app_code")),
            secret.or_else(|| text("bk_app_secret")),
        );
        if code.is_none() || secret.is_none() {
            return Err(Problem::no_credentials(NO_CREDENTIALS));
        }
        let names = given("X-Bk-Token").and_then(|token| {
            Ok((
                token,
                text_of(headers, "X-On-Behalf-Of")?.map(str::to_owned),
            ))
        });
        let (token, user, wrong_name) = match names {
            Ok((token, user)) => (token, user, None),
            Err(problem) => (None, None, Some(problem)),
        };
        let presented = Presented {
            code,
            secret,
            token: token.or_else(|| text("bk_token")),
            user: user.or_else(|| text("bk_username")),
        };
        let caller = identify(&app, presented)
            .await?
            .ok_or_else(Problem::unauthorized)?;
        if let Some(problem) = wrong_name {
            return Err(problem);
        }
        let idempotency_key = text_of(headers, "Idempotency-Key")?.map(str::to_owned);
        if idempotency_key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX)
        {
            return Err(Problem::malformed(
                "Idempotency-Key",
                format!("`Idempotency-Key` must have 1 to {KEY_BYTES_MAX} bytes"),
            ));
        }
        let path = parts.uri.path();
        let below = if path.ends_with('/') {
            String::new()
        } else {
            format!("{}/", path.rsplit('/').next().unwrap_or_default())
        };
        let request = Self {
            query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
            body: Map::new(),
            caller,
            request_id: request_id(headers, &app),
            idempotency_key,
            if_match: versions(headers)?,
            // A malformed header `If-None-Match` is ignored. The client then gets the whole
            // response.
            if_none_match: Tags::read(headers, "If-None-Match").unwrap_or_default(),
            language: language::accepted(headers),
            content_type: given("Content-Type")?.unwrap_or_default(),
            range: given("Range")?,
            last_event_id: given("Last-Event-ID")?,
            below,
            app,
        };
        Ok((request, body))
    }

    /// Returns a text member of the request body. Returns `None` if the member is absent or null.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(key, "a text")),
        }
    }

    pub(super) fn required(&self, key: &str) -> Result<String, Problem> {
        let text = self.text(key)?.ok_or_else(|| missing(key))?;
        if text.trim().is_empty() {
            Err(Problem::malformed(
                &format!("/{key}"),
                format!("`{key}` is empty"),
            ))
        } else {
            Ok(text)
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, Problem> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(wrong(key, "true or false")),
        }
    }

    /// Returns a required boolean member of the body. The member has no default value, because the
    /// client must choose the value explicitly.
    pub(super) fn choice(&self, key: &str) -> Result<bool, Problem> {
        self.body
            .get(key)
            .and_then(Value::as_bool)
            .ok_or_else(|| missing(key))
    }

    pub(super) fn int(&self, key: &str) -> Result<Option<i64>, Problem> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| wrong(key, "an integer")),
        }
    }

    pub(super) fn required_int(&self, key: &str) -> Result<i64, Problem> {
        self.int(key)?.ok_or_else(|| missing(key))
    }

    /// Returns a body member that is an array of user names. Returns `None` if the member is absent
    /// or null.
    pub(super) fn names(&self, key: &str) -> Result<Option<Vec<String>>, Problem> {
        let wrong = || wrong(key, "an array of user names");
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    item.as_str()
                        .and_then(one_name)
                        .map(str::to_owned)
                        .ok_or_else(wrong)
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn node(&self) -> Result<Option<NodeId>, Problem> {
        Ok(self.int("node")?.map(NodeId))
    }

    /// Returns the form values in the body member `fields`. This member is an object with one value
    /// per field key.
    pub(super) fn fields(&self) -> Result<Vec<Entry>, Problem> {
        match self.body.get("fields") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(fields)) => Ok(fields
                .iter()
                .map(|(key, value)| Entry::new(key.clone(), value.clone()))
                .collect()),
            Some(_) => Err(wrong("fields", "an object of values by field key")),
        }
    }

    /// Returns the processors (people who must process a node of the workflow) in the body member
    /// `to`. This member is `{"people": [..]}`, `{"roles": [..]}` or `{"department": ".."}`.
    pub(super) async fn targets(&self) -> Result<Processors, Problem> {
        let wrong = || {
            Problem::malformed(
                "/to",
                "`to` must have exactly one of people (user names), roles (ids) and department (an id)",
            )
        };
        let to = self
            .body
            .get("to")
            .and_then(Value::as_object)
            .filter(|to| to.len() == 1)
            .ok_or_else(wrong)?;
        if let Some(people) = to.get("people").and_then(Value::as_array) {
            if people.len() > NAMED_MAX {
                return Err(Problem::malformed(
                    "/to/people",
                    format!("`to.people` must have at most {NAMED_MAX} entries"),
                ));
            }
            let names: Vec<String> = people
                .iter()
                .map(|name| {
                    name.as_str()
                        .and_then(one_name)
                        .map(str::to_owned)
                        .ok_or_else(wrong)
                })
                .collect::<Result<_, _>>()?;
            return Ok(Processors::Person(self.app.people.find_all(&names).await?));
        }
        if let Some(roles) = to.get("roles").and_then(Value::as_array) {
            if roles.len() > ROLES_MAX {
                return Err(Problem::malformed(
                    "/to/roles",
                    format!("`to.roles` must have at most {ROLES_MAX} entries"),
                ));
            }
            return Ok(Processors::General(
                roles
                    .iter()
                    .map(|id| id.as_i64().map(RoleId).ok_or_else(wrong))
                    .collect::<Result<_, _>>()?,
            ));
        }
        to.get("department")
            .and_then(Value::as_str)
            .map(|id| Processors::Organization(id.to_owned()))
            .ok_or_else(wrong)
    }

    /// Returns the person id of the acting user. If the user name is unknown, the function
    /// registers a person with this name. Rejects a name that the directory does not list.
    pub(super) async fn actor(&self) -> Result<PersonId, Problem> {
        let people = &self.app.people;
        let user = self.user()?;
        // The login service knows the other users.
        if self.caller.may_impersonate {
            self.check_directory("X-On-Behalf-Of", &[people.find(user).await?])
                .await?;
        }
        Ok(people.pid(user).await?)
    }

    /// Returns an error if the directory lists people, and one of `people` is neither registered
    /// nor in the directory. `field` is the place of the names in the request.
    pub(super) async fn check_directory(
        &self,
        field: &str,
        people: &[PersonId],
    ) -> Result<(), Problem> {
        match self.app.people.first_absent(people).await? {
            None => Ok(()),
            Some(absent) => {
                let name = absent.unregistered_name().unwrap_or_default();
                Err(Problem::absent(
                    field,
                    format!("`{}`", field.trim_start_matches('/')),
                    name,
                ))
            }
        }
    }

    pub(super) fn user(&self) -> Result<&str, Problem> {
        match self.caller.user.as_deref() {
            Some(user) if is_name(user) => Ok(user),
            Some(_) => Err(Problem::malformed(
                "X-On-Behalf-Of",
                "`X-On-Behalf-Of` must be a user name",
            )),
            None => Err(Problem::malformed(
                "X-On-Behalf-Of",
                "`X-On-Behalf-Of` is required: the request names no acting user",
            )),
        }
    }

    pub(super) fn meta(&self, actor: PersonId) -> Meta {
        self.caller.meta(&self.request_id, actor)
    }

    /// Returns a keyed hash of the operation, the user and the body. `of` is the name of the
    /// operation. If a client uses an idempotency key again, the desk compares this hash with the
    /// stored hash. Only a request with an equal hash is a repetition. Returns an error if the
    /// secret key for the hash cannot be read from the key store.
    pub(super) async fn fingerprint(&self, of: &str) -> Result<String, Problem> {
        let key = self.app.keys().await?.fingerprint;
        let text = format!(
            "{of} {} {}",
            self.caller.user.as_deref().unwrap_or_default(),
            Value::Object(self.body.clone())
        );
        Ok(blake3::keyed_hash(&key, text.as_bytes())
            .to_hex()
            .to_string())
    }

    /// Returns a query parameter as text. Returns `None` if the parameter is absent or empty.
    pub(super) fn asked_for(&self, key: &str) -> Option<&str> {
        self.query
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Returns the language in the query, or `other` if the query has none.
    pub(super) fn language_or(&self, other: Language) -> Language {
        match self.asked_for("language") {
            Some("en") => Language::English,
            Some(_) => Language::Chinese,
            None => other,
        }
    }

    /// Returns the time in a query parameter. The server has already checked its format.
    pub(super) fn moment(&self, key: &str) -> Option<Moment> {
        let at = self.asked_for(key).and_then(instant);
        at.map(|at| Moment(at.as_millisecond()))
    }

    /// Returns a query parameter as a number from 1 to `most`. Returns `default` if the parameter
    /// is absent.
    pub(super) fn number(&self, key: &str, default: usize, most: usize) -> Result<usize, Problem> {
        match self.asked_for(key) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| {
                    Problem::malformed(key, format!("`{key}` must be a number from 1 to {most}"))
                }),
        }
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    // The name of the authentication scheme is case-insensitive (RFC 9110 11.1).
    let (scheme, encoded) = header.trim_start().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (code, secret) = text.split_once(':')?;
    (!code.is_empty() && !secret.is_empty()).then(|| (code.to_owned(), secret.to_owned()))
}

fn missing(key: &str) -> Problem {
    Problem::malformed(&format!("/{key}"), format!("`{key}` is required"))
}

fn wrong(key: &str, what: &str) -> Problem {
    Problem::malformed(&format!("/{key}"), format!("`{key}` must be {what}"))
}

/// Returns the value of the header `name` as text, or `None` if the header is absent. Rejects a
/// header that occurs twice or is not UTF-8. Otherwise the server would have to ignore a part of
/// the request.
fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::malformed(
            name,
            format!("the header `{name}` is given more than once"),
        ));
    }
    std::str::from_utf8(value.as_bytes())
        .map(Some)
        .map_err(|_| Problem::malformed(name, format!("the header `{name}` is not UTF-8")))
}

/// Rejects a content type other than JSON in UTF-8.
fn check_content_type(given: &str) -> Result<(), Problem> {
    let mut parts = given
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    if kind.is_empty() {
        return Err(Problem::media_type(
            "a body needs the header `Content-Type: application/json`",
        ));
    }
    let is_json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    let is_utf8 = parts.all(|part| {
        part.strip_prefix("charset=").is_none_or(|charset| {
            matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii")
        })
    });
    if is_json && is_utf8 {
        Ok(())
    } else {
        Err(Problem::media_type(format!(
            "{} is not application/json in UTF-8",
            quoted(given)
        )))
    }
}

/// The ticket versions in the header `If-Match`. A command is executed only if the ticket currently
/// has one of these versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The value `*`, which accepts any version of an existing ticket.
    Any,
    Versions(BTreeSet<i64>),
}

/// Returns the ticket versions in the header `If-Match` (RFC 9110 13.1.1). Weak entity tags (with
/// the prefix `W/`) are also accepted, because proxies that compress responses make tags weak. A
/// tag that is not a number matches no version.
pub(super) fn versions(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    Ok(Tags::read(headers, "If-Match")?.map(|tags| match tags {
        Tags::Any => Expected::Any,
        Tags::These(tags) => {
            Expected::Versions(tags.iter().filter_map(|tag| tag.parse().ok()).collect())
        }
    }))
}

/// The entity tags in a conditional header, without quotes and without the prefix `W/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    Any,
    These(Vec<String>),
}

impl Tags {
    /// Returns the entity tags in all lines of the conditional header `name`. Rejects a malformed
    /// value. Returns `None` if the header is absent.
    pub(super) fn read(headers: &HeaderMap, name: &str) -> Result<Option<Self>, Problem> {
        let lines: Vec<String> = headers
            .get_all(name)
            .iter()
            .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let wrong = || {
            Problem::malformed(
                name,
                format!("`{name}` must be * or a list of tags separated by commas, such as \"5\""),
            )
        };
        Self::parse(&lines.join(",")).map(Some).ok_or_else(wrong)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), text.trim_start_matches([' ', '\t', ',']));
        while !rest.is_empty() {
            let opaque = rest.strip_prefix("W/").unwrap_or(rest);
            let (tag, after) = match opaque.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                // Some clients send a version number without quotes. Such a number is accepted as
                // an entity tag.
                None if opaque.len() == rest.len() => {
                    let end = rest
                        .find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(rest.len());
                    if end == 0 {
                        return None;
                    }
                    rest.split_at(end)
                }
                None => return None,
            };
            if tag.contains(|c: char| c == ' ' || c.is_control()) {
                return None;
            }
            tags.push(tag.to_owned());
            let after = after.trim_start_matches([' ', '\t']);
            if !after.is_empty() && !after.starts_with(',') {
                return None;
            }
            rest = after.trim_start_matches([' ', '\t', ',']);
        }
        if tags.is_empty() {
            None
        } else {
            Some(Self::These(tags))
        }
    }

    /// Returns whether the header contains `tag`. The value `*` contains every tag. Weak and strong
    /// tags are compared as equal (weak comparison, RFC 9110 8.8.3.2).
    pub(super) fn hold(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|known| known == tag),
        }
    }
}

/// Returns an error for each member that occurs twice in one JSON object of the body. Some JSON
/// parsers use the first value of such a member, and others use the second value. The server
/// therefore rejects a body with such a member. `bytes` must be valid JSON. The caller must already
/// have checked the nesting depth.
fn duplicate_members(bytes: &[u8]) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    // The caller has already parsed these bytes successfully, so this second parse cannot fail.
    let _ = DuplicateMembers {
        at: String::new(),
        flaws: &mut flaws,
    }
    .deserialize(&mut reader);
    flaws
}

/// Collects the members that occur twice in one JSON object. The JSON pointer `at` selects a value
/// of the body. The search covers this value and all values inside this value.
struct DuplicateMembers<'a> {
    at: String,
    flaws: &'a mut Vec<Flaw>,
}

impl<'de> DeserializeSeed<'de> for DuplicateMembers<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DuplicateMembers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0_usize;
        while items
            .next_element_seed(DuplicateMembers {
                at: format!("{}/{number}", self.at),
                flaws: &mut *self.flaws,
            })?
            .is_some()
        {
            number += 1;
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let at = step(&self.at, &name);
            if !seen.insert(name) && self.flaws.len() < FLAWS_MAX {
                self.flaws.push(Flaw {
                    detail: format!("{} is given twice", named(&at)),
                    field: at.clone(),
                });
            }
            members.next_value_seed(DuplicateMembers {
                at,
                flaws: &mut *self.flaws,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(lines: &[&'static str]) -> Option<Expected> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("if-match", axum::http::HeaderValue::from_static(line));
        }
        versions(&headers).ok().flatten()
    }

    #[test]
    fn if_match_accepts_lists_weak_tags_and_bare_numbers() {
        let of = |versions: &[i64]| Some(Expected::Versions(versions.iter().copied().collect()));
        for (lines, expected_versions) in [
            (&["\"5\""][..], of(&[5])),
            (&["W/\"5\""][..], of(&[5])),
            (&["5"][..], of(&[5])),
            (&["\"4\", W/\"5\" ,, \"7\""][..], of(&[4, 5, 7])),
            (&["\"4\"", "\"5\""][..], of(&[4, 5])),
            (&["\"made,up\""][..], of(&[])),
            (&["*"][..], Some(Expected::Any)),
            (&[" * "][..], Some(Expected::Any)),
        ] {
            assert_eq!(expected(lines), expected_versions, "{lines:?}");
        }
        for line in [
            "",
            ",",
            "x",
            "\"5",
            "5\"",
            "W/5",
            "w/\"5\"",
            "\"5\" \"6\"",
            "*, \"5\"",
            "-5",
        ] {
            assert_eq!(expected(&[line]), None, "{line}");
        }
    }

    #[test]
    fn duplicate_members_are_found_at_any_depth() {
        let fields = |text: &str| {
            duplicate_members(text.as_bytes())
                .into_iter()
                .map(|flaw| flaw.field)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            fields(r#"{"a":1,"b":{"c":[{"d":1},{"d":1,"e":null,"d":2}]},"a":2}"#),
            ["/b/c/1/d", "/a"]
        );
        assert_eq!(fields(r#"{"a":"a","b":{"a":1.5}}"#), [""; 0]);
    }

    #[test]
    fn only_json_in_utf_8_is_an_accepted_content_type() {
        for given in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/problem+json",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(check_content_type(given).is_ok(), "{given}");
        }
        for given in [
            "",
            "text/json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=gbk",
            "json",
        ] {
            assert!(check_content_type(given).is_err(), "{given}");
        }
    }
}
