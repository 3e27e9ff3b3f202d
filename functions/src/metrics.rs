//! Metrics as lines of the log, in CloudWatch's embedded metric format: no request is made to write them.

use std::collections::BTreeMap;

use events::Moment;
use infra::meter::Counted;
use serde_json::{Value, json};

/// The namespace of every metric, and what lines are found by.
pub const NAMESPACE: &str = "Ledgerdesk";

/// Prints what an invocation cost; nothing where it asked for nothing.
pub fn print(function: &str, at: Moment, counted: &BTreeMap<&'static str, Counted>) {
    if !counted.is_empty() {
        println!("{}", line(function, at, counted));
    }
}

/// The line of an invocation: totals as metrics, and each kind of request as a detail.
pub fn line(function: &str, at: Moment, counted: &BTreeMap<&'static str, Counted>) -> Value {
    let mut total = Counted::default();
    counted.values().for_each(|counted| total += *counted);
    let metrics = ["Requests", "WriteUnits", "ReadUnits", "Bytes"].map(|name| json!({ "Name": name }));
    json!({
        "_aws": { "Timestamp": at.0, "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [["Function"]], "Metrics": metrics }] },
        "Function": function,
        "Requests": total.requests,
        "WriteUnits": total.write_units,
        "ReadUnits": total.read_units,
        "Bytes": total.bytes,
        "Cost": counted,
    })
}

/// Raises the tamper alarm: the template watches this metric.
pub fn print_tampering(at: Moment) {
    let line = json!({
        "_aws": { "Timestamp": at.0, "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{ "Name": "Tampering" }] }] },
        "Tampering": 1,
    });
    println!("{line}");
}
