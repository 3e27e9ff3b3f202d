//! Builds the HTTP request of a service task (the work of an automatic node), and evaluates the
//! response. The workflow definition contains the content of the request (reference/bk-itsm.md 8.1,
//! 8.4).

use domain::api_call::plan::PlannedRequest;
use domain::api_call::{ApiCall, POLICY, judge, plan};
use domain::attempt::{Policy, Verdict};
use domain::placeholder::Variables;
use events::workflow::NodeKind;
use events::workflow::service_task::ServiceTask;

use super::Provider;
use crate::http::{HttpError, HttpResponse};

/// The provider with the name `http`. A provider builds the requests of automatic workflow nodes.
#[derive(Clone, Copy, Debug)]
pub struct Http;

/// The error text for a service task (the work of an automatic node) that is not an HTTP request.
const OTHER: &str = "the service task is not an HTTP request";

impl Provider for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn does(&self, service_task: &ServiceTask) -> bool {
        matches!(service_task, ServiceTask::Request(_))
    }

    fn request(
        &self,
        service_task: &ServiceTask,
        _call: &ApiCall,
        variables: &Variables,
    ) -> Result<PlannedRequest, String> {
        match service_task {
            ServiceTask::Request(request) => plan::of_request(request, variables),
            _ => Err(OTHER.into()),
        }
    }

    fn verdict(
        &self,
        service_task: &ServiceTask,
        kind: NodeKind,
        call: &ApiCall,
        response: &Result<HttpResponse, HttpError>,
    ) -> (Verdict, Policy) {
        let ServiceTask::Request(request) = service_task else {
            let outputs = std::collections::BTreeMap::new();
            let reason = OTHER.to_owned();
            return (
                Verdict::Failed {
                    reason: reason.into(),
                    outputs,
                },
                POLICY,
            );
        };
        let reply = match response {
            Ok(response) => Ok((response.status, response.body.as_slice())),
            Err(error) => Err(error.to_string()),
        };
        judge::verdict(request, kind, call, &reply)
    }
}
