//! Adds notifications to the demo. The module starts a mail relay and a chat robot on this machine,
//! and stores the addresses of some approvers. At the end of the simulated day, the module returns
//! how many notifications and messages were sent, who was notified of which fact, which messages are
//! held, and one explanation.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::Moment;
use infra::clock::SystemClock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::day::Client;
use super::fakes::dingtalk::{PATH, Robot};
use super::fakes::smtp::Relay;
use super::{SystemLine, until};
use crate::App;
use crate::app::notifications::definitions::Definitions;
use crate::app::times;
use crate::queue::send::CHANNEL;

/// The access token and the signing secret of the imitated DingTalk robot. The token and the secret
/// are only for the demo.
const ROBOT: (&str, &str) = ("demo-robot", "SECdemo-robot");
/// Some approvers of the demo company: the user name and the addresses for notifications. The mail
/// relay of the demo refuses the address `nobody@...`.
const PEOPLE: [(&str, &str); 4] = [
    ("zhangsan", r#"{"email":"zhangsan@example.com"}"#),
    ("wangwu", r#"{"email":"wangwu@example.com"}"#),
    (
        "zhoujiu",
        r#"{"email":"zhoujiu@example.com","dingtalk":"dt-zhoujiu"}"#,
    ),
    ("wushi", r#"{"email":"nobody@example.com"}"#),
];
/// The approver who does not want to be disturbed, so that the desk holds the messages.
const UNDISTURBED: &str = "wangwu";
/// The time in milliseconds for which this approver is not disturbed: one day.
const UNDISTURBED_MS: i64 = 24 * 3_600_000;
/// The approver whose address the relay refuses. The demo prints the explanation of one notification of this approver.
const REFUSED: &str = "wushi";
/// Number of notifications of each approver that the demo reads, from the newest.
const READ_MAX: usize = 200;

/// The imitated mail relay and the imitated chat robot of the demo.
pub(super) struct Channels {
    relay: Arc<Relay>,
    robot: Arc<Robot>,
}

impl Channels {
    /// Starts the imitated mail relay and the imitated chat robot. Then defines two channel
    /// accounts (configured senders of messages). The account `mail` sends to the relay, and the
    /// account `robot` sends to the robot.
    pub(super) async fn start(app: &App) -> Result<Self, String> {
        let text = |error: std::io::Error| format!("cannot listen for messages: {error}");
        let mails = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let messages = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let port = mails.local_addr().map_err(text)?.port();
        let robot_address = messages.local_addr().map_err(text)?;
        let relay = Arc::new(Relay::new(Arc::new(SystemClock)));
        let robot = Arc::new(Robot::new(ROBOT.0, ROBOT.1, Arc::new(SystemClock)));
        tokio::spawn(relay.clone().serve(mails));
        tokio::spawn(robot.clone().serve(messages));
        let accounts = format!(
            "[[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"desk@example.com\"\n\n\
             [[account]]\nname = \"robot\"\nchannel = \"dingtalk_robot\"\nurl = \"http://{robot_address}{PATH}\"\n\n\
             [policy]\naccounts = [\"mail\", \"robot\"]\n"
        );
        let secret = json!({ "access_token": ROBOT.0, "secret": ROBOT.1 }).to_string();
        let name = format!("{CHANNEL}robot");
        let stored = app.ledger.keys.keep_secret(&name, secret.as_bytes());
        stored.await.map_err(|error| error.to_string())?;
        let stored = Definitions::read(&accounts)?.store(app).await;
        stored.map_err(|error| error.to_string())?;
        Ok(Self { relay, robot })
    }

    /// Stores the mail and chat addresses of some approvers through the API `/v1`. One of them does not want to be
    /// disturbed after the time `now`.
    pub(super) async fn introduce(&self, client: &Client, now: Moment) -> Result<(), String> {
        for (person, addresses) in PEOPLE {
            let addresses: Value = serde_json::from_str(addresses).unwrap_or_default();
            let path = format!("people/{person}/preferences");
            let mut preferences = json!({ "addresses": addresses, "aggregation": false });
            if person == UNDISTURBED {
                let until = times::rfc3339(now.plus_ms(UNDISTURBED_MS));
                preferences["do_not_disturb_until"] = until.into();
            }
            client.request("PUT", &path, person, preferences).await?;
        }
        Ok(())
    }

    /// Waits until every mail is sent or has failed. Messages for the chat robot can still wait,
    /// because the robot limits the number of messages per minute. Returns the numbers of
    /// notifications, mails and robot messages.
    pub(super) async fn summary(&self, client: &Client) -> Result<SystemLine, String> {
        let list = async |path: &str| client.request("GET", path, "admin", Value::Null).await;
        let is_waiting = |open: &Value| {
            let all = open["deliveries"].as_array().into_iter().flatten();
            all.filter(|delivery| delivery["account"] == "mail").count() > 0
        };
        let path = "deliveries?state=open&page_size=200";
        let missing = "the mails of the demo are not sent";
        let open = until(client, "admin", path, missing, |open| {
            (!is_waiting(open)).then(|| open.clone())
        })
        .await?;
        let all = list("notifications?page_size=1").await?["count"].clone();
        let inbox = list("notifications?state=inbox_only&page_size=1").await?["count"].clone();
        let refused = list("deliveries?state=failed&page_size=1").await?["count"].clone();
        let (mails, messages) = (self.relay.accepted().len(), self.robot.accepted().len());
        let waiting = open["count"].clone();
        let by_person = facts(client).await?;
        let held = held(client).await?;
        let why = why(client).await?;
        let text = format!(
            "{all} for {} people and other processors: {mails} mails, {messages} messages of the robot, {waiting} wait for its limit of 20 in one minute;\n              \
             {refused} mails were refused by the relay, {inbox} notifications are in the inbox only{}{}{}",
            PEOPLE.len(),
            lines("facts of each person", &by_person),
            lines("held", &held),
            lines("why", &why),
        );
        let report = json!({
            "notifications": all, "mails": mails, "robot_messages": messages, "waiting": waiting,
            "refused": refused, "inbox_only": inbox, "by_person": by_person, "held": held, "why": why,
        });
        Ok(SystemLine {
            name: "notified",
            figures: report,
            text,
            look: "page /deliveries, or: GET /v1/notifications/{id}/why".into(),
            stand_in: "the mail relay and the chat robot are replacements in this program".into(),
        })
    }
}

/// Returns the lines below a heading, as the printed summary shows them.
fn lines(heading: &str, lines: &[String]) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("\n                {line}"))
        .collect();
    format!("\n              {heading}:{}", lines.concat())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Returns the newest notifications of a person.
async fn inbox(client: &Client, person: &str) -> Result<Vec<Value>, String> {
    let path = format!("inbox/{person}?page_size={READ_MAX}");
    let page = client.request("GET", &path, "admin", Value::Null).await?;
    Ok(page["notifications"]
        .as_array()
        .cloned()
        .unwrap_or_default())
}

/// Returns one line for each approver with the facts of which this approver was notified, and their numbers.
async fn facts(client: &Client) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for (person, _) in PEOPLE {
        let mut facts: BTreeMap<String, u32> = BTreeMap::new();
        for notification in inbox(client, person).await? {
            *facts
                .entry(text(&notification, "fact").to_owned())
                .or_default() += 1;
        }
        let facts: Vec<String> = facts
            .iter()
            .map(|(fact, count)| format!("{count} {fact}"))
            .collect();
        all.push(format!("{person}: {}", facts.join(", ")));
    }
    Ok(all)
}

/// Returns one line about the held messages of the approver who is not disturbed, and one line about the newest of
/// them.
async fn held(client: &Client) -> Result<Vec<String>, String> {
    let all = inbox(client, UNDISTURBED).await?;
    let held: Vec<&Value> = all.iter().filter(|one| one["state"] == "held").collect();
    let mut lines = vec![format!("{UNDISTURBED}: {} messages", held.len())];
    lines.extend(held.first().map(|newest| {
        format!(
            "the newest: {} of {}, until {}, because: {}",
            text(newest, "fact"),
            text(newest, "ticket"),
            text(newest, "held_until"),
            text(newest, "held_because"),
        )
    }));
    Ok(lines)
}

/// Returns the explanation of one notification, one step in each line. The list is empty if the approver got no
/// notification.
async fn why(client: &Client) -> Result<Vec<String>, String> {
    let all = inbox(client, REFUSED).await?;
    let Some(oldest) = all.last() else {
        return Ok(Vec::new());
    };
    let id = text(oldest, "id");
    let path = format!("notifications/{id}/why?language=en");
    let shown = client.request("GET", &path, "admin", Value::Null).await?;
    let mut lines = vec![format!("{id} of {REFUSED}")];
    let steps = shown["steps"].as_array().into_iter().flatten();
    lines.extend(steps.map(|step| format!("{} {}", text(step, "at"), text(step, "text"))));
    Ok(lines)
}
