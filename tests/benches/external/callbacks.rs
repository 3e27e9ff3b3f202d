//! Measures the time from a callback of an external ITSM to the recorded decision of the application. After a callback,
//! the desk lets the external ITSM check the token, and reads the external ticket.
//!
//! For comparison, the test measures the steps that every desk needs: the three HTTP requests between the same programs,
//! and two writes to disk. The desk answers the bare callback without storing it, because the secret in its address is
//! wrong.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::process::printed;
use tokio::time::Instant;

use super::itsm::External;
use super::{Desk, ms, now_ms, percentile, reached, wait};

/// Number of callbacks, and number of measurements of the bare costs.
const CALLBACKS: usize = 200;
/// Size of the data that the test writes to disk in one measurement, in bytes.
const SYNCED_BYTES: usize = 4_096;
/// The longest time of a decision, and of the work before the first callback.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two requests with which the test checks whether the decision is recorded.
const SHORT_PAUSE: Duration = Duration::from_micros(500);
/// The aim: the median is at most this number of times the bare cost.
const TIMES_MAX: f64 = 10.0;

pub(super) async fn measure() {
    let folder = tempfile::tempdir().expect("a directory");
    let external = External::start().await;
    let data = folder.path().join("data");
    let desk = Desk::start_anywhere(&data, &external.arguments(folder.path()));
    external.apply(&desk, CALLBACKS).await;
    let mut applications = Vec::new();
    wait(
        "the desk knows the external tickets",
        PATIENCE,
        async || {
            applications = desk
                .all("applications?state=open", "applications", CALLBACKS)
                .await;
            let known = applications.iter().filter(|one| one["external"] != "");
            known.count() == CALLBACKS
        },
    )
    .await;

    let (mut visible, mut begins) = (Vec::new(), HashMap::new());
    for application in &applications {
        let id = application["id"].as_str().expect("an id");
        let sn = application["external"].as_str().expect("a number");
        assert!(external.itsm.decide(sn, true), "{sn} waits for a decision");
        let (url, body) = external.itsm.callback(sn).expect("a callback");
        begins.insert(id.to_owned(), now_ms());
        let begin = Instant::now();
        let status = post(&desk, &url, &body).await;
        assert_eq!(status, 200, "{sn}");
        decided(&desk, id, begin).await;
        visible.push(begin.elapsed());
    }
    let stored: Vec<Duration> = begins
        .iter()
        .map(|(id, begin)| decision_ms(&data, id) - begin)
        .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
        .collect();

    let sn = applications[0]["external"].as_str().expect("a number");
    let (exchanges, write) = (
        exchanges(&desk, &external, sn).await,
        write_time(folder.path()),
    );
    let bare = exchanges + 2 * write;
    println!(
        "{CALLBACKS} callbacks, from the request with the callback to the decision: in a response of the desk median {:.2} ms, \
         99 % {:.2} ms; time of the event median {:.2} ms",
        ms(percentile(&visible, 50)),
        ms(percentile(&visible, 99)),
        ms(percentile(&stored, 50)),
    );
    let times = percentile(&visible, 50).as_secs_f64() / bare.as_secs_f64();
    println!(
        "bare cost: three requests {:.2} ms and two writes to disk with {:.2} ms each: {:.2} ms; the median is {times:.1} times \
         the bare cost (aim: at most {TIMES_MAX} times, {})",
        ms(exchanges),
        ms(write),
        ms(bare),
        reached(times <= TIMES_MAX),
    );
}

/// Sends a callback, reads the response, and returns its status.
async fn post(desk: &Desk, url: &str, body: &Value) -> u16 {
    let response = desk.http.post(url).json(body).send().await;
    let response = response.expect("a response");
    let status = response.status().as_u16();
    response.bytes().await.expect("a body");
    status
}

/// Waits until the API shows the decision of the application.
async fn decided(desk: &Desk, id: &str, begin: Instant) {
    let path = format!("applications/{id}");
    loop {
        let shown = desk.get(&path).await;
        if shown["status"] == "granted" {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "no decision: {shown}");
        tokio::time::sleep(SHORT_PAUSE).await;
    }
}

/// Returns the time of the event with the decision in milliseconds since 1970.
fn decision_ms(data: &Path, id: &str) -> i64 {
    let stream = format!("application-{id}");
    let data = data.to_str().expect("a path");
    let history = printed(&["audit", "show", &stream, "--data", data]);
    let lines: Vec<&str> = history.lines().collect();
    // The line before the event contains the number of the event, and then its time.
    let event = lines
        .iter()
        .position(|line| line.trim_start().starts_with("application.completed"));
    let head = event.and_then(|at| lines.get(at.checked_sub(1)?));
    let time = head.and_then(|line| line.split_whitespace().nth(1));
    let time = time.and_then(|text| text.parse::<Timestamp>().ok());
    time.unwrap_or_else(|| panic!("a decision: {history}"))
        .as_millisecond()
}

/// Returns the median time of the three requests, one after another: a callback, the check of its token, and the read of
/// the ticket.
async fn exchanges(desk: &Desk, external: &External, sn: &str) -> Duration {
    let (_, body) = external.itsm.callback(sn).expect("a callback");
    let wrong = format!("{}/callbacks/bk-itsm/{}", desk.served.base, "0".repeat(64));
    let read = format!("get_ticket_info/?sn={sn}");
    let mut times = Vec::with_capacity(CALLBACKS);
    for _ in 0..CALLBACKS {
        let begin = Instant::now();
        let status = post(desk, &wrong, &body).await;
        assert_eq!(status, 403);
        let token = json!({ "token": body["token"] });
        external.call("token/verify/", Some(token)).await;
        external.call(&read, None).await;
        times.push(begin.elapsed());
    }
    percentile(&times, 50)
}

/// Returns the median time of a write to disk with `fdatasync`, in the folder with the data of the desk.
fn write_time(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("synced")).expect("a file");
    let mut times = Vec::with_capacity(CALLBACKS);
    for _ in 0..CALLBACKS {
        let begin = Instant::now();
        file.write_all(&[7; SYNCED_BYTES]).expect("written");
        file.sync_data().expect("synced");
        times.push(begin.elapsed());
    }
    percentile(&times, 50)
}
