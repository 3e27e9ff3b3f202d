//! The card of one ticket: a document with the state, the times and the people of the ticket.
//! Lists, detail pages and reactions read the card.

use std::collections::BTreeSet;

use events::ticket::{NodeStatus, ServiceKind, TicketEvent};
use events::{AppCode, Moment, PersonId};
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::envelope::Envelope;
use crate::ticket::{NodeRun, Status, Ticket};

/// The filter values that many tickets share, such as the status. The stores count the entries of
/// each list by these values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facets {
    /// The status of the ticket, as [`Ticket::status_key`] returns the status.
    pub status: String,
    pub service: i64,
    pub kind: ServiceKind,
    pub catalog: i64,
    pub bk_biz_id: i64,
    pub tag: String,
}

/// The filter values that are different for each ticket, such as the creation time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFacets {
    pub creator: PersonId,
    pub created_at: Moment,
    pub ended_at: Option<Moment>,
}

impl Facets {
    /// Returns the shared filter values of a ticket. Returns `None` if the ticket does not exist
    /// yet.
    pub fn of(card: &TicketCard) -> Option<Self> {
        let opened = card.ticket.opened.as_ref()?;
        Some(Self {
            status: card.ticket.status_key().to_owned(),
            service: opened.service.0,
            kind: opened.kind,
            catalog: opened.catalog.0,
            bk_biz_id: card.ticket.bk_biz_id(),
            tag: opened.tag.clone(),
        })
    }

    /// Reads the shared filter values from their JSON text, the first part of the text from
    /// [`TicketCard::facets`]. Returns `None` if the text is not valid.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl OwnFacets {
    /// Returns the own filter values of a ticket. Returns `None` if the ticket does not exist yet.
    pub fn of(card: &TicketCard) -> Option<Self> {
        let opened = card.ticket.opened.as_ref()?;
        Some(Self {
            creator: opened.creator.clone(),
            created_at: card.created_at,
            ended_at: card.ended_at,
        })
    }

    /// Reads the own filter values from their JSON text, the last part of the text from
    /// [`TicketCard::facets`]. Returns `None` if the text is not valid.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The stored summary of one ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TicketCard {
    pub ticket: Ticket,
    pub created_at: Moment,
    pub updated_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Moment>,
    /// The people who have worked on the ticket, without duplicates. The order is the order of
    /// their first actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dealt: Vec<PersonId>,
    /// The client app that opened the ticket. `None` if the ticket was opened without an app.
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

    /// Returns the filter values of the ticket as one text. The shared values come first, then a
    /// tab character, and then the own values. Each part is a JSON array.
    pub fn facets(&self) -> String {
        let (
            Some(Facets {
                status,
                service,
                kind,
                catalog,
                bk_biz_id,
                tag,
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
            serde_json::json!([status, service, kind, catalog, bk_biz_id, tag]),
            serde_json::json!([creator, created_at, ended_at]),
        );
        format!("{shared}\t{own}")
    }

    /// Returns the list entries of the ticket. Each entry has the name of a list and a value for
    /// sorting. The value ends with the creation time, so each list is sorted by age. Only the list
    /// `ended` is sorted by the end time.
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
        // The personal lists do not contain withdrawn tickets. Such tickets are only in the list of
        // all tickets and in the filter by status.
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
        // People do not process a child ticket, because the child follows its parent. The work
        // lists therefore do not contain child tickets.
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
        rows
    }
}

/// Returns the people who must act at a node now. At an automatic node, people must act only if the
/// node has failed.
fn waits_for(node_run: &NodeRun) -> Vec<PersonId> {
    if node_run.automatic && !node_run.is_failed_call() {
        Vec::new()
    } else {
        node_run.waiting_for()
    }
}
