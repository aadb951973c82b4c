//! What the page says of numbers that a field does not take, in both languages.

/// Numbers that a field does not take.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct LimitsText {
    pub word: &'static str,
    pub fraction: &'static str,
    pub small: &'static str,
    pub large: &'static str,
    pub whole: &'static str,
    pub any: &'static str,
    pub of_field: &'static str,
}

/// In English.
pub const ENGLISH: LimitsText = LimitsText {
    word: "This is no number.",
    fraction: "{} is no whole number.",
    small: "{} is too small.",
    large: "{} is too large.",
    whole: " Give a whole number from {} to {}, or leave the field empty.",
    any: " Give a number from {} to {}, or leave the field empty.",
    of_field: "“{}”: {}",
};

/// In Chinese.
pub const CHINESE: LimitsText = LimitsText {
    word: "这不是数字。",
    fraction: "{} 不是整数。",
    small: "{} 太小。",
    large: "{} 太大。",
    whole: "请填 {} 到 {} 之间的整数，或留空。",
    any: "请填 {} 到 {} 之间的数，或留空。",
    of_field: "“{}”：{}",
};
