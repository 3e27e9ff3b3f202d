//! Defines the events of the chat group of one ticket. The events are stored in the stream `chat_group-<sn>`, where
//! `<sn>` is the number of the ticket. A chat group is a group on a chat platform, such as WeCom, in which the people of
//! the ticket discuss it (plans/notifications.md, part 1).

use serde::{Deserialize, Serialize};

use crate::delivery::FailureClass;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::notification::Fact;
use crate::{Moment, PersonId, Personal, TicketSn};

/// The name of the deadline at which the next attempt starts. An earlier attempt without a stored result then counts as
/// interrupted.
pub const ATTEMPT: &str = "attempt";
/// The beginning of the name of the deadline at which the desk destroys the address of an erased person, although the
/// platform has not removed the person. The id of the person follows.
const ADDRESS: &str = "address/";

/// Returns the name of the deadline at which the desk destroys the address of an erased person.
pub fn address_deadline(person: &PersonId) -> String {
    format!("{ADDRESS}{person}")
}

/// Returns the erased person to whom a deadline belongs. Returns `None` for another deadline of a chat group.
pub fn erased_at(deadline: &str) -> Option<PersonId> {
    deadline.strip_prefix(ADDRESS).map(PersonId::from)
}

event_enum! {
    /// The events of one chat group.
    ChatGroupEvent of "chat_group" {
        Requested "chat_group.requested" 1,
        UpdateRequested "chat_group.update_requested" 1,
        MessageRequested "chat_group.message_requested" 1,
        CloseRequested "chat_group.close_requested" 1,
        AttemptStarted "chat_group.attempt_started" 1,
        AttemptFailed "chat_group.attempt_failed" 1,
        Postponed "chat_group.postponed" 1,
        PollScheduled "chat_group.poll_scheduled" 1,
        Created "chat_group.created" 1,
        MembersSynced "chat_group.members_synced" 1,
        Renamed "chat_group.renamed" 1,
        MessageSent "chat_group.message_sent" 1,
        MessageFailed "chat_group.message_failed" 1,
        SyncFailed "chat_group.sync_failed" 1,
        Failed "chat_group.failed" 1,
        Closed "chat_group.closed" 1,
        MemberErased "chat_group.member_erased" 1,
        ErasedMemberEnded "chat_group.erased_member_ended" 1,
    }
    deadlines |event: &ChatGroupEvent| {
        let due = match event {
            ChatGroupEvent::Requested(one) => Some(one.due),
            ChatGroupEvent::UpdateRequested(one) => one.due,
            ChatGroupEvent::MessageRequested(one) => Some(one.due),
            ChatGroupEvent::CloseRequested(one) => Some(one.due),
            ChatGroupEvent::AttemptStarted(one) => Some(one.due),
            ChatGroupEvent::AttemptFailed(one) => Some(one.due),
            ChatGroupEvent::Postponed(one) => Some(one.due),
            ChatGroupEvent::PollScheduled(one) => Some(one.due),
            ChatGroupEvent::Created(one) => one.due,
            ChatGroupEvent::MembersSynced(one) => one.due,
            ChatGroupEvent::Renamed(one) => one.due,
            ChatGroupEvent::MessageSent(one) => one.due,
            ChatGroupEvent::MessageFailed(one) => one.due,
            ChatGroupEvent::SyncFailed(one) => one.due,
            ChatGroupEvent::MemberErased(one) => Some(one.due),
            ChatGroupEvent::ErasedMemberEnded(one) => one.due,
            ChatGroupEvent::Failed(_) | ChatGroupEvent::Closed(_) => None,
        };
        let attempt = match due {
            Some(due) => DeadlineChange::set(ATTEMPT, due),
            None => DeadlineChange::clear(ATTEMPT),
        };
        let address = match event {
            ChatGroupEvent::MemberErased(one) => {
                Some(DeadlineChange::set(address_deadline(&one.person), one.until))
            }
            ChatGroupEvent::ErasedMemberEnded(one) => {
                Some(DeadlineChange::clear(address_deadline(&one.person)))
            }
            _ => None,
        };
        std::iter::once(attempt).chain(address).collect::<Vec<_>>()
    };
}

/// A chat group for a ticket was requested. The request replaces an earlier group of the ticket that was closed or that
/// could not be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    /// The channel account (the configured sender) that owns the group.
    pub account: String,
    /// The channel of the account, such as `wecom_app`.
    pub channel: String,
    /// The name of the group for people.
    pub name: String,
    /// The people who shall be members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<PersonId>,
    /// The people of the ticket who are left out, because they may not read the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_permitted: Vec<PersonId>,
    /// Number of further people who are left out, because a group has a limited number of members.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
    /// The person who requested the group. The value is absent if the notification policy requires the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// True if the group and its history stay on the platform after the ticket has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
    pub due: Moment,
}
impl Personals for Requested {}

/// The people or the name of the ticket changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRequested {
    pub name: String,
    /// All people who shall be members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_permitted: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
    /// The time of the next attempt. The value is absent if the group needs no further change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for UpdateRequested {}

/// A message about the ticket shall be sent to the group. Its text is written when it is sent, so the event contains no
/// text of the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRequested {
    /// The number of the message. The first message of the stream has number 1.
    pub number: u32,
    pub fact: Fact,
    /// The id of the event that caused the message.
    pub cause: String,
    pub due: Moment,
}
impl Personals for MessageRequested {}

/// The reason why a group is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    TicketEnded,
    /// A person closed the group.
    ByPerson,
}

/// The group shall be closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRequested {
    pub reason: CloseReason,
    /// The person who closed the group. The value is absent if the desk closes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The last name of the group, for a group that stays on the platform.
    pub name: String,
    pub due: Moment,
}
impl Personals for CloseRequested {}

/// An attempt to create the group or to send a message starts. If no result is stored before the time `due`, the attempt
/// counts as interrupted: the platform possibly has the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    /// The number of the message. The value is absent if the attempt creates the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u32>,
    /// The end of the time within which the platform recognizes a repetition of this request to create the group. The value
    /// is absent if the platform always recognizes it, and in an event from before this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recognized_until: Option<Moment>,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// An attempt failed. The next attempt starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    pub class: FailureClass,
    /// The code in the response of the platform. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// The desk sent no request, or the platform accepted none, because a rate limit allows none before the time `due`. The
/// attempt does not count as failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postponed {
    pub attempt: u32,
    pub reason: String,
    pub due: Moment,
}
impl Personals for Postponed {}

/// The platform already has a group with the technical name of this group, probably from an earlier attempt. The desk
/// looks for it in the list of its groups, page by page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    /// The text with which the platform identifies the next page. The text is empty for the first page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cursor: String,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// A member of the group, with the address under which the platform knows the person. The address is encrypted with the
/// key of the person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub person: PersonId,
    pub address: Personal,
}

/// The reason why a person of the ticket is not a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// The person has no address on the platform.
    NoAddress,
    /// The desk does not use the address of the person, because the platform reported it as wrong.
    Suppressed,
    /// The person may not read the ticket.
    NotPermitted,
    /// The platform refused the person.
    Refused,
}

/// A person of the ticket who is not a member, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub person: PersonId,
    pub reason: LeftOutReason,
}

/// The platform created the group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    pub attempt: u32,
    /// The id of the group on the platform.
    pub chat: String,
    /// True if the group already shows its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_named: bool,
    /// The people who are members since the creation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The time of the next attempt. The value is absent if the group needs no further change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Created {
    fn personals(&mut self) -> Vec<&mut Personal> {
        let members = self.members.iter_mut();
        members.map(|member| &mut member.address).collect()
    }
}

/// The platform added or removed people, or the desk left people out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MembersSynced {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Member>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for MembersSynced {
    fn personals(&mut self) -> Vec<&mut Personal> {
        let added = self.added.iter_mut();
        added.map(|member| &mut member.address).collect()
    }
}

/// The platform shows another name of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    pub attempt: u32,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Renamed {}

/// The platform accepted a message to the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSent {
    pub attempt: u32,
    pub number: u32,
    /// The id of the message on the platform. This member is empty if the platform returned no id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for MessageSent {}

/// A message to the group failed, and no further attempt to send it follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFailed {
    pub attempt: u32,
    pub number: u32,
    pub class: FailureClass,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for MessageFailed {}

/// The people or the name of the group could not be changed, or the group could not be closed. No further attempt
/// follows until the ticket changes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncFailed {
    pub attempt: u32,
    pub class: FailureClass,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
    /// The time at which the next waiting message is sent. The value is absent if no message waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for SyncFailed {}

/// The group could not be created, and no further attempt follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub attempt: u32,
    pub class: FailureClass,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
}
impl Personals for Failed {}

/// The group is closed: the platform deleted or archived it, or it shows its last name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The number of the attempt. The number is 0 if the group was never created, so that no request was needed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
}
impl Personals for Closed {}

/// The erasure of a person begins, and the platform must remove this person from the group. The address of the person stays
/// in the key store as the secret `secret` until the platform has removed the person, and at most until the time `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberErased {
    pub person: PersonId,
    /// The name of the secret in the key store. The event does not contain the address.
    pub secret: String,
    /// The time at which the desk destroys the address, also if the platform has not removed the person.
    pub until: Moment,
    pub due: Moment,
}
impl Personals for MemberErased {}

/// The platform removed an erased person from the group, or the desk cannot remove the person any more. The address of the
/// person was destroyed before this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedMemberEnded {
    /// The number of the attempt. The number is 0 if the time for the removal ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    pub person: PersonId,
    /// Why the person was not removed. The value is absent if the platform removed the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<NotRemoved>,
    /// The time of the next attempt. The value is absent if the group needs no further change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for ErasedMemberEnded {}

/// The reason why the platform did not remove an erased person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRemoved {
    pub class: FailureClass,
    /// The code in the response of the platform. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
