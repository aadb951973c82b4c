//! The page's two languages; `english` and `chinese` hold every sentence.

mod chinese;
mod diffusion;
mod english;
mod errors;
mod evaluate;
mod fields;
mod finer;
mod lessons;
mod limits;
mod rows;
mod served;
mod stages;
mod text;
mod trained;

use chinese::CHINESE;
use english::ENGLISH;
pub use errors::in_words;
pub use evaluate::EvaluateText;
pub use fields::in_fields;
pub use finer::FinerText;
pub use lessons::LessonsText;
pub use limits::LimitsText;
pub use rows::RowsText;
pub use served::ServedText;
pub use stages::StagesText;
pub use text::{AdaptersText, ChatText, ModelsText, PageText, Sentence, TeachText, Text};

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English, also for readers of any language the page does not have.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// The language for a browser's tag such as `zh-CN` or `en`; English for any that the page does not have.
    pub fn from_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("zh") { Language::Chinese } else { Language::English }
    }

    /// The tag for the document's `lang` attribute, by which browsers choose fonts and voices.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-CN",
        }
    }

    /// The language that the switch leads to.
    pub fn other(self) -> Self {
        match self {
            Language::English => Language::Chinese,
            Language::Chinese => Language::English,
        }
    }

    /// The page's sentences in this language.
    pub fn text(self) -> &'static Text {
        match self {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_tags_of_every_region_and_script_choose_chinese() {
        for tag in ["zh", "zh-CN", "zh-Hant-TW", "ZH_cn"] {
            assert_eq!(Language::from_tag(tag), Language::Chinese, "{tag}");
        }
    }

    #[test]
    fn other_tags_choose_english() {
        for tag in ["en", "en-GB", "fr", "zhx", ""] {
            assert_eq!(Language::from_tag(tag), Language::English, "{tag}");
        }
    }

    #[test]
    fn the_switch_leads_there_and_back() {
        assert_eq!(Language::English.other().other(), Language::English);
        assert_ne!(Language::English.text().page.purpose, Language::Chinese.text().page.purpose);
    }
}
