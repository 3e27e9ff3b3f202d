//! Checks the uploaded files in a form.

use events::AttachmentId;
use events::workflow::Field;
use serde_json::Value;

use super::{Form, field_at};
use crate::attachment::{self, COUNT_MAX, Limits, Unfit};
use crate::decider::DecideError;
use crate::ticket::{Decision, Lookup, Rejection, reject};
use crate::value::plain;

impl Form<'_> {
    /// Checks the files in the value of one field. Each file must exist, the field must accept the file, and
    /// the people who submit the form must be allowed to use the file. Returns the descriptions and the ids
    /// of the files. A BlueKing client can send a value that refers to no file of this desk. Such a value is
    /// stored unchanged if the field sets no limits for files.
    pub(super) fn check_files(
        &self,
        field: &Field,
        value: &Value,
    ) -> Decision<(Value, Vec<AttachmentId>)> {
        let unfit = |why| {
            reject(Rejection::FileUnfit {
                at: field_at(field),
                why,
            })
        };
        let limits = Limits::of(&field.meta);
        let ids = attachment::named(value);
        if ids.is_empty() {
            return if limits.is_any() {
                Ok((value.clone(), Vec::new()))
            } else {
                unfit(Unfit::NotUploaded)
            };
        }
        let most = limits.count_max.unwrap_or(COUNT_MAX).min(COUNT_MAX);
        if ids.len() > most {
            return unfit(Unfit::TooMany(most));
        }
        let missing: Vec<Lookup> = ids
            .iter()
            .filter(|id| !self.context.attachments.contains_key(id))
            .cloned()
            .map(Lookup::Attachment)
            .collect();
        if !missing.is_empty() {
            return Err(DecideError::Needs(missing));
        }
        let mut files = Vec::new();
        for id in &ids {
            let attachment = &self.context.attachments[id];
            let Some(file) = attachment
                .described()
                .filter(|_| attachment.is_for(self.input.by, self.input.ticket))
            else {
                return unfit(Unfit::NotHere(id.clone()));
            };
            let bytes = file["bytes"].as_u64().unwrap_or_default();
            if let Some(wrong) =
                limits.wrong(&plain(&file["name"]), &plain(&file["media_type"]), bytes)
            {
                return unfit(wrong);
            }
            files.push(file);
        }
        Ok((files.into(), ids))
    }
}
