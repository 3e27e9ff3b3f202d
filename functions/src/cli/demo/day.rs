//! Simulates a working day for the demo. Simulated people submit, approve, transfer and withdraw
//! tickets through the BlueKing API.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::ProgressBar;
use infra::clock::{Rng, SeededRng};
use infra::http::client::Client as HttpClient;
use infra::http::{HttpClient as _, HttpRequest};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The longest time that the simulation waits for a response of the service desk.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest size of a response that the simulation accepts, in bytes.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// The number of tickets that the simulation processes at the same time.
const AT_ONCE: usize = 16;
/// The largest number of actions that the simulation performs to process one ticket. A ticket that
/// needs more actions stays open.
const STEPS_MAX: usize = 30;
const REQUESTERS: [&str; 8] = [
    "lisi", "chenwen", "chuyi", "weier", "jiangsan", "shenwu", "hanliu", "yangqi",
];

/// The totals of the simulated day. The simulation itself counts its actions, and does not read
/// these totals from the service desk.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) refused: u64,
    pub(super) ended_with_callback: u64,
    pub(super) example: String,
}

/// An HTTP client that calls the BlueKing API and the API `/v1`.
#[derive(Clone)]
pub(super) struct Client {
    http: HttpClient,
    base: String,
    app: (&'static str, &'static str),
    callback_url: String,
}

impl Client {
    pub(super) fn new(
        base: &str,
        app: (&'static str, &'static str),
        callback_url: &str,
    ) -> Result<Self, infra::Error> {
        Ok(Self {
            http: HttpClient::trusted()?,
            base: base.to_owned(),
            app,
            callback_url: callback_url.to_owned(),
        })
    }

    /// Sends a request, and returns the status and the body of the response.
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<(u16, Value), String> {
        let request = HttpRequest {
            method: method.into(),
            url: format!("{}/{path}", self.base),
            headers,
            body,
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        };
        let response = self
            .http
            .send(&request)
            .await
            .map_err(|error| format!("{path}: {error}"))?;
        let status = response.status;
        let answer = serde_json::from_slice(&response.body)
            .map_err(|error| format!("{path} returned {status}: {error}"))?;
        Ok((status, answer))
    }

    /// Calls an operation of the BlueKing API and returns the whole response object.
    async fn call(&self, operation: &str, mut body: Value) -> Result<Value, String> {
        body["bk_app_code"] = self.app.0.into();
        body["bk_app_secret"] = self.app.1.into();
        let path = format!("api/c/compapi/v2/itsm/{operation}/");
        let posted = self
            .send("POST", &path, Vec::new(), body.to_string().into_bytes())
            .await?;
        Ok(posted.1)
    }

    /// Calls an operation of the BlueKing API and returns the data in the response. Returns an
    /// error if the service desk rejects the call.
    pub(super) async fn must(&self, operation: &str, body: Value) -> Result<Value, String> {
        let envelope = self.call(operation, body.clone()).await?;
        if envelope["result"] == true {
            Ok(envelope["data"].clone())
        } else {
            Err(format!(
                "{operation} {body} was rejected: {}",
                envelope["message"]
            ))
        }
    }

    /// Sends a POST request of a user to the API `/v1`. Returns an error if the service desk
    /// rejects the request.
    pub(super) async fn v1(&self, path: &str, user: &str, body: Value) -> Result<Value, String> {
        self.request("POST", path, user, body).await
    }

    /// Sends a request of a user to the API `/v1`. A null body means that the request has no body. Returns
    /// an error if the service desk rejects the request.
    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        user: &str,
        body: Value,
    ) -> Result<Value, String> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.accepted(method, path, self.headers(user), body).await
    }

    /// Sends a POST request of a user to the API `/v1`. Returns an error if the response does not have status 403
    /// (the user is not allowed to do this).
    pub(super) async fn forbidden(
        &self,
        path: &str,
        user: &str,
        body: Value,
    ) -> Result<(), String> {
        let body = body.to_string().into_bytes();
        let (status, answer) = self
            .send("POST", &format!("v1/{path}"), self.headers(user), body)
            .await?;
        if status == 403 {
            Ok(())
        } else {
            Err(format!(
                "{path} by {user} should have been forbidden, but returned {status}: {answer}"
            ))
        }
    }

    /// Deploys a workflow, and creates a service with the name of the workflow. `more` contains additional JSON members
    /// of the service. These members replace the default members with the same name. Returns the id of the service.
    pub(super) async fn publish(&self, definition: Value, more: Value) -> Result<Value, String> {
        let name = definition["name"].clone();
        let draft = json!({ "definition": definition });
        let workflow = self.v1("workflows", "admin", draft).await?["workflow"].clone();
        let path = format!("workflows/{workflow}/deploy");
        let deployed = self.v1(&path, "admin", json!({})).await?;
        let mut service = json!({
            "kind": "request", "name": name, "catalog": 4, "workflow": workflow,
            "version": deployed["version"],
        });
        if let (Some(members), Value::Object(more)) = (service.as_object_mut(), more) {
            members.extend(more);
        }
        Ok(self.v1("services", "admin", service).await?["service"].clone())
    }

    /// Uploads a file for a user. Returns an error if the service desk rejects the file.
    pub(super) async fn upload(
        &self,
        name: &str,
        user: &str,
        bytes: &'static [u8],
    ) -> Result<Value, String> {
        let path = format!("attachments?name={}", domain::placeholder::percent(name));
        let mut headers = self.headers(user);
        headers.push(("content-type".into(), "text/plain".into()));
        self.accepted("POST", &path, headers, bytes.to_vec()).await
    }

    fn headers(&self, user: &str) -> Vec<(String, String)> {
        let credentials = STANDARD.encode(format!("{}:{}", self.app.0, self.app.1));
        vec![
            ("authorization".into(), format!("Basic {credentials}")),
            ("x-on-behalf-of".into(), user.to_owned()),
        ]
    }

    async fn accepted(
        &self,
        method: &str,
        path: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Value, String> {
        let (status, answer) = self
            .send(method, &format!("v1/{path}"), headers, body)
            .await?;
        if (200..300).contains(&status) {
            Ok(answer)
        } else {
            Err(format!("{path} was rejected: {}", answer["detail"]))
        }
    }
}

/// A random number generator. Two generators with the same seed produce the same numbers and
/// therefore the same simulated day.
struct Dice(SeededRng);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes) % bound
    }
    fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
    fn pick<'a>(&self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or_default()]
    }
}

/// Simulates all tickets of the day and returns the totals.
pub(super) async fn drive(
    client: &Client,
    seed: u64,
    tickets: u64,
    bar: &ProgressBar,
) -> Result<Tally, String> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for number in 0..tickets {
        let (client, slots) = (client.clone(), slots.clone());
        runs.spawn(async move {
            let _slot = slots.acquire().await;
            TicketRun {
                client,
                dice: Dice(SeededRng::new(seed << 32 | number)),
                refused: 0,
            }
            .run()
            .await
        });
    }
    let mut tally = Tally::default();
    while let Some(run) = runs.join_next().await {
        let (sn, refused, ended) = run.map_err(|error| error.to_string())??;
        tally.refused += refused;
        tally.ended_with_callback += u64::from(ended);
        tally.example = tally.example.max(sn);
        bar.inc(1);
    }
    Ok(tally)
}

/// The simulation of one ticket. The simulation performs the actions of all people who work on this
/// ticket.
struct TicketRun {
    client: Client,
    dice: Dice,
    refused: u64,
}

impl TicketRun {
    async fn run(mut self) -> Result<(String, u64, bool), String> {
        let creator = self.dice.pick(&REQUESTERS);
        let (service, fields) = self.service_and_form();
        let body = json!({ "service_id": service, "creator": creator, "fields": fields, "meta": { "callback_url": self.client.callback_url } });
        let created = self.client.must("create_ticket", body).await?;
        let sn = created["sn"].as_str().unwrap_or_default().to_owned();
        if self.dice.percent(4) {
            self.client
                .must(
                    "operate_ticket",
                    json!({ "sn": sn, "operator": creator, "action_type": "WITHDRAW" }),
                )
                .await?;
            return Ok((sn, self.refused, true));
        }
        for _ in 0..STEPS_MAX {
            let status = self
                .client
                .must("get_ticket_status", json!({ "sn": sn }))
                .await?;
            if status["current_status"] != "RUNNING" {
                return Ok((sn, self.refused, true));
            }
            if self.dice.percent(3) {
                // Before each action, the simulation of the ticket ends with a probability of 3
                // percent. The ticket then stays open.
                return Ok((sn, self.refused, false));
            }
            let Some(step) = status["current_steps"]
                .as_array()
                .and_then(|steps| steps.first())
                .cloned()
            else {
                break;
            };
            self.handle(&sn, &step).await?;
        }
        Ok((sn, self.refused, false))
    }

    /// Selects a random service. Returns the id of this service and the values for its form. Most
    /// of the selected services are service requests and incidents.
    fn service_and_form(&self) -> (i64, Value) {
        let dice = &self.dice;
        let level = || (1 + dice.below(3)).to_string();
        let field = |key: &str, value: Value| json!({ "key": key, "value": value });
        match dice.below(100) {
            0..5 => (17, json!([field("title", "框架合同续签".into())])),
            5..35 => (
                22,
                json!([
                    field(
                        "title",
                        format!(
                            "申请{}",
                            dice.pick(&[
                                "堡垒机权限",
                                "测试环境扩容",
                                "域名解析",
                                "邮件组",
                                "对象存储桶"
                            ])
                        )
                        .into()
                    ),
                    field("apply_content", "按附件清单开通，使用到项目结束".into()),
                    field("apply_reason", "项目上线需要".into()),
                    field("impact", level().into()),
                    field("urgency", level().into()),
                    field(
                        "ZHIDINGSHENPIREN",
                        dice.pick(&["zhangsan", "wangwu,zhoujiu", "wushi"]).into()
                    ),
                    field("LIANXIDIANHUA", "13800000000".into()),
                ]),
            ),
            35..50 => (
                18,
                json!([
                    field("title", "日志平台容量评估".into()),
                    field("bk_biz_id", 2.into()),
                    field("expect_access_data", "2026-12-01".into()),
                    field("single_log_size", 512.into()),
                    field("single_host_peak", json!(128.5)),
                    field("single_host_log_volume", 20.into()),
                    field("expect_host_size", (10 + dice.below(500)).into()),
                    field("log_keep_days", 14.into()),
                    field("hot_data_days", 7.into()),
                    field("apply_reason", "新业务接入".into()),
                ]),
            ),
            50..75 => (
                19,
                json!([
                    field(
                        "title",
                        format!(
                            "{}异常",
                            dice.pick(&["订单接口", "支付回调", "登录页", "报表任务", "办公网络"])
                        )
                        .into()
                    ),
                    field("impact", level().into()),
                    field("urgency", level().into()),
                    field(
                        "GUZHANGLEIXING",
                        dice.pick(&["DNS", "VPN", "DISK", "CPU"]).into()
                    ),
                    field("GUZHANGMIAOSHU", "<p>十点起大量超时</p>".into()),
                    field(
                        "YINGXIANGZHUJI",
                        json!([{ "IP": "10.0.0.8", "STATE": "SLOW" }])
                    ),
                ]),
            ),
            75..90 => (
                20,
                json!([
                    field(
                        "title",
                        format!("{}发布", dice.pick(&["订单服务", "网关", "报表"])).into()
                    ),
                    field("impact", level().into()),
                    field("urgency", level().into()),
                    field(
                        "BIANGENGLEIXING",
                        dice.pick(&["APP", "APP,CONF", "DB"]).into()
                    ),
                    field("BIANGENGSHIJIAN", "2026-11-25 23:00:00".into()),
                    field("BIANGENGFANGAN", "灰度两批，失败回滚".into()),
                ]),
            ),
            _ => (
                21,
                json!([
                    field("title", "接口超时根因".into()),
                    field("WENTIMIAOSHU", "一周内三次".into())
                ]),
            ),
        }
    }

    async fn handle(&mut self, sn: &str, step: &Value) -> Result<(), String> {
        let people: Vec<String> = step["processors"]
            .as_str()
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
            .collect();
        let person = if step["name"] == "逐级审核" {
            people[0].clone()
        } else {
            people[usize::try_from(self.dice.below(people.len() as u64)).unwrap_or_default()]
                .clone()
        };
        let node = &step["state_id"];
        let request = |action: &str| json!({ "sn": sn, "operator": person, "state_id": node, "action_type": action });
        if self.dice.percent(3) {
            // A person without permission tries to process the ticket. The service desk must reject
            // this request.
            let mut body = request("TRANSITION");
            body["operator"] = "luren".into();
            body["fields"] = json!([]);
            self.expect_rejection("operate_node", body).await?;
        }
        match step["action_type"].as_str().unwrap_or_default() {
            "CLAIM" => self
                .client
                .must("operate_node", request("CLAIM"))
                .await
                .map(drop),
            "DISTRIBUTE" => {
                let mut body = request("DISTRIBUTE");
                body["processors_type"] = "PERSON".into();
                body["processors"] = self
                    .dice
                    .pick(&["zhangsan", "wangwu", "wangwu,zhaoliu"])
                    .into();
                self.client.must("operate_node", body).await.map(drop)
            }
            _ => self.submit(sn, step, &person, request("TRANSITION")).await,
        }
    }

    /// Simulates the action of a person on a node that waits for this person. In most cases, the
    /// person submits the form of the node.
    ///
    /// In some cases, the ticket is suspended and resumed before this action. In other cases, the
    /// person terminates or transfers the node and does not submit the form.
    async fn submit(
        &mut self,
        sn: &str,
        step: &Value,
        person: &str,
        mut body: Value,
    ) -> Result<(), String> {
        let can = |action: &str| {
            step["operations"].as_array().is_some_and(|operations| {
                operations
                    .iter()
                    .any(|operation| operation["key"] == action)
            })
        };
        if self.dice.percent(5) {
            let suspend = |action: &str| json!({ "sn": sn, "operator": person, "action_type": action, "action_message": "等待窗口" });
            self.client
                .must("operate_ticket", suspend("SUSPEND"))
                .await?;
            self.expect_rejection("operate_ticket", suspend("SUSPEND"))
                .await?;
            self.client
                .must("operate_ticket", suspend("UNSUSPEND"))
                .await?;
        }
        if self.dice.percent(3) && can("TERMINATE") {
            body["action_type"] = "TERMINATE".into();
            body["action_message"] = "重复提单".into();
            return self.client.must("operate_node", body).await.map(drop);
        }
        if self.dice.percent(4) && can("DELIVER") && step["name"] != "变更会签" {
            body["action_type"] = "DELIVER".into();
            body["processors_type"] = "PERSON".into();
            body["processors"] = if step["name"] == "根因分析" {
                "zhengshi"
            } else {
                "wangwu"
            }
            .into();
            body["action_message"] = "今天休假".into();
            return self.client.must("operate_node", body).await.map(drop);
        }
        body["fields"] = self.form(step);
        self.client.must("operate_node", body).await.map(drop)
    }

    /// Returns simulated form values for a node. Most decisions are positive.
    fn form(&self, step: &Value) -> Value {
        let is_positive = self.dice.percent(82);
        let fields = step["fields"].as_array().cloned().unwrap_or_default();
        let value = |field: &Value| -> Value {
            let key = field["key"].as_str().unwrap_or_default();
            let choices = field["choice"].as_array().cloned().unwrap_or_default();
            match field["type"].as_str().unwrap_or_default() {
                // In all forms of the demo company, the first option of a radio field means
                // approval.
                "RADIO" => choices[usize::from(!is_positive)]["key"].clone(),
                "SELECT" | "CHECKBOX" | "MULTISELECT" => choices
                    .first()
                    .map(|choice| choice["key"].clone())
                    .unwrap_or_default(),
                "DATETIME" => "2026-11-26 23:00:00".into(),
                _ if key.ends_with("_BEIZHU") || key == "evaluate_remark" => {
                    if is_positive { "同意" } else { "" }.into()
                }
                _ if key.ends_with("_LIYOU") || key == "reject_remark" => {
                    if is_positive { "" } else { "材料不全" }.into()
                }
                _ => "已处理".into(),
            }
        };
        fields
            .iter()
            .map(|field| json!({ "key": field["key"], "value": value(field) }))
            .collect()
    }

    async fn expect_rejection(&mut self, operation: &str, body: Value) -> Result<(), String> {
        let envelope = self.client.call(operation, body).await?;
        if envelope["result"] != false {
            return Err(format!("{operation} should have been rejected: {envelope}"));
        }
        self.refused += 1;
        Ok(())
    }
}
