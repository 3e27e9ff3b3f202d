//! Prints metrics as log lines in the embedded metric format of CloudWatch. With this format, no
//! request to AWS is necessary.

use std::collections::BTreeMap;

use events::Moment;
use infra::meter::Counted;
use serde_json::{Value, json};

/// The namespace of all metrics. A log search can use this text to find the metric lines.
pub const NAMESPACE: &str = "Ledgerdesk";

/// Prints the numbers of requests to AWS in one invocation. Prints nothing if there were no
/// requests.
pub fn print(function: &str, at: Moment, counted: &BTreeMap<&'static str, Counted>) {
    if !counted.is_empty() {
        println!("{}", line(function, at, counted));
    }
}

/// Returns the log line of an invocation. The line contains the totals as metrics, and the count
/// for each kind of request.
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

/// Prints the metric for signs of tampering. An alarm in the deployment template is based on this
/// metric.
pub fn print_tampering(at: Moment) {
    let line = json!({
        "_aws": { "Timestamp": at.0, "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{ "Name": "Tampering" }] }] },
        "Tampering": 1,
    });
    println!("{line}");
}
