//! Prints metrics as log lines in CloudWatch's embedded metric format. This format needs no request
//! to AWS.

use std::collections::BTreeMap;

use events::Moment;
use infra::meter::Counted;
use serde_json::{Value, json};

/// The namespace of every metric. A log search finds the lines of metrics by this text.
pub const NAMESPACE: &str = "Ledgerdesk";

/// Prints the cost of an invocation. Prints nothing if the invocation sent no requests.
pub fn print(function: &str, at: Moment, counted: &BTreeMap<&'static str, Counted>) {
    if !counted.is_empty() {
        println!("{}", line(function, at, counted));
    }
}

/// Returns the log line of an invocation. The line contains the totals as metrics, and the counts
/// per kind of request.
pub fn line(function: &str, at: Moment, counted: &BTreeMap<&'static str, Counted>) -> Value {
    let mut total = Counted::default();
    counted.values().for_each(|counted| total += *counted);
    let metrics =
        ["Requests", "WriteUnits", "ReadUnits", "Bytes"].map(|name| json!({ "Name": name }));
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

/// Prints the metric that raises the tamper alarm. An alarm in the template watches this metric.
pub fn print_tampering(at: Moment) {
    let line = json!({
        "_aws": { "Timestamp": at.0, "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{ "Name": "Tampering" }] }] },
        "Tampering": 1,
    });
    println!("{line}");
}
