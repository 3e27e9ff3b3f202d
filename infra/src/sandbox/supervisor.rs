//! Runs one shell script under bubblewrap (a program that creates sandboxes), and watches the script until it ends. The
//! supervisor is a separate process, so the script continues if the desk stops (reference/automation.md, section 5).
//!
//! The directory of a run (execution of a script) has three files. The supervisor locks the file `lock` until the
//! supervisor ends. It writes the file `started` before it starts the script, and the file `end.json` after the script
//! has ended.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use events::script::{Level, Limits};
use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Ended, Job};

/// The name of the file that the supervisor locks as long as the supervisor runs.
pub(super) const LOCK: &str = "lock";
/// The name of the file that the supervisor creates directly before it starts the script.
pub(super) const STARTED: &str = "started";
/// The name of the file that contains the result of the run (execution of the script).
pub(super) const END: &str = "end.json";
/// The id of the user and of the group `nobody`. If the desk runs as root, scripts run with this id.
const NOBODY: u32 = 65_534;
/// Maximum number of attempts of the supervisor to lock its lock file. `LOCK_PAUSE` is the pause between two attempts.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Time between the signal TERM and the signal KILL after a script has exceeded its maximum duration.
const GRACE: Duration = Duration::from_secs(5);
/// Maximum size in bytes of each file that a script writes, and of each temporary file system in the sandbox, such as
/// `/tmp`.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Exit codes of a script that exceeded a limit: 137 (killed by the system), 152 (too much processor time) and 153
/// (file too large).
const EXCEEDED: [i32; 3] = [137, 152, 153];
/// The first file descriptor that is not standard input, standard output or standard error.
const FIRST_FILE: i32 = 3;
/// Number of bytes in one MiB.
const MIB: u64 = 1 << 20;
/// Maximum number of characters that an error text contains from a message of bubblewrap. Further characters are
/// omitted.
const MESSAGE_MAX: usize = 300;
/// The text that replaces the middle of an output that is too long.
const CUT: &str = "\n[...]\n";

/// Executes a job (a request to run a script). `directory` is the directory of this run, and `program` is the path of
/// bubblewrap. If another supervisor uses the directory, or if the script was already started, the function does
/// nothing.
pub fn run(directory: &Path, program: &Path, job: &Job) -> std::io::Result<()> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(directory.join(LOCK))?;
    // When the desk reads the state of a run, it locks the lock file of the run for a moment. An attempt of the
    // supervisor to lock this file can then fail, so the supervisor makes several attempts.
    let mut tries = 0..LOCK_TRIES;
    let is_mine = tries.any(|_| {
        let is_mine = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !is_mine {
            std::thread::sleep(LOCK_PAUSE);
        }
        is_mine
    });
    if !is_mine || directory.join(STARTED).exists() {
        return Ok(());
    }
    // The lock file contains the process id of the supervisor. To delete a run that has not ended, the desk kills this
    // process.
    (&lock).write_all(std::process::id().to_string().as_bytes())?;
    // `setsid` fails if this process already leads a session or a process group. This error is ignored.
    let _ = rustix::process::setsid();
    write(&directory.join(STARTED), b"")?;
    let end = watch(program, job).unwrap_or_else(|error| Ended {
        problem: format!("the sandbox cannot be started: {error}"),
        ..Ended::default()
    });
    let body = serde_json::to_vec(&end)?;
    let draft = directory.join("end.draft");
    write(&draft, &body)?;
    std::fs::rename(draft, directory.join(END))
}

/// Returns the strongest sandbox level (set of restrictions for scripts) that this machine supports. The function runs
/// a test script with the bubblewrap program at the path `program`.
pub fn level(program: &Path) -> Level {
    let job = Job {
        id: "probe".into(),
        content: "exit 0".into(),
        parameters: std::collections::BTreeMap::new(),
        limits: Limits {
            memory_mib: 256,
            processes: 16,
            output_bytes: 1_024,
        },
        timeout_ms: 5_000,
    };
    watch(program, &job).map_or(Level::None, |end| end.level)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Starts the script of a job in a sandbox, waits until the script ends, and returns the result.
fn watch(program: &Path, job: &Job) -> std::io::Result<Ended> {
    // The desk can have inherited open files from the program that started the desk. Scripts must not get these files.
    close_fds::set_fds_cloexec(FIRST_FILE, &[]);
    let (status_reader, status_writer) = std::io::pipe()?;
    let (output_reader, output_writer) = std::io::pipe()?;
    let script = memory(job.content.as_bytes())?;
    let parameters = memory(&serde_json::to_vec(&job.parameters)?)?;
    keep_over_exec(&status_writer)?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .args(arguments(job))
        .arg("--ro-bind-data")
        .arg(script.as_raw_fd().to_string())
        .arg("/work/script")
        .arg("--ro-bind-data")
        .arg(parameters.as_raw_fd().to_string())
        .arg("/work/parameters.json")
        .arg("--json-status-fd")
        .arg(status_writer.as_raw_fd().to_string())
        .args(["--remount-ro", "/dev", "--remount-ro", "/", "--"])
        .args(limited(job))
        .args(["/bin/sh", "/work/script"])
        .stdin(std::process::Stdio::null())
        .stdout(output_writer.try_clone()?)
        .stderr(output_writer);
    if rustix::process::geteuid().is_root() {
        // A script that runs as root could read the files of the desk. In addition, the limit for the number of
        // processes does not apply to root.
        command.uid(NOBODY).gid(NOBODY);
    }
    let child = command.spawn()?;
    // `command` contains copies of the write ends of the pipes. A reader of a pipe waits until all write ends are
    // closed, so `command` must be dropped before the pipes are read.
    drop((command, status_writer, script, parameters));
    let output_max = usize::try_from(job.limits.output_bytes).unwrap_or(usize::MAX);
    let output = in_background(move || Output::read(output_reader, output_max));
    let (pid_sender, pid) = channel();
    let status = in_background(move || read_status(status_reader, &pid_sender));
    let (is_timed_out, status_code) = wait(child, &pid, Duration::from_millis(job.timeout_ms))?;
    let output = output.recv().unwrap_or_default();
    let (is_created, exit_code) = status.recv().unwrap_or_default();
    Ok(match exit_code {
        Some(code) => Ended {
            level: Level::Network,
            exit_code: Some(code),
            is_timed_out,
            is_exceeded: !is_timed_out && EXCEEDED.contains(&code),
            output,
            is_lost: false,
            problem: String::new(),
        },
        // The script exceeded its maximum duration and has no exit code. Either this process has killed bubblewrap, or
        // bubblewrap ended before the script started.
        None if is_timed_out => Ended {
            level: Level::Network,
            is_timed_out,
            output,
            ..Ended::default()
        },
        // Bubblewrap was killed by a signal, so it has no exit status of its own.
        None if is_created && status_code.is_none() => Ended {
            level: Level::Network,
            is_lost: true,
            output,
            ..Ended::default()
        },
        // Bubblewrap ended by itself before it started the script. It may have created the namespaces before, for
        // example if a mount failed. `output` contains the message of bubblewrap.
        None => {
            let message: String = output.chars().take(MESSAGE_MAX).collect();
            Ended {
                problem: format!("the sandbox did not start: {}", message.trim()),
                ..Ended::default()
            }
        }
    })
}

/// Returns the arguments with which bubblewrap creates the sandbox. The sandbox has its own namespaces. The script can
/// therefore not access other processes or the network. It can read the programs of the machine, but no other files of
/// the machine.
fn arguments(job: &Job) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
        "--disable-userns",
        "--hostname",
        "sandbox",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--ro-bind",
        "/usr",
        "/usr",
    ]
    .map(str::to_owned)
    .into();
    for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
        let path = format!("/{name}");
        let Ok(found) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        arguments.extend(if found.is_symlink() {
            ["--symlink".to_owned(), format!("usr/{name}"), path]
        } else {
            ["--ro-bind".to_owned(), path.clone(), path]
        });
    }
    let size = FILE_BYTES_MAX.min(u64::from(job.limits.memory_mib) * MIB);
    arguments.extend(
        [
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--size",
            &size.to_string(),
            "--tmpfs",
            "/dev/shm",
            "--size",
            &size.to_string(),
            "--tmpfs",
            "/tmp",
            "--dir",
            "/work",
            "--chdir",
            "/work",
            "--clearenv",
            "--setenv",
            "PATH",
            "/usr/bin:/bin:/usr/sbin:/sbin",
            "--setenv",
            "HOME",
            "/tmp",
            "--setenv",
            "LANG",
            "C.UTF-8",
            "--setenv",
            "PARAMETERS",
            "/work/parameters.json",
        ]
        .map(str::to_owned),
    );
    arguments
}

/// Returns the command that sets the limits of a script and then starts the script. The command runs inside the
/// sandbox. There, the limit for the number of processes counts only the processes of this sandbox. Outside, the limit
/// would count all processes of the user.
fn limited(job: &Job) -> [String; 6] {
    let Limits {
        memory_mib,
        processes,
        ..
    } = job.limits;
    let cpu_s = job.timeout_ms.div_ceil(1_000).max(1);
    [
        "/usr/bin/prlimit".to_owned(),
        format!("--as={}", u64::from(memory_mib) * MIB),
        format!("--nproc={processes}"),
        format!("--fsize={FILE_BYTES_MAX}"),
        format!("--cpu={cpu_s}"),
        "--core=0".to_owned(),
    ]
}

/// Creates a file in memory with the given content, and returns its file descriptor. Programs that this process starts
/// inherit the file descriptor.
fn memory(content: &[u8]) -> std::io::Result<OwnedFd> {
    let file: File = memfd_create("sandbox", MemfdFlags::empty())?.into();
    (&file).write_all(content)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Lets the programs that this process starts inherit the write end of a pipe.
fn keep_over_exec(writer: &PipeWriter) -> std::io::Result<()> {
    Ok(fcntl_setfd(writer.as_fd(), FdFlags::empty())?)
}

/// Runs a function on another thread. The result of the function is sent to the returned receiver.
fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(work()));
    result
}

/// Waits until bubblewrap ends. If the script exceeds its maximum duration, sends the signal TERM to the script. If
/// bubblewrap still runs after the time `GRACE`, sends the signal KILL to bubblewrap. All processes of the sandbox then
/// end. Returns true if the maximum duration was exceeded, and the exit status of bubblewrap. The exit status is `None`
/// if a signal ended bubblewrap.
fn wait(
    mut child: Child,
    pid: &Receiver<Pid>,
    timeout: Duration,
) -> std::io::Result<(bool, Option<i32>)> {
    let id = Pid::from_child(&child);
    let ended = in_background(move || child.wait().map(|status| status.code()));
    match ended.recv_timeout(timeout) {
        Ok(done) => return done.map(|code| (false, code)),
        Err(RecvTimeoutError::Disconnected) => return Ok((false, None)),
        Err(RecvTimeoutError::Timeout) => {}
    }
    if let Ok(group) = pid.try_recv() {
        let _ = kill_process_group(group, Signal::TERM);
    }
    if let Ok(done) = ended.recv_timeout(GRACE) {
        return done.map(|code| (true, code));
    }
    let _ = rustix::process::kill_process(id, Signal::KILL);
    match ended.recv() {
        Ok(done) => done.map(|code| (true, code)),
        Err(_) => Ok((true, None)),
    }
}

/// Reads the status messages of bubblewrap: the id of the first process in the sandbox, and the exit code of the
/// script. Sends the process id to the channel `pid`. Returns whether the sandbox was created, and the exit code. The
/// exit code is `None` if the script did not start, or if bubblewrap was killed.
fn read_status(mut status: PipeReader, pid: &std::sync::mpsc::Sender<Pid>) -> (bool, Option<i32>) {
    let (mut text, mut buffer) = (Vec::new(), [0; 1_024]);
    let mut is_known = false;
    loop {
        let read = status.read(&mut buffer).unwrap_or_default();
        text.extend_from_slice(&buffer[..read]);
        let values: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&text)
            .into_iter()
            .map_while(Result::ok)
            .collect();
        let number = |key: &str| values.iter().find_map(|value| value[key].as_i64());
        if !is_known
            && let Some(id) =
                number("child-pid").and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
        {
            is_known = true;
            let _ = pid.send(id);
        }
        if read == 0 {
            let code = number("exit-code").and_then(|code| i32::try_from(code).ok());
            return (is_known, code);
        }
    }
}

/// The output of a script. If the output is too long, only its beginning and its end are kept.
#[derive(Default)]
struct Output {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    is_cut: bool,
}

impl Output {
    /// Reads the whole output of a script, and returns it as a text. If the output has more than `bytes_max` bytes, the
    /// text `CUT` replaces its middle.
    fn read(mut reader: PipeReader, bytes_max: usize) -> String {
        let mut output = Self::default();
        let mut buffer = [0; 8_192];
        while let Ok(read) = reader.read(&mut buffer) {
            if read == 0 {
                break;
            }
            output.add(&buffer[..read], bytes_max);
        }
        output.text()
    }

    fn add(&mut self, bytes: &[u8], bytes_max: usize) {
        let head_max = bytes_max / 2;
        let (head, rest) = bytes.split_at(bytes.len().min(head_max - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(bytes_max - head_max);
        self.is_cut |= over > 0;
        self.tail.drain(..over);
    }

    /// Returns the output as a text. Control characters except line feeds and tabs are replaced by `?`, because control
    /// characters need many bytes in the ledger.
    fn text(self) -> String {
        let (head, tail) = (self.head, Vec::from(self.tail));
        let text = if self.is_cut {
            let [head, tail] = [head, tail].map(|part| String::from_utf8_lossy(&part).into_owned());
            [&head, CUT, &tail].concat()
        } else {
            // The bytes of one character can be split between `head` and `tail`. These parts are therefore joined
            // before their conversion to text.
            String::from_utf8_lossy(&[head, tail].concat()).into_owned()
        };
        let shown = |c: char| {
            if c.is_control() && !matches!(c, '\n' | '\t') {
                '?'
            } else {
                c
            }
        };
        text.chars().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_keeps_its_beginning_and_its_end() {
        for (chunks, expected) in [
            (vec!["short"], "short".to_owned()),
            (vec!["0123456789"], "0123456789".to_owned()),
            (vec!["0123", "456789", "abcdef"], format!("01234{CUT}bcdef")),
            (vec!["0123456789abcdefghij"], format!("01234{CUT}fghij")),
        ] {
            let mut output = Output::default();
            for chunk in &chunks {
                output.add(chunk.as_bytes(), 10);
            }
            assert_eq!(output.text(), expected, "{chunks:?}");
        }
        let mut chinese = Output::default();
        chinese.add("解锁账".as_bytes(), 10);
        assert_eq!(chinese.text(), "解锁账", "a character in both parts");
        let mut binary = Output::default();
        binary.add(b"a\0\x1b\r\n\tb", 10);
        assert_eq!(binary.text(), "a???\n\tb");
    }
}
