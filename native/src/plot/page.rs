//! The file around the pictures: a legend, the pictures, and their look in light and dark.

use super::Chart;
use super::chart::hue;
use super::escape::escape;

/// How a file of ours is known, before another one takes its place.
pub const GENERATOR: &str = "<meta name=\"generator\" content=\"kindling runs plot\">";

/// How pictures and the words around them look, in light and dark.
pub const STYLE: &str = "\
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1b1f; --faint: #dcdce2; --l: 40%; }
@media (prefers-color-scheme: dark) { :root { --paper: #16161a; --ink: #e8e8ee; --faint: #3a3a42; --l: 68%; } }
body { margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.2rem; }
.runs { list-style: none; padding: 0; }
.runs li::before { content: ''; display: inline-block; width: 1.4rem; height: 0.35rem; margin-right: 0.5rem;
  vertical-align: middle; background: hsl(var(--h) 70% var(--l)); }
svg { width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .title { font-weight: 600; font-size: 13px; }
.grid { stroke: var(--faint); fill: none; }
.axis { stroke: var(--ink); fill: none; }
polyline { fill: none; stroke: hsl(var(--h) 70% var(--l)); stroke-width: 1.8; stroke-linejoin: round; }
circle { fill: hsl(var(--h) 70% var(--l)); }
.raw polyline { stroke-width: 1; opacity: 0.35; }
.held polyline { stroke-dasharray: 5 4; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; }
";

/// Pictures have words in two languages, and this page has one.
const ENGLISH: &str = "[lang=zh] { display: none; }\n";

/// A run in the legend.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub told: String,
}

/// All of a file.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// The runs, in the order of their numbers in the pictures.
    pub runs: Vec<Shown>,
    /// How the curves are to be read.
    pub note: String,
    /// The picture at the top.
    pub large: Chart,
    /// Those below it.
    pub small: Vec<Chart>,
}

impl Page {
    /// The file.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let legend: String = self
            .runs
            .iter()
            .enumerate()
            .map(|(run, Shown { name, told })| {
                let (name, told) = (escape(name), escape(told));
                format!("<li style=\"--h:{:.1}\"><b>{name}</b> {told}</li>\n", hue(run))
            })
            .collect();
        let small: String = self.small.iter().map(Chart::svg).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{GENERATOR}\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}{ENGLISH}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<ul class=\"runs\">\n{legend}</ul>\n<p>{}</p>\n{}\
             <div class=\"small\">\n{small}</div>\n</body>\n</html>\n",
            escape(&self.note),
            self.large.svg()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Axis;

    #[test]
    fn a_file_is_whole_escaped_and_fetches_nothing() {
        let chart = Chart {
            title: "loss".into(),
            height_name: "nats".into(),
            lines: Vec::new(),
            axis: Axis::Linear,
            size: (400.0, 200.0),
        };
        let run = Shown { name: "runs/<script>alert(1)</script>".into(), told: "\"sft\" & 'more'".into() };
        let page = Page {
            title: "a < b".into(),
            runs: vec![run],
            note: "n".into(),
            large: chart.clone(),
            small: vec![chart],
        };
        let html = page.html();
        assert!(html.starts_with("<!doctype html>") && html.contains(GENERATOR));
        assert!(html.contains("prefers-color-scheme: dark") && html.matches("<svg").count() == 2);
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;") && html.contains("a &lt; b"));
        assert!(html.contains("&quot;sft&quot; &amp; &#39;more&#39;"));
        for word in ["http:", "https:", "url(", "src=", "@import"] {
            assert!(!html.contains(word), "{word}");
        }
    }
}
