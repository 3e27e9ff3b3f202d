//! Imitates Zammad with its REST API: tickets with articles, pages of tickets, and the search.

mod desk;
mod query;

use std::sync::{Mutex, MutexGuard};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::desk::{Desk, Ticket};
use self::query::Query;
use super::ticket_api::{Admission, Denied, Reply, Request, TicketApi, served, text};

/// Maximum number of tickets in a page of the list, and the default.
const PAGE_MAX: usize = 100;
/// Maximum number of tickets in a page of the search.
const SEARCH_MAX: usize = 200;
/// Number of tickets in a page of the search if the request names no number.
const SEARCH_DEFAULT: usize = 50;
/// The states of tickets. The id of a state is its place, counted from 1.
const STATES: [&str; 6] = [
    "new",
    "open",
    "pending reminder",
    "closed",
    "merged",
    "pending close",
];
const PRIORITIES: [&str; 3] = ["1 low", "2 normal", "3 high"];

/// An imitated Zammad.
pub struct Zammad {
    admission: Admission,
    now: fn() -> Timestamp,
    desk: Mutex<Desk>,
}

served!(Zammad);

impl Zammad {
    /// Creates a Zammad without tickets and with the given people. Requests must have the user with the password, or the
    /// password as token.
    pub fn new(user: &str, secret: &str, people: &[&str], now: fn() -> Timestamp) -> Self {
        let people = ["-", user].into_iter().chain(people.iter().copied());
        Self {
            admission: Admission::new(user, secret, &["Token token=", "Bearer "]),
            now,
            desk: Mutex::new(Desk {
                people: people.map(str::to_owned).collect(),
                ..Desk::default()
            }),
        }
    }

    /// Returns a ticket by its id, as the API returns it with `expand=true`.
    pub fn record(&self, id: &str) -> Option<Value> {
        let desk = self.desk();
        let ticket = desk.tickets.get(&id.parse().ok()?)?;
        Some(desk.expanded(ticket))
    }

    /// Returns the body of the webhook that Zammad sends after a change of the ticket.
    pub fn webhook(&self, id: &str) -> Option<Value> {
        let desk = self.desk();
        let ticket = desk.tickets.get(&id.parse().ok()?)?;
        let mut shown = desk.expanded(ticket);
        for name in ["customer", "owner", "created_by", "updated_by"] {
            shown[name] = desk.person(&shown[format!("{name}_id")]);
        }
        for name in ["group", "priority"] {
            shown[name] =
                json!({ "id": shown[format!("{name}_id")], "name": shown[name], "active": true });
        }
        shown["article_count"] = json!(ticket.articles.len());
        let article = ticket.articles.last().cloned().unwrap_or(Value::Null);
        Some(json!({ "ticket": shown, "article": article }))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no holder panics")
    }

    fn list(&self, request: &Request<'_>) -> Reply {
        let desk = self.desk();
        let tickets = page(desk.tickets.values(), request, PAGE_MAX, PAGE_MAX);
        let shown = tickets.map(|ticket| desk.show(ticket, request, false));
        Reply::ok(shown.collect())
    }

    fn search(&self, request: &Request<'_>) -> Reply {
        let query = match Query::parse(request.parameter("query").unwrap_or_default()) {
            Ok(query) => query,
            Err(reason) => return failed(StatusCode::UNPROCESSABLE_ENTITY, &reason),
        };
        let desk = self.desk();
        let tickets = desk.tickets.values();
        let mut found: Vec<&Ticket> = tickets
            .filter(|one| query.matches(&desk.expanded(one)))
            .collect();
        let field = request.parameter("sort_by").unwrap_or("updated_at");
        let is_ascending = request.parameter("order_by") == Some("asc");
        let key = |ticket: &Ticket| match &ticket.members[field] {
            Value::Number(number) => (number.as_u64(), String::new()),
            value => (None, text(value)),
        };
        if found
            .iter()
            .any(|ticket| !ticket.members.contains_key(field))
        {
            let reason = format!("Found invalid column '{field}' for sorting.");
            return failed(StatusCode::UNPROCESSABLE_ENTITY, &reason);
        }
        found.sort_by(|left, right| {
            let order = key(left).cmp(&key(right));
            if is_ascending { order } else { order.reverse() }
        });
        let found = page(found.into_iter(), request, SEARCH_DEFAULT, SEARCH_MAX);
        if request.is_true("expand") {
            return Reply::ok(found.map(|ticket| desk.expanded(ticket)).collect());
        }
        let found: Vec<&Ticket> = found.collect();
        let assets = found.iter().map(|ticket| {
            let id = text(&ticket.members["id"]);
            (id, Value::Object(ticket.members.clone()))
        });
        let assets: Map<String, Value> = assets.collect();
        let ids = found.iter().map(|ticket| &ticket.members["id"]);
        Reply::ok(json!({
            "tickets": ids.collect::<Vec<_>>(), "tickets_count": found.len(), "assets": { "Ticket": assets },
        }))
    }

    fn create(&self, request: &Request<'_>) -> Reply {
        let Some(given) = request.members() else {
            return unreadable();
        };
        let (mut desk, now) = (self.desk(), (self.now)());
        let id = desk.created.0 + 1;
        let (at, number) = (stamp(now), (10_000 + id).to_string());
        let members = json!({
            "id": id, "number": number, "title": null, "state_id": 1, "priority_id": 2, "group_id": null,
            "customer_id": null, "owner_id": 1, "organization_id": null, "created_by_id": 2, "updated_by_id": 2,
            "pending_time": null, "close_at": null, "note": null, "created_at": at, "updated_at": at,
        });
        let Value::Object(members) = members else {
            return unreadable();
        };
        let mut ticket = Ticket {
            members,
            articles: Vec::new(),
        };
        if let Err(reason) = desk.change(&mut ticket, &given, now) {
            return failed(StatusCode::UNPROCESSABLE_ENTITY, &reason);
        }
        desk.created.0 = id;
        let reply = Reply::new(StatusCode::CREATED, desk.show(&ticket, request, true));
        desk.tickets.insert(id, ticket);
        reply
    }

    fn one(&self, id: &str, request: &Request<'_>) -> Reply {
        let mut desk = self.desk();
        let Some((id, ticket)) = desk.ticket(id) else {
            return missing("Ticket", id);
        };
        match request.method {
            "GET" => Reply::ok(desk.show(&ticket, request, false)),
            "DELETE" => {
                desk.tickets.remove(&id);
                Reply::ok(Value::Null)
            }
            "PUT" => {
                let Some(given) = request.members() else {
                    return unreadable();
                };
                let mut ticket = ticket;
                if let Err(reason) = desk.change(&mut ticket, &given, (self.now)()) {
                    return failed(StatusCode::UNPROCESSABLE_ENTITY, &reason);
                }
                let reply = Reply::ok(desk.show(&ticket, request, true));
                desk.tickets.insert(id, ticket);
                reply
            }
            _ => missing("Ticket", request.path),
        }
    }

    fn add_article(&self, request: &Request<'_>) -> Reply {
        let Some(given) = request.members() else {
            return unreadable();
        };
        let id = given.get("ticket_id").map(text).unwrap_or_default();
        let mut desk = self.desk();
        let Some((id, mut ticket)) = desk.ticket(&id) else {
            return missing("Ticket", &id);
        };
        let article = json!({ "article": given });
        let Value::Object(article) = article else {
            return unreadable();
        };
        if let Err(reason) = desk.change(&mut ticket, &article, (self.now)()) {
            return failed(StatusCode::UNPROCESSABLE_ENTITY, &reason);
        }
        let article = ticket.articles.last().cloned().unwrap_or(Value::Null);
        desk.tickets.insert(id, ticket);
        Reply::new(StatusCode::CREATED, article)
    }
}

impl TicketApi for Zammad {
    fn admission(&self) -> &Admission {
        &self.admission
    }

    fn denied(&self, reason: Denied) -> Reply {
        match reason {
            // A request without credentials is forbidden, and not unauthorized.
            Denied::Anonymous => failed(StatusCode::FORBIDDEN, "Authentication required"),
            Denied::WrongCredentials => {
                failed(StatusCode::UNAUTHORIZED, "Invalid BasicAuth credentials")
            }
            Denied::RateLimited => failed(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        }
    }

    fn respond(&self, request: &Request<'_>) -> Reply {
        let segments = request.segments();
        let ["api", "v1", rest @ ..] = segments.as_slice() else {
            return missing("Resource", request.path);
        };
        match (request.method, rest) {
            ("GET", ["users", "me"]) => Reply::ok(self.desk().person(&json!(2))),
            ("GET", ["users", id]) => {
                let desk = self.desk();
                match desk.person(&json!(id.parse::<u64>().unwrap_or_default())) {
                    person if person["login"].is_null() => missing("User", id),
                    person => Reply::ok(person),
                }
            }
            ("GET", ["ticket_states"]) => Reply::ok(named(&STATES)),
            ("GET", ["ticket_priorities"]) => Reply::ok(named(&PRIORITIES)),
            ("GET", ["tickets"]) => self.list(request),
            ("GET" | "POST", ["tickets", "search"]) => self.search(request),
            ("POST", ["tickets"]) => self.create(request),
            (_, ["tickets", id]) => self.one(id, request),
            ("POST", ["ticket_articles"]) => self.add_article(request),
            ("GET", ["ticket_articles", "by_ticket", id]) => match self.desk().ticket(id) {
                Some((_, ticket)) => Reply::ok(Value::Array(ticket.articles)),
                None => missing("Ticket", id),
            },
            _ => missing("Resource", request.path),
        }
    }
}

/// Returns the tickets of one page.
fn page<'a>(
    tickets: impl Iterator<Item = &'a Ticket>,
    request: &Request<'_>,
    default: usize,
    maximum: usize,
) -> impl Iterator<Item = &'a Ticket> {
    let size = request
        .number("per_page")
        .or_else(|| request.number("limit"));
    let size = size.unwrap_or(default).min(maximum);
    let page = request.number("page").unwrap_or(1).max(1);
    tickets.skip((page - 1).saturating_mul(size)).take(size)
}

fn named(names: &[&str]) -> Value {
    let named = names.iter().zip(1..);
    named
        .map(|(name, id)| json!({ "id": id, "name": name, "active": true }))
        .collect()
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn failed(status: StatusCode, reason: &str) -> Reply {
    Reply::new(status, json!({ "error": reason, "error_human": reason }))
}

fn missing(kind: &str, id: &str) -> Reply {
    failed(
        StatusCode::NOT_FOUND,
        &format!("Couldn't find {kind} with 'id'={id}"),
    )
}

fn unreadable() -> Reply {
    failed(StatusCode::BAD_REQUEST, "The payload is not valid JSON.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(zammad: &Zammad, method: &str, url: &str, body: &Value) -> Reply {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/api/v1/{path}");
        zammad.respond(&Request::new(method, &path, query, body.as_bytes()))
    }

    #[test]
    fn names_are_only_in_expanded_tickets_and_in_webhooks() {
        let zammad = Zammad::new("desk", "secret", &[], || Timestamp::UNIX_EPOCH);
        let body = json!({
            "title": "Printer", "group": "Users", "customer_id": "guess:lisi@example.com",
            "article": { "subject": "Printer", "body": "It is broken" },
        });
        let created = send(&zammad, "POST", "tickets", &body);
        assert_eq!(
            (created.status, &created.body["state"]),
            (StatusCode::CREATED, &Value::Null)
        );
        for (body, status) in [
            (json!({ "state": "closed" }), 200),
            (json!({ "state_id": 2 }), 200),
            (json!({ "state": "unknown" }), 422),
            (json!({ "state": "pending close" }), 422),
        ] {
            let reply = send(&zammad, "PUT", "tickets/1?expand=true", &body);
            assert_eq!(reply.status.as_u16(), status, "{body}");
        }
        let found = send(
            &zammad,
            "GET",
            "tickets/search?query=state.name:open&expand=true",
            &Value::Null,
        );
        assert_eq!(found.body[0]["customer"], "lisi@example.com");
        let ticket = zammad.webhook("1").expect("the ticket")["ticket"].take();
        assert_eq!(
            (&ticket["state"], &ticket["priority"]["name"]),
            (&json!("open"), &json!("2 normal"))
        );
        assert_eq!(ticket["customer"]["login"], "lisi@example.com");
    }
}
