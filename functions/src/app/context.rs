//! Loads the data that commands on tickets need. Such data includes the configuration (for example, services and role
//! members), field options, and data from the company directory.
//!
//! The configuration objects, such as services, are kept in a cache. After any change of the configuration, an object
//! is read again before its next use.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::Decider;
use domain::attachment::Attachment;
use domain::config::{
    ApplicationKind, Calendar, Catalog, ChannelAccount, DeskKey, Dictionary, Integration,
    NotificationPolicy, Platform, Role, Rule, Script, Service, SharedField, Site, TaskType,
};
use domain::notification::chain::EscalationChain;
use domain::notification::own_subscription::Subscriber;
use domain::notification::rota::Rota;
use domain::notification::template::NotificationTemplate;
use domain::ticket::{Context, Lookup, Now, Permissions, Ticket};
use domain::views::Card as _;
use domain::workflow::Workflow;
use events::notification_policy::{NotificationPolicyEvent, Occasion};
use events::role::RoleKind;
use events::workflow::{Choice, Deployed, Field};
use events::{Moment, PersonId, RoleId, ServiceId, WorkflowId};
use events::{application_kind, channel_account, platform, rule, script};
use infra::cache::{Bounds, Cache, NEVER};
use infra::directory::Directory;
use infra::http::HttpClient;
use infra::ledger::ContextLoader;
use infra::views::{Range, Views};
use infra::{Error, Ledger};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app::history::history_from;
use crate::app::option_sources::Offers;
use crate::app::people::People;

/// The id of the built-in role for superusers.
pub const SUPERUSER: RoleId = RoleId(1);
/// Maximum number of objects of one kind (such as services) in the cache. A desk usually has hundreds of
/// objects of each kind.
const KEPT: Bounds = Bounds::entries(10_000);
/// Time in milliseconds after which the people of a department are read again: 10 minutes.
const DEPARTMENT_MS: i64 = 600_000;
/// Maximum number of ids that one read of an index returns.
const IDS_PAGE: usize = 1000;
/// Reads the configuration objects of the desk, and keeps the objects in a cache.
pub struct Configuration {
    ledger: Ledger,
    views: Arc<dyn Views>,
    directory: Arc<dyn Directory>,
    people: People,
    zone: TimeZone,
    services: Cached<Service>,
    workflows: Cached<Workflow>,
    dictionaries: Cached<Dictionary>,
    fields: Cached<SharedField>,
    roles: Cached<Role>,
    catalog: Cached<Catalog>,
    integrations: Cached<Integration>,
    application_kinds: Cached<ApplicationKind>,
    desk_keys: Cached<DeskKey>,
    sites: Cached<Site>,
    task_types: Cached<TaskType>,
    channel_accounts: Cached<ChannelAccount>,
    notification_policies: Cached<NotificationPolicy>,
    calendars: Cached<Calendar>,
    escalation_chains: Cached<EscalationChain>,
    rotas: Cached<Rota>,
    notification_templates: Cached<NotificationTemplate>,
    platforms: Cached<Platform>,
    scripts: Cached<Script>,
    rules: Cached<Rule>,
    /// The user names of departments, with their sub-departments.
    departments: Cache<String, Arc<BTreeSet<String>>>,
    /// Loads the options of form fields from other systems.
    pub offers: Offers,
}

/// A cache of configuration objects. The key of an object is the name of its event stream. The configuration
/// of the desk has a version number, which increases with each change. Each cached object is stored with the
/// version number at the time of its read. If the version number has increased since then, the object is read
/// again.
type Cached<T> = Cache<String, (u64, Arc<T>)>;

impl Configuration {
    pub fn new(
        ledger: Ledger,
        views: Arc<dyn Views>,
        directory: Arc<dyn Directory>,
        caller: Arc<dyn HttpClient>,
        zone: TimeZone,
    ) -> Self {
        Self {
            people: People::new(ledger.keys.clone(), directory.clone()),
            offers: Offers::new(ledger.clone(), caller),
            ledger,
            views,
            directory,
            zone,
            services: Cache::new(KEPT),
            workflows: Cache::new(KEPT),
            dictionaries: Cache::new(KEPT),
            fields: Cache::new(KEPT),
            roles: Cache::new(KEPT),
            catalog: Cache::new(KEPT),
            integrations: Cache::new(KEPT),
            application_kinds: Cache::new(KEPT),
            desk_keys: Cache::new(KEPT),
            sites: Cache::new(KEPT),
            task_types: Cache::new(KEPT),
            channel_accounts: Cache::new(KEPT),
            notification_policies: Cache::new(KEPT),
            calendars: Cache::new(KEPT),
            escalation_chains: Cache::new(KEPT),
            rotas: Cache::new(KEPT),
            notification_templates: Cache::new(KEPT),
            platforms: Cache::new(KEPT),
            scripts: Cache::new(KEPT),
            rules: Cache::new(KEPT),
            departments: Cache::new(KEPT),
        }
    }

    async fn state<D: Decider, T>(
        &self,
        kept: &Cached<T>,
        stream: &str,
        make: impl FnOnce(D) -> T,
    ) -> Result<Arc<T>, Error> {
        let configuration = self.ledger.configuration();
        if let Some((at, state)) = kept.get(stream, Moment(0))
            && at == configuration
        {
            return Ok(state);
        }
        let context = self.ledger.load::<D>(stream).await?;
        let state = Arc::new(make(context.aggregate.0));
        let entry = (configuration, state.clone());
        kept.put(stream.to_owned(), entry, 0, NEVER);
        Ok(state)
    }

    pub async fn service(&self, id: ServiceId) -> Result<Arc<Service>, Error> {
        self.state(
            &self.services,
            &format!("service-{id}"),
            |service: Service| service,
        )
        .await
    }

    /// Returns an integration (a connection to another system) with all versions of its mapping. A mapping
    /// converts records of the other system to tickets. If the integration does not exist, the result
    /// contains no definition.
    pub async fn integration(&self, name: &str) -> Result<Arc<Integration>, Error> {
        let stream = format!("integration-{name}");
        self.state(&self.integrations, &stream, |state: Integration| state)
            .await
    }

    /// Returns the definition of an application kind, which describes one kind of request for approval in an
    /// external ITSM. Returns `None` if no application kind has this name.
    pub async fn application_kind(
        &self,
        name: &str,
    ) -> Result<Option<application_kind::Defined>, Error> {
        let stream = format!("application_kind-{name}");
        let state = self.state(
            &self.application_kinds,
            &stream,
            |state: ApplicationKind| state,
        );
        Ok(state.await?.0.clone())
    }

    /// Returns the number of the newest version of a secret key.
    pub async fn desk_key(&self, name: &str) -> Result<DeskKey, Error> {
        let stream = format!("desk_key-{name}");
        let state = self.state(&self.desk_keys, &stream, |state: DeskKey| state);
        Ok(*state.await?)
    }

    /// Returns a site (a place at which robots work). If the site does not exist, the result contains no
    /// definition.
    pub async fn site(&self, name: &str) -> Result<Arc<Site>, Error> {
        let stream = format!("site-{name}");
        self.state(&self.sites, &stream, |state: Site| state).await
    }

    /// Returns a task type (a kind of work that robots can do). If the task type does not exist, the result
    /// contains no definition.
    pub async fn task_type(&self, name: &str) -> Result<Arc<TaskType>, Error> {
        let stream = format!("task_type-{name}");
        self.state(&self.task_types, &stream, |state: TaskType| state)
            .await
    }

    /// Returns the definition of a channel account (a configured sender of messages). Returns `None` if no
    /// account has this name.
    pub async fn channel_account(
        &self,
        name: &str,
    ) -> Result<Option<channel_account::Defined>, Error> {
        let stream = format!("channel_account-{name}");
        let state = self.state(&self.channel_accounts, &stream, |state: ChannelAccount| {
            state
        });
        Ok(state.await?.0.clone())
    }

    /// Returns the emergency stop of a channel account (a configured sender of messages). Returns `None` if the account is
    /// not stopped.
    pub async fn channel_account_stop(
        &self,
        name: &str,
    ) -> Result<Option<channel_account::Stopped>, Error> {
        let stream = format!("channel_account-{name}");
        let make = |state: ChannelAccount| state;
        let state = self.state(&self.channel_accounts, &stream, make);
        Ok(state.await?.1.clone())
    }

    /// Returns the state of a channel account of which most messages fail. Returns `None` if the account works.
    pub async fn channel_account_health(
        &self,
        name: &str,
    ) -> Result<Option<channel_account::Degraded>, Error> {
        let stream = format!("channel_account-{name}");
        let make = |state: ChannelAccount| state;
        let state = self.state(&self.channel_accounts, &stream, make);
        Ok(state.await?.2.clone())
    }

    /// Returns the names of all channel accounts, in ascending order.
    pub async fn channel_account_names(&self) -> Result<Vec<String>, Error> {
        self.listed("channel_account", "id").await
    }

    /// Returns a notification policy. If the policy does not exist, the result contains no definition. Another process
    /// can have defined the first policy since the last read, so a missing policy is read again: without a policy, the
    /// caller does nothing, and would lose a message.
    pub async fn notification_policy(&self, name: &str) -> Result<Arc<NotificationPolicy>, Error> {
        let stream = format!("notification_policy-{name}");
        let make = |state: NotificationPolicy| state;
        let cached = self.state(&self.notification_policies, &stream, make);
        let cached = cached.await?;
        if cached.0.is_some() || self.ledger.is_only_writer() {
            return Ok(cached);
        }
        let read = self.ledger.load::<NotificationPolicy>(&stream).await?;
        Ok(Arc::new(read.aggregate.0))
    }

    /// Returns a stored working calendar. If the calendar does not exist, the result contains no definition.
    pub async fn calendar(&self, name: &str) -> Result<Arc<Calendar>, Error> {
        let stream = format!("calendar-{name}");
        self.state(&self.calendars, &stream, |state: Calendar| state)
            .await
    }

    /// Returns the user names of the people of a department and of all its sub-departments. The names are read again
    /// after 10 minutes.
    pub async fn department(&self, id: &str) -> Result<Arc<BTreeSet<String>>, Error> {
        let now = self.ledger.clock.now();
        if let Some(names) = self.departments.get(id, now) {
            return Ok(names);
        }
        let names: BTreeSet<String> = self.directory.members(id).await?.into_iter().collect();
        let names = Arc::new(names);
        let until = now.plus_ms(DEPARTMENT_MS);
        self.departments.put(id.to_owned(), names.clone(), 0, until);
        Ok(names)
    }

    /// Returns an escalation chain. If the chain does not exist, the result contains no definition.
    pub async fn escalation_chain(&self, name: &str) -> Result<Arc<EscalationChain>, Error> {
        let stream = format!("escalation_chain-{name}");
        let make = |state: EscalationChain| state;
        self.state(&self.escalation_chains, &stream, make).await
    }

    /// Returns a rota (a plan of the people on call). If the rota does not exist, the result contains no definition.
    pub async fn rota(&self, name: &str) -> Result<Arc<Rota>, Error> {
        let stream = format!("rota-{name}");
        self.state(&self.rotas, &stream, |state: Rota| state).await
    }

    /// Returns a notification template with its versions. If the template does not exist, the result contains no
    /// versions.
    pub async fn notification_template(
        &self,
        key: &str,
    ) -> Result<Arc<NotificationTemplate>, Error> {
        let stream = domain::notification::template::stream(key);
        let make = |state: NotificationTemplate| state;
        self.state(&self.notification_templates, &stream, make)
            .await
    }

    /// Returns the definition of an automation platform, such as an LDAP server. Returns `None` if no platform
    /// has this name.
    pub async fn platform(&self, name: &str) -> Result<Option<platform::Defined>, Error> {
        let stream = format!("platform-{name}");
        let state = self.state(&self.platforms, &stream, |state: Platform| state);
        Ok(state.await?.0.clone())
    }

    /// Returns the definition of a script. Returns `None` if no script has this name.
    pub async fn script(&self, name: &str) -> Result<Option<script::Defined>, Error> {
        let stream = format!("script-{name}");
        let state = self.state(&self.scripts, &stream, |state: Script| state);
        Ok(state.await?.0.clone())
    }

    /// Returns the definitions of all automation rules. The list of rules comes from a view (a table that is
    /// updated after each commit). A new rule may therefore be missing for a short time.
    pub async fn rules(&self) -> Result<Vec<rule::Defined>, Error> {
        let mut rules = Vec::new();
        for name in self.listed("rule", "name").await? {
            let stream = format!("rule-{name}");
            let rule = self
                .state(&self.rules, &stream, |state: Rule| state)
                .await?;
            rules.extend(rule.0.clone());
        }
        Ok(rules)
    }

    pub async fn catalog(&self) -> Result<Arc<Catalog>, Error> {
        self.state(&self.catalog, "catalog", |catalog: Catalog| catalog)
            .await
    }

    /// Returns one version of a workflow, or `None` if this version does not exist. An operator can remove a
    /// version from the list of versions. Such a version is still returned, because tickets may use it.
    pub async fn workflow(
        &self,
        id: WorkflowId,
        version: i64,
    ) -> Result<Option<Arc<Deployed>>, Error> {
        Ok(self.drawn(id).await?.versions.get(&version).cloned())
    }

    /// Returns a workflow with its draft and all its versions.
    pub async fn drawn(&self, id: WorkflowId) -> Result<Arc<Workflow>, Error> {
        self.state(
            &self.workflows,
            &format!("workflow-{id}"),
            |workflow: Workflow| workflow,
        )
        .await
    }

    pub async fn dictionary(&self, code: &str) -> Result<Arc<Dictionary>, Error> {
        self.state(
            &self.dictionaries,
            &format!("dictionary-{code}"),
            |dictionary: Dictionary| dictionary,
        )
        .await
    }

    /// Returns the shared field (a form field that several workflows can use) with the given key. Returns `None` if the
    /// shared field does not exist or was removed from the list of shared fields.
    pub async fn field(&self, key: &str) -> Result<Option<Field>, Error> {
        let shared = self
            .state(
                &self.fields,
                &format!("field-{key}"),
                |field: SharedField| field,
            )
            .await?;
        Ok(shared
            .0
            .as_ref()
            .filter(|shared| shared.is_listed)
            .map(|shared| shared.field.clone()))
    }

    pub async fn role(&self, id: RoleId) -> Result<Arc<Role>, Error> {
        self.state(&self.roles, &format!("role-{id}"), |role: Role| role)
            .await
    }

    /// Returns the options of a dictionary (a shared list of options). Returns `None` if the dictionary does
    /// not exist, is disabled, or was removed from the list of dictionaries.
    pub async fn options_of(&self, code: &str) -> Result<Option<Vec<Choice>>, Error> {
        Ok(self
            .dictionary(code)
            .await?
            .0
            .as_ref()
            .filter(|dictionary| dictionary.is_enabled && dictionary.is_listed)
            .map(|dictionary| dictionary.items.clone()))
    }

    /// Returns true if the person is a member of the superuser role.
    pub async fn is_superuser(&self, pid: &PersonId) -> Result<bool, Error> {
        Ok(self.superusers().await?.contains(pid))
    }

    async fn superusers(&self) -> Result<Vec<PersonId>, Error> {
        Ok(self
            .role(SUPERUSER)
            .await?
            .0
            .as_ref()
            .map(|role| role.members.clone())
            .unwrap_or_default())
    }

    /// Returns all services, sorted by id. The result also contains services that an operator removed from
    /// the list of services.
    pub async fn services(&self) -> Result<Vec<Arc<Service>>, Error> {
        let mut services = Vec::new();
        for id in self.ids("service").await? {
            services.push(self.service(ServiceId(id)).await?);
        }
        Ok(services)
    }

    /// Returns the definition of a service. Returns `None` if the service does not exist, or if an operator
    /// removed it from the list of services.
    pub async fn listed_service(
        &self,
        id: ServiceId,
    ) -> Result<Option<events::service::Defined>, Error> {
        Ok(self
            .service(id)
            .await?
            .0
            .clone()
            .filter(|service| service.is_listed))
    }

    /// Returns all roles, sorted by id. The result also contains roles that an operator removed from the list
    /// of roles.
    pub async fn roles(&self) -> Result<Vec<Arc<Role>>, Error> {
        let mut roles = Vec::new();
        for id in self.ids("role").await? {
            roles.push(self.role(RoleId(id)).await?);
        }
        Ok(roles)
    }

    /// Returns the person ids for user names. A user name without a person id gets a new person id.
    async fn pids(&self, names: Vec<String>) -> Result<Vec<PersonId>, Error> {
        let mut pids = Vec::new();
        for name in names {
            pids.push(self.people.pid(&name).await?);
        }
        Ok(pids)
    }

    /// Returns the ids of all objects in the given view (a stored table), from the lowest to the highest.
    pub async fn ids(&self, view: &str) -> Result<Vec<i64>, Error> {
        let ids = self.listed(view, "id").await?;
        Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Returns the names of all integrations, in ascending order.
    pub async fn integration_names(&self) -> Result<Vec<String>, Error> {
        self.listed("integration", "id").await
    }

    /// Returns the names of all application kinds, in ascending order.
    pub async fn application_kind_names(&self) -> Result<Vec<String>, Error> {
        self.listed("application_kind", "id").await
    }

    /// Returns the names of all escalation chains, in ascending order.
    pub async fn escalation_chain_names(&self) -> Result<Vec<String>, Error> {
        self.listed("escalation_chain", "id").await
    }

    /// Returns the names of all stored working calendars, in ascending order.
    pub async fn calendar_names(&self) -> Result<Vec<String>, Error> {
        self.listed("calendar", "id").await
    }

    /// Returns the names of all rotas (plans of the people on call), in ascending order.
    pub async fn rota_names(&self) -> Result<Vec<String>, Error> {
        self.listed("rota", "id").await
    }

    /// Returns true if a definition of the notification policy with the given name has, or had, rules for chat groups.
    pub async fn had_chat_groups(&self, name: &str) -> Result<bool, Error> {
        let stream = format!("notification_policy-{name}");
        let history = history_from::<NotificationPolicyEvent>(&self.ledger, &stream, 1).await?;
        let mut definitions = history.iter().map(|envelope| {
            let NotificationPolicyEvent::Defined(defined) = &envelope.event;
            defined
        });
        Ok(definitions.any(|defined| defined.chat_groups.is_some()))
    }

    /// Returns the occasions for which at least one person has made a subscription.
    pub async fn subscribed_occasions(&self) -> Result<BTreeSet<Occasion>, Error> {
        let mut found = BTreeSet::new();
        for occasion in Occasion::ALL {
            let name = occasion.name();
            let (from, to) = (format!("{name}|"), format!("{name}|~"));
            let range = Range {
                view: Subscriber::VIEW,
                index: "occasion",
                from: &from,
                to: &to,
                descending: false,
                skip: 0,
                limit: 1,
            };
            if !self.views.range(range).await?.is_empty() {
                found.insert(occasion);
            }
        }
        Ok(found)
    }

    /// Returns all values of one index of a view (a stored table), in ascending order.
    async fn listed(&self, view: &str, index: &str) -> Result<Vec<String>, Error> {
        let mut listed = Vec::new();
        loop {
            let range = Range {
                view,
                index,
                from: "",
                to: "~",
                descending: false,
                skip: listed.len(),
                limit: IDS_PAGE,
            };
            let page = self.views.range(range).await?;
            let is_last = page.len() < IDS_PAGE;
            listed.extend(page.into_iter().map(|entry| entry.value));
            if is_last {
                return Ok(listed);
            }
        }
    }
}

#[async_trait]
impl ContextLoader<Ticket> for Configuration {
    async fn load(&self, wanted: &[Lookup], context: &mut Context) -> Result<(), Error> {
        for lookup in wanted {
            match lookup {
                Lookup::Service(id) => {
                    context
                        .services
                        .insert(*id, self.service(*id).await?.0.clone());
                    context
                        .categories
                        .insert(*id, self.catalog().await?.places.get(id).copied());
                }
                Lookup::Workflow(id, version) => {
                    context
                        .workflows
                        .insert((*id, *version), self.workflow(*id, *version).await?);
                }
                Lookup::Role(id) => {
                    let members = self
                        .role(*id)
                        .await?
                        .0
                        .as_ref()
                        .map(|role| role.members.clone());
                    context.roles.insert(*id, members.unwrap_or_default());
                }
                Lookup::GeneralRoles => {
                    let roles = self.roles().await?;
                    let general = roles
                        .iter()
                        .filter_map(|role| role.0.as_ref())
                        .filter(|role| role.kind == RoleKind::General);
                    context.general_roles = Some(general.map(|role| role.role).collect());
                }
                Lookup::Superusers => {
                    context.superusers = Some(self.superusers().await?);
                }
                Lookup::Permissions => {
                    context.permissions = Some(Permissions(infra::policy::permits));
                }
                Lookup::Leader(pid) => {
                    let leader = self.directory.leader(&self.people.name(pid).await?).await?;
                    context.leaders.insert(
                        pid.clone(),
                        self.pids(leader.into_iter().collect()).await?.pop(),
                    );
                }
                Lookup::Department(id) => {
                    context.departments.insert(
                        id.clone(),
                        self.pids(self.directory.members(id).await?).await?,
                    );
                }
                Lookup::BusinessRole(business, role) => {
                    let holders = self
                        .pids(self.directory.holders(*business, role).await?)
                        .await?;
                    context
                        .business_roles
                        .insert((*business, role.clone()), holders);
                }
                Lookup::Dictionary(code) => {
                    context
                        .dictionaries
                        .insert(code.clone(), self.options_of(code).await?);
                }
                // Options are not loaded here. The code after this loop loads all options at the same time.
                Lookup::Options(_) => {}
                Lookup::Attachment(id) => {
                    context.attachments.insert(
                        id.clone(),
                        self.ledger
                            .load::<Attachment>(&id.stream())
                            .await?
                            .aggregate
                            .0,
                    );
                }
                Lookup::Now => {
                    let at = self.ledger.clock.now();
                    let local = Timestamp::from_millisecond(at.0)
                        .unwrap_or_default()
                        .to_zoned_datetime(self.zone.clone())
                        .datetime();
                    context.now = Some(Now { at, local });
                }
            }
        }
        let questions = wanted.iter().filter_map(|lookup| {
            if let Lookup::Options(question) = lookup {
                Some(question.clone())
            } else {
                None
            }
        });
        context
            .options
            .extend(self.offers.ask_all(questions.collect()).await?);
        Ok(())
    }
}
