//! Reads the alarms that BlueKing monitor sends over HTTP callbacks. The log platform uses the same service for its alarms.
//! A record is one alarm, and its id is `/event/id`.
//!
//! The body of the callback must be the variable `{{alarm.callback_message}}`. This is the default of callbacks that BlueKing
//! monitor creates for notice groups. The body is one JSON object with `type`, `bk_biz_id`, `event`, `strategy`,
//! `latest_anomaly_record`, `current_value`, `description`, `related_info` and `labels`. It is an empty object if the action
//! has no alarm. A callback for several alarms contains only the first one.
//!
//! The member `type` is `ANOMALY_NOTICE` for a new or lasting alarm and for missing data, `RECOVERY_NOTICE` after the recovery,
//! `closed` after the alarm has become invalid, and `manual` otherwise. The id of the alarm stays the same.
//!
//! Times in the body are in UTC, without an offset. The desk therefore adds `created_at` and `updated_at` with an offset to the
//! record. BlueKing monitor does not sign callbacks, and they have no id. An API that closes alarms needs the id of the business
//! in addition to the id of the alarm, so the desk does not write to BlueKing monitor.

use jiff::civil::DateTime;
use serde_json::{Value, json as object_of};

use super::{Delivered, NotDelivered, Source, json, second_of};

/// The JSON pointer to the time at which the alarm was created.
const CREATED: &str = "/event/create_time";
/// The JSON pointers to the times of changes. The end time is null until the alarm ends.
const CHANGED: [&str; 3] = [
    CREATED,
    "/event/end_time",
    "/latest_anomaly_record/create_time",
];

/// The implementation of [`Source`] for BlueKing monitor.
#[derive(Clone, Copy, Debug)]
pub struct BkMonitor;

impl Source for BkMonitor {
    fn name(&self) -> &'static str {
        "bk_monitor"
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let mut alarm = json(body)?;
        if alarm.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(Delivered::Records(Vec::new()));
        }
        if !alarm.get("event").is_some_and(Value::is_object) {
            return Err(NotDelivered::Unreadable("`event` is required".into()));
        }
        let time = |pointer: &&str| second_of(alarm.pointer(pointer)?);
        let (created, updated) = (time(&CREATED), CHANGED.iter().filter_map(time).max());
        alarm["created_at"] = object_of!(created.map(in_utc));
        alarm["updated_at"] = object_of!(updated.map(in_utc));
        Ok(Delivered::Records(vec![alarm]))
    }
}

/// Returns a time in UTC with its offset.
fn in_utc(time: DateTime) -> String {
    format!("{time}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(kind: &str, source_time: &str, end_time: &Value) -> Value {
        object_of!({
            "bk_biz_id": 2, "bk_biz_name": "蓝鲸", "type": kind, "current_value": "46.17", "labels": ["disk"],
            "description": "已持续10分钟, avg(使用率) >= 40.0, 当前值46.17", "related_info": "",
            "event": {
                "id": "16062720008817", "event_id": "16062720008817", "level": 1, "level_name": "致命", "is_shielded": false,
                "begin_time": "2026-11-25 02:38:00", "create_time": "2026-11-25 02:40:00", "end_time": end_time,
            },
            "strategy": { "id": 144, "name": "磁盘使用率", "scenario": "os", "item_list": [] },
            "latest_anomaly_record": {
                "anomaly_id": "48af.1606272000.144.999.1", "source_time": source_time, "create_time": source_time,
                "origin_alarm": { "data": { "value": 46.17 } },
            },
        })
    }

    fn read(body: &Value) -> Value {
        let read = BkMonitor.read(body.to_string().as_bytes());
        match read.expect("a message") {
            Delivered::Records(mut records) if records.len() == 1 => records.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_record_is_the_alarm_with_its_times_in_utc() {
        let body = alarm("ANOMALY_NOTICE", "2026-11-25 02:50:00", &Value::Null);
        let record = read(&body);
        assert_eq!(record["event"], body["event"]);
        assert_eq!(record["created_at"], "2026-11-25T02:40:00Z");
        assert_eq!(record["updated_at"], "2026-11-25T02:50:00Z");
    }

    #[test]
    fn a_recovery_is_a_newer_state_of_the_same_alarm() {
        let time = "2026-11-25 02:50:00";
        let lasting = read(&alarm("ANOMALY_NOTICE", time, &Value::Null));
        let ended = object_of!("2026-11-25 02:58:03");
        let recovered = read(&alarm("RECOVERY_NOTICE", time, &ended));
        assert_eq!(recovered["event"]["id"], lasting["event"]["id"]);
        assert_eq!(recovered["updated_at"], "2026-11-25T02:58:03Z");
        assert_eq!(recovered["type"], "RECOVERY_NOTICE");
    }

    #[test]
    fn a_body_without_an_alarm_has_no_record() {
        let read = |body: &str| BkMonitor.read(body.as_bytes());
        assert_eq!(read("{}"), Ok(Delivered::Records(Vec::new())));
        for body in ["[]", r#"{"event":1}"#, r#"{"strategy":{"id":144}}"#] {
            assert!(matches!(read(body), Err(NotDelivered::Unreadable(_))));
        }
    }
}
