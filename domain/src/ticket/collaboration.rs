//! Implements the operations that do not move a ticket through its workflow: remarks, followers, ratings,
//! reminders and links.

use events::ticket::{
    FollowersChanged, Linked, Rated, Relation, RemarkAdded, Reminded, TicketEvent, Unlinked,
};
use events::{AttachmentId, PersonId, Remark, TicketSn};

use super::engine::Run;
use super::rejection::FieldAt;
use super::{
    Context, Decision, FOLLOWERS_MAX, LINKS_MAX, Lookup, REMARK_MAX, Rejection, Status, Ticket,
    check_message, reject,
};
use crate::attachment::{COUNT_MAX, Unfit};
use crate::decider::DecideError;
use crate::user_name::is_blank;

impl Ticket {
    /// Adds a remark to the ticket. If the parameter `parent` is given, the remark is a reply to the remark
    /// with this number. Every person who may see the ticket may add remarks, even after the ticket has
    /// ended.
    pub(super) fn remark_on(
        &self,
        by: &PersonId,
        text: &str,
        parent: Option<u64>,
        (mentions, files): (&[PersonId], &[AttachmentId]),
        internal: bool,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        // The desk itself may always add a remark, for example if the desk could not do the work of a node.
        if !by.is_system() && !self.may_take_part(by, context)? {
            return reject(Rejection::NotAllowedToSee(by.clone()));
        }
        if is_blank(text) || text.chars().count() > REMARK_MAX {
            return reject(Rejection::TextUnfit(REMARK_MAX));
        }
        if mentions.len() > FOLLOWERS_MAX {
            return reject(Rejection::TooMany(FOLLOWERS_MAX));
        }
        self.check_files(by, files, context)?;
        match parent {
            Some(parent) if parent == 0 || parent > self.remarks => {
                reject(Rejection::RemarkUnknown(parent))
            }
            _ => {
                let id = self.remarks + 1;
                // A remark of the desk can contain personal data, such as outputs of scripts and form values
                // of the ticket's creator. Such a remark is therefore always encrypted with the creator's key.
                let text = if by.is_system() {
                    Remark::new(text).owned_by(self.opened()?.creator.clone())
                } else {
                    self.remark(text)?
                };
                Ok(vec![
                    RemarkAdded {
                        id,
                        by: by.clone(),
                        parent,
                        text,
                        mentions: mentions.to_vec(),
                        internal,
                        files: files.to_vec(),
                    }
                    .into(),
                ])
            }
        }
    }

    /// Checks the files of a remark. Each file must be uploaded completely, and its uploader must write the remark, unless
    /// the ticket already contains the file.
    fn check_files(
        &self,
        by: &PersonId,
        files: &[AttachmentId],
        context: &Context,
    ) -> Decision<()> {
        if files.is_empty() {
            return Ok(());
        }
        if files.len() > COUNT_MAX {
            return reject(Rejection::TooMany(COUNT_MAX));
        }
        let missing = files
            .iter()
            .filter(|id| !context.attachments.contains_key(*id));
        let missing: Vec<Lookup> = missing.cloned().map(Lookup::Attachment).collect();
        if !missing.is_empty() {
            return Err(DecideError::Needs(missing));
        }
        let sn = &self.opened()?.sn;
        let is_unfit = |id: &&AttachmentId| {
            let attachment = context.attachments.get(*id);
            !attachment.is_some_and(|one| one.uploaded.is_some() && one.is_for(&[by], sn))
        };
        match files.iter().find(is_unfit) {
            Some(id) => reject(Rejection::FileUnfit {
                at: FieldAt {
                    key: "files".into(),
                    name: "files".into(),
                },
                why: Unfit::NotHere(id.clone()),
            }),
            None => Ok(()),
        }
    }

    /// Adds followers (people who watch the ticket) or removes followers. The function skips people for whom
    /// nothing changes. Followers may read the ticket. Therefore, only a person who takes part in the ticket, or a
    /// client app that may read the ticket, can add followers.
    pub(super) fn follow(
        &self,
        by: &PersonId,
        people: &[PersonId],
        follows: bool,
        app_may_read: bool,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let takes_part = self.may_take_part(by, context)?;
        // Each person may stop following the ticket. To remove other followers, a person must take part in the
        // ticket.
        let is_permitted = if follows {
            takes_part || app_may_read
        } else {
            takes_part || people.iter().all(|pid| pid == by)
        };
        if !is_permitted {
            return reject(Rejection::NotAllowedToSee(by.clone()));
        }
        let invited = follows && takes_part;
        let is_new = |pid: &&PersonId| {
            self.followers.contains(pid) != follows || (invited && !self.invited.contains(*pid))
        };
        let mut new: Vec<PersonId> = people.iter().filter(is_new).cloned().collect();
        new.sort();
        new.dedup();
        if follows && self.followers.len() + new.len() > FOLLOWERS_MAX {
            return reject(Rejection::TooMany(FOLLOWERS_MAX));
        }
        Ok(if new.is_empty() {
            Vec::new()
        } else {
            vec![
                FollowersChanged {
                    by: by.clone(),
                    people: new,
                    follows,
                    invited,
                }
                .into(),
            ]
        })
    }

    /// Rates a ticket that has the status "finished". The creator may rate the ticket, and also the agent
    /// (the person who submitted the ticket for the creator). A ticket can have only one rating. If there is
    /// no rating at the deadline, the desk rates the ticket automatically.
    pub(super) fn rate(
        &self,
        by: &PersonId,
        stars: u8,
        comment: &str,
    ) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if self.status != Status::Finished {
            return reject(Rejection::NotFinished);
        }
        if self.stars.is_some() {
            return if by.is_system() {
                Ok(Vec::new())
            } else {
                reject(Rejection::RatedAlready)
            };
        }
        if opened.creator != *by && opened.agent.as_ref() != Some(by) && !by.is_system() {
            return reject(Rejection::NotTheRater);
        }
        if !(1..=5).contains(&stars) {
            return reject(Rejection::StarsUnfit(stars));
        }
        check_message(comment)?;
        Ok(vec![
            Rated {
                by: by.clone(),
                stars,
                comment: self.remark(comment)?,
            }
            .into(),
        ])
    }

    /// Reminds the current processors (people who may act at a node) that the ticket waits for their work. The
    /// creator and the supervisors may send reminders until the ticket ends, if the workflow allows reminders.
    pub(super) fn remind(
        &self,
        by: &PersonId,
        message: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        if self.status.is_over() {
            return reject(Rejection::Ended);
        }
        if !workflow.definition.is_supervise_needed {
            return reject(Rejection::RemindingOff);
        }
        let run = Run::new(self, &workflow.definition, context);
        if self.opened()?.creator != *by {
            let supervisors = run.resolve(&workflow.definition.supervisors);
            run.check_complete()?;
            if !supervisors.contains(by) {
                return reject(Rejection::MayNotRemind(by.clone()));
            }
        }
        check_message(message)?;
        let mut people: Vec<PersonId> = self
            .current()
            .flat_map(|(_, node_run)| node_run.waiting_for())
            .collect();
        people.sort();
        people.dedup();
        Ok(vec![
            Reminded {
                by: by.clone(),
                people,
                message: self.remark(message)?,
            }
            .into(),
        ])
    }

    /// Links this ticket to another ticket. Both tickets store the link, and both tickets check the
    /// permission of the person. A child ticket has exactly one parent and cannot be a parent. A child
    /// ticket ends together with its parent. To link a parent and a child, the person must therefore be
    /// allowed to end this ticket.
    pub(super) fn link(
        &self,
        by: &PersonId,
        other: &TicketSn,
        relation: Relation,
        mirror: bool,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if opened.sn == *other {
            return reject(Rejection::LinkedWithItself);
        }
        match self.links.iter().find(|link| link.other == *other) {
            Some(link) if mirror && link.relation == relation => return Ok(Vec::new()),
            Some(_) => return reject(Rejection::LinkedAlready(other.clone())),
            None => {}
        }
        // If a new ticket is opened from this ticket, the permission to link the tickets was already checked
        // before the opening. For all other links, the permission is checked here.
        if !(mirror && relation == Relation::Raised) {
            self.may_relate(by, relation, context)?;
        }
        if self.links.len() >= LINKS_MAX {
            return reject(Rejection::TooMany(LINKS_MAX));
        }
        let is = |relation| {
            self.links
                .iter()
                .find(|link| link.relation == relation)
                .map(|link| link.other.clone())
        };
        match relation {
            Relation::ChildOf | Relation::ParentOf if self.status.is_over() => {
                return reject(Rejection::Ended);
            }
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
        Ok(vec![
            Linked {
                by: by.clone(),
                other: other.clone(),
                relation,
            }
            .into(),
        ])
    }

    pub(super) fn unlink(
        &self,
        by: &PersonId,
        other: &TicketSn,
        mirror: bool,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        self.opened()?;
        let Some(link) = self.links.iter().find(|link| link.other == *other) else {
            return if mirror {
                Ok(Vec::new())
            } else {
                reject(Rejection::NotLinked(other.clone()))
            };
        };
        if !mirror {
            self.may_relate(by, link.relation, context)?;
        }
        let unlinked = Unlinked {
            by: by.clone(),
            other: other.clone(),
            relation: link.relation,
        };
        if link.relation != Relation::ChildOf || self.status != Status::Running {
            return Ok(vec![unlinked.into()]);
        }
        // While the ticket was a child of another ticket, the results of API calls were only stored. Now the
        // ticket is no child any more, so the desk applies these results.
        let workflow = self.workflow(context)?;
        let mut run = Run::new(self, &workflow.definition, context);
        run.emit(unlinked);
        self.apply_pending_results(&mut run, &workflow.definition)?;
        run.done()
    }

    /// Checks that the person `by` may add or remove a link with the kind `relation` between two tickets. For
    /// a link between parent and child, the person must be allowed to end the ticket. For other links, the
    /// person must be allowed to see the ticket.
    pub fn may_relate(&self, by: &PersonId, relation: Relation, context: &Context) -> Decision<()> {
        match relation {
            Relation::ChildOf | Relation::ParentOf => self.may_manage(by, context),
            _ if self.may_take_part(by, context)? => Ok(()),
            _ => reject(Rejection::NotAllowedToSee(by.clone())),
        }
    }
}
