//! Files: uploaded whole or in parts, read by whoever may, thrown away by their uploader.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::attachment::{Attachment, NAME_MAX, PART_BYTES};
use events::AttachmentId;
use events::attachment::Received;
use http_body::Frame;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::App;
use crate::attachments::{self, NotTaken, Upload};

/// Files of one upload.
const FILES_MAX: usize = 20;
/// Longest time between two pieces of a body.
const IDLE: Duration = Duration::from_secs(20);
/// Parts of an answer that are read ahead of whoever takes them, and how long one may lie there.
const AHEAD: usize = 1;
const UNTAKEN: Duration = Duration::from_mins(2);
/// Bytes of a form that may belong to no file: heads, and fields that are none.
const BETWEEN_BYTES_MAX: usize = 1 << 20;
/// Bytes of a form that may be in memory at once.
const GATHERED_BYTES_MAX: u64 = 16 << 20;

/// One file in a form (`multipart/form-data`, RFC 7578), several of them, or one as the body itself with `?name=`.
pub(super) async fn upload(asked: Asked, body: Body) -> Answer {
    let taken = match multer::parse_boundary(&asked.content_type) {
        Ok(boundary) => {
            let patience = Patience::default();
            // A body that is no larger than may be gathered anyway is taken as it comes: some hosts bring it in one piece.
            let is_small = http_body::Body::size_hint(&body).upper().is_some_and(|bytes| bytes <= GATHERED_BYTES_MAX);
            let bounded = if is_small { body } else { Body::new(Bounded { body, patience: patience.clone() }) };
            form_of_files(&asked, multer::Multipart::new(bounded.into_data_stream(), boundary), &patience).await?
        }
        Err(_) => vec![one_file(&asked, body).await?],
    };
    Ok((StatusCode::CREATED, Json(json!({ "attachments": taken }))).into_response())
}

async fn form_of_files(asked: &Asked, mut form: multer::Multipart<'_>, patience: &Patience) -> Result<Vec<Value>, Problem> {
    let mut taken = Vec::new();
    while let Some(mut field) = in_time(form.next_field()).await?.map_err(broken)? {
        patience.anew();
        let Some(name) = field.file_name().map(str::to_owned) else { continue };
        if taken.len() == FILES_MAX {
            return Err(Problem::malformed("body", format!("it has more than {FILES_MAX} files")));
        }
        let claimed = field.content_type().map(ToString::to_string).unwrap_or_default();
        let mut upload = begun(asked, &name, taken.len()).await?;
        while let Some(bytes) = in_time(field.chunk()).await?.map_err(broken)? {
            patience.anew();
            upload.write(&bytes).await?;
        }
        taken.push(finish(asked, upload, &claimed).await?);
    }
    if taken.is_empty() { Err(Problem::malformed("body", "it has no file")) } else { Ok(taken) }
}

async fn one_file(asked: &Asked, mut body: Body) -> Result<Value, Problem> {
    let name = asked.asked_for("name").ok_or_else(|| Problem::malformed("name", "a file that is the body itself needs its name in the query"))?;
    let mut upload = begun(asked, name, 0).await?;
    while let Some(bytes) = next(&mut body).await? {
        upload.write(&bytes).await?;
    }
    finish(asked, upload, &asked.content_type).await
}

/// The next piece of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = in_time(body.frame()).await? {
        let frame = frame.map_err(|error| Problem::malformed("body", format!("it broke off: {error}")))?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Waits for the next piece of a body, but not for ever.
async fn in_time<T>(next: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(IDLE, next).await.map_err(|_| Problem::malformed("body", format!("nothing came for {IDLE:?}")))
}

fn broken(error: multer::Error) -> Problem {
    Problem::malformed("body", format!("it is no form that can be read: {error}"))
}

/// How many bytes of a form came since something was made of them: what belongs to no file is not gathered without end.
#[derive(Clone, Debug, Default)]
struct Patience(Arc<AtomicUsize>);

impl Patience {
    fn anew(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A body that ends where too much of it came for nothing.
struct Bounded {
    body: Body,
    patience: Patience,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if self.patience.0.fetch_add(bytes, Ordering::Relaxed) + bytes > BETWEEN_BYTES_MAX {
                let error = std::io::Error::other(format!("more than {BETWEEN_BYTES_MAX} bytes belong to no file"));
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
        }
        polled
    }
}

/// Begins an upload, or goes on with one under its idempotency key.
async fn begun<'a>(asked: &'a Asked, name: &str, at: usize) -> Result<Upload<'a>, Problem> {
    let app = &asked.app;
    let by = asked.actor().await?;
    let key = asked.idempotency_key.as_ref().map(|key| format!("{key}|{at}"));
    let id = attachments::id(app, key.as_deref().map(|key| (asked.caller.app.as_str(), &by, key))).await?;
    let mut attachment = attachments::load(app, &id).await?;
    if attachment.begun.is_none() {
        let subject = if is_for_workflow(asked).await? { None } else { Some(by.clone()) };
        attachment = attachments::begin(app, &id, name, subject, &asked.meta(by)).await?;
    } else if attachment.begun.as_ref().is_some_and(|begun| begun.name.read() != name) {
        return Err(Problem::conflict("the idempotency key was used for another file"));
    }
    Ok(Upload::new(app, attachment).await?)
}

/// Files that forms hand out are uploaded for a workflow (`?for=workflow`), by those who draw workflows.
async fn is_for_workflow(asked: &Asked) -> Result<bool, Problem> {
    match asked.asked_for("for") {
        None => Ok(false),
        Some("workflow") => super::admin::superuser(asked).await.map(|()| true),
        Some(_) => Err(Problem::malformed("for", "it is nothing but workflow")),
    }
}

async fn finish(asked: &Asked, upload: Upload<'_>, claimed: &str) -> Result<Value, Problem> {
    Ok(shown(&upload.finish(claimed, &asked.meta(asked.actor().await?)).await?))
}

fn shown(attachment: &Attachment) -> Value {
    let mut shown = attachment.described().unwrap_or_else(|| json!({}));
    if let Some(begun) = &attachment.begun {
        shown["id"] = json!(begun.attachment);
        let is_erased = begun.name.personal.as_ref().is_some_and(events::Personal::is_erased);
        shown["name"] = if is_erased { "Erased".into() } else { json!(begun.name.read()) };
    }
    shown["discarded"] = attachment.discarded.into();
    shown
}

/// An upload in parts: begun with its name, so many parts of [`PART_BYTES`] and a last one, completed. For hosts and lines that take no large bodies.
pub(super) async fn in_parts(asked: Asked, method: &Method, parts: &[&str], body: Option<Body>) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::POST, []) => {
            let name = asked.required("name")?;
            if name.chars().count() > NAME_MAX {
                return Err(Problem::malformed("/name", format!("it is longer than {NAME_MAX} characters")));
            }
            if asked.idempotency_key.is_none() {
                return Err(Problem::malformed("Idempotency-Key", "an upload in parts needs one, so that it can be gone on with"));
            }
            let upload = begun(&asked, &name, 0).await?;
            let answer = json!({ "id": upload.id(), "part_bytes": PART_BYTES, "parts_max": attachments::parts_max(app) });
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
        (&Method::PUT, [id, number]) => {
            let attachment = own(&asked, id).await?;
            let most = attachments::parts_max(app);
            let wrong = || Problem::malformed("part", format!("{number} is not a number from 1 to {most}"));
            let number: u32 = number.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(wrong)?;
            let mut part = Vec::new();
            let mut body = body.unwrap_or_default();
            while let Some(bytes) = next(&mut body).await? {
                if part.len() + bytes.len() > PART_BYTES {
                    return Err(Problem::malformed("body", format!("it is larger than {PART_BYTES} bytes")));
                }
                part.extend_from_slice(&bytes);
            }
            let tag = attachments::put_part(app, &attachment, &part).await?;
            Ok(([(header::ETAG, format!("\"{tag}\""))], Json(json!({ "part": number, "tag": tag }))).into_response())
        }
        (&Method::POST, [id, "complete"]) => {
            let attachment = own(&asked, id).await?;
            if attachment.received.is_some() {
                return Ok(Json(shown(&attachment)).into_response());
            }
            let wrong = || Problem::malformed("/parts", "it is not the list of the parts' tags, in order");
            let tags = asked.body.get("parts").and_then(Value::as_array).ok_or_else(wrong)?;
            let tags: Vec<String> = tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or_else(wrong)?;
            if tags.len() > usize::try_from(attachments::parts_max(app)).unwrap_or(usize::MAX) {
                return Err(NotTaken::TooLarge(app.settings.file_bytes_max).into());
            }
            let claimed = asked.text("media_type")?.unwrap_or_default();
            let completed = attachments::complete(app, &attachment, &tags, &claimed, &asked.meta(asked.actor().await?)).await?;
            Ok(Json(shown(&completed)).into_response())
        }
        _ => Err(Problem::method(format!("{method} is not for this path"))),
    }
}

/// An attachment that whoever asks uploaded.
async fn own(asked: &Asked, id: &str) -> Result<Attachment, Problem> {
    let attachment = known(&asked.app, id).await?;
    let by = asked.app.people.find(asked.user()?).await?;
    if attachment.begun.as_ref().is_some_and(|begun| begun.by == by) { Ok(attachment) } else { Err(missing(id)) }
}

async fn known(app: &App, id: &str) -> Result<Attachment, Problem> {
    let known = AttachmentId::read(id).ok_or_else(|| missing(id))?;
    let attachment = attachments::load(app, &known).await?;
    if attachment.begun.is_some() { Ok(attachment) } else { Err(missing(id)) }
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no attachment {id}"))
}

/// What a file is, its bytes, or an end to it. What somebody may not read is not there for them.
pub(super) async fn one(asked: Asked, method: &Method, id: &str, rest: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, rest) {
        (&Method::GET | &Method::HEAD, [] | ["content"]) => {
            let attachment = known(app, id).await?;
            let reader = app.people.find(asked.user()?).await?;
            if !attachments::may_read(app, &attachment, &reader).await? {
                return Err(missing(id));
            }
            if rest.is_empty() {
                return Ok(Json(shown(&attachment)).into_response());
            }
            let received = attachment.received.clone().filter(|_| !attachment.discarded).ok_or_else(|| missing(id))?;
            content(&asked, attachment, &received, method == Method::HEAD).await
        }
        (&Method::DELETE, []) => {
            let attachment = own(&asked, id).await?;
            if let Some(begun) = &attachment.begun {
                attachments::discard(app, &begun.attachment, &asked.meta(begun.by.clone())).await?;
            }
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Problem::method(format!("{method} is not for this path"))),
    }
}

/// The bytes, or a range of them (RFC 9110 14). Browsers are told to keep them as a file and never to look what they might be.
async fn content(asked: &Asked, attachment: Attachment, received: &Received, is_head: bool) -> Answer {
    let app = &asked.app;
    if attachments::is_erased(app, &attachment).await? {
        return Err(NotTaken::Erased.into());
    }
    let range = match &asked.range {
        None => None,
        Some(text) => Some(range_of(text, received.bytes).ok_or_else(|| Problem::unsatisfiable(format!("{text} is no range of {} bytes", received.bytes)))?),
    };
    let wanted = range.clone().unwrap_or(0..received.bytes);
    if !is_head && app.settings.answer_bytes_max.is_some_and(|most| wanted.end - wanted.start > most) {
        let most = app.settings.answer_bytes_max.unwrap_or_default();
        return Err(Problem::unsatisfiable(format!("this host answers at most {most} bytes at once: ask for ranges (Range: bytes=0-{})", most - 1)));
    }
    let name = attachment.begun.as_ref().map(|begun| begun.name.read().to_owned()).unwrap_or_default();
    let mut answer = Response::builder()
        .header(header::CONTENT_TYPE, type_on_the_wire(&received.media_type))
        .header(header::CONTENT_LENGTH, wanted.end - wanted.start)
        .header(header::CONTENT_DISPOSITION, disposition(&name))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{}\"", received.digest))
        .header(header::CACHE_CONTROL, "private, no-store")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    if range.is_some() {
        let covered = format!("bytes {}-{}/{}", wanted.start, wanted.end.saturating_sub(1), received.bytes);
        answer = answer.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, covered);
    }
    let body = if is_head || wanted.is_empty() { Body::empty() } else { parts(app.clone(), attachment, wanted).await? };
    answer.body(body).map_err(|error| Problem::conflict(error.to_string()))
}

/// The name under which a file is kept (RFC 6266): for old clients in ASCII, for others as it is.
fn disposition(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/') || c == ' ' { c } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", domain::call::template::percent(name))
}

/// What an answer says its bytes are. Text is called bytes: hosts in between take text apart and put it together again, perhaps as other bytes.
fn type_on_the_wire(media_type: &str) -> &str {
    let is_text = media_type.starts_with("text/") || ["json", "xml", "javascript", "yaml", "graphql"].iter().any(|kind| media_type.contains(kind));
    if is_text { "application/octet-stream" } else { media_type }
}

/// A body of parts that are read as they are taken. The first is read before anything is answered, so that what cannot be read says so; all of them
/// where the host answers only as a whole.
async fn parts(app: App, attachment: Attachment, wanted: Range<u64>) -> Result<Body, Problem> {
    let mut numbers = attachments::parts_of(&wanted);
    let mut first = attachments::read_part(&app, &attachment, numbers.next().unwrap_or(1), &wanted).await?;
    if app.settings.answer_bytes_max.is_some() {
        for number in numbers {
            first.extend(attachments::read_part(&app, &attachment, number, &wanted).await?);
        }
        return Ok(first.into());
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, NotTaken>>(AHEAD);
    tokio::spawn(async move {
        let mut part = Ok(Bytes::from(first));
        loop {
            let is_last = part.is_err();
            // Whoever asked may have gone, or take nothing any more.
            let taken = tokio::time::timeout(UNTAKEN, sender.send(part)).await.is_ok_and(|sent| sent.is_ok());
            let Some(number) = numbers.next().filter(|_| taken && !is_last) else { return };
            part = attachments::read_part(&app, &attachment, number, &wanted).await.map(Bytes::from);
        }
    });
    Ok(Body::new(Parts(receiver)))
}

/// What comes through a channel, as a body.
struct Parts(mpsc::Receiver<Result<Bytes, NotTaken>>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = NotTaken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NotTaken>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| part.map(Frame::data)))
    }
}

/// One range of a file of so many bytes, its end not included: `bytes=0-99`, `bytes=100-`, `bytes=-100`.
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
    fn one_range_is_understood_and_nothing_else() {
        for (text, range) in [("bytes=0-0", 0..1), ("bytes=2-", 2..10), ("bytes=-3", 7..10), ("bytes=-30", 0..10), ("bytes=8-99", 8..10)] {
            assert_eq!(range_of(text, 10), Some(range), "{text}");
        }
        for text in ["bytes=10-", "bytes=-", "bytes=5-4", "bytes=a-b", "0-1", "bytes=0-1,3-4", "bytes=-0"] {
            assert_eq!(range_of(text, 10), None, "{text}");
        }
    }
}
