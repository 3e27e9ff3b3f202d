//! Converts the processors of tickets to accounts of external systems, and accounts to the form in which events contain them.
//! An event contains the id of a person, and never an account.

use std::collections::{BTreeMap, BTreeSet};

use domain::itsm::reconciliation::ExpectedAssignee;
use domain::ticket::Ticket;
use domain::value::plain;
use events::PersonId;
use events::integration::CaseMapping;
use infra::Error;
use serde_json::Value;

use crate::App;

/// The beginning of the form of an account that belongs to no known person. A keyed digest of the account follows.
pub const ACCOUNT: &str = "account:";
/// Number of hexadecimal digits in the digest of an account.
const DIGITS: usize = 16;

/// The accounts that a mapping names, by the people who have them.
pub struct Accounts {
    by_person: BTreeMap<PersonId, Value>,
    key: [u8; 32],
}

impl Accounts {
    /// Finds the people whom the mapping names. A person who is not registered has no account, because the ledger must not
    /// contain the user name.
    pub async fn load(app: &App, mapping: &CaseMapping) -> Result<Self, Error> {
        let people = mapping.assignee.as_ref().map(|assignee| &assignee.people);
        let named: Vec<(&String, &Value)> = people.into_iter().flatten().collect();
        let names: Vec<String> = named.iter().map(|(name, _)| (*name).clone()).collect();
        let found = if names.is_empty() {
            Vec::new()
        } else {
            app.people.find_all(&names).await?
        };
        let by_person = found
            .into_iter()
            .zip(named)
            .filter(|(person, _)| !person.is_unknown())
            .map(|(person, (_, account))| (person, account.clone()))
            .collect();
        Ok(Self {
            by_person,
            key: app.keys().await?.fingerprint,
        })
    }

    /// Returns the form in which events contain an account. Equal accounts have equal forms.
    pub fn form_of(&self, account: &str) -> String {
        if account.is_empty() {
            return String::new();
        }
        let mut people = self.by_person.iter();
        if let Some((person, _)) = people.find(|(_, known)| plain(known) == account) {
            return person.0.clone();
        }
        let digest = blake3::keyed_hash(&self.key, account.as_bytes()).to_hex();
        format!("{ACCOUNT}{}", &digest[..DIGITS])
    }

    /// Returns the account for the form in which an event contains it. Returns `None` if it belongs to no known person.
    pub fn account(&self, form: &str) -> Option<&Value> {
        self.by_person.get(&PersonId(form.to_owned()))
    }

    /// Returns the assignee that the ticket expects in its record.
    pub fn expected(&self, ticket: &Ticket) -> ExpectedAssignee {
        let current = ticket.current();
        let by_people =
            current.filter(|(_, node_run)| !node_run.automatic || node_run.is_failed_call());
        let processors: BTreeSet<PersonId> = by_people
            .flat_map(|(_, node_run)| node_run.waiting_for())
            .collect();
        let people = self.by_person.iter();
        let known = people
            .map(|(person, account)| (person.clone(), self.form_of(&plain(account))))
            .collect();
        ExpectedAssignee::of(&processors, &known)
    }
}
