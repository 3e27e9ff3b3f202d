//! These tests use the pages of the console in Debian's chromium. The script `tests/console/story.py` opens
//! the pages as several people at the same time, checks each page, and stores pictures of the pages in
//! `target/console/screenshots`.

use std::process::Command;

use tests::process::{Served, root, text};

/// Runs all scenarios of the script in one language, on a desk with the demo company.
fn pages_work(language: &str) {
    let status = Command::new(root().join("tests/console/install"))
        .status()
        .expect("the installation runs");
    assert!(status.success(), "the browser is installed");
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let tools = root().join("target/console");
    let output = Command::new(tools.join("python/bin/python"))
        .arg(root().join("tests/console/story.py"))
        .args([&desk.base, desk.password()])
        .arg(tools.join("screenshots"))
        .arg(language)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the script runs");
    let printed = text(&output.stdout);
    println!("{printed}");
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    assert!(
        printed.trim_end().ends_with(" 0 problems"),
        "the last line is the result: {printed}"
    );
}

#[test]
fn pages_work_in_a_browser_in_chinese() {
    pages_work("zh-CN");
}

#[test]
fn pages_work_in_a_browser_in_english() {
    pages_work("en");
}
