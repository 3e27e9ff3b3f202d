//! What people do with a ticket as a whole (reference/bk-itsm.md 3.10, 5.5).

use events::ticket::{FieldChanged, Resumed, Suspended, Terminated, TicketEvent, Withdrawn};
use events::workflow::Revoke;
use events::{Entry, Pid, Remark, TicketSn};

use super::form::Sheet;
use super::run::{Effect, Run};
use super::{Decision, Facts, Rejection, Status, Ticket, form, reject, within_message};
use crate::user_name::is_blank;

/// Fields of every ticket that may be changed besides those of the submit node.
const OF_EVERY_TICKET: [&str; 4] = ["title", "impact", "urgency", "priority"];

impl Ticket {
    pub(super) fn suspend(&self, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.may_manage(by, facts)?;
        self.independent()?;
        if self.status != Status::Running {
            return reject(Rejection::NotInProcess);
        }
        if is_blank(reason) {
            return reject(Rejection::SuspendReasonMissing);
        }
        within_message(reason)?;
        Ok(vec![Suspended { by: by.clone(), reason: self.remark(reason)? }.into()])
    }

    pub(super) fn resume(&self, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.may_manage(by, facts)?;
        self.independent()?;
        if self.status != Status::Suspended {
            return reject(Rejection::NotSuspended);
        }
        within_message(reason)?;
        let workflow = self.workflow(facts)?;
        let mut run = Run::new(self, &workflow.definition, facts);
        run.emit(Resumed { by: by.clone(), reason: self.remark(reason)? });
        // What was answered meanwhile has its consequences now.
        self.catch_up(&mut run, &workflow.definition)?;
        run.done()
    }

    pub(super) fn withdraw(&self, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        // The account by which systems act for everybody is a superuser.
        if opened.creator != *by && !facts.is_superuser(by)? {
            return reject(Rejection::NotTheCreator);
        }
        self.independent()?;
        let workflow = self.workflow(facts)?;
        if workflow.definition.revoke == Revoke::Never {
            return reject(Rejection::NotRevocable);
        }
        if self.status.is_over() {
            return reject(Rejection::OverAlready);
        }
        if !self.is_withdrawable(&workflow.definition) {
            return reject(Rejection::HandledAlready);
        }
        within_message(reason)?;
        Ok(vec![Withdrawn { by: by.clone(), approve_result: false, reason: self.remark(reason)? }.into()])
    }

    pub(super) fn terminate(&self, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.may_manage(by, facts)?;
        self.independent()?;
        if self.status.is_over() {
            return reject(Rejection::NotInProcess);
        }
        if is_blank(reason) {
            return reject(Rejection::TerminateReasonMissing);
        }
        within_message(reason)?;
        Ok(vec![Terminated { by: by.clone(), node: None, node_name: String::new(), reason: self.remark(reason)?, approve_result: false }.into()])
    }

    /// A manager ends the ticket with a status that ends tickets.
    pub(super) fn close(&self, by: &Pid, status: &str, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.opened()?;
        if !self.manages(by, facts)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        self.independent()?;
        if self.status.is_over() {
            return reject(Rejection::NotInProcess);
        }
        if Status::ending(status).is_none() {
            return reject(Rejection::NotAnEnd(status.to_owned()));
        }
        within_message(reason)?;
        let workflow = self.workflow(facts)?;
        let mut run = Run::new(self, &workflow.definition, facts);
        run.close(by.clone(), status, self.remark(reason)?, None);
        run.done()
    }

    /// A child ends as its parent did.
    pub(super) fn end_with_parent(&self, parent: &TicketSn, status: &str, approve_result: bool, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        if self.status.is_over() || self.parent() != Some(parent) {
            return Ok(Vec::new());
        }
        let workflow = self.workflow(facts)?;
        let mut run = Run::new(self, &workflow.definition, facts);
        run.close(Pid::system(), status, Remark::new(format!("母单 {parent} 已结束")), Some(approve_result));
        run.done()
    }

    /// Changes fields of the submit node, or impact and urgency, from which the priority follows (3.11 `edit_field`).
    pub(super) fn edit_field(&self, by: &Pid, given: &[Entry], facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if self.status.is_over() {
            return reject(Rejection::Over);
        }
        let processes = self.current().any(|(_, visit)| visit.processors.contains(by));
        if opened.creator != *by && !processes && !self.manages(by, facts)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        self.independent()?;
        let workflow = self.workflow(facts)?;
        let definition = &workflow.definition;
        let submit = definition.submit_node().expect("a deployed workflow has a submit node");
        let is_editable = |key: &str| OF_EVERY_TICKET.contains(&key) || submit.fields.iter().any(|field| field == key);
        if let Some(entry) = given.iter().find(|entry| !is_editable(&entry.key) || definition.field(&entry.key).is_none()) {
            return reject(Rejection::NotEditable(entry.key.clone()));
        }
        let sheet = Sheet { ticket: &opened.sn, definition, node: submit, held: self, by: &[by] };
        let form = form::check_some(&sheet, given, facts)?;
        let changed: Vec<Entry> = form.into_iter().filter(|entry| self.form.get(&entry.key).is_none_or(|held| held.read() != entry.read())).collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let names = changed.iter().filter_map(|entry| definition.field(&entry.key)).map(|field| field.name.clone()).collect();
        let effect = Effect::of(&changed);
        let form = form::own(definition, changed, &opened.creator, opened.seals_text);
        let mut run = Run::new(self, definition, facts);
        run.emit(FieldChanged { by: by.clone(), names, form });
        run.weigh(&effect);
        run.done()
    }
}
