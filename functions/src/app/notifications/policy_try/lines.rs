//! Writes the report about a trial as lines of text for the command line.

use super::report::{Changed, Counts, Pair, Report};

/// Returns the report as lines of English text.
pub fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!("period: after {} until {}", report.from, report.to),
        format!("notifications: {}", report.notifications),
    ];
    if report.imported_rows > 0 {
        lines.push(format!(
            "imported rows: {}, without people: {}",
            report.imported_rows, report.imported_rows_without_people
        ));
    }
    lines.push(table_line(
        "",
        [
            "immediate",
            "batched",
            "digest",
            "held",
            "dropped",
            "messages",
        ]
        .map(str::to_owned),
    ));
    lines.push(figures_line("total", &report.total));
    for (title, rows) in [
        ("categories", &report.categories),
        ("channels", &report.channels),
        ("bands", &report.bands),
        ("people with the largest changes", &report.people),
        ("people with the most messages", &report.loudest),
    ] {
        if !rows.is_empty() {
            lines.push(format!("{title}:"));
        }
        let rows = rows.iter();
        lines.extend(rows.map(|row| figures_line(&format!("  {}", row.name), &row.figures)));
    }
    lines.push(format!("people with changes: {}", report.people_changed));
    for (title, people) in [
        ("people who get no messages any more", &report.newly_silent),
        ("people who newly get messages", &report.newly_reached),
    ] {
        let more = if people.count > people.first.len() as u64 {
            ", ..."
        } else {
            ""
        };
        let names = people.first.join(", ");
        let line = format!("{title}: {} {names}{more}", people.count);
        lines.push(line.trim_end().to_owned());
    }
    for change in &report.changes {
        let Changed {
            before,
            after,
            count,
            examples,
        } = change;
        lines.push(format!("{before} -> {after}: {count}"));
        for one in examples {
            lines.push(format!(
                "  {} {} {}, {} through {}",
                one.at, one.ticket, one.fact, one.person, one.account
            ));
            lines.push(format!("    before: {}", one.before));
            lines.push(format!("    after: {}", one.after));
        }
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// Returns a line with the numbers before and after the change.
fn figures_line(name: &str, pair: &Pair) -> String {
    let of = |counts: Counts| {
        [
            counts.immediate,
            counts.batched,
            counts.digest,
            counts.held,
            counts.dropped,
            counts.messages,
        ]
    };
    let (before, after) = (of(pair.before), of(pair.after));
    let cell = |at: usize| {
        if before[at] == after[at] {
            before[at].to_string()
        } else {
            format!("{} -> {}", before[at], after[at])
        }
    };
    table_line(name, [0, 1, 2, 3, 4, 5].map(cell))
}

fn table_line(name: &str, cells: [String; 6]) -> String {
    let cells = cells.map(|cell| format!("{cell:>18}"));
    format!("{name:<32}{}", cells.concat())
}
