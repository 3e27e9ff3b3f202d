//! Measures how fast the desk renders notification templates and escapes the result for HTML. For comparison, Jinja2
//! and LiquidJS render the same templates with the same values and escape each value. All three use one thread.
//!
//! All three compile each template once. The templates are simple texts, which the desk compiles itself (see the module
//! `compiled` of its templates).

use std::sync::Arc;
use tokio::time::Instant;

use functions::app::notifications::templates::engine::{self, Purpose, VARIABLES, Values};
use infra::channel::email::escaped;
use serde_json::{Value, json};

use super::peers::{installed, jinja, liquid};
use super::{Rate, Table, counted, write};

/// The texts of the templates. Their syntax is common to all three engines.
const TEMPLATES: &str = include_str!("templates.json");
/// Number of rounds in which the engines take turns, and number of contexts for each template.
const ROUNDS: usize = 2;
const CONTEXTS: usize = 10_000;
/// The aim: the rate as a multiple of the rates of both engines.
const TIMES_MIN: f64 = 3.0;

/// Returns the value of a variable in the context with the given number. Some values contain special characters of
/// HTML.
fn value(variable: &str, number: usize) -> String {
    match variable {
        "ticket.id" => format!("REQ{number:014}"),
        "ticket.title" => format!("VPN <b>账号</b> & \"proxy\" {number}"),
        "ticket.description" => format!(
            "The tunnel to the office ends after 30 s. It's the same for <all> colleagues of the team {number}."
        ),
        "ticket.priority" => (number % 5).to_string(),
        "ticket.status" if number.is_multiple_of(2) => "FINISHED".to_owned(),
        "ticket.status" => "RUNNING".to_owned(),
        "ticket.url" => format!("http://127.0.0.1:8080/tickets/REQ{number:014}"),
        "assignee.name" => format!("o'neil{number}"),
        "system.current_time" => "2026-11-30 10:00".to_owned(),
        other => format!("{other} {number}"),
    }
}

/// Returns the values as nested objects, such as `{"ticket": {"id": ...}}`.
fn nested(values: &Values) -> Value {
    let mut nested = json!({});
    for (variable, value) in values {
        let (group, name) = variable.split_once('.').expect("a group");
        nested[group][name] = value.as_str().into();
    }
    nested
}

/// Renders a text as the desk does for an HTML mail.
fn render(text: &str, values: &Arc<Values>) -> String {
    let rendered = engine::render(text, values, Purpose::Message);
    escaped(&rendered.expect("a text"))
}

pub(super) async fn measure(table: &mut Table) {
    installed();
    let folder = tempfile::tempdir().expect("a directory");
    let texts: Vec<String> = serde_json::from_str(TEMPLATES).expect("texts");
    let contexts: Vec<Arc<Values>> = (0..counted(CONTEXTS))
        .map(|number| Arc::new(VARIABLES.map(|name| (name, value(name, number))).into()))
        .collect();
    let given: Vec<Value> = contexts.iter().map(|values| nested(values)).collect();
    let given = json!({ "templates": texts, "contexts": given }).to_string();
    let file = write(folder.path(), "given.json", &given);

    let count = texts.len() * contexts.len();
    let [mut ours, mut of_jinja, mut of_liquid] = [Rate::default(); 3];
    // Jinja2 and LiquidJS write a quotation mark as a number.
    let first = texts.iter().map(|text| render(text, &contexts[0]));
    let first: Vec<String> = first.map(|text| text.replace("&quot;", "&#34;")).collect();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for text in &texts {
            for values in &contexts {
                std::hint::black_box(render(text, values));
            }
        }
        ours.add(count, begin.elapsed().as_secs_f64());
        for (peer, rate) in [
            (jinja(&file).await, &mut of_jinja),
            (liquid(&file).await, &mut of_liquid),
        ] {
            assert_eq!(peer.first, first, "all engines write the same texts");
            rate.add(count, peer.seconds);
        }
    }
    let what = format!("{} templates with {} contexts", texts.len(), contexts.len());
    let shown = |rate: Rate| format!("{:.0} texts/s", rate.per_second());
    table.note(&format!("{what}, the desk, compiled once"), shown(ours));
    for (name, rate) in [("Jinja2", of_jinja), ("LiquidJS", of_liquid)] {
        table.note(&format!("{what}, {name}, compiled once"), shown(rate));
        let times = ours.per_second() / rate.per_second();
        table.judge(
            &format!("texts of the desk beside {name}"),
            format!("{times:.1} times"),
            &format!("at least {TIMES_MIN} times"),
            times >= TIMES_MIN,
        );
    }
}
