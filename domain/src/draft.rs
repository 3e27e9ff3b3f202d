//! One form that was not sent: saved over and over, discarded once.

use events::draft::{Discarded, DraftEvent, FormRef, Saved};
use events::{AttachmentId, Moment, PersonId, Personal, Personals as _};
use serde::{Deserialize, Serialize};

use crate::attachment;
use crate::decider::{DecideError, Decider, Nothing};

/// How long a draft is kept after it was saved last.
pub const DRAFT_MS: i64 = 30 * 86_400_000;
/// A draft that is saved again unchanged need not say so, unless so much of its time is over.
const FRESH_MS: i64 = 86_400_000;
/// Longest name of a template, in characters.
pub const NAME_MAX: usize = 64;
/// Fields of one draft.
pub const FIELDS_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Save(Box<Saved>),
    /// The desk (`by` system) discards only what is due at `at`.
    Discard {
        by: PersonId,
        at: Moment,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the draft is somebody else's")]
    NotTheOwner,
    #[error("the draft is kept for longer")]
    NotDue,
    #[error("the name of a template is empty or longer than {NAME_MAX} characters")]
    NameUnfit,
    #[error("a draft has at most {FIELDS_MAX} fields")]
    TooManyFields,
}

/// One draft as it is now; nothing where it was discarded.
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

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<DraftEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, &self.saved) {
            (Command::Save(saved), Some(held)) if saved.owner != held.owner => {
                reject(Rejection::NotTheOwner)
            }
            (Command::Save(saved), _) if saved.form.len() > FIELDS_MAX => {
                reject(Rejection::TooManyFields)
            }
            (Command::Save(saved), held) => {
                if let FormRef::Template { name, .. } = &saved.form_ref
                    && !(1..=NAME_MAX).contains(&name.read().trim().chars().count())
                {
                    return reject(Rejection::NameUnfit);
                }
                let is_fresh = |held: &Saved| match (held.due, saved.due) {
                    (Some(held), Some(new)) => new.0 - held.0 < FRESH_MS,
                    (held, new) => held == new,
                };
                let says_nothing = held.as_ref().is_some_and(|held| {
                    held.form == saved.form && held.form_ref == saved.form_ref && is_fresh(held)
                });
                Ok(if says_nothing {
                    Vec::new()
                } else {
                    vec![(**saved).clone().into()]
                })
            }
            (Command::Discard { .. }, None) => Ok(Vec::new()),
            (Command::Discard { by, .. }, Some(held)) if *by != held.owner && !by.is_system() => {
                reject(Rejection::NotTheOwner)
            }
            (Command::Discard { by, at }, Some(held))
                if by.is_system() && held.due.is_none_or(|due| due > *at) =>
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
    /// The uploaded files it names.
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

    fn held(saved: Saved) -> Draft {
        Draft { saved: Some(saved) }
    }

    #[test]
    fn what_did_not_change_is_not_said_again_until_its_time_runs() {
        let draft = held(saved("p-lisi", "a", Some(0)));
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
    fn a_draft_is_its_owners_and_ends_once() {
        let draft = held(saved("p-lisi", "a", Some(9)));
        let refused = Err(DecideError::Rejected(Rejection::NotTheOwner));
        assert_eq!(
            draft.decide(&save(saved("p-wangwu", "b", None)), &()),
            refused
        );
        assert_eq!(
            draft.decide(
                &Command::Discard {
                    by: PersonId("p-wangwu".into()),
                    at: Moment(9)
                },
                &()
            ),
            refused
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
        let later = Err(DecideError::Rejected(Rejection::NotDue));
        assert_eq!(
            draft.decide(&by_desk, &()),
            later,
            "somebody went on with it"
        );
        assert_eq!(
            held(saved("p-lisi", "a", None)).decide(&by_desk, &()),
            later,
            "a template has no end"
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
    fn a_template_has_a_name_that_fits() {
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
