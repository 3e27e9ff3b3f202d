//! Files: uploaded whole or in parts, read by whoever may, thrown away by their uploader.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::attachment::{Attachment, NAME_MAX, PART_BYTES};
use events::AttachmentId;
use events::attachment::Received;
use http_body::Frame;
use http_body_util::BodyExt as _;
use infra::{Error, Kind};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::App;
use crate::attachments::{self, NotTaken, Pieces, Upload};
use crate::http::limits::Transfer;
use crate::http::scope;

/// Files of one upload.
const FILES_MAX: usize = 20;
/// Longest time between two pieces of a body.
const IDLE: Duration = Duration::from_secs(20);
/// Pieces of an answer that are read ahead of the client, and how long one waits for it.
const AHEAD: usize = 1;
const UNTAKEN: Duration = Duration::from_mins(1);
/// Bytes of a form that may belong to no file: heads, and fields that are none.
const BETWEEN_BYTES_MAX: usize = 1 << 20;
/// Bytes of a form that may be in memory at once: what a host brings in one piece at most.
const GATHERED_BYTES_MAX: u64 = 6 << 20;
/// Longest ending of a file's name that goes into its fallback name.
const ENDING_MAX: usize = 10;

/// One file in a form (`multipart/form-data`, RFC 7578), several of them, or one as the body itself with `?name=`.
pub(super) async fn upload(asked: Asked, body: Body) -> Answer {
    let _place = asked.app.limits.upload()?;
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
        let Some(name) = file_name(field.headers())? else { continue };
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

/// The name that a part of a form has as a file (RFC 7578 4.2, RFC 6266 4.3); `None` where it is no file. `filename*` counts before `filename`.
fn file_name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(disposition) = headers.get(header::CONTENT_DISPOSITION) else { return Ok(None) };
    let parameters = parameters(disposition.as_bytes());
    let find = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let not_utf8 = || Problem::malformed("body", "the name of a file is not UTF-8");
    if let Some(extended) = find("filename*") {
        let text = std::str::from_utf8(extended).map_err(|_| not_utf8())?;
        let mut pieces = text.splitn(3, '\'');
        let (charset, Some(_), Some(encoded)) = (pieces.next().unwrap_or_default(), pieces.next(), pieces.next()) else {
            return Err(Problem::malformed("body", "filename* has not the form UTF-8''name"));
        };
        if !charset.eq_ignore_ascii_case("utf-8") {
            return Err(Problem::malformed("body", format!("filename* is in {charset:?}; names of files are read in UTF-8")));
        }
        return String::from_utf8(unescaped(encoded)).map(Some).map_err(|_| not_utf8());
    }
    find("filename").map(|name| String::from_utf8(name.clone()).map_err(|_| not_utf8())).transpose()
}

/// The parameters of a header, names in lower case, values without quotes.
fn parameters(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut parameters = Vec::new();
    let (mut now, mut is_quoted, mut is_escaped) = (Vec::new(), false, false);
    let mut finish = |now: &mut Vec<u8>| {
        let parameter = std::mem::take(now);
        if let Some(at) = parameter.iter().position(|byte| *byte == b'=') {
            let name = String::from_utf8_lossy(&parameter[..at]).trim().to_lowercase();
            parameters.push((name, parameter[at + 1..].trim_ascii().to_vec()));
        }
    };
    let mut bytes = header.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            _ if is_escaped => {
                now.push(byte);
                is_escaped = false;
            }
            // Some clients send paths, whose backslashes escape nothing.
            b'\\' if is_quoted && bytes.peek().is_some_and(|next| matches!(next, b'"' | b'\\')) => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => finish(&mut now),
            other => now.push(other),
        }
    }
    finish(&mut now);
    parameters
}

/// Undoes percent-encoding.
fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| bytes[at] == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}

/// The name under which a file is kept: the last part of a path, without characters that are not shown or turn others around.
fn kept_name(name: &str) -> Result<String, Problem> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_hidden = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let kept: String = last.chars().filter(|c| !is_hidden(*c)).collect();
    let kept = kept.trim();
    if kept.is_empty() || kept.chars().all(|c| c == '.') {
        return Err(Problem::malformed("name", format!("{name:?} names no file")));
    }
    Ok(kept.to_owned())
}

/// Begins an upload, or goes on with one under its idempotency key.
async fn begun<'a>(asked: &'a Asked, name: &str, at: usize) -> Result<Upload<'a>, Problem> {
    let app = &asked.app;
    let by = asked.actor().await?;
    let name = kept_name(name)?;
    let name = name.as_str();
    app.limits.begins(&by, app.ledger.clock.now())?;
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
        Some("workflow") => super::admin::superuser(asked).await.map(|_| true),
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
                return Err(Problem::malformed("Idempotency-Key", "`Idempotency-Key` is required: an interrupted upload continues under its key"));
            }
            let upload = begun(&asked, &name, 0).await?;
            if let Some(id) = upload.id().filter(|_| !upload.is_received()) {
                app.limits.opens(&asked.actor().await?, id, app.ledger.clock.now())?;
            }
            let answer = json!({ "id": upload.id(), "part_bytes": PART_BYTES, "parts_max": attachments::parts_max(app) });
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
        (&Method::PUT, [id, number]) => {
            let attachment = own(&asked, id).await?;
            let most = attachments::parts_max(app);
            let wrong = || Problem::malformed("part", format!("{number} is not a number from 1 to {most}"));
            let number: u32 = number.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(wrong)?;
            let _place = app.limits.upload()?;
            let by = asked.actor().await?;
            // What was uploaded before may have been too much already.
            app.limits.uploads(&by, app.ledger.clock.now())?;
            let mut part = Vec::new();
            let mut body = body.unwrap_or_default();
            while let Some(bytes) = next(&mut body).await? {
                if part.len() + bytes.len() > PART_BYTES {
                    return Err(Error::new(Kind::TooLarge, format!("a part is larger than {PART_BYTES} bytes")).into());
                }
                part.extend_from_slice(&bytes);
            }
            if let Some(begun) = &attachment.begun {
                app.limits.part(&by, &begun.attachment, number, part.len() as u64, app.settings.file_bytes_max)?;
            }
            let tag = attachments::put_part(app, &attachment, number, &part).await?;
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
            let by = asked.actor().await?;
            let completed = attachments::complete(app, &attachment, &tags, &claimed, &asked.meta(by.clone())).await?;
            if let Some(begun) = &completed.begun {
                app.limits.ends(&by, &begun.attachment);
            }
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
                app.limits.ends(&begun.by, &begun.attachment);
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
    let tag = format!("\"{}\"", received.digest);
    if scope::if_none_match().is_some_and(|known| scope::is_known(&known, &tag)) {
        let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, CACHE.to_owned())];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    // A range of other bytes is no use: the whole is answered (RFC 9110 13.1.5).
    let is_current = scope::if_range().is_none_or(|known| known.trim() == tag);
    let range = match &asked.range {
        None => None,
        Some(_) if !is_current => None,
        Some(text) => Some(range_of(text, received.bytes).ok_or_else(|| Problem::unsatisfiable(format!("{text} is no range of {} bytes", received.bytes)))?),
    };
    let wanted = range.clone().unwrap_or(0..received.bytes);
    if !is_head && app.settings.answer_bytes_max.is_some_and(|most| wanted.end - wanted.start > most) {
        let most = app.settings.answer_bytes_max.unwrap_or_default();
        return Err(Problem::unsatisfiable(format!("this host answers at most {most} bytes at once: ask for ranges (Range: bytes=0-{})", most - 1)));
    }
    let name = attachment.begun.as_ref().map(|begun| begun.name.read().to_owned()).unwrap_or_default();
    let id = attachment.begun.as_ref().map(|begun| begun.attachment.as_str()).unwrap_or_default();
    let mut answer = Response::builder()
        .header(header::CONTENT_TYPE, type_on_the_wire(&received.media_type))
        .header(header::CONTENT_LENGTH, wanted.end - wanted.start)
        .header(header::CONTENT_DISPOSITION, disposition(&name, id))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, CACHE)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    if range.is_some() {
        let covered = format!("bytes {}-{}/{}", wanted.start, wanted.end.saturating_sub(1), received.bytes);
        answer = answer.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, covered);
    }
    let body = if is_head || wanted.is_empty() { Body::empty() } else { pieces(app, &attachment, &wanted).await? };
    answer.body(body).map_err(|error| Problem::conflict(error.to_string()))
}

/// How an answer may be kept: by its reader alone, who asks each time whether it still counts.
const CACHE: &str = "private, no-cache";

/// The name under which a file is kept (RFC 6266): as it is, and for clients that read ASCII only a name that no other file has.
fn disposition(name: &str, id: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/') || c == ' ');
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| (1..=ENDING_MAX).contains(&ending.len()));
    let ending = ending.filter(|ending| ending.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let fallback = if is_plain { name.to_owned() } else { ending.map_or_else(|| id.to_owned(), |ending| format!("{id}.{ending}")) };
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{}", domain::call::template::percent(name))
}

/// What an answer says its bytes are. Text is called bytes: hosts in between take text apart and put it together again, perhaps as other bytes.
fn type_on_the_wire(media_type: &str) -> &str {
    let is_text = media_type.starts_with("text/") || ["json", "xml", "javascript", "yaml", "graphql"].iter().any(|kind| media_type.contains(kind));
    if is_text { "application/octet-stream" } else { media_type }
}

/// A body of small pieces that are read as the client takes them. The first is read before anything is answered, so that an error has its own status; all of
/// them are, where the host answers only as a whole.
async fn pieces(app: &App, attachment: &Attachment, wanted: &Range<u64>) -> Result<Body, Problem> {
    let place = app.limits.download()?;
    let mut pieces = Pieces::new(app, attachment, wanted).await?;
    let mut first = pieces.read_on().await?.unwrap_or_default();
    if app.settings.answer_bytes_max.is_some() {
        while let Some(piece) = pieces.read_on().await? {
            first.extend(piece);
        }
        return Ok(first.into());
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, NotTaken>>(AHEAD);
    tokio::spawn(async move {
        let mut piece = Ok(Bytes::from(first));
        loop {
            let is_last = piece.is_err();
            // The client may have gone, or take nothing any more.
            let is_taken = tokio::time::timeout(UNTAKEN, sender.send(piece)).await.is_ok_and(|sent| sent.is_ok());
            if !is_taken || is_last {
                return;
            }
            piece = match pieces.read_on().await {
                Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
                Ok(None) => return,
                Err(not) => Err(not),
            };
        }
    });
    Ok(Body::new(Download { pieces: receiver, _place: place }))
}

/// What comes through a channel, as a body; it holds a place among the downloads.
struct Download {
    pieces: mpsc::Receiver<Result<Bytes, NotTaken>>,
    _place: Transfer,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = NotTaken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NotTaken>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
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
    fn a_name_is_the_last_part_of_a_path_without_hidden_characters() {
        for (given, kept) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\故障.png", "故障.png"),
            ("a/b\\c.txt", "c.txt"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("photo\u{202e}gnp.exe", "photognp.exe"),
            (" a.txt ", "a.txt"),
            ("a..b", "a..b"),
        ] {
            assert_eq!(kept_name(given).expect("a name"), kept, "{given:?}");
        }
        for given in ["", "..", "a/..", "dir/", "\\", "\u{7}", "."] {
            assert!(kept_name(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn the_name_of_a_part_is_read_in_either_form_and_only_in_utf_8() {
        let name = |disposition: &[u8]| {
            let value = header::HeaderValue::from_bytes(disposition).expect("a header");
            file_name(&[(header::CONTENT_DISPOSITION, value)].into_iter().collect()).map_err(|_| ())
        };
        assert_eq!(name(b"form-data; name=\"f\"; filename=\"a;b.txt\""), Ok(Some("a;b.txt".into())));
        assert_eq!(name(b"form-data; name=\"f\"; filename*=utf-8''%E6%95%85.txt"), Ok(Some("故.txt".into())));
        assert_eq!(name(b"form-data; filename=\"x.txt\"; filename*=UTF-8'zh'%E6%95%85.txt"), Ok(Some("故.txt".into())));
        assert_eq!(name(b"form-data; filename=\"C:\\dir\\a \\\"1\\\".txt\""), Ok(Some("C:\\dir\\a \"1\".txt".into())));
        assert_eq!(name(b"form-data; filename=plain.txt"), Ok(Some("plain.txt".into())));
        assert_eq!(name(b"form-data; name=\"filename=x\""), Ok(None));
        for wrong in
            [&b"form-data; filename=\"\xb9\xca.txt\""[..], b"form-data; filename*=gb18030''%B9%CA.txt", b"form-data; filename*=x", b"f; filename*=utf-8''%B9"]
        {
            assert_eq!(name(wrong), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn a_fallback_name_tells_files_apart() {
        assert_eq!(disposition("故障截图.png", "att-1"), "attachment; filename=\"att-1.png\"; filename*=UTF-8''%E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE.png");
        assert_eq!(disposition("a b.txt", "att-1"), "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
        assert!(disposition("日志", "att-1").starts_with("attachment; filename=\"att-1\"; "));
        assert!(disposition("a.日志", "att-1").starts_with("attachment; filename=\"att-1\"; "));
    }

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
