//! The price of a code over time, drawn as steps in SVG with the table beneath it. Whole numbers only: a place on the
//! picture is a pixel, the exact price stands in the table and in each step's title.

use crate::decks::{Stretch, TimelineView};
use maud::{Markup, html};

const WIDTH: i128 = 1_000;
const HEIGHT: i128 = 220;
/// Room for the words at the left and below.
const LEFT: i128 = 112;
const BELOW: i128 = 32;
const ABOVE: i128 = 10;
/// Stretches that are drawn; the table has them all.
const DRAWN_MAX: usize = 2_000;
/// What is shown before the first and after the last change, in parts of the whole.
const MARGIN_PARTS: i128 = 20;
const DAY: i128 = 86_400_000_000;

/// The span of time that is drawn.
struct Span {
    from: i128,
    until: i128,
}

impl Span {
    /// All changes and the instant asked for, with some room.
    fn of(view: &TimelineView) -> Self {
        let ends = view.stretches.iter().flat_map(|stretch| [stretch.from, stretch.until]).flatten();
        let instants = ends.chain([view.at_micros]).map(i128::from);
        let (from, until) = instants.fold((i128::MAX, i128::MIN), |(a, b), at| (a.min(at), b.max(at)));
        let room = ((until - from) / MARGIN_PARTS).max(DAY);
        Self { from: from - room, until: until + room }
    }

    fn x(&self, at: Option<i64>, open: i128) -> i128 {
        let at = at.map_or(open, i128::from).clamp(self.from, self.until);
        LEFT + (at - self.from) * (WIDTH - LEFT) / (self.until - self.from)
    }
}

/// The picture; nothing where there is no price to draw.
pub fn drawn(view: &TimelineView) -> Markup {
    let Some(most) = view.stretches.iter().filter_map(|stretch| stretch.rate).max().filter(|most| *most > 0) else {
        return html! {};
    };
    let span = Span::of(view);
    let ceiling = i128::from(most) * 11 / 10;
    let y = |rate: i64| ABOVE + (HEIGHT - ABOVE) - i128::from(rate).max(0) * (HEIGHT - ABOVE) / ceiling;
    let shown = &view.stretches[view.stretches.len().saturating_sub(DRAWN_MAX)..];
    let now = span.x(Some(view.at_micros), span.until);
    html! {
        figure.timeline {
            figcaption { "Price a minute of the next interval, " (view.currency) ". The line across is " (view.at) "." }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT + BELOW) } role="img" aria-label={ "Price of " (view.code) " over time" } {
                @for part in [0, 1, 2] {
                    @let rate = i64::try_from(i128::from(most) * part / 2).unwrap_or(most);
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(y(rate)) y2=(y(rate)) {}
                    text.axis x=(LEFT - 6) y=(y(rate) + 4) text-anchor="end" { (price(rate)) }
                }
                path.steps d=(path(shown, &span, &y)) {}
                @for stretch in shown { (hover(stretch, &span, &y)) }
                line.now x1=(now) x2=(now) y1=(ABOVE) y2=(HEIGHT) {}
                @for part in [0i128, 1, 2, 3] {
                    @let at = span.from + (span.until - span.from) * part / 3;
                    text.axis x=(LEFT + (WIDTH - LEFT) * part / 3) y=(HEIGHT + 24) text-anchor=(["start", "middle", "middle", "end"][part as usize]) { (day(at)) }
                }
            }
        }
    }
}

/// The steps as one line; a stretch without a price is a gap.
fn path(stretches: &[Stretch], span: &Span, y: &dyn Fn(i64) -> i128) -> String {
    let (mut path, mut pen) = (String::new(), false);
    for stretch in stretches {
        let Some(rate) = stretch.rate else {
            pen = false;
            continue;
        };
        let (from, until) = (span.x(stretch.from, span.from), span.x(stretch.until, span.until));
        path.push_str(&format!("{}{from} {}H{until}", if pen { "L" } else { "M" }, y(rate)));
        pen = true;
    }
    path
}

/// What a step says under the pointer.
fn hover(stretch: &Stretch, span: &Span, y: &dyn Fn(i64) -> i128) -> Markup {
    let Some(rate) = stretch.rate else { return html! {} };
    let (from, until) = (span.x(stretch.from, span.from), span.x(stretch.until, span.until));
    let words = |at: Option<i64>, none: &str| at.map_or_else(|| none.to_owned(), facts::time::rfc3339);
    html! {
        rect.hover x=(from) width=((until - from).max(1)) y=(y(rate)) height=(HEIGHT - y(rate)) {
            title { (price(rate)) " from " (words(stretch.from, "always")) " until " (words(stretch.until, "further notice")) }
        }
    }
}

fn price(rate: i64) -> String {
    facts::deck::Price(rate).to_string()
}

fn day(at: i128) -> String {
    i64::try_from(at).map(|at| facts::time::rfc3339(at).chars().take(10).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stands_where_its_days_and_its_price_are() {
        let day = |day: i64| Some(day * 86_400_000_000);
        let stretches = vec![
            Stretch { from: None, until: day(10), rate: Some(100) },
            Stretch { from: day(10), until: day(20), rate: None },
            Stretch { from: day(20), until: None, rate: Some(200) },
        ];
        let view = TimelineView { stretches, at_micros: day(30).unwrap(), ..TimelineView::default() };
        let picture = drawn(&view).into_string();
        // 9 to 31 days are 888 pixels wide; the gap between day 10 and day 20 stays open.
        assert!(picture.contains("d=\"M112 125H152M556 30H1000\""), "{picture}");
        assert!(picture.contains("from 1970-01-21T00:00:00Z until further notice"), "{picture}");
    }
}
