//! Evaluates the response that an external system returned for one attempt of an API call.

use std::collections::BTreeMap;

use events::workflow::service_task::Request;
use events::workflow::{Condition, NodeKind};
use events::{NodeId, TransitionId};
use serde_json::Value;

use super::{ApiCall, POLICY, POLLED};
use crate::attempt::{Policy, Verdict};
use crate::condition::{self, Found};
use crate::value::plain;

/// Maximum size of an output variable in bytes. A longer value in a response is cut.
const OUTPUT_BYTES: usize = 4096;
/// Maximum length of an error message from an external system, in characters. A longer message is cut. The
/// message becomes a part of the text that explains the failure of the API call.
const REASON_CHARS: usize = 200;
/// The HTTP status and the body of a response. If no response arrived, the error is an English text with the
/// cause.
pub type Reply<'a> = Result<(u16, &'a [u8]), String>;

/// Returns the verdict on one attempt of an API call: success, failure or a further request. Also returns the
/// retry policy (the number of further attempts and the pauses between the attempts). The parameter `reply` is
/// the response to this attempt.
pub fn verdict(
    request: &Request,
    kind: NodeKind,
    call: &ApiCall,
    reply: &Reply<'_>,
) -> (Verdict, Policy) {
    (
        of_request(request, kind, call, reply),
        policy(request, call),
    )
}

/// Returns the retry policy of a request. A poll is a repeated request that checks whether the external system
/// has completed the work. A lost response to one poll must not end the API call. The request has a maximum
/// number of polls. During polls, the policy allows as many failures as polls that are left, if this number is
/// higher than the normal number of failures.
fn policy(request: &Request, call: &ApiCall) -> Policy {
    let poll = request.poll.as_ref().filter(|_| call.step == POLLED);
    let polls_left = poll.map_or(0, |poll| poll.times_max.saturating_sub(call.polls));
    let longest_ms = poll
        .filter(|_| polls_left > 0)
        .map_or(POLICY.longest_ms, |poll| {
            poll.interval_ms.min(POLICY.longest_ms)
        });
    Policy {
        attempts_max: request.attempts_max.max(polls_left),
        longest_ms,
        ..POLICY
    }
}

fn of_request(request: &Request, kind: NodeKind, call: &ApiCall, reply: &Reply<'_>) -> Verdict {
    let retry = |reason| Verdict::Retry {
        reason,
        after_ms: None,
    };
    let (status, body) = match reply {
        Ok(received) => *received,
        Err(reason) => return retry(reason.clone().into()),
    };
    // The status 429 and all statuses from 500 mean a temporary failure, so the desk repeats the request.
    if status == 429 || status >= 500 {
        return retry(format!("answered {status}").into());
    }
    let failed = |reason: String| Verdict::Failed {
        reason: reason.into(),
        outputs: BTreeMap::new(),
    };
    if !matches!(status, 200..=299) {
        return failed(format!("answered {status}"));
    }
    let Ok(body_json) = serde_json::from_slice::<Value>(body) else {
        return failed("answered with a body that is not JSON".into());
    };
    if let Some(poll) = &request.poll {
        if holds(&poll.until, &body_json) {
            return Verdict::Succeeded {
                outputs: outputs(request, kind, &body_json),
                observed: None,
            };
        }
        if call.polls + 1 >= poll.times_max {
            return failed(format!(
                "the poll condition was not met in {} responses",
                poll.times_max
            ));
        }
        return Verdict::poll(POLLED, String::new(), poll.interval_ms);
    }
    let succeeded = match &request.success {
        Some(condition) => holds(condition, &body_json),
        None => kind == NodeKind::Webhook || body_json["result"] == true,
    };
    if !succeeded {
        return failed(failure_reason(&body_json));
    }
    Verdict::Succeeded {
        outputs: outputs(request, kind, &body_json),
        observed: None,
    }
}

/// Returns the key of the output variable that contains the result of a task in BlueKing SOPS (an external
/// system that runs tasks). The result is success or failure (reference/bk-itsm.md 8.2).
pub fn task_result(node: NodeId) -> String {
    format!("sops_result_{node}")
}

fn holds(condition: &Condition, body_json: &Value) -> bool {
    let find = |key: &str| {
        member_at(body_json, key).map_or(Found::Absent, |value| Found::Value(value.clone()))
    };
    condition::holds(condition, TransitionId(0), &find, &mut Vec::new())
}

/// Returns the value at `path` in the JSON body of a response. The parameter `path` consists of member names
/// and list indexes, with dots between them. If the body has no value at this path, the function searches the
/// same path inside the member `data` of the body.
pub(crate) fn value_at<'a>(body_json: &'a Value, path: &str) -> Option<&'a Value> {
    member_at(body_json, path).or_else(|| member_at(body_json.get("data")?, path))
}

/// Returns the value at `path` in a JSON value. The path consists of member names and list indexes, with dots
/// between them. The prefix `resp.` is ignored.
fn member_at<'a>(body_json: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix("resp.").unwrap_or(path);
    path.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(body_json, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        })
}

/// Returns the output variables of a node, with their values from the response. For an API node, the desk
/// searches each value first in the member `data` of the response, and then in the whole response. For a
/// webhook, the desk searches the whole response first (reference/bk-itsm.md 8.1, 8.4).
fn outputs(request: &Request, kind: NodeKind, body_json: &Value) -> BTreeMap<String, String> {
    let in_data = |path: &str| {
        body_json
            .get("data")
            .filter(|_| kind == NodeKind::Task && !path.starts_with("resp."))
            .and_then(|data| member_at(data, path))
    };
    let cut = |text: String| {
        text.chars()
            .scan(0, |bytes, c| {
                (*bytes + c.len_utf8() <= OUTPUT_BYTES).then(|| (*bytes += c.len_utf8(), c).1)
            })
            .collect()
    };
    request
        .outputs
        .iter()
        .filter_map(|mapping| {
            Some((
                mapping.key.clone(),
                cut(plain(
                    in_data(&mapping.path).or_else(|| value_at(body_json, &mapping.path))?,
                )),
            ))
        })
        .collect()
}

/// Returns the reason of a failed API call. The text contains the error code and the message from the
/// external system. A long message is cut.
pub fn failure_reason(body_json: &Value) -> String {
    let code = plain(&body_json["code"]);
    let message: String = plain(&body_json["message"])
        .chars()
        .take(REASON_CHARS)
        .collect();
    match (code.is_empty(), message.is_empty()) {
        (true, true) => "the response does not meet the success condition".into(),
        (true, false) => message,
        (false, true) => format!("answered code {code}"),
        (false, false) => format!("answered code {code}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use events::workflow::service_task::{OutputMapping, Poll};

    use super::*;
    use crate::workflow::import::expression;

    fn request() -> Request {
        let mapping = |key: &str, path: &str| OutputMapping {
            key: key.into(),
            name: String::new(),
            path: path.into(),
        };
        Request {
            method: "POST".into(),
            url: "https://x/".into(),
            attempts_max: 3,
            timeout_ms: 1,
            outputs: vec![mapping("id", "task.id"), mapping("ip", "resp.data.ips.1")],
            ..Request::default()
        }
    }

    fn judged(request: &Request, kind: NodeKind, status: u16, body: &str) -> Verdict {
        let reply = Ok((status, body.as_bytes()));
        verdict(request, kind, &ApiCall::default(), &reply).0
    }

    #[test]
    fn an_api_needs_result_true_and_a_webhook_any_json() {
        let done = judged(
            &request(),
            NodeKind::Task,
            200,
            r#"{"result":true,"data":{"task":{"id":7},"ips":["a","b"]}}"#,
        );
        let outputs = [("id".to_owned(), "7".to_owned()), ("ip".into(), "b".into())].into();
        assert_eq!(done, Verdict::succeeded(outputs));
        let refused = judged(
            &request(),
            NodeKind::Task,
            200,
            r#"{"result":false,"code":17,"message":"no quota"}"#,
        );
        assert!(
            matches!(refused, Verdict::Failed { reason, .. } if reason == "answered code 17: no quota".into())
        );
        assert!(matches!(
            judged(&request(), NodeKind::Webhook, 201, "[]"),
            Verdict::Succeeded { .. }
        ));
        assert!(matches!(
            judged(&request(), NodeKind::Webhook, 200, "ok"),
            Verdict::Failed { .. }
        ));
        assert!(matches!(
            judged(&request(), NodeKind::Webhook, 302, ""),
            Verdict::Failed { .. }
        ));
        assert!(matches!(
            judged(&request(), NodeKind::Webhook, 503, ""),
            Verdict::Retry { .. }
        ));
        assert_eq!(policy(&request(), &ApiCall::default()).attempts_max, 3);
    }

    #[test]
    fn conditions_on_the_response_compare_by_type() {
        let mut webhook = request();
        webhook.success = expression("resp.code == 0 and resp.data.state == \"done\"");
        assert!(matches!(
            judged(
                &webhook,
                NodeKind::Webhook,
                200,
                r#"{"code":0,"data":{"state":"done"}}"#
            ),
            Verdict::Succeeded { .. }
        ));
        assert!(matches!(
            judged(
                &webhook,
                NodeKind::Webhook,
                200,
                r#"{"code":0,"data":{"state":"done' or '1' == '1"}}"#
            ),
            Verdict::Failed { .. }
        ));
        assert_eq!(expression("__import__('os').system('x')"), None);
        for same in [
            r#"resp["code"] == 0 and resp['data']["state"] == "done""#,
            r#"resp.get("code") == 0 and resp.get('data').get("state") == 'done'"#,
        ] {
            assert_eq!(expression(same), webhook.success, "{same}");
        }
        let quoted = expression(r#"message == "this and that or == more""#).expect("read");
        assert_eq!(
            quoted.expressions[0].expressions[0].value,
            "this and that or == more"
        );
        assert_eq!(expression("a == 1 and b == 2 or c == 3"), None);
        let written = |text: &str| serde_json::to_value(expression(text)).expect("JSON");
        for same in ["(resp.code == 0)", "0==resp.code", "((resp.code==0))"] {
            assert_eq!(written(same), written("resp.code == 0"), "{same}");
        }
        assert_eq!(
            written("(a == 1 or b == 2) AND c > 3"),
            written("(( a==1 ) or( b==2 ))and 3 < c")
        );
        assert_eq!(written("a in (0, 200)"), written("a == 0 or a == 200"));
        assert_eq!(
            written("a in ['x,y', \"z\"]"),
            written("a == 'x,y' or a == 'z'")
        );
        for invalid in [
            "(a == 1",
            "a == 1)",
            "((a == 1) and (b == 1 or (c == 1 and d == 1)))",
            "a in ()",
            "1 == 2",
            "a == b",
            "(".repeat(1000).as_str(),
            "",
        ] {
            assert_eq!(expression(invalid), None, "{invalid}");
        }
        webhook.success =
            expression("(resp.code == 0 or resp.code == 200) and resp.result == true");
        for (body_json, fits) in [
            (r#"{"code":200,"result":true}"#, true),
            (r#"{"code":0,"result":false}"#, false),
            (r#"{"code":1,"result":true}"#, false),
        ] {
            assert!(
                matches!(
                    judged(&webhook, NodeKind::Webhook, 200, body_json),
                    Verdict::Succeeded { .. }
                ) == fits,
                "{body_json}"
            );
        }
    }

    #[test]
    fn polling_ends_after_its_maximum() {
        let mut request = request();
        request.poll = Some(Poll {
            interval_ms: 5000,
            times_max: 2,
            until: expression("data.state == 'DONE'").unwrap(),
        });
        assert_eq!(
            judged(
                &request,
                NodeKind::Task,
                200,
                r#"{"data":{"state":"RUNNING"}}"#
            ),
            Verdict::poll("polled", String::new(), 5000)
        );
        let polled_call = ApiCall {
            polls: 1,
            ..ApiCall::default()
        };
        let reply: Reply<'_> = Ok((200, br#"{"data":{"state":"RUNNING"}}"#));
        let (last, _) = verdict(&request, NodeKind::Task, &polled_call, &reply);
        assert!(matches!(last, Verdict::Failed { .. }));
        // The request allows three attempts, and 60 of its 100 polls are left. A lost response to one poll must
        // not end the API call. During polls, the desk therefore allows 60 failures instead of three.
        request.poll = Some(Poll {
            interval_ms: 5000,
            times_max: 100,
            until: expression("data.state == 'DONE'").unwrap(),
        });
        let lost = |step: &str| {
            let call = ApiCall {
                step: step.into(),
                polls: 40,
                ..ApiCall::default()
            };
            verdict(&request, NodeKind::Task, &call, &Ok((502, b"")))
        };
        let (lost_poll, repeated) = lost(POLLED);
        assert!(matches!(lost_poll, Verdict::Retry { .. }));
        assert_eq!((repeated.attempts_max, repeated.longest_ms), (60, 5000));
        assert_eq!(lost("").1.attempts_max, 3);
    }

    #[test]
    fn outputs_of_an_api_call_come_from_its_data() {
        let request = Request {
            outputs: vec![OutputMapping {
                key: "c".into(),
                name: String::new(),
                path: "code".into(),
            }],
            ..request()
        };
        let output = |kind| match judged(
            &request,
            kind,
            200,
            r#"{"result":true,"code":0,"data":{"code":"A17"}}"#,
        ) {
            Verdict::Succeeded { outputs, .. } => outputs["c"].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (
                output(NodeKind::Task).as_str(),
                output(NodeKind::Webhook).as_str()
            ),
            ("A17", "0")
        );
    }
}
