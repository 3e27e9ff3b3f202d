//! These tests check the defaults of teams: the policy limits the team, and the person has precedence over the team.

use serde_json::json;

use super::{open, prefer, skipped};

/// The team is the department 1. Zhangsan belongs to it, and wangwu belongs to its sub-department 12.
const OFF: &str =
    "[[policy.team]]\ndepartment = \"1\"\n[policy.team.channels.dingtalk]\nfrequency = \"off\"\n";

#[tokio::test]
async fn the_default_of_a_team_applies_to_a_person_without_a_choice() {
    let channels = open(OFF).await;
    channels.reachable(None).await;
    channels.submit().await;
    let (reason, text) = skipped(&channels).await;
    assert_eq!(reason, "channel_off");
    assert!(text.contains("The default of a department"), "{text}");
}

#[tokio::test]
async fn the_choice_of_a_person_has_precedence_over_the_team() {
    let channels = open(OFF).await;
    prefer(&channels, json!({ "frequency": "immediate" })).await;
    channels.submit().await;
    assert_eq!(channels.robot.accepted().len(), 1);
}

#[tokio::test]
async fn a_floor_of_the_policy_has_precedence_over_the_team() {
    let floor = "[[policy.rules]]\ncategories = [\"approval\"]\nfloor = \"immediate\"\n";
    let channels = open(&[OFF, floor].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    assert_eq!(channels.robot.accepted().len(), 1);
}

#[tokio::test]
async fn people_outside_of_the_team_have_no_defaults_of_it() {
    let channels = open(&OFF.replace("\"1\"", "\"12\"")).await;
    channels.reachable(None).await;
    channels.submit().await;
    assert_eq!(channels.robot.accepted().len(), 1);
}

#[tokio::test]
async fn the_quiet_hours_of_a_team_hold_messages() {
    let quiet =
        "[[policy.team]]\ndepartment = \"1\"\nquiet = { from = \"09:00\", to = \"12:00\" }\n";
    let channels = open(quiet).await;
    channels.reachable(None).await;
    channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["state"], &shown["held_because"]),
        (&json!("held"), &json!("quiet_hours"))
    );
}
