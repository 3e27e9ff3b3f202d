//! This test connects a desk with three imitations of an external BlueKing ITSM, which have the faults of the original.
//! People apply over the API `/v1`. Each application has one outcome, and one ticket in one external ITSM.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use functions::cli::demo::fakes::bk_itsm::{BkItsm, Faults};
use infra::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tests::process::{client, printed, run, text, until};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::desk::Desk;

/// Code and secret of the app under which the desk calls the external ITSMs.
const EXTERNAL_APP: (&str, &str) = ("bk_log", "external-secret");

fn now() -> i64 {
    SystemClock.now().0
}

/// An imitated external ITSM on a port of the loopback address. It ends when this value is dropped.
struct External {
    itsm: Arc<BkItsm>,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for External {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl External {
    async fn start(faults: Faults) -> Self {
        let (app, secret) = EXTERNAL_APP;
        let itsm = Arc::new(BkItsm::new(app, secret, faults, now));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let served = itsm.clone();
        let task = tokio::spawn(async move {
            served.serve(listener).await.expect("the imitation serves");
        });
        Self { itsm, port, task }
    }

    /// Returns the ticket with the tag of an application. Returns an error if there are several ones or none.
    fn ticket(&self, application: &str) -> Result<Value, Value> {
        let mut tickets = self.itsm.tickets();
        tickets.retain(|ticket| ticket["tag"] == application);
        match &tickets[..] {
            [one] => Ok(one.clone()),
            _ => Err(json!(tickets)),
        }
    }

    /// Returns the number of reads of a ticket.
    fn reads(&self, application: &str) -> u64 {
        let ticket = self.ticket(application).expect("one ticket");
        ticket["reads"].as_u64().expect("a number")
    }

    /// Delivers a callback about the present state of a ticket. Returns the URL and the body.
    async fn deliver(&self, sn: &str) -> (String, Value) {
        let callback = self.itsm.callback(sn).expect("a callback");
        send(&callback).await;
        callback
    }
}

async fn send((url, body): &(String, Value)) {
    let response = client().post(url).json(body).send().await;
    let status = response.expect("a response").status().as_u16();
    assert_eq!(status, 200, "{body}");
}

/// An application of the user lisi, and its ticket in an external ITSM.
struct Applied<'a> {
    external: &'a External,
    id: String,
    sn: String,
    outcome: &'static str,
}

/// The desk, and the number of applications, by which each application gets a subject of its own.
struct Applicant {
    desk: Desk,
    applications: usize,
}

impl Applicant {
    /// Applies, and waits until the external ITSM has the ticket. `outcome` is the status that the application must have
    /// in the end.
    async fn apply<'a>(
        &mut self,
        external: &'a External,
        kind: &str,
        outcome: &'static str,
    ) -> Applied<'a> {
        self.applications += 1;
        let fields = json!({
            "bk_biz_id": "2", "expect_access_data": "2026-12-01", "single_log_size": 200, "single_host_peak": 300,
            "single_host_log_volume": 20, "expect_host_size": 10, "log_keep_days": 7, "hot_data_days": 3,
            "apply_reason": "审计",
        });
        let subject = format!("collector-{}", self.applications);
        let body = json!({ "kind": kind, "subject": subject, "fields": fields });
        let opened = self.desk.v1("POST", "applications", "lisi", body).await;
        let id = opened["id"].as_str().expect("an id").to_owned();
        let ticket = until("the external ITSM has the ticket", async || {
            external.ticket(&id)
        })
        .await;
        let sn = ticket["sn"].as_str().expect("a number").to_owned();
        Applied {
            external,
            id,
            sn,
            outcome,
        }
    }

    async fn shown(&self, applied: &Applied<'_>) -> Value {
        let path = format!("applications/{}", applied.id);
        self.desk.v1("GET", &path, "lisi", Value::Null).await
    }

    /// Waits until the desk has the number of the external ticket.
    async fn numbered(&self, applied: &Applied<'_>) {
        until("the desk has the number of its ticket", async || {
            let shown = self.shown(applied).await;
            if shown["external"] == applied.sn.as_str() {
                Ok(())
            } else {
                Err(shown)
            }
        })
        .await;
    }

    /// Delivers a callback about a ticket without a decision, and waits until the desk has read the ticket. The
    /// application must then still wait.
    async fn deliver_early(&self, applied: &Applied<'_>) {
        let external = applied.external;
        self.numbered(applied).await;
        let reads = external.reads(&applied.id);
        external.deliver(&applied.sn).await;
        until("the desk reads the ticket", async || {
            let found = external.reads(&applied.id);
            if found > reads {
                Ok(())
            } else {
                Err(json!(found))
            }
        })
        .await;
        let shown = self.shown(applied).await;
        assert_eq!(shown["status"], "applying", "{shown}");
    }
}

/// Starts a desk with an integration and an application kind for each external ITSM. The name of a kind is the name of
/// its integration.
fn desk(folder: &Path, externals: &[(&str, &str, &str, &External)]) -> Desk {
    let (file, secret) = (folder.join("integrations.toml"), folder.join("secret"));
    let (app, password) = EXTERNAL_APP;
    let definition = |(name, form, path, external): &(&str, &str, &str, &External)| {
        let port = external.port;
        format!(
            r#"
            [[integration]]
            name = "{name}"
            kind = "bk_itsm"
            url = "http://127.0.0.1:{port}{path}"
            form = "{form}"
            app = "{app}"
            user = "admin"

            [[application_kind]]
            name = "{name}"
            preset = "log_collection"
            integration = "{name}"
            "#
        )
    };
    let definitions: String = externals.iter().map(definition).collect();
    std::fs::write(&file, definitions).expect("written");
    std::fs::write(&secret, password).expect("written");
    let mut arguments = vec![
        "--integrations".to_owned(),
        file.to_str().expect("a path").to_owned(),
    ];
    for (name, ..) in externals {
        let secret = format!("integration/{name}={}", secret.display());
        arguments.extend(["--secret".to_owned(), secret]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Desk::start(&arguments)
}

#[tokio::test]
async fn an_external_itsm_with_the_faults_of_the_original_decides_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let faults = Faults {
        empty_reads: 1,
        text_codes: true,
        ..Faults::default()
    };
    let bus = External::start(faults).await;
    let gateway = External::start(Faults {
        hides_tag: true,
        ..faults
    })
    .await;
    let old = External::start(Faults {
        hides_tag: true,
        ignores_tag: true,
        ..faults
    })
    .await;
    let externals = [
        ("bus", "esb", "", &bus),
        ("gateway", "apigw", "/prod", &gateway),
        ("old", "esb", "", &old),
    ];
    let mut applicant = Applicant {
        desk: desk(folder.path(), &externals),
        applications: 0,
    };

    // The external ITSM stores the ticket, but the response is lost. The desk finds the ticket by its tag.
    bus.itsm.change(|faults| faults.lost_creations = 1);
    let found = applicant.apply(&bus, "bus", "granted").await;
    gateway.itsm.change(|faults| faults.lost_creations = 1);
    let untagged = applicant.apply(&gateway, "gateway", "refused").await;
    old.itsm.change(|faults| faults.lost_creations = 1);
    let hidden = applicant.apply(&old, "old", "granted").await;

    // The first response of the external ITSM is its login page, and not a list of services.
    bus.itsm.change(|faults| faults.login_pages = 1);
    let granted = applicant.apply(&bus, "bus", "granted").await;
    let refused = applicant.apply(&bus, "bus", "refused").await;
    let twice = applicant.apply(&bus, "bus", "granted").await;
    let revoked = applicant.apply(&bus, "bus", "refused").await;
    let suspended = applicant.apply(&bus, "bus", "granted").await;
    let early = applicant.apply(&bus, "bus", "refused").await;
    let never = applicant.apply(&bus, "bus", "refused").await;
    let never_granted = applicant.apply(&gateway, "gateway", "granted").await;
    // The rate limit of the gateway is reached, so the desk repeats the request.
    gateway.itsm.change(|faults| faults.per_second = Some(0));
    let limited = {
        let apply = applicant.apply(&gateway, "gateway", "granted");
        let lift = until("a request is above the rate limit", async || {
            if gateway.itsm.count("429") == 0 {
                return Err(json!("no request"));
            }
            gateway.itsm.change(|faults| faults.per_second = None);
            Ok(())
        });
        tokio::join!(apply, lift).0
    };

    for applied in [&granted, &refused] {
        let is_granted = applied.outcome == "granted";
        assert!(bus.itsm.decide(&applied.sn, is_granted), "{}", applied.sn);
        bus.deliver(&applied.sn).await;
    }
    assert!(bus.itsm.decide(&twice.sn, true));
    let callback = bus.deliver(&twice.sn).await;
    send(&callback).await;
    assert!(bus.itsm.revoke(&revoked.sn));
    bus.deliver(&revoked.sn).await;
    // A ticket without a decision: its first read is empty, and a suspended ticket can still be granted.
    applicant.deliver_early(&early).await;
    assert!(bus.itsm.decide(&early.sn, false));
    bus.deliver(&early.sn).await;
    assert!(bus.itsm.suspend(&suspended.sn));
    applicant.deliver_early(&suspended).await;
    assert!(bus.itsm.resume(&suspended.sn) && bus.itsm.decide(&suspended.sn, true));
    bus.deliver(&suspended.sn).await;
    // No callback arrives, so only the regular reads find the decisions.
    assert!(bus.itsm.decide(&never.sn, false) && gateway.itsm.decide(&never_granted.sn, true));
    assert!(gateway.itsm.decide(&limited.sn, true));
    gateway.deliver(&limited.sn).await;
    // This callback arrives before the desk has the number of the ticket.
    assert!(bus.itsm.decide(&found.sn, true));
    bus.deliver(&found.sn).await;
    assert!(gateway.itsm.decide(&untagged.sn, false));
    applicant.numbered(&untagged).await;
    gateway.deliver(&untagged.sn).await;

    // The search returns the same ticket for each tag, so the desk uses no ticket and creates none.
    let waiting = until("the desk detects the ignored tags", async || {
        let shown = applicant.shown(&hidden).await;
        let problem = shown["problem"].as_str().unwrap_or_default();
        if problem.contains("ignores the tag") {
            Ok(shown)
        } else {
            Err(shown)
        }
    })
    .await;
    assert_eq!(
        (&waiting["external"], &waiting["status"]),
        (&json!(""), &json!("applying")),
        "{waiting}"
    );
    old.itsm.change(|faults| faults.ignores_tag = false);
    applicant.numbered(&hidden).await;
    assert!(old.itsm.decide(&hidden.sn, true));
    old.deliver(&hidden.sn).await;

    let all = [
        granted,
        refused,
        twice,
        revoked,
        suspended,
        early,
        never,
        never_granted,
        limited,
        found,
        untagged,
        hidden,
    ];
    let mut outcomes = BTreeMap::<&str, usize>::new();
    let (mut by_callback, mut by_poll) = (0, 0);
    for applied in &all {
        let shown = until("the application is closed", async || {
            let shown = applicant.shown(applied).await;
            if shown["is_closed"] == true {
                Ok(shown)
            } else {
                Err(shown)
            }
        })
        .await;
        assert_eq!(
            (&shown["status"], &shown["external"]),
            (&json!(applied.outcome), &json!(applied.sn)),
            "{shown}"
        );
        *outcomes.entry(applied.outcome).or_default() += 1;
        let stream = format!("application-{}", applied.id);
        let data = applicant.desk.data();
        let history = printed(&["audit", "show", &stream, "--data", data]);
        let count = |part: &str| history.matches(part).count();
        assert_eq!(count("application.completed"), 1, "{history}");
        by_callback += count("\"cause\":\"callback\"");
        by_poll += count("\"cause\":\"poll\"");
    }
    let tickets: Vec<usize> = externals
        .iter()
        .map(|(.., external)| external.itsm.tickets().len())
        .collect();
    println!(
        "{} applications in {tickets:?} tickets: {outcomes:?}; {by_callback} found by a callback, {by_poll} by polling",
        all.len()
    );
    assert_eq!(all.len(), 12);
    assert_eq!(tickets, [8, 3, 1], "one ticket for an application");
    for applied in &all {
        assert!(applied.external.ticket(&applied.id).is_ok());
    }
    assert_eq!(
        by_callback + by_poll,
        all.len(),
        "each decision has one cause"
    );
    // The callbacks of the others can arrive late, so a regular read can find their decisions first.
    assert!(by_poll >= 2, "{by_poll} found by polling");
    for (_, form, _, external) in &externals {
        let other = if *form == "esb" { "apigw" } else { "esb" };
        assert!(external.itsm.count(form) > 0 && external.itsm.count(other) == 0);
        assert!(
            external.itsm.count("get_services") > 0,
            "a search for the service"
        );
        assert_eq!(
            external.itsm.count("create_ticket"),
            external.itsm.tickets().len()
        );
    }
    let verified = run(&["audit", "verify", "--data", applicant.desk.data()]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}
