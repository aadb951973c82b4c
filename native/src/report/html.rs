//! Markup into which every text of others goes escaped: it cannot be made of a text in any other way.

use crate::plot::{Chart, escape, hue};

/// A piece of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// A text as it is.
    pub fn text(text: &str) -> Self {
        Self(escape(text))
    }

    /// A sentence in both languages, of which the page shows one.
    pub fn both(english: &str, chinese: &str) -> Self {
        let (english, chinese) = (escape(english), escape(chinese));
        Self(format!("<span lang=\"en\">{english}</span><span lang=\"zh\">{chinese}</span>"))
    }

    /// The names of columns, each in both languages.
    pub fn names<const N: usize>(pairs: [(&str, &str); N]) -> Vec<Self> {
        pairs.into_iter().map(|(english, chinese)| Self::both(english, chinese)).collect()
    }

    /// A paragraph with a sentence in both languages.
    pub fn paragraph(english: &str, chinese: &str) -> Self {
        Self::element("p", "", Self::both(english, chinese))
    }

    /// An element of a class around something; no class is the empty one.
    pub fn element(name: &'static str, class: &'static str, inner: Self) -> Self {
        match class {
            "" => Self(format!("<{name}>{}</{name}>", inner.0)),
            class => Self(format!("<{name} class=\"{class}\">{}</{name}>", inner.0)),
        }
    }

    /// A picture.
    pub fn picture(chart: &Chart) -> Self {
        Self(chart.svg())
    }

    /// A line of a legend, in the colour of a run's number.
    pub fn legend(run: usize, inner: Self) -> Self {
        Self(format!("<li style=\"--h:{:.1}\">{}</li>", hue(run), inner.0))
    }

    /// Something that is folded below its name.
    pub fn folded(name: Self, inner: Self) -> Self {
        Self(format!("<details><summary>{}</summary>{}</details>", name.0, inner.0))
    }

    /// A table with a row of names at its top, which may be wider than the page.
    pub fn table(head: Vec<Self>, rows: impl IntoIterator<Item = Vec<Self>>) -> Self {
        let row = |cell: &'static str, cells: Vec<Self>| {
            let cells = cells.into_iter().map(|inner| Self::element(cell, "", inner)).collect();
            Self::element("tr", "", cells)
        };
        let rows: Self = rows.into_iter().map(|cells| row("td", cells)).collect();
        let head = Self::element("thead", "", row("th", head));
        let table = [head, Self::element("tbody", "", rows)].into_iter().collect();
        Self::element("div", "wide", Self::element("table", "", table))
    }

    /// Adds something behind it.
    pub fn push(&mut self, other: Self) {
        self.0 += &other.0;
    }

    /// Its markup.
    pub fn markup(&self) -> &str {
        &self.0
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Html>>(pieces: I) -> Self {
        Self(pieces.into_iter().map(|piece| piece.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</td><script>alert('x')</script>&\"";

    #[test]
    fn no_text_acts_wherever_it_stands() {
        let text = || Html::text(HOSTILE);
        let whole: Html = [
            text(),
            Html::both(HOSTILE, HOSTILE),
            Html::element("b", "name", text()),
            Html::legend(1, text()),
            Html::folded(text(), text()),
            Html::table(vec![text()], [vec![text()]]),
        ]
        .into_iter()
        .collect();
        let markup = whole.markup();
        assert!(!markup.contains("<script") && !markup.contains("alert('x')"), "{markup}");
        assert_eq!(markup.matches("&lt;script&gt;").count(), 9);
        assert_eq!(markup.matches("</td>").count(), 1, "the one of the table itself");
    }

    #[test]
    fn pieces_stand_where_they_belong() {
        let table = Html::table(vec![Html::text("a")], [vec![Html::text("1")], vec![Html::text("2")]]);
        assert_eq!(
            table.markup(),
            "<div class=\"wide\"><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr><tr><td>2</td></tr>\
             </tbody></table></div>"
        );
        assert_eq!(Html::element("p", "", Html::text("x")).markup(), "<p>x</p>");
        assert!(Html::both("a", "甲").markup().contains("<span lang=\"zh\">甲</span>"));
    }
}
