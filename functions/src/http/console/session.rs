//! Shows the login page and the page of an invitation. Starts and ends sessions, and changes the language.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;

use super::frame::{Failure, Frame, html, redirect};
use super::request::{Form, Guest, LANGUAGE, SESSION, language_of, local_path};
use crate::App;
use crate::app::logins::{self, NotSet, Session};

/// The time for which the browser stores the language, in seconds: one year.
const LANGUAGE_S: i64 = 365 * 86_400;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/login", get(log_in_page).post(log_in))
        .route("/logout", get(start_page).post(log_out))
        .route("/language", get(start_page).post(change_language))
        .route("/welcome/{link}", get(welcome).post(set_password))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    /// The page that is shown after the login.
    next: String,
    user: String,
    version: &'static str,
}

/// Returns the response to a person who is not logged in. For the start page, the response is the login page itself.
/// For any other page, the response redirects the browser to the address of the login page.
pub(super) fn log_in_first(guest: &Guest) -> Response {
    if guest.here == "/" {
        return login(guest, StatusCode::OK, "/", "", None);
    }
    redirect(&login_path(&guest.here))
}

/// Returns the address of the login page that leads to the page `next` after the login.
fn login_path(next: &str) -> String {
    format!("/login?next={}", query_value(next))
}

/// Redirects the browser to the start page. This function handles GET requests to paths of forms. A person can open
/// such a path, for example from the history of the browser.
async fn start_page() -> Response {
    redirect("/")
}

/// Encodes a path for use as a query value.
fn query_value(path: &str) -> String {
    serde_urlencoded::to_string([("", path)])
        .unwrap_or_default()
        .trim_start_matches('=')
        .to_owned()
}

fn login(
    guest: &Guest,
    status: StatusCode,
    next: &str,
    user: &str,
    problem: Option<String>,
) -> Response {
    let is_asked = next != "/" && problem.is_none();
    let frame = Frame {
        problem,
        notice: if guest.asked_for("welcome").is_some() {
            Some(guest.texts.password_set)
        } else {
            is_asked.then_some(guest.texts.session_over)
        },
        here: if next == "/" {
            guest.here.clone()
        } else {
            // After a change of the language, the browser returns to this address. The address contains the page
            // `next`, which the browser shows after the login.
            login_path(next)
        },
        ..Frame::of_guest(guest)
    };
    let page = LoginPage {
        frame,
        next: next.to_owned(),
        user: user.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    };
    html(status, guest.texts, &page)
}

async fn log_in_page(State(app): State<App>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let next = local_path(guest.asked_for("next").unwrap_or("/"));
    match guest.session().await {
        Ok(Some(_)) => redirect(&next),
        Ok(None) => login(&guest, StatusCode::OK, &next, "", None),
        Err(error) => guest.failed(error.into()),
    }
}

async fn log_in(State(app): State<App>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return guest.failed(failure),
    };
    let (user, next) = (form.text("user"), local_path(&form.text("next")));
    let password = form.text("password");
    match logins::log_in(&app, &user, &password, &guest.request_id).await {
        Ok(Some(session)) => with_cookie(redirect(&next), &session_cookie(&app, Some(&session))),
        Ok(None) => {
            let problem = guest.texts.login_rejected.to_owned();
            login(&guest, StatusCode::FORBIDDEN, &next, &user, Some(problem))
        }
        Err(error) => {
            let failure = Failure::from(error);
            let text = failure.text(guest.texts, &guest.request_id);
            match &failure {
                Failure::Technical(error) if matches!(error.kind, infra::Kind::Limited { .. }) => {
                    login(
                        &guest,
                        StatusCode::TOO_MANY_REQUESTS,
                        &next,
                        &user,
                        Some(text),
                    )
                }
                _ => guest.failed(failure),
            }
        }
    }
}

async fn log_out(State(app): State<App>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return guest.failed(failure),
    };
    let ended = match guest.session().await {
        Ok(Some(session)) => match form.check(&session) {
            Ok(()) => logins::log_out(&app, &session, &guest.request_id).await,
            Err(failure) => return guest.failed(failure),
        },
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => with_cookie(redirect("/"), &session_cookie(&app, None)),
        Err(error) => guest.failed(error.into()),
    }
}

async fn change_language(State(app): State<App>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return guest.failed(failure),
    };
    if language_of(&form.text("language")).is_none() {
        return guest.failed(Failure::BadForm);
    }
    let tag = form.text("language");
    let cookie = cookie(&app, LANGUAGE, &tag, LANGUAGE_S);
    with_cookie(redirect(&local_path(&form.text("next"))), &cookie)
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    frame: Frame,
    /// The user name of the invited person, or `None` if the invitation is not valid.
    user: Option<String>,
    rule: String,
}

async fn welcome(State(app): State<App>, Path(link): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    match logins::invited(&app, &link).await {
        Ok(user) => welcome_page(&guest, user, None),
        Err(error) => guest.failed(error.into()),
    }
}

fn welcome_page(guest: &Guest, user: Option<String>, problem: Option<String>) -> Response {
    let status = match (&user, &problem) {
        (None, _) => StatusCode::NOT_FOUND,
        (Some(_), Some(_)) => StatusCode::BAD_REQUEST,
        (Some(_), None) => StatusCode::OK,
    };
    let page = WelcomePage {
        frame: Frame {
            problem,
            ..Frame::of_guest(guest)
        },
        user,
        rule: (guest.texts.password_rule)(),
    };
    html(status, guest.texts, &page)
}

async fn set_password(
    State(app): State<App>,
    Path(link): Path<String>,
    request: Request,
) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return guest.failed(failure),
    };
    let (password, again) = (form.text("password"), form.text("again"));
    let user = match logins::invited(&app, &link).await {
        Ok(user) => user,
        Err(error) => return guest.failed(error.into()),
    };
    if password != again {
        let problem = guest.texts.passwords_differ.to_owned();
        return welcome_page(&guest, user, Some(problem));
    }
    match logins::accept(&app, &link, &password, &guest.request_id).await {
        Ok(_) => redirect("/login?welcome=1"),
        Err(NotSet::NotInvited) => welcome_page(&guest, None, None),
        Err(NotSet::Weak(weak)) => welcome_page(&guest, user, Some((guest.texts.weak)(weak))),
        Err(NotSet::Technical(error)) => guest.failed(error.into()),
    }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Returns the header value that stores the session cookie. If `session` is `None`, the header removes the cookie.
fn session_cookie(app: &App, session: Option<&Session>) -> String {
    match session {
        Some(session) => cookie(app, SESSION, &session.cookie, session.max_age_s),
        None => cookie(app, SESSION, "", 0),
    }
}

/// Returns the header value that stores a cookie. Scripts cannot read the cookie. Pages of other sites cannot
/// send the cookie with a form. If the desk has an HTTPS address, the browser sends the cookie only over HTTPS.
fn cookie(app: &App, name: &str, value: &str, max_age_s: i64) -> String {
    let secure = if app.settings.site.starts_with("https://") {
        "; Secure"
    } else {
        ""
    };
    format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}")
}
