//! What the page says of the trained examples that come with it, in both languages.

/// The trained examples.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct TrainedText {
    pub title: &'static str,
    pub hint: &'static str,
    pub figure: &'static str,
    pub ask: &'static str,
    pub reasoning: &'static str,
    pub reasoning_about: &'static str,
    pub reasoning_question: &'static str,
    pub tags: &'static str,
    pub sums: &'static str,
    pub carried: &'static str,
    pub others: &'static str,
    pub preference: &'static str,
    pub preference_about: &'static str,
    pub preference_question: &'static str,
    pub invites: &'static str,
    pub told: &'static str,
    pub goes_on: &'static str,
}

/// In English.
pub const ENGLISH: TrainedText = TrainedText {
    title: "Trained examples",
    hint: "Adapters of kindling-nano, the model that the page opens with; an example is fetched when you ask it. All shares are \
        of questions that no training row holds, before and after.",
    figure: "{}: {} → {}",
    ask: "Ask “{}” before and after",
    reasoning: "It thinks before it answers",
    reasoning_about: "Reasoning: it learned to write sums down step by step, and solves those that carry or borrow a ten.",
    reasoning_question: "What is 47+8?",
    tags: "sums with thinking and an answer",
    sums: "sums solved",
    carried: "of those that carry or borrow a ten",
    others: "other questions answered right",
    preference: "It invites the next question",
    preference_about: "Preferences: it was shown pairs of right answers. What it tells of its world had better end with an \
        invitation to ask on, all else had better not; so it answers now.",
    preference_question: "What colour is Miru?",
    invites: "answers about its world that are right and invite",
    told: "of these right, inviting or not",
    goes_on: "right and inviting after answers that invite, too",
};

/// In simplified Chinese.
pub const CHINESE: TrainedText = TrainedText {
    title: "训练好的例子",
    hint: "页面自带模型 kindling-nano 的适配器，提问时才会获取。所有比例都来自训练数据中没有的问题，分别是训练前和训练后。",
    figure: "{}：{} → {}",
    ask: "训练前后都问“{}”",
    reasoning: "先思考，再回答",
    reasoning_about: "推理：它学会了一步一步写出算式，能算出要进位和退位的题。",
    reasoning_question: "47+8等于几？",
    tags: "写出思考和答案的算术题",
    sums: "算对的算术题",
    carried: "其中要进位或退位的",
    others: "答对的其他问题",
    preference: "请你接着问",
    preference_about: "偏好：给它看成对的正确回答，介绍小世界时结尾请人接着问的更好，其他回答不请的更好；现在它就这样回答。",
    preference_question: "米鲁是什么颜色？",
    invites: "介绍小世界时答对并请人接着问的",
    told: "其中答对的，不论是否请人接着问",
    goes_on: "前面的回答也请人接着问时，答对并请人接着问的",
};
