//! Defines the context of a ticket decision: data that is not in the stream of the ticket. If the context is
//! incomplete, the decision fails with a list of lookups (names of the missing data).

use std::collections::BTreeMap;
use std::sync::Arc;

use events::workflow::{Choice, Deployed};
use events::{AttachmentId, CategoryId, Moment, PersonId, RoleId, ServiceId, WorkflowId, service};
use jiff::civil::DateTime;

use super::{Rejection, Ticket};
use crate::attachment::Attachment;
use crate::decider::DecideError;
use crate::options::{Offered, Question};
use crate::permission::AccessRequest;

/// Data that a ticket decision needs but that is not in the stream of the ticket.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The services by id. The value is `None` if no service has this id.
    pub services: BTreeMap<ServiceId, Option<service::Defined>>,
    pub categories: BTreeMap<ServiceId, Option<CategoryId>>,
    pub workflows: BTreeMap<(WorkflowId, i64), Option<Arc<Deployed>>>,
    /// The members of each role. Each key of the map is the id of a role.
    pub roles: BTreeMap<RoleId, Vec<PersonId>>,
    /// The ids of all general roles (roles that people define in this desk). The rule that selects the people
    /// for a node can list roles. An empty list in this rule means all general roles.
    pub general_roles: Option<Vec<RoleId>>,
    /// The members of the built-in role SUPERUSER.
    pub superusers: Option<Vec<PersonId>>,
    pub permissions: Option<Permissions>,
    /// The leader of each person. The value is `None` if the person has no leader.
    pub leaders: BTreeMap<PersonId, Option<PersonId>>,
    /// The members of each department, including the members of its subdepartments.
    pub departments: BTreeMap<String, Vec<PersonId>>,
    /// The people who have a role in a business (an organizational unit in BlueKing, with the id `bk_biz_id`).
    /// The key consists of the business id and the role name.
    pub business_roles: BTreeMap<(i64, String), Vec<PersonId>>,
    /// The options of each dictionary (a list of options that several fields can use). Each key of the map is
    /// the code of a dictionary. The value is `None` if the dictionary does not exist, is disabled, or was
    /// removed from the list of dictionaries.
    pub dictionaries: BTreeMap<String, Option<Vec<Choice>>>,
    /// The current states of uploaded files.
    pub attachments: BTreeMap<AttachmentId, Attachment>,
    /// The options that external systems returned. Each key of the map is the request for these options.
    pub options: BTreeMap<Question, Offered>,
    pub now: Option<Now>,
}

/// The permission policies: a function that returns true if a request is permitted.
#[derive(Clone, Copy, Debug)]
pub struct Permissions(pub fn(AccessRequest) -> bool);

/// The time of a decision. The value contains the time in UTC and the local time in the time zone of the
/// desk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    pub at: Moment,
    pub local: DateTime,
}

/// The name of one input that a ticket decision needs but that the context does not contain. The caller loads
/// this input and repeats the decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// The service with this id, together with the category of the service.
    Service(ServiceId),
    Workflow(WorkflowId, i64),
    Role(RoleId),
    GeneralRoles,
    Superusers,
    /// The permission policies.
    Permissions,
    Leader(PersonId),
    Department(String),
    BusinessRole(i64, String),
    Dictionary(String),
    /// The options of a field. The value is the request with which the desk gets these options from an
    /// external system.
    Options(Question),
    Attachment(AttachmentId),
    Now,
}

pub(crate) type Decision<T> = Result<T, DecideError<Ticket>>;

pub(crate) fn reject<T>(rejection: Rejection) -> Decision<T> {
    Err(DecideError::Rejected(rejection))
}

pub(super) fn needs<T>(lookup: Lookup) -> Decision<T> {
    Err(DecideError::Needs(vec![lookup]))
}

impl Context {
    pub(super) fn service(&self, id: ServiceId) -> Decision<(&service::Defined, CategoryId)> {
        let (Some(service), Some(category)) = (self.services.get(&id), self.categories.get(&id))
        else {
            return needs(Lookup::Service(id));
        };
        match (service, category) {
            (None, _) => reject(Rejection::ServiceUnknown(id)),
            (Some(service), _) if !service.is_listed => reject(Rejection::ServiceUnknown(id)),
            (Some(service), _) if !service.is_enabled => reject(Rejection::ServiceDisabled(id)),
            (Some(_), None) => reject(Rejection::ServiceNotInCatalog(id)),
            (Some(service), Some(category)) => Ok((service, *category)),
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
        self.dictionaries.get(code).map_or_else(
            || needs(Lookup::Dictionary(code.to_owned())),
            |items| Ok(items.as_deref()),
        )
    }

    pub(super) fn offered(&self, question: Question) -> Decision<&Offered> {
        self.options
            .get(&question)
            .map_or_else(|| needs(Lookup::Options(question)), Ok)
    }

    /// Returns the service of an existing ticket, even if the service is disabled or was removed from the
    /// list of services. Returns `None` if the service does not exist.
    pub(super) fn known_service(&self, id: ServiceId) -> Decision<Option<&service::Defined>> {
        self.services.get(&id).map_or_else(
            || needs(Lookup::Service(id)),
            |service| Ok(service.as_ref()),
        )
    }

    /// Returns true if the policies permit the request.
    pub(super) fn permits(&self, request: AccessRequest) -> Decision<bool> {
        self.permissions.map_or_else(
            || needs(Lookup::Permissions),
            |Permissions(permits)| Ok(permits(request)),
        )
    }

    /// Returns true if the person is a member of one of the roles.
    pub(super) fn is_member(&self, pid: &PersonId, roles: &[RoleId]) -> Decision<bool> {
        for role in roles {
            match self.roles.get(role) {
                Some(members) if members.contains(pid) => return Ok(true),
                Some(_) => {}
                None => return needs(Lookup::Role(*role)),
            }
        }
        Ok(false)
    }

    pub(super) fn is_superuser(&self, pid: &PersonId) -> Decision<bool> {
        self.superusers.as_ref().map_or_else(
            || needs(Lookup::Superusers),
            |superusers| Ok(superusers.contains(pid)),
        )
    }
}
