//! This test checks the script that packs the program of the cloud functions.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tests::process::root;

/// The script overwrites the tables for unwinding, and changes nothing else. The packed program starts.
#[test]
fn a_packed_program_differs_only_in_its_unwind_tables_and_starts() {
    let directory = tempfile::tempdir().expect("a directory");
    let (source, packed) = ("/bin/true", directory.path().join("packed.zip"));
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .expect("a program");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), error)
    };
    let python = root().join("target/python/bin/python");
    let python = python.to_str().expect("a path");
    let script = root().join("infra/deploy/pack.py");
    let script = script.to_str().expect("a path");
    let zip = packed.to_str().expect("a path");
    assert_eq!(run(python, &[script, source, zip]), (true, String::new()));
    assert_eq!(
        run("python3", &["-m", "zipfile", "-e", zip, "."]),
        (true, String::new())
    );
    let unpacked = directory.path().join("bootstrap");
    let (before, after) = (
        std::fs::read(source).expect("readable"),
        std::fs::read(&unpacked).expect("readable"),
    );
    assert_eq!(before.len(), after.len());
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b);
    let changed: Vec<(&u8, &u8)> = changed.collect();
    assert!(
        changed.len() > 500 && changed.iter().all(|(_, new)| **new == 0),
        "{} bytes changed",
        changed.len()
    );
    std::fs::set_permissions(&unpacked, std::fs::Permissions::from_mode(0o755)).expect("set");
    assert_eq!(
        run(unpacked.to_str().expect("a path"), &[]),
        (true, String::new())
    );
    // A file that is no program is rejected, and no package is left.
    std::fs::remove_file(&packed).expect("removed");
    let (is_packed, error) = run(python, &[script, script, zip]);
    assert!(!is_packed && error.contains("ELF"), "{error}");
    assert!(!packed.exists());
}
