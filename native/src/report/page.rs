//! The page around the parts of a report: both languages with a switch between them, light and dark, and no script at all.

use clap::ValueEnum;

use super::Html;
use crate::html_file::HtmlFile;
use crate::plot::STYLE;

/// The file that a report is.
pub const REPORT: HtmlFile = HtmlFile {
    generator: "<meta name=\"generator\" content=\"kindling report\">",
    holds: "a report",
    verb: "report",
};

/// Nothing is fetched and nothing runs, whatever a page of this kind should hold.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// What a report needs beside the look of its pictures. The two radio buttons at the top choose the language.
const LOOK: &str = "\
#language-en:checked ~ * [lang=zh], #language-zh:checked ~ * [lang=en] { display: none; }
input[name=language] { position: absolute; opacity: 0; }
#language-en:checked ~ header label[for=language-en], #language-zh:checked ~ header label[for=language-zh]
  { font-weight: 600; text-decoration: none; }
#language-en:focus-visible ~ header .languages, #language-zh:focus-visible ~ header .languages
  { outline: 2px solid var(--ink); }
.languages { float: right; }
.languages label { cursor: pointer; text-decoration: underline; margin-left: 0.6rem; }
nav.parts a { margin-right: 0.9rem; color: inherit; }
h2 { font-size: 1.1rem; margin-top: 2.2rem; border-bottom: 1px solid var(--faint); }
h3 { font-size: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.5rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid var(--faint); }
td { overflow-wrap: anywhere; }
.tree { white-space: pre; }
.quiet { opacity: 0.7; }
.answer { white-space: pre-wrap; min-width: 14rem; }
.hash { font-family: ui-monospace, monospace; font-size: 0.85em; }
mark { background: color-mix(in srgb, hsl(45 90% 55%) 45%, transparent); color: inherit; }
summary { cursor: pointer; }
@media print { .languages { display: none; } }
";

/// The language that a page shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// English
    En,
    /// Chinese
    Zh,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its place in the page's address.
    pub id: &'static str,
    /// What it is about.
    pub title: Html,
    /// All of it.
    pub body: Html,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Page {
    /// The names of what it is about.
    pub title: String,
    /// When it was written, in words.
    pub written: Html,
    /// The language that is shown first.
    pub language: Language,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
}

impl Page {
    /// The file.
    pub fn html(&self) -> String {
        let title = Html::text(&self.title);
        let links: String = self.parts.iter().map(link).collect();
        let parts: String = self.parts.iter().map(section).collect();
        let [english, chinese] =
            [Language::En, Language::Zh].map(|one| if one == self.language { " checked" } else { "" });
        format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n{}\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
             <style>\n{STYLE}{LOOK}</style>\n</head>\n<body>\n\
             <input type=\"radio\" name=\"language\" id=\"language-en\" aria-label=\"English\" autocomplete=\"off\"{english}>\n\
             <input type=\"radio\" name=\"language\" id=\"language-zh\" aria-label=\"中文\" autocomplete=\"off\"{chinese}>\n\
             <header>\n<div class=\"languages\"><label for=\"language-en\">English</label>\
             <label for=\"language-zh\">中文</label></div>\n<h1>{}</h1>\n<p class=\"quiet\">{}</p>\n\
             <nav class=\"parts\">{links}</nav>\n</header>\n<main>\n{parts}</main>\n</body>\n</html>\n",
            if self.language == Language::Zh { "zh" } else { "en" },
            REPORT.generator,
            title.markup(),
            title.markup(),
            self.written.markup(),
        )
    }
}

fn link(part: &Part) -> String {
    format!("<a href=\"#{}\">{}</a>", part.id, part.title.markup())
}

fn section(part: &Part) -> String {
    format!(
        "<section id=\"{}\">\n<h2>{}</h2>\n{}\n</section>\n",
        part.id,
        part.title.markup(),
        part.body.markup()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(language: Language) -> String {
        let part =
            Part {
                id: "cost", title: Html::both("Cost", "成本"), body: Html::text("<img src=x onerror=y>")
            };
        let (title, written) = ("runs/<script>1</script>".to_string(), Html::both("now", "现在"));
        Page { title, written, language, parts: vec![part] }.html()
    }

    #[test]
    fn a_page_is_whole_and_holds_nothing_that_acts_or_is_fetched() {
        let html = page(Language::En);
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
        assert!(html[..1024].contains(REPORT.generator), "it is known again by its first bytes");
        assert!(html.contains("prefers-color-scheme: dark") && html.contains("<a href=\"#cost\">"));
        for acts in ["<script", "<img", "http://", "https://", "url(", "@import", "javascript:", "<link"] {
            assert!(!html.contains(acts), "{acts}");
        }
        assert!(html.contains("&lt;script&gt;") && html.contains(POLICY));
    }

    #[test]
    fn one_language_is_chosen_and_the_other_can_be() {
        let checked = |html: &str, id: &str| {
            let button = html.split(&format!("id=\"{id}\"")).nth(1).unwrap();
            button[..button.find('>').unwrap()].contains("checked")
        };
        for (language, id) in [(Language::En, "language-en"), (Language::Zh, "language-zh")] {
            let html = page(language);
            let chosen = ["language-en", "language-zh"].into_iter().filter(|id| checked(&html, id));
            assert_eq!(chosen.collect::<Vec<_>>(), [id]);
            assert!(html.contains("<span lang=\"en\">Cost</span><span lang=\"zh\">成本</span>"));
        }
    }
}
