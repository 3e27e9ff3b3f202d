//! Reads the people of an export: their user names, their addresses, and the members of teams.

use std::collections::BTreeMap;

use events::PersonId;
use serde_json::Value;

use super::super::person;
use super::contacts::Contact;
use super::lists::{inner_list, is_false, is_true, list, text, texts};
use super::{Mapping, Outcome, line, renamed};
use crate::app::notifications::preferences::check_address;

/// The people of an export.
#[derive(Default)]
pub(super) struct People {
    /// The people by their ids and by their user names in the export.
    by_key: BTreeMap<String, PersonId>,
    /// The user names in the export, by the user names of the desk.
    taken: BTreeMap<String, String>,
}

impl People {
    pub(super) fn get(&self, key: &str) -> Option<&PersonId> {
        self.by_key.get(key)
    }

    /// Returns the person of a participant or a recipient of Opsgenie. The export can contain the id, the user name or
    /// both.
    pub(super) fn of(&self, user: &Value) -> Result<PersonId, String> {
        let (id, name) = (text(user, "id"), text(user, "username"));
        match [id, name].into_iter().find_map(|key| self.get(key)) {
            Some(person) => Ok(person.clone()),
            None if name.is_empty() => Err(format!("the user {id} is not in the file")),
            None => person("user", local_part(name)),
        }
    }

    /// Adds a person with the user name `name` of the desk. Returns an English text if the name is no user name, or if
    /// another person of the export has it.
    pub(super) fn add(&mut self, id: &str, foreign: &str, name: &str) -> Result<PersonId, String> {
        let person = person("user", name)?;
        if let Some(other) = self.taken.get(name).filter(|other| *other != foreign) {
            return Err(format!("{other} already has the user name {name}"));
        }
        self.taken.insert(name.to_owned(), foreign.to_owned());
        for key in [id, foreign].into_iter().filter(|key| !key.is_empty()) {
            self.by_key.insert(key.to_owned(), person.clone());
        }
        Ok(person)
    }
}

/// The addresses of one person, by the kind of the address.
#[derive(Default)]
struct Addresses {
    found: BTreeMap<String, String>,
    /// The parts that are left out. The texts contain no addresses.
    notes: Vec<String>,
}

impl Addresses {
    /// Adds an address. The first valid address of each kind counts. An empty address does nothing.
    fn add(&mut self, kind: &str, address: &str) {
        if address.is_empty() || self.found.get(kind).is_some_and(|found| found == address) {
            return;
        }
        let note = match check_address(kind, address) {
            Err(reason) => format!("an address of the kind {kind} is left out: it {reason}"),
            Ok(()) if self.found.contains_key(kind) => {
                format!("a further address of the kind {kind} is left out")
            }
            Ok(()) => {
                self.found.insert(kind.to_owned(), address.to_owned());
                return;
            }
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds the person to the report, and stores the addresses for the preferences of the person.
    fn finish(self, foreign: &str, person: PersonId, mapping: &mut Mapping) {
        let name = person.unregistered_name().unwrap_or_default();
        let mut notes = self.notes;
        notes.extend(renamed(name, foreign));
        let import = &mut mapping.import;
        import
            .report
            .push(line("user", foreign, Outcome::of(notes)));
        if !self.found.is_empty() {
            import.contacts.push(Contact {
                person,
                addresses: self.found,
            });
        }
    }
}

/// Reads the users of Grafana OnCall. If a user name is an e-mail address, the part before the `@` is the user name in
/// the desk. The API returns no phone numbers.
pub(super) fn of_grafana(export: &Value, mapping: &mut Mapping) -> Result<People, String> {
    let mut people = People::default();
    for user in inner_list(export, "users", "user")? {
        let name = text(user, "username");
        match people.add(text(user, "id"), name, local_part(name)) {
            Ok(person) => {
                let mut addresses = Addresses::default();
                addresses.add("email", text(user, "email"));
                // The documentation has a list of Slack accounts. The server returns one object.
                let slack = user.get("slack").unwrap_or(&Value::Null);
                let accounts = slack
                    .as_array()
                    .map_or(std::slice::from_ref(slack), Vec::as_slice);
                for account in accounts {
                    addresses.add("slack", text(account, "user_id"));
                }
                if is_true(user, "is_phone_number_verified") {
                    let note = "the phone number is left out, because the API does not return it";
                    addresses.notes.push(note.into());
                }
                addresses.finish(name, person, mapping);
            }
            Err(reason) => mapping.skip("user", name, reason),
        }
    }
    Ok(people)
}

/// Reads the users of Opsgenie. Their user names are e-mail addresses. The part before the `@` is the user name in the
/// desk.
pub(super) fn of_opsgenie(export: &Value, mapping: &mut Mapping) -> Result<People, String> {
    let mut people = People::default();
    for user in inner_list(export, "users", "user")? {
        let foreign = text(user, "username");
        match people.add(text(user, "id"), foreign, local_part(foreign)) {
            Ok(person) => {
                let mut addresses = contacts(user)?;
                if foreign.contains('@') && !addresses.found.contains_key("email") {
                    addresses.add("email", foreign);
                }
                if is_true(user, "blocked") {
                    let note = "the user is blocked in Opsgenie, but not in the desk";
                    addresses.notes.push(note.into());
                }
                addresses.finish(foreign, person, mapping);
            }
            Err(reason) => mapping.skip("user", foreign, reason),
        }
    }
    Ok(people)
}

/// Returns the part of an e-mail address before the `@`.
fn local_part(name: &str) -> &str {
    name.split('@').next().unwrap_or_default()
}

/// Reads the contacts of a user of Opsgenie. `userContacts` is the list inside a user, and `contacts` the response of
/// the Contact API.
fn contacts(user: &Value) -> Result<Addresses, String> {
    let mut all = Vec::new();
    for contact in list(user, "userContacts")? {
        all.push((text(contact, "contactMethod"), contact, contact));
    }
    for contact in list(user, "contacts")? {
        let status = contact.get("status").unwrap_or(&Value::Null);
        all.push((text(contact, "method"), contact, status));
    }
    let mut addresses = Addresses::default();
    // A number for calls counts only if the user has no number for SMS.
    for (method, kind) in [("email", "email"), ("sms", "phone"), ("voice", "phone")] {
        for (_, contact, status) in all.iter().filter(|(found, ..)| *found == method) {
            if is_false(status, "enabled") {
                let note = format!("a disabled contact of the method {method} is left out");
                addresses.notes.push(note);
            } else if kind == "phone" {
                addresses.add(kind, &international(text(contact, "to")));
            } else {
                addresses.add(kind, text(contact, "to"));
            }
        }
    }
    if all.iter().any(|(method, ..)| *method == "mobile") {
        let note = "the mobile app of Opsgenie is left out";
        addresses.notes.push(note.into());
    }
    Ok(addresses)
}

/// Converts a phone number such as `86-13800000000` (the country code, a hyphen and the number) to `+8613800000000`.
/// Returns another text unchanged.
fn international(number: &str) -> String {
    match number.trim_start_matches('+').split_once('-') {
        Some((country, rest)) => {
            let digits = rest.chars().filter(|c| !matches!(c, '-' | ' '));
            format!("+{country}{}", digits.collect::<String>())
        }
        None => number.to_owned(),
    }
}

/// One team with the people that the export names as its members.
pub(super) struct Team {
    pub(super) name: String,
    members: Vec<(PersonId, bool)>,
}

impl Team {
    /// Returns the members, each person once. `admins` limits the result to the admins of the team (true), or to the
    /// other members (false).
    pub(super) fn members(&self, admins: Option<bool>) -> Vec<PersonId> {
        let mut people: Vec<PersonId> = Vec::new();
        for (person, is_admin) in &self.members {
            if admins.is_none_or(|wanted| wanted == *is_admin) && !people.contains(person) {
                people.push(person.clone());
            }
        }
        people
    }
}

/// The teams of an export by their ids and, for Opsgenie, also by their names.
pub(super) type Teams = BTreeMap<String, Team>;

/// Reads the teams of Grafana OnCall. Each user has the list of its teams.
pub(super) fn teams_of_grafana(export: &Value, people: &People) -> Result<Teams, String> {
    let mut teams = Teams::new();
    for team in inner_list(export, "teams", "team")? {
        let id = text(team, "id");
        let team = Team {
            name: text(team, "name").to_owned(),
            members: Vec::new(),
        };
        teams.insert(id.to_owned(), team);
    }
    for user in inner_list(export, "users", "user")? {
        let Some(person) = people.get(text(user, "id")) else {
            continue;
        };
        for id in texts(user, "teams") {
            let team = teams.entry(id.clone()).or_insert_with(|| Team {
                name: id,
                members: Vec::new(),
            });
            team.members.push((person.clone(), false));
        }
    }
    Ok(teams)
}

/// Reads the teams of Opsgenie. The response for one team has its members. The list of all teams has no members.
pub(super) fn teams_of_opsgenie(
    export: &Value,
    people: &People,
    mapping: &mut Mapping,
) -> Result<Teams, String> {
    let mut teams = Teams::new();
    for team in inner_list(export, "teams", "team")? {
        let (id, name) = (text(team, "id"), text(team, "name"));
        let mut members = Vec::new();
        for member in list(team, "members")? {
            let user = member.get("user").unwrap_or(&Value::Null);
            let keys = [text(user, "id"), text(user, "username")];
            let person = keys.into_iter().find_map(|key| people.get(key));
            members.extend(person.map(|person| (person.clone(), text(member, "role") == "admin")));
        }
        if members.is_empty() {
            let reason = "the file has no members of the team; fetch each team by its id";
            mapping.skip("team", name, reason.to_owned());
        } else {
            let import = &mut mapping.import;
            import.report.push(line("team", name, Outcome::Mapped));
        }
        for key in [id, name].into_iter().filter(|key| !key.is_empty()) {
            let team = Team {
                name: name.to_owned(),
                members: members.clone(),
            };
            teams.insert(key.to_owned(), team);
        }
    }
    Ok(teams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_of_opsgenie_become_international() {
        for (given, expected) in [
            ("86-13800000000", "+8613800000000"),
            ("+49-151 000-0000", "+491510000000"),
            ("+8613800000000", "+8613800000000"),
            ("13800000000", "13800000000"),
        ] {
            assert_eq!(international(given), expected);
        }
    }

    #[test]
    fn two_people_cannot_get_the_same_user_name() {
        let mut people = People::default();
        let first = people.add("u1", "lisi@example.com", "lisi").unwrap();
        assert_eq!(people.get("u1"), Some(&first));
        assert!(people.add("u1", "lisi@example.com", "lisi").is_ok());
        let reason = people.add("u2", "lisi@example.org", "lisi").unwrap_err();
        assert!(reason.contains("lisi@example.com"), "{reason}");
        assert_eq!(people.get("u2"), None);
    }
}
