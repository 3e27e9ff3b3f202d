//! Implements the aggregates of the configuration, such as services, roles and the catalog. The module
//! `workflow` contains the aggregate of workflows.
//!
//! A new definition replaces the earlier definition completely. If both definitions are equal, the command
//! adds no event.

use std::collections::BTreeMap;

use events::app::{AppEvent, Registered};
use events::application_kind::{self, ApplicationKindEvent};
use events::calendar::{self, CalendarEvent};
use events::catalog::{
    CatalogEvent, CategoryAdded, CategoryChanged, CategoryRemoved, ServiceNamed, ServicePlaced,
};
use events::channel_account::{self, ChannelAccountEvent, Degraded, Recovered, Started, Stopped};
use events::desk_key::{DeskKeyEvent, Rotated};
use events::dictionary::{self, DictionaryEvent};
use events::field::{self, FieldEvent};
use events::integration::{self, CaseMapping, IntegrationEvent};
use events::notification_policy::{self, NotificationPolicyEvent};
use events::platform::{self, PlatformEvent};
use events::role::{self, RoleEvent};
use events::rule::{self, RuleEvent};
use events::script::{self, ScriptEvent};
use events::service::{self, ServiceEvent};
use events::site::{self, SiteEvent};
use events::task_type::{self, TaskTypeEvent};
use events::{CategoryId, Moment, ServiceId};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The reasons why the aggregates reject a change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("category {0} does not exist")]
    CatalogUnknown(CategoryId),
    #[error("category {0} exists already")]
    CatalogExists(CategoryId),
    #[error("the parent category already has a category named {0}")]
    NameTaken(String),
    #[error("service {by} has the name {name}")]
    ServiceNameTaken {
        name: String,
        by: ServiceId,
        /// The time at which the service `by` started to use the name.
        at: Moment,
    },
    #[error("category {0} has child categories")]
    HoldsCatalogs(String),
    #[error("category {0} has services")]
    HoldsServices(String),
    #[error("a category cannot be its own parent or be below itself")]
    BelowItself,
    #[error("the name is empty, longer than {NAME_MAX} characters, or has control characters")]
    NameUnfit,
    #[error("the root category cannot be changed")]
    Root,
}

/// Maximum length of a category name, in characters (reference/bk-itsm.md, section 13).
pub const NAME_MAX: usize = 64;

/// The current definition of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service(pub Option<service::Defined>);

/// The current definition of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role(pub Option<role::Defined>);

/// The current definition of one dictionary. A dictionary is a list of options that several fields can use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dictionary(pub Option<dictionary::Defined>);

/// The current definition of one integration, and all versions of its case mapping. An integration is a
/// connection to an external system. A case mapping contains the rules that convert received records to
/// tickets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Integration {
    pub defined: Option<integration::Defined>,
    /// All versions of the case mapping (the rules that convert received records to tickets). The first entry
    /// is version 1. If the mapping changes, existing tickets keep their version.
    pub mappings: Vec<CaseMapping>,
}

impl Integration {
    /// Returns the case mapping with the given version, and this version. A case mapping contains the rules
    /// that convert received records to tickets. Version 0 means the newest version. Returns `None` if the
    /// version does not exist.
    pub fn mapping(&self, version: u32) -> Option<(u32, &CaseMapping)> {
        let newest = u32::try_from(self.mappings.len()).unwrap_or(u32::MAX);
        let version = if version == 0 { newest } else { version };
        let at = usize::try_from(version.checked_sub(1)?).ok()?;
        Some((version, self.mappings.get(at)?))
    }
}

/// The current definition of one application kind. An application kind contains the settings for one kind of
/// request for approval in an external ITSM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApplicationKind(pub Option<application_kind::Defined>);

/// The current definition of one channel account. A channel account is a configured sender of messages, such
/// as a mail relay. The second value is the emergency stop of the account. It is `None` if the account is not stopped.
/// The third value is `None` unless most of the messages of the account fail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelAccount(
    pub Option<channel_account::Defined>,
    pub Option<Stopped>,
    #[serde(default)] pub Option<Degraded>,
);

/// The commands that change one channel account.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelAccountCommand {
    Define(channel_account::Defined),
    Stop(Stopped),
    Start(Started),
    /// Records that most of the messages fail.
    Degrade(Degraded),
    /// Records that the messages are accepted again.
    Recover(Recovered),
}

impl Decider for ChannelAccount {
    type Command = ChannelAccountCommand;
    type Event = ChannelAccountEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        command: &ChannelAccountCommand,
        (): &(),
    ) -> Result<Vec<ChannelAccountEvent>, DecideError<Self>> {
        Ok(match command {
            ChannelAccountCommand::Define(defined) if self.0.as_ref() != Some(defined) => {
                vec![defined.clone().into()]
            }
            ChannelAccountCommand::Stop(stopped) if self.0.is_some() && self.1.is_none() => {
                vec![stopped.clone().into()]
            }
            ChannelAccountCommand::Start(started) if self.1.is_some() => {
                vec![started.clone().into()]
            }
            ChannelAccountCommand::Degrade(degraded) if self.0.is_some() && self.2.is_none() => {
                vec![degraded.clone().into()]
            }
            ChannelAccountCommand::Recover(recovered) if self.2.is_some() => {
                vec![recovered.clone().into()]
            }
            ChannelAccountCommand::Define(_)
            | ChannelAccountCommand::Stop(_)
            | ChannelAccountCommand::Start(_)
            | ChannelAccountCommand::Degrade(_)
            | ChannelAccountCommand::Recover(_) => Vec::new(),
        })
    }

    fn evolve(&mut self, event: &ChannelAccountEvent) {
        match event {
            ChannelAccountEvent::Defined(defined) => self.0 = Some(defined.clone()),
            ChannelAccountEvent::Stopped(stopped) => self.1 = Some(stopped.clone()),
            ChannelAccountEvent::Started(_) => self.1 = None,
            ChannelAccountEvent::Degraded(degraded) => self.2 = Some(degraded.clone()),
            ChannelAccountEvent::Recovered(_) => self.2 = None,
        }
    }
}

/// The current definition of one notification policy. A notification policy names the channel accounts that
/// send messages, and the ticket priorities that are urgent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotificationPolicy(pub Option<notification_policy::Defined>);

/// The current definition of one working calendar, which contains working hours and holidays, and the number of its
/// definitions. The newest definition has this number as its version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calendar(pub Option<calendar::Defined>, pub u32);

impl Decider for Calendar {
    type Command = calendar::Defined;
    type Event = CalendarEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        definition: &calendar::Defined,
        (): &(),
    ) -> Result<Vec<CalendarEvent>, DecideError<Self>> {
        Ok(if self.0.as_ref() == Some(definition) {
            Vec::new()
        } else {
            vec![definition.clone().into()]
        })
    }

    fn evolve(&mut self, CalendarEvent::Defined(defined): &CalendarEvent) {
        self.0 = Some(defined.clone());
        self.1 += 1;
    }
}

/// The current definition of one site. A site is a place at which robots work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Site(pub Option<site::Defined>);

/// The current definition of one task type. A task type is a kind of work that robots can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskType(pub Option<task_type::Defined>);

/// The current definition of one automation platform, such as an LDAP server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Platform(pub Option<platform::Defined>);

/// The current definition of one script. A script is work that the desk can do without a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Script(pub Option<script::Defined>);

/// The current definition of one automation rule. A rule chooses a script for a node that waits for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule(pub Option<rule::Defined>);

/// The number of the newest version of one secret key of the desk. The number is 0 before the first rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskKey(pub u32);

impl DeskKey {
    /// Returns the numbers of the keys that are in use: the newest key, and the key before it.
    pub fn generations(self) -> (u32, Option<u32>) {
        let newest = self.0.max(1);
        (newest, (newest > 1).then(|| newest - 1))
    }
}

impl Decider for DeskKey {
    /// The time of a rotation.
    type Command = Moment;
    type Event = DeskKeyEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(&self, at: &Moment, (): &()) -> Result<Vec<DeskKeyEvent>, DecideError<Self>> {
        let (newest, _) = self.generations();
        let generation = newest.saturating_add(1);
        Ok(vec![
            Rotated {
                generation,
                at: *at,
            }
            .into(),
        ])
    }

    fn evolve(&mut self, DeskKeyEvent::Rotated(rotated): &DeskKeyEvent) {
        self.0 = rotated.generation;
    }
}

/// The current registration of one client app. A client app is a program that sends requests to the API of
/// the desk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct App(pub Option<Registered>);

/// The current definition of one shared field. A shared field is a template for fields. People can copy this
/// template into forms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SharedField(pub Option<field::Defined>);

/// Implements [`Decider`], the trait of all aggregates, for several aggregates. Each of these aggregates
/// stores only its newest definition.
macro_rules! defined_as_a_whole {
    ($($state:ident $event:ident :: $variant:ident ($data:ty);)*) => {$(
        impl Decider for $state {
            type Command = $data;
            type Event = $event;
            type Rejection = Rejection;
            type Context = ();
            type Lookup = Nothing;
            const ROLE: StreamRole = StreamRole::Configuration;

            fn decide(&self, definition: &$data, (): &()) -> Result<Vec<$event>, DecideError<Self>> {
                Ok(if self.0.as_ref() == Some(definition) { Vec::new() } else { vec![definition.clone().into()] })
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
    ApplicationKind ApplicationKindEvent::Defined(application_kind::Defined);
    NotificationPolicy NotificationPolicyEvent::Defined(notification_policy::Defined);
    Site SiteEvent::Defined(site::Defined);
    TaskType TaskTypeEvent::Defined(task_type::Defined);
    Platform PlatformEvent::Defined(platform::Defined);
    Script ScriptEvent::Defined(script::Defined);
    Rule RuleEvent::Defined(rule::Defined);
}

impl Decider for Integration {
    type Command = integration::Defined;
    type Event = IntegrationEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        definition: &integration::Defined,
        (): &(),
    ) -> Result<Vec<IntegrationEvent>, DecideError<Self>> {
        Ok(if self.defined.as_ref() == Some(definition) {
            Vec::new()
        } else {
            vec![definition.clone().into()]
        })
    }

    fn evolve(&mut self, IntegrationEvent::Defined(defined): &IntegrationEvent) {
        if let Some(mapping) = &defined.mapping
            && self.mappings.last() != Some(mapping)
        {
            self.mappings.push(mapping.clone());
        }
        self.defined = Some(defined.clone());
    }
}

/// The tree of service categories. Each service belongs to one category.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// The categories that exist. Each key of the map is the id of a category.
    pub categories: BTreeMap<CategoryId, CategoryAdded>,
    pub places: BTreeMap<ServiceId, CategoryId>,
    /// The highest id of all removed categories. A new category gets a higher id, so no id is ever used for
    /// two categories.
    #[serde(default)]
    pub highest: CategoryId,
    /// The names of services. Each key of the map is a name. Each value contains the service that uses this
    /// name, and the time at which this use began.
    #[serde(default)]
    pub names: BTreeMap<String, (ServiceId, Moment)>,
}

impl Catalog {
    /// Returns the id for a new category. This id is higher than all category ids that were ever used.
    pub fn next_id(&self) -> CategoryId {
        let highest = self
            .categories
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default()
            .max(self.highest);
        CategoryId(highest.0 + 1)
    }

    /// Returns true if the category `id` is in the part of the tree that starts at the category `above`. The
    /// category `above` itself belongs to this part.
    fn is_below(&self, id: CategoryId, above: CategoryId) -> bool {
        let mut next = Some(id);
        // A path in the tree cannot contain more categories than exist. This limit ends the loop even if the
        // tree contains a cycle.
        for _ in 0..=self.categories.len() {
            match next {
                Some(id) if id == above => return true,
                Some(id) => {
                    next = self
                        .categories
                        .get(&id)
                        .and_then(|category| category.parent);
                }
                None => return false,
            }
        }
        true
    }

    /// Returns an error if the category name is invalid, or if another category with the same parent has this
    /// name. The parameter `id` is the category that gets the name.
    fn check_name(
        &self,
        id: CategoryId,
        name: &str,
        parent: Option<CategoryId>,
    ) -> Result<(), DecideError<Self>> {
        if name.trim().is_empty()
            || name.chars().count() > NAME_MAX
            || name.chars().any(char::is_control)
        {
            return Err(DecideError::Rejected(Rejection::NameUnfit));
        }
        if self
            .categories
            .values()
            .any(|other| other.id != id && other.parent == parent && other.name == name)
        {
            return Err(DecideError::Rejected(Rejection::NameTaken(name.to_owned())));
        }
        Ok(())
    }
}

/// The commands that change the catalog (the tree of service categories).
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogCommand {
    Add(CategoryAdded),
    PlaceService(ServicePlaced),
    /// Reserves a name for a service, or releases the name of a service. If another service has the name, the
    /// command is normally rejected. The command is accepted if `instead_of` contains this other service. The
    /// caller sets `instead_of` only for a service that was never defined.
    NameService {
        named: ServiceNamed,
        instead_of: Option<ServiceId>,
    },
    Change(CategoryChanged),
    Remove(CategoryRemoved),
}

impl Decider for Catalog {
    type Command = CatalogCommand;
    type Event = CatalogEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        command: &CatalogCommand,
        (): &(),
    ) -> Result<Vec<CatalogEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            CatalogCommand::Add(added) => match (self.categories.get(&added.id), added.parent) {
                (Some(category), _) if category == added => Ok(Vec::new()),
                (Some(_), _) => reject(Rejection::CatalogExists(added.id)),
                (None, Some(parent)) if !self.categories.contains_key(&parent) => {
                    reject(Rejection::CatalogUnknown(parent))
                }
                (None, parent) => self
                    .check_name(added.id, &added.name, parent)
                    .map(|()| vec![added.clone().into()]),
            },
            CatalogCommand::Change(changed) => match self.categories.get(&changed.id) {
                None => reject(Rejection::CatalogUnknown(changed.id)),
                Some(category) if category.parent.is_none() || changed.parent.is_none() => {
                    reject(Rejection::Root)
                }
                Some(category)
                    if (&category.name, &category.desc, category.parent)
                        == (&changed.name, &changed.desc, changed.parent) =>
                {
                    Ok(Vec::new())
                }
                Some(_)
                    if changed
                        .parent
                        .is_some_and(|parent| self.is_below(parent, changed.id)) =>
                {
                    reject(Rejection::BelowItself)
                }
                Some(category)
                    if category.parent != changed.parent
                        && changed
                            .parent
                            .is_some_and(|parent| !self.categories.contains_key(&parent)) =>
                {
                    reject(Rejection::CatalogUnknown(
                        changed.parent.unwrap_or_default(),
                    ))
                }
                Some(_) => self
                    .check_name(changed.id, &changed.name, changed.parent)
                    .map(|()| vec![changed.clone().into()]),
            },
            CatalogCommand::Remove(removed) => match self.categories.get(&removed.id) {
                None => reject(Rejection::CatalogUnknown(removed.id)),
                Some(category) if category.parent.is_none() => reject(Rejection::Root),
                Some(category)
                    if self
                        .categories
                        .values()
                        .any(|other| other.parent == Some(removed.id)) =>
                {
                    reject(Rejection::HoldsCatalogs(category.name.clone()))
                }
                Some(category) if self.places.values().any(|place| *place == removed.id) => {
                    reject(Rejection::HoldsServices(category.name.clone()))
                }
                Some(_) => Ok(vec![removed.clone().into()]),
            },
            CatalogCommand::NameService { named, instead_of } => {
                let holder = named.name.as_ref().and_then(|name| self.names.get(name));
                match holder {
                    Some((service, _)) if *service == named.service => Ok(Vec::new()),
                    Some((by, at)) if Some(*by) != *instead_of => {
                        reject(Rejection::ServiceNameTaken {
                            name: named.name.clone().unwrap_or_default(),
                            by: *by,
                            at: *at,
                        })
                    }
                    None if named.name.is_none()
                        && !self.names.values().any(|(by, _)| *by == named.service) =>
                    {
                        Ok(Vec::new())
                    }
                    _ => Ok(vec![named.clone().into()]),
                }
            }
            CatalogCommand::PlaceService(placed) => match placed.catalog {
                Some(catalog) if !self.categories.contains_key(&catalog) => {
                    reject(Rejection::CatalogUnknown(catalog))
                }
                catalog if self.places.get(&placed.service).copied() == catalog => Ok(Vec::new()),
                _ => Ok(vec![placed.clone().into()]),
            },
        }
    }

    fn evolve(&mut self, event: &CatalogEvent) {
        match event {
            CatalogEvent::CategoryAdded(added) => {
                self.categories.insert(added.id, added.clone());
            }
            CatalogEvent::CategoryChanged(changed) => {
                if let Some(category) = self.categories.get_mut(&changed.id) {
                    category.name.clone_from(&changed.name);
                    category.desc.clone_from(&changed.desc);
                    category.parent = changed.parent;
                }
            }
            CatalogEvent::CategoryRemoved(removed) => {
                self.categories.remove(&removed.id);
                self.highest = self.highest.max(removed.id);
            }
            CatalogEvent::ServiceNamed(named) => {
                self.names
                    .retain(|_, (service, _)| *service != named.service);
                if let Some(name) = &named.name {
                    self.names.insert(name.clone(), (named.service, named.at));
                }
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
