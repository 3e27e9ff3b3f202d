//! Contains the Chinese texts for the findings of executions: what the desk observed, or why a step failed.

use events::finding::Finding;
use events::script::Level;

pub(in crate::app::wording) fn text(finding: &Finding) -> String {
    match finding {
        Finding::AccountNotLocked => "账号未锁定".into(),
        Finding::AccountLocked { since } => format!("账号自 {since} 起被锁定"),
        Finding::AccountStillLocked { since } => format!("账号自 {since} 起仍被锁定"),
        Finding::AccountLockedByAdministrator => "账号由管理员锁定，须由人工决定是否解锁".into(),
        Finding::AccountMissing => "目录中没有该账号".into(),
        Finding::AccountAmbiguous => "目录中有多个同名账号".into(),
        Finding::LockRemoved => "目录已解除锁定".into(),
        Finding::DirectoryUnavailable { problem } => format!("目录暂时无法使用：{problem}"),
        Finding::DirectoryRefused { problem } => format!("目录拒绝了请求：{problem}"),
        Finding::PlatformNotDefined { platform } => format!("平台 {platform} 未定义"),
        Finding::PlatformChanged { platform } => {
            format!("提出申请之后，平台 {platform} 的定义已更改")
        }
        Finding::PlatformUnusable { platform, problem } => {
            format!("平台 {platform} 无法使用：{problem}")
        }
        Finding::SecretMissing { secret } => format!("密钥库中没有密钥 {secret}"),
        Finding::NotRequested => "没有对应的执行申请".into(),
        Finding::ScriptNotDefined { script } => format!("脚本 {script} 未定义"),
        Finding::NoApprover => "除申请人以外没有人可以审批该脚本".into(),
        Finding::ParameterUnknown { parameter } => format!("脚本没有参数“{parameter}”"),
        Finding::ParameterMissing { parameter } => format!("缺少参数“{parameter}”"),
        Finding::ParameterTooLong {
            parameter,
            characters,
        } => format!("参数“{parameter}”超过 {characters} 个字符"),
        Finding::ValueNotFilled { key, problem } => format!("无法填写“{key}”：{problem}"),
        Finding::ParametersErased => "参数已被清除".into(),
        Finding::TicketSuspended => "工单已挂起".into(),
        Finding::NotAwaited => "工单不再等待该执行".into(),
        Finding::DurationOver => "已超过脚本的最长运行时间".into(),
        Finding::ProcessPaused => "发送请求之前进程曾经停顿".into(),
        Finding::ScriptStarted => "脚本已启动".into(),
        Finding::ScriptRunning => "脚本正在运行".into(),
        Finding::ScriptNotStarted { problem } => format!("脚本未能启动：{problem}"),
        Finding::StartInterrupted => "启动脚本时服务台停止运行".into(),
        Finding::SandboxTooWeak { needed, reached } => format!(
            "脚本要求的沙箱级别为“{}”，本机最高只能达到“{}”",
            level(*needed),
            level(*reached)
        ),
        Finding::SandboxFailed { problem } => format!("沙箱出错：{problem}"),
        Finding::SandboxKilled => "沙箱在脚本报告结束之前被终止".into(),
        Finding::RunUnreadable { problem } => format!("无法读取脚本的运行记录：{problem}"),
        Finding::RunMissing => {
            "本机没有该脚本的运行记录：服务台在启动脚本时停止运行，或数据来自备份".into()
        }
        Finding::WatcherKilled => "监视脚本的进程被终止".into(),
        Finding::ScriptNotEnded => "脚本到达最长运行时间后仍未结束".into(),
        Finding::LimitExceeded => "脚本超出资源限制".into(),
        Finding::ExitCode { code } => format!("脚本已结束，退出码为 {code}"),
        Finding::EndedBySignal => "脚本被信号终止".into(),
    }
}

/// Returns the Chinese name of a sandbox level (a set of restrictions).
pub(in crate::app::wording) fn level(level: Level) -> &'static str {
    match level {
        Level::None => "无限制",
        Level::Limits => "限制资源",
        Level::Files => "限制资源和文件",
        Level::Network => "限制资源、文件和网络",
    }
}
