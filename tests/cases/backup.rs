//! These tests check backup and restore, the key store (names and encryption keys of people), file
//! permissions, and the command `doctor`. They also check the published heads: hashes of the ledger that
//! the desk writes to a separate file.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tests::process::{APP, Served, call, client, fast_approval, program, run, text};

/// Number of clients that send requests while the backup is made.
const WRITERS: usize = 8;
/// Longest time that a test waits for the end of a process or for a condition.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the standard output and the standard error of a command as one text.
fn printed_text(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn on(data: &Path, arguments: &[&str]) -> Output {
    run(&[arguments, &["--data", data.to_str().unwrap()][..]].concat())
}

/// Runs the program with the given arguments on the data directory `data`. The test fails if the program
/// fails. Returns the standard output.
fn must(data: &Path, arguments: &[&str]) -> String {
    let output = on(data, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        printed_text(&output)
    );
    text(&output.stdout)
}

/// Runs the program with the given arguments on the data directory `data`. The test fails if the program
/// succeeds. Returns the standard output and the standard error as one text.
fn rejected(data: &Path, arguments: &[&str]) -> String {
    let output = on(data, arguments);
    assert!(
        !output.status.success(),
        "{arguments:?} succeeded: {}",
        printed_text(&output)
    );
    printed_text(&output)
}

async fn until(mut is_true: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_true().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("the condition becomes true in time");
}

/// Opens a fast approval ticket (a ticket of the built-in approval workflow). Returns the ticket number.
async fn ticket(desk: &Served, title: &str) -> String {
    let answer = desk.bk("create_ticket", fast_approval(title, None)).await;
    answer["data"]["sn"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

/// Uploads a file on behalf of the user lisi.
async fn upload(desk: &Served, name: &str, bytes: Vec<u8>) {
    let request = client()
        .post(format!("{}/v1/attachments?name={name}", desk.base))
        .basic_auth(APP.0, Some(APP.1))
        .header("x-on-behalf-of", "lisi");
    let answer = request.body(bytes).send().await.expect("an answer");
    assert_eq!(
        answer.status().as_u16(),
        201,
        "{}",
        answer.text().await.unwrap_or_default()
    );
}

/// Stops a desk with SIGTERM and waits until the process has ended.
async fn stop(mut desk: Served) {
    assert!(
        Command::new("kill")
            .arg(desk.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    until(async || desk.has_ended()).await;
}

/// Creates a desk with the given number of tickets and then stops the desk. Returns the ticket numbers.
async fn stopped(data: &Path, tickets: usize) -> Vec<String> {
    let desk = Served::start(data, &[]);
    let mut sns = Vec::new();
    for number in 0..tickets {
        sns.push(ticket(&desk, &format!("ticket {number}")).await);
    }
    stop(desk).await;
    sns
}

fn end_of(data: &Path) -> i64 {
    must(data, &["audit", "head"])
        .split(':')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Removes the last commits from the ledger of a stopped desk. The ledger then looks as if a crash had
/// destroyed the end of the write-ahead log.
fn shorten(data: &Path, commits: i64) {
    let ledger = Connection::open(data.join("ledger.db")).unwrap();
    let removed = ledger
        .execute(
            "DELETE FROM commits WHERE position > (SELECT max(position) FROM commits) - ?1",
            [commits],
        )
        .unwrap();
    assert_eq!(i64::try_from(removed).unwrap(), commits);
}

/// Returns every path in a directory, at any depth, with its permission bits.
fn listed(directory: &Path) -> Vec<(PathBuf, u32)> {
    let (mut found, mut folders) = (
        vec![(directory.to_owned(), mode(directory))],
        vec![directory.to_owned()],
    );
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push((path.clone(), mode(&path)));
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(directory: &Path) -> BTreeSet<PathBuf> {
    listed(directory)
        .into_iter()
        .map(|(path, _)| path)
        .collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Creates a desk with one ticket and one uploaded file. Writes a backup of this desk to
/// `<home>/backup`; returns the path of the backup.
async fn small_backup(home: &Path) -> PathBuf {
    let (data, backup) = (home.join("data"), home.join("backup"));
    let desk = Served::start(&data, &[]);
    ticket(&desk, "one").await;
    upload(&desk, "note.txt", b"hello".to_vec()).await;
    must(&data, &["backup", backup.to_str().unwrap()]);
    stop(desk).await;
    backup
}

fn restore(backup: &Path, data: &Path, more: &[&str]) -> Output {
    run(&[
        &[
            "restore",
            backup.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
        ][..],
        more,
    ]
    .concat())
}

/// A backup can be made while clients write to the desk. The backup contains all commits up to the
/// position in its manifest, and can be restored to another directory (cases/first-use.md, fault F5;
/// cases/hostile-and-broken.md, case 29).
#[tokio::test(flavor = "multi_thread")]
async fn a_desk_is_backed_up_under_load_and_restored_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let (data, backup, other) = (
        home.path().join("data"),
        home.path().join("backup"),
        home.path().join("other"),
    );
    let desk = Arc::new(Served::start(&data, &[]));
    let acknowledged = ticket(&desk, "before the backup").await;
    upload(&desk, "note.txt", b"hello".to_vec()).await;
    upload(&desk, "big.bin", vec![7; 9 << 20]).await;
    let (is_over, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (desk, is_over, written) = (desk.clone(), is_over.clone(), written.clone());
        writers.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let answer = call(
                    &client(),
                    &desk.base,
                    "create_ticket",
                    fast_approval(&format!("{writer}"), None),
                    None,
                )
                .await
                .expect("an answer");
                assert_eq!(
                    answer["result"], true,
                    "a backup disturbs no writer: {answer}"
                );
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    until(async || written.load(Ordering::Relaxed) > 20).await;
    let (of, to) = (data.clone(), backup.clone());
    let report =
        tokio::task::spawn_blocking(move || must(&of, &["backup", to.to_str().unwrap(), "--json"]))
            .await
            .unwrap();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let before = written.load(Ordering::Relaxed);
    until(async || written.load(Ordering::Relaxed) > before + 8).await;
    is_over.store(true, Ordering::Relaxed);
    while let Some(writer) = writers.join_next().await {
        writer.expect("no writer is rejected");
    }
    let position = report["position"].as_i64().unwrap();
    assert!(
        end_of(&data) > position,
        "the desk continues during the backup"
    );
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(backup.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(
        (
            &manifest["format"],
            &manifest["position"],
            &manifest["commits"],
            &manifest["missing"]
        ),
        (&json!(1), &json!(position), &json!(position), &json!([]))
    );
    for file in ["ledger.db", "heads", "keys/keys.db"] {
        assert!(backup.join(file).exists(), "{file}");
    }
    for (path, mode) in listed(&backup) {
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
    }

    let tried = restore(&backup, &other, &["--dry-run"]);
    assert!(
        tried.status.success() && !other.exists(),
        "{}",
        printed_text(&tried)
    );
    let restored = restore(&backup, &other, &["--yes"]);
    assert!(restored.status.success(), "{}", printed_text(&restored));
    let verified = must(&other, &["audit", "verify"]);
    assert!(
        verified.contains("audit verify: ok")
            && verified.contains(&format!(
                "head {position}:{}",
                report["feed_hash"].as_str().unwrap()
            )),
        "{verified}"
    );
    assert_eq!(
        must(&other, &["audit", "files"]),
        must(&data, &["audit", "files"]),
        "the same uploads are proved"
    );
    // The backup contains the first commits of the ledger, and the running desk still has the same commits.
    // The hash of the last commit in the backup must therefore also be valid in the ledger of the running
    // desk.
    must(
        &data,
        &[
            "audit",
            "verify",
            "--head",
            &format!("{position}:{}", report["feed_hash"].as_str().unwrap()),
        ],
    );
    assert!(
        !restore(&backup, &other, &["--yes"]).status.success(),
        "a directory that is not empty is never overwritten"
    );

    let again = Served::start(&other, &[]);
    let shown = again
        .bk("get_ticket_info", json!({ "sn": acknowledged }))
        .await;
    assert_eq!(
        shown["data"]["creator"], "lisi",
        "names are read with the restored keys: {shown}"
    );
    let (status, _) = again
        .v1("GET", "tickets?list=all", "admin", Value::Null)
        .await;
    assert_eq!(status, 200);
}

/// A backup without the key store (names and keys of people) is not restored. With an empty key store,
/// the desk would register every person a second time (cases/first-use.md, fault F6).
#[tokio::test]
async fn a_backup_is_not_restored_without_its_keys() {
    let home = tempfile::tempdir().unwrap();
    let (backup, other) = (small_backup(home.path()).await, home.path().join("other"));
    let elsewhere = home.path().join("safe");
    std::fs::rename(backup.join("keys"), &elsewhere).unwrap();
    let output = restore(&backup, &other, &["--yes"]);
    assert!(
        !output.status.success()
            && printed_text(&output).contains("keys.db is missing")
            && printed_text(&output).contains("--keys"),
        "{}",
        printed_text(&output)
    );
    assert!(!other.exists());
    let output = restore(
        &backup,
        &other,
        &["--yes", "--keys", elsewhere.to_str().unwrap()],
    );
    assert!(output.status.success(), "{}", printed_text(&output));
    assert!(must(&other, &["doctor"]).contains("the key store belongs to the ledger"));

    // A restore is also rejected if the given key store (names and keys of people) belongs to another
    // desk.
    let (other_desk, other_backup) = (home.path().join("stranger"), home.path().join("strange"));
    stopped(&other_desk, 1).await;
    must(&other_desk, &["backup", other_backup.to_str().unwrap()]);
    let output = restore(
        &backup,
        &home.path().join("third"),
        &[
            "--yes",
            "--keys",
            other_backup.join("keys").to_str().unwrap(),
        ],
    );
    assert!(
        !output.status.success() && printed_text(&output).contains("belong to another desk"),
        "{}",
        printed_text(&output)
    );
}

/// A backup can write the key store (names and keys of people) to a separate directory. The backup
/// directory then contains no name and no key of a person (cases/first-use.md, fault F6).
#[tokio::test]
async fn keys_can_be_backed_up_to_a_separate_directory() {
    let home = tempfile::tempdir().unwrap();
    let (data, backup, keys) = (
        home.path().join("data"),
        home.path().join("backup"),
        home.path().join("keys"),
    );
    stopped(&data, 1).await;
    // The command `backup` accepts an empty directory that already exists. A mount point, for example, is
    // such a directory.
    std::fs::create_dir(&backup).unwrap();
    std::fs::create_dir(&keys).unwrap();
    must(
        &data,
        &[
            "backup",
            backup.to_str().unwrap(),
            "--keys",
            keys.to_str().unwrap(),
        ],
    );
    assert!(keys.join("keys.db").exists() && !backup.join("keys").exists());
    let again = rejected(&data, &["backup", backup.to_str().unwrap()]);
    assert!(again.contains("is not empty"), "{again}");
    let inside = rejected(&data, &["backup", data.join("backup").to_str().unwrap()]);
    assert!(inside.contains("is inside"), "{inside}");
    assert!(
        !names(home.path())
            .iter()
            .any(|path| path.to_string_lossy().contains("partial")),
        "nothing unfinished is left"
    );
}

/// A function that damages a copied backup in one way.
type Fault<'a> = Box<dyn Fn(&Path) + 'a>;

/// The restore of a damaged backup is rejected, and the error names the damaged file
/// (cases/hostile-and-broken.md, case 29).
#[tokio::test]
async fn a_changed_or_partial_backup_is_rejected_with_the_faulty_file() {
    let home = tempfile::tempdir().unwrap();
    let backup = small_backup(home.path()).await;
    let upload = names(&backup.join("files"))
        .into_iter()
        .find(|path| path.is_file())
        .expect("an upload");
    let upload = upload
        .strip_prefix(&backup)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let flip = |path: PathBuf| {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    let cut = |path: PathBuf| {
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(std::fs::metadata(&path).unwrap().len() / 2)
            .unwrap();
    };
    let upload = upload.as_str();
    let faults: Vec<(&str, Fault<'_>, Vec<&str>)> = vec![
        (
            "shortened ledger",
            Box::new(|at| cut(at.join("ledger.db"))),
            vec!["ledger.db is shortened"],
        ),
        (
            "commits removed",
            Box::new(|at| shorten(at, 3)),
            vec!["ledger.db was changed"],
        ),
        (
            "changed ledger",
            Box::new(|at| flip(at.join("ledger.db"))),
            vec!["ledger.db was changed"],
        ),
        (
            "changed heads",
            Box::new(|at| flip(at.join("heads"))),
            vec!["heads was changed"],
        ),
        (
            "changed upload",
            Box::new(|at| flip(at.join(upload))),
            vec![upload, "was changed"],
        ),
        (
            "no upload",
            Box::new(|at| std::fs::remove_file(at.join(upload)).unwrap()),
            vec![upload, "is missing"],
        ),
        (
            "no ledger",
            Box::new(|at| std::fs::remove_file(at.join("ledger.db")).unwrap()),
            vec!["ledger.db is missing"],
        ),
        (
            "a foreign file",
            Box::new(|at| std::fs::write(at.join("ledger.db-wal"), "x").unwrap()),
            vec!["ledger.db-wal is not listed"],
        ),
        (
            "changed keys",
            Box::new(|at| flip(at.join("keys/keys.db"))),
            vec!["keys.db was changed"],
        ),
        (
            "shortened keys",
            Box::new(|at| cut(at.join("keys/keys.db"))),
            vec!["keys.db is shortened"],
        ),
        (
            "no manifest",
            Box::new(|at| std::fs::remove_file(at.join("manifest.json")).unwrap()),
            vec!["manifest.json is missing"],
        ),
        (
            "shortened manifest",
            Box::new(|at| cut(at.join("manifest.json"))),
            vec!["manifest.json was changed or shortened"],
        ),
    ];
    for (number, (fault, make, words)) in faults.into_iter().enumerate() {
        let (copied, other) = (
            home.path().join(format!("copy{number}")),
            home.path().join(format!("other{number}")),
        );
        copy(&backup, &copied);
        make(&copied);
        let output = restore(&copied, &other, &["--yes"]);
        assert!(
            !output.status.success() && !other.exists(),
            "{fault}: {}",
            printed_text(&output)
        );
        for word in words {
            assert!(
                printed_text(&output).contains(word),
                "{fault}: {word} is missing in {}",
                printed_text(&output)
            );
        }
    }
    assert!(
        restore(&backup, &home.path().join("whole"), &["--yes"])
            .status
            .success(),
        "the backup itself is whole"
    );
}

/// A desk does not start if the ledger exists and the key store (names and keys of people) is missing
/// (cases/first-use.md, fault F6).
#[tokio::test]
async fn a_ledger_without_its_key_store_is_not_opened_for_writing() {
    let home = tempfile::tempdir().unwrap();
    let (data, other_desk) = (home.path().join("data"), home.path().join("stranger"));
    stopped(&data, 1).await;
    stopped(&other_desk, 1).await;
    let without = home.path().join("without");
    copy(&data, &without);
    std::fs::remove_file(without.join("keys.db")).unwrap();
    let end = end_of(&without);
    let reason = Served::start_with(&without, &[])
        .err()
        .expect("the desk does not start");
    assert!(
        reason.contains("keys.db") && reason.to_lowercase().contains("restore"),
        "{reason}"
    );
    assert!(rejected(&without, &["setup", "--demo"]).contains("keys.db"));
    assert!(
        !without.join("keys.db").exists(),
        "a failed start creates no key store"
    );
    assert_eq!(end_of(&without), end, "nothing was written");
    let doctor = rejected(&without, &["doctor"]);
    assert!(doctor.contains("WRONG  keys"), "{doctor}");

    // The desk does not start if its key store (names and keys of people) is empty or belongs to another
    // desk.
    std::fs::write(without.join("keys.db"), "").unwrap();
    assert!(Served::start_with(&without, &[]).is_err());
    std::fs::copy(other_desk.join("keys.db"), without.join("keys.db")).unwrap();
    let reason = Served::start_with(&without, &[])
        .err()
        .expect("the desk does not start");
    let id = |data: &Path| -> String {
        Connection::open(data.join("ledger.db"))
            .unwrap()
            .query_row(
                "SELECT value FROM meta WHERE name = 'key_store'",
                [],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert!(
        reason.contains(&id(&data)) && reason.contains(&id(&other_desk)),
        "both key stores are named: {reason}"
    );
    std::fs::copy(data.join("keys.db"), without.join("keys.db")).unwrap();
    assert!(
        Served::start_with(&without, &[]).is_ok(),
        "the key store of the desk is accepted"
    );
}

/// A desk does not start if the key store (names and keys of people) exists and the ledger is missing
/// (cases/first-use.md, fault F6).
#[tokio::test]
async fn a_key_store_without_its_ledger_does_not_start_a_new_desk() {
    let home = tempfile::tempdir().unwrap();
    let (data, alone) = (home.path().join("data"), home.path().join("alone"));
    stopped(&data, 1).await;
    std::fs::create_dir(&alone).unwrap();
    std::fs::copy(data.join("keys.db"), alone.join("keys.db")).unwrap();
    let reason = Served::start_with(&alone, &[])
        .err()
        .expect("the desk does not start");
    assert!(reason.contains("ledger.db is missing or empty"), "{reason}");
    assert!(
        !alone.join("ledger.db").exists(),
        "a failed start creates no ledger"
    );
}

/// Normally, the ledger and the key store (names and keys of people) contain a common id. If neither file
/// contains an id, the desk starts only if the key store contains people of the ledger. At this start, the
/// desk writes a common id to both files (cases/first-use.md, fault F6).
#[tokio::test]
async fn a_ledger_without_an_id_adopts_only_its_own_key_store() {
    let home = tempfile::tempdir().unwrap();
    let (data, other_desk) = (home.path().join("data"), home.path().join("stranger"));
    for data in [&data, &other_desk] {
        stopped(data, 1).await;
        for name in ["ledger.db", "keys.db"] {
            Connection::open(data.join(name))
                .unwrap()
                .execute_batch("DROP TABLE meta")
                .unwrap();
        }
    }
    let mixed = home.path().join("mixed");
    copy(&data, &mixed);
    std::fs::copy(other_desk.join("keys.db"), mixed.join("keys.db")).unwrap();
    let reason = Served::start_with(&mixed, &[])
        .err()
        .expect("the desk does not start");
    assert!(reason.contains("knows none of the people"), "{reason}");
    let desk = Served::start_with(&data, &[]).expect("the key store of the desk is adopted");
    stop(desk).await;
    for name in ["ledger.db", "keys.db"] {
        let ids: i64 = Connection::open(data.join(name))
            .unwrap()
            .query_row(
                "SELECT count(*) FROM meta WHERE name = 'key_store'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(ids, 1, "{name}");
    }
}

/// The file of published heads contains the positions and hashes of stored commits. A desk does not start
/// if the ledger lacks commits that this file lists (cases/hostile-and-broken.md, case 4).
#[tokio::test]
async fn a_desk_does_not_start_without_commits_it_published() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 12).await;
    let published = end_of(&data);
    let kept = must(&data, &["audit", "head"]).trim().to_owned();
    shorten(&data, 7);
    let reason = Served::start_with(&data, &[])
        .err()
        .expect("the desk does not start");
    assert!(
        reason.contains("7 commits are missing")
            && reason.contains("backup")
            && reason.contains("--accept-lost-commits"),
        "{reason}"
    );
    // The test also deletes the views (lists that are computed from the ledger). The file of published heads
    // (ledger hashes) still shows that commits are missing, so the desk does not start.
    for name in ["views.db", "views.db-wal", "views.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    let reason = Served::start_with(&data, &[])
        .err()
        .expect("the desk does not start");
    assert!(reason.contains("7 commits are missing"), "{reason}");
    assert!(rejected(&data, &["setup", "--demo"]).contains("7 commits are missing"));
    let doctor = rejected(&data, &["doctor"]);
    assert!(
        doctor.contains("WRONG  heads") && doctor.contains("7 commits are missing"),
        "{doctor}"
    );
    assert!(rejected(&data, &["audit", "verify"]).contains("its tail is missing"));

    let desk = Served::start_with(
        &data,
        &[
            "--demo",
            "--app",
            &format!("{}:{}", APP.0, APP.1),
            "--accept-lost-commits",
        ],
    )
    .expect("the loss is accepted");
    for number in 0..12 {
        ticket(&desk, &format!("afterwards {number}")).await;
    }
    stop(desk).await;
    assert!(
        end_of(&data) > published,
        "the ledger is longer than the published head"
    );
    let shown = must(&data, &["audit", "show", "ledger-continued"]);
    assert!(
        shown.contains("ledger.continued") && shown.contains("\"missing\":7"),
        "{shown}"
    );
    let verified = must(&data, &["audit", "verify"]);
    assert!(
        verified.contains("note:") && verified.contains(&format!("to {published} were lost")),
        "{verified}"
    );
    must(&data, &["doctor"]);
    // The variable `kept` is the position and the hash of the last commit before the test removed seven
    // commits. An external auditor would store such a hash outside the desk. With this hash, the command
    // `audit verify` detects that commits were lost.
    assert!(
        rejected(&data, &["audit", "verify", "--head", &kept])
            .contains("is not what was published")
    );
    assert!(
        Served::start_with(&data, &[]).is_ok(),
        "an accepted loss does not stop the start"
    );
}

/// The file of published heads (hashes of the ledger) contains a line about an accepted loss of commits.
/// The ledger does not contain an event about this loss. The command `audit verify` must therefore fail
/// (cases/hostile-and-broken.md, case 4).
#[tokio::test]
async fn a_loss_that_the_ledger_did_not_record_is_found() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 6).await;
    let end = end_of(&data);
    shorten(&data, 4);
    let heads = std::fs::read_to_string(data.join("heads")).unwrap();
    std::fs::write(
        data.join("heads"),
        format!("{heads}lost {} {end} 1795312800000\n", end - 3),
    )
    .unwrap();
    let verified = rejected(&data, &["audit", "verify"]);
    assert!(verified.contains("but the ledger does not"), "{verified}");
}

/// The published heads are hashes of the ledger that the desk wrote to a separate file. A desk does not
/// start if the hashes of its commits differ from the published heads (cases/hostile-and-broken.md, case
/// 4).
#[tokio::test]
async fn a_desk_does_not_start_if_its_history_differs_from_its_heads() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 6).await;
    let heads = std::fs::read_to_string(data.join("heads")).unwrap();
    let last = heads.lines().last().unwrap();
    let (position, hash) = (
        last.split(' ').next().unwrap(),
        last.split(' ').nth(1).unwrap(),
    );
    std::fs::write(
        data.join("heads"),
        heads.replace(hash, &hash.chars().rev().collect::<String>()),
    )
    .unwrap();
    let reason = Served::start_with(&data, &[])
        .err()
        .expect("the desk does not start");
    assert!(
        reason.contains("is not the one whose heads were published")
            && reason.contains(&format!("position {position}")),
        "{reason}"
    );
    assert!(rejected(&data, &["doctor"]).contains("WRONG  heads"));
}

/// A crash can cut off the last line in the file of published heads (ledger hashes). The desk ignores such
/// an incomplete line (cases/hostile-and-broken.md, case 4).
#[tokio::test]
async fn a_torn_last_head_is_ignored() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 2).await;
    let heads = std::fs::read(data.join("heads")).unwrap();
    for torn in [&b"999999 0123"[..], &[0, 0, 0xff, 0]] {
        std::fs::write(data.join("heads"), [&heads[..], torn].concat()).unwrap();
        must(&data, &["doctor"]);
        stop(Served::start_with(&data, &[]).expect("the desk starts")).await;
        must(&data, &["audit", "verify"]);
    }
}

/// Only the operating system user who runs a desk can read the files of this desk. This is also true if
/// the umask of the process allows access for other users (cases/hostile-and-broken.md, case 16;
/// cases/first-use.md, section 6).
#[tokio::test]
async fn files_of_a_desk_are_private_to_the_owner_under_any_umask() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "umask 000; exec \"$0\" \"$@\""])
        .arg(program());
    let desk = Served::start_by(shell, &data, &[]);
    ticket(&desk, "private").await;
    upload(&desk, "note.txt", b"hello".to_vec()).await;
    let listed_now = listed(&data);
    assert!(
        listed_now
            .iter()
            .any(|(path, _)| path.ends_with("ledger.db-wal"))
            && listed_now
                .iter()
                .any(|(path, _)| path.starts_with(data.join("files")))
    );
    for (path, mode) in listed_now {
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
    }
    stop(desk).await;

    // The test makes all files of the desk readable for other users. `doctor` warns about these permissions
    // until the next start of the desk removes them.
    for (path, _) in listed(&data) {
        std::fs::set_permissions(
            &path,
            std::fs::Permissions::from_mode(if path.is_dir() { 0o755 } else { 0o644 }),
        )
        .unwrap();
    }
    let doctor = must(&data, &["doctor"]);
    assert!(
        doctor.contains("WARN   permissions") && doctor.contains("0755"),
        "{doctor}"
    );
    let desk = Served::start(&data, &[]);
    for (path, mode) in listed(&data) {
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
    }
    assert!(!must(&data, &["doctor"]).contains("WARN"));
    drop(desk);
}

/// If a write to the disk fails, the readiness check reports "not ready" until a later write succeeds
/// (cases/hostile-and-broken.md, case 22).
#[tokio::test]
async fn a_desk_that_cannot_write_is_not_ready_until_it_can() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 1).await;
    let mut shell = Command::new("bash");
    // A limit on the file size simulates a full disk. The shell that starts the desk ignores the signal
    // SIGXFSZ. A write beyond the limit therefore returns an error and does not end the process.
    shell
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1500; exec \"$0\" \"$@\""])
        .arg(program());
    let desk = Served::start_by(shell, &data, &[]);
    assert!(desk.is_up());
    let address = format!("{}/readyz", desk.base);
    let ready = async || {
        client()
            .get(&address)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    assert_eq!(ready().await, 200);
    let desk = Arc::new(desk);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let desk = desk.clone();
        clients.spawn(async move {
            while desk
                .bk("create_ticket", fast_approval(&format!("{number}"), None))
                .await["result"]
                == true
            {}
        });
    }
    while let Some(filled) = clients.join_next().await {
        filled.expect("every client is rejected at last");
    }
    let is_full = async || {
        desk.bk("create_ticket", fast_approval("too much", None))
            .await["result"]
            == false
            && ready().await == 503
    };
    until(is_full).await;
    assert_eq!(
        client()
            .get(format!("{}/healthz", desk.base))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16(),
        200
    );
    let id = desk.id().to_string();
    assert!(
        Command::new("prlimit")
            .args(["--pid", &id, "--fsize=unlimited:"])
            .status()
            .unwrap()
            .success()
    );
    until(async || ready().await == 200).await;
    ticket(&desk, "written again").await;
}

/// A readiness check does not add a commit to the ledger (cases/hostile-and-broken.md, case 22).
#[tokio::test]
async fn readiness_writes_no_commit() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let desk = Served::start(&data, &[]);
    let before = end_of(&data);
    for _ in 0..3 {
        let answer = client()
            .get(format!("{}/readyz", desk.base))
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.text().await.unwrap(),
            format!("ready at position {before}")
        );
    }
    assert_eq!(end_of(&data), before);
}

/// The command `doctor` checks the indexes of the SQLite files `ledger.db`, `keys.db` and `views.db`. The
/// command finds a single changed bit in an index (cases/hostile-and-broken.md, case 23).
#[tokio::test]
async fn doctor_finds_a_flipped_bit_in_an_index() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 3).await;
    let sound = must(&data, &["doctor"]);
    for name in ["ledger.db", "keys.db", "views.db"] {
        assert!(
            sound.contains(&format!("{name}: integrity_check: ok")),
            "{sound}"
        );
    }
    let ledger = data.join("ledger.db");
    let connection = Connection::open(&ledger).unwrap();
    let page: i64 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_master WHERE name = 'commits_by_stream'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let size: i64 = connection
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .unwrap();
    connection.close().unwrap();
    let mut bytes = std::fs::read(&ledger).unwrap();
    // The test changes one bit in the last byte of an index page. In an SQLite index page, the last byte
    // belongs to the first entry. The change therefore damages exactly one entry of the index.
    bytes[usize::try_from(page * size - 1).unwrap()] ^= 1;
    std::fs::write(&ledger, bytes).unwrap();
    let doctor = rejected(&data, &["doctor"]);
    assert!(
        doctor.contains("WRONG  ledger.db: the file is damaged"),
        "{doctor}"
    );
}

/// A desk creates a lock file when it opens its data directory. A copied directory that a desk has never
/// opened has no lock file. The command `doctor` must accept such a copy (cases/crossings.md, case 9).
#[tokio::test]
async fn doctor_accepts_a_copy_that_no_desk_has_opened() {
    let home = tempfile::tempdir().unwrap();
    let (data, other) = (home.path().join("data"), home.path().join("other"));
    let desk = Served::start(&data, &[]);
    ticket(&desk, "one").await;
    std::fs::create_dir(&other).unwrap();
    for name in ["ledger.db", "keys.db"] {
        let target = other.join(name);
        Connection::open(data.join(name))
            .unwrap()
            .execute("VACUUM INTO ?1", [target.to_str().unwrap()])
            .unwrap();
    }
    drop(desk);
    let before = names(&other);
    let doctor = must(&other, &["doctor"]);
    assert!(
        doctor.contains("no desk is running here") && !doctor.contains("WRONG"),
        "{doctor}"
    );
    assert_eq!(names(&other), before, "doctor creates no file");
}

/// The output of the command `doctor` lists the checks that the command does not make. The command
/// creates no file (cases/first-use.md, section 5).
#[tokio::test]
async fn doctor_names_what_it_does_not_verify_and_creates_nothing() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let desk = Served::start(&data, &[]);
    upload(&desk, "note.txt", b"hello".to_vec()).await;
    let running = names(&data);
    let doctor = must(&data, &["doctor"]);
    assert!(doctor.contains("a desk is running here"), "{doctor}");
    assert_eq!(names(&data), running);
    stop(desk).await;
    let before = names(&data);
    let doctor = must(&data, &["doctor"]);
    for words in [
        "SQLite 3.",
        "run `ledgerdesk audit verify`",
        "run `ledgerdesk audit files`",
        "1 uploads are complete",
    ] {
        assert!(doctor.contains(words), "{words} is missing in {doctor}");
    }
    assert_eq!(names(&data), before, "doctor creates no file");
    for name in ["keys.db", "views.db", "views.db-wal", "views.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    let before = names(&data);
    assert!(rejected(&data, &["doctor"]).contains("WRONG  keys"));
    assert_eq!(names(&data), before, "doctor creates no file");
}

/// The commands `doctor` and `backup` report an uploaded file whose content is missing in the data
/// directory (cases/first-use.md, section 5).
#[tokio::test]
async fn doctor_finds_a_missing_upload() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let desk = Served::start(&data, &[]);
    upload(&desk, "note.txt", b"hello".to_vec()).await;
    stop(desk).await;
    let part = names(&data.join("files"))
        .into_iter()
        .find(|path| path.is_file())
        .expect("an upload");
    std::fs::remove_file(part).unwrap();
    let doctor = rejected(&data, &["doctor"]);
    assert!(
        doctor.contains("WRONG  files") && doctor.contains("part 1 is missing"),
        "{doctor}"
    );
    let backup = rejected(
        &data,
        &["backup", home.path().join("backup").to_str().unwrap()],
    );
    assert!(
        backup.contains("the backup is complete, but 1 uploads were already missing"),
        "{backup}"
    );
}

/// A command that only reads the ledger does not create a missing key store, the file with names and keys
/// of people (cases/first-use.md, section 5).
#[tokio::test]
async fn an_audit_without_keys_creates_no_key_store() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 1).await;
    std::fs::remove_file(data.join("keys.db")).unwrap();
    assert!(must(&data, &["audit", "verify"]).contains("audit verify: ok"));
    assert!(!data.join("keys.db").exists());
}

/// The ledger of a desk exists, but its key store (names and keys of people) is missing. An import into
/// this desk is rejected (cases/hostile-and-broken.md, case 29).
#[tokio::test]
async fn an_import_without_the_key_store_is_rejected() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 1).await;
    std::fs::remove_file(data.join("keys.db")).unwrap();
    let (file, mapping) = (
        home.path().join("log.csv"),
        home.path().join("mapping.toml"),
    );
    std::fs::write(&file, "id,when,state\nA,2026-01-01 10:00,New\n").unwrap();
    let text = "source = \"LOG\"\n[columns]\ncase = \"id\"\ntime = \"when\"\nstate = \"state\"\n[time]\nformat = \"%Y-%m-%d %H:%M\"\nzone = \"UTC\"\n";
    std::fs::write(&mapping, text).unwrap();
    let message = rejected(
        &data,
        &[
            "import",
            file.to_str().unwrap(),
            "--mapping",
            mapping.to_str().unwrap(),
        ],
    );
    assert!(message.contains("keys.db is missing or empty"), "{message}");
    assert!(!data.join("keys.db").exists());
}

/// The command `backup` rejects a target path in the data directory of the same desk. The command also
/// rejects such a path if it contains `.` or a symbolic link (cases/hostile-and-broken.md, case 29).
#[tokio::test]
async fn a_backup_below_the_directory_of_its_desk_is_rejected() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 1).await;
    std::os::unix::fs::symlink(&data, home.path().join("link")).unwrap();
    let before = names(&data);
    for target in [
        "data/x",
        "data/x/y/z",
        "./data/x/y/z",
        "link/x",
        "link/x/y",
        "data",
    ] {
        let output = Command::new(program())
            .current_dir(home.path())
            .args(["backup", target, "--data", "data"])
            .output()
            .unwrap();
        assert!(
            !output.status.success() && printed_text(&output).contains("is inside"),
            "{target}: {}",
            printed_text(&output)
        );
    }
    assert_eq!(names(&data), before);
    let backup = home.path().join("backup");
    for keys in ["backup", "backup/keys", "backup/a/b"] {
        let output = Command::new(program())
            .current_dir(home.path())
            .args(["backup", "backup", "--keys", keys, "--data", "data"])
            .output()
            .unwrap();
        assert!(
            !output.status.success() && printed_text(&output).contains("outside the backup"),
            "{keys}: {}",
            printed_text(&output)
        );
    }
    assert!(!backup.exists(), "nothing is left of a rejected backup");
    must(&data, &["backup", backup.to_str().unwrap()]);
    let output = Command::new(program())
        .current_dir(home.path())
        .args(["restore", "backup", "--data", "backup/a/b", "--yes"])
        .output()
        .unwrap();
    assert!(
        !output.status.success() && printed_text(&output).contains("is inside"),
        "{}",
        printed_text(&output)
    );
}

/// An interrupted backup can leave temporary files with names and keys of people. The next backup removes
/// these files (cases/hostile-and-broken.md, case 29).
#[tokio::test]
async fn the_next_backup_removes_the_files_of_an_interrupted_one() {
    let home = tempfile::tempdir().unwrap();
    let (data, backup, mounted) = (
        home.path().join("data"),
        home.path().join("backup"),
        home.path().join("mounted"),
    );
    stopped(&data, 1).await;
    for left in [
        home.path().join(".backup.partial-4242"),
        mounted.join(".partial"),
    ] {
        std::fs::create_dir_all(left.join("keys")).unwrap();
        std::fs::copy(data.join("keys.db"), left.join("keys/keys.db")).unwrap();
    }
    must(&data, &["backup", backup.to_str().unwrap()]);
    must(&data, &["backup", mounted.to_str().unwrap()]);
    assert!(
        !names(home.path())
            .iter()
            .any(|path| path.to_string_lossy().contains("partial")),
        "{:?}",
        names(home.path())
    );
}

/// A ledger and its key store (names and keys of people) normally contain a common id. If this id is
/// missing, a backup does not add an id to the two files. The two files stay unchanged
/// (cases/hostile-and-broken.md, case 29).
#[tokio::test]
async fn a_desk_without_ids_is_backed_up_unchanged() {
    let home = tempfile::tempdir().unwrap();
    let (data, backup, other) = (
        home.path().join("data"),
        home.path().join("backup"),
        home.path().join("other"),
    );
    stopped(&data, 1).await;
    for name in ["ledger.db", "keys.db"] {
        Connection::open(data.join(name))
            .unwrap()
            .execute_batch("DROP TABLE meta")
            .unwrap();
    }
    must(&data, &["backup", backup.to_str().unwrap()]);
    let has_meta = |name: &str| -> i64 {
        let connection = Connection::open(data.join(name)).unwrap();
        connection
            .query_row(
                "SELECT count(*) FROM sqlite_master WHERE name = 'meta'",
                [],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert_eq!(
        (has_meta("ledger.db"), has_meta("keys.db")),
        (0, 0),
        "the desk itself is unchanged"
    );
    let output = restore(&backup, &other, &["--yes"]);
    assert!(output.status.success(), "{}", printed_text(&output));
    stop(Served::start_with(&other, &[]).expect("the restored desk starts")).await;
}

/// The manifest of a backup lists the copied files, but a person may have edited the manifest. A restore
/// therefore also checks that the backup contains each uploaded file that the ledger mentions
/// (cases/hostile-and-broken.md, case 29).
#[tokio::test]
async fn a_backup_without_an_upload_of_its_ledger_is_rejected() {
    let home = tempfile::tempdir().unwrap();
    let (backup, other) = (small_backup(home.path()).await, home.path().join("other"));
    let path = backup.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["files"]
        .as_array_mut()
        .unwrap()
        .retain(|file| !file["path"].as_str().unwrap().starts_with("files/"));
    std::fs::write(&path, manifest.to_string()).unwrap();
    std::fs::remove_dir_all(backup.join("files")).unwrap();
    let output = restore(&backup, &other, &["--yes"]);
    assert!(
        !output.status.success() && printed_text(&output).contains("part 1 is missing"),
        "{}",
        printed_text(&output)
    );
    assert!(!other.exists());
}

/// Replaces the key store (`keys.db`) of a stopped desk by another file.
fn replace_keys(data: &Path, keys: &Path) {
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    std::fs::copy(keys, data.join("keys.db")).unwrap();
}

/// The desk does not start with an old copy of the key store (names and keys of people). People who were
/// registered after the copy was made are missing in this copy (cases/first-use.md, fault F6).
#[tokio::test]
async fn an_older_key_store_does_not_register_people_twice() {
    let home = tempfile::tempdir().unwrap();
    let (data, older, newer) = (
        home.path().join("data"),
        home.path().join("older.db"),
        home.path().join("newer.db"),
    );
    stopped(&data, 1).await;
    std::fs::copy(data.join("keys.db"), &older).unwrap();
    let desk = Served::start(&data, &[]);
    let body = json!({ "service_id": 22, "fields": { "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" } });
    let (status, answer) = desk.v1("POST", "tickets", "newcomer", body).await;
    assert_eq!(status, 201, "{answer}");
    stop(desk).await;
    std::fs::copy(data.join("keys.db"), &newer).unwrap();

    replace_keys(&data, &older);
    let end = end_of(&data);
    let reason = Served::start_with(&data, &[])
        .err()
        .expect("the desk does not start");
    assert!(
        reason.contains("1 people who acted") && reason.contains("--accept-lost-people"),
        "{reason}"
    );
    assert!(rejected(&data, &["setup", "--demo"]).contains("older than the ledger"));
    assert!(rejected(&data, &["doctor"]).contains("WRONG  keys"));
    assert!(
        rejected(
            &data,
            &["backup", home.path().join("backup").to_str().unwrap()]
        )
        .contains("older than the ledger")
    );
    assert_eq!(end_of(&data), end, "nothing was written");
    replace_keys(&data, &newer);
    stop(Served::start_with(&data, &[]).expect("the newer copy is accepted")).await;

    replace_keys(&data, &older);
    stop(Served::start_with(&data, &["--accept-lost-people"]).expect("the loss is accepted")).await;
    stop(Served::start_with(&data, &[]).expect("an accepted loss does not stop the start")).await;
    must(&data, &["doctor"]);
}

/// The key store (names and keys of people) has the same id as the ledger, but it contains no people. The
/// desk must reject this key store (cases/first-use.md, fault F6).
#[tokio::test]
async fn a_key_store_that_lost_its_people_is_rejected() {
    let home = tempfile::tempdir().unwrap();
    let (data, empty) = (home.path().join("data"), home.path().join("empty.db"));
    stopped(&data, 1).await;
    std::fs::copy(data.join("keys.db"), &empty).unwrap();
    Connection::open(&empty)
        .unwrap()
        .execute("DELETE FROM people", [])
        .unwrap();
    let ledger = home.path().join("ledger.db");
    std::fs::copy(data.join("ledger.db"), &ledger).unwrap();
    for keys in [&empty, &ledger] {
        replace_keys(&data, keys);
        for options in [vec![], vec!["--accept-lost-people"]] {
            let reason = Served::start_with(&data, &options)
                .err()
                .expect("the desk does not start");
            assert!(reason.contains("knows none of the people"), "{reason}");
        }
        assert!(rejected(&data, &["doctor"]).contains("WRONG  keys"));
    }
}

/// The ledger lacks its last commits, and the file of published heads (ledger hashes) is missing too. The
/// views (lists that are computed from the ledger) still contain the lost commits, so the desk does not
/// start. If an operator accepts the loss, the ledger records the loss (cases/hostile-and-broken.md, case
/// 4).
#[tokio::test]
async fn lost_commits_that_only_the_views_recorded_are_marked() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let desk = Served::start(&data, &[]);
    for number in 0..4 {
        ticket(&desk, &format!("ticket {number}")).await;
    }
    until(async || must(&data, &["doctor"]).contains("views: 0 commits behind")).await;
    stop(desk).await;
    shorten(&data, 3);
    std::fs::remove_file(data.join("heads")).unwrap();
    let reason = Served::start_with(&data, &[])
        .err()
        .expect("the desk does not start");
    assert!(
        reason.contains("3 commits are missing")
            && reason.contains("--accept-lost-commits")
            && !reason.contains("move views.db"),
        "{reason}"
    );
    assert!(rejected(&data, &["setup", "--demo"]).contains("3 commits are missing"));
    stop(Served::start_with(&data, &["--accept-lost-commits"]).expect("the loss is accepted"))
        .await;
    assert!(must(&data, &["audit", "show", "ledger-continued"]).contains("\"missing\":3"));
    let verified = must(&data, &["audit", "verify"]);
    assert!(
        verified.contains("note:") && verified.contains("were lost"),
        "{verified}"
    );
    stop(Served::start_with(&data, &[]).expect("an accepted loss does not stop the start")).await;
    must(&data, &["doctor"]);
}

/// The desk ignores blank lines in the file of published heads (ledger hashes). `doctor` reports a line
/// that has a wrong format (cases/hostile-and-broken.md, case 4).
#[tokio::test]
async fn blank_lines_among_published_heads_are_ignored() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stopped(&data, 1).await;
    let heads = std::fs::read_to_string(data.join("heads")).unwrap();
    std::fs::write(data.join("heads"), format!("\n{heads}\n\n")).unwrap();
    must(&data, &["audit", "verify"]);
    stop(Served::start_with(&data, &[]).expect("the desk starts")).await;
    std::fs::write(
        data.join("heads"),
        format!("{heads}-5 {} 1795312800000\n", "ab".repeat(32)),
    )
    .unwrap();
    assert!(rejected(&data, &["doctor"]).contains("is not a head"));
}

/// The views are lists that the desk computes from the ledger and stores in `views.db`. A command that
/// only reads the ledger does not create this file (cases/first-use.md, section 5).
#[tokio::test]
async fn auditing_files_creates_no_views() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let desk = Served::start(&data, &[]);
    upload(&desk, "note.txt", b"hello".to_vec()).await;
    stop(desk).await;
    for name in ["views.db", "views.db-wal", "views.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    assert!(must(&data, &["audit", "files"]).contains("1 files with 5 bytes"));
    must(&data, &["audit", "parked"]);
    must(&data, &["forget", "lisi", "--dry-run"]);
    assert!(!data.join("views.db").exists());
}

/// A killed desk can leave a write-ahead log without its index file. No data is lost in this case, so
/// `doctor` recommends a start of the desk and not a restore (cases/first-use.md, fault F5).
#[tokio::test]
async fn doctor_recommends_a_start_if_a_write_ahead_log_has_no_index() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let desk = Served::start(&data, &[]);
    ticket(&desk, "one").await;
    desk.kill();
    for name in ["ledger.db-shm", "keys.db-shm", "views.db-shm"] {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    let before = names(&data);
    let doctor = rejected(&data, &["doctor"]);
    assert!(
        doctor.contains("start the desk once") && !doctor.contains("restore a backup"),
        "{doctor}"
    );
    assert_eq!(names(&data), before, "doctor creates no file");
    stop(Served::start_with(&data, &[]).expect("the desk starts")).await;
    must(&data, &["doctor"]);
}
