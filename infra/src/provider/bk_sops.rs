//! Builds requests to BlueKing SOPS, a service that runs operation tasks (reference/bk-itsm.md
//! 8.2). The requests create a task from a template and start the task. Further requests read the
//! state of the task until the task ends.

use std::collections::BTreeMap;

use domain::api_call::judge::{failure_reason, task_result};
use domain::api_call::plan::PlannedRequest;
use domain::api_call::{ApiCall, CREATED, POLICY, RESUMED};
use domain::attempt::{Policy, Verdict};
use domain::placeholder::{Variables, fill};
use domain::value::plain;
use events::workflow::NodeKind;
use events::workflow::service_task::{ServiceTask, Task};
use serde_json::{Value, json};

use super::Provider;
use crate::http::{HttpError, HttpResponse};

/// Timeout of one request, milliseconds.
const TIMEOUT_MS: i64 = 10_000;
/// Milliseconds between two requests that read the state of a task.
const TASK_POLL_MS: i64 = 10_000;
/// Retry policy of requests to BlueKing SOPS. The desk makes at most five consecutive attempts for
/// one request.
const REPEATED: Policy = Policy {
    attempts_max: 5,
    ..POLICY
};

/// The provider with the name `bk_sops`. A provider builds the requests of automatic workflow
/// nodes.
#[derive(Clone, Copy, Debug)]
pub struct BkSops;

impl Provider for BkSops {
    fn name(&self) -> &'static str {
        "bk_sops"
    }

    fn does(&self, service_task: &ServiceTask) -> bool {
        matches!(service_task, ServiceTask::Task(_))
    }

    fn request(
        &self,
        service_task: &ServiceTask,
        call: &ApiCall,
        variables: &Variables,
    ) -> Result<PlannedRequest, String> {
        match service_task {
            ServiceTask::Task(task) => request(task, call, variables),
            _ => Err(OTHER.into()),
        }
    }

    fn is_once(&self, call: &ApiCall) -> bool {
        is_once(call)
    }

    fn verdict(
        &self,
        service_task: &ServiceTask,
        _kind: NodeKind,
        call: &ApiCall,
        response: &Result<HttpResponse, HttpError>,
    ) -> (Verdict, Policy) {
        if let ServiceTask::Task(task) = service_task {
            return verdict(task, call, response);
        }
        let outputs = BTreeMap::new();
        let reason = OTHER.to_owned();
        (
            Verdict::Failed {
                reason: reason.into(),
                outputs,
            },
            POLICY,
        )
    }
}

/// Returns whether the next request creates or starts a task. If such a request were executed
/// twice, the work of the task could also be executed twice.
fn is_once(call: &ApiCall) -> bool {
    matches!(call.step.as_str(), "" | CREATED)
}

/// The error text for a service task (the work of an automatic node) that is not a SOPS task.
const OTHER: &str = "the service task is not a task of BlueKing SOPS";

/// Returns the next request for a SOPS task. The request creates the task, starts the task, or
/// reads the state of the task. If the request cannot be built, the error is the reason as an
/// English text.
fn request(task: &Task, call: &ApiCall, variables: &Variables) -> Result<PlannedRequest, String> {
    let filled = |text: &str| fill(text, variables, str::to_owned);
    let business = filled(&task.bk_biz_id)?;
    let (operation, body) = match call.step.as_str() {
        "" => {
            let constants = task
                .constants
                .iter()
                .map(|pair| Ok((pair.key.clone(), filled(&pair.value)?.into())))
                .collect::<Result<serde_json::Map<_, _>, String>>()?;
            let name = call
                .requested
                .as_ref()
                .map(|requested| requested.name.clone())
                .unwrap_or_default();
            let body = json!({
                "bk_biz_id": business, "template_id": filled(&task.template_id)?, "template_source": task.template_source,
                "name": format!("ITSM-{name}"), "constants": constants, "exclude_task_nodes_id": task.exclude_task_nodes_id,
            });
            ("create_task", body)
        }
        CREATED => (
            "start_task",
            json!({ "bk_biz_id": business, "task_id": call.task }),
        ),
        _ => (
            "get_task_status",
            json!({ "bk_biz_id": business, "task_id": call.task }),
        ),
    };
    let url = format!("{}/{operation}/", task.url.trim_end_matches('/'));
    Ok(PlannedRequest {
        method: "POST".into(),
        url,
        headers: Vec::new(),
        body: Some(body),
        timeout_ms: TIMEOUT_MS,
    })
}

/// Returns the verdict (the evaluated result) of one attempt, and the retry policy.
///
/// BlueKing SOPS has no idempotency key for requests that create or start a task. Such a request is
/// therefore repeated only if it was not sent. If the request was sent but its response is lost,
/// the verdict is `Unknown`.
fn verdict(
    task: &Task,
    call: &ApiCall,
    response: &Result<HttpResponse, HttpError>,
) -> (Verdict, Policy) {
    (of_response(task.polls_max, call, response), REPEATED)
}

fn of_response(
    polls_max: u32,
    call: &ApiCall,
    response: &Result<HttpResponse, HttpError>,
) -> Verdict {
    let lost = |reason: String| {
        if is_once(call) {
            Verdict::Unknown {
                reason: reason.into(),
            }
        } else {
            Verdict::Retry {
                reason: reason.into(),
                after_ms: None,
            }
        }
    };
    let (status, body) = match response {
        Ok(response) => (response.status, response.body.as_slice()),
        Err(HttpError::NotSent(reason)) => {
            return Verdict::Retry {
                reason: reason.clone().into(),
                after_ms: None,
            };
        }
        Err(HttpError::Unknown(reason)) => return lost(reason.clone()),
    };
    let result = |succeeded: bool| {
        call.requested
            .iter()
            .map(|requested| (task_result(requested.node), succeeded.to_string()))
            .collect()
    };
    let done = |succeeded, reason| {
        let outputs = result(succeeded);
        if succeeded {
            Verdict::succeeded(outputs)
        } else {
            Verdict::Failed { reason, outputs }
        }
    };
    let body_json = match serde_json::from_slice::<Value>(body) {
        Ok(body_json) if (200..300).contains(&status) && body_json["result"] == true => body_json,
        Ok(body_json) if (200..300).contains(&status) => {
            return done(false, failure_reason(&body_json).into());
        }
        _ => return lost(format!("answered {status}")),
    };
    let under_way = |step: &str, task: &str, after_ms| Verdict::poll(step, task, after_ms);
    match call.step.as_str() {
        "" => match plain(&body_json["data"]["task_id"]) {
            task if task.is_empty() => done(false, "the response has no task id".into()),
            task => under_way(CREATED, &task, 0),
        },
        CREATED => under_way("started", &call.task, TASK_POLL_MS),
        step => match body_json["data"]["state"].as_str().unwrap_or_default() {
            // `RESUMED` means that the API call (a series of requests) continues with an existing
            // task. If this task was never started, the next request starts the task. If the task
            // was revoked or has expired, the next request creates a new task.
            "CREATED" if step == RESUMED => under_way(CREATED, &call.task, 0),
            "REVOKED" | "EXPIRED" if step == RESUMED => under_way("", "", 0),
            "FINISHED" => done(true, String::new().into()),
            state @ ("FAILED" | "REVOKED" | "EXPIRED") => done(
                false,
                format!("the SOPS task {} is {state}", call.task).into(),
            ),
            state if call.polls + 1 >= polls_max => done(
                false,
                format!(
                    "the SOPS task {} is still {state} after {polls_max} polls",
                    call.task
                )
                .into(),
            ),
            _ => under_way("running", &call.task, TASK_POLL_MS),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sops_task_is_created_started_and_polled() {
        let task = Task {
            polls_max: 3,
            ..Task::default()
        };
        let step = |step: &str, polls: u32, body: &str| {
            let call = ApiCall {
                step: step.into(),
                task: "9".into(),
                polls,
                ..ApiCall::default()
            };
            verdict(&task, &call, &Ok(HttpResponse::of(200, body.as_bytes()))).0
        };
        assert_eq!(
            step("", 0, r#"{"result":true,"data":{"task_id":9}}"#),
            Verdict::poll("created", "9", 0)
        );
        assert!(
            matches!(step("created", 0, r#"{"result":true}"#), Verdict::Poll { step, .. } if step == "started")
        );
        assert!(
            matches!(step("started", 0, r#"{"result":true,"data":{"state":"RUNNING"}}"#), Verdict::Poll { step, .. } if step == "running")
        );
        assert!(matches!(
            step(
                "running",
                2,
                r#"{"result":true,"data":{"state":"SUSPENDED"}}"#
            ),
            Verdict::Failed { .. }
        ));
        assert!(matches!(
            step(
                "running",
                0,
                r#"{"result":true,"data":{"state":"FINISHED"}}"#
            ),
            Verdict::Succeeded { .. }
        ));
        assert!(matches!(
            step("running", 0, r#"{"result":true,"data":{"state":"FAILED"}}"#),
            Verdict::Failed { .. }
        ));
        assert!(
            matches!(step("", 0, ""), Verdict::Unknown { .. }),
            "the task may have been created"
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
            Verdict::poll(CREATED, "9", 0),
            "the task was never started"
        );
        assert_eq!(
            resumed("REVOKED"),
            Verdict::poll(String::new(), String::new(), 0),
            "a new task is created"
        );
        assert!(matches!(resumed("RUNNING"), Verdict::Poll { step, .. } if step == "running"));
        assert!(matches!(step(RESUMED, 0, ""), Verdict::Retry { .. }));
    }

    #[test]
    fn a_creation_that_was_not_sent_is_repeated() {
        let not_sent = Err(HttpError::NotSent("connection refused".into()));
        let unknown = Err(HttpError::Unknown("timeout".into()));
        let of = |step: &str, response| {
            let call = ApiCall {
                step: step.into(),
                ..ApiCall::default()
            };
            verdict(&Task::default(), &call, response).0
        };
        for (step, is_once) in [
            ("", true),
            (CREATED, true),
            ("started", false),
            (RESUMED, false),
        ] {
            let call = ApiCall {
                step: step.into(),
                ..ApiCall::default()
            };
            assert_eq!(BkSops.is_once(&call), is_once, "{step}");
        }
        for step in ["", CREATED, RESUMED] {
            assert!(matches!(of(step, &not_sent), Verdict::Retry { .. }));
        }
        assert!(matches!(of("", &unknown), Verdict::Unknown { .. }));
        assert!(matches!(of(CREATED, &unknown), Verdict::Unknown { .. }));
        assert!(matches!(of(RESUMED, &unknown), Verdict::Retry { .. }));
    }
}
