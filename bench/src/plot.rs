//! A picture of some lines over a logarithmic axis, as SVG.

use std::fmt::Write as _;

/// One line: x, y and the range of y.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name.
    pub title: String,
    /// Its points.
    pub points: Vec<(f64, f64, (f64, f64))>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 270.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Colours that are told apart with any eyesight (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#d55e00", "#000000", "#999999", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7"];

/// Draws the lines; `across` names the horizontal axis.
pub fn svg(title: &str, across: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min).max(1.0);
    let most = points().map(|point| point.0).fold(1.0, f64::max).max(least * 2.0);
    let top = points().map(|point| point.2.1).fold(1.0, f64::max) * 1.05;
    let x = |value: f64| LEFT + (value.ln() - least.ln()) / (most.ln() - least.ln()) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n"
    );
    for step in ticks(top) {
        let at = y(step);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{step}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    let mut across_at: Vec<f64> = points().map(|point| point.0).collect();
    across_at.sort_by(f64::total_cmp);
    across_at.dedup();
    for value in across_at {
        let at = x(value);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{across}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 12.0
    );
    for (number, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let path: Vec<String> =
            line.points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
        let _ = writeln!(
            svg,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join("L")
        );
        for (at, value, (low, high)) in &line.points {
            let (at, low, high) = (x(*at), y(*low), y(*high));
            let _ = writeln!(svg, "<path d=\"M{at:.1} {low:.1}V{high:.1}\" stroke=\"{colour}\"/>");
            let _ =
                writeln!(svg, "<circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", y(*value));
        }
        let down = TOP + 20.0 * crate::tools::float(crate::tools::count(number));
        let beside = WIDTH - RIGHT + 20.0;
        let _ = writeln!(svg, "<path d=\"M{beside} {down:.1}h20\" stroke=\"{colour}\" stroke-width=\"3\"/>");
        let _ =
            writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", beside + 28.0, down + 4.0, line.title);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Round numbers from 0 to `top`.
fn ticks(top: f64) -> Vec<f64> {
    let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
        .into_iter()
        .find(|step| top / step <= 8.0)
        .unwrap_or(100.0);
    (0..=8u32)
        .map(|number| (f64::from(number) * step * 10.0).round() / 10.0)
        .filter(|value| *value <= top)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_every_line() {
        let line = |title: &str| Line {
            title: title.to_owned(),
            points: vec![(1.0, 0.5, (0.4, 0.6)), (256.0, 6.0, (5.0, 7.0))],
        };
        let picture = svg("Title", "clients", &[line("one"), line("two")]);
        assert!(picture.contains(">one<") && picture.contains(">two<") && picture.ends_with("</svg>\n"));
        assert_eq!(ticks(7.35), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }
}
