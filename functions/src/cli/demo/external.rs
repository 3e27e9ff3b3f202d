//! Adds an external ITSM to the demo. A second desk in this process acts as the ITSM of the head office. The main
//! desk applies for approvals at this ITSM (docs/integrations.md).

use std::path::Path;

use domain::itsm::application::{Application, Step};
use serde_json::{Value, json};

use super::day::Client;
use super::{SystemLine, desk_of, reach_status, until};
use crate::App;
use crate::app::itsm::integrations::Definitions;
use crate::cli::serve::DEMO_APP;
use crate::host::local::Desk;

/// The name of the subdirectory for the data of the second desk (the imitated ITSM). The subdirectory is in the data
/// directory of the main desk.
const FOLDER: &str = "company-itsm";
/// The number of tickets on the main desk that need an approval of the second desk (the imitated ITSM).
const APPLICATIONS: usize = 6;
/// The number of applications (requests for approval) that the second desk grants. The second desk refuses all other
/// applications.
const GRANTED: usize = 4;
/// The user name of the person who grants or refuses applications (requests for approval) at the second desk.
const DECIDER: &str = "admin";
/// The user name of the person who continues the work on a ticket after its application (request for approval) is
/// granted.
const COLLECTOR: &str = "zhangsan";

/// Returns the TOML definitions of an integration (a connected system) and of an application kind (a kind of request
/// for approval). `base` is the base URL of the second desk, which is the connected system.
fn definitions(base: &str) -> String {
    let app = DEMO_APP.0;
    format!(
        r#"
[[integration]]
name = "head_office"
kind = "bk_itsm"
url = "{base}"
app = "{app}"
user = "admin"

[[application_kind]]
name = "log_collection"
integration = "head_office"
service = 18
days = 14
granted = {{ approval_result = "true" }}

[application_kind.fields]
title = "${{ticket_title}}"
bk_biz_id = "2"
expect_access_data = "2026-12-01"
single_log_size = "200"
single_host_peak = "300"
single_host_log_volume = "20"
expect_host_size = "10"
log_keep_days = "7"
hot_data_days = "3"
apply_reason = "${{ticket_sn}}"
"#
    )
}

/// Returns the workflow of the tickets. Node 3 sends an application (a request for approval) to the external ITSM. If
/// the application is granted, a person continues at node 4. Otherwise, the ticket ends.
fn workflow() -> Value {
    let is_granted = json!({ "key": "application_result_3", "type": "STRING", "condition": "==", "value": "granted" });
    let condition =
        json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [is_granted] }] });
    json!({
        "name": "日志采集申请",
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
            { "id": 3, "name": "申请容量", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
              "service_task": { "does": "application", "kind": "log_collection", "fields": [{ "key": "log_keep_days", "value": "14" }] } },
            { "id": 4, "name": "创建采集", "kind": "NORMAL", "processors": { "type": "PERSON", "who": [COLLECTOR] } },
            { "id": 9, "name": "结束", "kind": "END" },
        ],
        "transitions": [
            { "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 },
            { "id": 3, "from": 3, "to": 4, "name": "通过", "condition": condition },
            { "id": 4, "from": 3, "to": 9, "name": "拒绝" },
            { "id": 5, "from": 4, "to": 9 },
        ],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
    })
}

/// The second desk, which acts as the ITSM of the head office. The struct also contains the id of the service on the
/// main desk whose tickets need approvals of the second desk.
pub(super) struct External {
    desk: Desk,
    /// The base URL of the second desk (the imitated ITSM).
    base: String,
    /// An HTTP client that sends requests to the second desk (the imitated ITSM).
    office: Client,
    /// The main desk of the demo. The value is `None` before [`External::introduce`] is called.
    main: Option<App>,
    /// The id of the service on the main desk whose tickets need approvals of the second desk.
    service: Value,
}

impl External {
    /// Starts the second desk (the imitated ITSM) with the demo company. The second desk stores its data in a
    /// subdirectory of `data`.
    pub(super) async fn start(data: &Path, search_path: &str) -> Result<Self, String> {
        let serve = desk_of(&data.join(FOLDER), search_path);
        let started = Box::pin(serve.start()).await;
        let (_, desk, _) =
            started.map_err(|error| format!("the second desk does not start: {error}"))?;
        let base = format!("http://{}", desk.address);
        let office = Client::new(&base, DEMO_APP, "")
            .map_err(|error| format!("cannot create a client: {error}"))?;
        Ok(Self {
            desk,
            base,
            office,
            main: None,
            service: Value::Null,
        })
    }

    /// Stores the definitions of the integration and of the application kind on the main desk. Also stores the app
    /// secret that the main desk sends to the second desk. Then creates a service through the API `/v1`.
    pub(super) async fn introduce(&mut self, app: &App, client: &Client) -> Result<(), String> {
        let text = definitions(&self.base);
        let read = Definitions::read(&text, &|_| Err("the demo has no mapping file".into()))?;
        let stored = read.store(app).await;
        stored.map_err(|error| error.to_string())?;
        let secret = DEMO_APP.1.as_bytes();
        let keys = &app.ledger.keys;
        let kept = keys.keep_secret("integration/head_office", secret).await;
        kept.map_err(|error| error.to_string())?;
        self.service = client.publish(workflow(), json!({})).await?;
        self.main = Some(app.clone());
        Ok(())
    }

    /// Opens tickets on the main desk, and decides their applications (requests for approval) at the second desk.
    /// Returns after all tickets have ended. Returns an error if a decision does not reach its ticket.
    pub(super) async fn run(&mut self, client: &Client) -> Result<SystemLine, String> {
        let mut tickets = Vec::new();
        for number in 1..=APPLICATIONS {
            let title = format!("采集网关日志 {number}");
            let body = json!({ "service_id": self.service, "fields": { "title": title } });
            let opened = client.v1("tickets", "lisi", body).await?;
            tickets.push(opened["sn"].as_str().unwrap_or_default().to_owned());
        }
        for (at, sn) in tickets.iter().enumerate() {
            let missing =
                format!("the application of ticket {sn} is not created at the other desk");
            let created = application(client, sn, &missing, |one| {
                one["external"] != "" || !one["outcome"].is_null()
            })
            .await?;
            let external = created["external"].as_str().unwrap_or_default();
            if external.is_empty() {
                return Err(format!("{missing}: {}", created["outcome"]["reason"]));
            }
            self.decide(external, at < GRANTED).await?;
        }
        let mut by_callback = 0;
        for (at, sn) in tickets.iter().enumerate() {
            let missing = format!("ticket {sn} did not get the decision of the other desk");
            let closed = application(client, sn, &missing, |one| one["is_closed"] == true).await?;
            let expected = if at < GRANTED { "granted" } else { "refused" };
            let outcome = &closed["outcome"];
            if outcome["outputs"]["application_result_3"] != expected {
                return Err(format!(
                    "the application of ticket {sn} ended with {outcome} instead of {expected}"
                ));
            }
            by_callback += usize::from(self.is_by_callback(&closed).await?);
            if at < GRANTED {
                let path = format!("tickets/{sn}/submit");
                client.v1(&path, COLLECTOR, json!({ "node": 4 })).await?;
            }
            reach_status(client, sn, "FINISHED").await?;
        }
        let (refused, by_polling) = (APPLICATIONS - GRANTED, APPLICATIONS - by_callback);
        Ok(SystemLine {
            name: "external",
            figures: json!({
                "applications": APPLICATIONS, "granted": GRANTED, "refused": refused,
                "by_callback": by_callback, "by_polling": by_polling,
            }),
            text: format!(
                "{APPLICATIONS} applications were decided in the ITSM of the head office: {GRANTED} granted, {refused} refused; \
                 {by_callback} decisions became known by a callback, {by_polling} by polling"
            ),
            look: "page /applications".into(),
            stand_in: format!(
                "the ITSM of the head office is a second desk in this program ({}), because the demo has no other ITSM",
                self.base
            ),
        })
    }

    /// Stops the second desk (the imitated ITSM).
    pub(super) async fn stop(self) {
        self.desk.stop().await;
    }

    /// Approves or rejects the ticket `sn` of the second desk through its BlueKing API.
    async fn decide(&self, sn: &str, is_granted: bool) -> Result<(), String> {
        let field = |key: &str, value: &str| json!({ "key": key, "value": value });
        let reject_remark = if is_granted { "" } else { "容量不足" };
        let fields = json!([
            field("approval_result", if is_granted { "true" } else { "false" }),
            field("can_use_independent_es_cluster", "false"),
            field("evaluate_remark", ""),
            field("reject_remark", reject_remark),
        ]);
        let decision = json!({
            "sn": sn, "operator": DECIDER, "state_id": 3, "action_type": "TRANSITION", "fields": fields,
        });
        self.office.must("operate_node", decision).await.map(drop)
    }

    /// Returns true if the main desk read the decision because of a callback from the second desk. Returns false if the
    /// main desk read the decision by regular polling.
    async fn is_by_callback(&self, application: &Value) -> Result<bool, String> {
        let main = self
            .main
            .as_ref()
            .ok_or("the main desk does not know the other desk")?;
        let id = application["id"].as_str().unwrap_or_default();
        let stream = format!("application-{id}");
        let loaded = main.ledger.load::<Application>(&stream).await;
        let loaded = loaded.map_err(|error| error.to_string())?;
        Ok(loaded.aggregate.0.step == Step::Confirm)
    }
}

/// Waits until the application (the request for approval) of a ticket fulfills the condition `is_met`. Returns the
/// application as JSON. If this takes too long, the error begins with the text `missing`.
async fn application(
    client: &Client,
    sn: &str,
    missing: &str,
    is_met: impl Fn(&Value) -> bool,
) -> Result<Value, String> {
    let list = "applications?page_size=100";
    until(client, "admin", list, missing, |listed| {
        let mut all = listed["applications"].as_array()?.iter();
        all.find(|one| one["ticket"] == sn && is_met(one)).cloned()
    })
    .await
}
