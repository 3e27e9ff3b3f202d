//! Providers of automation, one file per provider. A provider builds requests and judges responses
//! without I/O.
//!
//! **Recipe, a provider**: To add a provider, add one file with an implementation of [`Provider`],
//! one `mod` line and one entry in [`ALL`]. The runner already provides attempts, leases and
//! limits.

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
    /// Returns the permanent name of the provider.
    fn name(&self) -> &'static str;
    /// Returns whether this provider executes a service task.
    fn does(&self, service_task: &ServiceTask) -> bool;
    /// Returns the next request of a call; the error is the English reason why no request can be
    /// built.
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
    /// Returns the verdict on one attempt, and the retry policy.
    fn verdict(
        &self,
        service_task: &ServiceTask,
        kind: NodeKind,
        call: &ApiCall,
        response: &Result<HttpResponse, HttpError>,
    ) -> (Verdict, Policy);
}

/// All providers, which [`find`] searches in this order.
pub const ALL: &[&dyn Provider] = &[&http::Http, &bk_sops::BkSops];

/// Returns the provider of a service task; `None` if no provider executes the task.
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
