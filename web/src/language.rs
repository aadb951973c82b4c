//! The page's two languages and every sentence it shows.

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

/// Every sentence of the page, in one language.
pub struct Text {
    /// What the project is.
    pub purpose: &'static str,
    /// The switch to the other language, named in that language.
    pub switch: &'static str,
    /// The status until the browser has answered.
    pub looking: &'static str,
    /// The status where WebGPU works.
    pub webgpu_yes: &'static str,
    /// The status where it does not.
    pub webgpu_no: &'static str,
    /// Stands before the adapter's name.
    pub adapter: &'static str,
    /// The adapter's name where the browser keeps it to itself.
    pub unnamed: &'static str,
    /// What to do where the browser has no WebGPU at all.
    pub no_interface: &'static str,
    /// What to do where the browser has WebGPU but gives no adapter.
    pub no_adapter: &'static str,
}

const ENGLISH: Text = Text {
    purpose: "Kindling trains small language models from scratch on your own machine; your data never leaves it. \
              This page tells whether your browser is ready.",
    switch: "中文",
    looking: "Looking for WebGPU …",
    webgpu_yes: "WebGPU: yes",
    webgpu_no: "WebGPU: no",
    adapter: "Adapter: ",
    unnamed: "the browser does not tell its name",
    no_interface: "This browser does not offer WebGPU to this page. Use a recent Chrome, Edge, Firefox or Safari, \
                   and open the page over https or from localhost.",
    no_adapter: "This browser knows WebGPU but gives no graphics adapter. Switch on hardware acceleration in its \
                 settings, or update the graphics driver.",
};

const CHINESE: Text = Text {
    purpose: "Kindling 在你自己的机器上从零训练小型语言模型，数据不会离开这台机器。\
              本页面检测你的浏览器是否已就绪。",
    switch: "English",
    looking: "正在检测 WebGPU……",
    webgpu_yes: "WebGPU：可用",
    webgpu_no: "WebGPU：不可用",
    adapter: "显卡：",
    unnamed: "浏览器未透露其名称",
    no_interface: "此浏览器没有向本页面提供 WebGPU。请使用新版 Chrome、Edge、Firefox 或 Safari，\
                   并通过 https 或 localhost 打开本页面。",
    no_adapter: "此浏览器支持 WebGPU，但没有给出可用的显卡。请在浏览器设置中启用硬件加速，或更新显卡驱动。",
};

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
        assert_ne!(Language::English.text().purpose, Language::Chinese.text().purpose);
    }
}
