//! Chart: a drawing over the run's time, with its faults and phases behind it and its seconds below.

use crate::axis::{LEFT, RIGHT, WIDTH};
use crate::markup::{esc, put};
use crate::survey::Survey;

/// Height of the seconds below a drawing.
const SECONDS: f64 = 22.0;

/// Space between two rows.
pub(crate) const SPACE: f64 = 6.0;

/// A drawing that grows downwards.
pub(crate) struct Chart<'s, 'a> {
    pub(crate) survey: &'s Survey<'a>,
    /// Where the next row begins.
    pub(crate) y: f64,
    /// What was drawn.
    pub(crate) body: String,
}

impl<'s, 'a> Chart<'s, 'a> {
    /// An empty drawing.
    pub(crate) fn new(survey: &'s Survey<'a>) -> Self {
        Self { survey, y: SPACE, body: String::new() }
    }

    /// Names the row that is so high and begins here.
    pub(crate) fn name(&mut self, name: &str, height: f64) {
        let y = self.y + height / 2.0 + 4.0;
        put!(
            self.body,
            "<text class=\"name\" x=\"{:.0}\" y=\"{y:.1}\">{}</text>",
            LEFT - 10.0,
            esc(crate::markup::cut(name, 20))
        );
    }

    /// Goes on below a row that is so high.
    pub(crate) fn below(&mut self, height: f64) {
        self.y += height + SPACE;
    }

    /// A line across, below which something else begins.
    pub(crate) fn heading(&mut self, text: &str) {
        self.y += SPACE;
        put!(
            self.body,
            "<text class=\"over\" x=\"{LEFT:.0}\" y=\"{:.1}\">{}</text>",
            self.y + 11.0,
            esc(text)
        );
        self.below(14.0);
    }

    /// The drawing, told to those who cannot see it in these words.
    pub(crate) fn draw(self, label: &str) -> String {
        let (height, bottom) = (self.y + SECONDS, self.y);
        let mut out = String::new();
        put!(
            out,
            "<div class=\"wide\"><svg class=\"time\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
             role=\"img\" aria-label=\"{}\" data-left=\"{LEFT:.0}\" data-right=\"{RIGHT:.0}\" \
             data-end=\"{}\">",
            esc(label),
            self.survey.axis.end
        );
        self.background(bottom, &mut out);
        out.push_str(&self.body);
        put!(out, "<line class=\"cursor\" y1=\"0\" y2=\"{bottom:.1}\"/></svg></div>");
        out
    }

    fn background(&self, bottom: f64, out: &mut String) {
        let axis = &self.survey.axis;
        let (mut spans, mut moments) = (String::new(), String::new());
        for fault in self.survey.faults.iter().filter(|fault| fault.may_hurt()) {
            let from = axis.x(fault.from());
            match fault.until {
                Some(until) => {
                    put!(spans, "M{from:.1} 0H{:.1}V{bottom:.1}H{from:.1}Z", axis.x(until))
                }
                None => put!(moments, "M{from:.1} 0V{bottom:.1}"),
            }
        }
        put!(out, "<path class=\"spans\" d=\"{spans}\"/><path class=\"moments\" d=\"{moments}\"/>");
        let mut grid = String::new();
        for time in axis.ticks() {
            let x = axis.x(time);
            put!(grid, "M{x:.1} 0V{bottom:.1}");
            put!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 15.0,
                axis.label(time)
            );
        }
        put!(out, "<path class=\"grid\" d=\"{grid}\"/>");
        let mut phases = String::new();
        for (time, _) in &self.survey.phases {
            put!(phases, "M{:.1} 0V{bottom:.1}", axis.x(*time));
        }
        put!(out, "<path class=\"phases\" d=\"{phases}\"/>");
    }
}

/// Bars of buckets above a line: `value` of `most` at the full height.
pub(crate) fn bars(chart: &mut Chart<'_, '_>, class: &str, values: &[usize], height: f64) {
    let most = values.iter().copied().max().unwrap_or_default();
    let (axis, bottom) = (chart.survey.axis, chart.y + height);
    let width = (axis.width() - 0.6).max(0.6);
    let mut path = String::new();
    for (place, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        // Whatever is there is seen.
        let high = (height * *value as f64 / most as f64).max(1.5);
        let x = axis.x(axis.begins(place));
        let width = width.min(RIGHT - x).max(0.6);
        put!(path, "M{x:.1} {bottom:.1}v-{high:.1}h{width:.1}v{high:.1}Z");
    }
    put!(
        chart.body,
        "<path class=\"{class}\" d=\"{path}\"/><path class=\"base\" d=\"M{LEFT:.0} {bottom:.1}H{RIGHT:.0}\"/>"
    );
}
