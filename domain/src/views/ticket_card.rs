//! Defines the card of one ticket. A card is a stored summary with the state, the times and the people of the
//! ticket. Lists, detail pages and reactions read the card.

use std::collections::BTreeSet;

use events::ticket::{NodeStatus, ServiceKind, TicketEvent};
use events::{AppCode, Moment, PersonId};
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::envelope::Envelope;
use crate::ticket::{NodeRun, Status, Ticket};

/// The values by which lists of tickets are filtered, such as the status. Many tickets can have the same
/// values. The stores therefore count the tickets of each list by these values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facets {
    /// The status of the ticket as the text that [`Ticket::status_key`] returns.
    pub status: String,
    pub service: i64,
    pub kind: ServiceKind,
    pub catalog: i64,
    pub bk_biz_id: i64,
    pub tag: String,
    /// The client app that opened the ticket. `None` if no app opened the ticket.
    pub app: Option<AppCode>,
}

/// Further values by which lists of tickets are filtered, such as the creation time. Normally, these values
/// are different for each ticket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnFacets<'a> {
    /// The id of the person who created the ticket.
    pub creator: &'a str,
    pub created_at: Moment,
    pub ended_at: Option<Moment>,
}

impl Facets {
    /// Returns the filter values of the ticket that other tickets can share, such as the status. Lists of
    /// tickets are filtered by these values. Returns `None` if the ticket does not exist.
    pub fn of(card: &TicketCard) -> Option<Self> {
        let opened = card.ticket.opened.as_ref()?;
        Some(Self {
            status: card.ticket.status_key().to_owned(),
            service: opened.service.0,
            kind: opened.kind,
            catalog: opened.catalog.0,
            bk_biz_id: card.ticket.bk_biz_id(),
            tag: opened.tag.clone(),
            app: card.app.clone(),
        })
    }

    /// Parses the filter values that several tickets can share, such as the status. The parameter is the
    /// first part of the text that [`TicketCard::facets`] returns. Returns `None` if the text is invalid.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl<'a> OwnFacets<'a> {
    /// Returns the filter values that normally only this ticket has, such as the creation time. Lists of
    /// tickets are filtered by these values. Returns `None` if the ticket does not exist.
    pub fn of(card: &'a TicketCard) -> Option<Self> {
        let opened = card.ticket.opened.as_ref()?;
        Some(Self {
            creator: opened.creator.as_str(),
            created_at: card.created_at,
            ended_at: card.ended_at,
        })
    }

    /// Parses the filter values that normally only one ticket has, such as the creation time. The parameter
    /// is the second part of the text that [`TicketCard::facets`] returns. Returns `None` if the text is
    /// invalid.
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The lists that together contain all tickets in which a person takes part. A ticket can be in several of them.
pub const TAKES_PART: [&str; 5] = ["creator", "dealt", "follows", "todo", "takes_part"];

/// The stored summary of one ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TicketCard {
    pub ticket: Ticket,
    pub created_at: Moment,
    pub updated_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Moment>,
    /// The people who have worked on the ticket, in the order of their first actions. Each person is in the
    /// list only once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dealt: Vec<PersonId>,
    /// The client app that opened the ticket. `None` if no app opened the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCode>,
}

impl TicketCard {
    pub fn fold(&mut self, envelope: &Envelope<TicketEvent>) {
        let before = self.ticket.status;
        self.ticket.evolve(&envelope.event);
        if envelope.sequence == 1 {
            self.created_at = envelope.happened_at();
            self.app.clone_from(&envelope.meta.app);
        }
        self.updated_at = envelope.happened_at();
        let actor = &envelope.meta.actor;
        if envelope.event.is_work() && !actor.is_system() && !self.dealt.contains(actor) {
            self.dealt.push(actor.clone());
        }
        if !before.is_over() && self.ticket.status.is_over() {
            self.ended_at = Some(envelope.happened_at());
        }
    }

    /// Returns the filter values of the ticket as one text. The text consists of two JSON arrays with a tab
    /// character between them. The first array contains values that other tickets can also have, such as the
    /// status. The second array contains values that normally only this ticket has, such as the creation
    /// time.
    pub fn facets(&self) -> String {
        let (
            Some(Facets {
                status,
                service,
                kind,
                catalog,
                bk_biz_id,
                tag,
                app,
            }),
            Some(OwnFacets {
                creator,
                created_at,
                ended_at,
            }),
        ) = (Facets::of(self), OwnFacets::of(self))
        else {
            return String::new();
        };
        let (shared, own) = (
            serde_json::json!([status, service, kind, catalog, bk_biz_id, tag, app]),
            serde_json::json!([creator, created_at, ended_at]),
        );
        format!("{shared}\t{own}")
    }

    /// Returns the list entries of the ticket. Each entry contains the name of a list and a sort text, by
    /// which this list is sorted. The sort text ends with the creation time of the ticket. In the list
    /// `ended`, the sort text ends with the time at which the ticket ended.
    pub fn index(&self) -> Vec<(&'static str, String)> {
        let Some(opened) = &self.ticket.opened else {
            return Vec::new();
        };
        let age = format!("{:016}", self.created_at.0);
        let mut rows = vec![
            ("ticket", age.clone()),
            ("creator", format!("{}|{age}", opened.creator)),
            ("status", format!("{}|{age}", self.ticket.status_key())),
        ];
        if let Some(ended_at) = self.ended_at {
            rows.push(("ended", format!("{:016}", ended_at.0)));
        }
        // A withdrawn ticket appears only in the list of all tickets, in the lists by creator and status, and
        // in the list of ended tickets.
        if self.ticket.status != Status::Revoked {
            rows.push(("listed", age.clone()));
            rows.push(("mine", format!("{}|{age}", opened.creator)));
            rows.extend(
                self.dealt
                    .iter()
                    .filter(|pid| **pid != opened.creator)
                    .map(|pid| ("dealt", format!("{pid}|{age}"))),
            );
            rows.extend(
                self.ticket
                    .followers
                    .iter()
                    .map(|pid| ("follows", format!("{pid}|{age}"))),
            );
        }
        // People do not process a child ticket, because the child ends together with its parent. Lists of
        // work for people therefore contain no child tickets.
        if self.ticket.status == Status::Running && self.ticket.parent().is_none() {
            let of = |is_selected: fn(&NodeRun) -> bool| {
                let people: BTreeSet<_> = self
                    .ticket
                    .current()
                    .filter(|(_, node_run)| is_selected(node_run))
                    .flat_map(|(_, node_run)| waits_for(node_run))
                    .collect();
                people
            };
            rows.extend(
                of(|_| true)
                    .into_iter()
                    .map(|pid| ("todo", format!("{pid}|{age}"))),
            );
            rows.extend(
                of(|node_run| node_run.status == NodeStatus::Receiving)
                    .into_iter()
                    .map(|pid| ("claim", format!("{pid}|{age}"))),
            );
            rows.extend(
                of(|node_run| node_run.is_vote)
                    .into_iter()
                    .map(|pid| ("approval", format!("{pid}|{age}"))),
            );
        }
        // Most people who take part in a ticket already have a row in a list above. The other people get a row in
        // this list. Therefore, the tickets in which a person takes part are the tickets in [`TAKES_PART`].
        let listed: BTreeSet<&str> = rows
            .iter()
            .filter(|(name, _)| TAKES_PART.contains(name))
            .filter_map(|(_, value)| value.split('|').next())
            .collect();
        let others: Vec<_> = self
            .ticket
            .people_who_take_part()
            .into_iter()
            .filter(|pid| !pid.is_system() && !listed.contains(pid.as_str()))
            .map(|pid| ("takes_part", format!("{pid}|{age}")))
            .collect();
        rows.extend(others);
        rows
    }
}

/// Returns the people who must act at a node. People must act at an automatic node only after the node has
/// failed.
fn waits_for(node_run: &NodeRun) -> Vec<PersonId> {
    if node_run.automatic && !node_run.is_failed_call() {
        Vec::new()
    } else {
        node_run.waiting_for()
    }
}
