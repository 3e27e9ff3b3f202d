//! Shows the chat group of a ticket on the page of the ticket: its state, its last failure, and the buttons that create and
//! close it.

use axum::http::StatusCode;
use domain::ticket::Ticket;
use events::person::Language;
use events::{PersonId, TicketSn};

use super::frame::Failure;
use super::request::Visit;
use crate::app::notifications::chat_groups::{self, NotGrouped};

/// The part of the ticket page about the chat group.
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) state: &'static str,
    pub(super) members: String,
    /// The last failure. The text is empty if there is none.
    pub(super) failure: String,
    /// The label of the button that creates the group, or that adds the people again who were left out.
    pub(super) open: Option<&'static str>,
    /// The label of the button that closes the group.
    pub(super) close: Option<&'static str>,
    /// A random code, so that two clicks on one button have one effect.
    pub(super) once: String,
}

/// The fixed texts of the section in one language.
struct Texts {
    heading: &'static str,
    state: fn(&str) -> &'static str,
    members: fn(&str) -> String,
    failure: fn(&str) -> String,
    create: &'static str,
    again: &'static str,
    close: &'static str,
}

const CHINESE: Texts = Texts {
    heading: "工单群",
    state: |state| match state {
        "creating" => "正在建群",
        "open" => "已建群",
        "changing" => "正在更新",
        "waiting" => "上次变更失败，等待工单的下一次变化",
        "closing" => "正在关闭",
        "closed" => "已关闭",
        "failed" => "建群失败",
        _ => "没有群",
    },
    members: |names| format!("群成员：{names}"),
    failure: |reason| format!("最近一次失败：{reason}"),
    create: "建立工单群",
    again: "重新添加未入群的人",
    close: "关闭工单群",
};

const ENGLISH: Texts = Texts {
    heading: "Chat group",
    state: |state| match state {
        "creating" => "being created",
        "open" => "open",
        "changing" => "being changed",
        "waiting" => "the last change failed; the next change of the ticket tries again",
        "closing" => "being closed",
        "closed" => "closed",
        "failed" => "not created",
        _ => "no group",
    },
    members: |names| format!("Members: {names}"),
    failure: |reason| format!("Last failure: {reason}"),
    create: "Create the chat group",
    again: "Add the people again who were left out",
    close: "Close the chat group",
};

fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

/// Returns the section of a ticket. Returns `None` if the ticket has no group and the person cannot create one.
pub(super) async fn section(
    visit: &Visit,
    sn: &TicketSn,
    ticket: &Ticket,
    once: String,
) -> Result<Option<Section>, Failure> {
    let app = visit.app();
    let offer = chat_groups::offer(app, sn, ticket, &visit.session.person).await?;
    let group = &offer.group;
    if group.requested.is_none() && !offer.may_create {
        return Ok(None);
    }
    let texts = texts(visit.guest.language);
    let members: Vec<PersonId> = group.members.keys().cloned().collect();
    let names = app.people.all_names(&members).await?;
    let failure = group.last_failure.as_ref().map(|failure| {
        let text = format!("{} {}", failure.code, failure.reason);
        (texts.failure)(text.trim())
    });
    let create = if group.is_active() {
        texts.again
    } else {
        texts.create
    };
    Ok(Some(Section {
        heading: texts.heading,
        state: (texts.state)(chat_groups::state(group)),
        members: if names.is_empty() {
            String::new()
        } else {
            (texts.members)(&names.join(", "))
        },
        failure: failure.unwrap_or_default(),
        open: offer.may_create.then_some(create),
        close: offer.may_close.then_some(texts.close),
        once,
    }))
}

/// Returns the HTTP status of the page that shows why a group was not created or closed.
pub(super) fn status_of(reason: &NotGrouped) -> StatusCode {
    match reason {
        NotGrouped::NotPermitted(_) => StatusCode::FORBIDDEN,
        NotGrouped::Missing => StatusCode::NOT_FOUND,
        NotGrouped::NotConfigured | NotGrouped::Ended | NotGrouped::Confidential(_) => {
            StatusCode::CONFLICT
        }
        NotGrouped::Technical(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
