//! What a command prints: tables for people, JSON for scripts.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use orrery_model::ShardId;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::CtlError;

/// The result of a command in both forms.
pub(super) struct Output {
    text: String,
    json: Value,
    failure: Option<CtlError>,
}

impl Output {
    pub(super) fn new(text: impl Into<String>, json: impl Serialize) -> Self {
        let json = serde_json::to_value(json).expect("plain structures become JSON");
        Self { text: text.into(), json, failure: None }
    }

    /// Nothing but why it failed.
    pub(super) fn failure(error: CtlError) -> Self {
        Self { text: String::new(), json: json!({}), failure: None }.failed(error)
    }

    /// What was done until something failed.
    pub(super) fn failed(mut self, error: CtlError) -> Self {
        self.json["error"] = one_line(&error).into();
        self.json["exit_code"] = error.code().into();
        self.failure = Some(error);
        self
    }

    /// Prints it, and what failed; returns what the process ends with.
    pub(super) fn end(self, json: bool) -> ExitCode {
        let printed = self.print(json).err().map(CtlError::from);
        // Whoever reads neither stream has the exit code.
        match self.failure.or(printed) {
            None => ExitCode::SUCCESS,
            Some(error) => {
                eprintln!("orrery: {}", one_line(&error));
                error.exit_code()
            }
        }
    }

    /// Writes it to the standard output.
    ///
    /// # Errors
    /// When nobody can read it.
    fn print(&self, json: bool) -> io::Result<()> {
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
            *numeric &=
                cell == "-" || cell == "control" || cell.chars().all(|c| c.is_ascii_digit());
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

fn one_line(error: &CtlError) -> String {
    error.to_string().replace('\n', " ")
}

/// How people call a shard.
pub(super) fn shard_name(shard: ShardId) -> String {
    match shard {
        ShardId::CONTROL => "control".to_owned(),
        shard => shard.to_string(),
    }
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
