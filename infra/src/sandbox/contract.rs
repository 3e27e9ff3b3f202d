//! Contains the contract test of [`Sandbox`]. Each adapter that runs scripts must pass this test.

use std::collections::BTreeMap;
use std::time::Duration;

use events::script::{Level, Limits};

use super::{Ended, Job, Run, Sandbox};

/// Returns a job with the given script. The limits of the job are higher than the tests need.
pub fn job(id: &str, content: &str) -> Job {
    Job {
        id: id.to_owned(),
        content: content.to_owned(),
        parameters: BTreeMap::from([("name".to_owned(), "a \"b\" $(c)".to_owned())]),
        limits: Limits {
            memory_mib: 512,
            processes: 32,
            output_bytes: 4_096,
        },
        timeout_ms: 20_000,
    }
}

/// Starts a script, waits until it ends, and returns its result.
///
/// # Panics
///
/// Panics if the script cannot be started, is lost, or does not end within one minute.
pub async fn end_of(sandbox: &dyn Sandbox, job: &Job) -> Ended {
    sandbox.start(job).await.expect("started");
    for _ in 0..1_200 {
        match sandbox.read(&job.id).await.expect("readable") {
            Run::Ended(end) => return end,
            Run::Running => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("{}: {other:?}", job.id),
        }
    }
    panic!("{} does not end", job.id);
}

/// Checks that an adapter starts a script only once, returns the result of the script, and deletes
/// the run (execution of the script) on request.
///
/// # Panics
///
/// Panics if the adapter does not fulfill the contract.
pub async fn holds(sandbox: &dyn Sandbox) {
    assert_eq!(sandbox.level().await, Level::Network);
    assert_eq!(sandbox.read("run-1").await.expect("readable"), Run::Missing);
    let script = job(
        "run-1",
        "cat \"$PARAMETERS\"; echo; echo to-stderr >&2; exit 3",
    );
    let end = end_of(sandbox, &script).await;
    assert_eq!(end.exit_code, Some(3), "{end:?}");
    assert_eq!(end.level, Level::Network);
    let expected = "{\"name\":\"a \\\"b\\\" $(c)\"}\nto-stderr\n";
    assert_eq!(
        end.output, expected,
        "parameters are never part of the script"
    );
    let again = end_of(sandbox, &job("run-1", "echo another script")).await;
    assert_eq!(again, end, "a second start of a run has no effect");
    sandbox.remove("run-1").await.expect("removed");
    sandbox.remove("run-1").await.expect("removed before");
    assert_eq!(sandbox.read("run-1").await.expect("readable"), Run::Missing);
}
