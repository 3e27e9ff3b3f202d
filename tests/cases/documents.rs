//! These tests run the commands in the documents of the project. In each document, the tests run all code
//! blocks that are marked with `sh run`. The blocks run in the order of the document, in an empty directory.
//! Each block must succeed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tests::process::{program, root};

/// Maximum number of checks whether a started server responds. A shell script makes these checks ten times per
/// second, and fails if the server does not respond. The test generates this script from a document.
const LOOKS: u32 = 600;
/// Maximum duration of all commands of a document.
const LONGEST: Duration = Duration::from_mins(4);
/// Port numbers of HTTP servers in the documents. The test replaces each of these numbers by the number of a
/// free port.
const PORTS: [&str; 4] = ["8080", "8081", "8082", "18080"];
/// Port numbers of other servers in the documents, which do not use HTTP or have no path `/healthz`. The test
/// also replaces these numbers by free ports, but does not wait until these servers respond.
const OTHER_PORTS: [&str; 3] = ["2525", "2526", "3890"];

/// Purpose of a code block in the test. The first line of the block contains the name of the language and
/// then optional words, such as `run` or `file=NAME`. These words determine the purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    Run,
    Background,
    File(String),
    Text,
}

/// One fenced code block of a Markdown document.
#[derive(Clone, Debug)]
struct Block {
    /// Line number of the first line of the block in the document. The first line of the document has number
    /// 1.
    line: usize,
    purpose: Use,
    text: String,
}

fn purpose(info: &str) -> Use {
    let mut words = info.split_whitespace();
    let language = words.next().unwrap_or_default();
    let is_shell = matches!(language, "sh" | "bash");
    let words: Vec<&str> = words.collect();
    match words.iter().find_map(|word| word.strip_prefix("file=")) {
        Some(name) => Use::File(name.to_owned()),
        None if is_shell && words.contains(&"run") => Use::Run,
        None if is_shell && words.contains(&"background") => Use::Background,
        None => Use::Text,
    }
}

/// Returns the fenced code blocks of a Markdown document, in the order of the document. If a block is
/// indented, the indentation is removed from its lines.
fn blocks(document: &str) -> Vec<Block> {
    let (mut found, mut open): (Vec<Block>, Option<(Block, usize)>) = (Vec::new(), None);
    for (at, line) in document.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (open.take(), line.trim_start().strip_prefix("```")) {
            (Some((block, _)), Some(rest)) if rest.trim().is_empty() => found.push(block),
            (Some((mut block, fence)), _) => {
                block
                    .text
                    .push_str(line.get(fence..).unwrap_or(line.trim_start()));
                block.text.push('\n');
                open = Some((block, fence));
            }
            (None, Some(info)) => {
                open = Some((
                    Block {
                        line: at + 1,
                        purpose: purpose(info),
                        text: String::new(),
                    },
                    indent,
                ));
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed: {open:?}");
    found
}

/// Returns a shell script that contains all code blocks of a document, and the number of blocks that run
/// commands. The script waits until each started server responds. If a block fails, the script prints its
/// line number. The parameters `ports` and `other_ports` contain the free port for each port number in the
/// document.
fn script(
    blocks: &[Block],
    ports: &BTreeMap<&str, String>,
    other_ports: &BTreeMap<&str, String>,
) -> (String, usize) {
    let mut script = String::from(
        "set -Eeuo pipefail\nblock=0\ntrap 'echo \"the block at line $block failed: $BASH_COMMAND\" >&2' ERR\n\
         answers() { for _ in $(seq \"$LOOKS\"); do if curl -s -o /dev/null \"http://127.0.0.1:$1/healthz\"; then return 0; fi; sleep 0.1; done; \
         echo \"nothing answers on port $1\" >&2; cat background-*.log >&2; return 1; }\n",
    );
    let mut commands = 0;
    for Block {
        line,
        purpose,
        text,
    } in blocks
    {
        let mut text = text.clone();
        let mut named = Vec::new();
        for (literal, free) in ports {
            if text.contains(&format!(":{literal}")) {
                named.push(free.as_str());
            }
            text = text.replace(&format!(":{literal}"), &format!(":{free}"));
        }
        for (literal, free) in other_ports {
            text = text.replace(literal, free);
        }
        // The documents start the program with `cargo run`. The script starts the program that is already
        // built.
        let text = text.replace("cargo run --release --", "ledgerdesk");
        let _ = writeln!(script, "block={line}; echo \"block at line {line}\" >&2");
        match purpose {
            Use::Text => {}
            Use::File(name) => {
                let _ = write!(
                    script,
                    "mkdir -p \"$(dirname '{name}')\"\ncat > '{name}' <<'END_OF_THE_FILE'\n{text}END_OF_THE_FILE\n"
                );
            }
            Use::Run => {
                commands += 1;
                script.push_str(&text);
            }
            Use::Background => {
                commands += 1;
                let _ = writeln!(script, "{{\n{text}}} > background-{line}.log 2>&1 &");
                for port in named {
                    let _ = writeln!(script, "answers {port}");
                }
            }
        }
    }
    (script, commands)
}

/// Runs all code blocks of a document. If a block fails, the error message contains the line number of this
/// block.
fn execute(document: &str) {
    let path = root().join(document);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let listeners: Vec<TcpListener> = PORTS
        .iter()
        .chain(&OTHER_PORTS)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let mut free = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port().to_string());
    let ports: BTreeMap<&str, String> = PORTS.into_iter().zip(free.by_ref()).collect();
    let other_ports: BTreeMap<&str, String> = OTHER_PORTS.into_iter().zip(free).collect();
    drop(listeners);
    let (script, commands) = script(&blocks(&text), &ports, &other_ports);
    assert!(
        commands > 0,
        "{document} has no block that is marked `sh run`"
    );

    let directory = tempfile::tempdir().unwrap();
    let (binaries, work) = (directory.path().join("bin"), directory.path().join("work"));
    std::fs::create_dir(&binaries).unwrap();
    std::fs::create_dir(&work).unwrap();
    std::os::unix::fs::symlink(program(), binaries.join("ledgerdesk")).unwrap();
    let path = format!(
        "{}:{}:{}",
        binaries.display(),
        root().join("target/python/bin").display(),
        std::env::var_os("PATH").unwrap_or_default().display()
    );
    std::fs::write(directory.path().join("script.sh"), script).unwrap();
    let mut child = Command::new("bash")
        .arg(directory.path().join("script.sh"))
        .current_dir(&work)
        .env("PATH", path)
        .env("PROJECT", root())
        .env("LOOKS", LOOKS.to_string())
        .env_remove("LEDGERDESK_PREFIX")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // The shell and all servers that it starts are in one process group. The test can therefore end all
        // of them with one signal.
        .process_group(0)
        .spawn()
        .unwrap();
    let group = format!("-{}", child.id());
    let read = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let (stdout, stderr) = (
        read(Box::new(child.stdout.take().unwrap())),
        read(Box::new(child.stderr.take().unwrap())),
    );
    let kill = |group: &str| {
        let _ = Command::new("kill")
            .args(["-KILL", "--", group])
            .stderr(Stdio::null())
            .status();
    };
    // A command of a document may wait for something that never happens. The test then ends the script, and shows
    // its output.
    let (ended, waiting) = mpsc::channel::<()>();
    let watched = group.clone();
    let watch = std::thread::spawn(move || {
        let is_late = waiting.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout);
        if is_late {
            kill(&watched);
        }
        is_late
    });
    let status = child.wait().unwrap();
    drop(ended);
    let is_late = watch.join().unwrap();
    kill(&group);
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    assert!(
        status.success(),
        "{document}: {}{stderr}\nstandard output:\n{stdout}",
        if is_late {
            "the commands did not end; the last output follows\n"
        } else {
            ""
        }
    );
}

/// All code blocks with commands in README.md succeed (cases/first-use.md, section 9).
#[test]
fn the_commands_of_the_readme_work() {
    execute("README.md");
}

/// All code blocks with commands in docs/operating.md succeed (cases/first-use.md, section 6).
#[test]
fn the_commands_of_the_operating_guide_work() {
    execute("docs/operating.md");
}

/// All code blocks with commands in docs/importing.md succeed (cases/first-use.md, section 4).
#[test]
fn the_commands_of_the_importing_guide_work() {
    execute("docs/importing.md");
}

/// All code blocks with commands in docs/workflows.md succeed (cases/first-use.md, section 2).
#[test]
fn the_commands_of_the_workflow_guide_work() {
    execute("docs/workflows.md");
}

/// All code blocks with commands in docs/integrations.md succeed. These commands start two desks.
#[test]
fn the_commands_of_the_integrations_guide_work() {
    execute("docs/integrations.md");
}

/// All code blocks with commands in docs/notifications.md succeed. The commands start a mail relay, which is
/// the PyPI package aiosmtpd.
#[test]
fn the_commands_of_the_notifications_guide_work() {
    execute("docs/notifications.md");
}

/// All code blocks with commands in docs/automation.md succeed. The commands start an LDAP directory, which is
/// the server slapd from Debian.
#[test]
fn the_commands_of_the_automation_guide_work() {
    execute("docs/automation.md");
}

/// All code blocks with commands in docs/console.md succeed.
#[test]
fn the_commands_of_the_console_guide_work() {
    execute("docs/console.md");
}

/// All code blocks with commands in docs/cases.md succeed.
#[test]
fn the_commands_of_the_cases_guide_work() {
    execute("docs/cases.md");
}

/// All code blocks with commands in docs/permissions.md succeed.
#[test]
fn the_commands_of_the_permissions_guide_work() {
    execute("docs/permissions.md");
}

#[test]
fn blocks_are_found_with_purpose_and_line() {
    let document = "text\n```sh run\na\n```\n\n```toml file=x/y.toml\nb = 1\n```\n- item\n  ```sh background\n  c :8080\n    d\n  ```\n```\ne\n```\n";
    let found = blocks(document);
    let shown: Vec<(usize, &Use, &str)> = found
        .iter()
        .map(|block| (block.line, &block.purpose, block.text.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            (2, &Use::Run, "a\n"),
            (6, &Use::File("x/y.toml".into()), "b = 1\n"),
            (10, &Use::Background, "c :8080\n  d\n"),
            (14, &Use::Text, "e\n"),
        ]
    );
    let ports = BTreeMap::from([("8080", "4711".to_owned())]);
    let (script, commands) = script(&found, &ports, &BTreeMap::new());
    assert!(
        commands == 2 && script.contains("c :4711") && script.contains("answers 4711"),
        "{script}"
    );
    assert!(
        script.contains("mkdir -p \"$(dirname 'x/y.toml')\""),
        "{script}"
    );
}
