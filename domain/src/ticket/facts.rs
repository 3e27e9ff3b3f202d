//! What decisions about tickets need from outside their stream, and how they ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::workflow::{Choice, Deployed};
use events::{AttachmentId, CatalogId, Moment, Pid, RoleId, ServiceId, WorkflowId, service};
use jiff::civil::DateTime;

use super::{Rejection, Ticket};
use crate::attachment::Attachment;
use crate::decider::Refusal;
use crate::options::{Offered, Question};

/// What decisions about tickets need from outside their stream.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `None` says it was looked up and does not exist.
    pub services: BTreeMap<ServiceId, Option<service::Defined>>,
    pub shelves: BTreeMap<ServiceId, Option<CatalogId>>,
    pub workflows: BTreeMap<(WorkflowId, i64), Option<Arc<Deployed>>>,
    /// Members by role.
    pub roles: BTreeMap<RoleId, Vec<Pid>>,
    /// Every general role, where a node names none.
    pub general_roles: Option<Vec<RoleId>>,
    /// Members of the built-in role SUPERUSER.
    pub superusers: Option<Vec<Pid>>,
    /// The leader of each person who has one.
    pub leaders: BTreeMap<Pid, Option<Pid>>,
    /// Members by department, those of departments below included.
    pub departments: BTreeMap<String, Vec<Pid>>,
    /// Holders of a role in a business.
    pub business_roles: BTreeMap<(i64, String), Vec<Pid>>,
    /// Options by code of their list; `None` where there is no such list, or it is switched off.
    pub dictionaries: BTreeMap<String, Option<Vec<Choice>>>,
    /// Uploaded files, as they are now.
    pub attachments: BTreeMap<AttachmentId, Attachment>,
    /// What other systems offered.
    pub options: BTreeMap<Question, Offered>,
    pub now: Option<Now>,
}

/// The time of a decision, as an instant and on the desk's wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    pub at: Moment,
    pub local: DateTime,
}

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// The service and its place in the catalog.
    Service(ServiceId),
    Workflow(WorkflowId, i64),
    Role(RoleId),
    GeneralRoles,
    Superusers,
    Leader(Pid),
    Department(String),
    BusinessRole(i64, String),
    Dictionary(String),
    /// Options that another system supplies.
    Options(Question),
    Attachment(AttachmentId),
    Now,
}

pub(crate) type Decision<T> = Result<T, Refusal<Ticket>>;

pub(crate) fn reject<T>(rejection: Rejection) -> Decision<T> {
    Err(Refusal::Rejected(rejection))
}

pub(super) fn needs<T>(lookup: Lookup) -> Decision<T> {
    Err(Refusal::Needs(vec![lookup]))
}

impl Facts {
    pub(super) fn service(&self, id: ServiceId) -> Decision<(&service::Defined, CatalogId)> {
        let (Some(service), Some(shelf)) = (self.services.get(&id), self.shelves.get(&id)) else {
            return needs(Lookup::Service(id));
        };
        match (service, shelf) {
            (None, _) => reject(Rejection::ServiceUnknown(id)),
            (Some(service), _) if !service.is_listed => reject(Rejection::ServiceUnknown(id)),
            (Some(service), _) if !service.is_enabled => reject(Rejection::ServiceDisabled(id)),
            (Some(_), None) => reject(Rejection::ServiceNotInCatalog(id)),
            (Some(service), Some(shelf)) => Ok((service, *shelf)),
        }
    }

    pub(super) fn workflow(&self, id: WorkflowId, version: i64) -> Decision<Arc<Deployed>> {
        match self.workflows.get(&(id, version)) {
            Some(Some(deployed)) => Ok(deployed.clone()),
            Some(None) => reject(Rejection::Unknown),
            None => needs(Lookup::Workflow(id, version)),
        }
    }

    pub(super) fn now(&self) -> Decision<Now> {
        self.now.map_or_else(|| needs(Lookup::Now), Ok)
    }

    pub(super) fn dictionary(&self, code: &str) -> Decision<Option<&[Choice]>> {
        self.dictionaries.get(code).map_or_else(|| needs(Lookup::Dictionary(code.to_owned())), |items| Ok(items.as_deref()))
    }

    pub(super) fn offered(&self, question: Question) -> Decision<&Offered> {
        self.options.get(&question).map_or_else(|| needs(Lookup::Options(question)), Ok)
    }

    /// The service of a ticket that is there already, whatever became of it.
    pub(super) fn known_service(&self, id: ServiceId) -> Decision<Option<&service::Defined>> {
        self.services.get(&id).map_or_else(|| needs(Lookup::Service(id)), |service| Ok(service.as_ref()))
    }

    pub(super) fn is_superuser(&self, pid: &Pid) -> Decision<bool> {
        self.superusers.as_ref().map_or_else(|| needs(Lookup::Superusers), |superusers| Ok(superusers.contains(pid)))
    }
}
