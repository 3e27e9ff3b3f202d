//! Derives notifications from the imported rows of another system, as if the rows had happened in this desk. Only a trial
//! of a notification policy uses them: imported rows never notify a person.

use events::PersonId;
use events::notification::{Fact, Role};
use events::ticket::{Phase, RowImported};

use super::recipients::Recipient;

/// The names of the columns of an imported log that contain people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The column with the people who process the case.
    pub assignee: String,
    /// The column with the people for whom the case was opened.
    pub requester: String,
}

impl Columns {
    /// Returns the people in the columns of a row.
    fn people(&self, row: &RowImported) -> (Vec<PersonId>, Vec<PersonId>) {
        let of = |column: &String| split(row.columns.get(column).map_or("", String::as_str));
        (of(&self.assignee), of(&self.requester))
    }

    /// Returns true if a row has a person in one of the columns.
    pub fn has_people(&self, row: &RowImported) -> bool {
        let (assignees, requesters) = self.people(row);
        !assignees.is_empty() || !requesters.is_empty()
    }
}

/// What the next row of a case is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    state: String,
    phase: Phase,
    assignees: Vec<PersonId>,
}

impl Case {
    /// Returns the case after a row.
    pub fn after(row: &RowImported, columns: &Columns) -> Self {
        Self {
            state: row.state.clone(),
            phase: row.phase,
            assignees: columns.people(row).0,
        }
    }
}

/// Returns the people whom an imported row concerns. `before` is the case before the row, or `None` for its first row.
///
/// New assignees of an open case get `work_assigned`, and the other assignees get `changed` if the state stays the same.
/// The requesters get `finished` when the case is resolved or closed for the first time, and `progressed` for every other
/// change of the state. The people who wrote the row get nothing.
pub fn recipients(before: Option<&Case>, row: &RowImported, columns: &Columns) -> Vec<Recipient> {
    let (assignees, requesters) = columns.people(row);
    let authors = split(&row.actor);
    let is_done = row.phase.is_done();
    let was_done = before.is_some_and(|case| case.phase.is_done());
    let is_same_state = before.is_some_and(|case| case.state == row.state);
    let mut found: Vec<Recipient> = Vec::new();
    let mut add = |people: &[PersonId], fact, role| {
        for person in people {
            let is_known = found.iter().any(|one| one.person == *person);
            if !is_known && !authors.contains(person) {
                found.push(Recipient {
                    person: person.clone(),
                    fact,
                    role,
                });
            }
        }
    };
    if !is_done {
        let known = before.map(|case| case.assignees.as_slice());
        let (old, new): (Vec<PersonId>, Vec<PersonId>) = assignees
            .into_iter()
            .partition(|person| known.is_some_and(|known| known.contains(person)));
        add(&new, Fact::WorkAssigned, Role::Processor);
        if is_same_state {
            add(&old, Fact::Changed, Role::Processor);
        }
    }
    if is_done && !was_done {
        add(&requesters, Fact::Finished, Role::Requester);
    } else if before.is_some() && !is_same_state {
        add(&requesters, Fact::Progressed, Role::Requester);
    }
    found
}

/// Splits a text with the ids of people at its commas.
fn split(text: &str) -> Vec<PersonId> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(PersonId::from).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn columns() -> Columns {
        Columns {
            assignee: "assigned_to".into(),
            requester: "caller_id".into(),
        }
    }

    fn row(state: &str, phase: Phase, assignee: &str) -> RowImported {
        let people = [("assigned_to", assignee), ("caller_id", "p-caller")];
        RowImported {
            state: state.into(),
            phase,
            actor: "p-author".into(),
            columns: BTreeMap::from(people.map(|(name, person)| (name.into(), person.into()))),
            ..RowImported::default()
        }
    }

    fn found(before: Option<&RowImported>, row: &RowImported) -> Vec<(String, Fact)> {
        let before = before.map(|row| Case::after(row, &columns()));
        let found = recipients(before.as_ref(), row, &columns()).into_iter();
        found.map(|one| (one.person.0, one.fact)).collect()
    }

    #[test]
    fn assignees_and_requesters_of_imported_rows_are_notified() {
        let new = row("New", Phase::Open, "p-1");
        let active = row("Active", Phase::Open, "p-2");
        let resolved = row("Resolved", Phase::Resolved, "p-2");
        let closed = row("Closed", Phase::Closed, "p-2");
        let assigned = |person: &str| (person.to_owned(), Fact::WorkAssigned);
        let caller = |fact| ("p-caller".to_owned(), fact);
        assert_eq!(found(None, &new), [assigned("p-1")]);
        let changed = ("p-1".to_owned(), Fact::Changed);
        assert_eq!(found(Some(&new), &new), [changed]);
        assert_eq!(
            found(Some(&new), &active),
            [assigned("p-2"), caller(Fact::Progressed)]
        );
        assert_eq!(found(Some(&active), &resolved), [caller(Fact::Finished)]);
        assert_eq!(found(Some(&resolved), &closed), [caller(Fact::Progressed)]);
        assert_eq!(found(Some(&resolved), &active), [caller(Fact::Progressed)]);
        assert!(found(Some(&closed), &closed).is_empty());
    }

    #[test]
    fn the_author_of_a_row_is_not_notified() {
        assert!(found(None, &row("New", Phase::Open, "p-author")).is_empty());
        assert!(!columns().has_people(&RowImported::default()));
    }
}
