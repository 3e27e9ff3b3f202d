//! Implements the operations of people on a whole ticket, such as its suspension, withdrawal and termination
//! (reference/bk-itsm.md 3.10, 5.5).

use events::ticket::{FieldsChanged, Resumed, Suspended, Terminated, TicketEvent, Withdrawn};
use events::workflow::Revoke;
use events::{Entry, PersonId, Remark, TicketSn};

use super::engine::{Effect, Run};
use super::form::FormInput;
use super::{Context, Decision, Rejection, Status, Ticket, check_message, form, reject};
use crate::user_name::is_blank;

/// The keys of fields that people may change in every ticket. People may also change the fields of the submit
/// node (the node with the form that opens a ticket).
const OF_EVERY_TICKET: [&str; 4] = ["title", "impact", "urgency", "priority"];

impl Ticket {
    pub(super) fn suspend(
        &self,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        self.opened()?;
        // The system suspends a ticket if the record of another system decides about the status.
        if !by.is_system() {
            self.may_manage(by, context)?;
        }
        self.check_not_child()?;
        if self.status != Status::Running {
            return reject(Rejection::NotInProcess);
        }
        if is_blank(reason) {
            return reject(Rejection::SuspendReasonMissing);
        }
        check_message(reason)?;
        Ok(vec![
            Suspended {
                by: by.clone(),
                reason: self.remark(reason)?,
            }
            .into(),
        ])
    }

    pub(super) fn resume(
        &self,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        if !by.is_system() {
            self.may_manage(by, context)?;
        }
        self.check_not_child()?;
        if self.status != Status::Suspended {
            return reject(Rejection::NotSuspended);
        }
        check_message(reason)?;
        let workflow = self.workflow(context)?;
        let mut run = Run::new(self, &workflow.definition, context);
        run.emit(Resumed {
            by: by.clone(),
            reason: self.remark(reason)?,
        });
        // While the ticket was suspended, the results of API calls were only stored. The ticket is now
        // resumed, so these results are applied.
        self.apply_pending_results(&mut run, &workflow.definition)?;
        run.done()
    }

    pub(super) fn withdraw(
        &self,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        // Some external systems send the requests of all people with the account of one superuser. A
        // superuser may therefore withdraw every ticket.
        if opened.creator != *by && !context.is_superuser(by)? {
            return reject(Rejection::NotTheCreator);
        }
        self.check_not_child()?;
        let workflow = self.workflow(context)?;
        if workflow.definition.revoke == Revoke::Never {
            return reject(Rejection::NotRevocable);
        }
        if self.status.is_over() {
            return reject(Rejection::AlreadyEnded);
        }
        if !self.is_withdrawable(&workflow.definition) {
            return reject(Rejection::HandledAlready);
        }
        check_message(reason)?;
        Ok(vec![
            Withdrawn {
                by: by.clone(),
                approve_result: false,
                reason: self.remark(reason)?,
            }
            .into(),
        ])
    }

    pub(super) fn terminate(
        &self,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        // The system terminates a ticket if the record of another system has ended.
        if !by.is_system() {
            self.may_manage(by, context)?;
        }
        self.check_not_child()?;
        if self.status.is_over() {
            return reject(Rejection::NotInProcess);
        }
        if is_blank(reason) {
            return reject(Rejection::TerminateReasonMissing);
        }
        check_message(reason)?;
        Ok(vec![
            Terminated {
                by: by.clone(),
                node: None,
                node_name: String::new(),
                reason: self.remark(reason)?,
                approve_result: false,
            }
            .into(),
        ])
    }

    /// Ends the ticket with a final status that a manager (a superuser or a service owner) has chosen.
    pub(super) fn close(
        &self,
        by: &PersonId,
        status: &str,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        self.opened()?;
        if !self.manages(by, context)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        self.check_not_child()?;
        if self.status.is_over() {
            return reject(Rejection::NotInProcess);
        }
        if Status::ending(status).is_none() {
            return reject(Rejection::NotAnEnd(status.to_owned()));
        }
        check_message(reason)?;
        let workflow = self.workflow(context)?;
        let mut run = Run::new(self, &workflow.definition, context);
        run.close(by.clone(), status, self.remark(reason)?, None);
        run.done()
    }

    /// Ends a child ticket because its parent has ended. The child gets the final status of the parent.
    pub(super) fn end_with_parent(
        &self,
        parent: &TicketSn,
        status: &str,
        approve_result: bool,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        if self.status.is_over() || self.parent() != Some(parent) {
            return Ok(Vec::new());
        }
        let workflow = self.workflow(context)?;
        let mut run = Run::new(self, &workflow.definition, context);
        run.close(
            PersonId::system(),
            status,
            Remark::new(format!("母单 {parent} 已结束")),
            Some(approve_result),
        );
        run.done()
    }

    /// Changes fields of the submit node (the node with the form that opens a ticket), or the fields `title`,
    /// `impact`, `urgency` and `priority`. If the impact or the urgency changes, the priority of the ticket
    /// also changes (reference/bk-itsm.md 3.11, operation `edit_field`).
    pub(super) fn edit_field(
        &self,
        by: &PersonId,
        given: &[Entry],
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if self.status.is_over() {
            return reject(Rejection::Ended);
        }
        let is_processor = self
            .current()
            .any(|(_, node_run)| node_run.processors.contains(by));
        if opened.creator != *by && !is_processor && !self.manages(by, context)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        self.check_not_child()?;
        let workflow = self.workflow(context)?;
        let definition = &workflow.definition;
        let submit = definition
            .submit_node()
            .expect("a deployed workflow has a submit node");
        let is_editable = |key: &str| {
            OF_EVERY_TICKET.contains(&key) || submit.fields.iter().any(|field| field == key)
        };
        if let Some(entry) = given
            .iter()
            .find(|entry| !is_editable(&entry.key) || definition.field(&entry.key).is_none())
        {
            return reject(Rejection::NotEditable(entry.key.clone()));
        }
        let input = FormInput {
            ticket: &opened.sn,
            definition,
            node: submit,
            current: self,
            by: &[by],
        };
        let form = form::check_some(&input, given, context)?;
        let changed: Vec<Entry> = form
            .into_iter()
            .filter(|entry| {
                self.form
                    .get(&entry.key)
                    .is_none_or(|current| current.read() != entry.read())
            })
            .collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let names = changed
            .iter()
            .filter_map(|entry| definition.field(&entry.key))
            .map(|field| field.name.clone())
            .collect();
        let effect = Effect::of(&changed);
        let form = form::set_owner(definition, changed, &opened.creator, opened.seals_text);
        let mut run = Run::new(self, definition, context);
        run.emit(FieldsChanged {
            by: by.clone(),
            names,
            form,
        });
        run.update_priority(&effect);
        run.done()
    }
}
