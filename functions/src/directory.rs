//! Answers what decisions ask: services, workflow versions, role members. Configuration is read from its own streams and kept until
//! configuration is written again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::Decider;
use domain::config::{Catalog, Role, Service, Workflow};
use domain::ticket::{Facts, Lookup, Ticket};
use events::workflow::Deployed;
use events::{RoleId, ServiceId, WorkflowId};
use infra::ledger::Lookups;
use infra::views::{Range, Views};
use infra::{Error, Ledger};

/// The built-in role of those who may do everything.
pub const SUPERUSER: RoleId = RoleId(1);
/// Configuration streams kept in memory; a desk has hundreds.
const KEPT_MAX: usize = 10_000;
/// Roles a desk may have; more are not looked at by nodes that mean all of them.
const ROLES_MAX: usize = 1000;

/// Configuration as it is now.
pub struct Directory {
    ledger: Ledger,
    views: Arc<dyn Views>,
    services: Kept<Service>,
    workflows: Kept<Versions>,
    roles: Kept<Role>,
    catalog: Kept<Catalog>,
}

/// The state of each stream, and the configuration it was read under.
type Kept<T> = Mutex<HashMap<String, (u64, Arc<T>)>>;

/// A workflow's versions, each shared by all tickets that run on it.
#[derive(Default)]
struct Versions(HashMap<i64, Arc<Deployed>>);

impl Directory {
    pub fn new(ledger: Ledger, views: Arc<dyn Views>) -> Self {
        Self { ledger, views, services: Kept::default(), workflows: Kept::default(), roles: Kept::default(), catalog: Kept::default() }
    }

    async fn state<D: Decider, T>(&self, kept: &Kept<T>, stream: &str, make: impl FnOnce(D) -> T) -> Result<Arc<T>, Error> {
        let configuration = self.ledger.configuration();
        if let Some((at, state)) = kept.lock().expect("no holder panics").get(stream)
            && *at == configuration
        {
            return Ok(state.clone());
        }
        let context = self.ledger.load::<D>(stream).await?;
        let state = Arc::new(make(context.aggregate.0));
        let mut kept = kept.lock().expect("no holder panics");
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(stream.to_owned(), (configuration, state.clone()));
        Ok(state)
    }

    pub async fn service(&self, id: ServiceId) -> Result<Arc<Service>, Error> {
        self.state(&self.services, &format!("service-{id}"), |service: Service| service).await
    }

    pub async fn catalog(&self) -> Result<Arc<Catalog>, Error> {
        self.state(&self.catalog, "catalog", |catalog: Catalog| catalog).await
    }

    pub async fn workflow(&self, id: WorkflowId, version: i64) -> Result<Option<Arc<Deployed>>, Error> {
        let share = |workflow: Workflow| Versions(workflow.versions.into_iter().map(|(version, deployed)| (version, Arc::new(deployed))).collect());
        let versions = self.state(&self.workflows, &format!("workflow-{id}"), share).await?;
        Ok(versions.0.get(&version).cloned())
    }

    pub async fn role(&self, id: RoleId) -> Result<Arc<Role>, Error> {
        self.state(&self.roles, &format!("role-{id}"), |role: Role| role).await
    }

    /// Every service there is, by id.
    pub async fn services(&self) -> Result<Vec<Arc<Service>>, Error> {
        let mut services = Vec::new();
        for id in self.ids("service").await? {
            services.push(self.service(ServiceId(id)).await?);
        }
        Ok(services)
    }

    async fn ids(&self, view: &str) -> Result<Vec<i64>, Error> {
        let range = Range { view, index: "id", from: "", to: "~", descending: false, skip: 0, limit: ROLES_MAX };
        Ok(self.views.range(range).await?.into_iter().filter_map(|entry| entry.value.parse().ok()).collect())
    }
}

#[async_trait]
impl Lookups<Ticket> for Directory {
    async fn load(&self, wanted: &[Lookup], facts: &mut Facts) -> Result<(), Error> {
        for lookup in wanted {
            match lookup {
                Lookup::Service(id) => {
                    facts.services.insert(*id, self.service(*id).await?.0.clone());
                    facts.shelves.insert(*id, self.catalog().await?.places.get(id).copied());
                }
                Lookup::Workflow(id, version) => {
                    facts.workflows.insert((*id, *version), self.workflow(*id, *version).await?);
                }
                Lookup::Role(id) => {
                    let members = self.role(*id).await?.0.as_ref().map(|role| role.members.clone());
                    facts.roles.insert(*id, members.unwrap_or_default());
                }
                Lookup::GeneralRoles => {
                    let roles = self.ids("role").await?.into_iter().map(RoleId).filter(|id| *id != SUPERUSER);
                    facts.general_roles = Some(roles.collect());
                }
                Lookup::Superusers => {
                    let members = self.role(SUPERUSER).await?.0.as_ref().map(|role| role.members.clone());
                    facts.superusers = Some(members.unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}
