//! What decisions about tickets need from outside their stream, and how they ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::workflow::Deployed;
use events::{CatalogId, Pid, RoleId, ServiceId, WorkflowId, service};

use super::{Rejection, Ticket};
use crate::decider::Refusal;

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

    pub(super) fn is_superuser(&self, pid: &Pid) -> Decision<bool> {
        self.superusers.as_ref().map_or_else(|| needs(Lookup::Superusers), |superusers| Ok(superusers.contains(pid)))
    }
}
