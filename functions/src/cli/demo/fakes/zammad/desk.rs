//! Contains the tickets, the people and the names of an imitated Zammad.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{PRIORITIES, STATES, stamp};
use crate::cli::demo::fakes::ticket_api::{Request, text};

const GROUPS: [&str; 1] = ["Users"];
/// The associations of a ticket that a request can set, by a name or an id.
const ASSOCIATIONS: [&str; 5] = ["state", "priority", "group", "customer", "owner"];

#[derive(Default)]
pub(super) struct Desk {
    pub(super) tickets: BTreeMap<u64, Ticket>,
    /// The logins of people. The id of a person is the place, counted from 1.
    pub(super) people: Vec<String>,
    /// The number of tickets and of articles that were created.
    pub(super) created: (u64, u64),
}

#[derive(Clone)]
pub(super) struct Ticket {
    /// The members without the names of associations.
    pub(super) members: Map<String, Value>,
    pub(super) articles: Vec<Value>,
}

impl Desk {
    pub(super) fn ticket(&self, id: &str) -> Option<(u64, Ticket)> {
        let id = id.parse().ok()?;
        Some((id, self.tickets.get(&id)?.clone()))
    }

    fn names(&self, association: &str) -> Vec<&str> {
        match association {
            "state" => STATES.to_vec(),
            "priority" => PRIORITIES.to_vec(),
            "group" => GROUPS.to_vec(),
            _ => self.people.iter().map(String::as_str).collect(),
        }
    }

    fn name(&self, association: &str, id: &Value) -> Value {
        let place = id
            .as_u64()
            .and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
        let name = place.and_then(|place| self.names(association).get(place).copied());
        name.map_or(Value::Null, Value::from)
    }

    pub(super) fn person(&self, id: &Value) -> Value {
        let login = self.name("customer", id);
        let first = text(&login);
        let first = first.split('@').next().unwrap_or_default();
        json!({ "id": id, "login": login, "email": login, "firstname": first, "lastname": "", "active": true })
    }

    /// Returns a ticket with the names of its associations.
    pub(super) fn expanded(&self, ticket: &Ticket) -> Value {
        let mut members = ticket.members.clone();
        for name in ASSOCIATIONS.into_iter().chain(["created_by", "updated_by"]) {
            let shown = self.name(name, &ticket.members[&format!("{name}_id")]);
            members.insert(name.to_owned(), shown);
        }
        members.insert("organization".to_owned(), Value::Null);
        members.insert("article_ids".to_owned(), ticket.article_ids());
        Value::Object(members)
    }

    pub(super) fn show(&self, ticket: &Ticket, request: &Request<'_>, has_articles: bool) -> Value {
        if request.is_true("expand") {
            return self.expanded(ticket);
        }
        let mut members = ticket.members.clone();
        if has_articles {
            members.insert("article_ids".to_owned(), ticket.article_ids());
        }
        Value::Object(members)
    }

    /// Changes a ticket. Returns the reason if the request is not valid. The caller stores the ticket.
    pub(super) fn change(
        &mut self,
        ticket: &mut Ticket,
        given: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), String> {
        let mut members = ticket.members.clone();
        for (name, value) in given {
            let association = name.strip_suffix("_id").unwrap_or(name);
            if ASSOCIATIONS.contains(&association) {
                let id = self.id_of(association, value)?;
                members.insert(format!("{association}_id"), json!(id));
            } else if matches!(name.as_str(), "title" | "note" | "pending_time") {
                members.insert(name.clone(), value.clone());
            }
        }
        for name in ["title", "group_id", "customer_id"] {
            if text(&members[name]).is_empty() {
                let name = name.trim_end_matches("_id");
                return Err(format!("Missing required value for field '{name}'!"));
            }
        }
        let is_pending = matches!(members["state_id"].as_u64(), Some(3 | 6));
        if is_pending && members["pending_time"].is_null() {
            return Err("Missing required value for field 'pending_time'!".into());
        }
        if members["state_id"] == 4 && ticket.members["state_id"] != 4 {
            members.insert("close_at".to_owned(), json!(stamp(now)));
        }
        let article = given.get("article").filter(|article| article.is_object());
        // An update without a change is not stored, as in Rails.
        let is_changed = members != ticket.members || article.is_some();
        if let Some(article) = article {
            if text(&article["body"]).is_empty() {
                return Err("Missing required value for field 'body'!".into());
            }
            self.created.1 += 1;
            let kind = article["type"].as_str().unwrap_or("note");
            ticket.articles.push(json!({
                "id": self.created.1, "ticket_id": members["id"], "subject": article["subject"],
                "body": article["body"], "type": kind, "internal": article["internal"].as_bool().unwrap_or(false),
                "content_type": article["content_type"].as_str().unwrap_or("text/plain"), "sender": "Agent",
                "created_by": self.people[1], "created_by_id": 2, "created_at": stamp(now), "updated_at": stamp(now),
            }));
        }
        ticket.members = members;
        if is_changed {
            let at = json!(stamp(now));
            ticket.members.insert("updated_at".to_owned(), at);
        }
        Ok(())
    }

    /// Returns the id for a name or an id. `guess:` and an address create a person.
    fn id_of(&mut self, association: &str, value: &Value) -> Result<usize, String> {
        let given = text(value);
        if let Some(address) = given.strip_prefix("guess:")
            && association == "customer"
        {
            let login = address.to_lowercase();
            if !self.people.contains(&login) {
                self.people.push(login.clone());
            }
            return self.id_of(association, &json!(login));
        }
        let names = self.names(association);
        let place = match given.parse::<usize>() {
            Ok(id) => Some(id).filter(|id| (1..=names.len()).contains(id)),
            Err(_) => names
                .iter()
                .position(|name| *name == given)
                .map(|place| place + 1),
        };
        place.ok_or_else(|| format!("No lookup value found for '{association}': {value}"))
    }
}

impl Ticket {
    fn article_ids(&self) -> Value {
        self.articles
            .iter()
            .map(|article| article["id"].clone())
            .collect()
    }
}
