//! Head: which run this is, how it ended, and how to do it again.

use std::collections::BTreeSet;

use judge::checker::Judged;
use judge::history::{FaultOutcome, HarnessFailure, Op};
use judge::verdict::Verdict;

use crate::calls::Ended;
use crate::facts::RunFacts;
use crate::figures::{count, length, some};
use crate::markup::{esc, put};
use crate::survey::Survey;

/// How a run ended, as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Holds,
    Violated,
    Unknown,
    Harness,
}

impl Ending {
    /// What the verdicts come to.
    pub(crate) fn of(survey: &Survey<'_>, judged: &[Judged]) -> Self {
        let any =
            |is: fn(&Verdict) -> bool| judged.iter().any(|j| j.verdict.as_ref().is_some_and(is));
        if any(Verdict::is_violated) {
            Self::Violated
        } else if survey.broken.is_some() || harness_failure(survey).is_some() {
            Self::Harness
        } else if any(|verdict| !verdict.passes()) || judged.iter().all(|j| j.verdict.is_none()) {
            Self::Unknown
        } else {
            Self::Holds
        }
    }

    /// In a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Unknown => "unknown",
            Self::Harness => "harness failure",
        }
    }

    /// Its sign, which no colour needs to explain.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Holds => "✓",
            Self::Violated => "✕",
            Self::Unknown => "?",
            Self::Harness => "!",
        }
    }

    /// Its class in the style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Unknown | Self::Harness => "unknown",
        }
    }
}

fn harness_failure<'a>(survey: &Survey<'a>) -> Option<&'a HarnessFailure> {
    survey.events.iter().find_map(|event| match &event.op {
        Op::HarnessFailure(failure) => Some(failure),
        _ => None,
    })
}

/// Draws the head.
pub(crate) fn draw(run: &RunFacts, survey: &Survey<'_>, judged: &[Judged], out: &mut String) {
    let ending = Ending::of(survey, judged);
    put!(
        out,
        "<header><p class=\"eyebrow\">Orrery, broken on purpose{}{}</p>\
         <h1><span class=\"verdict {}\"><span class=\"sign\" aria-hidden=\"true\">{}</span>{}</span> {}</h1>\
         <p class=\"lead\">{}</p>",
        if run.world.is_empty() { "" } else { " · " },
        esc(&run.world),
        ending.class(),
        ending.sign(),
        ending.word(),
        esc(&run.name),
        esc(summary(survey, judged, ending)),
    );
    if !run.replay.is_empty() {
        put!(
            out,
            "<p class=\"label\" id=\"again\">Run it again</p>\
             <div class=\"command\"><pre><code>{}</code></pre>\
             <button type=\"button\" class=\"copy\" hidden>Copy</button></div>",
            esc(&run.replay)
        );
    }
    figures(run, survey, out);
    out.push_str("</header>");
}

fn summary(survey: &Survey<'_>, judged: &[Judged], ending: Ending) -> String {
    let names = |is: fn(&Verdict) -> bool| {
        let those = judged.iter().filter(|j| j.verdict.as_ref().is_some_and(is));
        those.map(|j| j.property.name).collect::<Vec<_>>()
    };
    let told = judged.iter().filter(|j| j.verdict.is_some()).count();
    match ending {
        Ending::Holds => format!(
            "All {} hold of which this history says anything.",
            some(told, "property").replace("propertys", "properties")
        ),
        Ending::Violated => {
            let violated = names(Verdict::is_violated);
            let (are, of) = (if violated.len() == 1 { "is" } else { "are" }, violated.len());
            format!("{of} of {told} properties {are} violated: {}.", violated.join(", "))
        }
        Ending::Unknown => {
            let unknown = names(|verdict| matches!(verdict, Verdict::Unknown(_)));
            match unknown.is_empty() {
                true => {
                    "The history says nothing of any property. This is never a pass.".to_owned()
                }
                false => format!("No verdict on {}. This is never a pass.", unknown.join(", ")),
            }
        }
        Ending::Harness => {
            let failure = harness_failure(survey).map(|failure| failure.text.clone());
            let why = failure.or_else(|| survey.broken.clone()).unwrap_or_default();
            format!("The harness could not do its work, which says nothing of the system: {why}.")
        }
    }
}

fn figures(run: &RunFacts, survey: &Survey<'_>, out: &mut String) {
    let mut ended = Ended::default();
    survey.operations.iter().for_each(|operation| ended.add(operation.kind()));
    let outcome = |of| survey.faults.iter().filter(|span| span.fault.outcome == Some(of)).count();
    let keys: BTreeSet<&str> = survey.operations.iter().filter_map(|one| one.key()).collect();
    let shards: BTreeSet<u32> = survey.operations.iter().filter_map(|one| one.shard()).collect();
    let span = survey.events.last().map_or(0, |last| last.time);
    out.push_str("<dl class=\"figures\">");
    let mut figure = |name: &str, value: String, more: String| {
        put!(out, "<div><dt>{name}</dt><dd>{}", esc(value));
        if !more.is_empty() {
            put!(out, " <small>{}</small>", esc(more));
        }
        out.push_str("</dd></div>");
    };
    if let Some(seed) = run.seed {
        figure("Seed", seed.to_string(), String::new());
    }
    figure("Length", length(span), String::new());
    figure(
        "Operations ok",
        count(ended.ok),
        format!("{} failed, {} unknown", count(ended.fail), count(ended.info)),
    );
    figure(
        "Faults installed",
        count(outcome(FaultOutcome::Installed)),
        [("skipped", FaultOutcome::Skipped), ("indeterminate", FaultOutcome::Indeterminate)]
            .into_iter()
            .filter(|(_, of)| outcome(*of) > 0)
            .map(|(word, of)| format!("{} {word}", outcome(of)))
            .collect::<Vec<_>>()
            .join(", "),
    );
    figure("Addresses", count(keys.len()), format!("on {}", some(shards.len(), "shard")));
    figure("Events", count(survey.events.len()), String::new());
    out.push_str("</dl>");
}
