//! Reads the responses of Feishu. The code in the body of a response shows the result.

use domain::attempt::Verdict;
use domain::notification::content::one_line;
use events::delivery::FailureClass;
use serde_json::Value;

use crate::http::HttpResponse;

/// Pause before the next message if Feishu names no pause, in milliseconds.
const WAIT_MS: i64 = 10_000;
/// Pause before the next message to one person or group, in milliseconds. Feishu allows 5 messages in one second.
const CHAT_WAIT_MS: i64 = 2_000;
/// Maximum pause that the desk reads from a response, in seconds: one hour.
const WAIT_MAX_S: i64 = 3_600;

/// A response with a code.
pub(in crate::channel) struct Answer {
    pub(in crate::channel) code: i64,
    /// The reason in the response, as one line.
    pub(in crate::channel) reason: String,
    pub(in crate::channel) body: Value,
}

/// Reads the code of a response. Returns a verdict (the result of the attempt) if the HTTP status already determines the
/// result, or if the response has no code.
pub(in crate::channel) fn coded(response: &HttpResponse) -> Result<Answer, Verdict> {
    let status = response.status;
    match status {
        429 => {
            return Err(Verdict::Throttled {
                reason: "Feishu answered with HTTP status 429".into(),
                after_ms: wait_ms(response, WAIT_MS),
            });
        }
        503 => {
            return Err(Verdict::retry(format!(
                "Feishu answered with HTTP status {status}"
            )));
        }
        413 => {
            return Err(Verdict::refused(
                FailureClass::TooLarge,
                status.to_string(),
                "Feishu answered with HTTP status 413",
            ));
        }
        _ => {}
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    // Old versions of the custom bot use other names.
    let code = body.get("code").or_else(|| body.get("StatusCode"));
    let message = body.get("msg").or_else(|| body.get("StatusMessage"));
    let reason = one_line(message.and_then(Value::as_str).unwrap_or_default());
    let Some(code) = code.and_then(Value::as_i64) else {
        let reason = format!("the response with HTTP status {status} has no `code`");
        // Such a response probably comes from another server than Feishu, such as a proxy. It is possible that this
        // server has forwarded the message to Feishu.
        return Err(if response.is_success() || status >= 500 {
            Verdict::Unknown {
                reason: reason.into(),
            }
        } else {
            Verdict::refused(FailureClass::Permanent, status.to_string(), reason)
        });
    };
    if code == 0 && !response.is_success() {
        let reason = format!("the response has the code 0, but HTTP status {status}");
        return Err(Verdict::Unknown {
            reason: reason.into(),
        });
    }
    Ok(Answer { code, reason, body })
}

/// Returns the verdict (the result of the attempt) for the limit of messages. The pause is from the response if the response
/// names one, and otherwise `otherwise_ms` milliseconds.
pub(in crate::channel) fn throttled(
    response: &HttpResponse,
    answer: &Answer,
    otherwise_ms: i64,
) -> Verdict {
    let Answer { code, reason, .. } = answer;
    Verdict::Throttled {
        reason: format!("too many messages (code {code}): {reason}").into(),
        after_ms: wait_ms(response, otherwise_ms),
    }
}

/// Returns the verdict (the result of the attempt) for a code that the desk does not know. An unknown code means a permanent
/// failure. If the server has an error of its own, the result is unknown.
pub(in crate::channel) fn unlisted(response: &HttpResponse, answer: &Answer) -> Verdict {
    let Answer { code, reason, .. } = answer;
    if response.status >= 500 {
        Verdict::Unknown {
            reason: format!("Feishu has an error (code {code}): {reason}").into(),
        }
    } else {
        Verdict::refused(FailureClass::Permanent, code.to_string(), reason)
    }
}

fn wait_ms(response: &HttpResponse, otherwise_ms: i64) -> i64 {
    let seconds = ["x-ogw-ratelimit-reset", "retry-after"]
        .into_iter()
        .find_map(|name| response.header(name)?.trim().parse::<u32>().ok());
    seconds.map_or(otherwise_ms, |seconds| {
        i64::from(seconds).clamp(1, WAIT_MAX_S) * 1_000
    })
}

/// Returns true for the codes of a missing, unknown or expired access token. Feishu sent nothing in these cases.
pub(super) fn is_token_code(code: i64) -> bool {
    matches!(
        code,
        99_991_661 | 99_991_663 | 99_991_664 | 99_991_668 | 99_991_671
    )
}

/// Converts a code other than 0 to a verdict (the result of the attempt).
pub(in crate::channel) fn refusal(response: &HttpResponse, answer: &Answer) -> Verdict {
    let (code, reason) = (answer.code, answer.reason.as_str());
    let refused = |class| Verdict::refused(class, code.to_string(), reason);
    match code {
        // The limits of a tenant, of an application, and of one person or group.
        11_232 | 99_991_400 => throttled(response, answer, WAIT_MS),
        230_020 => throttled(response, answer, CHAT_WAIT_MS),
        // A message with the same id is just being sent, or messages to people are not possible at the moment.
        230_049 | 230_101 => Verdict::retry(format!("Feishu is busy (code {code}): {reason}")),
        // A wrong application or a wrong key, an application that is not installed or switched off, a forbidden network
        // address, a missing bot, and missing permissions.
        10_003 | 10_014 | 10_015 | 99_991_543 | 99_991_662 | 99_991_673 | 99_991_401 | 230_006
        | 230_027 | 99_991_672 | 99_991_676 | 99_991_679 => refused(FailureClass::Credential),
        code if is_token_code(code) => refused(FailureClass::Credential),
        // Feishu uses this code for every wrong parameter, and names the address only in the text.
        230_001 if reason.contains("receive_id") => refused(FailureClass::RecipientInvalid),
        // The bot is not in the group, the application is not for this person, the person has left, the address is
        // unknown, the person is in another company, the person has stopped the bot, or the group does not exist any more.
        230_002 | 230_013 | 230_029 | 230_034 | 230_038 | 230_053 | 232_009 => {
            refused(FailureClass::RecipientInvalid)
        }
        // Unknown ids of a person or group, and ids that belong to another application or company.
        99_992_351..=99_992_354 | 99_992_360..=99_992_364 => {
            refused(FailureClass::RecipientInvalid)
        }
        230_025 => refused(FailureClass::TooLarge),
        // Wrong parameters (230001), another sender (230017), settings of the group (230018, 230035), forbidden words
        // (230022, 230028) and a wrong card (230099) are permanent failures, as are unknown codes.
        _ => unlisted(response, answer),
    }
}
