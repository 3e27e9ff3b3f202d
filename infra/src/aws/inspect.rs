//! Reads the tables, the table settings and the function logs of a desk in AWS. The command
//! `ledgerdesk doctor` evaluates these results.

use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, StreamViewType, TableDescription};

use super::Cloud;
use crate::Error;
use crate::sdk::failed;

/// The settings of one DynamoDB table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// View type of the DynamoDB stream of the table. `None` if the stream is disabled.
    pub stream: Option<String>,
    /// Whether point-in-time recovery is enabled. `None` if AWS does not return this setting.
    pub recovers: Option<bool>,
    pub is_protected: bool,
}

/// The two view types of DynamoDB streams that a desk needs. With the type `WHOLE_ITEMS`, each
/// stream record contains the complete changed item. With the type `KEYS_ALONE`, each stream record
/// contains only the key of the changed item.
pub const WHOLE_ITEMS: &str = "NEW_IMAGE";
pub const KEYS_ALONE: &str = "KEYS_ONLY";

/// Maximum number of lines that are read from the log of one Lambda function. If the log has more
/// lines, [`Lines::are_cut`] is true.
const LINES_MAX: usize = 100_000;

/// Lines from the log of one Lambda function. `are_cut` is true if the log has further lines that
/// were not read.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub lines: Vec<String>,
    pub are_cut: bool,
}

impl Cloud {
    /// Returns the settings of a DynamoDB table. Returns an error if the table is missing or access
    /// is denied.
    pub async fn table_facts(&self, name: &str) -> Result<TableFacts, Error> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let name = self.names.table(name);
        let described = client
            .describe_table()
            .table_name(&name)
            .send()
            .await
            .map_err(|error| failed(&format!("describe table {name}"), error))?;
        let table = described.table();
        let stream = table
            .and_then(|table| table.stream_specification())
            .filter(|stream| stream.stream_enabled());
        let backups = client
            .describe_continuous_backups()
            .table_name(&name)
            .send()
            .await
            .ok();
        let recovery = backups.and_then(|backups| {
            backups
                .continuous_backups_description?
                .point_in_time_recovery_description?
                .point_in_time_recovery_status
        });
        Ok(TableFacts {
            stream: stream.map(|stream| {
                stream
                    .stream_view_type()
                    .map_or_else(String::new, |kind: &StreamViewType| {
                        kind.as_str().to_owned()
                    })
            }),
            recovers: recovery.map(|status| status == PointInTimeRecoveryStatus::Enabled),
            is_protected: table
                .and_then(TableDescription::deletion_protection_enabled)
                .unwrap_or(false),
        })
    }

    /// Returns the names of at most a hundred DynamoDB tables in this region. The names begin with
    /// the prefix of the desk.
    pub async fn tables(&self) -> Result<Vec<String>, Error> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let listed = client
            .list_tables()
            .exclusive_start_table_name(self.names.prefix.clone())
            .send()
            .await
            .map_err(|error| failed("list the tables", error))?;
        Ok(listed
            .table_names()
            .iter()
            .filter(|name| name.starts_with(&self.names.prefix))
            .cloned()
            .collect())
    }

    /// Returns the AWS region of the desk. Returns `no region` if no region is configured.
    pub fn region(&self) -> &str {
        self.config
            .region()
            .map_or("no region", |region| region.as_ref())
    }

    /// Returns the log lines of a Lambda function that contain the text `word` and are not older
    /// than the time `since` (UTC, milliseconds).
    pub async fn log_lines(&self, function: &str, word: &str, since: i64) -> Result<Lines, Error> {
        let client = aws_sdk_cloudwatchlogs::Client::new(&self.config);
        let group = format!("/aws/lambda/{}", self.names.function(function));
        let mut found = Lines::default();
        let mut next = None;
        loop {
            let page = client
                .filter_log_events()
                .log_group_name(&group)
                .filter_pattern(format!("\"{word}\""))
                .start_time(since)
                .set_next_token(next)
                .send()
                .await;
            let page = page.map_err(|error| failed(&format!("read the log {group}"), error))?;
            // Some emulators ignore the filter in the request. Therefore, the code filters the
            // received log lines again.
            found.lines.extend(
                page.events()
                    .iter()
                    .filter_map(|event| event.message())
                    .filter(|line| line.contains(word))
                    .map(str::to_owned),
            );
            next = page.next_token;
            if next.is_none() {
                return Ok(found);
            }
            if found.lines.len() >= LINES_MAX {
                found.are_cut = true;
                return Ok(found);
            }
        }
    }
}
