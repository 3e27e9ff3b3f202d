//! Writes the answers to the commands that people send from chats. There are four kinds of answers: the command is done,
//! it is refused, it is unknown, or an error occurred.

use events::TicketSn;
use events::person::Language;

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command is done. `action` is the label of the action.
    Done {
        action: &'static str,
        sn: String,
    },
    Status {
        sn: String,
        status: String,
        nodes: String,
    },
    Linked,
    /// The person wants to rate a notification. The value is the URL of the page with the questions.
    Questions(String),
    /// The desk refused the command. The text is in the language of the person.
    Refused(String),
    /// The chat account belongs to no person of the desk.
    NotLinked,
    /// The chat account belongs to no person of the desk, and the person does not need to know its address.
    CodeNeeded,
    /// The code is wrong or has expired.
    CodeWrong,
    /// The command names no ticket, and no notification of the person waits for an answer.
    TicketMissing,
    /// The command names no ticket, and several tickets wait for an answer of the person.
    TicketAmbiguous(Vec<TicketSn>),
    /// The ticket does not exist, or the person may not read it.
    TicketUnknown(String),
    TextMissing,
    /// The person pressed the button for a comment. A button has no text, so the person must write a command.
    CommentMissing(String),
    /// A reply to a mail about one ticket names another ticket.
    OtherTicket(String),
    /// The mail was not sent to the desk, or its signature does not prove that. The value is an address of the desk.
    NotForDesk(String),
    /// The mail is too old. The value is an address of the desk.
    MailTooOld(String),
    /// No node waits for the vote of the person, or several nodes wait.
    NoSingleVote,
    Expired,
    Used,
    Stale,
    /// The message is no command.
    Unknown,
    /// The message in the group of a ticket is no command. `takes_remarks` is true if free text is a comment there.
    GroupHelp {
        sn: String,
        takes_remarks: bool,
    },
    /// The command names no ticket, and the group of this ticket is closed.
    GroupClosed(String),
    Error,
}

impl Answer {
    /// Returns the kind of the answer: `done`, `refused`, `unknown` or `error`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Done { .. } | Self::Status { .. } | Self::Linked | Self::Questions(_) => "done",
            Self::Unknown | Self::GroupHelp { .. } => "unknown",
            Self::Error => "error",
            Self::Refused(_)
            | Self::NotLinked
            | Self::CodeNeeded
            | Self::CodeWrong
            | Self::TicketMissing
            | Self::TicketAmbiguous(_)
            | Self::TicketUnknown(_)
            | Self::TextMissing
            | Self::CommentMissing(_)
            | Self::OtherTicket(_)
            | Self::NotForDesk(_)
            | Self::MailTooOld(_)
            | Self::NoSingleVote
            | Self::GroupClosed(_)
            | Self::Expired
            | Self::Used
            | Self::Stale => "refused",
        }
    }

    /// Returns the text of the answer.
    pub fn text(&self, language: Language) -> String {
        match language {
            Language::Chinese => self.chinese(),
            Language::English => self.english(),
        }
    }

    fn chinese(&self) -> String {
        match self {
            Self::Done { action, sn } => format!("已完成“{action}”，单号 {sn}。"),
            Self::Status { sn, status, nodes } if nodes.is_empty() => {
                format!("{sn}：{status}。")
            }
            Self::Status { sn, status, nodes } => {
                format!("{sn}：{status}，当前节点：{nodes}。")
            }
            Self::Linked => "绑定成功，现在可以在这里处理工单。发送“帮助”查看可用命令。".into(),
            Self::Questions(url) => format!("请打开页面评价这条通知：{url}"),
            Self::Refused(reason) => format!("操作没有完成：{reason}"),
            Self::NotLinked => "此账号还没有绑定用户。请先在通知设置中填写此账号并获取绑定码，再在这里发送“绑定 绑定码”。".into(),
            Self::CodeNeeded => {
                "此账号还没有绑定用户。请在工单系统中获取绑定码，再在这里发送“绑定 绑定码”。".into()
            }
            Self::CodeWrong => "绑定码错误或已过期，请重新获取绑定码。".into(),
            Self::TicketMissing => "请写明单号，例如：确认 REQ20261122000042。".into(),
            Self::TicketAmbiguous(all) => {
                format!("有多个工单等待您处理，请写明单号：{}。", listed(all, "、"))
            }
            Self::TicketUnknown(sn) => format!("没有工单 {sn}，或者您无权查看。"),
            Self::TextMissing => "请在命令后填写评论内容。".into(),
            Self::CommentMissing(sn) => format!("请发送消息填写评论：评论 {sn} 内容"),
            Self::OtherTicket(sn) => {
                format!("这封邮件属于工单 {sn}，不能用来处理其他工单。请回复另一个工单的邮件。")
            }
            Self::NotForDesk(address) => {
                format!("服务台收到了您的一封邮件，但无法确认它是发给服务台的，因此没有处理。请回复服务台的邮件，或向 {address} 发送新邮件。")
            }
            Self::MailTooOld(address) => {
                format!("服务台收到了您的一封旧邮件，因此没有处理。请回复服务台的邮件，或向 {address} 发送新邮件。")
            }
            Self::NoSingleVote => {
                "没有等待您审批的节点，或者有多个节点在等待。请在工单页面审批。".into()
            }
            Self::Expired => "这个按钮已过期，请在工单页面操作。".into(),
            Self::Used => "这个按钮已经使用过。".into(),
            Self::Stale => "工单已不再等待这个操作。".into(),
            Self::Unknown => "可用命令：确认、解决、评论、状态、升级、同意、拒绝、建群，格式为“命令 单号 说明”，例如：确认 REQ20261122000042。".into(),
            Self::GroupHelp { sn, takes_remarks } => {
                let rest = if *takes_remarks {
                    "在这里发给服务台的其他内容会成为工单的评论。"
                } else {
                    ""
                };
                format!("这个群属于工单 {sn}，命令不需要单号。可用命令：确认、解决、评论、状态、升级、同意、拒绝，例如：评论 已重启。{rest}")
            }
            Self::GroupClosed(sn) => {
                format!("工单 {sn} 的群聊已关闭，请写明单号，例如：状态 {sn}。")
            }
            Self::Error => "系统异常，命令没有执行。请在工单页面操作，或联系管理员。".into(),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Done { action, sn } => format!("Done: {action}, ticket {sn}."),
            Self::Status { sn, status, nodes } if nodes.is_empty() => format!("{sn}: {status}."),
            Self::Status { sn, status, nodes } => {
                format!("{sn}: {status}. Current nodes: {nodes}.")
            }
            Self::Linked => "Your account is linked. You can now process tickets here. Send \"help\" to see the commands.".into(),
            Self::Questions(url) => format!("Open this page to rate the notification: {url}"),
            Self::Refused(reason) => format!("The command was refused: {reason}"),
            Self::NotLinked => "This account is linked with no user. Enter it in your notification preferences, request a code, and send \"link CODE\" here.".into(),
            Self::CodeNeeded => "This account is linked with no user. Request a code in the service desk, and send \"link CODE\" here.".into(),
            Self::CodeWrong => "The code is wrong or has expired. Request a new code.".into(),
            Self::TicketMissing => {
                "Name the ticket, for example: ack REQ20261122000042.".into()
            }
            Self::TicketAmbiguous(all) => {
                format!("Several tickets wait for you. Name one of them: {}.", listed(all, ", "))
            }
            Self::TicketUnknown(sn) => {
                format!("The ticket {sn} does not exist, or you may not see it.")
            }
            Self::TextMissing => "Write the comment after the command.".into(),
            Self::CommentMissing(sn) => format!("Send your comment as a message: comment {sn} TEXT"),
            Self::OtherTicket(sn) => {
                format!(
                    "Your mail belongs to the ticket {sn}. Reply to a mail of the other ticket to change it."
                )
            }
            Self::NotForDesk(address) => {
                format!("The service desk received a mail of yours that is not for this desk, or does not prove that it is. The mail was not processed. Reply to a mail of the desk, or send a new mail to {address}.")
            }
            Self::MailTooOld(address) => {
                format!("The service desk received an old mail of yours. The mail was not processed. Reply to a mail of the desk, or send a new mail to {address}.")
            }
            Self::NoSingleVote => "No node waits for your vote, or several nodes wait. Vote on the page of the ticket.".into(),
            Self::Expired => "This button has expired. Use the page of the ticket.".into(),
            Self::Used => "This button was used already.".into(),
            Self::Stale => "The ticket does not wait for this action any more.".into(),
            Self::Unknown => "Commands: ack, resolve, comment, status, escalate, approve, reject, group. The form is \"command ticket text\", for example: ack REQ20261122000042.".into(),
            Self::GroupHelp { sn, takes_remarks } => {
                let rest = if *takes_remarks {
                    " Any other text that you send to the desk here becomes a comment."
                } else {
                    ""
                };
                format!("This group belongs to the ticket {sn}, so a command needs no ticket number. Commands: ack, resolve, comment, status, escalate, approve, reject. For example: comment restarted.{rest}")
            }
            Self::GroupClosed(sn) => {
                format!("The chat group of the ticket {sn} is closed. Name the ticket, for example: status {sn}.")
            }
            Self::Error => "An error occurred, and the command was not executed. Use the page of the ticket, or tell your administrator.".into(),
        }
    }
}

/// Returns the ticket numbers as one text.
fn listed(all: &[TicketSn], separator: &str) -> String {
    let all: Vec<&str> = all.iter().map(TicketSn::as_str).collect();
    all.join(separator)
}
