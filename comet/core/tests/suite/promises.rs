//! ARCHITECTURE.md names the tests behind each promise, and behind each thing that openraft would do by itself: no
//! file and no test that its tables name may go missing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::document::{has_test, read, root};

/// Where a shortened name may begin, besides beside the file that was named last in its row.
const FOLDERS: [&str; 9] = [
    "",
    "comet/src",
    "comet/tests",
    "jepsen/judge/src/checker",
    "router/core/tests",
    "router/src",
    "router/src/raft",
    "router/tests",
    "router/tests/openraft",
];

#[test]
fn every_test_behind_a_promise_exists() {
    let text = read("ARCHITECTURE.md");
    let (mut named, mut missing) = (0, Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("| ")) {
        // Other tables name no tests; where they name files they do so as prose does.
        if !text.lines().take(number).any(|line| line.starts_with("## Promises")) {
            continue;
        }
        let mut row = Row::default();
        // The first column says what is promised.
        let cells = line.trim_matches('|').split(" | ").skip(1);
        for (quoted, in_brackets) in cells.flat_map(quoted) {
            named += 1;
            if let Err(what) = row.look_up(quoted, in_brackets) {
                missing.push(format!("line {}: {what}, in the row\n  {line}", number + 1));
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md, {}", missing.join("\n"));
    assert!(named > 200, "only {named} names are found");
}

/// What stands between backticks, and whether within brackets: these follow what they are a part of.
fn quoted(cell: &str) -> Vec<(&str, bool)> {
    let mut depth = 0;
    let mut found = Vec::new();
    for (index, piece) in cell.split('`').enumerate() {
        match index % 2 {
            0 => depth += piece.matches('(').count() as i32 - piece.matches(')').count() as i32,
            _ => found.push((piece, depth > 0)),
        }
    }
    found
}

/// One row, read from left to right.
#[derive(Default)]
struct Row {
    /// The file or folder that was named last.
    place: Option<PathBuf>,
}

impl Row {
    /// Finds a file, a folder, a test of the file that was named last, or a file of such a folder.
    fn look_up(&mut self, quoted: &str, in_brackets: bool) -> Result<(), String> {
        let is_path = quoted.contains('/') || quoted.contains('.');
        if quoted.contains(' ') {
            // A command.
            return Ok(());
        }
        if is_path || !in_brackets {
            return self.go_to(quoted);
        }
        let Some(place) = &self.place else {
            return Err(format!("`{quoted}` follows no file"));
        };
        let whole = root().join(place);
        let found = match quoted.rsplit_once("::") {
            Some((module, test)) => names_test(&whole.join(format!("{module}.rs")), test),
            None if whole.is_dir() => holds(&whole, quoted),
            None => names_test(&whole, quoted),
        };
        found.then_some(()).ok_or_else(|| format!("`{quoted}` is not in {}", place.display()))
    }

    /// Finds what is named by a path, which may be shortened, by modules, or by a single word.
    fn go_to(&mut self, quoted: &str) -> Result<(), String> {
        if let Some(found) = self.find(&quoted.replace("::", "/").replace('-', "_")) {
            self.place = Some(found);
            return Ok(());
        }
        if let Some((module, test)) = quoted.rsplit_once("::") {
            let found = self.find(&module.replace("::", "/"));
            let found = found.ok_or_else(|| format!("`{module}` is no file"))?;
            if !names_test(&root().join(&found), test) {
                return Err(format!("`{test}` is not in {}", found.display()));
            }
            self.place = Some(found);
            return Ok(());
        }
        Err(format!("`{quoted}` is no file"))
    }

    /// The path from the root, of a file with or without its ending.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let beside = self.place.as_ref().map(|place| match root().join(place).is_dir() {
            true => place.as_path(),
            false => place.parent().unwrap_or(Path::new("")),
        });
        let folders = beside.into_iter().chain(FOLDERS.iter().map(Path::new));
        let forms = [name.to_owned(), format!("{name}.rs"), format!("{name}.txt")];
        let mut paths = folders.flat_map(|at| forms.each_ref().map(|form| at.join(form)));
        paths.find(|path| root().join(path).exists())
    }
}

/// Whether a folder, or one in it, has a script of this name.
fn holds(folder: &Path, script: &str) -> bool {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    inner.chain([folder.to_owned()]).any(|at| at.join(format!("{script}.txt")).exists())
}

/// Whether a file has such a test, of whose name a part may be left out at either end.
fn names_test(path: &Path, test: &str) -> bool {
    let Ok(source) = fs::read_to_string(path) else { return false };
    match (test.strip_prefix('…'), test.strip_suffix('…')) {
        (None, None) => has_test(&source, test),
        (None, Some(begin)) => source.contains(&format!("fn {begin}")),
        (Some(_), _) => {
            let part = test.trim_matches('…');
            source.split("fn ").skip(1).any(|rest| {
                let name = rest.split('(').next().unwrap_or_default();
                name.contains(part) && (test.ends_with('…') || name.ends_with(part))
            })
        }
    }
}
