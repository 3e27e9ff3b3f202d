//! Providers of automation: one file per provider, each a pure codec of requests and verdicts.
//!
//! **Recipe, a provider**: one file with an implementation of [`Provider`], its `mod` line and its
//! entry in [`ALL`]. Attempts, leases and limits are already in the runner.

pub mod bk_sops;
pub mod http;

use domain::api_call::ApiCall;
use domain::api_call::plan::PlannedRequest;
use domain::attempt::{Policy, Verdict};
use domain::placeholder::Variables;
use events::workflow::NodeKind;
use events::workflow::service_task::ServiceTask;

use crate::http::{HttpError, HttpResponse};

/// The codec of one kind of service task.
pub trait Provider: Send + Sync {
    /// Returns the permanent name.
    fn name(&self) -> &'static str;
    /// Returns whether this provider does a service task.
    fn does(&self, service_task: &ServiceTask) -> bool;
    /// Returns the next request of a call; the error is the English reason why there is none.
    fn request(
        &self,
        service_task: &ServiceTask,
        call: &ApiCall,
        variables: &Variables,
    ) -> Result<PlannedRequest, String>;
    /// Returns whether a repetition of the next request could do the work twice.
    fn is_once(&self, _call: &ApiCall) -> bool {
        false
    }
    /// Returns the verdict on one attempt, and when failed attempts are repeated.
    fn verdict(
        &self,
        service_task: &ServiceTask,
        kind: NodeKind,
        call: &ApiCall,
        response: &Result<HttpResponse, HttpError>,
    ) -> (Verdict, Policy);
}

/// Every provider.
pub const ALL: &[&dyn Provider] = &[&http::Http, &bk_sops::BkSops];

/// Returns the provider of a service task; `None` if no provider does it.
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
