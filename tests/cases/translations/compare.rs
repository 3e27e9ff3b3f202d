//! Compares two Markdown documents that have the same content in two languages. A heading must have the same level. A
//! code block must have the same bytes. A heading, a table row and a paragraph must contain the same code (`…`) and
//! the same numbers in digits; in a table row, each cell is compared.

/// Maximum number of characters of a part that a message shows.
const SHOWN: usize = 70;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A heading with this number of `#`.
    Heading(usize),
    /// A fenced code block with its fences.
    Block,
    Row,
    /// A paragraph or an item of a list.
    Text,
}

/// One part of a Markdown document.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Line number of the first line of the part. The first line of the document has number 1.
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// What a part must have in common with the same part of the other document: its kind, and for each cell (other
/// parts than rows have one cell) the code and the numbers in alphabetical order. For a block: all its lines.
type Key = (Kind, Vec<Vec<String>>);

/// Returns the parts of a Markdown document in the order of the document.
pub(super) fn parts(document: &str) -> Vec<Part> {
    let mut found: Vec<Part> = Vec::new();
    let (mut is_in_block, mut is_in_text) = (false, false);
    for (at, line) in document.split('\n').enumerate() {
        let trimmed = line.trim();
        let level = line.chars().take_while(|c| *c == '#').count();
        let kind = if trimmed.starts_with("```") {
            Kind::Block
        } else if level > 0 {
            Kind::Heading(level)
        } else if trimmed.starts_with('|') {
            Kind::Row
        } else {
            Kind::Text
        };
        let is_more_text =
            is_in_text && kind == Kind::Text && !trimmed.is_empty() && !trimmed.starts_with("- ");
        match found.last_mut().filter(|_| is_in_block || is_more_text) {
            Some(part) => {
                part.text.push('\n');
                part.text.push_str(line);
            }
            None if trimmed.is_empty() => {}
            None => found.push(Part {
                line: at + 1,
                kind,
                text: line.to_owned(),
            }),
        }
        is_in_block = if is_in_block {
            trimmed != "```"
        } else {
            kind == Kind::Block
        };
        is_in_text = !is_in_block && kind == Kind::Text && !trimmed.is_empty();
    }
    found
}

/// Returns the cells of a table row. A `|` in code does not separate cells.
fn cells(row: &str) -> Vec<String> {
    let (mut found, mut cell, mut is_code) = (Vec::new(), String::new(), false);
    for c in row.trim().chars() {
        is_code ^= c == '`';
        if c == '|' && !is_code {
            found.push(std::mem::take(&mut cell));
        } else {
            cell.push(c);
        }
    }
    found.push(cell);
    found
}

/// Returns the code and the numbers in a text, in alphabetical order. Code is in backticks. A number begins and ends
/// with a digit and can contain dots, commas and colons, such as `1,000` and `09:00`.
fn marks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, piece) in text.split('`').enumerate() {
        if at % 2 == 1 {
            let words: Vec<&str> = piece.split_whitespace().collect();
            found.push(format!("`{}`", words.join(" ")));
            continue;
        }
        for run in piece.split(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | ':')) {
            let number = run.trim_matches(|c: char| !c.is_ascii_digit());
            if !number.is_empty() {
                found.push(number.to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

fn key(part: &Part) -> Key {
    let cells = match part.kind {
        Kind::Block => vec![part.text.split('\n').map(str::to_owned).collect()],
        Kind::Row => cells(&part.text).iter().map(|cell| marks(cell)).collect(),
        Kind::Heading(_) | Kind::Text => vec![marks(&part.text)],
    };
    (part.kind, cells)
}

/// Names a part in a message: its kind and the beginning of its first line.
fn named(part: &Part) -> String {
    let kind = match part.kind {
        Kind::Heading(_) => "heading",
        Kind::Block => "code block",
        Kind::Row => "table row",
        Kind::Text => "text",
    };
    // The first line of a code block has only the language.
    let mut lines = part.text.split('\n');
    let mut first = lines.next().unwrap_or_default().to_owned();
    if part.kind == Kind::Block {
        first.push(' ');
        first.push_str(lines.next().unwrap_or_default());
    }
    let mut shown: String = first.chars().take(SHOWN).collect();
    if first.chars().count() > SHOWN {
        shown.push('…');
    }
    format!("the {kind} \"{shown}\"")
}

/// Returns the entries of `these` that `those` does not contain. An entry that is twice in `these` and once in `those`
/// is returned once.
fn only(these: &[Vec<String>], those: &[Vec<String>]) -> Vec<String> {
    let mut rest = those.concat();
    let mut found = Vec::new();
    for mark in these.concat() {
        if let Some(at) = rest.iter().position(|other| *other == mark) {
            rest.remove(at);
        } else {
            found.push(mark);
        }
    }
    found
}

/// One of the two documents.
struct Guide<'a> {
    name: &'a str,
    parts: Vec<Part>,
    keys: Vec<Key>,
}

impl<'a> Guide<'a> {
    fn new(name: &'a str, document: &str) -> Self {
        let parts = parts(document);
        let keys = parts.iter().map(key).collect();
        Self { name, parts, keys }
    }

    /// The message about a part that the other document does not have. The other document should have it after
    /// the first `before` of its parts.
    fn missing(&self, at: usize, other: &Self, before: usize) -> String {
        let part = &self.parts[at];
        let after = before.checked_sub(1).map_or(0, |at| other.parts[at].line);
        format!(
            "{}:{}: {} is not in {}, where it belongs after the part at line {after}",
            self.name,
            part.line,
            named(part),
            other.name
        )
    }

    /// The message about a part that is different in the other document.
    fn different(&self, at: usize, other: &Self, there: usize) -> String {
        let (left, right) = (&self.keys[at].1, &other.keys[there].1);
        let (first, second) = (only(left, right), only(right, left));
        let difference = if first.is_empty() && second.is_empty() {
            "the same code and numbers have another order".to_owned()
        } else {
            format!("only the first has {first:?}, only the second has {second:?}")
        };
        format!(
            "{}:{}: {} differs from {}:{}: {difference}",
            self.name,
            self.parts[at].line,
            named(&self.parts[at]),
            other.name,
            other.parts[there].line
        )
    }
}

/// Returns a message for each part that only one of two documents has, or that is different in them. Each document
/// is given with its name. The comparison uses the longest common sequence of parts.
pub(super) fn differences(english: (&str, &str), chinese: (&str, &str)) -> Vec<String> {
    let (left, right) = (
        Guide::new(english.0, english.1),
        Guide::new(chinese.0, chinese.1),
    );
    let (rows, columns) = (left.keys.len(), right.keys.len());
    // Parts with equal keys count more if their next parts are equal too. Many headings have equal keys, and the next
    // part shows which of them belong together.
    let score = |a: usize, b: usize| {
        let is_next_equal =
            a + 1 < rows && b + 1 < columns && left.keys[a + 1] == right.keys[b + 1];
        2 + usize::from(is_next_equal)
    };
    // The best score for the parts from `a` and from `b` to the ends of the documents.
    let mut best = vec![vec![0_usize; columns + 1]; rows + 1];
    for a in (0..rows).rev() {
        for b in (0..columns).rev() {
            let mut highest = best[a + 1][b].max(best[a][b + 1]);
            if left.keys[a] == right.keys[b] {
                highest = highest.max(best[a + 1][b + 1] + score(a, b));
            }
            best[a][b] = highest;
        }
    }
    let mut messages = Vec::new();
    let (mut a, mut b) = (0, 0);
    // The first parts after the last equal parts.
    let (mut from_a, mut from_b) = (0, 0);
    loop {
        let is_end = a == rows && b == columns;
        let is_equal = a < rows
            && b < columns
            && left.keys[a] == right.keys[b]
            && best[a][b] == best[a + 1][b + 1] + score(a, b);
        if is_end || is_equal {
            messages.extend(unequal(&left, from_a..a, &right, from_b..b));
        }
        if is_end {
            return messages;
        }
        if is_equal {
            (a, b) = (a + 1, b + 1);
            (from_a, from_b) = (a, b);
        } else if b == columns || (a < rows && best[a][b] == best[a + 1][b]) {
            a += 1;
        } else {
            b += 1;
        }
    }
}

/// Returns the messages about unequal parts between two equal parts. Parts of the same kinds in the same order are
/// reported as different, all others as missing in the other document.
fn unequal(
    left: &Guide<'_>,
    these: std::ops::Range<usize>,
    right: &Guide<'_>,
    those: std::ops::Range<usize>,
) -> Vec<String> {
    let have_same_kinds = these.len() == those.len()
        && these
            .clone()
            .zip(those.clone())
            .all(|(a, b)| left.parts[a].kind == right.parts[b].kind);
    if have_same_kinds {
        return these
            .zip(those)
            .map(|(a, b)| left.different(a, right, b))
            .collect();
    }
    let missing_right = these.clone().map(|a| left.missing(a, right, those.start));
    let missing_left = those.clone().map(|b| right.missing(b, left, these.start));
    missing_right.chain(missing_left).collect()
}

/// A guide in English and the same guide in Chinese, for the tests of the comparison.
const ENGLISH: &str = "# Guide\n\nAfter 5 minutes, `serve` ends.\nIt says `done`.\n\n## First\n\nA text.\n\n\
    ## Second\n\n```sh run\n# not a heading\necho 1\n```\n\n| member | meaning |\n| --- | --- |\n\
    | `a|b` | one of 1,000 |\n| `c` | `d` |\n\n- an item\n- `e`\n";
const IN_CHINESE: &str = "# 指南\n\n`serve` 在 5 分钟后结束，并显示 `done`。\n\n## 第一节\n\n正文。\n\n\
    ## 第二节\n\n```sh run\n# not a heading\necho 1\n```\n\n| 成员 | 含义 |\n| --- | --- |\n\
    | `a|b` | 1,000 个之一 |\n| `c` | `d` |\n\n- 一项\n- `e`\n";

fn compared(chinese: &str) -> Vec<String> {
    differences(("e.md", ENGLISH), ("c.md", chinese))
}

#[test]
fn a_translation_with_the_same_parts_has_no_differences() {
    assert_eq!(compared(IN_CHINESE), [""; 0]);
    assert_eq!(parts(ENGLISH).len(), 12);
}

#[test]
fn the_message_names_a_missing_heading_block_or_row() {
    for (removed, message) in [
        (
            "## 第一节\n\n正文。\n\n",
            "e.md:6: the heading \"## First\" is not in c.md, where it belongs after the part at line 3",
        ),
        (
            "## 第二节\n\n",
            "e.md:10: the heading \"## Second\" is not in c.md, where it belongs after the part at line 7",
        ),
        (
            "```sh run\n# not a heading\necho 1\n```\n\n",
            "e.md:12: the code block \"```sh run # not a heading\" is not in c.md, where it belongs after the part at line 9",
        ),
        (
            "| `c` | `d` |\n",
            "e.md:20: the table row \"| `c` | `d` |\" is not in c.md, where it belongs after the part at line 18",
        ),
    ] {
        let chinese = IN_CHINESE.replacen(removed, "", 1);
        assert_ne!(chinese, IN_CHINESE, "{removed}");
        let messages = compared(&chinese);
        assert_eq!(messages.first().map(String::as_str), Some(message));
    }
    // A part that only the Chinese text has.
    let messages = compared(&format!("{IN_CHINESE}\n## 第三节\n"));
    assert_eq!(
        messages,
        [
            "c.md:24: the heading \"## 第三节\" is not in e.md, where it belongs after the part at line 23"
        ]
    );
}

#[test]
fn the_message_names_the_difference_of_a_changed_part() {
    for (old, new, message) in [
        (
            "## 第二节",
            "### 第二节",
            "e.md:10: the heading \"## Second\" is not in c.md",
        ),
        (
            "echo 1",
            "echo 2",
            "e.md:12: the code block \"```sh run # not a heading\" differs from c.md:11: \
             only the first has [\"echo 1\"], only the second has [\"echo 2\"]",
        ),
        (
            "```sh run",
            "```sh",
            "e.md:12: the code block \"```sh run # not a heading\" differs from c.md:11",
        ),
        (
            "| `c` |",
            "| `x` |",
            "e.md:20: the table row \"| `c` | `d` |\" differs from c.md:19: \
             only the first has [\"`c`\"], only the second has [\"`x`\"]",
        ),
        (
            "| `c` | `d` |",
            "| `d` | `c` |",
            "e.md:20: the table row \"| `c` | `d` |\" differs from c.md:19: \
             the same code and numbers have another order",
        ),
        (
            "1,000 个",
            "1,001 个",
            "only the first has [\"1,000\"], only the second has [\"1,001\"]",
        ),
        (
            "5 分钟",
            "6 分钟",
            "e.md:3: the text \"After 5 minutes, `serve` ends.\" differs from c.md:3: \
             only the first has [\"5\"], only the second has [\"6\"]",
        ),
        (
            "- `e`",
            "- e",
            "e.md:23: the text \"- `e`\" differs from c.md:22: only the first has [\"`e`\"], only the second has []",
        ),
    ] {
        let chinese = IN_CHINESE.replacen(old, new, 1);
        assert_ne!(chinese, IN_CHINESE, "{old}");
        let messages = compared(&chinese);
        assert!(
            messages.iter().any(|found| found.contains(message)),
            "{message}\n{messages:?}"
        );
    }
}
