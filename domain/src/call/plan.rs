//! What is asked of the other side next.

use events::outside::{Outside, Request, Task};
use serde_json::{Value, json};

use super::template::{Variables, fill, fill_json, percent};
use super::{CREATED, Call};

/// One HTTP call, ready to be made. Headers that are secrets come from the key store and are not here.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
    pub timeout_ms: i64,
}

/// The next call, or why there cannot be one.
pub fn plan(outside: &Outside, call: &Call, variables: &Variables) -> Result<Wanted, String> {
    match outside {
        Outside::Request(request) => of_request(request, variables),
        Outside::Task(task) => of_task(task, call, variables),
    }
}

/// The call that a request describes, its holes filled.
pub fn of_request(request: &Request, variables: &Variables) -> Result<Wanted, String> {
    let mut url = fill(&request.url, variables, percent)?;
    // What is filled in is one part of the path and stays one; whoever resolves an address takes these parts for ways up.
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if path.split('/').any(|part| matches!(part.to_lowercase().replace("%2e", ".").as_str(), "." | "..")) {
        return Err("the address leads out of its path".into());
    }
    for (at, pair) in request.query.iter().enumerate() {
        let sign = if at == 0 && !url.contains('?') { '?' } else { '&' };
        url = format!("{url}{sign}{}={}", percent(&pair.key), percent(&fill(&pair.value, variables, str::to_owned)?));
    }
    let headers = request.headers.iter().map(|pair| Ok((pair.key.clone(), fill(&pair.value, variables, str::to_owned)?))).collect::<Result<_, String>>()?;
    let body = if request.body.is_null() { None } else { Some(fill_json(&request.body, variables)?) };
    Ok(Wanted { method: request.method.clone(), url, headers, body, timeout_ms: request.timeout_ms })
}

/// A task is created, started and asked after, one call each (reference/bk-itsm.md 8.2).
fn of_task(task: &Task, call: &Call, variables: &Variables) -> Result<Wanted, String> {
    let filled = |text: &str| fill(text, variables, str::to_owned);
    let business = filled(&task.bk_biz_id)?;
    let (operation, body) = match call.step.as_str() {
        "" => {
            let constants =
                task.constants.iter().map(|pair| Ok((pair.key.clone(), filled(&pair.value)?.into()))).collect::<Result<serde_json::Map<_, _>, String>>()?;
            let name = call.requested.as_ref().map(|requested| requested.name.clone()).unwrap_or_default();
            let body = json!({
                "bk_biz_id": business, "template_id": filled(&task.template_id)?, "template_source": task.template_source,
                "name": format!("ITSM-{name}"), "constants": constants, "exclude_task_nodes_id": task.exclude_task_nodes_id,
            });
            ("create_task", body)
        }
        CREATED => ("start_task", json!({ "bk_biz_id": business, "task_id": call.task })),
        _ => ("get_task_status", json!({ "bk_biz_id": business, "task_id": call.task })),
    };
    let url = format!("{}/{operation}/", task.url.trim_end_matches('/'));
    Ok(Wanted { method: "POST".into(), url, headers: Vec::new(), body: Some(body), timeout_ms: 10_000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_leads_nowhere_else() {
        let request = Request { method: "GET".into(), url: "https://x/hosts/${a}/${b}".into(), ..Request::default() };
        let plan = |a: &str, b: &str| of_request(&request, &[("a".to_owned(), json!(a)), ("b".to_owned(), json!(b))].into()).map(|wanted| wanted.url);
        for (a, b) in [("..", "admin"), ("x", "."), ("%2e%2E", "x")] {
            let filled = plan(a, b);
            assert!(filled.is_err() || filled == Ok("https://x/hosts/%252e%252E/x".into()), "{filled:?}");
        }
        assert_eq!(plan("..", "admin").unwrap_err(), "the address leads out of its path");
        assert_eq!(plan("a/../b", "...").unwrap(), "https://x/hosts/a%2F..%2Fb/...");
    }
}
