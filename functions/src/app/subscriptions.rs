//! Knows which requests for work can have an effect. Most desks have no automation rule for most nodes, and many desks
//! have no notification policy. The follower of a desk on one machine then puts no message into a queue.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::intent::Intent;
use events::Event as _;
use events::notification_policy::Occasion;
use events::own_subscription::OwnSubscriptionEvent;
use infra::Error;

use crate::app::context::Configuration;
use crate::app::notifications::definitions::DEFAULT_POLICY;
use crate::app::notifications::progress;
use crate::app::notifications::reminders::period;

/// Decides whether an intent (a request for work) becomes a message.
#[async_trait]
pub trait Wanted: Send + Sync {
    /// Returns false only if the work of the intent would certainly end without an effect.
    async fn wants(&self, intent: &Intent) -> Result<bool, Error>;
}

/// Accepts every intent (request for work). A follower that does not process all commits in their order uses this type,
/// because it cannot know whether a rule is older than a ticket.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

#[async_trait]
impl Wanted for Everything {
    async fn wants(&self, _intent: &Intent) -> Result<bool, Error> {
        Ok(true)
    }
}

/// The configuration that decides whether an intent (a request for work) can have an effect. A page of commits that changes
/// the configuration must use [`Everything`] instead, because the list of rules does not contain its changes yet.
pub struct Subscriptions {
    configuration: Arc<Configuration>,
    /// The names of the nodes that have automation rules. The value is `None` if the names must be read again.
    nodes: Mutex<Option<Arc<BTreeSet<String>>>>,
    /// The occasions for which people have made subscriptions. The value is `None` if they must be read again.
    occasions: Mutex<Option<Arc<BTreeSet<Occasion>>>>,
    /// True if a notification policy has, or had, rules for chat groups. The value is `None` if it must be read again.
    had_chat_groups: Mutex<Option<bool>>,
}

/// Returns true if a commit of the stream can change which requests for work have an effect, although the stream is no
/// configuration.
pub fn concerns(stream: &str) -> bool {
    events::aggregate_of(stream) == OwnSubscriptionEvent::AGGREGATE
}

impl Subscriptions {
    pub fn new(configuration: Arc<Configuration>) -> Self {
        Self {
            configuration,
            nodes: Mutex::default(),
            occasions: Mutex::default(),
            had_chat_groups: Mutex::default(),
        }
    }

    /// Removes the names of the nodes with rules and the other values from memory, so that they are read again. The follower
    /// calls this function after it has stored the results of commits that change the configuration, such as an automation
    /// rule. The list of rules is one of these results.
    pub fn forget(&self) {
        *self.nodes.lock().expect("no holder panics") = None;
        *self.occasions.lock().expect("no holder panics") = None;
        *self.had_chat_groups.lock().expect("no holder panics") = None;
    }

    async fn had_chat_groups(&self) -> Result<bool, Error> {
        let known = *self.had_chat_groups.lock().expect("no holder panics");
        if let Some(known) = known {
            return Ok(known);
        }
        let known = self.configuration.had_chat_groups(DEFAULT_POLICY).await?;
        *self.had_chat_groups.lock().expect("no holder panics") = Some(known);
        Ok(known)
    }

    async fn occasions(&self) -> Result<Arc<BTreeSet<Occasion>>, Error> {
        if let Some(occasions) = &*self.occasions.lock().expect("no holder panics") {
            return Ok(occasions.clone());
        }
        let occasions = Arc::new(self.configuration.subscribed_occasions().await?);
        *self.occasions.lock().expect("no holder panics") = Some(occasions.clone());
        Ok(occasions)
    }

    async fn nodes(&self) -> Result<Arc<BTreeSet<String>>, Error> {
        if let Some(nodes) = &*self.nodes.lock().expect("no holder panics") {
            return Ok(nodes.clone());
        }
        let rules = self.configuration.rules().await?;
        let nodes: BTreeSet<String> = rules.into_iter().map(|rule| rule.node).collect();
        let nodes = Arc::new(nodes);
        *self.nodes.lock().expect("no holder panics") = Some(nodes.clone());
        Ok(nodes)
    }
}

#[async_trait]
impl Wanted for Subscriptions {
    async fn wants(&self, intent: &Intent) -> Result<bool, Error> {
        match intent {
            Intent::EvaluateRules(evaluate) => Ok(self.nodes().await?.contains(&evaluate.name)),
            // Without a chain in the policy, no escalation starts. An escalation that started under an earlier policy
            // compares itself with its ticket at its next deadline.
            Intent::StartEscalation(_) | Intent::CheckEscalations { .. } => {
                let policy = self.configuration.notification_policy(DEFAULT_POLICY);
                let policy = policy.await?;
                Ok(policy
                    .0
                    .as_ref()
                    .is_some_and(|policy| !policy.chains.is_empty()))
            }
            // A group still follows its ticket after the rules were removed from the policy, because people leave it then
            // too. A desk that never had such rules has no groups.
            Intent::SyncChatGroup(_) => self.had_chat_groups().await,
            Intent::StartReminders(start) => {
                let policy = self.configuration.notification_policy(DEFAULT_POLICY);
                if policy.await?.0.is_none() {
                    return Ok(false);
                }
                let period = period(&self.configuration, start.workflow, start.version);
                Ok(period.await?.is_some())
            }
            Intent::NotifySubscribers(request) => {
                let policy = self.configuration.notification_policy(DEFAULT_POLICY);
                let policy = policy.await?;
                let Some(policy) = &policy.0 else {
                    return Ok(false);
                };
                let mut all = policy.subscriptions.iter();
                let is_wanted = all.any(|one| one.on.contains(&request.occasion));
                Ok(is_wanted || self.occasions().await?.contains(&request.occasion))
            }
            Intent::Notify(_) | Intent::NotifyOperators(_) | Intent::MarkOutdated(_) => {
                let policy = self.configuration.notification_policy(DEFAULT_POLICY);
                Ok(policy.await?.0.is_some())
            }
            // Most channels cannot change a message that they have sent.
            Intent::UpdateMessage { channel, .. } => Ok(progress::is_updatable(channel)),
            _ => Ok(true),
        }
    }
}
