//! Serves the console: the pages on which people work in a browser. Each page reads a request, executes a use case and
//! shows the result as HTML. All pages also work without JavaScript. A script of the desk only updates the open page.
//!
//! **Recipe, a page**: To add a page, create one file in this folder with its `PAGE`, and a template in
//! `functions/src/console/templates`. A page that lists cards (stored summaries of objects) implements
//! [`table::Listing`] and needs no template. Then add one line to `PAGES`, and one test to `tests/console`.

mod act;
mod applications;
mod assets;
mod chat_group;
mod deliveries;
mod executions;
mod feedback;
mod flow;
mod frame;
mod live;
mod missions;
mod request;
mod session;
mod subscriptions;
mod table;
mod texts;
mod tickets;
mod unsubscribe;
mod work;

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{Method, Uri, header};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures_util::future::BoxFuture;
use infra::Error;

use crate::App;
use frame::{Failure, redirect};
use request::{Form, Guest, Visit};
use texts::Texts;

/// The result of a page or an action: a response, or the reason why the desk cannot create a normal response.
type Outcome = Result<Response, Failure>;

/// A page of the console.
struct Page {
    /// The name of the page in the URL of its live updates.
    name: &'static str,
    path: &'static str,
    /// The label in the main navigation. Pages without a label are not in the navigation.
    label: Option<fn(&Texts) -> &'static str>,
    is_for_superusers: bool,
    show: fn(Visit) -> BoxFuture<'static, Outcome>,
    /// Returns a text that changes whenever the content of the page changes.
    version: fn(Visit) -> BoxFuture<'static, Result<String, Failure>>,
    /// The forms that people can send from the page.
    actions: &'static [Action],
}

/// A form of a page. The browser sends the form with the method POST.
struct Action {
    /// The URL path to which the browser sends the form. This path consists of the path of the page and one more
    /// segment.
    path: &'static str,
    run: fn(Visit, Form) -> BoxFuture<'static, Outcome>,
}

/// All pages for people who are logged in.
const PAGES: &[Page] = &[
    work::PAGE,
    tickets::PAGE,
    subscriptions::PAGE,
    missions::PAGE,
    deliveries::PAGE,
    executions::PAGE,
    applications::PAGE,
];

/// Returns the routes of the console.
pub(super) fn routes() -> Router<App> {
    let mut router = assets::routes()
        .merge(session::routes())
        .merge(act::routes())
        .merge(feedback::routes())
        .merge(unsubscribe::routes())
        .merge(live::routes());
    for page in PAGES {
        let show = move |State(app): State<App>, parameters: RawPathParams, request: Request| {
            shown(app, page, parameters, request)
        };
        router = router.route(page.path, on(MethodFilter::GET, show));
        for action in page.actions {
            let run = move |State(app): State<App>, parameters: RawPathParams, request: Request| {
                executed(app, action, parameters, request)
            };
            // A person can open the path of a form with the method GET, for example from the history of the browser.
            // The browser then gets the page that contains the form.
            let show_page = async |uri: Uri| redirect(&page_of_action(uri.path()));
            router = router.route(
                action.path,
                on(MethodFilter::POST, run).on(MethodFilter::GET, show_page),
            );
        }
    }
    router
}

fn named(parameters: &RawPathParams) -> BTreeMap<String, String> {
    parameters
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Shows a page. A person who is not logged in gets the login page.
async fn shown(
    app: App,
    page: &'static Page,
    parameters: RawPathParams,
    request: Request,
) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let visit = match guest.clone().visit(named(&parameters)).await {
        Ok(Some(visit)) => visit,
        Ok(None) => return session::log_in_first(&guest),
        Err(error) => return guest.failed(Failure::from(error)),
    };
    let outcome = if page.is_for_superusers && !visit.may_read_operations {
        Err(Failure::Forbidden)
    } else {
        (page.show)(visit.clone()).await
    };
    outcome.unwrap_or_else(|failure| visit.failed(failure))
}

/// Returns the path of the page with the form that belongs to the path of an action.
fn page_of_action(path: &str) -> String {
    path.rsplit_once('/')
        .map_or_else(|| "/".to_owned(), |(page, _)| page.to_owned())
}

/// Returns true if a browser opens an address. Browsers accept the media type `text/html`, but programs that use an API
/// normally do not accept it.
pub(super) fn is_opened_by_browser(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT);
    request.method() == Method::GET
        && accepted
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("text/html"))
}

/// Returns the error page for an address that does not belong to any page.
pub(super) async fn no_page(app: App, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    match guest.clone().visit(BTreeMap::new()).await {
        Ok(Some(visit)) => visit.failed(Failure::NotFound),
        Ok(None) => guest.failed(Failure::NotFound),
        Err(error) => guest.failed(Failure::from(error)),
    }
}

/// Executes the action of a form. If the session has ended, the person must log in again. After the login, the browser
/// shows the page with the form.
async fn executed(
    app: App,
    action: &'static Action,
    parameters: RawPathParams,
    request: Request,
) -> Response {
    let mut guest = Guest::of(&app, request.uri(), request.headers());
    let path = request.uri().path().to_owned();
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return guest.failed(failure),
    };
    let visit = match guest.clone().visit(named(&parameters)).await {
        Ok(Some(visit)) => visit,
        Ok(None) => {
            guest.here = page_of_action(&path);
            return session::log_in_first(&guest);
        }
        Err(error) => return guest.failed(Failure::from(error)),
    };
    let outcome = match form.check(&visit.session) {
        Ok(()) => (action.run)(visit.clone(), form).await,
        Err(failure) => Err(failure),
    };
    outcome.unwrap_or_else(|failure| visit.failed(failure))
}

/// Returns the page with this name for live updates.
fn page(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Technical(error)
    }
}
