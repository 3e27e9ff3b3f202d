//! Handles the files of tickets in the API `/v1`. People upload a file as a whole or in parts. They
//! can download the files that they may read, and delete the files that they uploaded.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::attachment::{Attachment, NAME_MAX, PART_BYTES};
use events::AttachmentId;
use events::app::Scope;
use events::attachment::{UploadStarted, Uploaded};
use http_body::Frame;
use http_body_util::BodyExt as _;
use infra::{Error, Kind};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::problem::{ApiResult, Problem};
use super::reply::{created, done, ok};
use super::request::Asked;
use super::resource::{
    Answer, Asks, CREATED, Call, Key, Kind as OperationKind, Operation, Resource, delete, get,
    post, segments,
};
use super::shape::{Member, Shape, optional, required};
use crate::App;
use crate::app::attachments::{self, NotTaken, Pieces, Upload};
use crate::app::limits::Transfer;
use crate::app::request_scope;
use crate::http::scope;

const NAME: Member = required("name", Shape::Text);
const PARTS: Member = required("parts", Shape::List(&Shape::Text));
const MEDIA_TYPE: Member = optional("media_type", Shape::Text);

const OPERATIONS: &[Operation] = &[
    Operation::of(
        "POST",
        "/v1/attachments",
        "uploads files",
        OperationKind::Upload,
    )
    .asking(&[("name", Asks::Text), ("for", Asks::Word(&["workflow"]))])
    .answering(CREATED)
    .keyed(Key::Accepted)
    .returning::<UploadedFiles>(),
    get(
        "/v1/attachments/{attachment}",
        "shows name, type and size of a file",
    )
    .returning::<ShownFile>(),
    delete(
        "/v1/attachments/{attachment}",
        "deletes a file that no ticket or workflow uses",
    ),
    Operation::of(
        "GET",
        "/v1/attachments/{attachment}/content",
        "downloads a file, or a range of its bytes",
        OperationKind::Download,
    )
    .answering(&["200", "206"]),
    post("/v1/uploads", "starts an upload in parts", &[NAME])
        .answering(CREATED)
        .keyed(Key::Required)
        .returning::<StartedUpload>(),
    Operation::of(
        "PUT",
        "/v1/uploads/{attachment}/{part}",
        "uploads one part",
        OperationKind::Upload,
    )
    .returning::<UploadedPart>(),
    post(
        "/v1/uploads/{attachment}/complete",
        "completes an upload by the tags of its parts",
        &[PARTS, MEDIA_TYPE],
    )
    .slow()
    .returning::<ShownFile>(),
];

/// The uploaded files, in the order of the request.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UploadedFiles {
    attachments: Vec<ShownFile>,
}

/// A file. The members `media_type`, `bytes` and `digest` are absent until the whole file has
/// arrived.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Attachment"))]
struct ShownFile {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The hash of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Whether the content was deleted.
    discarded: bool,
}

/// An upload in parts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StartedUpload {
    id: String,
    /// The size of each part except the last one.
    part_bytes: usize,
    parts_max: u32,
}

/// One part of an upload.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UploadedPart {
    part: u32,
    /// The tag of the part, for the completion of the upload.
    tag: String,
}

/// The operations on attachments, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let path = segments(&call.path);
        match (&path[..], call.upload) {
            (["attachments"], Some(body)) => upload(call.request, body).await,
            (["uploads", rest @ ..], body) => {
                in_parts(call.request, &call.method, rest, body).await
            }
            (["attachments", id, rest @ ..], _) => one(call.request, &call.method, id, rest).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// The largest number of files in one upload.
const FILES_MAX: usize = 20;
/// The longest time that the server waits for the next piece of a request body.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of file pieces that wait for the client during a download.
const PIECES_AHEAD: usize = 1;
/// The longest time that the server waits until the client accepts the next piece of a download.
/// After this time, the download ends.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of consecutive form bytes that are not file content. Examples are headers of form
/// parts and fields without a file.
const NON_FILE_BYTES_MAX: usize = 1 << 20;
/// Maximum size of a small form, in bytes. The limit [`NON_FILE_BYTES_MAX`] does not apply to small
/// forms. Some hosts, such as AWS Lambda, receive a whole request before the desk handles the
/// request. The requests on such hosts are always smaller than this size.
const BUFFERED_BYTES_MAX: u64 = 6 << 20;
/// The maximum length, in characters, of the file extension in the ASCII file name of a download.
const EXTENSION_MAX: usize = 10;

/// Uploads the files of a form (`multipart/form-data`, RFC 7578). A body without this content type
/// is the content of one file. The query parameter `name` is then the file name.
async fn upload(request: Asked, body: Body) -> ApiResult {
    let _transfer = request.app.limits.upload()?;
    let uploaded = match multer::parse_boundary(&request.content_type) {
        Ok(boundary) => {
            let non_file_bytes = NonFileBytes::default();
            // The form parser keeps form bytes that are not file content in memory. In a large
            // form, the number of these bytes is therefore limited. A small form needs no
            // additional limit, because its whole size is already limited.
            let is_small = http_body::Body::size_hint(&body)
                .upper()
                .is_some_and(|bytes| bytes <= BUFFERED_BYTES_MAX);
            let bounded = if is_small {
                body
            } else {
                Body::new(Bounded {
                    body,
                    non_file_bytes: non_file_bytes.clone(),
                })
            };
            form_of_files(
                &request,
                multer::Multipart::new(bounded.into_data_stream(), boundary),
                &non_file_bytes,
            )
            .await?
        }
        Err(_) => vec![one_file(&request, body).await?],
    };
    Ok(created(&UploadedFiles {
        attachments: uploaded,
    }))
}

async fn form_of_files(
    request: &Asked,
    mut form: multer::Multipart<'_>,
    non_file_bytes: &NonFileBytes,
) -> Result<Vec<ShownFile>, Problem> {
    let mut uploaded = Vec::new();
    while let Some(mut field) = in_time(form.next_field()).await?.map_err(invalid_form)? {
        non_file_bytes.reset();
        let Some(name) = file_name(field.headers())? else {
            continue;
        };
        if uploaded.len() == FILES_MAX {
            return Err(Problem::malformed(
                "body",
                format!("a form must have at most {FILES_MAX} files"),
            ));
        }
        let claimed = field
            .content_type()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut upload = start_or_continue(request, &name, uploaded.len()).await?;
        while let Some(bytes) = in_time(field.chunk()).await?.map_err(invalid_form)? {
            non_file_bytes.reset();
            upload.write(&bytes).await?;
        }
        uploaded.push(finish(request, upload, &claimed).await?);
    }
    if uploaded.is_empty() {
        Err(Problem::malformed("body", "the form has no file"))
    } else {
        Ok(uploaded)
    }
}

async fn one_file(request: &Asked, mut body: Body) -> Result<ShownFile, Problem> {
    let name = request.asked_for("name").ok_or_else(|| {
        Problem::malformed(
            "name",
            "`name` is required in the query if the body is the file itself",
        )
    })?;
    let mut upload = start_or_continue(request, name, 0).await?;
    while let Some(bytes) = next(&mut body).await? {
        upload.write(&bytes).await?;
    }
    finish(request, upload, &request.content_type).await
}

/// Returns the next piece of a request body, or `None` at the end of the body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = in_time(body.frame()).await? {
        let frame = frame.map_err(|error| {
            Problem::malformed(
                "body",
                format!("the connection ended before the whole body arrived: {error}"),
            )
        })?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Waits until the future `next` returns a piece of a request body, and returns the piece. Returns
/// an error after [`IDLE_TIMEOUT`].
async fn in_time<T>(next: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(IDLE_TIMEOUT, next).await.map_err(|_| {
        Problem::malformed(
            "body",
            format!("no byte of the body arrived for {IDLE_TIMEOUT:?}"),
        )
    })
}

fn invalid_form(error: multer::Error) -> Problem {
    Problem::malformed("body", format!("the form cannot be read: {error}"))
}

/// Counts the bytes of a form that the form parser currently keeps in memory. The number of these
/// bytes is limited. The counter is set to zero when the parser returns data.
#[derive(Clone, Debug, Default)]
struct NonFileBytes(Arc<AtomicUsize>);

impl NonFileBytes {
    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A form body with a limit for bytes that are not file content. Reading this body fails if more
/// than [`NON_FILE_BYTES_MAX`] consecutive bytes are not file content.
struct Bounded {
    body: Body,
    non_file_bytes: NonFileBytes,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if self.non_file_bytes.0.fetch_add(bytes, Ordering::Relaxed) + bytes
                > NON_FILE_BYTES_MAX
            {
                let error = std::io::Error::other(format!(
                    "more than {NON_FILE_BYTES_MAX} bytes of the form belong to no file"
                ));
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
        }
        polled
    }
}

/// Returns the file name of a form part (RFC 7578 4.2, RFC 6266 4.3). Returns `None` if the part is
/// not a file. The header parameter `filename*` has priority over `filename`.
fn file_name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(disposition) = headers.get(header::CONTENT_DISPOSITION) else {
        return Ok(None);
    };
    let parameters = parameters(disposition.as_bytes());
    let find = |wanted_name: &str| {
        parameters
            .iter()
            .find(|(name, _)| name == wanted_name)
            .map(|(_, value)| value)
    };
    let not_utf8 = || Problem::malformed("body", "a file name must be UTF-8");
    if let Some(extended) = find("filename*") {
        let text = std::str::from_utf8(extended).map_err(|_| not_utf8())?;
        let mut pieces = text.splitn(3, '\'');
        let (charset, Some(_), Some(encoded)) = (
            pieces.next().unwrap_or_default(),
            pieces.next(),
            pieces.next(),
        ) else {
            return Err(Problem::malformed(
                "body",
                "`filename*` must have the form UTF-8''name",
            ));
        };
        if !charset.eq_ignore_ascii_case("utf-8") {
            return Err(Problem::malformed(
                "body",
                format!("`filename*` must be in UTF-8, not {charset:?}"),
            ));
        }
        return String::from_utf8(unescaped(encoded))
            .map(Some)
            .map_err(|_| not_utf8());
    }
    find("filename")
        .map(|name| String::from_utf8(name.clone()).map_err(|_| not_utf8()))
        .transpose()
}

/// Parses the parameters of a header value. The returned names are in lower case, and the returned
/// values have no quotes.
fn parameters(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut parameters = Vec::new();
    let (mut parameter_bytes, mut is_quoted, mut is_escaped) = (Vec::new(), false, false);
    let mut finish = |parameter_bytes: &mut Vec<u8>| {
        let parameter = std::mem::take(parameter_bytes);
        if let Some(at) = parameter.iter().position(|byte| *byte == b'=') {
            let name = String::from_utf8_lossy(&parameter[..at])
                .trim()
                .to_lowercase();
            parameters.push((name, parameter[at + 1..].trim_ascii().to_vec()));
        }
    };
    let mut bytes = header.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            _ if is_escaped => {
                parameter_bytes.push(byte);
                is_escaped = false;
            }
            // Some clients send Windows paths with unescaped backslashes. A backslash is therefore
            // an escape character only before a quote or another backslash.
            b'\\'
                if is_quoted
                    && bytes
                        .peek()
                        .is_some_and(|next| matches!(next, b'"' | b'\\')) =>
            {
                is_escaped = true;
            }
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => finish(&mut parameter_bytes),
            other => parameter_bytes.push(other),
        }
    }
    finish(&mut parameter_bytes);
    parameters
}

/// Decodes percent-encoded text to bytes.
fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .filter(|digits| bytes[at] == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}

/// Returns the name under which a file is stored. Returns an error if `name` is not a file name.
fn stored_name(name: &str) -> Result<String, Problem> {
    attachments::stored_name(name)
        .ok_or_else(|| Problem::malformed("name", format!("{name:?} is not a file name")))
}

/// Starts and returns an upload of a file with the name `name`. If the client already started an
/// upload with the same idempotency key, the function returns that upload instead. `at` is the
/// index of the file in the request, because one request can contain several files.
async fn start_or_continue<'a>(
    request: &'a Asked,
    name: &str,
    at: usize,
) -> Result<Upload<'a>, Problem> {
    let app = &request.app;
    let by = request.actor().await?;
    let name = stored_name(name)?;
    let name = name.as_str();
    app.limits.begins(&by, app.ledger.clock.now())?;
    let key = request
        .idempotency_key
        .as_ref()
        .map(|key| format!("{key}|{at}"));
    let id = attachments::id(
        app,
        key.as_deref()
            .map(|key| (request.caller.app.as_str(), &by, key)),
    )
    .await?;
    let mut attachment = attachments::load(app, &id).await?;
    if attachment.upload_started.is_none() {
        let subject = if is_for_workflow(request).await? {
            None
        } else {
            Some(by.clone())
        };
        attachment = attachments::begin(app, &id, name, subject, &request.meta(by)).await?;
    } else if attachment
        .upload_started
        .as_ref()
        .is_some_and(|started| started.name.read() != name)
    {
        return Err(Problem::conflict(
            "the idempotency key was used for another file",
        ));
    }
    Ok(Upload::new(app, attachment).await?)
}

/// Returns true if the query contains `for=workflow`. The uploaded file is then a form template for
/// a workflow. Only superusers may upload a form template, so the function rejects all other
/// callers.
async fn is_for_workflow(request: &Asked) -> Result<bool, Problem> {
    match request.asked_for("for") {
        None => Ok(false),
        Some("workflow") => super::admin::changes_configuration(request)
            .await
            .map(|_| true),
        Some(_) => Err(Problem::malformed("for", "`for` must be workflow")),
    }
}

async fn finish(request: &Asked, upload: Upload<'_>, claimed: &str) -> Result<ShownFile, Problem> {
    Ok(shown(
        &upload
            .finish(claimed, &request.meta(request.actor().await?))
            .await?,
    ))
}

fn shown(attachment: &Attachment) -> ShownFile {
    let started = attachment.upload_started.as_ref();
    let uploaded = attachment.uploaded.as_ref();
    let name = |started: &UploadStarted| {
        let personal = started.name.personal.as_ref();
        if personal.is_some_and(events::Personal::is_erased) {
            "Erased".to_owned()
        } else {
            started.name.read().to_owned()
        }
    };
    ShownFile {
        id: started.map_or_else(String::new, |started| started.attachment.to_string()),
        name: started.map_or_else(String::new, name),
        media_type: uploaded.map(|uploaded| uploaded.media_type.clone()),
        bytes: uploaded.map(|uploaded| uploaded.bytes),
        digest: uploaded.map(|uploaded| uploaded.digest.clone()),
        discarded: attachment.discarded,
    }
}

/// Handles one request of an upload in parts. Clients upload a file in parts if the host of the
/// desk or the network does not accept large request bodies.
///
/// The first request contains the file name. Each following request contains one part of
/// [`PART_BYTES`] bytes. Only the last part may be shorter. The final request completes the upload.
async fn in_parts(
    request: Asked,
    method: &Method,
    parts: &[&str],
    body: Option<Body>,
) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::POST, []) => {
            let name = request.required("name")?;
            if name.chars().count() > NAME_MAX {
                return Err(Problem::malformed(
                    "/name",
                    format!("`name` must have at most {NAME_MAX} characters"),
                ));
            }
            if request.idempotency_key.is_none() {
                return Err(Problem::malformed(
                    "Idempotency-Key",
                    "`Idempotency-Key` is required: a client continues an interrupted upload with it",
                ));
            }
            let upload = start_or_continue(&request, &name, 0).await?;
            if let Some(id) = upload.id().filter(|_| !upload.is_received()) {
                app.limits
                    .opens(&request.actor().await?, id, app.ledger.clock.now())?;
            }
            Ok(created(&StartedUpload {
                id: upload.id().expect("a started upload has an id").to_string(),
                part_bytes: PART_BYTES,
                parts_max: attachments::parts_max(app),
            }))
        }
        (&Method::PUT, [id, number]) => {
            let attachment = own(&request, id).await?;
            let most = attachments::parts_max(app);
            let wrong = || {
                Problem::malformed(
                    "part",
                    format!("the part number must be from 1 to {most}, not {number}"),
                )
            };
            let number: u32 = number
                .parse()
                .ok()
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(wrong)?;
            let _transfer = app.limits.upload()?;
            let by = request.actor().await?;
            // If the user exceeds the rate limit for uploads, the server rejects the request here,
            // before it reads the bytes of the part.
            app.limits.uploads(&by, app.ledger.clock.now())?;
            let mut part = Vec::new();
            let mut body = body.unwrap_or_default();
            while let Some(bytes) = next(&mut body).await? {
                if part.len() + bytes.len() > PART_BYTES {
                    return Err(Error::new(
                        Kind::TooLarge,
                        format!("a part must have at most {PART_BYTES} bytes"),
                    )
                    .into());
                }
                part.extend_from_slice(&bytes);
            }
            if let Some(started) = &attachment.upload_started {
                app.limits.part(
                    &by,
                    &started.attachment,
                    number,
                    part.len() as u64,
                    app.settings.file_bytes_max,
                )?;
            }
            let tag = attachments::put_part(app, &attachment, number, &part).await?;
            let header = [(header::ETAG, format!("\"{tag}\""))];
            let body = UploadedPart { part: number, tag };
            Ok((header, ok(&body)).into_response())
        }
        (&Method::POST, [id, "complete"]) => {
            let attachment = own(&request, id).await?;
            if attachment.uploaded.is_some() {
                return Ok(ok(&shown(&attachment)));
            }
            let wrong = || {
                Problem::malformed(
                    "/parts",
                    "`parts` must be the list of the parts' tags, in order",
                )
            };
            let tags = request
                .body
                .get("parts")
                .and_then(Value::as_array)
                .ok_or_else(wrong)?;
            let tags: Vec<String> = tags
                .iter()
                .map(|tag| tag.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(wrong)?;
            if tags.len() > usize::try_from(attachments::parts_max(app)).unwrap_or(usize::MAX) {
                return Err(NotTaken::TooLarge(app.settings.file_bytes_max).into());
            }
            let claimed = request.text("media_type")?.unwrap_or_default();
            let by = request.actor().await?;
            let completed =
                attachments::complete(app, &attachment, &tags, &claimed, &request.meta(by.clone()))
                    .await?;
            if let Some(started) = &completed.upload_started {
                app.limits.ends(&by, &started.attachment);
            }
            Ok(ok(&shown(&completed)))
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

/// Returns an attachment that the caller uploaded. An attachment of another person gives the same
/// error as an attachment that does not exist.
async fn own(request: &Asked, id: &str) -> Result<Attachment, Problem> {
    let attachment = known(&request.app, id).await?;
    let by = request.app.people.find(request.user()?).await?;
    if attachment
        .upload_started
        .as_ref()
        .is_some_and(|started| started.by == by)
    {
        Ok(attachment)
    } else {
        Err(missing(id))
    }
}

async fn known(app: &App, id: &str) -> Result<Attachment, Problem> {
    let known = AttachmentId::read(id).ok_or_else(|| missing(id))?;
    let attachment = attachments::load(app, &known).await?;
    if attachment.upload_started.is_some() {
        Ok(attachment)
    } else {
        Err(missing(id))
    }
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no attachment {id}"))
}

/// Handles a request to `/v1/attachments/{id}`. The request reads the description of a file, reads
/// its content, or deletes it. A file that the caller may not read gives the same error as a file
/// that does not exist.
async fn one(request: Asked, method: &Method, id: &str, rest: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, rest) {
        (&Method::GET | &Method::HEAD, [] | ["content"]) => {
            let attachment = known(app, id).await?;
            let reader = app.people.find(request.user()?).await?;
            if !attachments::may_read(app, &attachment, &reader).await? {
                return Err(missing(id));
            }
            if rest.is_empty() {
                return Ok(ok(&shown(&attachment)));
            }
            let received = attachment
                .uploaded
                .clone()
                .filter(|_| !attachment.discarded)
                .ok_or_else(|| missing(id))?;
            content(&request, attachment, &received, method == Method::HEAD).await
        }
        (&Method::DELETE, []) => {
            let attachment = own(&request, id).await?;
            if let Some(started) = &attachment.upload_started {
                attachments::discard(app, &started.attachment, &request.meta(started.by.clone()))
                    .await?;
                app.limits.ends(&started.by, &started.attachment);
            }
            Ok(done())
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

/// Returns the content of a file, or only the requested byte range (RFC 9110 14). The response
/// headers instruct browsers to save the file and not to guess the content type.
async fn content(
    request: &Asked,
    attachment: Attachment,
    received: &Uploaded,
    is_head: bool,
) -> ApiResult {
    let app = &request.app;
    if attachments::is_erased(app, &attachment).await? {
        return Err(NotTaken::Erased.into());
    }
    let tag = format!("\"{}\"", received.digest);
    if request_scope::if_none_match().is_some_and(|known| scope::is_known(&known, &tag)) {
        let headers = [
            (header::ETAG, tag),
            (header::CACHE_CONTROL, CACHE.to_owned()),
        ];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    // `If-Range` contains the entity tag of the file version that the client has. If this version
    // is not current, the response contains the whole file and not the range (RFC 9110 13.1.5).
    let is_current = request_scope::if_range().is_none_or(|known| known.trim() == tag);
    let range = match &request.range {
        None => None,
        Some(_) if !is_current => None,
        Some(text) => Some(range_of(text, received.bytes).ok_or_else(|| {
            Problem::unsatisfiable(format!(
                "`Range` {text} is not within the {} bytes of the file",
                received.bytes
            ))
        })?),
    };
    let span = range.clone().unwrap_or(0..received.bytes);
    if !is_head
        && app
            .settings
            .response_bytes_max
            .is_some_and(|most| span.end - span.start > most)
    {
        let most = app.settings.response_bytes_max.unwrap_or_default();
        return Err(Problem::unsatisfiable(format!(
            "this host returns at most {most} bytes at once: request ranges (Range: bytes=0-{})",
            most - 1
        )));
    }
    let name = attachment
        .upload_started
        .as_ref()
        .map(|started| started.name.read().to_owned())
        .unwrap_or_default();
    let id = attachment
        .upload_started
        .as_ref()
        .map(|started| started.attachment.as_str())
        .unwrap_or_default();
    let mut answer = Response::builder()
        .header(header::CONTENT_TYPE, content_type(&received.media_type))
        .header(header::CONTENT_LENGTH, span.end - span.start)
        .header(header::CONTENT_DISPOSITION, disposition(&name, id))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, CACHE)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'",
        );
    if range.is_some() {
        let covered = format!(
            "bytes {}-{}/{}",
            span.start,
            span.end.saturating_sub(1),
            received.bytes
        );
        answer = answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, covered);
    }
    let body = if is_head || span.is_empty() {
        Body::empty()
    } else {
        pieces(app, &attachment, &span).await?
    };
    answer
        .body(body)
        .map_err(|error| Problem::conflict(error.to_string()))
}

/// The value of the header `Cache-Control` of a download. Only the private cache of a client may
/// store the file. Before each use, the client must check that the stored file is current.
const CACHE: &str = "private, no-cache";

/// Returns the value of the header `Content-Disposition` (RFC 6266) of a download. The value
/// contains the file name in UTF-8, and an ASCII name for older clients. If the file name is not
/// plain ASCII, the ASCII name consists of the attachment id and the file extension.
fn disposition(name: &str, id: &str) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/') || c == ' ');
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension)
        .filter(|extension| (1..=EXTENSION_MAX).contains(&extension.len()));
    let extension =
        extension.filter(|extension| extension.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let fallback = if is_plain {
        name.to_owned()
    } else {
        extension.map_or_else(|| id.to_owned(), |extension| format!("{id}.{extension}"))
    };
    format!(
        "attachment; filename=\"{fallback}\"; filename*=UTF-8''{}",
        domain::placeholder::percent(name)
    )
}

/// Returns the content type of a download. Text files get a binary content type, because a proxy
/// can change the encoding of text.
fn content_type(media_type: &str) -> &str {
    let is_text = media_type.starts_with("text/")
        || ["json", "xml", "javascript", "yaml", "graphql"]
            .iter()
            .any(|kind| media_type.contains(kind));
    if is_text {
        "application/octet-stream"
    } else {
        media_type
    }
}

/// Returns the content of a file as a response body. `span` is the range of bytes to return. The
/// body consists of pieces. The server reads only a few pieces before the client accepts them
/// ([`PIECES_AHEAD`]).
///
/// The server reads the first piece before the response starts. If this read fails, the response
/// has an HTTP error status. Some hosts, such as AWS Lambda, limit the response size. On such a
/// host, the server reads the whole content before the response starts.
async fn pieces(app: &App, attachment: &Attachment, span: &Range<u64>) -> Result<Body, Problem> {
    let transfer = app.limits.download()?;
    let mut pieces = Pieces::new(app, attachment, span).await?;
    let mut first = pieces.read_on().await?.unwrap_or_default();
    if app.settings.response_bytes_max.is_some() {
        while let Some(piece) = pieces.read_on().await? {
            first.extend(piece);
        }
        return Ok(first.into());
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, NotTaken>>(PIECES_AHEAD);
    tokio::spawn(async move {
        let mut piece = Ok(Bytes::from(first));
        loop {
            let is_last = piece.is_err();
            // This task sends the pieces of the file to the client. The task stops if the client
            // disconnects or does not accept a piece in time.
            let is_sent = tokio::time::timeout(CLIENT_TIMEOUT, sender.send(piece))
                .await
                .is_ok_and(|result| result.is_ok());
            if !is_sent || is_last {
                return;
            }
            piece = match pieces.read_on().await {
                Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
                Ok(None) => return,
                Err(error) => Err(error),
            };
        }
    });
    Ok(Body::new(Download {
        pieces: receiver,
        _transfer: transfer,
    }))
}

/// A response body that receives the pieces of a file from a channel. The server limits the number
/// of parallel downloads. A download counts toward this limit until its `Download` value is
/// dropped.
struct Download {
    pieces: mpsc::Receiver<Result<Bytes, NotTaken>>,
    _transfer: Transfer,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = NotTaken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotTaken>>> {
        self.pieces
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Parses one byte range of a file: `bytes=0-99`, `bytes=100-` or `bytes=-100`. The parameter
/// `bytes` is the size of the file. The end of the returned range is exclusive.
fn range_of(text: &str, bytes: u64) -> Option<Range<u64>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = (from.trim(), to.trim());
    let range = match (from.is_empty(), to.is_empty()) {
        (true, true) => return None,
        (true, false) => bytes.saturating_sub(to.parse().ok()?)..bytes,
        (false, true) => from.parse().ok()?..bytes,
        (false, false) => from.parse().ok()?..to.parse::<u64>().ok()?.saturating_add(1).min(bytes),
    };
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_have_no_path_and_no_hidden_characters() {
        for (given, stored) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\故障.png", "故障.png"),
            ("a/b\\c.txt", "c.txt"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("photo\u{202e}gnp.exe", "photognp.exe"),
            (" a.txt ", "a.txt"),
            ("a..b", "a..b"),
        ] {
            assert_eq!(stored_name(given).expect("a name"), stored, "{given:?}");
        }
        for given in ["", "..", "a/..", "dir/", "\\", "\u{7}", "."] {
            assert!(stored_name(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn both_file_name_parameters_are_read_only_in_utf_8() {
        let name = |disposition: &[u8]| {
            let value = header::HeaderValue::from_bytes(disposition).expect("a header");
            file_name(&[(header::CONTENT_DISPOSITION, value)].into_iter().collect()).map_err(|_| ())
        };
        assert_eq!(
            name(b"form-data; name=\"f\"; filename=\"a;b.txt\""),
            Ok(Some("a;b.txt".into()))
        );
        assert_eq!(
            name(b"form-data; name=\"f\"; filename*=utf-8''%E6%95%85.txt"),
            Ok(Some("故.txt".into()))
        );
        assert_eq!(
            name(b"form-data; filename=\"x.txt\"; filename*=UTF-8'zh'%E6%95%85.txt"),
            Ok(Some("故.txt".into()))
        );
        assert_eq!(
            name(b"form-data; filename=\"C:\\dir\\a \\\"1\\\".txt\""),
            Ok(Some("C:\\dir\\a \"1\".txt".into()))
        );
        assert_eq!(
            name(b"form-data; filename=plain.txt"),
            Ok(Some("plain.txt".into()))
        );
        assert_eq!(name(b"form-data; name=\"filename=x\""), Ok(None));
        for wrong in [
            &b"form-data; filename=\"\xb9\xca.txt\""[..],
            b"form-data; filename*=gb18030''%B9%CA.txt",
            b"form-data; filename*=x",
            b"f; filename*=utf-8''%B9",
        ] {
            assert_eq!(name(wrong), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn fallback_names_contain_the_attachment_id() {
        assert_eq!(
            disposition("故障截图.png", "att-1"),
            "attachment; filename=\"att-1.png\"; filename*=UTF-8''%E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE.png"
        );
        assert_eq!(
            disposition("a b.txt", "att-1"),
            "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"
        );
        assert!(disposition("日志", "att-1").starts_with("attachment; filename=\"att-1\"; "));
        assert!(disposition("a.日志", "att-1").starts_with("attachment; filename=\"att-1\"; "));
    }

    #[test]
    fn only_a_single_byte_range_is_accepted() {
        for (text, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=8-99", 8..10),
        ] {
            assert_eq!(range_of(text, 10), Some(range), "{text}");
        }
        for text in [
            "bytes=10-",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "0-1",
            "bytes=0-1,3-4",
            "bytes=-0",
        ] {
            assert_eq!(range_of(text, 10), None, "{text}");
        }
    }
}
