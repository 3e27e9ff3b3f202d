//! Implements VDA 5050, an interface between mobile robots and the system that controls them
//! (versions 2.0 and 2.1, reference/fleet.md, section 1).

pub mod v2;

use events::robot::Defined;

/// The kinds of messages that a robot sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    State,
    Connection,
    Factsheet,
}

/// The parts of the MQTT topic on which a robot sends messages:
/// `interface/vMAJOR/manufacturer/serial/kind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub interface: String,
    pub major: u32,
    pub manufacturer: String,
    pub serial: String,
    pub kind: TopicKind,
}

impl Topic {
    /// Parses an MQTT topic. Returns `None` if robots do not send messages to the desk on this
    /// topic.
    pub fn read(topic: &str) -> Option<Self> {
        let parts: Vec<&str> = topic.split('/').collect();
        let [interface, major, manufacturer, serial, kind] = parts[..] else {
            return None;
        };
        let kind = match kind {
            "state" => TopicKind::State,
            "connection" => TopicKind::Connection,
            "factsheet" => TopicKind::Factsheet,
            _ => return None,
        };
        let levels = [interface, manufacturer, serial];
        // The broker itself uses the topics that begin with a dollar sign.
        if levels.iter().any(|level| level.is_empty()) || interface.starts_with('$') {
            return None;
        }
        Some(Self {
            interface: interface.to_owned(),
            major: major.strip_prefix('v')?.parse().ok()?,
            manufacturer: manufacturer.to_owned(),
            serial: serial.to_owned(),
            kind,
        })
    }
}

/// Returns the MQTT topic on which the desk sends messages to a robot. `name` is the last part of
/// the topic.
pub fn topic_to(robot: &Defined, name: &str) -> String {
    format!(
        "{}/v{}/{}/{}/{name}",
        robot.interface,
        major(&robot.version),
        robot.manufacturer,
        robot.serial
    )
}

/// Returns the MQTT topic filters for all messages from robots that have the given interface name
/// (the first level of the topic). The filters do not overlap. If they overlapped, some brokers
/// would deliver a message once and other brokers several times.
pub fn filters(interface: &str) -> [String; 3] {
    ["state", "connection", "factsheet"].map(|kind| format!("{interface}/+/+/+/{kind}"))
}

/// Returns the MQTT topic filters for all messages to one robot. `topic` is the topic of the robot
/// without its last level.
pub fn filters_of_robot(topic: &str) -> [String; 2] {
    ["order", "instantActions"].map(|kind| format!("{topic}/{kind}"))
}

/// Returns the major version number, for example 2 for `2.1.0`. Returns 0 if the text is not a
/// version.
pub fn major(version: &str) -> u32 {
    let first = version.split('.').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_topics_of_robots_are_read() {
        let topic = Topic::read("uagv/v2/RobotCompany/001/state").unwrap();
        assert_eq!((topic.major, topic.kind), (2, TopicKind::State));
        assert_eq!(
            (topic.manufacturer.as_str(), topic.serial.as_str()),
            ("RobotCompany", "001")
        );
        for other in [
            "uagv/v2/RobotCompany/001/order",
            "uagv/v2/RobotCompany/001/instantActions",
            "uagv/2/RobotCompany/001/state",
            "uagv/v2/RobotCompany/state",
            "uagv/v2//001/state",
            "a/uagv/v2/RobotCompany/001/state",
            "$SYS/v2/RobotCompany/001/state",
            "$aws/rules/uagv/v2/RobotCompany/001/state",
            "",
        ] {
            assert_eq!(Topic::read(other), None, "{other}");
        }
    }

    #[test]
    fn filters_and_topics_use_the_interface_of_the_robot() {
        let robot = Defined {
            name: "agv_1".into(),
            site: "hall".into(),
            skills: Vec::new(),
            interface: "uagv".into(),
            manufacturer: "RobotCompany".into(),
            serial: "001".into(),
            version: "2.1.0".into(),
            instant_actions: "actions".into(),
        };
        assert_eq!(topic_to(&robot, "order"), "uagv/v2/RobotCompany/001/order");
        let all = filters("uagv");
        assert_eq!(all[0], "uagv/+/+/+/state");
        // The last level of each filter is a different word, so no topic matches two filters.
        let last: BTreeSet<&str> = all
            .iter()
            .filter_map(|filter| filter.rsplit('/').next())
            .collect();
        assert!(last.len() == all.len() && !last.contains("+") && !last.contains("#"));
        assert_eq!(
            filters_of_robot("uagv/v2/RobotCompany/001")[0],
            topic_to(&robot, "order")
        );
    }
}
