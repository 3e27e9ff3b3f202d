//! Reads a request of the BlueKing API. The module parses the parameters in the query and the body,
//! and identifies the caller from the credentials. The size of the body is checked before the body
//! is parsed.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use domain::permission::{self, Relations};
use domain::placeholder::percent;
use domain::value::plain;
use events::{Entry, Moment};
use infra::{Error, Kind};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::answer::{Refused, WireError};
use super::{Operation, parameters};
use crate::App;
use crate::app::identity::{Caller, Presented, identify};
use crate::app::people::{Unnamed, is_name, names_of};
use crate::app::permissions;
use crate::http::body::{self, BODY_BYTES_MAX, DEPTH_MAX, NoObject, NotRead, nested, object};

/// The parameters that contain credentials.
const CREDENTIALS: [&str; 6] = [
    "bk_app_code",
    "bk_app_secret",
    "bk_token",
    "app_secret",
    "app_code",
    "access_token",
];
/// The parameters whose values are lists or objects. In a form body, such a value is JSON text.
const NESTED: [&str; 4] = ["fields", "dynamic_fields", "meta", "workflow"];
/// The request headers that this module reads. The values of these headers must be valid UTF-8.
const READ_HEADERS: [&str; 3] = ["x-bkapi-authorization", "idempotency-key", "content-type"];
const FORBIDDEN: &str =
    "Forbidden: the application code or secret, or the user, is missing or not valid";

/// A parsed request with an identified caller.
pub(super) struct Asked {
    /// The operation of the request, or `None` if the path is unknown.
    operation: Option<Operation>,
    query: Map<String, Value>,
    body: Map<String, Value>,
    pub(super) caller: Caller,
    pub(super) idempotency_key: Option<String>,
    /// The path of the request URL. Links to other pages of a list contain this path.
    pub(super) path: String,
}

impl Asked {
    pub(super) async fn read(app: &App, request: Request<Body>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let wrong = |text: String| WireError::new(3_900_021, format!("参数错误: {text}"));
        // If a header is not valid UTF-8, the server rejects the request, and the error contains
        // the name of the header. The server cannot ignore the header, because it can contain
        // important data, for example a user name.
        let is_not_utf8 = |name: &&str| {
            parts
                .headers
                .get(*name)
                .is_some_and(|value| std::str::from_utf8(value.as_bytes()).is_err())
        };
        let unread_header = READ_HEADERS
            .into_iter()
            .find(is_not_utf8)
            .map(|name| wrong(format!("请求头 {name} 不是 UTF-8")));
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        };
        let query = parameters(parts.uri.query().unwrap_or_default().as_bytes());
        let authorization = header("x-bkapi-authorization");
        let bytes = match body::read(body, BODY_BYTES_MAX).await {
            Ok(bytes) => bytes,
            // The server currently reads the maximum number of bodies, so it does not read this
            // body. The body can contain valid credentials, so status 403 would be wrong here. The
            // client may repeat the request later.
            Err(reason @ NotRead::Busy) => return Err(unread(&reason).into()),
            Err(reason) => {
                return Err(unreadable(app, &query, authorization, unread(&reason)).await);
            }
        };
        let kind = header(header::CONTENT_TYPE.as_str())
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        let body = match kind.as_str() {
            _ if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            // Some clients send JSON with the content type of a form, which is the default of their
            // HTTP library. A form body never begins with `{`. Therefore, a body that begins with
            // `{` is parsed as JSON.
            "application/x-www-form-urlencoded" if bytes.trim_ascii_start().starts_with(b"{") => {
                object(&bytes).unwrap_or_else(|_| parameters(&bytes))
            }
            "application/x-www-form-urlencoded" => parameters(&bytes),
            "" | "application/json" | "text/json" => match object(&bytes) {
                Ok(body) => body,
                Err(reason) => {
                    return Err(
                        unreadable(app, &query, authorization, wrong(in_chinese(&reason))).await,
                    );
                }
            },
            other => {
                return Err(unreadable(
                    app,
                    &query,
                    authorization,
                    wrong(format!("不支持的内容类型: {other}")),
                )
                .await);
            }
        };
        let caller = caller(app, &query, &body, authorization).await;
        if let Some(error) = unread_header {
            return Err(caller.map_or_else(
                |refused| with_reason(refused, &error),
                |_| error.clone().into(),
            ));
        }
        let caller = caller?;
        let idempotency_key = header("idempotency-key")
            .map(str::to_owned)
            .filter(|key| !key.is_empty() && key.len() <= 255);
        Ok(Self {
            operation: super::operation(parts.uri.path()),
            query,
            body,
            caller,
            idempotency_key,
            path: parts.uri.path().to_owned(),
        })
    }

    /// Returns whether a parameter of the body is JSON null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.body.get(key).is_some_and(Value::is_null)
    }

    /// Returns the value of the parameter `key`. The value in the query has priority over the value
    /// in the body. The result is `None` if the parameter is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        // The API description must contain every parameter that a handler reads.
        debug_assert!(
            self.operation
                .is_none_or(|operation| parameters::is_known(operation, key)),
            "{:?} reads the parameter {key}, which is not in its list",
            self.operation
        );
        self.query
            .get(key)
            .or_else(|| self.body.get(key))
            .filter(|value| !value.is_null())
    }

    /// Returns a parameter as text. A number or a boolean is converted to text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// Returns an optional text parameter, for example a comment. Returns an empty text if the
    /// parameter is absent.
    pub(super) fn words(&self, key: &str) -> Result<String, WireError> {
        match self.get(key) {
            Some(Value::Array(_) | Value::Object(_)) => {
                Err(WireError::parameter(format!("{key}:Not a valid string.")))
            }
            _ => Ok(self.text(key).unwrap_or_default()),
        }
    }

    /// Returns a list of at most `most` user names. The parameter is an array of names, or one text
    /// with separators between the names.
    pub(super) fn names(&self, key: &str, most: usize) -> Result<Vec<String>, WireError> {
        names_of(self.get(key).unwrap_or(&Value::Null), most).map_err(|unnamed| match unnamed {
            Unnamed::NotAName(name) => {
                WireError::parameter(format!("{key}:“{name}” 不是合法的用户名。"))
            }
            Unnamed::TooMany(most) => {
                WireError::parameter(format!("{key}:请确保这个列表不超过 {most} 项。"))
            }
            other => other.into(),
        })
    }

    /// Returns the text of a required parameter. Rejects an empty text.
    pub(super) fn required(&self, key: &str) -> Result<String, WireError> {
        match self.get(key) {
            None if self.is_null(key) => {
                Err(WireError::parameter(format!("{key}:该字段不能为 null。")))
            }
            None => Err(WireError::parameter(format!("{key}:该字段是必填项。"))),
            Some(Value::Array(_) | Value::Object(_)) => {
                Err(WireError::parameter(format!("{key}:Not a valid string.")))
            }
            Some(_) => self
                .text(key)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| WireError::parameter(format!("{key}:该字段不能为空。"))),
        }
    }

    /// Returns the user name in the parameter `key`. Some apps (client programs) may not
    /// impersonate users. If one of these apps sends the request, the name must be the name of the
    /// logged-in user.
    pub(super) fn actor(&self, key: &str) -> Result<String, WireError> {
        let name = self.required(key)?;
        self.speaks_as(key, &name)?;
        Ok(name)
    }

    /// Checks whether the caller may act as the user `name`. Returns an error if the user name is
    /// invalid, or if the caller may not impersonate this user. `key` is the parameter that
    /// contains the name.
    pub(super) fn speaks_as(&self, key: &str, name: &str) -> Result<(), WireError> {
        check_name(key, name)?;
        if self.caller.may_act_as(name) {
            return Ok(());
        }
        Err(WireError::new(
            3_900_015,
            format!(
                "权限不足: 应用【{}】不能代表用户【{name}】操作",
                self.caller.app
            ),
        ))
    }

    /// Returns an error if the caller may not change the configuration. If the request contains a
    /// user, this user must be a superuser. If the request contains no user, the app must be
    /// allowed to impersonate users.
    pub(super) async fn administers(&self, app: &App) -> Result<(), WireError> {
        let may = match &self.caller.user {
            Some(user) => {
                let person = app.people.find(user).await?;
                let operation = permission::Operation::ChangeConfiguration;
                permissions::may(app, operation, &person, Relations::NONE).await?
            }
            None => self.caller.may_impersonate,
        };
        if may {
            Ok(())
        } else {
            Err(WireError::new(
                3_900_015,
                "权限不足: 只有超级管理员可以修改服务与流程",
            ))
        }
    }

    /// Returns a required integer parameter. The value may also be a text with a decimal number.
    pub(super) fn required_int(&self, key: &str) -> Result<i64, WireError> {
        self.required(key)?
            .parse()
            .map_err(|_| WireError::parameter(format!("{key}:请填写合法的整数值。")))
    }

    /// Returns a parameter that contains a list of texts.
    ///
    /// The value is a number, a JSON array of texts and numbers, or a text. A text contains a JSON
    /// array, or values separated by commas. Any other value is rejected. If the server ignored a
    /// wrong filter, the response would contain too many tickets.
    pub(super) fn list(&self, key: &str) -> Result<Vec<String>, WireError> {
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(WireError::parameter(format!("{key}:Not a valid string."))),
        };
        match self.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(Value::String(written)) if written.trim_start().starts_with('[') => {
                match nested(written) {
                    Some(Value::Array(items)) => items.iter().map(text).collect(),
                    _ => Ok(vec![written.clone()]),
                }
            }
            Some(Value::String(written)) => Ok(written
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()),
            Some(other) => Ok(vec![text(other)?]),
        }
    }

    /// Parses a time parameter that is the start of a period. Returns the earliest instant that the
    /// text can mean in the time zone of the service desk.
    pub(super) fn earliest_time(&self, app: &App, key: &str) -> Result<Option<Moment>, WireError> {
        self.bound(app, key, earliest)
    }

    /// Parses a time parameter that is the end of a period. Returns the latest instant that the
    /// text can mean in the time zone of the service desk.
    pub(super) fn latest_time(&self, app: &App, key: &str) -> Result<Option<Moment>, WireError> {
        self.bound(app, key, latest)
    }

    fn bound(
        &self,
        app: &App,
        key: &str,
        read: fn(&str, &TimeZone) -> Option<Timestamp>,
    ) -> Result<Option<Moment>, WireError> {
        let Some(text) = self.text(key).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let wrong = || {
            WireError::new(
                3_900_021,
                format!("参数错误: {key} 不是时间（YYYY-MM-DD hh:mm:ss）: {text}"),
            )
        };
        let at = read(&text, &app.settings.zone).ok_or_else(wrong)?;
        Ok(Some(Moment(at.as_millisecond())))
    }

    /// Returns the query of the request as text, without credentials and without the parameters in
    /// `left_out`. Each name-value pair ends with `&`.
    pub(super) fn query_besides(&self, left_out: &[&str]) -> String {
        let kept = self.query.iter().filter(|(key, _)| {
            !left_out.contains(&key.as_str()) && !CREDENTIALS.contains(&key.as_str())
        });
        kept.fold(String::new(), |query, (key, value)| {
            query + &percent(key) + "=" + &percent(&plain(value)) + "&"
        })
    }

    /// Returns the form values in the parameter `fields`. The parameter is an array of objects with
    /// the members `key` and `value`. Other members of these objects are ignored.
    pub(super) fn fields(&self) -> Result<Option<Vec<Entry>>, WireError> {
        let items = match self.get("fields") {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(_) => {
                return Err(WireError::parameter(
                    "fields:期望为一个列表，得到的类型不对。",
                ));
            }
        };
        let entry = |item: &Value| {
            let key = item
                .get("key")
                .and_then(Value::as_str)
                .ok_or_else(|| WireError::missing_key("key"))?;
            let value = item
                .get("value")
                .ok_or_else(|| WireError::missing_key("value"))?;
            Ok(Entry::new(key, value.clone()))
        };
        items.iter().map(entry).collect::<Result<_, _>>().map(Some)
    }

    /// Returns a keyed hash of the operation, the acting user and the parameters of this request.
    /// If a client uses an idempotency key again, the desk compares this hash with the hash of the
    /// first request with this idempotency key. Only a request with an equal hash is a repetition.
    pub(super) async fn fingerprint(&self, app: &App) -> Result<String, infra::Error> {
        let mut all = self.body.clone();
        all.extend(self.query.clone());
        // These parameters are not part of the hash, because they can differ when a client repeats
        // a request: credentials, the user name and request ids. The hash contains the acting user
        // as a separate part.
        all.retain(|key, _| {
            !CREDENTIALS.contains(&key.as_str())
                && key != "bk_username"
                && !key.ends_with("request_id")
        });
        let key = app.keys().await?.fingerprint;
        let operation = self
            .path
            .rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or_default();
        let text = json!([operation, self.caller.user, all]).to_string();
        Ok(blake3::keyed_hash(&key, text.as_bytes())
            .to_hex()
            .to_string())
    }
}

/// Returns the error response for a request whose body cannot be read. `error` contains the reason.
///
/// If the query or the headers contain valid credentials, the response has the error code of
/// `error`. Otherwise the response has status 403, and its message also contains the message of
/// `error`.
async fn unreadable(
    app: &App,
    query: &Map<String, Value>,
    authorization: Option<&str>,
    error: WireError,
) -> Refused {
    match caller(app, query, &Map::new(), authorization).await {
        Ok(_) => error.into(),
        Err(refused) => with_reason(refused, &error),
    }
}

/// Appends the message of `error` to `refused`, which is a response with status 403. The status
/// means that no credentials were found. The credentials can be in the body, but the body cannot be
/// read. The client therefore needs both messages.
fn with_reason(refused: Refused, error: &WireError) -> Refused {
    match refused {
        Refused::Forbidden(forbidden) => {
            Refused::Forbidden(format!("{forbidden} ({})", error.message))
        }
        other => other,
    }
}

/// Converts the reason why a body was not read to an error of the BlueKing API.
fn unread(reason: &NotRead) -> WireError {
    let wrong = |text: String| WireError::new(3_900_021, format!("参数错误: {text}"));
    match reason {
        NotRead::TooLarge(most) => wrong(format!("请求体超过 {most} 字节")),
        NotRead::TooSlow => wrong("请求体未能及时读完".into()),
        NotRead::BrokenOff(_) => wrong("请求体未能读完".into()),
        NotRead::Busy => Error::new(Kind::Unavailable, reason.to_string()).into(),
    }
}

/// Parses the parameters of a query or a form body. The name of a list parameter may end with
/// brackets, as in `sns[]`. The value of some parameters is JSON text with a list or an object.
fn parameters(bytes: &[u8]) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (key, value) in body::pairs(bytes) {
        match key.strip_suffix("[]") {
            Some(name) if !name.is_empty() => {
                let values = if value.is_array() {
                    value
                } else {
                    Value::Array(vec![value])
                };
                parameters.insert(name.to_owned(), values);
            }
            _ => {
                let written = value
                    .as_str()
                    .filter(|_| NESTED.contains(&key.as_str()))
                    .and_then(nested);
                parameters.insert(key, written.unwrap_or(value));
            }
        }
    }
    parameters
}

/// A parsed text with a time. The text means an instant, a local time, or a day. A local time also
/// has a length, because the text `2026-07-01 12:30` means a whole minute.
enum TimeText {
    Instant(Timestamp),
    Clock(DateTime, SignedDuration),
    Day(Date),
}

fn parse_time(text: &str) -> Option<TimeText> {
    let clock = |format: &str, lasts: SignedDuration| {
        DateTime::strptime(format, text)
            .ok()
            .map(|start| TimeText::Clock(start, lasts))
    };
    clock("%Y-%m-%d %H:%M:%S", SignedDuration::from_secs(1))
        .or_else(|| clock("%Y-%m-%d %H:%M", SignedDuration::from_mins(1)))
        .or_else(|| Date::strptime("%Y-%m-%d", text).ok().map(TimeText::Day))
        // BlueKing ITSM accepts ISO 8601 times, so this API also accepts them. Such a time may
        // contain a `T`, fractions of a second, and a UTC offset. For a time with an offset, the
        // time zone of the service desk has no effect.
        .or_else(|| text.parse().ok().map(TimeText::Instant))
        .or_else(|| clock("%Y-%m-%dT%H:%M:%S", SignedDuration::from_secs(1)))
        .or_else(|| clock("%Y-%m-%dT%H:%M", SignedDuration::from_mins(1)))
        .or_else(|| {
            ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
                .into_iter()
                .find_map(|format| clock(format, SignedDuration::from_millis(1)))
        })
}

/// Returns the earliest instant that a text can mean. When clocks are set back, a local time occurs
/// two times. The result is then the first occurrence. For a day, the result is the first instant
/// of the day.
fn earliest(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    match parse_time(text)? {
        TimeText::Instant(at) => Some(at),
        TimeText::Clock(start, _) => zone
            .to_ambiguous_zoned_datetime(start)
            .earlier()
            .ok()
            .map(|zoned| zoned.timestamp()),
        TimeText::Day(day) => day
            .to_zoned_datetime(zone.clone())
            .ok()
            .map(|zoned| zoned.timestamp()),
    }
}

/// Returns the latest instant that a text can mean. When clocks are set back, a local time occurs
/// two times. The result is then the second occurrence. For a second, a minute or a day, the result
/// is the last millisecond of this period.
fn latest(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (end, is_day) = match parse_time(text)? {
        // An instant without a fraction of a second means the whole second. The result is the last
        // millisecond of this second.
        TimeText::Instant(at) if at.subsec_nanosecond() == 0 => {
            return at.checked_add(SignedDuration::from_millis(999)).ok();
        }
        TimeText::Instant(at) => return Some(at),
        TimeText::Clock(start, lasts) => (start.checked_add(lasts).ok()?, false),
        TimeText::Day(day) => (day.tomorrow().ok()?.to_datetime(Time::midnight()), true),
    };
    let before = SignedDuration::from_millis(1);
    let end = if is_day {
        // The day ends one millisecond before the next day begins. If clocks are set back over
        // midnight, midnight occurs two times. The next day then begins at the first midnight.
        zone.to_zoned_datetime(end)
            .ok()?
            .timestamp()
            .checked_sub(before)
            .ok()?
    } else {
        let last = end.checked_sub(before).ok()?;
        zone.to_ambiguous_zoned_datetime(last)
            .later()
            .ok()?
            .timestamp()
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

pub(super) fn check_name(parameter: &str, name: &str) -> Result<(), WireError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(WireError::parameter(format!(
            "{parameter}:不是合法的用户名。"
        )))
    }
}

/// Identifies the app (the client program) and the user of a request. The request must contain the
/// code and the secret of the app. A login token identifies the user. If the app may impersonate
/// users, the request may contain a user name instead of a token.
async fn caller(
    app: &App,
    query: &Map<String, Value>,
    body: &Map<String, Value>,
    authorization: Option<&str>,
) -> Result<Caller, Refused> {
    let authorization: Map<String, Value> = authorization
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let find = |keys: &[&str]| {
        let text = |map: &Map<String, Value>| {
            keys.iter().find_map(|key| {
                map.get(*key)?
                    .as_str()
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            })
        };
        text(&authorization)
            .or_else(|| text(query))
            .or_else(|| text(body))
    };
    let presented = Presented {
        code: find(&["bk_app_code", "app_code"]),
        secret: find(&["bk_app_secret", "app_secret"]),
        token: find(&["bk_token"]),
        user: find(&["bk_username", "username"]),
    };
    identify(app, presented)
        .await?
        .ok_or_else(|| Refused::Forbidden(FORBIDDEN.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(zone: &str, from: &str, to: &str) -> (String, String) {
        let zone = TimeZone::get(zone).expect("a zone");
        (
            earliest(from, &zone).expect("a time").to_string(),
            latest(to, &zone).expect("a time").to_string(),
        )
    }

    #[test]
    fn time_bounds_cover_both_occurrences_of_a_repeated_hour() {
        for (from, to, earliest, latest) in [
            (
                "2026-10-25 02:00:00",
                "2026-10-25 02:59:59",
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:59:59.999Z",
            ),
            (
                "2026-10-25 02:00",
                "2026-10-25 02:59",
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:59:59.999Z",
            ),
            (
                "2026-10-25",
                "2026-10-25",
                "2026-10-24T22:00:00Z",
                "2026-10-25T22:59:59.999Z",
            ),
            // In Berlin, the clocks change on 2026-03-29. On this day, the hour from two to three
            // does not exist.
            (
                "2026-03-29 01:59:59",
                "2026-03-29 03:00:00",
                "2026-03-29T00:59:59Z",
                "2026-03-29T01:00:00.999Z",
            ),
            (
                "2026-07-01 12:00:00",
                "2026-07-01 12:00:00",
                "2026-07-01T10:00:00Z",
                "2026-07-01T10:00:00.999Z",
            ),
        ] {
            assert_eq!(
                window("Europe/Berlin", from, to),
                (earliest.to_owned(), latest.to_owned()),
                "{from} {to}"
            );
        }
        // In Santiago, the clocks change at midnight of 2026-09-06, so this day begins at one
        // o'clock. The expected end of the previous day is one millisecond before this day begins.
        assert_eq!(
            window("America/Santiago", "2026-09-06", "2026-09-05"),
            (
                "2026-09-06T04:00:00Z".to_owned(),
                "2026-09-06T03:59:59.999Z".to_owned()
            )
        );
        for (text, first, last) in [
            (
                "2026-07-01T12:00:00",
                "2026-07-01T10:00:00Z",
                "2026-07-01T10:00:00.999Z",
            ),
            (
                "2026-07-01T12:00",
                "2026-07-01T10:00:00Z",
                "2026-07-01T10:00:59.999Z",
            ),
            (
                "2026-07-01 12:00:00.25",
                "2026-07-01T10:00:00.25Z",
                "2026-07-01T10:00:00.25Z",
            ),
            (
                "2026-07-01T12:00:00+08:00",
                "2026-07-01T04:00:00Z",
                "2026-07-01T04:00:00.999Z",
            ),
            (
                "2026-07-01 12:00:00.5Z",
                "2026-07-01T12:00:00.5Z",
                "2026-07-01T12:00:00.5Z",
            ),
        ] {
            assert_eq!(
                window("Europe/Berlin", text, text),
                (first.to_owned(), last.to_owned()),
                "{text}"
            );
        }
        assert!(
            earliest("tomorrow", &TimeZone::UTC).is_none()
                && latest("2026-13-01", &TimeZone::UTC).is_none()
        );
    }
}
