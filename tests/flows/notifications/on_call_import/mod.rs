//! These tests check the import of chains, rotas and addresses from exports of Grafana OnCall and Opsgenie. The exports
//! have the shapes of the public documentation of both products.

mod grafana;
mod opsgenie;

use domain::notification::rota;
use events::PersonId;
use events::escalation_chain::Target;
use functions::app::notifications::on_call::import::{self, Import};
use functions::app::times;
use serde_json::Value;

fn read(export: &Value) -> Import {
    import::read(&export.to_string(), &[]).expect("an export")
}

/// Returns the user names of the people who are on call in a rota of an import, separated by commas.
fn on_call(import: &Import, name: &str, at: &str) -> String {
    let mut rotas = import.on_call.rotas.iter();
    let found = rotas.find(|rota| rota.name == name).expect("a rota");
    let people = rota::on_call(found, times::read(at).expect("a time"));
    let names: Vec<&str> = people
        .iter()
        .filter_map(PersonId::unregistered_name)
        .collect();
    names.join(",")
}

/// Returns the wait and the target of each step of the only chain. A rota and a person have their names.
fn steps(import: &Import) -> Vec<(u32, String)> {
    let shown = |target: &Target| match target {
        Target::Rota(name) => name.clone(),
        Target::Person(person) => person.unregistered_name().unwrap_or_default().to_owned(),
        other => format!("{other:?}"),
    };
    let chain = import.on_call.chains.first().expect("a chain");
    let steps = chain.steps.iter();
    steps
        .map(|step| (step.wait_minutes, shown(&step.notify)))
        .collect()
}

/// Returns the outcome and the text of one line of the report.
fn line(import: &Import, kind: &str, name: &str) -> (&'static str, String) {
    let mut lines = import.report.iter();
    let found = lines.find(|line| line.kind == kind && line.name == name);
    found.expect("a line").outcome.words()
}
