//! Contains the providers for automatic workflow nodes, with one file per provider. A provider
//! builds the requests that do the work of a node, and evaluates the responses. A provider does no
//! I/O.
//!
//! **How to add a provider**: Add one file with an implementation of [`Provider`], one `mod` line
//! and one entry in [`ALL`]. Attempts, leases (exclusive rights to make an attempt) and rate limits
//! need no new code, because the queue worker implements them.

pub mod bk_sops;
pub mod http;

use domain::api_call::ApiCall;
use domain::api_call::plan::PlannedRequest;
use domain::attempt::{Policy, Verdict};
use domain::placeholder::Variables;
use events::workflow::NodeKind;
use events::workflow::service_task::ServiceTask;

use crate::http::{HttpError, HttpResponse};

/// Builds the requests and evaluates the responses for one kind of service task (the work of an
/// automatic node).
pub trait Provider: Send + Sync {
    /// Returns the permanent name of this provider (builder of requests for automatic workflow
    /// nodes). The name must not change.
    fn name(&self) -> &'static str;
    /// Returns whether this provider can execute a service task (the work of an automatic node).
    fn does(&self, service_task: &ServiceTask) -> bool;
    /// Returns the next request of an API call (a series of requests for one automatic node). If
    /// the request cannot be built, returns the reason as an English text.
    fn request(
        &self,
        service_task: &ServiceTask,
        call: &ApiCall,
        variables: &Variables,
    ) -> Result<PlannedRequest, String>;
    /// Returns whether the next request must not be sent twice. Some services would execute the
    /// work again if they receive the same request again.
    fn is_once(&self, _call: &ApiCall) -> bool {
        false
    }
    /// Returns the verdict (the evaluated result) of one attempt. Also returns the retry policy,
    /// which determines further attempts.
    fn verdict(
        &self,
        service_task: &ServiceTask,
        kind: NodeKind,
        call: &ApiCall,
        response: &Result<HttpResponse, HttpError>,
    ) -> (Verdict, Policy);
}

/// All providers (builders of requests for automatic workflow nodes). The function [`find`]
/// searches them in this order.
pub const ALL: &[&dyn Provider] = &[&http::Http, &bk_sops::BkSops];

/// Returns the provider for a service task. Returns `None` if no provider can execute the task.
pub fn find(service_task: &ServiceTask) -> Option<&'static dyn Provider> {
    ALL.iter()
        .find(|provider| provider.does(service_task))
        .copied()
}

#[cfg(test)]
mod tests {
    use events::workflow::service_task::{Request, Task};

    use super::*;

    #[test]
    fn every_service_task_has_one_provider_with_its_own_name() {
        for (service_task, name) in [
            (ServiceTask::Request(Request::default()), "http"),
            (ServiceTask::Task(Task::default()), "bk_sops"),
        ] {
            let of_task: Vec<&str> = ALL
                .iter()
                .filter(|provider| provider.does(&service_task))
                .map(|provider| provider.name())
                .collect();
            assert_eq!(of_task, [name]);
        }
    }
}
