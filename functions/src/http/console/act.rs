//! Shows the page of an action link in a notification, and executes the action. Mail gateways open every link. The method
//! GET therefore only shows a page, and only the form of this page acts. The signed link in a message that no other person
//! can read identifies the person, so no login is necessary. A link in a shared conversation requires a login of its person.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::notification::action::Action;
use domain::ticket::Ticket;
use domain::views::ticket_card::TicketCard;
use events::person::Language;
use events::workflow::Definition;
use events::{Origin, PersonId};
use infra::Error;

use super::frame::{Frame, html, status_of};
use super::request::{Form, Guest};
use super::session::log_in_first;
use crate::App;
use crate::app::logins::Session;
use crate::app::notifications::actions::{self, NotActed, Pending};
use crate::app::tickets::display::form_rows;
use crate::app::wording;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/act/{token}", get(show).post(act))
}

/// The form with which the person confirms an action.
struct ActForm {
    path: String,
    /// The form code of the session. The text is empty without a login.
    form_code: String,
    seen: String,
    label: &'static str,
    is_required: bool,
    text: String,
    button: &'static str,
}

#[derive(Template)]
#[template(path = "act.html")]
struct ActPage {
    frame: Frame,
    heading: String,
    text: String,
    is_refused: bool,
    /// The names and the values of the form fields of the ticket. Empty if the page does not show the content.
    content: Vec<(String, String)>,
    form: Option<ActForm>,
    sn: Option<String>,
    open: &'static str,
}

/// The fixed texts of the page in one language.
struct Texts {
    open: &'static str,
    label: &'static str,
    required_label: &'static str,
    confirm: fn(&str, &str) -> String,
    hint: &'static str,
    /// The hint of a page that does not show the content of the ticket.
    sealed_hint: &'static str,
    done: fn(&str, &str) -> String,
    refused: &'static str,
    unknown: &'static str,
    expired: &'static str,
    used: &'static str,
    other_person: &'static str,
    stale: &'static str,
    changed: &'static str,
    text_required: &'static str,
}

const CHINESE: Texts = Texts {
    open: "查看工单",
    label: "理由（可不填）",
    required_label: "评论内容",
    confirm: |action, sn| format!("{action}：{sn}"),
    hint: "请核对下列工单内容，再点击按钮确认。打开此页面不会执行任何操作。",
    sealed_hint: "此页面不显示工单内容。请先登录并查看工单，再点击按钮确认。打开此页面不会执行任何操作。",
    done: |action, sn| format!("已完成“{action}”，单号 {sn}。"),
    refused: "操作没有完成",
    unknown: "这个链接无效。请检查链接是否完整，或登录后在工单页面操作。",
    expired: "这个链接已过期。请登录后在工单页面操作。",
    used: "这个链接已经使用过，每个链接只能使用一次。",
    other_person: "这个链接属于另一位用户。请使用收到此消息的用户登录。",
    stale: "工单已不再等待这个操作，例如已由他人处理。",
    changed: "工单内容在您查看之后发生了变化。请核对新的内容，再次确认。",
    text_required: "请填写评论内容。",
};

const ENGLISH: Texts = Texts {
    open: "Open the ticket",
    label: "Reason (optional)",
    required_label: "Comment",
    confirm: |action, sn| format!("{action}: {sn}"),
    hint: "Read the content of the ticket below, and then press the button. Opening this page changes nothing.",
    sealed_hint: "This page does not show the content of the ticket. Log in and open the ticket first, and then press the button. Opening this page changes nothing.",
    done: |action, sn| format!("The action \"{action}\" on ticket {sn} is done."),
    refused: "The action was not completed",
    unknown: "This link is not valid. Check that the link is complete, or log in and use the page of the ticket.",
    expired: "This link has expired. Log in and use the page of the ticket.",
    used: "This link was used already. Each link can be used once.",
    other_person: "This link belongs to another person. Log in as the person who got the message.",
    stale: "The ticket does not wait for this action any more, for example because another person processed it.",
    changed: "The content of the ticket changed after you opened the page. Read the new content, and confirm again.",
    text_required: "Enter a comment.",
};

fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

async fn show(State(app): State<App>, Path(token): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let session = match guest.session().await {
        Ok(session) => session,
        Err(error) => return guest.failed(error.into()),
    };
    let by = session.as_ref().map(|session| &session.person);
    match actions::pending(&app, &token, by).await {
        Ok(pending) => {
            let shown = Shown::of(session.as_ref(), StatusCode::OK);
            confirmation(&guest, &token, &pending, shown, "").await
        }
        Err(reason) => refused(&guest, &token, reason).await,
    }
}

async fn act(State(app): State<App>, Path(token): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return guest.failed(failure),
    };
    let session = match guest.session_of(&form).await {
        Ok(session) => session,
        Err(error) => return guest.failed(error.into()),
    };
    let by = session.as_ref().map(|session| &session.person);
    let (text, seen) = (form.text("text"), form.text("seen"));
    let (used, seen) = ((token.as_str(), by), Some(seen.as_str()));
    let id = &guest.request_id;
    match actions::act(&app, used, text.trim(), seen, Origin::Web, id).await {
        Ok(pending) => done(&guest, &pending),
        Err(reason @ (NotActed::TextRequired | NotActed::Changed)) => {
            again(&guest, used, session.as_ref(), &reason, &text).await
        }
        Err(reason) => refused(&guest, &token, reason).await,
    }
}

/// Shows the form again with the reason why the action was not executed. The text of the person is still in the form.
async fn again(
    guest: &Guest,
    (token, by): (&str, Option<&PersonId>),
    session: Option<&Session>,
    reason: &NotActed,
    text: &str,
) -> Response {
    let words = texts(guest.language);
    let (status, problem) = match reason {
        NotActed::Changed => (StatusCode::CONFLICT, words.changed),
        _ => (StatusCode::BAD_REQUEST, words.text_required),
    };
    match actions::pending(&guest.app, token, by).await {
        Ok(pending) => {
            let shown = Shown {
                problem: Some(problem),
                ..Shown::of(session, status)
            };
            confirmation(guest, token, &pending, shown, text).await
        }
        Err(reason) => refused(guest, token, reason).await,
    }
}

/// How the page with the form is shown.
struct Shown {
    form_code: String,
    status: StatusCode,
    /// The reason why the action was not executed.
    problem: Option<&'static str>,
}

impl Shown {
    fn of(session: Option<&Session>, status: StatusCode) -> Self {
        Self {
            form_code: session.map_or_else(String::new, |session| session.form_code.clone()),
            status,
            problem: None,
        }
    }
}

/// Returns the names and the values of the form fields that the page shows. A person with the link sees the page without
/// a login, so personal values are not shown. The result is empty if the service encrypts the texts of its tickets.
async fn content(guest: &Guest, ticket: &Ticket) -> Result<Vec<(String, String)>, Error> {
    let Some(opened) = ticket.opened.as_ref().filter(|one| !one.seals_text) else {
        return Ok(Vec::new());
    };
    let configuration = &guest.app.configuration;
    let workflow = configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let empty = Definition::default();
    let definition = workflow.as_ref().map_or(&empty, |one| &one.definition);
    let mut ticket = ticket.clone();
    ticket.form.retain(|_, entry| entry.personal.is_none());
    let card = TicketCard {
        ticket,
        ..TicketCard::default()
    };
    form_rows(&guest.app, &card, definition, guest.texts.erased).await
}

async fn confirmation(
    guest: &Guest,
    token: &str,
    pending: &Pending,
    Shown {
        form_code,
        status,
        problem,
    }: Shown,
    text: &str,
) -> Response {
    let words = texts(guest.language);
    let content = match content(guest, &pending.ticket).await {
        Ok(content) => content,
        Err(error) => return guest.failed(error.into()),
    };
    let action = pending.claim.action;
    let is_required = action == Action::Comment;
    let label = action.label(guest.language);
    let sn = pending.requested.ticket.to_string();
    let page = ActPage {
        frame: Frame {
            problem: problem.map(str::to_owned),
            ..Frame::of_guest(guest)
        },
        heading: (words.confirm)(label, &sn),
        text: if content.is_empty() {
            words.sealed_hint.to_owned()
        } else {
            words.hint.to_owned()
        },
        is_refused: false,
        content,
        form: Some(ActForm {
            path: format!("/act/{token}"),
            form_code,
            seen: pending.seen(),
            label: if is_required {
                words.required_label
            } else {
                words.label
            },
            is_required,
            text: text.to_owned(),
            button: label,
        }),
        sn: Some(sn),
        open: words.open,
    };
    html(status, guest.texts, &page)
}

fn done(guest: &Guest, pending: &Pending) -> Response {
    let words = texts(guest.language);
    let sn = pending.requested.ticket.to_string();
    let label = pending.claim.action.label(guest.language);
    let page = ActPage {
        frame: Frame::of_guest(guest),
        heading: (words.done)(label, &sn),
        text: String::new(),
        is_refused: false,
        content: Vec::new(),
        form: None,
        sn: Some(sn),
        open: words.open,
    };
    html(StatusCode::OK, guest.texts, &page)
}

/// Shows the reason why an action was not executed. A person who must log in gets the login page, and after the login the
/// page of the link.
async fn refused(guest: &Guest, token: &str, reason: NotActed) -> Response {
    let words = texts(guest.language);
    let (status, text) = match reason {
        NotActed::Technical(error) => return guest.failed(error.into()),
        NotActed::LoginRequired => {
            let mut guest = guest.clone();
            guest.here = format!("/act/{token}");
            return log_in_first(&guest);
        }
        NotActed::OtherPerson => (StatusCode::FORBIDDEN, words.other_person.to_owned()),
        NotActed::Rejected(rejection) => {
            let text = wording::named_rejection(&guest.app, guest.language, &rejection).await;
            match text {
                Ok(text) => (status_of(&rejection), text),
                Err(error) => return guest.failed(error.into()),
            }
        }
        NotActed::Unknown => (StatusCode::NOT_FOUND, words.unknown.to_owned()),
        NotActed::Expired => (StatusCode::GONE, words.expired.to_owned()),
        NotActed::Used => (StatusCode::CONFLICT, words.used.to_owned()),
        NotActed::Stale => (StatusCode::CONFLICT, words.stale.to_owned()),
        NotActed::Changed => (StatusCode::CONFLICT, words.changed.to_owned()),
        NotActed::TextRequired => (StatusCode::BAD_REQUEST, words.text_required.to_owned()),
    };
    let page = ActPage {
        frame: Frame::of_guest(guest),
        heading: words.refused.to_owned(),
        text,
        is_refused: true,
        content: Vec::new(),
        form: None,
        sn: None,
        open: words.open,
    };
    html(status, guest.texts, &page)
}
