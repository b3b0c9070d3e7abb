//! Scripts: blocks of commands, a line `---`, and the answers up to the next empty line.

pub(crate) mod control;
pub(crate) mod lease;
pub(crate) mod registry;
pub(crate) mod words;

use std::fs;
use std::path::{Path, PathBuf};

use self::words::Words;

/// What a script's commands act upon.
pub(crate) trait Stage {
    /// Carries out one command and says what came of it, one line or several.
    fn run(&mut self, words: &mut Words<'_>) -> String;
}

/// Runs every script of a folder, each on its own stage.
pub(crate) fn run_folder<S: Stage>(folder: &str, stage: impl Fn() -> S) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder);
    let mut scripts: Vec<PathBuf> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", path.display());
    let record = std::env::var_os("ORRERY_RECORD").is_some();
    let mut failed = Vec::new();
    for script in scripts {
        let recorded = fs::read_to_string(&script).unwrap();
        let answered = run(&script, &recorded, &mut stage());
        if record {
            fs::write(&script, answered).unwrap();
        } else if answered != recorded {
            failed.push(format!("{}\n{}", script.display(), difference(&recorded, &answered)));
        }
    }
    assert!(failed.is_empty(), "answers differ from the recorded ones:\n{}", failed.join("\n"));
}

/// The script with the answers that the stage gives now.
fn run(path: &Path, text: &str, stage: &mut impl Stage) -> String {
    let mut answered = String::new();
    let mut in_answers = false;
    let mut answers: Vec<String> = Vec::new();
    for (number, line) in text.lines().chain([""]).enumerate() {
        if in_answers && !line.trim().is_empty() {
            continue;
        }
        if line.trim().is_empty() {
            if in_answers {
                answers.iter().for_each(|answer| push_line(&mut answered, answer));
            }
            assert!(
                in_answers || answers.is_empty(),
                "{}: no --- before line {number}",
                path.display()
            );
            in_answers = false;
            answers.clear();
            push_line(&mut answered, "");
            continue;
        }
        push_line(&mut answered, line);
        if line == "---" {
            in_answers = true;
        } else if !line.starts_with('#') {
            let place = format!("{}:{}", path.display(), number + 1);
            let mut words = Words::new(line, &place);
            let answer = stage.run(&mut words);
            words.finish();
            answers.extend(answer.lines().map(str::to_owned));
        }
    }
    format!("{}\n", answered.trim_end())
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn difference(recorded: &str, answered: &str) -> String {
    let mut recorded = recorded.lines();
    let mut lines = Vec::new();
    for (number, now) in answered.lines().enumerate() {
        let before = recorded.next().unwrap_or("(nothing)");
        if before != now {
            lines.push(format!("  line {}: recorded {before:?}, now {now:?}", number + 1));
        }
    }
    lines.join("\n")
}
