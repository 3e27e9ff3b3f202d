//! What was asked: parameters from query and body, credentials from either carrier, all bounds checked before parsing.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use domain::call::template::percent;
use domain::ticket::form::plain;
use events::{Entry, Moment};
use infra::{Error, Kind};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::answer::{Refusal, Refused};
use crate::App;
use crate::http::body::{self, BODY_BYTES_MAX, DEPTH_MAX, NoObject, NotRead, nested, object};
use crate::http::credentials::{Caller, Presented, identify};
use crate::people::{Unnamed, is_name, names_of};

/// Parameters that say who calls.
const CREDENTIALS: [&str; 6] = ["bk_app_code", "bk_app_secret", "bk_token", "app_secret", "app_code", "access_token"];
/// Parameters that are lists or objects, which a form can only have as text.
const NESTED: [&str; 4] = ["fields", "dynamic_fields", "meta", "workflow"];
/// Headers whose values count.
const READ_HEADERS: [&str; 3] = ["x-bkapi-authorization", "idempotency-key", "content-type"];
const FORBIDDEN: &str = "Forbidden: the application code or secret, or the user, is missing or not valid";

/// One request, understood.
pub(super) struct Asked {
    query: Map<String, Value>,
    body: Map<String, Value>,
    pub(super) caller: Caller,
    pub(super) idempotency_key: Option<String>,
    /// Path and host, for links to other pages.
    pub(super) path: String,
}

impl Asked {
    pub(super) async fn read(app: &App, request: Request<Body>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let wrong = |text: String| Refusal::new(3_900_021, format!("参数错误: {text}"));
        // Names in headers come in UTF-8. Other bytes are rejected by the name of the header, and never left out. Only a known caller learns the reason.
        let is_other = |name: &&str| parts.headers.get(*name).is_some_and(|value| std::str::from_utf8(value.as_bytes()).is_err());
        let unread_header = READ_HEADERS.into_iter().find(is_other).map(|name| wrong(format!("请求头 {name} 不是 UTF-8")));
        let header = |name: &str| parts.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let query = parameters(parts.uri.query().unwrap_or_default().as_bytes());
        let carried = header("x-bkapi-authorization");
        let bytes = match body::read(body, BODY_BYTES_MAX).await {
            Ok(bytes) => bytes,
            // Too many bodies arrive at once: the caller may be known, and may repeat the request.
            Err(reason @ NotRead::Busy) => return Err(unread(&reason).into()),
            Err(reason) => return Err(unreadable(app, &query, carried, unread(&reason)).await),
        };
        let kind = header(header::CONTENT_TYPE.as_str()).unwrap_or_default().split(';').next().unwrap_or_default().trim().to_lowercase();
        let body = match kind.as_str() {
            _ if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            // Some clients send JSON and keep the type that their library has for every body; a form begins with the name of a parameter.
            "application/x-www-form-urlencoded" if bytes.trim_ascii_start().starts_with(b"{") => object(&bytes).unwrap_or_else(|_| parameters(&bytes)),
            "application/x-www-form-urlencoded" => parameters(&bytes),
            "" | "application/json" | "text/json" => match object(&bytes) {
                Ok(body) => body,
                Err(reason) => return Err(unreadable(app, &query, carried, wrong(in_chinese(&reason))).await),
            },
            other => return Err(unreadable(app, &query, carried, wrong(format!("不支持的内容类型: {other}"))).await),
        };
        let caller = caller(app, &query, &body, carried).await;
        if let Some(refusal) = unread_header {
            return Err(caller.map_or_else(|refused| with_reason(refused, &refusal), |_| refusal.clone().into()));
        }
        let caller = caller?;
        let idempotency_key = header("idempotency-key").map(str::to_owned).filter(|key| !key.is_empty() && key.len() <= 255);
        Ok(Self { query, body, caller, idempotency_key, path: parts.uri.path().to_owned() })
    }

    /// Says whether a parameter was sent as JSON null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.body.get(key).is_some_and(Value::is_null)
    }

    /// A parameter: from the query string, else from the body.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.query.get(key).or_else(|| self.body.get(key)).filter(|value| !value.is_null())
    }

    /// A parameter as text; numbers and booleans count as the text they are.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// A reason or a message; absent is empty.
    pub(super) fn words(&self, key: &str) -> Result<String, Refusal> {
        match self.get(key) {
            Some(Value::Array(_) | Value::Object(_)) => Err(Refusal::parameter(format!("{key}:Not a valid string."))),
            _ => Ok(self.text(key).unwrap_or_default()),
        }
    }

    /// User names: an array with one name in each element, or a text of names between separators.
    pub(super) fn names(&self, key: &str, most: usize) -> Result<Vec<String>, Refusal> {
        names_of(self.get(key).unwrap_or(&Value::Null), most).map_err(|unnamed| match unnamed {
            Unnamed::NotAName(name) => Refusal::parameter(format!("{key}:“{name}” 不是合法的用户名。")),
            Unnamed::TooMany(most) => Refusal::parameter(format!("{key}:请确保这个列表不超过 {most} 项。")),
            other => other.into(),
        })
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &str) -> Result<String, Refusal> {
        match self.get(key) {
            None if self.is_null(key) => Err(Refusal::parameter(format!("{key}:该字段不能为 null。"))),
            None => Err(Refusal::parameter(format!("{key}:该字段是必填项。"))),
            Some(Value::Array(_) | Value::Object(_)) => Err(Refusal::parameter(format!("{key}:Not a valid string."))),
            Some(_) => self.text(key).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::parameter(format!("{key}:该字段不能为空。"))),
        }
    }

    /// The user who is said to act. Where the application may not speak for users, that is the one who is logged in.
    pub(super) fn actor(&self, key: &str) -> Result<String, Refusal> {
        let name = self.required(key)?;
        self.speaks_as(key, &name)?;
        Ok(name)
    }

    /// A text is the name of a user as whom this request may be carried out.
    pub(super) fn speaks_as(&self, key: &str, name: &str) -> Result<(), Refusal> {
        check_name(key, name)?;
        if self.caller.may_act_as(name) {
            return Ok(());
        }
        Err(Refusal::new(3_900_015, format!("权限不足: 应用【{}】不能代表用户【{name}】操作", self.caller.app)))
    }

    /// What the desk is set up with is changed by superusers, and by applications that may speak for them.
    pub(super) async fn administers(&self, app: &App) -> Result<(), Refusal> {
        let may = match &self.caller.user {
            Some(user) => app.configuration.is_superuser(&app.people.find(user).await?).await?,
            None => self.caller.speaks_for_users,
        };
        if may { Ok(()) } else { Err(Refusal::new(3_900_015, "权限不足: 只有超级管理员可以修改服务与流程")) }
    }

    /// An integer that must be there; text that is one counts.
    pub(super) fn required_int(&self, key: &str) -> Result<i64, Refusal> {
        self.required(key)?.parse().map_err(|_| Refusal::parameter(format!("{key}:请填写合法的整数值。")))
    }

    /// A list of texts: an array of texts and numbers, the text of one, one number, or parts between commas. Anything else is rejected by name: a condition
    /// that is left out would make a list longer.
    pub(super) fn list(&self, key: &str) -> Result<Vec<String>, Refusal> {
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(Refusal::parameter(format!("{key}:Not a valid string."))),
        };
        match self.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(Value::String(written)) if written.trim_start().starts_with('[') => match nested(written) {
                Some(Value::Array(items)) => items.iter().map(text).collect(),
                _ => Ok(vec![written.clone()]),
            },
            Some(Value::String(written)) => Ok(written.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()),
            Some(other) => Ok(vec![text(other)?]),
        }
    }

    /// A lower bound in the desk's zone: the earliest instant that the text may mean.
    pub(super) fn earliest_time(&self, app: &App, key: &str) -> Result<Option<Moment>, Refusal> {
        self.bound(app, key, earliest)
    }

    /// An upper bound in the desk's zone: the latest instant that the text may mean.
    pub(super) fn latest_time(&self, app: &App, key: &str) -> Result<Option<Moment>, Refusal> {
        self.bound(app, key, latest)
    }

    fn bound(&self, app: &App, key: &str, read: fn(&str, &TimeZone) -> Option<Timestamp>) -> Result<Option<Moment>, Refusal> {
        let Some(text) = self.text(key).filter(|text| !text.is_empty()) else { return Ok(None) };
        let wrong = || Refusal::new(3_900_021, format!("参数错误: {key} 不是时间（YYYY-MM-DD hh:mm:ss）: {text}"));
        let at = read(&text, &app.settings.zone).ok_or_else(wrong)?;
        Ok(Some(Moment(at.as_millisecond())))
    }

    /// The query again without some parameters and without credentials, each followed by `&`.
    pub(super) fn query_besides(&self, left_out: &[&str]) -> String {
        let kept = self.query.iter().filter(|(key, _)| !left_out.contains(&key.as_str()) && !CREDENTIALS.contains(&key.as_str()));
        kept.fold(String::new(), |query, (key, value)| query + &percent(key) + "=" + &percent(&plain(value)) + "&")
    }

    /// The form: an array of `{key, value}`, further keys allowed.
    pub(super) fn fields(&self) -> Result<Option<Vec<Entry>>, Refusal> {
        let items = match self.get("fields") {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(Refusal::parameter("fields:期望为一个列表，得到的类型不对。")),
        };
        let entry = |item: &Value| {
            let key = item.get("key").and_then(Value::as_str).ok_or_else(|| Refusal::missing_key("key"))?;
            let value = item.get("value").ok_or_else(|| Refusal::missing_key("value"))?;
            Ok(Entry::new(key, value.clone()))
        };
        items.iter().map(entry).collect::<Result<_, _>>().map(Some)
    }

    /// A digest of an idempotent request: the operation, the user who acts, however the request names that user, and the parameters. Another
    /// user's request under the same key is another request.
    pub(super) async fn fingerprint(&self, app: &App) -> Result<String, infra::Error> {
        let mut all = self.body.clone();
        all.extend(self.query.clone());
        // The calling user counts below, wherever the request names that user.
        all.retain(|key, _| !CREDENTIALS.contains(&key.as_str()) && key != "bk_username" && !key.ends_with("request_id"));
        let key = app.keys().await?.fingerprint;
        let operation = self.path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
        let text = json!([operation, self.caller.user, all]).to_string();
        Ok(blake3::keyed_hash(&key, text.as_bytes()).to_hex().to_string())
    }
}

/// The answer to a body that cannot be understood: the reason for a caller that shows credentials outside of it, 403 with the reason for others.
async fn unreadable(app: &App, query: &Map<String, Value>, carried: Option<&str>, refusal: Refusal) -> Refused {
    match caller(app, query, &Map::new(), carried).await {
        Ok(_) => refusal.into(),
        Err(refused) => with_reason(refused, &refusal),
    }
}

/// A 403 that also gives the reason why credentials in the request may not have been read.
fn with_reason(refused: Refused, refusal: &Refusal) -> Refused {
    match refused {
        Refused::Forbidden(forbidden) => Refused::Forbidden(format!("{forbidden} ({})", refusal.message)),
        other => other,
    }
}

/// The rejection of a body that was not read, as this API words it.
fn unread(reason: &NotRead) -> Refusal {
    let wrong = |text: String| Refusal::new(3_900_021, format!("参数错误: {text}"));
    match reason {
        NotRead::TooLarge(most) => wrong(format!("请求体超过 {most} 字节")),
        NotRead::TooSlow => wrong("请求体未能及时读完".into()),
        NotRead::BrokenOff(_) => wrong("请求体未能读完".into()),
        NotRead::Busy => Error::new(Kind::Unavailable, reason.to_string()).into(),
    }
}

/// Parameters of a query or a form. A list may also be named with brackets (`sns[]`), and lists and objects may be the text of JSON.
fn parameters(bytes: &[u8]) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (key, value) in body::pairs(bytes) {
        match key.strip_suffix("[]") {
            Some(name) if !name.is_empty() => {
                let values = if value.is_array() { value } else { Value::Array(vec![value]) };
                parameters.insert(name.to_owned(), values);
            }
            _ => {
                let written = value.as_str().filter(|_| NESTED.contains(&key.as_str())).and_then(nested);
                parameters.insert(key, written.unwrap_or(value));
            }
        }
    }
    parameters
}

/// The meaning of a text: an instant, a second or a minute of a clock, or a day.
enum Meant {
    Instant(Timestamp),
    Clock(DateTime, SignedDuration),
    Day(Date),
}

fn meant(text: &str) -> Option<Meant> {
    let clock = |format: &str, lasts: SignedDuration| DateTime::strptime(format, text).ok().map(|start| Meant::Clock(start, lasts));
    clock("%Y-%m-%d %H:%M:%S", SignedDuration::from_secs(1))
        .or_else(|| clock("%Y-%m-%d %H:%M", SignedDuration::from_mins(1)))
        .or_else(|| Date::strptime("%Y-%m-%d", text).ok().map(Meant::Day))
        // The original reads every form of ISO 8601: a T between day and time, fractions, an offset that counts instead of the zone.
        .or_else(|| text.parse().ok().map(Meant::Instant))
        .or_else(|| clock("%Y-%m-%dT%H:%M:%S", SignedDuration::from_secs(1)))
        .or_else(|| clock("%Y-%m-%dT%H:%M", SignedDuration::from_mins(1)))
        .or_else(|| ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"].into_iter().find_map(|format| clock(format, SignedDuration::from_millis(1))))
}

/// The earliest instant that a text may mean. A time that the clock shows twice means its first occurrence; a day begins with its first instant.
fn earliest(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    match meant(text)? {
        Meant::Instant(at) => Some(at),
        Meant::Clock(start, _) => zone.to_ambiguous_zoned_datetime(start).earlier().ok().map(|zoned| zoned.timestamp()),
        Meant::Day(day) => day.to_zoned_datetime(zone.clone()).ok().map(|zoned| zoned.timestamp()),
    }
}

/// The latest instant that a text may mean. A time that the clock shows twice means its second occurrence; a second, a minute and a day end with their last
/// millisecond.
fn latest(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (end, is_day) = match meant(text)? {
        // Without a fraction it means the whole second.
        Meant::Instant(at) if at.subsec_nanosecond() == 0 => return at.checked_add(SignedDuration::from_millis(999)).ok(),
        Meant::Instant(at) => return Some(at),
        Meant::Clock(start, lasts) => (start.checked_add(lasts).ok()?, false),
        Meant::Day(day) => (day.tomorrow().ok()?.to_datetime(Time::midnight()), true),
    };
    let before = SignedDuration::from_millis(1);
    let end = if is_day {
        // The next day begins with its first instant, also where the clock shows it twice.
        zone.to_zoned_datetime(end).ok()?.timestamp().checked_sub(before).ok()?
    } else {
        let last = end.checked_sub(before).ok()?;
        zone.to_ambiguous_zoned_datetime(last).later().ok()?.timestamp()
    };
    Some(end)
}

fn in_chinese(reason: &NoObject) -> String {
    match reason {
        NoObject::NotUtf8(error) => format!("请求体不是 UTF-8: {error}"),
        NoObject::TooDeep => format!("请求体嵌套超过 {DEPTH_MAX} 层"),
        NoObject::AnotherValue => "请求体不是 JSON 对象".into(),
        NoObject::NotJson(error) => format!("请求体不是合法的 JSON: {error}"),
    }
}

pub(super) fn check_name(parameter: &str, name: &str) -> Result<(), Refusal> {
    if is_name(name) { Ok(()) } else { Err(Refusal::parameter(format!("{parameter}:不是合法的用户名。"))) }
}

/// Checks who calls: code and secret always; the user by login token, or by name alone where the application may speak for users.
async fn caller(app: &App, query: &Map<String, Value>, body: &Map<String, Value>, carried: Option<&str>) -> Result<Caller, Refused> {
    let carried: Map<String, Value> = carried.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let find = |keys: &[&str]| {
        let text = |map: &Map<String, Value>| keys.iter().find_map(|key| map.get(*key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned));
        text(&carried).or_else(|| text(query)).or_else(|| text(body))
    };
    let presented = Presented {
        code: find(&["bk_app_code", "app_code"]),
        secret: find(&["bk_app_secret", "app_secret"]),
        token: find(&["bk_token"]),
        user: find(&["bk_username", "username"]),
    };
    identify(app, presented).await?.ok_or_else(|| Refused::Forbidden(FORBIDDEN.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(zone: &str, from: &str, to: &str) -> (String, String) {
        let zone = TimeZone::get(zone).expect("a zone");
        (earliest(from, &zone).expect("a time").to_string(), latest(to, &zone).expect("a time").to_string())
    }

    #[test]
    fn a_window_covers_both_occurrences_of_an_hour_that_comes_twice() {
        for (from, to, earliest, latest) in [
            ("2026-10-25 02:00:00", "2026-10-25 02:59:59", "2026-10-25T00:00:00Z", "2026-10-25T01:59:59.999Z"),
            ("2026-10-25 02:00", "2026-10-25 02:59", "2026-10-25T00:00:00Z", "2026-10-25T01:59:59.999Z"),
            ("2026-10-25", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999Z"),
            // The hour from two to three does not exist on this day.
            ("2026-03-29 01:59:59", "2026-03-29 03:00:00", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00.999Z"),
            ("2026-07-01 12:00:00", "2026-07-01 12:00:00", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00.999Z"),
        ] {
            assert_eq!(window("Europe/Berlin", from, to), (earliest.to_owned(), latest.to_owned()), "{from} {to}");
        }
        // A day that begins at one o'clock, and the day before it.
        assert_eq!(window("America/Santiago", "2026-09-06", "2026-09-05"), ("2026-09-06T04:00:00Z".to_owned(), "2026-09-06T03:59:59.999Z".to_owned()));
        for (text, first, last) in [
            ("2026-07-01T12:00:00", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00.999Z"),
            ("2026-07-01T12:00", "2026-07-01T10:00:00Z", "2026-07-01T10:00:59.999Z"),
            ("2026-07-01 12:00:00.25", "2026-07-01T10:00:00.25Z", "2026-07-01T10:00:00.25Z"),
            ("2026-07-01T12:00:00+08:00", "2026-07-01T04:00:00Z", "2026-07-01T04:00:00.999Z"),
            ("2026-07-01 12:00:00.5Z", "2026-07-01T12:00:00.5Z", "2026-07-01T12:00:00.5Z"),
        ] {
            assert_eq!(window("Europe/Berlin", text, text), (first.to_owned(), last.to_owned()), "{text}");
        }
        assert!(earliest("tomorrow", &TimeZone::UTC).is_none() && latest("2026-13-01", &TimeZone::UTC).is_none());
    }
}
