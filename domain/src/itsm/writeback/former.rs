//! Keeps the notes in former records of a case. If the case is bound to such a record again, the desk writes no note twice.

use std::collections::BTreeSet;

use events::Moment;
use serde::{Deserialize, Serialize};

use super::Writeback;

/// Maximum number of former records whose notes the desk keeps. A person binds a case to a few records at most.
const FORMER_MAX: usize = 10;

/// The notes in a former record of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The id of the record in the external system.
    pub record: String,
    /// The numbers of the remarks that the desk wrote or found.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub known_notes: BTreeSet<u64>,
    /// The numbers of the remarks that the desk possibly wrote.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tried_notes: BTreeSet<u64>,
    /// The remarks of the last write of remarks that succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_batch: Vec<u64>,
    /// The time until which the last write can have an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_until: Option<Moment>,
}

impl Writeback {
    /// Returns the numbers of the remarks that were requested for the record and not canceled.
    pub(super) fn known_notes_of(&self, record: &str) -> Option<&BTreeSet<u64>> {
        match &self.target {
            Some(target) if target.record == record => Some(&self.known_notes),
            _ => self.former(record).map(|former| &former.known_notes),
        }
    }

    /// Returns the time until which an earlier write to the record can have an effect.
    pub(super) fn runs_until(&self, record: &str) -> Option<Moment> {
        match &self.target {
            Some(target) if target.record == record => self.runs_until,
            _ => self.former(record).and_then(|former| former.runs_until),
        }
    }

    fn former(&self, record: &str) -> Option<&Former> {
        self.former.iter().find(|former| former.record == record)
    }

    /// Forgets everything about the record except its notes, because a person bound the case to the record `next`. The
    /// numbers of the attempts continue. If the case was bound to `next` before, its notes are known again.
    pub(super) fn change_record(&mut self, next: &str) {
        let (mut attempts, is_open) = (self.attempts, self.is_open);
        // The failures belong to the former record.
        attempts.failures = 0;
        let mut former = std::mem::take(&mut self.former);
        former.extend(self.to_former());
        let position = former.iter().position(|one| one.record == next);
        let again = position.map(|position| former.remove(position));
        if former.len() > FORMER_MAX {
            former.remove(0);
        }
        let again = again.unwrap_or_default();
        *self = Self {
            is_open,
            attempts,
            former,
            known_notes: again.known_notes,
            tried_notes: again.tried_notes,
            last_batch: again.last_batch,
            runs_until: again.runs_until,
            ..Self::default()
        };
    }

    /// Returns the notes of the record, or `None` if the desk requested no write of a note and no write still runs. A remark
    /// that waits is not in the record, unless a write with an unknown result contained it.
    fn to_former(&self) -> Option<Former> {
        let target = self.target.as_ref()?;
        let has_notes = !self.known_notes.is_empty() || !self.tried_notes.is_empty();
        if !has_notes && self.runs_until.is_none() {
            return None;
        }
        let mut known_notes = self.known_notes.clone();
        known_notes.retain(|remark| !self.notes.contains(remark));
        Some(Former {
            record: target.record.clone(),
            known_notes,
            tried_notes: self.tried_notes.clone(),
            last_batch: self.last_batch.clone(),
            runs_until: self.runs_until,
        })
    }
}
