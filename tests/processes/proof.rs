//! These tests change the file of a ledger in many ways. The program and an independent verifier must
//! detect every change.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use infra::commit::{Commit, feed_hash};
use rusqlite::{Connection, params};
use tests::process::{root, run};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The ledger of one simulated working day. The test creates this ledger once. Each attack (a change of
/// the ledger file) uses a separate copy of the ledger.
struct Ledger {
    _directory: tempfile::TempDir,
    original: PathBuf,
    attacks: usize,
}

impl Ledger {
    fn of_a_day() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let original = directory.path().join("original");
        let output = run(&[
            "demo",
            "--exit",
            "--tickets",
            "100",
            "--data",
            original.to_str().unwrap(),
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self {
            _directory: directory,
            original,
            attacks: 0,
        }
    }

    /// Copies the data directory of the original ledger, and calls `attack` with a database connection to
    /// the copied ledger. Returns the directory of the copy.
    fn attacked<R>(&mut self, attack: impl FnOnce(&Connection) -> R) -> PathBuf {
        self.attacks += 1;
        let copy = self
            .original
            .with_file_name(format!("attack{}", self.attacks));
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&self.original).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
        }
        let connection = Connection::open(copy.join("ledger.db")).unwrap();
        attack(&connection);
        connection.close().unwrap();
        copy
    }
}

fn verify(data: &Path) -> Output {
    run(&["audit", "verify", "--data", data.to_str().unwrap()])
}

fn found(data: &Path, words: &str) {
    let output = verify(data);
    let printed = text(&output.stdout);
    assert!(
        !output.status.success() && printed.contains("FOUND") && printed.contains(words),
        "{words} is missing in: {printed}{}",
        text(&output.stderr)
    );
}

/// Returns the position of the first ticket commit after position 60. This commit is in the middle of the
/// ledger.
fn middle(connection: &Connection) -> i64 {
    connection.query_row("SELECT position FROM commits WHERE stream LIKE 'ticket-%' AND position > 60 ORDER BY position LIMIT 1", [], |row| row.get(0)).unwrap()
}

/// Computes the hashes of all streams and of the whole ledger again after an attack changed or removed
/// rows. An attacker who can write to the file could do the same.
fn rechain(connection: &Connection) {
    let mut statement = connection
        .prepare(
            "SELECT rowid, stream, first, n, at, command_id, body FROM commits ORDER BY position",
        )
        .unwrap();
    let rows: Vec<(i64, Commit)> = statement
        .query_map([], |row| {
            let (prev_hash, hash, snapshot) = ([0; 32], [0; 32], None);
            Ok((
                row.get(0)?,
                Commit {
                    stream: row.get(1)?,
                    first: row.get(2)?,
                    n: row.get(3)?,
                    at: events::Moment(row.get(4)?),
                    command_id: row.get(5)?,
                    body: row.get(6)?,
                    prev_hash,
                    hash,
                    snapshot,
                },
            ))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut tails: std::collections::HashMap<String, [u8; 32]> = std::collections::HashMap::new();
    let mut feed = [0; 32];
    for (at, (position, mut commit)) in rows.into_iter().enumerate() {
        let to = i64::try_from(at).unwrap() + 1;
        commit.prev_hash = tails.get(&commit.stream).copied().unwrap_or_default();
        commit.hash = commit.expected_hash();
        feed = feed_hash(&feed, to, &commit.hash);
        tails.insert(commit.stream.clone(), commit.hash);
        connection
            .execute(
                "UPDATE commits SET position = ?2, prev_hash = ?3, hash = ?4, feed_hash = ?5 WHERE position = ?1",
                params![position, to, commit.prev_hash, commit.hash, feed],
            )
            .unwrap();
    }
}

/// One ledger of a day serves all checks, because its simulation takes longer than most checks. The checks change only
/// copies of the ledger, except the last check, which changes the views.
#[test]
fn every_edit_of_a_day_is_found_and_its_views_can_be_rebuilt() {
    let mut ledger = Ledger::of_a_day();
    audit_verify_finds_every_edit_of_the_history(&mut ledger);
    an_unreadable_row_is_named_and_never_skipped(&mut ledger);
    an_independent_verifier_accepts_the_export_and_finds_edits(&mut ledger);
    rebuilt_views_equal_the_old_views(&ledger);
}

fn audit_verify_finds_every_edit_of_the_history(ledger: &mut Ledger) {
    assert!(verify(&ledger.original).status.success());
    assert!(
        verify(&ledger.attacked(|_| ())).status.success(),
        "an unchanged copy is valid"
    );

    let changed = ledger.attacked(|connection| {
        let at = middle(connection);
        connection
            .execute("UPDATE commits SET body = CAST(replace(CAST(body AS TEXT), '\"actor\":\"p', '\"actor\":\"q') AS BLOB) WHERE position = ?1", [at])
            .unwrap();
    });
    found(&changed, "the hash does not fit the content");
    let deleted = ledger.attacked(|connection| {
        connection
            .execute(
                "DELETE FROM commits WHERE position = ?1",
                [middle(connection)],
            )
            .unwrap()
    });
    found(&deleted, "is missing; the next one is");
    let swapped = ledger.attacked(|connection| {
        let at = middle(connection);
        for (from, to) in [(at, -1), (at + 1, at), (-1, at + 1)] {
            connection
                .execute(
                    "UPDATE commits SET position = ?2 WHERE position = ?1",
                    [from, to],
                )
                .unwrap();
        }
    });
    found(&swapped, "the feed's chain is broken");
    let rehashed = ledger.attacked(|connection| {
        connection
            .execute(
                "UPDATE commits SET hash = randomblob(32) WHERE position = ?1",
                [middle(connection)],
            )
            .unwrap()
    });
    found(&rehashed, "the hash does not fit the content");
    let truncated = ledger.attacked(|connection| {
        connection
            .execute(
                "DELETE FROM commits WHERE position > (SELECT max(position) - 3 FROM commits)",
                [],
            )
            .unwrap()
    });
    found(&truncated, "its tail is missing");
    let removed = ledger.attacked(|connection| {
        let stream: String = connection
            .query_row(
                "SELECT stream FROM commits WHERE position = ?1",
                [middle(connection)],
                |row| row.get(0),
            )
            .unwrap();
        connection
            .execute("DELETE FROM commits WHERE stream = ?1", [stream])
            .unwrap();
        rechain(connection);
    });
    found(&removed, "was published");
    let rewritten = ledger.attacked(|connection| {
        connection
            .execute(
                "UPDATE commits SET at = at - 60000 WHERE position = ?1",
                [middle(connection)],
            )
            .unwrap();
        rechain(connection);
    });
    found(&rewritten, "is not what was published");
    let changed_snapshot = ledger.attacked(|connection| {
        let changed = connection
            .execute("UPDATE commits SET snapshot = CAST(replace(CAST(snapshot AS TEXT), '\"recent\"', '\"recent \"') AS BLOB) WHERE snapshot IS NOT NULL", [])
            .unwrap();
        assert!(changed > 0, "a day has streams that are long enough for a snapshot");
    });
    found(
        &changed_snapshot,
        "differs from the state folded from its events",
    );
}

fn an_unreadable_row_is_named_and_never_skipped(ledger: &mut Ledger) {
    let mut position = 0;
    let broken = ledger.attacked(|connection| {
        position = middle(connection);
        connection
            .execute(
                "UPDATE commits SET hash = x'00' WHERE position = ?1",
                [position],
            )
            .unwrap();
    });
    found(&broken, &format!("ledger row {position} (stream ticket-"));
    let report = run(&["report", "desk", "--data", broken.to_str().unwrap()]);
    assert!(
        !report.status.success()
            && text(&report.stderr).contains(&format!("ledger row {position}")),
        "{}",
        text(&report.stderr)
    );
    let garbled = ledger.attacked(|connection| {
        connection
            .execute(
                "UPDATE commits SET body = x'7b' WHERE position = ?1",
                [middle(connection)],
            )
            .unwrap()
    });
    let replay = run(&["audit", "replay", "--data", garbled.to_str().unwrap()]);
    assert!(
        !replay.status.success() && text(&replay.stderr).contains("cannot read commit ticket-"),
        "{}",
        text(&replay.stderr)
    );
}

fn an_independent_verifier_accepts_the_export_and_finds_edits(ledger: &mut Ledger) {
    let python = root().join("target/python/bin/python");
    assert!(
        python.exists(),
        "the virtual environment with the BLAKE3 package is missing; run ./test"
    );
    let head = text(&run(&["audit", "head", "--data", ledger.original.to_str().unwrap()]).stdout)
        .trim()
        .to_owned();
    let check = |data: &Path| {
        let file = data.join("export.jsonl");
        std::fs::write(
            &file,
            run(&["audit", "export", "--data", data.to_str().unwrap()]).stdout,
        )
        .unwrap();
        Command::new(&python)
            .arg(root().join("tests/verify.py"))
            .arg(&file)
            .arg(&head)
            .output()
            .unwrap()
    };
    let accepted = check(&ledger.original);
    assert!(
        accepted.status.success(),
        "{}{}",
        text(&accepted.stdout),
        text(&accepted.stderr)
    );
    assert!(text(&accepted.stdout).starts_with(head.split(':').next().unwrap()));
    let sql = [
        "UPDATE commits SET body = CAST(replace(CAST(body AS TEXT), '\"actor\":\"p', '\"actor\":\"q') AS BLOB) WHERE position = (SELECT min(position) FROM commits WHERE stream LIKE 'ticket-%' AND position > 60)",
        "DELETE FROM commits WHERE position = (SELECT min(position) FROM commits WHERE stream LIKE 'ticket-%' AND position > 60)",
        "UPDATE commits SET command_id = randomblob(16) WHERE position = (SELECT min(position) FROM commits WHERE stream LIKE 'ticket-%' AND position > 60)",
        "UPDATE commits SET feed_hash = randomblob(32) WHERE position = (SELECT min(position) FROM commits WHERE stream LIKE 'ticket-%' AND position > 60)",
        "DELETE FROM commits WHERE position > (SELECT max(position) - 3 FROM commits)",
    ];
    for attack in sql {
        let attacked = ledger.attacked(|connection| connection.execute(attack, []).unwrap());
        let output = check(&attacked);
        assert!(
            !output.status.success() && text(&output.stdout).contains("FOUND"),
            "{attack}: {}",
            text(&output.stdout)
        );
    }
    let renumbered = ledger.attacked(|connection| {
        connection.execute("DELETE FROM commits WHERE stream = (SELECT stream FROM commits WHERE position = ?1)", [middle(connection)]).unwrap();
        rechain(connection);
    });
    assert!(text(&check(&renumbered).stdout).contains("published"));
}

fn rebuilt_views_equal_the_old_views(ledger: &Ledger) {
    let data = ledger.original.to_str().unwrap();
    let printed = text(&run(&["audit", "rebuild", "--data", data]).stdout);
    assert!(
        printed.contains("ticket: 123 documents, 0 differed"),
        "{printed}"
    );
    assert!(
        printed
            .lines()
            .all(|line| line.ends_with("0 differed from the old view")),
        "{printed}"
    );
    let views = Connection::open(ledger.original.join("views.db")).unwrap();
    views
        .execute(
            "UPDATE documents SET body = CAST('{}' AS BLOB) WHERE view = 'callback' AND key = (SELECT min(key) FROM documents WHERE view = 'callback')",
            [],
        )
        .unwrap();
    views.execute("DELETE FROM documents WHERE view = 'ticket' AND key = (SELECT min(key) FROM documents WHERE view = 'ticket')", []).unwrap();
    drop(views);
    let printed = text(&run(&["audit", "rebuild", "--data", data]).stdout);
    let differing: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains(" 1 differed"))
        .map(|line| line.split(':').next().unwrap_or_default())
        .collect();
    assert_eq!(differing, ["ticket", "callback"], "{printed}");
    let printed = text(&run(&["audit", "rebuild", "ticket", "--data", data]).stdout);
    assert!(
        printed.contains("ticket: 123 documents, 0 differed"),
        "{printed}"
    );
}
