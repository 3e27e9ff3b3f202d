//! What the desk is set up with besides workflows: services, catalog, dictionaries, shared fields, roles, applications. Each is defined as a whole; defining it the
//! same again changes nothing.

use std::collections::BTreeMap;

use events::app::{AppEvent, Registered};
use events::catalog::{Added, CatalogEvent, Changed, Removed, ServicePlaced};
use events::dictionary::{self, DictionaryEvent};
use events::field::{self, FieldEvent};
use events::role::{self, RoleEvent};
use events::service::{self, ServiceEvent};
use events::{CatalogId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::decider::{Decider, Nothing, Refusal};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("catalog {0} does not exist")]
    CatalogUnknown(CatalogId),
    #[error("catalog {0} exists already")]
    CatalogExists(CatalogId),
    #[error("a catalog named {0} stands there already")]
    NameTaken(String),
    #[error("catalog {0} holds other catalogs")]
    HoldsCatalogs(String),
    #[error("catalog {0} holds services")]
    HoldsServices(String),
    #[error("a catalog cannot stand below itself")]
    BelowItself,
    #[error("the name is empty, longer than {NAME_MAX} characters, or has control characters")]
    NameUnfit,
    #[error("the root cannot be changed")]
    Root,
}

/// Longest name of a shelf (reference/bk-itsm.md 13).
pub const NAME_MAX: usize = 64;

/// One service as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service(pub Option<service::Defined>);

/// One role as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role(pub Option<role::Defined>);

/// One list of options as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dictionary(pub Option<dictionary::Defined>);

/// One application as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct App(pub Option<Registered>);

/// One shared field as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SharedField(pub Option<field::Defined>);

/// An aggregate that only knows its last definition.
macro_rules! defined_as_a_whole {
    ($($state:ident $event:ident :: $variant:ident ($data:ty);)*) => {$(
        impl Decider for $state {
            type Command = $data;
            type Event = $event;
            type Rejection = Rejection;
            type Facts = ();
            type Lookup = Nothing;

            fn decide(&self, wanted: &$data, (): &()) -> Result<Vec<$event>, Refusal<Self>> {
                Ok(if self.0.as_ref() == Some(wanted) { Vec::new() } else { vec![wanted.clone().into()] })
            }
            fn evolve(&mut self, event: &$event) {
                let $event::$variant(data) = event;
                self.0 = Some(data.clone());
            }
        }
    )*};
}

defined_as_a_whole! {
    Service ServiceEvent::Defined(service::Defined);
    Role RoleEvent::Defined(role::Defined);
    Dictionary DictionaryEvent::Defined(dictionary::Defined);
    App AppEvent::Registered(Registered);
    SharedField FieldEvent::Defined(field::Defined);
}

/// The catalog tree and the place of every service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// By id, which is also the order of adding.
    pub shelves: BTreeMap<CatalogId, Added>,
    pub places: BTreeMap<ServiceId, CatalogId>,
    /// The highest id among those that were taken away: no id is given twice.
    #[serde(default)]
    pub highest: CatalogId,
}

impl Catalog {
    /// An id that no shelf has had.
    pub fn next_id(&self) -> CatalogId {
        let highest = self.shelves.keys().next_back().copied().unwrap_or_default().max(self.highest);
        CatalogId(highest.0 + 1)
    }

    /// Says whether a shelf is another one, or stands anywhere below it.
    fn is_below(&self, id: CatalogId, above: CatalogId) -> bool {
        let mut next = Some(id);
        // A tree is never deeper than it has shelves.
        for _ in 0..=self.shelves.len() {
            match next {
                Some(id) if id == above => return true,
                Some(id) => next = self.shelves.get(&id).and_then(|shelf| shelf.parent),
                None => return false,
            }
        }
        true
    }

    /// A name is short enough and not there yet on the same shelf.
    fn fits(&self, id: CatalogId, name: &str, parent: Option<CatalogId>) -> Result<(), Refusal<Self>> {
        if name.trim().is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(Refusal::Rejected(Rejection::NameUnfit));
        }
        if self.shelves.values().any(|other| other.id != id && other.parent == parent && other.name == name) {
            return Err(Refusal::Rejected(Rejection::NameTaken(name.to_owned())));
        }
        Ok(())
    }
}

/// What can be asked of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogCommand {
    Add(Added),
    Place(ServicePlaced),
    Change(Changed),
    Remove(Removed),
}

impl Decider for Catalog {
    type Command = CatalogCommand;
    type Event = CatalogEvent;
    type Rejection = Rejection;
    type Facts = ();
    type Lookup = Nothing;

    fn decide(&self, command: &CatalogCommand, (): &()) -> Result<Vec<CatalogEvent>, Refusal<Self>> {
        let reject = |rejection| Err(Refusal::Rejected(rejection));
        match command {
            CatalogCommand::Add(added) => match (self.shelves.get(&added.id), added.parent) {
                (Some(shelf), _) if shelf == added => Ok(Vec::new()),
                (Some(_), _) => reject(Rejection::CatalogExists(added.id)),
                (None, Some(parent)) if !self.shelves.contains_key(&parent) => reject(Rejection::CatalogUnknown(parent)),
                (None, parent) => self.fits(added.id, &added.name, parent).map(|()| vec![added.clone().into()]),
            },
            CatalogCommand::Change(changed) => match self.shelves.get(&changed.id) {
                None => reject(Rejection::CatalogUnknown(changed.id)),
                Some(shelf) if shelf.parent.is_none() || changed.parent.is_none() => reject(Rejection::Root),
                Some(shelf) if (&shelf.name, &shelf.desc, shelf.parent) == (&changed.name, &changed.desc, changed.parent) => Ok(Vec::new()),
                Some(_) if changed.parent.is_some_and(|parent| self.is_below(parent, changed.id)) => reject(Rejection::BelowItself),
                Some(shelf) if shelf.parent != changed.parent && changed.parent.is_some_and(|parent| !self.shelves.contains_key(&parent)) => {
                    reject(Rejection::CatalogUnknown(changed.parent.unwrap_or_default()))
                }
                Some(_) => self.fits(changed.id, &changed.name, changed.parent).map(|()| vec![changed.clone().into()]),
            },
            CatalogCommand::Remove(removed) => match self.shelves.get(&removed.id) {
                None => reject(Rejection::CatalogUnknown(removed.id)),
                Some(shelf) if shelf.parent.is_none() => reject(Rejection::Root),
                Some(shelf) if self.shelves.values().any(|other| other.parent == Some(removed.id)) => reject(Rejection::HoldsCatalogs(shelf.name.clone())),
                Some(shelf) if self.places.values().any(|place| *place == removed.id) => reject(Rejection::HoldsServices(shelf.name.clone())),
                Some(_) => Ok(vec![removed.clone().into()]),
            },
            CatalogCommand::Place(placed) => match placed.catalog {
                Some(catalog) if !self.shelves.contains_key(&catalog) => reject(Rejection::CatalogUnknown(catalog)),
                catalog if self.places.get(&placed.service).copied() == catalog => Ok(Vec::new()),
                _ => Ok(vec![placed.clone().into()]),
            },
        }
    }

    fn evolve(&mut self, event: &CatalogEvent) {
        match event {
            CatalogEvent::Added(added) => {
                self.shelves.insert(added.id, added.clone());
            }
            CatalogEvent::Changed(changed) => {
                if let Some(shelf) = self.shelves.get_mut(&changed.id) {
                    shelf.name.clone_from(&changed.name);
                    shelf.desc.clone_from(&changed.desc);
                    shelf.parent = changed.parent;
                }
            }
            CatalogEvent::Removed(removed) => {
                self.shelves.remove(&removed.id);
                self.highest = self.highest.max(removed.id);
            }
            CatalogEvent::ServicePlaced(placed) => match placed.catalog {
                Some(catalog) => {
                    self.places.insert(placed.service, catalog);
                }
                None => {
                    self.places.remove(&placed.service);
                }
            },
        }
    }
}
