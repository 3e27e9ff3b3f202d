//! What goes on beside the work: remarks, followers, ratings, reminders, and which tickets belong together.

use events::ticket::{Followed, Linked, Rated, Relation, Remarked, Reminded, TicketEvent, Unlinked};
use events::{Pid, TicketSn};

use super::run::Run;
use super::{Decision, FOLLOWERS_MAX, Facts, LINKS_MAX, REMARK_MAX, Rejection, Status, Ticket, reject, within_message};
use crate::user_name::is_blank;

impl Ticket {
    /// Writes a remark, perhaps under another; those who may see the ticket may. Finished tickets take remarks too.
    pub(super) fn remark_on(&self, by: &Pid, text: &str, parent: Option<u64>, mentions: &[Pid], internal: bool, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        if !self.may_see(by, facts)? {
            return reject(Rejection::NotAllowedToSee(by.clone()));
        }
        if is_blank(text) || text.chars().count() > REMARK_MAX {
            return reject(Rejection::TextUnfit(REMARK_MAX));
        }
        if mentions.len() > FOLLOWERS_MAX {
            return reject(Rejection::TooMany(FOLLOWERS_MAX));
        }
        match parent {
            Some(parent) if parent == 0 || parent > self.remarks => reject(Rejection::RemarkUnknown(parent)),
            _ => {
                let (id, text) = (self.remarks + 1, self.remark(text)?);
                Ok(vec![Remarked { id, by: by.clone(), parent, text, mentions: mentions.to_vec(), internal }.into()])
            }
        }
    }

    /// People follow, or no longer do. What is so already changes nothing. Following shows what lists show; whoever is asked to by somebody who may see the
    /// ticket may see all of it.
    pub(super) fn follow(&self, by: &Pid, people: &[Pid], follows: bool, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let sees = self.may_see(by, facts)?;
        // Everybody may go themselves; sending others away is for those who have to do with it.
        if !follows && !sees && people.iter().any(|pid| pid != by) {
            return reject(Rejection::NotAllowedToSee(by.clone()));
        }
        let invited = follows && sees;
        let is_new = |pid: &&Pid| self.followers.contains(pid) != follows || (invited && !self.invited.contains(*pid));
        let mut new: Vec<Pid> = people.iter().filter(is_new).cloned().collect();
        new.sort();
        new.dedup();
        if follows && self.followers.len() + new.len() > FOLLOWERS_MAX {
            return reject(Rejection::TooMany(FOLLOWERS_MAX));
        }
        Ok(if new.is_empty() { Vec::new() } else { vec![Followed { by: by.clone(), people: new, follows, invited }.into()] })
    }

    /// The creator rates a finished ticket, once; the desk does so where nobody did in time.
    pub(super) fn rate(&self, by: &Pid, stars: u8, comment: &str) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if self.status != Status::Finished {
            return reject(Rejection::NotFinished);
        }
        if self.stars.is_some() {
            return if by.is_system() { Ok(Vec::new()) } else { reject(Rejection::RatedAlready) };
        }
        if opened.creator != *by && opened.agent.as_ref() != Some(by) && !by.is_system() {
            return reject(Rejection::NotTheRater);
        }
        if !(1..=5).contains(&stars) {
            return reject(Rejection::StarsUnfit(stars));
        }
        within_message(comment)?;
        Ok(vec![Rated { by: by.clone(), stars, comment: self.remark(comment)? }.into()])
    }

    /// Reminds those who have to act now: the creator and the supervisors may, at any time before the end, where the workflow has reminding at all.
    pub(super) fn remind(&self, by: &Pid, message: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        if self.status.is_over() {
            return reject(Rejection::Over);
        }
        if !workflow.definition.is_supervise_needed {
            return reject(Rejection::RemindingOff);
        }
        let run = Run::new(self, &workflow.definition, facts);
        if self.opened()?.creator != *by {
            let supervisors = run.resolve(&workflow.definition.supervisors);
            run.known()?;
            if !supervisors.contains(by) {
                return reject(Rejection::MayNotRemind(by.clone()));
            }
        }
        within_message(message)?;
        let mut people: Vec<Pid> = self.current().flat_map(|(_, visit)| visit.waiting_for()).collect();
        people.sort();
        people.dedup();
        Ok(vec![Reminded { by: by.clone(), people, message: self.remark(message)? }.into()])
    }

    /// Two tickets belong together: each says so of the other, and each is asked whether this person may. A child follows its parent, so it has one only,
    /// and no children of its own; and since it ends as its parent does, that takes the right to end either.
    pub(super) fn link(&self, by: &Pid, other: &TicketSn, relation: Relation, mirror: bool, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if opened.sn == *other {
            return reject(Rejection::LinkedWithItself);
        }
        match self.links.iter().find(|link| link.other == *other) {
            Some(link) if mirror && link.relation == relation => return Ok(Vec::new()),
            Some(_) => return reject(Rejection::LinkedAlready(other.clone())),
            None => {}
        }
        // Whoever raised a ticket from this one was asked when they did.
        if !(mirror && relation == Relation::Raised) {
            self.may_relate(by, relation, facts)?;
        }
        if self.links.len() >= LINKS_MAX {
            return reject(Rejection::TooMany(LINKS_MAX));
        }
        let is = |relation| self.links.iter().find(|link| link.relation == relation).map(|link| link.other.clone());
        match relation {
            Relation::ChildOf | Relation::ParentOf if self.status.is_over() => return reject(Rejection::Over),
            Relation::ChildOf => {
                if let Some(other) = is(Relation::ChildOf).or_else(|| is(Relation::ParentOf)) {
                    return reject(Rejection::LinkedAlready(other));
                }
            }
            Relation::ParentOf => {
                if let Some(parent) = is(Relation::ChildOf) {
                    return reject(Rejection::LinkedAlready(parent));
                }
            }
            _ => {}
        }
        Ok(vec![Linked { by: by.clone(), other: other.clone(), relation }.into()])
    }

    pub(super) fn unlink(&self, by: &Pid, other: &TicketSn, mirror: bool, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.opened()?;
        let Some(link) = self.links.iter().find(|link| link.other == *other) else {
            return if mirror { Ok(Vec::new()) } else { reject(Rejection::NotLinked(other.clone())) };
        };
        if !mirror {
            self.may_relate(by, link.relation, facts)?;
        }
        let unlinked = Unlinked { by: by.clone(), other: other.clone(), relation: link.relation };
        if link.relation != Relation::ChildOf || self.status != Status::Running {
            return Ok(vec![unlinked.into()]);
        }
        // What was answered while it was a child has its consequences now.
        let workflow = self.workflow(facts)?;
        let mut run = Run::new(self, &workflow.definition, facts);
        run.emit(unlinked);
        self.catch_up(&mut run, &workflow.definition)?;
        run.done()
    }

    /// Who has to do with a ticket may relate it to others; making one follow another is for those who may end it.
    pub fn may_relate(&self, by: &Pid, relation: Relation, facts: &Facts) -> Decision<()> {
        match relation {
            Relation::ChildOf | Relation::ParentOf => self.may_manage(by, facts),
            _ if self.may_see(by, facts)? => Ok(()),
            _ => reject(Rejection::NotAllowedToSee(by.clone())),
        }
    }
}
