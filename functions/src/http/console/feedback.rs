//! Shows the page with the questions about a notification, and stores the answers. The method GET changes nothing,
//! because mail gateways open every link. The signed link in a message that no other person can read identifies the person,
//! so no login is necessary. A link in a shared conversation requires a login of its person.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use events::Origin;
use events::person::Language;

use super::frame::{Failure, Frame, html};
use super::request::{Form, Guest};
use super::session::log_in_first;
use crate::App;
use crate::app::logins::Session;
use crate::app::notifications::feedback::{self, Answers, NotGiven, Open};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/feedback/{token}", get(show).post(give))
        .route("/feedback/{token}/collect", post(collect))
}

/// A possible answer to a question.
struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

/// A question with its possible answers.
struct Question {
    name: &'static str,
    text: &'static str,
    options: Vec<Choice>,
}

/// The form with the questions.
struct FeedbackForm {
    path: String,
    /// The form code of the session. The text is empty without a login.
    form_code: String,
    questions: Vec<Question>,
    comment_label: &'static str,
    comment: String,
    button: &'static str,
}

/// The form with which the person collects the messages of a channel.
struct CollectForm {
    path: String,
    /// The form code of the session. The text is empty without a login.
    form_code: String,
    text: &'static str,
    button: &'static str,
}

#[derive(Template)]
#[template(path = "feedback.html")]
struct FeedbackPage {
    frame: Frame,
    heading: &'static str,
    text: String,
    is_refused: bool,
    form: Option<FeedbackForm>,
    collect: Option<CollectForm>,
}

/// The fixed texts of the page in one language.
struct Texts {
    heading: &'static str,
    hint: &'static str,
    ratings: [&'static str; 5],
    comment: &'static str,
    send: &'static str,
    thanks: &'static str,
    offer: &'static str,
    collect: &'static str,
    collected: &'static str,
    refused: &'static str,
    unknown: &'static str,
    expired: &'static str,
    used: &'static str,
    other_person: &'static str,
    empty: &'static str,
    wrong: &'static str,
}

const CHINESE: Texts = Texts {
    heading: "评价通知",
    hint: "三个问题都可以不回答。提交前不会保存任何内容。",
    ratings: ["1（很差）", "2", "3", "4", "5（很好）"],
    comment: "意见（可不填）",
    send: "提交",
    thanks: "感谢您的反馈。",
    offer: "如果通知太多，可以让此渠道在固定时间合并发送。紧急通知仍会立即发送。",
    collect: "合并发送",
    collected: "此渠道的通知将在固定时间合并发送。您可以随时在通知设置中修改。",
    refused: "没有保存反馈",
    unknown: "这个链接无效。请检查链接是否完整。",
    expired: "这个链接已过期。",
    used: "您已经评价过这条通知，每个链接只能使用一次。",
    other_person: "这个链接属于另一位用户。请使用收到此消息的用户登录。",
    empty: "请至少回答一个问题，或填写意见。",
    wrong: "有一个答案无效，请重新选择。意见最多 1000 个字。",
};

const ENGLISH: Texts = Texts {
    heading: "Rate a notification",
    hint: "You can leave out questions. Nothing is stored before you send the form.",
    ratings: ["1 (very bad)", "2", "3", "4", "5 (very good)"],
    comment: "Comment (optional)",
    send: "Send",
    thanks: "Thank you.",
    offer: "If you get too many messages, this channel can collect them and send one message at fixed times. Urgent messages are still sent at once.",
    collect: "Collect messages",
    collected: "This channel now sends one message at fixed times. You can change this in your notification preferences.",
    refused: "The feedback was not stored",
    unknown: "This link is not valid. Check that the link is complete.",
    expired: "This link has expired.",
    used: "You have rated this notification already. Each link can be used once.",
    other_person: "This link belongs to another person. Log in as the person who got the message.",
    empty: "Answer at least one question, or write a comment.",
    wrong: "One answer is not valid. Choose it again. A comment has at most 1000 characters.",
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
    match feedback::open(&app, &token, by).await {
        Ok(open) => {
            let answers = Answers::default();
            let link = Opened::of(&token, session.as_ref());
            questions(&guest, &link, &open, StatusCode::OK, None, &answers)
        }
        Err(reason) => refused(&guest, &token, reason),
    }
}

/// The link that a person opened, and the form code of the session of this person.
struct Opened<'a> {
    token: &'a str,
    form_code: &'a str,
}

impl<'a> Opened<'a> {
    fn of(token: &'a str, session: Option<&'a Session>) -> Self {
        Self {
            token,
            form_code: session.map_or("", |session| session.form_code.as_str()),
        }
    }
}

/// Reads a form and the session of the person who sent it.
async fn submitted(guest: &Guest, request: Request) -> Result<(Form, Option<Session>), Failure> {
    let form = Form::read(&guest.app, request).await?;
    let session = guest.session_of(&form).await?;
    Ok((form, session))
}

async fn give(State(app): State<App>, Path(token): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let (form, session) = match submitted(&guest, request).await {
        Ok(submitted) => submitted,
        Err(failure) => return guest.failed(failure),
    };
    let by = session.as_ref().map(|session| &session.person);
    let open = match feedback::open(&app, &token, by).await {
        Ok(open) => open,
        Err(reason) => return refused(&guest, &token, reason),
    };
    let link = Opened::of(&token, session.as_ref());
    // A rating that is not a number becomes 0, which is rejected as a wrong rating.
    let rating = |name: &str| {
        let text = form.text(name);
        (!text.is_empty()).then(|| text.parse::<u8>().unwrap_or_default())
    };
    let answers = Answers {
        usefulness: rating("usefulness"),
        timing: rating("timing"),
        channel: Some(form.text("channel")).filter(|channel| !channel.is_empty()),
        comment: form.text("comment"),
    };
    let words = texts(guest.language);
    let id = &guest.request_id;
    match feedback::give(&app, &open, answers.clone(), Origin::Web, id).await {
        Ok(()) => match feedback::offers_collection(&app, &open.asked, &answers).await {
            Ok(is_offered) => done(&guest, words.thanks, is_offered.then_some(&link)),
            Err(reason) => refused(&guest, &token, reason),
        },
        Err(reason @ (NotGiven::Empty | NotGiven::Wrong(..))) => {
            let problem = match reason {
                NotGiven::Empty => words.empty,
                _ => words.wrong,
            };
            let status = StatusCode::BAD_REQUEST;
            questions(&guest, &link, &open, status, Some(problem), &answers)
        }
        Err(reason) => refused(&guest, &token, reason),
    }
}

/// Shows the form. `problem` is the reason why the answers were not stored, and `answers` are the answers so far.
fn questions(
    guest: &Guest,
    link: &Opened<'_>,
    open: &Open,
    status: StatusCode,
    problem: Option<&str>,
    answers: &Answers,
) -> Response {
    let words = texts(guest.language);
    let ratings = |chosen: Option<u8>| -> Vec<Choice> {
        let labels = (1_u8..).zip(words.ratings);
        let options = labels.map(|(rating, label)| Choice {
            value: rating.to_string(),
            label: label.to_owned(),
            is_chosen: chosen == Some(rating),
        });
        options.collect()
    };
    let channels = open.channels.iter().map(|kind| Choice {
        value: kind.clone(),
        label: feedback::channel_label(kind, guest.language),
        is_chosen: answers.channel.as_ref() == Some(kind),
    });
    let [usefulness, timing, channel] = feedback::questions(guest.language);
    let question = |name, text, options| Question {
        name,
        text,
        options,
    };
    let page = FeedbackPage {
        frame: Frame {
            problem: problem.map(str::to_owned),
            ..Frame::of_guest(guest)
        },
        heading: words.heading,
        text: words.hint.to_owned(),
        is_refused: false,
        form: Some(FeedbackForm {
            path: format!("/feedback/{}", link.token),
            form_code: link.form_code.to_owned(),
            questions: vec![
                question("usefulness", usefulness, ratings(answers.usefulness)),
                question("timing", timing, ratings(answers.timing)),
                question("channel", channel, channels.collect()),
            ],
            comment_label: words.comment,
            comment: answers.comment.clone(),
            button: words.send,
        }),
        collect: None,
    };
    html(status, guest.texts, &page)
}

/// Collects the messages of the channel, after low ratings.
async fn collect(State(app): State<App>, Path(token): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let session = match submitted(&guest, request).await {
        Ok((_, session)) => session,
        Err(failure) => return guest.failed(failure),
    };
    let by = session.as_ref().map(|session| &session.person);
    match feedback::collect(&app, &token, by, &guest.request_id).await {
        Ok(()) => done(&guest, texts(guest.language).collected, None),
        Err(reason) => refused(&guest, &token, reason),
    }
}

/// Shows the page after the answers were stored. With a link, the page offers to collect the messages of the channel.
fn done(guest: &Guest, text: &'static str, link: Option<&Opened<'_>>) -> Response {
    let words = texts(guest.language);
    let page = FeedbackPage {
        frame: Frame::of_guest(guest),
        heading: words.heading,
        text: text.to_owned(),
        is_refused: false,
        form: None,
        collect: link.map(|link| CollectForm {
            path: format!("/feedback/{}/collect", link.token),
            form_code: link.form_code.to_owned(),
            text: words.offer,
            button: words.collect,
        }),
    };
    html(StatusCode::OK, guest.texts, &page)
}

/// Shows the reason why the desk does not show the questions or does not store answers. A person who must log in gets the
/// login page, and after the login the page of the link.
fn refused(guest: &Guest, token: &str, reason: NotGiven) -> Response {
    let words = texts(guest.language);
    let (status, text) = match reason {
        NotGiven::Technical(error) => return guest.failed(error.into()),
        NotGiven::LoginRequired => {
            let mut guest = guest.clone();
            guest.here = format!("/feedback/{token}");
            return log_in_first(&guest);
        }
        NotGiven::OtherPerson => (StatusCode::FORBIDDEN, words.other_person),
        NotGiven::Unknown | NotGiven::NotAsked => (StatusCode::NOT_FOUND, words.unknown),
        NotGiven::Expired => (StatusCode::GONE, words.expired),
        NotGiven::Used => (StatusCode::CONFLICT, words.used),
        NotGiven::Empty => (StatusCode::BAD_REQUEST, words.empty),
        NotGiven::Wrong(..) => (StatusCode::BAD_REQUEST, words.wrong),
    };
    let page = FeedbackPage {
        frame: Frame::of_guest(guest),
        heading: words.refused,
        text: text.to_owned(),
        is_refused: true,
        form: None,
        collect: None,
    };
    html(status, guest.texts, &page)
}
