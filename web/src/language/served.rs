//! What the page says of models that its own server has, in both languages.

/// Models of the server that the page came from.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct ServedText {
    pub title: &'static str,
    pub hint: &'static str,
    pub key: &'static str,
    pub key_hint: &'static str,
    pub list: &'static str,
    pub asking: &'static str,
    pub listed: &'static str,
    pub talk: &'static str,
    pub talks: &'static str,
    pub back: &'static str,
    pub pill: &'static str,
    pub pill_of: &'static str,
    pub welcome: &'static str,
    pub needs_tab: &'static str,
    pub needs_any: &'static str,
    pub unreachable: &'static str,
    pub refused: &'static str,
    pub broke_off: &'static str,
    pub place: &'static str,
    pub here: &'static str,
    pub there: &'static str,
    pub there_hint: &'static str,
    pub run_at: &'static str,
    pub watch: &'static str,
    pub offered: &'static str,
}

/// In English.
pub const ENGLISH: ServedText = ServedText {
    title: "Models of this page's server",
    hint: "This page came from `kindling serve`, which has models of its own. Whoever talks with one sends the whole \
        conversation, what was said before in it, too, to this server and nowhere else; its adapters and its speed are the \
        server's.",
    key: "Key of the server",
    key_hint: "It is kept in this tab's memory only, until the page is closed or loaded again.",
    list: "List its models",
    asking: "Asking the server …",
    listed: "Models and adapters: {}",
    talk: "Talk with it",
    talks: "talking now",
    back: "Back to the model in the tab",
    pill: "on this computer's server: {}",
    pill_of: "on the server {}: {}",
    welcome: "You talk with {} on the server that this page came from. What you write goes to that server.",
    needs_tab: "You talk with {} on the server. What is here needs a model in the tab: it is done with {}.",
    needs_any: "You talk with {} on the server. What is here needs a model in the tab, and none is open.",
    unreachable: "The server does not answer: {}",
    refused: "The server says: {}",
    broke_off: "The server broke off; what came of the answer stays.",
    place: "Where it trains",
    here: "In this tab",
    there: "On this page's server",
    there_hint: "What is taught is sent to this server and kept there. It trains the model that you talk with there, or its first \
        one; the run goes on when this page is closed. The plan below is that of the tab. Where the server needs a key, enter it \
        under “Models & files”.",
    run_at: "{}: step {} of {}",
    watch: "Watch",
    offered: " The server answers with it as “{}”.",
};

/// In simplified Chinese.
pub const CHINESE: ServedText = ServedText {
    title: "本页面所在服务器的模型",
    hint: "本页面来自 `kindling serve`，它有自己的模型。和其中一个交谈时，整个对话（包括之前说过的）会发给这台服务器，不发往别处；适配器和速度都由服务器决定。",
    key: "服务器的密钥",
    key_hint: "它只保存在本标签页的内存里，关闭或重新载入页面后就没有了。",
    list: "列出它的模型",
    asking: "正在询问服务器……",
    listed: "模型和适配器：{} 个",
    talk: "和它交谈",
    talks: "正在交谈",
    back: "回到标签页里的模型",
    pill: "在这台电脑的服务器上：{}",
    pill_of: "在服务器 {} 上：{}",
    welcome: "正在和本页面所在服务器上的 {} 交谈。你写的内容会发给这台服务器。",
    needs_tab: "正在和服务器上的 {} 交谈。这里的功能需要标签页里的模型：用的是 {}。",
    needs_any: "正在和服务器上的 {} 交谈。这里的功能需要标签页里的模型，而现在没有打开任何模型。",
    unreachable: "服务器没有回应：{}",
    refused: "服务器说：{}",
    broke_off: "服务器中断了；已写出的部分保留着。",
    place: "在哪里训练",
    here: "在本标签页",
    there: "在本页面的服务器上",
    there_hint: "所教的内容会发给这台服务器并保存在那里。它训练你在那里交谈的模型，没有选择时训练它的第一个模型；关闭本页面后训练仍会继续。\
        下面的计划是标签页的。服务器需要密钥时，请在“模型与文件”里填写。",
    run_at: "{}：第 {} 步，共 {} 步",
    watch: "查看",
    offered: "服务器现在用“{}”这个名字回答。",
};
