//! Shows the page on which people switch off mails, and switches them off (RFC 8058). Mail gateways open every link.
//! The method GET therefore only shows a page. The form of this page and the button of a mail program send a POST
//! request, which acts. The signed link identifies the person, so no login is necessary.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use events::person::Language;

use super::frame::{Failure, Frame, html};
use super::request::Guest;
use crate::App;
use crate::app::notifications::message::category_label;
use crate::app::notifications::unsubscribe::{self, State as LinkState, Unusable};
use crate::http::body;

/// Maximum size of a request to switch off mails, in bytes. A usual request has less than 200 bytes.
const BYTES_MAX: usize = 8 << 10;
/// The name of the field of the request.
const FIELD: &str = "List-Unsubscribe";
/// The value of the field that switches the mails off.
const OFF: &str = "One-Click";
/// The value of the field that switches the mails on again. Only the page of the desk sends it.
const ON: &str = "On-Again";

pub(super) fn routes() -> Router<App> {
    Router::new().route("/unsubscribe/{token}", get(show).post(switch))
}

/// The form with which the person confirms the change.
struct SwitchForm {
    path: String,
    value: &'static str,
    button: &'static str,
}

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct UnsubscribePage {
    frame: Frame,
    heading: &'static str,
    text: &'static str,
    is_refused: bool,
    categories: Vec<String>,
    required: String,
    form: Option<SwitchForm>,
}

/// The fixed texts of the page in one language.
struct Texts {
    heading: &'static str,
    hint: &'static str,
    button: &'static str,
    done: &'static str,
    done_hint: &'static str,
    again: &'static str,
    on_again: &'static str,
    required: fn(&str) -> String,
    /// Returns the text for a subscription with the given name.
    subscription: fn(&str) -> String,
    separator: &'static str,
    refused: &'static str,
    unknown: &'static str,
    expired: &'static str,
}

const CHINESE: Texts = Texts {
    heading: "退订邮件通知",
    hint: "点击按钮后，服务台不再通过邮件发送以下类别的通知，通知仍会显示在收件箱中。打开此页面不会改变任何设置。",
    button: "退订",
    done: "已退订",
    done_hint: "服务台不再通过邮件向您发送以下类别的通知，通知仍会显示在收件箱中。",
    again: "恢复邮件通知",
    on_again: "已恢复以下类别的邮件通知。",
    required: |categories| {
        format!(
            "您所在的组织规定以下类别的部分通知必须发送邮件，这些邮件不受退订影响：{categories}。"
        )
    },
    subscription: |name| format!("您创建的订阅“{name}”"),
    separator: "、",
    refused: "操作没有完成",
    unknown: "这个链接无效。请检查链接是否完整，或在通知设置中修改。",
    expired: "这个链接已过期。请使用较新邮件中的链接，或在通知设置中修改。",
};

const ENGLISH: Texts = Texts {
    heading: "Unsubscribe from mails",
    hint: "After you press the button, the service desk sends no more mails for these categories. Your inbox still shows the notifications. Opening this page changes nothing.",
    button: "Unsubscribe",
    done: "You are unsubscribed",
    done_hint: "The service desk sends you no more mails for these categories. Your inbox still shows the notifications.",
    again: "Send mails again",
    on_again: "The service desk sends you mails for these categories again.",
    required: |categories| {
        format!(
            "Your organization requires mails for some notifications of these categories. You still get these mails: {categories}."
        )
    },
    subscription: |name| format!("your subscription \"{name}\""),
    separator: ", ",
    refused: "The action was not completed",
    unknown: "This link is not valid. Check that the link is complete, or change your notification preferences.",
    expired: "This link has expired. Use the link of a newer mail, or change your notification preferences.",
};

fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

async fn show(State(app): State<App>, Path(token): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    match unsubscribe::state(&app, &token).await {
        Ok(state) => {
            let words = texts(guest.language);
            let (heading, text) = if state.is_on() {
                (words.heading, words.hint)
            } else {
                (words.done, words.done_hint)
            };
            page(&guest, &token, &state, heading, text)
        }
        Err(reason) => refused(&guest, reason),
    }
}

async fn switch(State(app): State<App>, Path(token): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let Ok(bytes) = body::read(request.into_body(), BYTES_MAX).await else {
        return guest.failed(Failure::BadForm);
    };
    // Mail programs send the field as a form or as multipart form data. The token is the proof, so no other check is
    // necessary. Without the field, the request is not from a person or from a mail program.
    let body = String::from_utf8_lossy(&bytes);
    let wanted = match (body.contains(FIELD), body.contains(OFF), body.contains(ON)) {
        (true, true, false) => false,
        (true, false, true) => true,
        _ => return guest.failed(Failure::BadForm),
    };
    match unsubscribe::switch(&app, &token, wanted, &guest.request_id).await {
        Ok(state) => {
            let words = texts(guest.language);
            let (heading, text) = if wanted {
                (words.heading, words.on_again)
            } else {
                (words.done, words.done_hint)
            };
            page(&guest, &token, &state, heading, text)
        }
        Err(reason) => refused(&guest, reason),
    }
}

/// Returns the page with the categories of the link and the form that changes their state.
fn page(
    guest: &Guest,
    token: &str,
    state: &LinkState,
    heading: &'static str,
    text: &'static str,
) -> Response {
    let (words, language) = (texts(guest.language), guest.language);
    let (value, button) = if state.is_on() {
        (OFF, words.button)
    } else {
        (ON, words.again)
    };
    let required = state
        .required
        .iter()
        .map(|one| category_label(*one, language));
    let required: Vec<&str> = required.collect();
    let categories = state.categories.iter();
    let categories = categories.map(|(one, _)| category_label(*one, language).to_owned());
    let subscriptions = state.subscriptions.iter();
    let subscriptions = subscriptions.map(|(name, _)| (words.subscription)(name));
    let page = UnsubscribePage {
        frame: Frame::of_guest(guest),
        heading,
        text,
        is_refused: false,
        categories: categories.chain(subscriptions).collect(),
        required: if required.is_empty() {
            String::new()
        } else {
            (words.required)(&required.join(words.separator))
        },
        form: Some(SwitchForm {
            path: format!("/unsubscribe/{token}"),
            value,
            button,
        }),
    };
    html(StatusCode::OK, guest.texts, &page)
}

/// Shows the reason why the link does nothing.
fn refused(guest: &Guest, reason: Unusable) -> Response {
    let words = texts(guest.language);
    let (status, text) = match reason {
        Unusable::Technical(error) => return guest.failed(error.into()),
        Unusable::Unknown => (StatusCode::NOT_FOUND, words.unknown),
        Unusable::Expired => (StatusCode::GONE, words.expired),
    };
    let page = UnsubscribePage {
        frame: Frame::of_guest(guest),
        heading: words.refused,
        text,
        is_refused: true,
        categories: Vec::new(),
        required: String::new(),
        form: None,
    };
    html(status, guest.texts, &page)
}
