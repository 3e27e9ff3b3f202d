//! Creates the parts that all pages have in common: the navigation, the response headers, the error pages, and the
//! display of dates and times.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::ticket::Rejection;
use events::Moment;
use events::person::Language;
use infra::Error;
use jiff::Timestamp;

use super::PAGES;
use super::assets;
use super::request::{Guest, Visit};
use super::texts::Texts;
use crate::App;
use crate::app::times;

/// The content security policy of all pages. The pages use only scripts and styles of this desk.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// A link of the main navigation.
pub(super) struct Link {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
    pub(super) is_current: bool,
}

/// The data that an open page needs to receive live updates.
pub(super) struct Live {
    pub(super) url: String,
    /// The version of the content that the page shows.
    pub(super) version: String,
    /// `stream` if the server sends changes to the browser, and `poll` if the browser must request changes.
    pub(super) transport: &'static str,
}

/// The parts of a page around its main content, such as the navigation and messages.
pub(super) struct Frame {
    pub(super) t: &'static Texts,
    /// The user name of the person who is logged in.
    pub(super) user: Option<String>,
    pub(super) form_code: String,
    pub(super) links: Vec<Link>,
    /// The URL path and the query of the page.
    pub(super) here: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) live: Option<Live>,
    /// A message about the success of an action.
    pub(super) notice: Option<&'static str>,
    /// A message about an action that was not completed.
    pub(super) problem: Option<String>,
}

impl Frame {
    pub(super) fn of_guest(guest: &Guest) -> Self {
        Self {
            t: guest.texts,
            user: None,
            form_code: String::new(),
            links: Vec::new(),
            here: guest.here.clone(),
            style: assets::style(),
            script: assets::script(),
            live: None,
            notice: None,
            problem: None,
        }
    }

    pub(super) fn of(visit: &Visit) -> Self {
        let path = visit.guest.here.split('?').next().unwrap_or_default();
        let links = PAGES.iter().filter_map(|page| {
            let label = page.label?;
            (visit.may_read_operations || !page.is_for_superusers).then(|| Link {
                href: page.path,
                label: label(visit.texts()),
                is_current: page.path == path,
            })
        });
        Self {
            user: Some(visit.session.user.clone()),
            form_code: visit.session.form_code.clone(),
            links: links.collect(),
            ..Self::of_guest(&visit.guest)
        }
    }

    /// Adds the data for live updates of the page with the given name. `query` contains the URL parameters that
    /// select the content of the page.
    pub(super) fn with_live(mut self, app: &App, name: &str, query: &str, version: String) -> Self {
        self.live = Some(Live {
            url: format!("/live/{name}?{query}"),
            version,
            transport: if app.settings.is_streaming {
                "stream"
            } else {
                "poll"
            },
        });
        self
    }
}

/// The reason why a page or an action has no normal response.
#[derive(Debug)]
pub(super) enum Failure {
    NotFound,
    NoTicket,
    Forbidden,
    BadForm,
    OtherSite,
    Technical(Error),
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    heading: &'static str,
    text: String,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoTicket => StatusCode::NOT_FOUND,
            Self::Forbidden | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::Technical(error) => match error.kind {
                infra::Kind::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
                infra::Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// Returns the text that explains this failure to the person.
    pub(super) fn text(&self, texts: &Texts, request_id: &str) -> String {
        match self {
            Self::NotFound => texts.not_found.into(),
            Self::NoTicket => texts.not_found_ticket.into(),
            Self::Forbidden => texts.forbidden_page.into(),
            Self::BadForm => texts.bad_form.into(),
            Self::OtherSite => texts.other_site.into(),
            Self::Technical(error) => match error.kind {
                infra::Kind::Limited { retry_after_s } => (texts.too_often)(retry_after_s),
                _ if error.is_transient() => texts.unavailable.into(),
                _ => (texts.internal)(request_id),
            },
        }
    }

    /// Returns the error page for this failure.
    pub(super) fn shown(self, frame: Frame, texts: &'static Texts, request_id: &str) -> Response {
        if let Self::Technical(error) = &self
            && !matches!(error.kind, infra::Kind::Limited { .. })
        {
            tracing::error!(%error, request_id, "a page was not shown");
        }
        let page = ProblemPage {
            frame,
            heading: texts.problem,
            text: self.text(texts, request_id),
        };
        html(self.status(), texts, &page)
    }
}

/// Returns the HTTP status of the page that shows a rejected action on a ticket.
pub(super) fn status_of(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::NotAllowed { .. }
        | Rejection::NotAllowedOnTicket(_)
        | Rejection::NotAllowedToSee(_) => StatusCode::FORBIDDEN,
        Rejection::MessageTooLong | Rejection::ReasonTooLong | Rejection::TextUnfit(_) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::CONFLICT,
    }
}

/// Renders a page and returns an HTTP response with the page and the common headers.
pub(super) fn html(status: StatusCode, texts: &Texts, page: &impl Template) -> Response {
    let text = match page.render() {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "a template was not rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, texts.tag),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        // A page contains data of one person, so no proxy and no browser may store it.
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    (status, headers, text).into_response()
}

/// Returns a response that redirects the browser to another page of this desk. The browser requests this page
/// with the method GET.
pub(super) fn redirect(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.to_owned())]).into_response()
}

/// A time in two formats: one for programs and one for people.
pub(super) struct When {
    /// The time in the format of RFC 3339.
    pub(super) iso: String,
    pub(super) text: String,
}

/// Returns a time in the time zone of the desk.
pub(super) fn when(app: &App, language: Language, at: Moment) -> When {
    let zoned = Timestamp::from_millisecond(at.0)
        .unwrap_or_default()
        .to_zoned_datetime(app.settings.zone.clone());
    let format = match language {
        Language::Chinese => "%Y-%m-%d %H:%M:%S",
        Language::English => "%-d %b %Y, %H:%M:%S",
    };
    When {
        iso: times::in_zone(at, &app.settings.zone),
        text: zoned.strftime(format).to_string(),
    }
}
