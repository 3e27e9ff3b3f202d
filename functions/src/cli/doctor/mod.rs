//! Implements `ledgerdesk doctor`, which checks a service desk in a directory or in the cloud. For
//! each problem, the command prints what the operator should do.

mod accounts;
mod chains;
#[cfg(feature = "aws")]
mod cloud;
#[cfg(feature = "aws")]
mod cost;
mod directory;
mod integrations;
#[cfg(not(feature = "aws"))]
mod no_cloud;
mod robots;
mod stalled;
mod systems;
mod writes;

use clap::Args;

use serde_json::{Value, json};

use super::CommandError;
use super::target::Target;
#[cfg(not(feature = "aws"))]
use no_cloud::{cloud, cost};

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub target: Target,
    /// Print the cost of a service desk in the cloud. The cost is computed from the logs of its
    /// functions.
    #[arg(long)]
    pub cost: bool,
    /// The number of hours before now for which --cost computes the cost.
    #[arg(long, default_value_t = 24, requires = "cost")]
    pub hours: i64,
    /// The public base URL of the desk, as for `serve`: check whether callbacks of other systems arrive.
    #[arg(long, value_name = "URL", conflicts_with = "cost")]
    pub site: Option<String>,
    /// The address of the broker of the robots, as for `serve`: check whether it accepts connections.
    ///
    /// Only for a desk in a directory. The check does not subscribe. The subscriptions that the broker refuses a
    /// running desk are always shown.
    #[arg(long, value_name = "URL", conflicts_with = "cost")]
    pub mqtt_broker: Option<String>,
    /// The source of departments, as for `serve`: check the steps of escalation chains with a department.
    #[arg(long, value_name = "FILE|URL", conflicts_with = "cost")]
    pub directory: Option<String>,
}

/// The result of one check.
struct Finding {
    what: String,
    found: String,
    /// The advice for the operator. The value is `None` if the check found no problem.
    advice: Option<String>,
    /// True if the result is only a warning. With a warning, the service desk works, but the
    /// operator should follow the advice.
    is_warning: bool,
}

fn fine(what: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        found: found.into(),
        advice: None,
        is_warning: false,
    }
}

fn wrong(what: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        found: found.into(),
        advice: Some(advice.into()),
        is_warning: false,
    }
}

fn warning(
    what: impl Into<String>,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        is_warning: true,
        ..wrong(what, found, advice)
    }
}

impl Doctor {
    /// Runs all checks and prints their results. Returns an error if a check found a problem. A
    /// warning does not count as a problem.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        if self.cost {
            if !self.target.is_cloud() {
                return Err(CommandError::Usage(
                    "--cost needs a desk in the cloud (--cloud --prefix --bucket); requests to a desk in a directory are free".into(),
                ));
            }
            return cost::print(&self.target.connect().await?, self.hours, json).await;
        }
        let findings = if let Some(directory) = self.target.directory() {
            let (site, broker) = (self.site.as_deref(), self.mqtt_broker.as_deref());
            let people = self.directory.as_deref();
            directory::look(directory, site, broker, people).await
        } else {
            let (site, people) = (self.site.as_deref(), self.directory.as_deref());
            let mut findings = cloud::look(&self.target.connect().await?, site, people).await;
            findings.extend(self.mqtt_broker.is_some().then(|| {
                warning(
                    "broker of the robots",
                    "it is not checked: the robots of a desk in the cloud connect to AWS IoT Core",
                    "omit --mqtt-broker",
                )
            }));
            findings
        };
        let shown: Vec<Value> = findings
            .iter()
            .map(|Finding { what, found, advice, is_warning }| {
                json!({ "what": what, "ok": advice.is_none(), "warning": is_warning, "found": found, "advice": advice })
            })
            .collect();
        super::print(json, &json!({ "findings": shown }), || {
            for Finding {
                what,
                found,
                advice,
                is_warning,
            } in &findings
            {
                match advice {
                    None => println!("ok     {what}: {found}"),
                    Some(advice) if *is_warning => {
                        println!("WARN   {what}: {found}\n       {advice}");
                    }
                    Some(advice) => println!("WRONG  {what}: {found}\n       {advice}"),
                }
            }
        });
        match findings
            .iter()
            .filter(|finding| finding.advice.is_some() && !finding.is_warning)
            .count()
        {
            0 => Ok(()),
            1 => Err(CommandError::Found("one problem was found".into())),
            count => Err(CommandError::Found(format!("{count} problems were found"))),
        }
    }
}
