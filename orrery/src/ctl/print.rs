//! What a command prints: tables for people, JSON for scripts.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

/// The result of a command in both forms.
pub(super) struct Output {
    text: String,
    json: Value,
}

impl Output {
    pub(super) fn new(text: impl Into<String>, json: impl Serialize) -> Self {
        let json = serde_json::to_value(json).expect("plain structures become JSON");
        Self { text: text.into(), json }
    }

    pub(super) fn json_only(json: Value) -> Self {
        Self { text: String::new(), json }
    }

    /// Writes it to the standard output.
    ///
    /// # Errors
    /// When nobody can read it.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match json {
            true => writeln!(out, "{:#}", self.json)?,
            false => out.write_all(self.text.as_bytes())?,
        }
        out.flush()
    }
}

/// Lines of cells under a head, each column as wide as its widest cell. Cells that are numbers are set to
/// the right.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    let mut numeric = [!rows.is_empty(); N];
    for row in rows {
        for ((width, numeric), cell) in widths.iter_mut().zip(&mut numeric).zip(row) {
            *width = (*width).max(cell.chars().count());
            *numeric &= cell == "-" || cell.chars().all(|c| c.is_ascii_digit());
        }
    }
    let mut text = String::new();
    let head = head.map(str::to_owned);
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for ((cell, width), numeric) in row.iter().zip(widths).zip(numeric) {
            let written = match numeric {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
            written.expect("writing to a string cannot fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Numbers in a row, `-` where there are none.
pub(super) fn list(numbers: &[u64]) -> String {
    match numbers {
        [] => "-".to_owned(),
        numbers => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
    }
}

/// A number, `-` where there is none.
pub(super) fn maybe(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_numbers_right_and_texts_left() {
        let rows = [["1".to_owned(), "ab".to_owned()], ["22".to_owned(), "c".to_owned()]];
        assert_eq!(table(["N", "TEXT"], &rows), " N  TEXT\n 1  ab\n22  c\n");
        assert_eq!(table(["N", "TEXT"], &[]), "N  TEXT\n");
    }
}
