//! What an answer of the other side means.

use std::collections::BTreeMap;

use events::service_task::{Request, ServiceTask};
use events::workflow::{Condition, NodeKind};
use events::{NodeId, TransitionId};
use serde_json::Value;

use super::{ApiCall, CREATED, PAUSE_MAX_MS, POLLED, RESUMED, Step};
use crate::condition::{self, Found};
use crate::ticket::form::plain;

/// Bytes of a value that become a variable.
const OUTPUT_BYTES: usize = 4096;
/// Characters of a stranger's message that become a reason.
const REASON_CHARS: usize = 200;
/// How far apart a task is asked after.
const TASK_POLL_MS: i64 = 10_000;
/// Times the state of a task is asked for without an answer.
const TASK_ATTEMPTS: u32 = 5;

/// What came back: an HTTP answer, or in words why there was none.
pub type Came<'a> = Result<(u16, &'a [u8]), String>;

/// Judges one answer.
pub fn judge(service_task: &ServiceTask, kind: NodeKind, call: &ApiCall, came: &Came<'_>) -> Step {
    match service_task {
        ServiceTask::Request(request) => of_request(request, kind, call, came),
        ServiceTask::Task(task) => of_task(task.polls_max, call, came),
    }
}

fn of_request(request: &Request, kind: NodeKind, call: &ApiCall, came: &Came<'_>) -> Step {
    // Asking after something is tried as often as it may be asked after: one answer that was lost says nothing of it.
    let questions_left = request
        .poll
        .as_ref()
        .filter(|_| call.step == POLLED)
        .map_or(0, |poll| poll.times_max.saturating_sub(call.polls));
    let pause_max_ms = request
        .poll
        .as_ref()
        .filter(|_| questions_left > 0)
        .map_or(PAUSE_MAX_MS, |poll| poll.interval_ms.min(PAUSE_MAX_MS));
    let silent = |status, reason| Step::NoAnswer {
        status,
        reason,
        attempts_max: request.attempts_max.max(questions_left),
        pause_max_ms,
    };
    let (status, body) = match came {
        Ok(answer) => *answer,
        Err(reason) => return silent(None, reason.clone()),
    };
    // The other side is busy or broken; anything else is its word.
    if status == 429 || status >= 500 {
        return silent(Some(status), format!("answered {status}"));
    }
    let failed = |reason: String| Step::Done {
        status: Some(status),
        succeeded: false,
        outputs: BTreeMap::new(),
        reason,
    };
    if !matches!(status, 200..=299) {
        return failed(format!("answered {status}"));
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return failed("answered something that is not JSON".into());
    };
    if let Some(poll) = &request.poll {
        if holds(&poll.until, &answer) {
            return Step::Done {
                status: Some(status),
                succeeded: true,
                outputs: outputs(request, kind, &answer),
                reason: String::new(),
            };
        }
        if call.polls + 1 >= poll.times_max {
            return failed(format!(
                "did not say what is waited for in {} answers",
                poll.times_max
            ));
        }
        return Step::UnderWay {
            step: POLLED.into(),
            task: String::new(),
            after_ms: poll.interval_ms,
        };
    }
    let succeeded = match &request.success {
        Some(condition) => holds(condition, &answer),
        None => kind == NodeKind::Webhook || answer["result"] == true,
    };
    if !succeeded {
        return failed(said(&answer));
    }
    Step::Done {
        status: Some(status),
        succeeded: true,
        outputs: outputs(request, kind, &answer),
        reason: String::new(),
    }
}

fn of_task(polls_max: u32, call: &ApiCall, came: &Came<'_>) -> Step {
    // Creating and starting are not repeated by themselves: the other side may have done it.
    let attempts_max = if matches!(call.step.as_str(), "" | CREATED) {
        1
    } else {
        TASK_ATTEMPTS
    };
    let silent = |status, reason| Step::NoAnswer {
        status,
        reason,
        attempts_max,
        pause_max_ms: PAUSE_MAX_MS,
    };
    let (status, body) = match came {
        Ok(answer) => *answer,
        Err(reason) => return silent(None, reason.clone()),
    };
    let result = |succeeded: bool| {
        call.requested
            .iter()
            .map(|requested| (task_result(requested.node), succeeded.to_string()))
            .collect()
    };
    let done = |succeeded, reason| Step::Done {
        status: Some(status),
        succeeded,
        outputs: result(succeeded),
        reason,
    };
    let answer = match serde_json::from_slice::<Value>(body) {
        Ok(answer) if (200..300).contains(&status) && answer["result"] == true => answer,
        Ok(answer) if (200..300).contains(&status) => return done(false, said(&answer)),
        _ => return silent(Some(status), format!("answered {status}")),
    };
    let under_way = |step: &str, task: &str, after_ms| Step::UnderWay {
        step: step.into(),
        task: task.into(),
        after_ms,
    };
    match call.step.as_str() {
        "" => match plain(&answer["data"]["task_id"]) {
            task if task.is_empty() => done(false, "created a task without an id".into()),
            task => under_way(CREATED, &task, 0),
        },
        CREATED => under_way("started", &call.task, TASK_POLL_MS),
        step => match answer["data"]["state"].as_str().unwrap_or_default() {
            // What was never started is started now, and what was ended for good over there is exchange anew.
            "CREATED" if step == RESUMED => under_way(CREATED, &call.task, 0),
            "REVOKED" | "EXPIRED" if step == RESUMED => under_way("", "", 0),
            "FINISHED" => done(true, String::new()),
            state @ ("FAILED" | "REVOKED" | "EXPIRED") => {
                done(false, format!("the task {} is {state}", call.task))
            }
            state if call.polls + 1 >= polls_max => done(
                false,
                format!(
                    "the task {} is still {state} after {polls_max} questions",
                    call.task
                ),
            ),
            _ => under_way("running", &call.task, TASK_POLL_MS),
        },
    }
}

/// The variable that the task of a node leaves behind: whether it succeeded (reference/bk-itsm.md 8.2).
pub fn task_result(node: NodeId) -> String {
    format!("sops_result_{node}")
}

fn holds(condition: &Condition, answer: &Value) -> bool {
    let find =
        |key: &str| at(answer, key).map_or(Found::Absent, |value| Found::Value(value.clone()));
    condition::holds(condition, TransitionId(0), &find, &mut Vec::new())
}

/// What stands at a path, in the answer or in its `data`.
pub(crate) fn found<'a>(answer: &'a Value, path: &str) -> Option<&'a Value> {
    at(answer, path).or_else(|| at(answer.get("data")?, path))
}

/// What stands at a path of members and places between dots; `resp.` in front is the answer itself.
fn at<'a>(answer: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix("resp.").unwrap_or(path);
    path.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(answer, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        })
}

/// What an answer leaves behind: of an API what stands in its `data`, of a webhook in the answer itself (reference/bk-itsm.md 8.1, 8.4).
fn outputs(request: &Request, kind: NodeKind, answer: &Value) -> BTreeMap<String, String> {
    let in_data = |path: &str| {
        answer
            .get("data")
            .filter(|_| kind == NodeKind::Task && !path.starts_with("resp."))
            .and_then(|data| at(data, path))
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
        .filter_map(|taken| {
            Some((
                taken.key.clone(),
                cut(plain(
                    in_data(&taken.path).or_else(|| found(answer, &taken.path))?,
                )),
            ))
        })
        .collect()
}

/// Why not, as the other side puts it: its code and message, cut.
pub(crate) fn said(answer: &Value) -> String {
    let code = plain(&answer["code"]);
    let message: String = plain(&answer["message"])
        .chars()
        .take(REASON_CHARS)
        .collect();
    match (code.is_empty(), message.is_empty()) {
        (true, true) => "the answer does not say what it must".into(),
        (true, false) => message,
        (false, true) => format!("answered code {code}"),
        (false, false) => format!("answered code {code}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use events::service_task::{OutputMapping, Poll, Task};

    use super::*;
    use crate::workflow::import::expression;

    fn request() -> Request {
        let taken = |key: &str, path: &str| OutputMapping {
            key: key.into(),
            name: String::new(),
            path: path.into(),
        };
        Request {
            method: "POST".into(),
            url: "https://x/".into(),
            attempts_max: 3,
            timeout_ms: 1,
            outputs: vec![taken("id", "task.id"), taken("ip", "resp.data.ips.1")],
            ..Request::default()
        }
    }

    fn says(request: &Request, kind: NodeKind, status: u16, body: &str) -> Step {
        judge(
            &ServiceTask::Request(request.clone()),
            kind,
            &ApiCall::default(),
            &Ok((status, body.as_bytes())),
        )
    }

    #[test]
    fn an_api_says_result_and_a_webhook_anything_in_json() {
        let done = says(
            &request(),
            NodeKind::Task,
            200,
            r#"{"result":true,"data":{"task":{"id":7},"ips":["a","b"]}}"#,
        );
        let outputs = [("id".to_owned(), "7".to_owned()), ("ip".into(), "b".into())].into();
        assert_eq!(
            done,
            Step::Done {
                status: Some(200),
                succeeded: true,
                outputs,
                reason: String::new()
            }
        );
        let refused = says(
            &request(),
            NodeKind::Task,
            200,
            r#"{"result":false,"code":17,"message":"no quota"}"#,
        );
        assert!(
            matches!(refused, Step::Done { succeeded: false, reason, .. } if reason == "answered code 17: no quota")
        );
        assert!(matches!(
            says(&request(), NodeKind::Webhook, 201, "[]"),
            Step::Done {
                succeeded: true,
                ..
            }
        ));
        assert!(matches!(
            says(&request(), NodeKind::Webhook, 200, "ok"),
            Step::Done {
                succeeded: false,
                ..
            }
        ));
        assert!(matches!(
            says(&request(), NodeKind::Webhook, 302, ""),
            Step::Done {
                succeeded: false,
                ..
            }
        ));
        assert!(matches!(
            says(&request(), NodeKind::Webhook, 503, ""),
            Step::NoAnswer {
                attempts_max: 3,
                ..
            }
        ));
    }

    #[test]
    fn conditions_over_the_answer_are_typed() {
        let mut webhook = request();
        webhook.success = expression("resp.code == 0 and resp.data.state == \"done\"");
        assert!(matches!(
            says(
                &webhook,
                NodeKind::Webhook,
                200,
                r#"{"code":0,"data":{"state":"done"}}"#
            ),
            Step::Done {
                succeeded: true,
                ..
            }
        ));
        assert!(matches!(
            says(
                &webhook,
                NodeKind::Webhook,
                200,
                r#"{"code":0,"data":{"state":"done' or '1' == '1"}}"#
            ),
            Step::Done {
                succeeded: false,
                ..
            }
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
        for unread in [
            "(a == 1",
            "a == 1)",
            "((a == 1) and (b == 1 or (c == 1 and d == 1)))",
            "a in ()",
            "1 == 2",
            "a == b",
            "(".repeat(1000).as_str(),
            "",
        ] {
            assert_eq!(expression(unread), None, "{unread}");
        }
        webhook.success =
            expression("(resp.code == 0 or resp.code == 200) and resp.result == true");
        for (answer, fits) in [
            (r#"{"code":200,"result":true}"#, true),
            (r#"{"code":0,"result":false}"#, false),
            (r#"{"code":1,"result":true}"#, false),
        ] {
            assert!(
                matches!(says(&webhook, NodeKind::Webhook, 200, answer), Step::Done { succeeded, .. } if succeeded == fits),
                "{answer}"
            );
        }
    }

    #[test]
    fn polling_ends() {
        let mut request = request();
        request.poll = Some(Poll {
            interval_ms: 5000,
            times_max: 2,
            until: expression("data.state == 'DONE'").unwrap(),
        });
        assert_eq!(
            says(
                &request,
                NodeKind::Task,
                200,
                r#"{"data":{"state":"RUNNING"}}"#
            ),
            Step::UnderWay {
                step: "polled".into(),
                task: String::new(),
                after_ms: 5000
            }
        );
        let asked = ApiCall {
            polls: 1,
            ..ApiCall::default()
        };
        let last = judge(
            &ServiceTask::Request(request.clone()),
            NodeKind::Task,
            &asked,
            &Ok((200, br#"{"data":{"state":"RUNNING"}}"#)),
        );
        assert!(matches!(
            last,
            Step::Done {
                succeeded: false,
                ..
            }
        ));
        // One lost answer among many questions is no failure, and of the first question one more try than it may be tried is.
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
            judge(
                &ServiceTask::Request(request.clone()),
                NodeKind::Task,
                &call,
                &Ok((502, b"")),
            )
        };
        assert!(matches!(
            lost(POLLED),
            Step::NoAnswer {
                attempts_max: 60,
                pause_max_ms: 5000,
                ..
            }
        ));
        assert!(matches!(
            lost(""),
            Step::NoAnswer {
                attempts_max: 3,
                ..
            }
        ));
    }

    #[test]
    fn an_api_leaves_behind_what_stands_in_its_data() {
        let request = Request {
            outputs: vec![OutputMapping {
                key: "c".into(),
                name: String::new(),
                path: "code".into(),
            }],
            ..request()
        };
        let left = |kind| match says(
            &request,
            kind,
            200,
            r#"{"result":true,"code":0,"data":{"code":"A17"}}"#,
        ) {
            Step::Done { outputs, .. } => outputs["c"].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (
                left(NodeKind::Task).as_str(),
                left(NodeKind::Webhook).as_str()
            ),
            ("A17", "0")
        );
    }

    #[test]
    fn a_task_is_created_started_and_asked_after() {
        let task = ServiceTask::Task(Task {
            polls_max: 3,
            ..Task::default()
        });
        let step = |step: &str, polls: u32, body: &str| {
            let call = ApiCall {
                step: step.into(),
                task: "9".into(),
                polls,
                ..ApiCall::default()
            };
            judge(&task, NodeKind::Sops, &call, &Ok((200, body.as_bytes())))
        };
        assert_eq!(
            step("", 0, r#"{"result":true,"data":{"task_id":9}}"#),
            Step::UnderWay {
                step: "created".into(),
                task: "9".into(),
                after_ms: 0
            }
        );
        assert!(
            matches!(step("created", 0, r#"{"result":true}"#), Step::UnderWay { step, .. } if step == "started")
        );
        assert!(
            matches!(step("started", 0, r#"{"result":true,"data":{"state":"RUNNING"}}"#), Step::UnderWay { step, .. } if step == "running")
        );
        assert!(matches!(
            step(
                "running",
                2,
                r#"{"result":true,"data":{"state":"SUSPENDED"}}"#
            ),
            Step::Done {
                succeeded: false,
                ..
            }
        ));
        assert!(matches!(
            step(
                "running",
                0,
                r#"{"result":true,"data":{"state":"FINISHED"}}"#
            ),
            Step::Done {
                succeeded: true,
                ..
            }
        ));
        assert!(matches!(
            step("running", 0, r#"{"result":true,"data":{"state":"FAILED"}}"#),
            Step::Done {
                succeeded: false,
                ..
            }
        ));
        assert!(
            matches!(
                step("", 0, ""),
                Step::NoAnswer {
                    attempts_max: 1,
                    ..
                }
            ),
            "it may have been created"
        );
        let resumed = |state: &str| {
            step(
                RESUMED,
                0,
                &format!(r#"{{"result":true,"data":{{"state":"{state}"}}}}"#),
            )
        };
        assert_eq!(
            resumed("CREATED"),
            Step::UnderWay {
                step: CREATED.into(),
                task: "9".into(),
                after_ms: 0
            },
            "it was never started"
        );
        assert_eq!(
            resumed("REVOKED"),
            Step::UnderWay {
                step: String::new(),
                task: String::new(),
                after_ms: 0
            },
            "another one is exchange"
        );
        assert!(matches!(resumed("RUNNING"), Step::UnderWay { step, .. } if step == "running"));
        assert!(matches!(
            step(RESUMED, 0, ""),
            Step::NoAnswer {
                attempts_max: TASK_ATTEMPTS,
                ..
            }
        ));
    }
}
