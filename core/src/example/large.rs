//! Text without end about places and animals that do not exist, to try large data with: as much as is asked for, one row
//! after the other, in both languages, with duplicates, code and short rows at known places.

use super::names::spelled;
use crate::random::Random;

/// The stream of the seed from which row 0 is drawn; every row has its own.
const STREAM: u64 = 0x6c61_7267_0000_0000;
/// Rows after which what is odd comes again.
const ROUND: u64 = 50;
/// The places in a round: rows that nearly say what the row `NEAR_OF` before says, that equal the row `EQUAL_OF` before, that
/// are code, and that are short.
const NEAR: u64 = 24;
const NEAR_OF: u64 = 13;
const EQUAL: u64 = 49;
const EQUAL_OF: u64 = 20;
const CODE: u64 = 10;
const SHORT: u64 = 35;

const ANIMALS: [[&str; 2]; 12] = [
    ["velmo", "绒貘"],
    ["tark", "石獾"],
    ["lumin", "灯雀"],
    ["brindle fox", "斑狐"],
    ["reed otter", "苇獭"],
    ["moss hare", "苔兔"],
    ["night heron", "夜鹭"],
    ["sand lynx", "沙猞"],
    ["cave goat", "洞羊"],
    ["glass frog", "琉璃蛙"],
    ["storm gull", "风鸥"],
    ["copper bee", "铜蜂"],
];
const PLACES: [[&str; 2]; 12] = [
    ["the old harbour", "旧港口"],
    ["a quiet lake", "静湖边"],
    ["the northern cave", "北山洞"],
    ["the tall tower", "高塔下"],
    ["a field of reeds", "芦苇地"],
    ["the market square", "集市上"],
    ["the stone bridge", "石桥旁"],
    ["a birch forest", "白桦林"],
    ["the salt marsh", "盐沼里"],
    ["the upper valley", "上谷地"],
    ["a ruined mill", "旧磨坊"],
    ["the lantern street", "灯笼街"],
];
const DEEDS: [[&str; 2]; 12] = [
    ["waits for the evening boat", "等着傍晚的船"],
    ["gathers dry leaves for the winter", "为冬天收集干叶"],
    ["watches the slow river", "望着缓缓的河水"],
    ["counts the lamps along the shore", "数着岸边的灯"],
    ["sleeps until the rain is over", "一直睡到雨停"],
    ["follows the tracks in the snow", "跟着雪地里的脚印"],
    ["shares its bread with a stranger", "和陌生人分吃面包"],
    ["repairs a broken basket", "修好了一只破篮子"],
    ["listens to the wind in the roof", "听着屋顶上的风声"],
    ["carries water up the hill", "把水挑上山坡"],
    ["hides a small blue stone", "藏起一块小蓝石"],
    ["learns the names of the stars", "学着星星的名字"],
];
const TIMES: [[&str; 2]; 8] = [
    ["Every morning", "每天早上"],
    ["In late autumn", "深秋时节"],
    ["After the flood", "洪水过后"],
    ["Long before the fair", "庙会之前很久"],
    ["On the ninth day", "到了第九天"],
    ["When the bell rings", "钟声响起时"],
    ["During the dry season", "旱季里"],
    ["At the turn of the year", "岁末年初"],
];

/// Rows of text by their number.
#[derive(Clone, Copy, Debug)]
pub struct LargeText {
    seed: u64,
}

impl LargeText {
    /// The rows of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The text of a row. Of every fifty rows, one equals an earlier one, one nearly does, one is code and one is short.
    pub fn row(&self, number: u64) -> String {
        match number % ROUND {
            EQUAL => self.story(number - EQUAL_OF),
            NEAR => {
                self.story(number - NEAR_OF) + &sentence(&mut self.random(number), number.is_multiple_of(2))
            }
            CODE => code(&mut self.random(number)),
            SHORT => sentence(&mut self.random(number), false),
            _ => self.story(number),
        }
    }

    fn random(&self, number: u64) -> Random {
        Random::new(self.seed, STREAM.wrapping_add(number))
    }

    /// 16 to 47 sentences about one of the animals and somebody's name.
    fn story(&self, number: u64) -> String {
        let mut random = self.random(number);
        let chinese = random.below(2) == 1;
        let count = 16 + random.below(32);
        (0..count).map(|_| sentence(&mut random, chinese)).collect()
    }
}

/// What one of the animals does somewhere, and what it is called.
fn sentence(random: &mut Random, chinese: bool) -> String {
    let name = spelled(random);
    let mut word = |words: &[[&'static str; 2]]| random.choose(words)[usize::from(chinese)];
    let (time, animal, place, deed) = (word(&TIMES), word(&ANIMALS), word(&PLACES), word(&DEEDS));
    match chinese {
        true => format!("{time}，{place}的{animal}{deed}，有人叫它{name}。"),
        false => format!("{time}, the {animal} of {place} {deed}, and people call it {name}. "),
    }
}

/// A dozen lines that a program could hold.
fn code(random: &mut Random) -> String {
    let line = |_| {
        let (left, right, by) = (random.below(100), random.below(100), random.below(9) + 1);
        format!("lamp[{left}] = harbour({right}) * {by}; if (lamp[{left}] > {by}) {{ light(); }}\n")
    };
    (0..12).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_stands_where_it_should() {
        let text = LargeText::new(7);
        assert_eq!(text.row(49), text.row(29));
        assert_eq!(text.row(99), text.row(79));
        assert!(text.row(24).starts_with(&text.row(11)) && text.row(24) != text.row(11));
        assert!(text.row(10).contains("harbour("));
        assert!(text.row(35).matches(". ").count() == 1);
        let rows: std::collections::BTreeSet<String> = (0..200).map(|number| text.row(number)).collect();
        assert_eq!(rows.len(), 196, "four of them are equal to others");
        assert_eq!(text.row(3), LargeText::new(7).row(3));
        assert_ne!(text.row(3), LargeText::new(8).row(3));
    }
}
