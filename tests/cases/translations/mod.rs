//! These tests compare each guide in Chinese (`docs/NAME.zh-CN.md`) with the guide in English (`docs/NAME.md`).
//! Both must have the same parts in the same order, see [`compare`]. The code blocks are equal, so the commands of
//! the Chinese guide are the commands that the tests in `documents.rs` run. The tests also check the links.

mod compare;

use std::path::Path;

use tests::process::root;

use compare::{Kind, differences, parts};

/// End of the name of a guide in Chinese.
const CHINESE: &str = ".zh-CN.md";
/// Each guide contains the link to the guide in the other language in this number of lines at its beginning.
const FIRST_LINES: usize = 5;

/// Returns the name with which a link refers to a heading.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(*c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Returns a message for each link in a document whose heading or file does not exist. The document is given with its
/// name, and `folder` is its folder.
fn lost_links(name: &str, document: &str, folder: &Path) -> Vec<String> {
    let parts = parts(document);
    let anchors: Vec<String> = parts
        .iter()
        .filter(|part| matches!(part.kind, Kind::Heading(_)))
        .map(|part| anchor(&part.text))
        .collect();
    let mut lost = Vec::new();
    for part in parts.iter().filter(|part| part.kind != Kind::Block) {
        for link in part.text.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            let is_found = if let Some(wanted) = target.strip_prefix('#') {
                anchors.iter().any(|anchor| anchor == wanted)
            } else {
                let file = target.split('#').next().unwrap_or_default();
                target.contains("://") || folder.join(file).exists()
            };
            if !is_found {
                lost.push(format!(
                    "{name}:{}: the link to {target} is wrong",
                    part.line
                ));
            }
        }
    }
    lost
}

/// Each guide in Chinese has a guide in English with the same structure, and both are linked.
#[test]
fn the_guides_in_chinese_have_the_parts_of_the_guides_in_english() {
    let folder = root().join("docs");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            let file = entry.unwrap().file_name().to_string_lossy().into_owned();
            file.strip_suffix(CHINESE).map(str::to_owned)
        })
        .collect();
    names.sort_unstable();
    assert!(
        names.iter().any(|name| name == "notifications"),
        "docs has no guide in Chinese: {names:?}"
    );
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut problems = Vec::new();
    for name in names {
        let files = [format!("{name}.md"), format!("{name}{CHINESE}")];
        let [english, chinese] = files.each_ref().map(|file| {
            let text = std::fs::read_to_string(folder.join(file))
                .unwrap_or_else(|error| panic!("docs/{file}: {error}"));
            (format!("docs/{file}"), text)
        });
        problems.extend(differences(
            (english.0.as_str(), english.1.as_str()),
            (chinese.0.as_str(), chinese.1.as_str()),
        ));
        for ((place, text), other) in [(&english, &files[1]), (&chinese, &files[0])] {
            problems.extend(lost_links(place, text, &folder));
            let link = format!("]({other})");
            if !text
                .lines()
                .take(FIRST_LINES)
                .any(|line| line.contains(&link))
            {
                problems.push(format!(
                    "{place}: the first {FIRST_LINES} lines do not contain a link to {other}"
                ));
            }
            if !readme.contains(&format!("({place})")) {
                problems.push(format!("README.md contains no link to {place}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_link_to_an_unknown_heading_or_file_is_reported() {
    let document = "# 备用渠道、暂停与停用\n\n[a](#备用渠道暂停与停用) [b](#none) [c](https://example.com/)\n\n\
        ## Import from `X` and Y\n\n[d](#import-from-x-and-y) [e](none.md#part) [f](notifications.md#part)\n";
    assert_eq!(
        lost_links("c.md", document, &root().join("docs")),
        [
            "c.md:3: the link to #none is wrong",
            "c.md:7: the link to none.md#part is wrong",
        ]
    );
}
