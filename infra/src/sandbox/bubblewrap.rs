//! Runs shell scripts under bubblewrap (`bwrap`), a program that creates sandboxes. Each run (execution of a script)
//! has its own directory in the data directory of the desk. Each run also has its own process, the supervisor (see
//! [`super::supervisor`]).

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use events::script::Level;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use super::supervisor::{self, END, LOCK, STARTED};
use super::{Job, Run, Sandbox};
use crate::{Error, Kind};

/// The file name of the program bubblewrap.
const PROGRAM: &str = "bwrap";
/// Maximum time between the creation of a run (execution of a script) and the moment when its supervisor process locks
/// the lock file. After this time, a run without this lock counts as lost.
const START_MAX: Duration = Duration::from_secs(30);
/// Maximum number of runs (executions of scripts) that may exist at the same time.
const RUNS_MAX: usize = 256;

/// Runs shell scripts under bubblewrap.
pub struct Bubblewrap {
    /// The directory that contains one subdirectory for each run (execution of a script).
    directory: PathBuf,
    /// The program that runs as the supervisor (the process that watches a script). Its arguments are `sandbox`, the
    /// directory of the run, and the path of bubblewrap. The program reads the job from standard input.
    supervisor: PathBuf,
    program: Option<PathBuf>,
    level: OnceCell<Level>,
}

impl Bubblewrap {
    /// Creates the adapter. `search` lists the directories that are searched for the program bubblewrap. The list has
    /// the same format as the environment variable `PATH`.
    pub fn new(directory: PathBuf, supervisor: PathBuf, search: &str) -> Self {
        let program = std::env::split_paths(search)
            .map(|path| path.join(PROGRAM))
            .find(|path| path.is_file());
        Self {
            directory,
            supervisor,
            program,
            level: OnceCell::new(),
        }
    }

    fn of_run(&self, id: &str) -> Result<PathBuf, Error> {
        let is_id = !id.is_empty()
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if is_id {
            Ok(self.directory.join(id))
        } else {
            Err(Error::corrupt(format!("{id:?} is not the id of a run")))
        }
    }
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("{what}: {error}"))
}

#[async_trait]
impl Sandbox for Bubblewrap {
    async fn level(&self) -> Level {
        let Some(program) = self.program.clone() else {
            return Level::None;
        };
        // The test of the sandbox is repeated after a failure, because only a successful result is cached. An operator
        // can therefore repair the machine while the desk runs.
        let probe = async || {
            let probed = tokio::task::spawn_blocking(move || supervisor::level(&program)).await;
            probed.ok().filter(|level| *level > Level::None).ok_or(())
        };
        let level = self.level.get_or_try_init(probe).await;
        level.copied().unwrap_or_default()
    }

    async fn start(&self, job: &Job) -> Result<(), Error> {
        let Some(program) = &self.program else {
            return Err(Error::new(Kind::Misconfigured, "bwrap is not installed"));
        };
        let directory = self.of_run(&job.id)?;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        if let Err(error) = builder.recursive(true).create(&self.directory) {
            return Err(failed("cannot create the directory of runs", &error));
        }
        let running = std::fs::read_dir(&self.directory).map_or(0, Iterator::count);
        if running >= RUNS_MAX {
            let reason = format!("{RUNS_MAX} scripts run already");
            return Err(Error::new(Kind::Throttled, reason));
        }
        match builder.recursive(false).create(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(failed("cannot create the directory of a run", &error)),
        }
        let body = serde_json::to_vec(job).map_err(|error| Error::corrupt(error.to_string()))?;
        let spawned = tokio::process::Command::new(&self.supervisor)
            .arg("sandbox")
            .arg(&directory)
            .arg(program)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let _ = std::fs::remove_dir_all(&directory);
                return Err(failed("cannot start the supervisor", &error));
            }
        };
        if let Some(mut input) = child.stdin.take()
            && let Err(error) = input.write_all(&body).await
        {
            // The job could not be sent to the supervisor process. A supervisor without a complete job starts no
            // script. The directory of the run (execution of the script) can therefore be removed.
            let _ = std::fs::remove_dir_all(&directory);
            return Err(failed("the supervisor does not read its job", &error));
        }
        // The supervisor process continues if the desk stops. While the desk runs, this task waits for the end of the
        // supervisor and reads its exit status.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    async fn read(&self, id: &str) -> Result<Run, Error> {
        let directory = self.of_run(id)?;
        let read = move || read(&directory);
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| Error::corrupt(error.to_string()))?
            .map_err(|error| failed("cannot read a run", &error))
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        let directory = self.of_run(id)?;
        if is_locked(&directory).is_ok_and(|is_locked| is_locked)
            && let Ok(text) = std::fs::read_to_string(directory.join(LOCK))
            && let Some(supervisor) = text.parse().ok().and_then(Pid::from_raw)
        {
            // When the supervisor process ends, bubblewrap ends all processes of the sandbox (option
            // `--die-with-parent`).
            let _ = kill_process(supervisor, Signal::KILL);
        }
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("cannot delete a run", &error))
            }
            _ => Ok(()),
        }
    }
}

fn read(directory: &Path) -> std::io::Result<Run> {
    let about = match std::fs::metadata(directory) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Run::Missing),
        Err(error) => return Err(error),
    };
    // The supervisor locks the lock file, then writes `started`, then writes `end.json`, and then releases the lock.
    // The reads below use the opposite order. A run that starts or ends at the same time is therefore never reported as
    // lost.
    let is_started = directory.join(STARTED).exists();
    let is_locked = is_locked(directory)?;
    match std::fs::read(directory.join(END)) {
        Ok(body) => return Ok(Run::Ended(serde_json::from_slice(&body)?)),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let age = about.modified()?.elapsed().unwrap_or_default();
    let may_start = !is_started && age < START_MAX;
    Ok(if is_locked || may_start {
        Run::Running
    } else {
        Run::Lost
    })
}

/// Returns whether a supervisor process has locked the lock file of a run (execution of a script).
fn is_locked(directory: &Path) -> std::io::Result<bool> {
    let lock = match File::open(directory.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
