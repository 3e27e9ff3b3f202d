//! Contains the texts about script executions that the desk writes into tickets. All texts that the desk
//! writes into tickets are in Chinese.

use domain::automation::execution::{End, Execution, StepDone, is_done};
use domain::automation::steps;
use events::execution::Outcome;
use events::person::Language;

use crate::app::wording;

/// The language of all texts that the desk writes into tickets.
pub(super) const CHINESE: Language = Language::Chinese;

/// Maximum length of the script output that a remark contains, in characters. The stored execution contains
/// the whole output.
const OUTPUT_MAX: usize = 1_000;
/// Maximum length of a remark, in characters. A longer remark is cut.
const TEXT_MAX: usize = domain::ticket::REMARK_MAX;
/// Maximum number of execution steps that a remark lists. If an execution has more steps, the remark lists
/// only the last steps.
const STEPS_MAX: usize = 10;

/// Returns the remark about the end of a script execution. The remark contains the outcome and the result of
/// each step. After a failure, the remark also contains the output of a shell script. After a success, the
/// requester can see the remark, so the remark does not contain the output.
pub fn remark(execution: &Execution, title: &str, id: &str) -> String {
    let version = execution
        .requested
        .as_ref()
        .map_or("", |requested| &requested.version);
    let (headline, reason) = match &execution.end {
        Some(End::Completed(completed)) => (
            outcome(completed.outcome),
            wording::failure(CHINESE, completed).unwrap_or_default(),
        ),
        Some(End::Rejected(rejected)) => ("自动化处理未批准", rejected.reason.read().to_owned()),
        Some(End::Expired(_)) => ("自动化处理未在期限内获得批准", String::new()),
        None => ("自动化处理", String::new()),
    };
    let mut lines = vec![format!("{headline}：{title} {version}（执行 {id}）")];
    if !reason.is_empty() {
        lines.push(format!("原因：{reason}"));
    }
    let skipped = execution.steps.len().saturating_sub(STEPS_MAX);
    lines.extend(execution.steps.iter().skip(skipped).map(step));
    if let Some(End::Completed(completed)) = &execution.end
        && !is_done(completed.outcome)
    {
        if let Some(level) = completed.level {
            let name = wording::sandbox_level(CHINESE, level);
            lines.push(format!("沙箱级别：{name}"));
        }
        let output = completed.output.as_ref().and_then(|one| one.value.as_str());
        if let Some(output) = output {
            let shown: String = output.chars().take(OUTPUT_MAX).collect();
            lines.push(format!("输出：\n{}", shown.trim_end()));
        }
    }
    cut(&lines.join("\n"))
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// Returns the remark for a script execution that succeeded, although the ticket did not accept the
/// completion of the workflow node. `reason` is the text with which the ticket rejected the completion.
pub fn not_completed(remark: &str, reason: &str) -> String {
    cut(&format!("节点未能自动完成，请人工处理：{reason}\n{remark}"))
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "自动化处理完成",
        Outcome::NoChange => "自动化处理完成（无需更改）",
        Outcome::Failed => "自动化处理失败，请人工处理",
        Outcome::TimedOut => "自动化处理超时，请人工处理",
        Outcome::ResourceExceeded => "自动化处理超出资源限制，请人工处理",
        Outcome::Canceled => "自动化处理已取消",
        Outcome::Unknown => "自动化处理异常：结果未知，请人工核实",
    }
}

fn step(step: &StepDone) -> String {
    let name = match step.step.as_str() {
        steps::READ => "查询账号状态",
        steps::UNLOCK => "解除锁定",
        steps::CHECK => "核对结果",
        steps::START => "启动脚本",
        steps::RUN => "脚本运行",
        other => other,
    };
    let mark = if step.succeeded { "✓" } else { "✗" };
    let said = wording::finding(CHINESE, step.finding.as_ref(), &step.text);
    format!("{mark} {name}：{said}")
}
