//! Prints metrics as log lines. CloudWatch can read metrics from log lines in the embedded metric
//! format. The desk therefore sends no requests to CloudWatch.

use std::collections::BTreeMap;

use events::Moment;
use infra::meter::Counted;
use serde_json::{Value, json};

/// The namespace of all metrics of the desk. Every metric line contains this text, so a log search
/// can find these lines.
pub const NAMESPACE: &str = "Ledgerdesk";

/// Prints how many requests one call of a Lambda function sent to AWS services. The function prints
/// no line if the call sent no requests.
pub fn print(function: &str, at: Moment, counted: &BTreeMap<&'static str, Counted>) {
    if !counted.is_empty() {
        println!("{}", line(function, at, counted));
    }
}

/// Returns the log line for one call of a Lambda function. The line contains the totals of all
/// requests, which CloudWatch reads as metrics. The member `Cost` contains the same numbers for
/// each kind of request.
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

/// Prints a metric for a sign of tampering (a change of the journal by another program). The
/// journal is the table of all commits. An alarm in the deployment template uses this metric.
pub fn print_tampering(at: Moment) {
    let line = json!({
        "_aws": { "Timestamp": at.0, "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{ "Name": "Tampering" }] }] },
        "Tampering": 1,
    });
    println!("{line}");
}
