//! Operates the current node of a ticket (`operate_node`), with the checks of the original and in their order
//! (reference/bk-itsm.md 3.9).

use serde_json::{Map, Value, json};

use super::wire::{integer, text};
use super::{NODE, Refusal, Stored};

/// The node that follows [`NODE`] if the tickets have a second node.
const SECOND_NODE: i64 = 4;
/// The person who may act at the nodes.
const OPERATOR: &str = "admin";

impl Stored {
    /// Submits or terminates the current node of a ticket.
    pub(super) fn operate_node(
        &mut self,
        values: &Map<String, Value>,
        now: i64,
    ) -> Result<Value, Refusal> {
        let refuse = |code: i64, message: String| Err((json!(code), message));
        let has_second = self.faults.second_node;
        let Some(ticket) = self.tickets.get_mut(&text(values, "sn")) else {
            return refuse(3_900_022, "没有找到对应的单据".into());
        };
        if matches!(ticket.status, "FINISHED" | "TERMINATED" | "REVOKED") {
            return refuse(3_900_005, "0:抱歉，单据已关闭，无法操作".into());
        }
        let node = values.get("state_id").and_then(integer);
        let Some(node) = node.filter(|node| matches!(*node, NODE | SECOND_NODE)) else {
            let node = node.unwrap_or_default();
            return refuse(3_900_005, format!("0:抱歉，没有找到该节点：{node}"));
        };
        if node != ticket.node {
            return refuse(3_900_005, format!("0:抱歉，当前节点：{node} 已经结束"));
        }
        let operator = text(values, "operator");
        if operator != OPERATOR {
            let message = format!("0:抱歉，{operator}不能操作该节点（没有权限或操作类型不支持）");
            return refuse(3_900_005, message);
        }
        match text(values, "action_type").as_str() {
            "TRANSITION" => {
                let Some(fields) = values.get("fields").and_then(Value::as_array) else {
                    return refuse(3_900_005, "fields:该字段是必填项。".into());
                };
                for field in fields {
                    let value = &field["value"];
                    let (Some(key), true) = (
                        field["key"].as_str(),
                        value.is_string() || value.is_number(),
                    ) else {
                        return refuse(3_900_005, "fields:Not a valid string.".into());
                    };
                    ticket.fields.push((key.to_owned(), value.clone()));
                }
                if has_second && ticket.node == NODE {
                    ticket.node = SECOND_NODE;
                } else {
                    ticket.status = "FINISHED";
                }
            }
            "TERMINATE" if text(values, "action_message").is_empty() => {
                return refuse(3_900_005, "0:请输入终止原因！".into());
            }
            "TERMINATE" => ticket.status = "TERMINATED",
            other => {
                return refuse(3_900_005, format!("action_type:“{other}” 不是合法选项。"));
            }
        }
        ticket.updated = now;
        Ok(json!([]))
    }
}
