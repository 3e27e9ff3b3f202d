//! Contains the functions that the channels of WeCom and of WeChat share (reference/notifications.md, section 1.3). Both
//! platforms send the result of a request as the member `errcode` of a JSON object. The HTTP status of a refusal is 200.

use domain::attempt::Verdict;
use domain::notification::content::{Content, labelled, one_line};
use events::delivery::FailureClass;
use serde_json::Value;

use super::{TIMEOUT, Token, cut};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};

/// The pause after a refusal because of a limit for one minute, in milliseconds.
pub(super) const MINUTE_MS: i64 = 60_000;
/// The lifetime of an access token if the response contains none, in seconds.
const LIFETIME_S: i64 = 7_200;
/// Maximum length of an access token, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// The subject of a message is not shorter than this number of bytes if actions can be removed instead.
const SUBJECT_BYTES: usize = 60;
/// The sign that replaces text that does not fit.
pub(super) const ELLIPSIS: &str = "…";

/// A readable response: the code with its text, and the complete object.
pub(super) struct Answer {
    pub(super) code: i64,
    pub(super) reason: String,
    pub(super) body: Value,
}

impl Answer {
    /// Returns the verdict (the result of an attempt) that the provider refused the message, with the code of the response.
    pub(super) fn refused(&self, class: FailureClass) -> Verdict {
        Verdict::refused(class, self.code.to_string(), self.reason.as_str())
    }

    /// Returns the verdict (the result of an attempt) for a temporary failure.
    pub(super) fn busy(&self) -> Verdict {
        Verdict::retry(format!(
            "the platform is busy (errcode {}): {}",
            self.code, self.reason
        ))
    }

    /// Returns the verdict (the result of an attempt) for a rate limit. `after_ms` is the pause in milliseconds.
    pub(super) fn throttled(&self, after_ms: i64) -> Verdict {
        let Self { code, reason, .. } = self;
        Verdict::Throttled {
            reason: format!("a rate limit is reached (errcode {code}): {reason}").into(),
            after_ms,
        }
    }

    /// Returns the member `key` as a text. A number is converted. Returns an empty text for any other value.
    pub(super) fn text(&self, key: &str) -> String {
        match self.body.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// Reads the code of a response to a message. Returns the verdict (the result of an attempt) as the `Err` if the HTTP status
/// decides, or if the response has no code. `is_repeatable` is true if the platform sends a repeated message only once.
pub(super) fn answer(response: &HttpResponse, is_repeatable: bool) -> Result<Answer, Verdict> {
    let status = response.status;
    if status == 429 {
        return Err(Verdict::Throttled {
            reason: "the platform answered with HTTP status 429".into(),
            after_ms: MINUTE_MS,
        });
    }
    if status == 503 || is_repeatable && status >= 500 {
        let reason = format!("the platform answered with HTTP status {status}");
        return Err(Verdict::retry(reason));
    }
    let found = read(response);
    match found {
        Some(answer) if response.is_success() || answer.code != 0 => Ok(answer),
        // A response without a usable code probably comes from another server, such as a proxy. It is possible that this
        // server has forwarded the message.
        _ => {
            let reason = format!("the response with HTTP status {status} has no `errcode`");
            Err(if response.is_success() || status >= 500 {
                Verdict::Unknown {
                    reason: reason.into(),
                }
            } else {
                Verdict::refused(FailureClass::Permanent, status.to_string(), reason)
            })
        }
    }
}

fn read(response: &HttpResponse) -> Option<Answer> {
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    let code = body.get("errcode")?.as_i64()?;
    let message = body.get("errmsg").and_then(Value::as_str);
    Some(Answer {
        code,
        reason: one_line(message.unwrap_or_default()),
        body,
    })
}

/// Returns true if a response has one of the codes with which both platforms refuse an access token: 40001, 40014 and 42001.
pub(super) fn refuses_token(response: &HttpResponse) -> bool {
    read(response).is_some_and(|answer| is_token_code(answer.code))
}

/// Returns true for a code that refuses an access token.
pub(super) fn is_token_code(code: i64) -> bool {
    matches!(code, 40_001 | 40_014 | 42_001)
}

/// Reads the access token in a response. `failure` returns the verdict (the result of an attempt) for a code. No message was
/// sent yet, so a response that cannot be read leads to another attempt.
pub(super) fn token(
    response: &Result<HttpResponse, HttpError>,
    failure: fn(&Answer) -> Verdict,
) -> Result<Token, Verdict> {
    let response = response
        .as_ref()
        .map_err(|error| Verdict::retry(error.to_string()))?;
    if let Some(answer) = read(response)
        && answer.code != 0
    {
        return Err(failure(&answer));
    }
    // The response of WeChat with a token has no member `errcode`.
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let value = body["access_token"].as_str().unwrap_or_default();
    if response.is_success() && (1..=TOKEN_BYTES_MAX).contains(&value.len()) {
        let lifetime = body["expires_in"].as_i64().unwrap_or(LIFETIME_S);
        return Ok(Token {
            value: value.to_owned(),
            lifetime_ms: lifetime.clamp(0, LIFETIME_S) * 1000,
        });
    }
    let status = response.status;
    Err(Verdict::retry(format!(
        "the response with HTTP status {status} has no access token"
    )))
}

/// Returns the base address of an account without a slash at its end. `default` is the address of the vendor.
pub(super) fn base<'a>(setting: &'a str, default: &'a str) -> &'a str {
    match setting {
        "" => default,
        url => url.trim_end_matches('/'),
    }
}

/// Returns a URL with a query.
pub(super) fn url(address: &str, query: &[(&str, &str)]) -> Result<String, String> {
    let mut url: Url = address
        .parse()
        .map_err(|_| "`url` is not a URL".to_owned())?;
    url.query_pairs_mut().extend_pairs(query);
    Ok(url.into())
}

/// Returns a request that sends a JSON object.
pub(super) fn post(url: String, body: &Value) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url,
        headers: vec![(
            "content-type".into(),
            "application/json; charset=utf-8".into(),
        )],
        body: body.to_string().into_bytes(),
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    }
}

/// Checks the user id of a member in WeCom. The text `@all` means all members and `|` separates ids, so both are refused.
pub(super) fn check_member(address: &str) -> Result<(), String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@' | '.');
    let is_valid = (1..=64).contains(&address.len())
        && address.starts_with(|c: char| c.is_ascii_alphanumeric())
        && address.chars().all(is_id);
    if is_valid {
        Ok(())
    } else {
        Err(
            "be a WeCom user id of 1 to 64 letters, digits and _ - @ . that begins with a letter or a digit"
                .into(),
        )
    }
}

/// Returns a text as one line without the characters with a special meaning in WeCom: Markdown, HTML and mentions such as
/// `<@lisi>`. Each of these characters is replaced by a similar full-width character.
pub(super) fn plain(text: &str) -> String {
    let replaced = |c| match c {
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '&' => '＆',
        '*' => '＊',
        '`' => '｀',
        '@' => '＠',
        '#' => '＃',
        '$' => '＄',
        '\\' => '＼',
        c => c,
    };
    one_line(text).chars().map(replaced).collect()
}

/// Returns the beginning of a text with at most `columns` columns. A Chinese character has two columns, and an ASCII
/// character has one. A text that is cut ends with an ellipsis.
pub(super) fn narrow(text: &str, columns: usize) -> String {
    let width = |c: char| if c.is_ascii() { 1 } else { 2 };
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += width(*c);
        used + 2 <= columns
    };
    let part: String = text.chars().take_while(fits).collect();
    format!("{}{ELLIPSIS}", part.trim_end())
}

/// The parts of a message, which are joined to one text of limited size. Empty parts are omitted.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub(super) subject: String,
    /// A mention of the person.
    pub(super) mention: String,
    pub(super) intro: String,
    pub(super) values: Vec<String>,
    /// The link to the ticket, and then the links of the actions.
    pub(super) links: Vec<String>,
    pub(super) closing: String,
}

impl Parts {
    /// Returns the values of a message, one text for each value.
    pub(super) fn values(content: &Content, prefix: &str) -> Vec<String> {
        let values = content.values.iter();
        values
            .map(|(label, value)| format!("{prefix}{}", labelled(&plain(label), &plain(value))))
            .collect()
    }

    /// Joins the parts to a text of at most `bytes` bytes. If the text is too large, values are omitted from the end first.
    /// The link to the ticket always remains.
    pub(super) fn fitted(mut self, separator: &str, bytes: usize) -> String {
        let values = std::mem::take(&mut self.values);
        for kept in (0..=values.len()).rev() {
            self.values = values[..kept].to_vec();
            if kept < values.len() {
                self.values.push(ELLIPSIS.to_owned());
            }
            let text = self.joined(separator);
            if text.len() <= bytes {
                return text;
            }
        }
        self.closing.clear();
        let without_intro = self.joined(separator).len() - self.intro.len();
        self.intro = shorter(&self.intro, bytes.saturating_sub(without_intro));
        let subject = self.subject.len().min(SUBJECT_BYTES);
        while self.links.len() > 1
            && self.joined(separator).len() - self.subject.len() + subject > bytes
        {
            self.links.pop();
        }
        let without_subject = self.joined(separator).len() - self.subject.len();
        self.subject = shorter(&self.subject, bytes.saturating_sub(without_subject));
        self.joined(separator)
    }

    fn joined(&self, separator: &str) -> String {
        let before = [&self.subject, &self.mention, &self.intro];
        let all = before
            .into_iter()
            .chain(&self.values)
            .chain(&self.links)
            .chain([&self.closing]);
        let parts: Vec<&str> = all
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        parts.join(separator)
    }
}

/// Returns the beginning of a text with at most `bytes` bytes, or an empty text if only an ellipsis fits.
fn shorter(text: &str, bytes: usize) -> String {
    if bytes > ELLIPSIS.len() {
        cut(text, bytes)
    } else {
        String::new()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Response;
    use super::super::contract::{content, text_of};
    use super::*;

    /// Texts that try to inject control syntax.
    pub(crate) const NASTY: [&str; 8] = [
        "@all <@all> <@lisi>",
        "[click](http://evil.example) **bold** `code`",
        "# title\n> quote\r\n- item",
        "<font color=\"warning\">x</font><br><div class=\"gray\">y</div>",
        "\"}],\"touser\":\"@all\",\"x\":[{\"",
        "$userName=lisi$ &lt;b&gt; &#60;",
        "]]><a href='x'>\u{202e}\u{0}\u{7}</a>",
        "{{first.DATA}} \\[x\\](y)",
    ];

    /// Returns a number of texts that are made of control characters, words and Chinese characters. The texts are always the
    /// same.
    pub(crate) fn generated(count: usize) -> Vec<String> {
        let parts = [
            "<",
            ">",
            "@all",
            "[",
            "](",
            ")",
            "`",
            "*",
            "#",
            "&lt;",
            "$",
            "\\",
            "\"",
            "\n",
            "{{",
            "字",
            "工单",
            "word",
            " ",
            "|",
            "http://evil.example",
            "…",
            "😀",
        ];
        let mut state = 1_u64;
        let texts = (0..count).map(|number| text_of(&parts, number * 7 % 60, &mut state));
        texts.collect()
    }

    /// Returns messages with nasty texts in all members. Some of them are much larger than a message may be.
    pub(crate) fn nasty_contents() -> Vec<Content> {
        let mut contents = Vec::new();
        let fixed = NASTY.iter().map(|text| (*text).to_owned());
        for (number, text) in fixed.chain(generated(200)).enumerate() {
            let mut content = content();
            content.subject = text.repeat(number % 4 + 1);
            content.intro = text.clone();
            content.values = vec![(text.clone(), text.repeat(3)); number % 30];
            content.closing = text;
            contents.push(content);
        }
        contents
    }

    /// Returns a response with the given status and body.
    pub(crate) fn response(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    #[test]
    fn a_text_is_cut_by_columns() {
        for (text, columns, expected) in [
            ("优先级", 6, "优先级"),
            ("Priority", 8, "Priority"),
            ("优先级别", 6, "优先…"),
            ("Priority", 6, "Prio…"),
            ("", 0, ""),
        ] {
            assert_eq!(narrow(text, columns), expected, "{text}");
        }
    }

    #[test]
    fn a_large_message_loses_its_last_values_first() {
        let parts = |count: usize| Parts {
            subject: "subject".into(),
            mention: "<@lisi>".into(),
            intro: "intro".into(),
            values: (0..count).map(|number| format!("value {number}")).collect(),
            links: vec!["link".into(), "approve".into()],
            closing: "closing".into(),
        };
        let complete = parts(2).fitted("\n", 200);
        assert_eq!(
            complete,
            "subject\n<@lisi>\nintro\nvalue 0\nvalue 1\nlink\napprove\nclosing"
        );
        let shown = parts(9).fitted("\n", 60);
        assert_eq!(
            shown,
            "subject\n<@lisi>\nintro\nvalue 0\n…\nlink\napprove\nclosing"
        );
        assert_eq!(parts(0).fitted("\n", 19), "sub…\n<@lisi>\nlink");
    }

    #[test]
    fn a_token_is_read_from_both_platforms() {
        let read = |status, body: &str| {
            let failure = |answer: &Answer| answer.refused(FailureClass::Credential);
            token(&Ok(HttpResponse::of(status, body.as_bytes())), failure)
        };
        let token = |lifetime_ms| {
            Ok(Token {
                value: "t".into(),
                lifetime_ms,
            })
        };
        let wecom = r#"{"errcode":0,"errmsg":"ok","access_token":"t","expires_in":7200}"#;
        assert_eq!(read(200, wecom), token(7_200_000));
        assert_eq!(
            read(200, r#"{"access_token":"t","expires_in":60}"#),
            token(60_000)
        );
        assert_eq!(
            read(200, r#"{"errcode":40001,"errmsg":"m"}"#),
            Err(Verdict::refused(FailureClass::Credential, "40001", "m"))
        );
        let long = format!("{{\"access_token\":\"{}\"}}", "t".repeat(513));
        for (status, body) in [
            (200, "<html>"),
            (200, "{}"),
            (502, wecom),
            (200, long.as_str()),
        ] {
            let verdict = read(status, body);
            assert!(
                matches!(verdict, Err(Verdict::Retry { .. })),
                "{status} {body}"
            );
        }
        let lost = Err(HttpError::Unknown("lost".into()));
        let verdict = super::token(&lost, Answer::busy);
        assert!(matches!(verdict, Err(Verdict::Retry { .. })));
    }

    #[test]
    fn a_member_is_one_user() {
        for valid in ["lisi", "Li.Si-1@x_y", "1"] {
            assert_eq!(check_member(valid), Ok(()), "{valid}");
        }
        let long = "x".repeat(65);
        for invalid in ["", "@all", "a|b", "李四", ".x", "a b", long.as_str()] {
            assert!(check_member(invalid).is_err(), "{invalid}");
        }
    }
}
