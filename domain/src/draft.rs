//! Implements the aggregate of one draft (a form that was saved but not submitted). A draft belongs to one
//! person. A draft can also be a template for new tickets. A draft can be saved many times before it is
//! discarded.

use events::draft::{Discarded, DraftEvent, FormRef, Saved};
use events::{AttachmentId, Moment, PersonId, Personal, Personals as _};
use serde::{Deserialize, Serialize};

use crate::attachment;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Time in milliseconds after which a draft expires. The time starts at the last save of the draft.
pub const DRAFT_MS: i64 = 30 * 86_400_000;
/// Minimum change of a draft's deadline, in milliseconds. A save adds no event if the form is unchanged and
/// the deadline moves by less than this time. Automatic saves therefore add only few events to the stream of
/// the draft.
const FRESH_MS: i64 = 86_400_000;
/// Maximum length of the name of a template, in characters.
pub const NAME_MAX: usize = 64;
/// Maximum number of fields in one draft.
pub const FIELDS_MAX: usize = 1000;

/// The commands that change the state of one draft.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Save(Box<Saved>),
    /// Discards the draft. The owner may discard the draft at any time. The desk may discard the draft only
    /// if the draft has expired at the time `at`.
    Discard {
        by: PersonId,
        at: Moment,
    },
}

/// The reasons why a command for a draft is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the draft belongs to another person")]
    NotTheOwner,
    #[error("the draft is not due yet")]
    NotDue,
    #[error("the name of a template is empty or longer than {NAME_MAX} characters")]
    NameUnfit,
    #[error("a draft has at most {FIELDS_MAX} fields")]
    TooManyFields,
}

/// The state of one draft. The member `saved` is `None` before the first save and after the draft was
/// discarded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}

impl Decider for Draft {
    type Command = Command;
    type Event = DraftEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<DraftEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, &self.saved) {
            (Command::Save(saved), Some(current)) if saved.owner != current.owner => {
                reject(Rejection::NotTheOwner)
            }
            (Command::Save(saved), _) if saved.form.len() > FIELDS_MAX => {
                reject(Rejection::TooManyFields)
            }
            (Command::Save(saved), current) => {
                if let FormRef::Template { name, .. } = &saved.form_ref
                    && !(1..=NAME_MAX).contains(&name.read().trim().chars().count())
                {
                    return reject(Rejection::NameUnfit);
                }
                let is_fresh = |current: &Saved| match (current.due, saved.due) {
                    (Some(current), Some(new)) => new.0 - current.0 < FRESH_MS,
                    (current, new) => current == new,
                };
                let is_unchanged = current.as_ref().is_some_and(|current| {
                    current.form == saved.form
                        && current.form_ref == saved.form_ref
                        && is_fresh(current)
                });
                Ok(if is_unchanged {
                    Vec::new()
                } else {
                    vec![(**saved).clone().into()]
                })
            }
            (Command::Discard { .. }, None) => Ok(Vec::new()),
            (Command::Discard { by, .. }, Some(current))
                if *by != current.owner && !by.is_system() =>
            {
                reject(Rejection::NotTheOwner)
            }
            (Command::Discard { by, at }, Some(current))
                if by.is_system() && current.due.is_none_or(|due| due > *at) =>
            {
                reject(Rejection::NotDue)
            }
            (Command::Discard { by, .. }, Some(_)) => Ok(vec![Discarded { by: by.clone() }.into()]),
        }
    }

    fn evolve(&mut self, event: &DraftEvent) {
        self.saved = match event {
            DraftEvent::Saved(saved) => Some(saved.clone()),
            DraftEvent::Discarded(_) => None,
        };
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        self.saved.iter_mut().flat_map(Saved::personals).collect()
    }
}

impl Draft {
    /// Returns the ids of the uploaded files in the saved form.
    pub fn attachments(&self) -> Vec<AttachmentId> {
        self.saved
            .iter()
            .flat_map(|saved| &saved.form)
            .flat_map(|entry| attachment::named(entry.read()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use events::{Entry, Remark, ServiceId};

    use super::*;

    fn saved(owner: &str, value: &str, due: Option<i64>) -> Saved {
        let owner = PersonId(owner.into());
        let form = vec![Entry::new("title", value).owned_by(owner.clone())];
        Saved {
            draft: "d".into(),
            form_ref: FormRef::Service(ServiceId(7)),
            form,
            due: due.map(Moment),
            owner,
        }
    }

    fn save(saved: Saved) -> Command {
        Command::Save(Box::new(saved))
    }

    fn current(saved: Saved) -> Draft {
        Draft { saved: Some(saved) }
    }

    #[test]
    fn an_unchanged_draft_is_recorded_only_to_extend_its_deadline() {
        let draft = current(saved("p-lisi", "a", Some(0)));
        assert_eq!(
            draft.decide(&save(saved("p-lisi", "a", Some(FRESH_MS - 1))), &()),
            Ok(Vec::new())
        );
        for new in [
            saved("p-lisi", "a", Some(FRESH_MS)),
            saved("p-lisi", "b", Some(1)),
        ] {
            assert_eq!(draft.decide(&save(new.clone()), &()), Ok(vec![new.into()]));
        }
    }

    #[test]
    fn only_the_owner_or_a_due_deadline_discards_a_draft() {
        let draft = current(saved("p-lisi", "a", Some(9)));
        let rejected = Err(DecideError::Rejected(Rejection::NotTheOwner));
        assert_eq!(
            draft.decide(&save(saved("p-wangwu", "b", None)), &()),
            rejected
        );
        assert_eq!(
            draft.decide(
                &Command::Discard {
                    by: PersonId("p-wangwu".into()),
                    at: Moment(9)
                },
                &()
            ),
            rejected
        );
        for by in [PersonId("p-lisi".into()), PersonId::system()] {
            assert_eq!(
                draft.decide(
                    &Command::Discard {
                        by: by.clone(),
                        at: Moment(9)
                    },
                    &()
                ),
                Ok(vec![Discarded { by }.into()])
            );
        }
        let by_desk = Command::Discard {
            by: PersonId::system(),
            at: Moment(8),
        };
        let not_due = Err(DecideError::Rejected(Rejection::NotDue));
        assert_eq!(
            draft.decide(&by_desk, &()),
            not_due,
            "the draft was saved again and is not due"
        );
        assert_eq!(
            current(saved("p-lisi", "a", None)).decide(&by_desk, &()),
            not_due,
            "a template has no deadline"
        );
        assert_eq!(
            Draft::default().decide(
                &Command::Discard {
                    by: PersonId("p-lisi".into()),
                    at: Moment(9)
                },
                &()
            ),
            Ok(Vec::new())
        );
    }

    #[test]
    fn a_template_needs_a_name_within_the_length_limit() {
        let named = |name: &str| {
            let owner = PersonId("p-lisi".into());
            save(Saved {
                form_ref: FormRef::Template {
                    service: ServiceId(7),
                    name: Remark::new(name).owned_by(owner),
                },
                ..saved("p-lisi", "a", None)
            })
        };
        for name in ["", "  ", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(
                Draft::default().decide(&named(name), &()),
                Err(DecideError::Rejected(Rejection::NameUnfit))
            );
        }
        assert!(Draft::default().decide(&named("每月例行"), &()).is_ok());
    }
}
