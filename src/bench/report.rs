//! The figures for people and for programs: a table, and `summary.json`. Owns how they look.

use super::figure::Figure;
use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

/// The name of the file that other programs read.
const SUMMARY: &str = "summary.json";
/// Columns that hold numbers.
const NUMBERS: [usize; 3] = [1, 3, 4];

/// Prints the table, and below it what the ceilings are.
pub(super) fn print(figures: &[Figure], notes: &[String]) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["figure", "value", "unit", "ceiling", "ratio", "must", "met"]);
    let colours = io::stdout().is_terminal();
    for figure in figures {
        let met = match figure.met {
            Some(true) => Cell::new("met"),
            Some(false) => Cell::new("NOT MET"),
            None => Cell::new(""),
        };
        let met = match figure.met {
            Some(is_met) if colours => met.fg(if is_met { Color::Green } else { Color::Red }),
            _ => met,
        };
        table.add_row([
            Cell::new(&figure.name),
            Cell::new(shown(figure.value)),
            Cell::new(figure.unit),
            Cell::new(figure.ceiling.map_or_else(String::new, shown)),
            Cell::new(figure.ratio.map_or_else(String::new, shown)),
            Cell::new(figure.must.as_deref().unwrap_or_default()),
            met,
        ]);
    }
    for number in NUMBERS {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{table}")?;
    if notes.is_empty() {
        return out.flush();
    }
    writeln!(out)?;
    writeln!(
        out,
        "A ratio is value by ceiling. Ceilings, measured in turns with the figures:"
    )?;
    for note in notes {
        writeln!(out, "  {note}")?;
    }
    out.flush()
}

/// Prints what the file holds.
pub(super) fn print_json(figures: &[Figure]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, figures)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Writes `summary.json` into `dir`.
pub(super) fn write(figures: &[Figure], dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(SUMMARY);
    let mut text = serde_json::to_vec_pretty(figures)?;
    text.push(b'\n');
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Three significant digits where there are as few, thousands apart where there are many.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        at_least if at_least >= 100.0 => 0,
        at_least if at_least >= 10.0 => 1,
        at_least if at_least >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && digit.is_ascii_digit() && (whole.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() {
        grouped
    } else {
        format!("{grouped}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_worth_reading() {
        for (value, text) in [
            (0.0421, "0.042"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1 234"),
            (98_765.0, "98 765"),
            (1_234_567.0, "1 234 567"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn the_summary_is_a_list() {
        let dir = tempfile::tempdir().unwrap();
        write(&[Figure::new("a", 1.0, "ms")], dir.path()).unwrap();
        let text = std::fs::read(dir.path().join(SUMMARY)).unwrap();
        let list: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(list[0]["figure"], "a");
    }
}
