//! What two texts have in common, word by word: their longest common subsequence.

/// Longer texts would take too long: so many pairs of words are compared at most.
const MOST_PAIRS: usize = 4_000_000;

/// A stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its words.
    pub text: String,
    /// Whether the other text lacks them here.
    pub differs: bool,
}

/// Both texts in stretches that they have in common and stretches that differ, each in the order of its text. What lies
/// between the common beginning and the common end of very long texts differs as a whole.
pub fn difference(one: &str, two: &str) -> [Vec<Stretch>; 2] {
    let (ours, theirs) = (words(one), words(two));
    let head = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let rest = ours.len().min(theirs.len()) - head;
    let tail = ours.iter().rev().zip(theirs.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let end = |words: &Vec<&str>| words.len() - tail;
    let mut common = [vec![true; ours.len()], vec![true; theirs.len()]];
    let within = [&ours[head..end(&ours)], &theirs[head..end(&theirs)]];
    for (flags, found) in common.iter_mut().zip(shared(within)) {
        flags[head..head + found.len()].copy_from_slice(&found);
    }
    [stretches(&ours, &common[0]), stretches(&theirs, &common[1])]
}

/// The words of a text, the characters between them, and every Chinese character, in their order.
fn words(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() && c < '\u{2E80}';
    let (mut words, mut begin) = (Vec::new(), 0);
    let mut before = false;
    for (at, c) in text.char_indices() {
        if at > begin && !(before && is_word(c)) {
            words.push(&text[begin..at]);
            begin = at;
        }
        before = is_word(c);
    }
    if begin < text.len() {
        words.push(&text[begin..]);
    }
    words
}

/// Which words of each belong to a longest common subsequence.
fn shared([ours, theirs]: [&[&str]; 2]) -> [Vec<bool>; 2] {
    let mut common = [vec![false; ours.len()], vec![false; theirs.len()]];
    if ours.len().saturating_mul(theirs.len()) > MOST_PAIRS {
        return common;
    }
    // lengths[i][j]: of the longest common subsequence of what stands from i and from j on.
    let wide = theirs.len() + 1;
    let mut lengths = vec![0u32; (ours.len() + 1) * wide];
    for i in (0..ours.len()).rev() {
        for j in (0..theirs.len()).rev() {
            lengths[i * wide + j] = match ours[i] == theirs[j] {
                true => lengths[(i + 1) * wide + j + 1] + 1,
                false => lengths[(i + 1) * wide + j].max(lengths[i * wide + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < ours.len() && j < theirs.len() {
        if ours[i] == theirs[j] {
            (common[0][i], common[1][j]) = (true, true);
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * wide + j] >= lengths[i * wide + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

/// Words side by side that are alike in this become one stretch.
fn stretches(words: &[&str], common: &[bool]) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    for (word, common) in words.iter().zip(common) {
        match all.last_mut() {
            Some(last) if last.differs != *common => last.text.push_str(word),
            _ => all.push(Stretch { text: word.to_string(), differs: !common }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What differs stands in brackets.
    fn marked(one: &str, two: &str) -> [String; 2] {
        let shown = |stretch: &Stretch| match stretch.differs {
            true => format!("[{}]", stretch.text),
            false => stretch.text.clone(),
        };
        difference(one, two).map(|all| all.iter().map(shown).collect())
    }

    #[test]
    fn words_that_only_one_text_has_are_marked() {
        assert_eq!(
            marked("a red fox ran", "a big red fox sat"),
            ["a red fox [ran]", "a [big ]red fox [sat]"]
        );
        assert_eq!(marked("我叫小明。", "我是小明。"), ["我[叫]小明。", "我[是]小明。"]);
        assert_eq!(marked("same", "same"), ["same", "same"]);
        assert_eq!(marked("", "new"), ["", "[new]"]);
        assert_eq!(marked("one", "two"), ["[one]", "[two]"]);
        // The common end does not take what the common beginning has.
        assert_eq!(marked("no no", "no no no"), ["no no", "no no[ no]"]);
    }

    #[test]
    fn words_are_whole_and_nothing_of_a_text_is_lost() {
        assert_eq!(
            words("It is 3.5 m, 是的 ok"),
            ["It", " ", "is", " ", "3", ".", "5", " ", "m", ",", " ", "是", "的", " ", "ok"]
        );
        assert!(words("").is_empty());
        let (one, two) = ("αβγ <b>x</b>\n你好 end", "<b>y</b>\t你 好");
        let whole =
            difference(one, two).map(|all| all.into_iter().map(|stretch| stretch.text).collect::<String>());
        assert_eq!(whole, [one, two]);
    }

    #[test]
    fn long_texts_are_compared_at_both_ends_alone() {
        let many = |word: &str| (0..2500).map(|i| format!("{word}{i} ")).collect::<String>();
        let [one, two] = difference(&format!("a {}z", many("x")), &format!("a {}z", many("y")));
        assert_eq!((one.len(), one[0].text.as_str(), one[2].text.as_str()), (3, "a ", " z"));
        assert!(one[1].differs && two[1].differs);
    }
}
