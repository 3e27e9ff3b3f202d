//! Writes the message of a notification in the language of the person who gets the message.

use domain::notification::chat_group::of_ticket::is_confidential;
use domain::notification::content::{Content, Link, labelled, one_line};
use domain::permission::Operation;
use domain::ticket::Ticket;
use domain::views::ticket_card::TicketCard;
use events::Moment;
use events::notification::{Fact, Matter, Requested, Role};
use events::person::Language;
use events::preference::Category;
use events::workflow::Choice;
use infra::Error;
use jiff::tz::TimeZone;

use super::ticket_context::TicketContext;
use crate::App;
use crate::app::{tickets, times};

/// The fixed texts of notification messages in one language. Each message consists of these texts and of
/// values of the ticket.
pub(super) struct Texts {
    greeting: fn(&str, &str) -> String,
    pub(super) title: &'static str,
    pub(super) number: &'static str,
    pub(super) service: &'static str,
    pub(super) priority: &'static str,
    pub(super) node: &'static str,
    created: &'static str,
    account: &'static str,
    deliveries: &'static str,
    pub(super) link: &'static str,
    chain: &'static str,
    chain_link: &'static str,
    closing: fn(Role, &str) -> String,
}

const CHINESE: Texts = Texts {
    greeting: |name, text| format!("{name}，您好。{text}"),
    title: "标题",
    number: "单号",
    service: "服务",
    priority: "优先级",
    node: "节点",
    created: "提单时间",
    account: "渠道账号",
    deliveries: "查看投递记录",
    link: "查看工单",
    chain: "升级链",
    chain_link: "查看有问题的步骤",
    closing: |role, node| match (role, node) {
        (Role::Processor, "") => "您收到此消息，是因为您是该工单的处理人。".into(),
        (Role::Processor, node) => format!("您收到此消息，是因为您是节点“{node}”的处理人。"),
        (Role::Requester, _) => "您收到此消息，是因为您是提单人。".into(),
        (Role::Follower, _) => "您收到此消息，是因为您关注了该工单。".into(),
        (Role::Mentioned, _) => "您收到此消息，是因为评论中提到了您。".into(),
        (Role::Operator, _) => "您收到此消息，是因为通知策略将您列为运维人员。".into(),
        (Role::OnCall, _) => "您收到此消息，是因为您正在值班，或升级链指定了您。".into(),
        (Role::Approver, _) => "您收到此消息，是因为您可以批准脚本的执行。".into(),
        (Role::Subscriber, name) => {
            format!("您收到此消息，是因为通知策略的订阅“{name}”包含您。")
        }
        (Role::OwnSubscriber, name) => {
            format!("您收到此消息，是因为您自己创建了订阅“{name}”。")
        }
    },
};

const ENGLISH: Texts = Texts {
    greeting: |name, text| format!("Hello {name}, {text}"),
    title: "Title",
    number: "Number",
    service: "Service",
    priority: "Priority",
    node: "Step",
    created: "Created",
    account: "Channel account",
    deliveries: "Open the deliveries",
    link: "Open the ticket",
    chain: "Escalation chain",
    chain_link: "List the steps",
    closing: |role, node| {
        match (role, node) {
        (Role::Processor, "") => {
            "You receive this message because the ticket waits for you.".into()
        }
        (Role::Processor, node) => {
            format!("You receive this message because the node \"{node}\" waits for you.")
        }
        (Role::Requester, _) => {
            "You receive this message because the ticket was opened by you or for you.".into()
        }
        (Role::Follower, _) => "You receive this message because you follow the ticket.".into(),
        (Role::Mentioned, _) => "You receive this message because a comment mentions you.".into(),
        (Role::Operator, _) => {
            "You receive this message because the notification policy names you as an operator."
                .into()
        }
        (Role::OnCall, _) => {
            "You receive this message because you are on call, or because an escalation chain names you."
                .into()
        }
        (Role::Approver, _) => {
            "You receive this message because you may approve the execution of a script.".into()
        }
        (Role::Subscriber, name) => {
            format!(
                "You receive this message because the subscription \"{name}\" of the notification \
                 policy names you."
            )
        }
        (Role::OwnSubscriber, name) => {
            format!("You receive this message because you made the subscription \"{name}\".")
        }
    }
    },
};

/// Returns the fixed texts in a language.
pub(super) fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

/// Returns the title of a ticket as one line. The text is empty if the title is encrypted, or if the service of the ticket
/// requires encrypted free text.
pub(super) fn title(ticket: &Ticket) -> String {
    let is_personal = ticket
        .form
        .get("title")
        .is_some_and(|entry| entry.personal.is_some());
    if is_confidential(ticket) || is_personal {
        String::new()
    } else {
        one_line(&ticket.title())
    }
}

/// Returns the title of the ticket of a notification, as the recipient may see it. Returns `None` if the notification has no
/// ticket, if the title is encrypted, or if the recipient may not read the ticket any more.
pub async fn title_for(app: &App, requested: &Requested) -> Result<Option<String>, Error> {
    let sn = &requested.ticket;
    if sn.as_str().is_empty() || !requested.fact.concerns_ticket() {
        return Ok(None);
    }
    let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
    let may_read = tickets::may(app, Operation::ReadTicket, &ticket, &requested.person).await?;
    let title = if may_read {
        title(&ticket)
    } else {
        String::new()
    };
    Ok(Some(title).filter(|title| !title.is_empty()))
}

/// Returns the subject and the first sentence of a message about a fact.
pub(super) fn wording(fact: Fact, language: Language) -> (&'static str, &'static str) {
    let chinese = match fact {
        Fact::ApprovalNeeded => ("待您审批", "有一个工单等待您审批。"),
        Fact::WorkAssigned => ("待您处理", "有一个工单等待您处理。"),
        Fact::Reminded => ("催办", "有人催办一个等待您处理的工单。"),
        Fact::Escalated => ("工单升级", "一个工单已升级，现在由您处理。"),
        Fact::Followed => ("邀请您关注", "有人邀请您关注一个工单。"),
        Fact::Progressed => ("工单有新进展", "工单已进入下一个节点。"),
        Fact::Suspended => ("工单已挂起", "工单已被挂起。"),
        Fact::Resumed => ("工单已恢复", "工单已恢复处理。"),
        Fact::Changed => ("工单内容有变更", "等待您处理的工单内容有变更。"),
        Fact::Mentioned => ("评论中提到了您", "工单的一条评论提到了您。"),
        Fact::Commented => ("工单有新评论", "工单有一条新评论。"),
        Fact::Finished => ("工单已结束", "工单已结束。"),
        Fact::RatingInvited => ("工单已结束，请评价", "工单已结束，请为这次服务评价。"),
        Fact::Terminated => ("工单被终止", "工单被终止。"),
        Fact::NodeFailed => ("自动节点执行失败", "工单的自动节点执行失败，需要人工处理。"),
        Fact::ProcessorsMissing => ("节点没有处理人", "工单的节点没有处理人，无法继续。"),
        Fact::CallbackFailed => ("回调失败", "工单结果的回调多次失败，不再重试。"),
        Fact::Unreached => (
            "通知未送达",
            "一条通知没有任何渠道送达，收件人只能在收件箱中看到。请用其他方式联系收件人，您的收件箱中的这条通知会显示其用户名。",
        ),
        Fact::EscalationStep => ("工单无人确认", "一个工单尚无人确认，请查看并确认。"),
        Fact::AccountDegraded => (
            "渠道账号异常",
            "一个渠道账号的多数消息发送失败，请检查该账号和服务方。",
        ),
        Fact::StillWaiting => ("工单仍待您处理", "一个工单仍在等待您处理。"),
        Fact::Subscribed => ("订阅的工单有动态", "一个符合您订阅条件的工单有新动态。"),
        Fact::ExecutionApproval => ("自动化脚本待您批准", "一个脚本等待您批准后执行。"),
        Fact::EscalationExhausted => (
            "升级链已走完，仍无人确认",
            "一个工单的升级链已执行完所有步骤，仍无人确认该工单。请立即安排人员处理。",
        ),
        Fact::AddressMissing => (
            "收件人没有可用地址",
            "一条通知的收件人没有任何可用的渠道地址，只能在收件箱中看到通知。请让该用户在通知偏好中填写地址，您的收件箱中的这条通知会显示其用户名。",
        ),
        Fact::ChainGap => (
            "升级链联系不到人",
            "一条升级链的某个步骤现在或即将到来的班次联系不到任何人。请在班次开始之前修复。",
        ),
        Fact::LoadHigh => (
            "处理人待办过多",
            "该工单的处理人有大量待办工单，请考虑转单或增派人手。",
        ),
    };
    let english = match fact {
        Fact::ApprovalNeeded => ("Approval needed", "a ticket waits for your approval."),
        Fact::WorkAssigned => ("Work assigned", "a ticket waits for your work."),
        Fact::Reminded => (
            "Reminder",
            "you are reminded of a ticket that waits for you.",
        ),
        Fact::Escalated => (
            "Ticket escalated",
            "a ticket was escalated and now waits for you.",
        ),
        Fact::Followed => (
            "You now follow a ticket",
            "you were invited to follow a ticket.",
        ),
        Fact::Progressed => ("Ticket updated", "the ticket has reached its next step."),
        Fact::Suspended => ("Ticket suspended", "the ticket was suspended."),
        Fact::Resumed => ("Ticket resumed", "work on the ticket continues."),
        Fact::Changed => (
            "Ticket changed",
            "the content of a ticket that waits for you has changed.",
        ),
        Fact::Mentioned => (
            "You were mentioned",
            "a comment on the ticket mentions you.",
        ),
        Fact::Commented => ("New comment", "the ticket has a new comment."),
        Fact::Finished => ("Ticket closed", "the ticket has ended."),
        Fact::RatingInvited => (
            "Ticket closed, please rate it",
            "the ticket has ended. Please rate the service.",
        ),
        Fact::Terminated => (
            "Ticket terminated",
            "the ticket was ended before its workflow was finished.",
        ),
        Fact::NodeFailed => (
            "Automatic step failed",
            "an automatic step of the ticket failed, and a person must decide.",
        ),
        Fact::ProcessorsMissing => (
            "No person can process the ticket",
            "a step of the ticket has no processors.",
        ),
        Fact::CallbackFailed => (
            "Callback failed",
            "the receiver of the ticket's result did not accept it, and no further attempt follows.",
        ),
        Fact::Unreached => (
            "Message not delivered",
            "no channel delivered a message about the ticket, so it is only in the inbox. Please reach its recipient in another way. This notification in your inbox shows the user name.",
        ),
        Fact::EscalationStep => (
            "Ticket not acknowledged",
            "no person has acknowledged a ticket. Please look at it and acknowledge it.",
        ),
        Fact::AccountDegraded => (
            "Channel account degraded",
            "most messages of a channel account fail. Please check the account and its provider.",
        ),
        Fact::StillWaiting => ("Still waiting", "a ticket still waits for you."),
        Fact::Subscribed => (
            "A ticket of your subscription",
            "something happened to a ticket that meets the condition of your subscription.",
        ),
        Fact::ExecutionApproval => (
            "Script waits for approval",
            "a script waits for your approval before it runs.",
        ),
        Fact::EscalationExhausted => (
            "Escalation ended, ticket not acknowledged",
            "all steps of an escalation are over, and no person has acknowledged the ticket. Please find a person for it now.",
        ),
        Fact::AddressMissing => (
            "Recipient without an address",
            "the recipient of a notification has no working address on any channel, so the notification is only in the inbox. Please ask this person to add an address to the preferences. This notification in your inbox shows the user name.",
        ),
        Fact::ChainGap => (
            "Escalation chain reaches no person",
            "a step of an escalation chain reaches no person now or in a coming shift. Please repair the chain before the shift begins.",
        ),
        Fact::LoadHigh => (
            "High load of a person",
            "a person for whom the ticket waits has many open tickets. Consider a transfer.",
        ),
    };
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

/// Returns the name of a category for people.
pub fn category_label(category: Category, language: Language) -> &'static str {
    let (chinese, english) = match category {
        Category::Approval => ("审批", "approvals"),
        Category::Assigned => ("任务分配", "assigned work"),
        Category::Escalated => ("升级与督办", "escalations and reminders"),
        Category::Updated => ("状态更新", "status updates"),
        Category::Commented => ("评论", "comments"),
        Category::Resolved => ("完成与终止", "completed and terminated tickets"),
    };
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

/// What a message is about: a ticket, a channel account or an escalation chain.
struct Topic {
    /// The title of the ticket, or the name of the account or of the chain. The text is empty if the message must not
    /// contain it.
    title: String,
    /// The values with their labels. A message does not contain empty values.
    values: Vec<(&'static str, String)>,
    link: &'static str,
    /// The path of the link, without a slash at its beginning.
    path: String,
    /// The name of the node or of the subscription for the closing.
    label: String,
    thread: String,
}

/// Returns the message of the notification `requested`. `card` is the stored summary of the ticket.
///
/// The message contains no title if the title is encrypted, or if the service of the ticket requires
/// encrypted free text. The message contains the name of no person except the recipient. The reason is that
/// the message is encrypted with the key of the recipient. The erasure of another person could therefore not
/// remove a name from the message.
pub async fn content(
    app: &App,
    requested: &Requested,
    card: &TicketCard,
    language: Language,
    zone: &TimeZone,
) -> Result<Content, Error> {
    let texts = texts(language);
    let (subject, text) = wording(requested.fact, language);
    let topic = match requested.fact.matter() {
        Matter::Ticket => of_ticket(app, requested, card, language, zone).await?,
        Matter::Account => of_account(&one_line(&requested.name), texts),
        Matter::Chain => of_chain(&one_line(&requested.name), texts),
    };
    let subject = if topic.title.is_empty() {
        subject.to_owned()
    } else {
        labelled(subject, &topic.title)
    };
    let values = topic.values.into_iter();
    let site = app.settings.site.trim_end_matches('/');
    Ok(Content {
        subject,
        intro: (texts.greeting)(&app.people.name(&requested.person).await?, text),
        values: values
            .filter(|(_, value)| !value.is_empty())
            .map(|(label, value)| (label.to_owned(), value))
            .collect(),
        body: Vec::new(),
        link: Link {
            text: topic.link.into(),
            url: format!("{site}/{}", topic.path),
        },
        closing: (texts.closing)(requested.role, &topic.label),
        thread: topic.thread,
        actions: Vec::new(),
    })
}

async fn of_ticket(
    app: &App,
    requested: &Requested,
    card: &TicketCard,
    language: Language,
    zone: &TimeZone,
) -> Result<Topic, Error> {
    let texts = texts(language);
    let opened = card.ticket.opened.as_ref();
    let is_hidden = hides_ticket(app, requested, card).await?;
    let title = if is_hidden {
        String::new()
    } else {
        title(&card.ticket)
    };
    let mut values = vec![
        (texts.title, title.clone()),
        (texts.number, requested.ticket.0.clone()),
    ];
    if let Some(opened) = opened {
        values.push((texts.service, one_line(&opened.service_name)));
        if !requested.priority.is_empty() {
            values.push((texts.priority, priority(app, &requested.priority).await?));
        }
        let is_named_in_closing = matches!(
            requested.role,
            Role::Processor | Role::Subscriber | Role::OwnSubscriber
        );
        if !is_named_in_closing {
            values.push((texts.node, one_line(requested.label())));
        }
        values.push((texts.created, minute(card.created_at, zone)));
    }
    if !is_hidden {
        // A channel whose messages are short cuts the last values first.
        let context = TicketContext::of(card).values(requested.role, language);
        values.extend(
            context
                .into_iter()
                .map(|(label, value)| (label, one_line(&value))),
        );
    }
    Ok(Topic {
        title,
        values,
        link: texts.link,
        path: match requested.fact {
            Fact::ExecutionApproval => "executions".to_owned(),
            _ => format!("tickets/{}", requested.ticket),
        },
        label: one_line(requested.label()),
        thread: requested.ticket.0.clone(),
    })
}

/// `name` is empty in a notification of an earlier version.
fn of_account(name: &str, texts: &Texts) -> Topic {
    Topic {
        title: name.to_owned(),
        values: vec![(texts.account, name.to_owned())],
        link: texts.deliveries,
        path: "deliveries".to_owned(),
        label: String::new(),
        thread: name.to_owned(),
    }
}

fn of_chain(name: &str, texts: &Texts) -> Topic {
    Topic {
        title: name.to_owned(),
        values: vec![(texts.chain, name.to_owned())],
        link: texts.chain_link,
        path: format!("v1/escalation-chains/{name}/check"),
        label: String::new(),
        thread: format!("chain-{name}"),
    }
}

/// Returns true if the recipient may not read the ticket, so that the message does not contain its title. An approver of a
/// script, or an operator, can get a message about such a ticket. A person with a subscription gets one only if the ticket became
/// confidential after the decision about the message.
pub(super) async fn hides_ticket(
    app: &App,
    requested: &Requested,
    card: &TicketCard,
) -> Result<bool, Error> {
    let (ticket, person) = (&card.ticket, &requested.person);
    let is_checked = matches!(
        requested.role,
        Role::Approver | Role::Operator | Role::Subscriber | Role::OwnSubscriber
    );
    Ok(is_checked && !tickets::may(app, Operation::ReadTicket, ticket, person).await?)
}

/// Returns the display name of a ticket priority. `key` is the key of the priority in the dictionary of
/// priorities (a shared list of options). If the dictionary does not contain the key, returns the key.
pub(super) async fn priority(app: &App, key: &str) -> Result<String, Error> {
    let dictionary = app.configuration.dictionary("PRIORITY").await?;
    let items = dictionary.0.iter().flat_map(|defined| &defined.items);
    let mut found = items.filter(|item: &&Choice| item.key == key);
    Ok(found
        .next()
        .map_or_else(|| key.to_owned(), |item| item.name.clone()))
}

/// Formats a time as date, hour and minute, followed by the name of the time zone.
pub(super) fn minute(at: Moment, zone: &TimeZone) -> String {
    let text = times::in_zone(at, zone);
    let day_and_minute = text.get(..16).unwrap_or(&text).replace('T', " ");
    let name = zone.iana_name().unwrap_or("UTC");
    format!("{day_and_minute} ({name})")
}
