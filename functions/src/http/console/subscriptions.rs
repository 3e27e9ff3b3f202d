//! Shows the subscriptions that a person made, and adds and removes them. A subscription notifies the person of tickets that
//! meet a condition and that the person may read.

use askama::Template;
use axum::http::StatusCode;
use domain::notification::own_subscription::{
    Command, OwnSubscription, OwnSubscriptions, Rejection, stream,
};
use events::notification_policy::Occasion;
use events::person::Language;
use serde_json::{Map, Value, json};

use super::frame::{Failure, Frame, html, redirect};
use super::request::{Form, Visit};
use super::{Action, Outcome, Page};
use crate::app::definition_files::check_name;
use crate::app::notifications::own_subscriptions::{self, MOST, NotChanged};

/// The operators of a condition that the form offers.
const OPERATORS: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];
/// The beginning of the names of the form fields with the occasions.
const OCCASION: &str = "on_";

pub(super) const PAGE: Page = Page {
    name: "subscriptions",
    path: "/subscriptions",
    label: Some(|texts| texts.subscriptions),
    is_for_superusers: false,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { version(&visit).await }),
    actions: &[
        Action {
            path: "/subscriptions/add",
            run: |visit, form| Box::pin(async move { add(&visit, &form).await }),
        },
        Action {
            path: "/subscriptions/remove",
            run: |visit, form| Box::pin(async move { remove(&visit, &form).await }),
        },
    ],
};

/// A subscription of the list.
struct Row {
    name: String,
    occasions: String,
    /// The entries of the condition, such as `ticket_priority >= "3"`.
    clauses: Vec<String>,
    state: &'static str,
    class: &'static str,
}

/// An occasion that the form offers.
struct Choice {
    /// The name of the form field.
    field: String,
    label: &'static str,
    is_chosen: bool,
}

/// An operator that the form offers.
struct Sign {
    sign: &'static str,
    is_chosen: bool,
}

/// The values that the person entered before an action failed. The page shows them again.
#[derive(Default)]
struct Filled {
    name: String,
    occasions: Vec<&'static str>,
    key: String,
    operator: String,
    value: String,
    is_number: bool,
}

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct SubscriptionsPage {
    frame: Frame,
    own: &'static Texts,
    rows: Vec<Row>,
    choices: Vec<Choice>,
    signs: Vec<Sign>,
    filled: Filled,
}

/// The fixed texts of the page in one language.
struct Texts {
    heading: &'static str,
    hint: &'static str,
    empty: &'static str,
    name: &'static str,
    name_hint: &'static str,
    occasions: &'static str,
    condition: &'static str,
    condition_hint: &'static str,
    key: &'static str,
    operator: &'static str,
    value: &'static str,
    number: &'static str,
    status: &'static str,
    active: &'static str,
    paused: &'static str,
    all_tickets: &'static str,
    add_heading: &'static str,
    add: &'static str,
    remove: &'static str,
    added: &'static str,
    removed: &'static str,
    occasion: fn(Occasion) -> &'static str,
    wrong_name: &'static str,
    no_occasion: &'static str,
    wrong_condition: &'static str,
    too_many: fn(usize) -> String,
    unknown: &'static str,
}

static CHINESE: Texts = Texts {
    heading: "我的订阅",
    hint: "工单发生所选的事件且满足条件时，您会收到通知。您无权查看的工单不会产生通知。",
    empty: "您还没有订阅。",
    name: "名称",
    name_hint: "小写字母、数字和下划线。名称相同的订阅会被替换。",
    occasions: "事件",
    condition: "条件",
    condition_hint: "不填写变量时，所有工单都满足条件。变量可以是 ticket_priority 或表单字段的键。",
    key: "变量",
    operator: "比较方式",
    value: "值",
    number: "按数字比较",
    status: "状态",
    active: "有效",
    paused: "已暂停",
    all_tickets: "所有工单",
    add_heading: "添加订阅",
    add: "添加订阅",
    remove: "删除",
    added: "订阅已保存。",
    removed: "订阅已删除。",
    occasion: |occasion| match occasion {
        Occasion::Waiting => "等待处理",
        Occasion::PriorityChanged => "优先级变更",
        Occasion::Changed => "内容变更",
        Occasion::Escalated => "升级",
        Occasion::Suspended => "挂起",
        Occasion::Resumed => "恢复",
        Occasion::Failed => "自动节点失败",
        Occasion::Ended => "结束",
    },
    wrong_name: "名称只能包含小写字母、数字和下划线，且不能为空或过长。",
    no_occasion: "请至少选择一个事件。",
    wrong_condition: "条件的变量或值过长，请缩短。",
    too_many: |most| format!("最多可以有 {most} 个订阅。请先删除一个。"),
    unknown: "没有这个订阅，可能已被删除。",
};

static ENGLISH: Texts = Texts {
    heading: "My subscriptions",
    hint: "You get a notification if one of the chosen events happens to a ticket that meets the condition. A ticket that you may not read causes none.",
    empty: "You have no subscriptions.",
    name: "Name",
    name_hint: "Lower-case letters, digits and underscores. A subscription with the same name is replaced.",
    occasions: "Events",
    condition: "Condition",
    condition_hint: "Without a variable, every ticket meets the condition. A variable is ticket_priority or the key of a form field.",
    key: "Variable",
    operator: "Comparison",
    value: "Value",
    number: "Compare as numbers",
    status: "Status",
    active: "active",
    paused: "paused",
    all_tickets: "all tickets",
    add_heading: "Add a subscription",
    add: "Add the subscription",
    remove: "Remove",
    added: "The subscription was stored.",
    removed: "The subscription was removed.",
    occasion: |occasion| match occasion {
        Occasion::Waiting => "a node waits for people",
        Occasion::PriorityChanged => "the priority changed",
        Occasion::Changed => "the content changed",
        Occasion::Escalated => "escalated",
        Occasion::Suspended => "suspended",
        Occasion::Resumed => "resumed",
        Occasion::Failed => "an automatic node failed",
        Occasion::Ended => "ended",
    },
    wrong_name: "The name must have lower-case letters, digits and underscores, and must be neither empty nor too long.",
    no_occasion: "Choose at least one event.",
    wrong_condition: "The variable or the value of the condition is too long.",
    too_many: |most| {
        format!("A person can have at most {most} subscriptions. Remove one of them first.")
    },
    unknown: "This subscription does not exist. Possibly it was removed already.",
};

fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

async fn version(visit: &Visit) -> Result<String, Failure> {
    let stream = stream(&visit.session.person);
    let loaded = visit.app().ledger.load::<OwnSubscriptions>(&stream).await?;
    Ok(loaded.next.to_string())
}

async fn show(visit: &Visit) -> Outcome {
    let own = texts(visit.guest.language);
    let notice = match visit.guest.asked_for("notice") {
        Some("added") => Some(own.added),
        Some("removed") => Some(own.removed),
        _ => None,
    };
    let page = page(visit, Filled::default()).await?;
    let page = SubscriptionsPage {
        frame: Frame {
            notice,
            ..page.frame
        },
        ..page
    };
    Ok(html(StatusCode::OK, visit.texts(), &page))
}

/// Shows the page again with the reason why an action was not completed.
async fn not_done(visit: &Visit, status: StatusCode, problem: String, filled: Filled) -> Outcome {
    let page = page(visit, filled).await?;
    let page = SubscriptionsPage {
        frame: Frame {
            problem: Some(problem),
            ..page.frame
        },
        ..page
    };
    Ok(html(status, visit.texts(), &page))
}

async fn page(visit: &Visit, filled: Filled) -> Result<SubscriptionsPage, Failure> {
    let own = texts(visit.guest.language);
    // The version is read before the list, so the page is never older than its version.
    let version = version(visit).await?;
    let list = own_subscriptions::list(visit.app(), &visit.session.person).await?;
    let choices = Occasion::ALL.map(|occasion| Choice {
        field: format!("{OCCASION}{}", occasion.name()),
        label: (own.occasion)(occasion),
        is_chosen: filled.occasions.contains(&occasion.name()),
    });
    let signs = OPERATORS.map(|sign| Sign {
        sign,
        is_chosen: filled.operator == sign,
    });
    Ok(SubscriptionsPage {
        frame: Frame {
            here: PAGE.path.to_owned(),
            ..Frame::of(visit).with_live(visit.app(), PAGE.name, "", version)
        },
        own,
        rows: list.into_iter().map(|one| row(own, one)).collect(),
        choices: choices.into(),
        signs: signs.into(),
        filled,
    })
}

fn row(own: &Texts, subscription: OwnSubscription) -> Row {
    let labels: Vec<&str> = subscription
        .on
        .iter()
        .map(|occasion| (own.occasion)(*occasion))
        .collect();
    let clauses = subscription.when.expressions.iter();
    Row {
        occasions: labels.join(", "),
        clauses: clauses
            .map(|clause| {
                let sign = clause.condition.sign();
                format!("{} {sign} {}", clause.key, clause.value)
            })
            .collect(),
        state: if subscription.is_paused {
            own.paused
        } else {
            own.active
        },
        class: if subscription.is_paused {
            "paused"
        } else {
            "good"
        },
        name: subscription.name,
    }
}

fn filled(form: &Form) -> Filled {
    let chosen = Occasion::NAMES.iter().copied();
    let chosen = chosen.filter(|name| !form.text(&format!("{OCCASION}{name}")).is_empty());
    Filled {
        name: form.text("name").trim().to_owned(),
        occasions: chosen.collect(),
        key: form.text("key").trim().to_owned(),
        operator: form.text("operator"),
        value: form.text("value"),
        is_number: !form.text("is_number").is_empty(),
    }
}

/// Returns the members of the subscription as in the body of a request to `/v1`.
fn body(filled: &Filled) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("on".into(), json!(filled.occasions));
    if !filled.key.is_empty() {
        let kind = if filled.is_number { "INT" } else { "STRING" };
        let clause = json!({
            "key": filled.key,
            "operator": filled.operator,
            "value": filled.value,
            "type": kind,
        });
        body.insert("when".into(), json!([clause]));
    }
    body
}

async fn add(visit: &Visit, form: &Form) -> Outcome {
    let own = texts(visit.guest.language);
    let filled = filled(form);
    let bad = StatusCode::BAD_REQUEST;
    if check_name("subscription", &filled.name).is_err() {
        return not_done(visit, bad, own.wrong_name.to_owned(), filled).await;
    }
    if !filled.key.is_empty() && !OPERATORS.contains(&filled.operator.as_str()) {
        return Err(Failure::BadForm);
    }
    let subscription = match own_subscriptions::read(&filled.name, &body(&filled)) {
        Ok(subscription) => subscription,
        Err(wrong) => {
            let problem = if wrong.field == "/on" {
                own.no_occasion
            } else {
                own.wrong_condition
            };
            return not_done(visit, bad, problem.to_owned(), filled).await;
        }
    };
    let person = &visit.session.person;
    let command = Command::Put {
        person: person.clone(),
        subscription,
        by: person.clone(),
    };
    changed(visit, &command, "added", filled).await
}

async fn remove(visit: &Visit, form: &Form) -> Outcome {
    let command = Command::Remove {
        name: form.text("name"),
        by: visit.session.person.clone(),
    };
    changed(visit, &command, "removed", Filled::default()).await
}

/// Executes a command, and redirects the browser to the page.
async fn changed(visit: &Visit, command: &Command, notice: &str, filled: Filled) -> Outcome {
    let own = texts(visit.guest.language);
    let (app, person) = (visit.app(), &visit.session.person);
    match own_subscriptions::change(app, person, command, visit.meta()).await {
        Ok(_) => Ok(redirect(&format!("{}?notice={notice}", PAGE.path))),
        Err(NotChanged::Technical(error)) => Err(error.into()),
        Err(NotChanged::Rejected(Rejection::TooMany)) => {
            let problem = (own.too_many)(MOST);
            not_done(visit, StatusCode::CONFLICT, problem, filled).await
        }
        Err(NotChanged::Rejected(Rejection::Unknown(_))) => {
            let problem = own.unknown.to_owned();
            not_done(visit, StatusCode::NOT_FOUND, problem, filled).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_the_body_of_a_request() {
        let filled = Filled {
            occasions: vec!["ended"],
            key: "ticket_priority".into(),
            operator: ">=".into(),
            value: "3".into(),
            is_number: true,
            ..Filled::default()
        };
        let read = own_subscriptions::read("mine", &body(&filled)).expect("valid");
        assert_eq!(read.on, [Occasion::Ended]);
        assert_eq!(row(&ENGLISH, read).clauses, ["ticket_priority >= \"3\""]);
        let every = Filled {
            occasions: vec!["ended"],
            ..Filled::default()
        };
        let read = own_subscriptions::read("mine", &body(&every)).expect("valid");
        assert!(read.when.expressions.is_empty());
        let none = body(&Filled::default());
        let wrong = own_subscriptions::read("mine", &none).expect_err("refused");
        assert_eq!(wrong.field, "/on");
    }
}
