//! Contains helper functions for the configuration resources of the API `/v1`. Every caller may
//! read the configuration, but only superusers may change it.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::permission::{Operation, Relations};
use domain::views::Card;
use events::Meta;
use events::workflow::Choice;
use infra::Error;
use infra::views::{Entry, Range};

use super::problem::Problem;
use super::request::Asked;
use super::resource::{PAGE_SIZE_MAX, PAGES_MAX};
use super::shape::{named, quoted};
use crate::App;
pub(super) use crate::app::cards::CardList;
use crate::app::{cards, permissions};

/// Maximum number of objects that are read from a view (a stored table) for one list.
pub(super) const LIST_MAX: usize = 1000;
/// Maximum number of characters in the name or the code of a configuration object.
pub(super) const NAME_MAX: usize = 64;

pub(super) fn wrong_method(method: &Method) -> Problem {
    Problem::method(format!("{method} is not allowed on this path"))
}

/// Returns the metadata for the commits of a configuration change. Returns an error if the acting
/// user may not change the configuration ([`Operation::ChangeConfiguration`]).
pub(super) async fn changes_configuration(request: &Asked) -> Result<Meta, Problem> {
    permitted(request, Operation::ChangeConfiguration).await
}

/// Returns the metadata of the request. Returns an error if the acting user may not read what the
/// whole desk does ([`Operation::ReadOperations`]).
pub(super) async fn reads_operations(request: &Asked) -> Result<Meta, Problem> {
    permitted(request, Operation::ReadOperations).await
}

async fn permitted(request: &Asked, operation: Operation) -> Result<Meta, Problem> {
    let pid = request.app.people.find(request.user()?).await?;
    if permissions::may(&request.app, operation, &pid, Relations::NONE).await? {
        Ok(request.meta(pid))
    } else {
        Err(Problem::denied(operation, "only superusers may do this"))
    }
}

/// Returns the index entries of all objects in a view (a stored table), ordered by the id of the
/// object. The result has at most [`LIST_MAX`] entries.
pub(super) async fn entries(app: &App, view: &str) -> Result<Vec<Entry>, Error> {
    let range = Range {
        view,
        index: "id",
        from: "",
        to: "~",
        descending: false,
        skip: 0,
        limit: LIST_MAX,
    };
    app.views.range(range).await
}

/// Returns one page of the cards (stored summaries of objects) in `list`, latest first, and the
/// number of all cards in `list`. The function `shown` converts a card and the name of its event
/// stream to the type of the response.
pub(super) async fn page_of<C: Card, T>(
    request: &Asked,
    list: &CardList,
    shown: impl Fn(&str, &C) -> T,
) -> Result<(u64, Vec<T>), Problem> {
    let size = request.number("page_size", 20, PAGE_SIZE_MAX)?;
    let page = request.number("page", 1, PAGES_MAX)?;
    let documents = cards::documents::<C>(&request.app, list, page, size).await?;
    let selected = documents.cards::<C>(&request.app.ledger).await?;
    let items = selected.iter().map(|(stream, card)| shown(stream, card));
    Ok((documents.count, items.collect()))
}

/// Returns the name of the event stream of one object. `aggregate` is the kind of the object, and
/// `id` must have 32 hexadecimal digits. Returns `None` for any other id.
pub(super) fn stream_of(aggregate: &str, id: &str) -> Option<String> {
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| format!("{aggregate}-{id}"))
}

/// Parses an id from a URL path. Accepts only a positive decimal number without leading zeros.
/// `what` is the kind of object for the error message.
pub(super) fn number(text: &str, what: &str) -> Result<i64, Problem> {
    let id = text
        .parse()
        .ok()
        .filter(|id: &i64| *id > 0 && id.to_string() == text);
    id.ok_or_else(|| Problem::not_found(format!("there is no {what} {}", quoted(text))))
}

/// Returns whether a text is a valid display name. The name must not be blank or too long, and must
/// not contain control characters.
pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= NAME_MAX
        && !name.chars().any(char::is_control)
}

/// Checks a list of options. Returns an error if an option has no key, or if two options of one
/// list have the same key. The function also checks the lists inside an option. `at` is the JSON
/// pointer of the list.
pub(super) fn check_options(items: &[Choice], at: &str) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for (number, item) in items.iter().enumerate() {
        let field = format!("{at}/{number}/key");
        if item.key.trim().is_empty() {
            return Err(Problem::malformed(
                &field,
                format!("{} is empty", named(&field)),
            ));
        }
        if !seen.insert(item.key.as_str()) {
            return Err(Problem::malformed(
                &field,
                format!(
                    "{} must be unique among its siblings: {}",
                    named(&field),
                    quoted(&item.key)
                ),
            ));
        }
        check_options(&item.items, &format!("{at}/{number}/items"))?;
    }
    Ok(())
}

/// Checks a dictionary code or a field key. The text may contain only ASCII letters, digits and
/// underscores, and it must not be too long. `what` is the name of the member that contains the
/// text.
pub(super) fn check_code(code: &str, what: &str) -> Result<(), Problem> {
    let is_word = !code.is_empty()
        && code.len() <= NAME_MAX
        && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_word {
        Ok(())
    } else {
        Err(Problem::malformed(
            what,
            format!("`{what}` must have 1 to {NAME_MAX} letters, digits and underscores"),
        ))
    }
}

/// Returns an error if the request changes a member that cannot change. `key` is the name of the
/// member, and `known` is its stored value. The request may omit the member or repeat the stored
/// value.
pub(super) fn same(request: &Asked, key: &str, known: &str) -> Result<(), Problem> {
    match request.text(key)? {
        Some(given) if given != known => Err(Problem::malformed(
            &format!("/{key}"),
            format!("`{key}` is {known} and cannot change"),
        )),
        _ => Ok(()),
    }
}
