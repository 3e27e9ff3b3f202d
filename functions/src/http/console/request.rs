//! Reads the requests of the console: the language, the session of the person, and the fields of forms.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use domain::permission::{Operation, Relations};
use events::Meta;
use events::person::Language;
use infra::Error;
use serde_json::{Map, Value};

use super::frame::{Failure, Frame};
use super::texts::{Texts, texts};
use crate::App;
use crate::app::logins::{self, Session};
use crate::app::permissions;
use crate::http::blueking::render::request_id;
use crate::http::{body, language};

/// The name of the cookie that contains the secret code of the session.
pub(super) const SESSION: &str = "ledgerdesk_session";
/// The name of the cookie that contains the language chosen by the person.
pub(super) const LANGUAGE: &str = "ledgerdesk_language";
/// Maximum size of a submitted form, in bytes. The texts of all form fields are much shorter.
const FORM_BYTES_MAX: usize = 256 << 10;
/// The name of the form field that contains the form code of the session. Only pages of this desk contain this
/// code.
const FORM_CODE: &str = "form_code";

/// A request whose sender is not identified yet.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) app: App,
    pub(super) language: Language,
    pub(super) texts: &'static Texts,
    /// The path and the query of the request.
    pub(super) here: String,
    pub(super) query: Map<String, Value>,
    pub(super) request_id: String,
    cookie: Option<String>,
}

impl Guest {
    pub(super) fn of(app: &App, uri: &Uri, headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, LANGUAGE).and_then(|tag| language_of(&tag));
        let language = chosen.unwrap_or_else(|| language::accepted(headers));
        let here = uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            app: app.clone(),
            language,
            texts: texts(language),
            here: here.to_owned(),
            query: body::pairs(uri.query().unwrap_or_default().as_bytes()),
            request_id: request_id(headers, app),
            cookie: cookie(headers, SESSION),
        }
    }

    /// Identifies the person by the session cookie. `parameters` are the parameters in the path. Returns `None`
    /// if the person is not logged in.
    pub(super) async fn visit(
        self,
        parameters: BTreeMap<String, String>,
    ) -> Result<Option<Visit>, Error> {
        let Some(session) = self.session().await? else {
            return Ok(None);
        };
        let may_read_operations = permissions::may(
            &self.app,
            Operation::ReadOperations,
            &session.person,
            Relations::NONE,
        )
        .await?;
        Ok(Some(Visit {
            guest: self,
            session,
            may_read_operations,
            parameters,
        }))
    }

    /// Returns the session that belongs to the session cookie. Returns `None` if the person is not logged in.
    pub(super) async fn session(&self) -> Result<Option<Session>, Error> {
        match &self.cookie {
            Some(cookie) => logins::session(&self.app, cookie).await,
            None => Ok(None),
        }
    }

    /// Returns the session of the person who sent a form on a page that is also open to people without a login. Returns
    /// `None` if the form does not contain the form code of the session: a page of another website can have sent it.
    pub(super) async fn session_of(&self, form: &Form) -> Result<Option<Session>, Error> {
        let session = self.session().await?;
        Ok(session.filter(|session| form.check(session).is_ok()))
    }

    /// Returns a query parameter. Returns `None` if the parameter is absent or empty.
    pub(super) fn asked_for(&self, key: &str) -> Option<&str> {
        self.query
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Returns the number of the requested page of a list. The first page has the number 1.
    pub(super) fn page_number(&self) -> usize {
        let number = self.asked_for("page").and_then(|text| text.parse().ok());
        number.unwrap_or(1).clamp(1, PAGES_MAX)
    }

    pub(super) fn failed(&self, failure: Failure) -> Response {
        failure.shown(Frame::of_guest(self), self.texts, &self.request_id)
    }
}

/// The largest page number of a list.
const PAGES_MAX: usize = 10_000;

/// A request of a person who is logged in.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) guest: Guest,
    pub(super) session: Session,
    pub(super) may_read_operations: bool,
    parameters: BTreeMap<String, String>,
}

impl Visit {
    pub(super) fn app(&self) -> &App {
        &self.guest.app
    }

    pub(super) fn texts(&self) -> &'static Texts {
        self.guest.texts
    }

    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    pub(super) fn meta(&self) -> Meta {
        self.session.meta(&self.guest.request_id)
    }

    pub(super) fn failed(&self, failure: Failure) -> Response {
        failure.shown(Frame::of(self), self.texts(), &self.guest.request_id)
    }
}

/// The fields of a form that a browser sent.
#[derive(Clone, Debug)]
pub(super) struct Form(Map<String, Value>);

impl Form {
    /// Reads a form from a request. Returns an error if a page of another website sent the form.
    pub(super) async fn read(app: &App, request: Request) -> Result<Self, Failure> {
        let headers = request.headers();
        if !is_from_here(headers, &app.settings.site) {
            return Err(Failure::OtherSite);
        }
        let is_form = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Err(Failure::BadForm);
        }
        let bytes = body::read(request.into_body(), FORM_BYTES_MAX)
            .await
            .map_err(|_| Failure::BadForm)?;
        Ok(Self(body::pairs(&bytes)))
    }

    /// Checks that the form contains the form code of the session. A page of another website cannot read this
    /// code.
    pub(super) fn check(&self, session: &Session) -> Result<(), Failure> {
        let given = blake3::hash(self.text(FORM_CODE).as_bytes());
        // The comparison of two blake3 hashes takes constant time. The response time therefore reveals nothing
        // about the code.
        if given == blake3::hash(session.form_code.as_bytes()) {
            Ok(())
        } else {
            Err(Failure::BadForm)
        }
    }

    /// Returns a field as text. An absent field is an empty text. Browsers send line breaks as CR LF, and the
    /// result contains only LF.
    pub(super) fn text(&self, key: &str) -> String {
        let text = self.0.get(key).and_then(Value::as_str).unwrap_or_default();
        text.replace("\r\n", "\n")
    }
}

/// Returns true if a page of this desk sent the request. Also returns true if the headers contain no
/// information about the page that sent the request.
fn is_from_here(headers: &HeaderMap, site: &str) -> bool {
    let text = |name: header::HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let site_relation = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    if site_relation.is_some_and(|relation| !matches!(relation, "same-origin" | "none")) {
        return false;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return true;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    let own = [
        text(header::HOST),
        site.split_once("://")
            .map(|(_, rest)| rest.split('/').next().unwrap_or_default().to_owned()),
    ];
    host.is_some_and(|host| own.iter().flatten().any(|own| own == host))
}

/// Returns the value of a cookie. If the request contains the cookie twice, the function returns the first
/// value.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// Returns the language for a language tag, such as `zh-CN`. Returns `None` if the console does not support the
/// language.
pub(super) fn language_of(tag: &str) -> Option<Language> {
    match tag {
        "zh-CN" => Some(Language::Chinese),
        "en" => Some(Language::English),
        _ => None,
    }
}

/// Returns the given text if the text is a path of this desk to which the browser may be redirected. Returns
/// `/` for any other text, so that a link cannot redirect people to another website.
pub(super) fn local_path(text: &str) -> String {
    let is_local = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if is_local {
        text.to_owned()
    } else {
        "/".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_paths_of_this_desk_are_redirect_targets() {
        for path in ["/", "/tickets/REQ1", "/?list=todo&page=2", "/a%20b"] {
            assert_eq!(local_path(path), path);
        }
        for other in [
            "",
            "https://example.com",
            "//example.com",
            "/\\example.com",
            "\\\\example.com",
            "/a b",
            "/a\r\nset-cookie: x=y",
            "javascript:alert(1)",
            "tickets/REQ1",
            "/中文",
        ] {
            assert_eq!(local_path(other), "/", "{other:?}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_rejected() {
        let site = "https://itsm.example.com/desk";
        for own in [
            &[][..],
            &[
                ("host", "127.0.0.1:8080"),
                ("origin", "http://127.0.0.1:8080"),
            ],
            &[("host", "inner:80"), ("origin", "https://itsm.example.com")],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(is_from_here(&headers(own), site), "{own:?}");
        }
        for other in [
            &[
                ("host", "127.0.0.1:8080"),
                ("origin", "http://127.0.0.1:9090"),
            ][..],
            &[("host", "127.0.0.1:8080"), ("origin", "null")],
            &[
                ("host", "itsm.example.com"),
                ("origin", "https://itsm.example.com.evil.example"),
            ],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert!(!is_from_here(&headers(other), site), "{other:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_other_cookies() {
        let sent = headers(&[(
            "cookie",
            "a=1; ledgerdesk_language=en;ledgerdesk_languages=x",
        )]);
        assert_eq!(cookie(&sent, LANGUAGE).as_deref(), Some("en"));
        assert_eq!(cookie(&sent, SESSION), None);
    }
}
