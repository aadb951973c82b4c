//! Where two answers differ, word by word: what both say in the same order is the same, all else is one's own. The page
//! reads this very file.

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its words.
    pub text: String,
    /// Whether the other text says them, too.
    pub same: bool,
}

/// Words beyond which texts are not compared, because the table of all pairs would be too large.
const MOST: usize = 600;

/// The pieces of both texts: together they are the texts.
pub fn differences(one: &str, other: &str) -> [Vec<Piece>; 2] {
    let (a, b) = (words(one), words(other));
    let shared = if a.len().max(b.len()) > MOST { Vec::new() } else { longest_common(&a, &b) };
    let (of_a, of_b): (Vec<usize>, Vec<usize>) = shared.into_iter().unzip();
    [pieces(&a, &of_a), pieces(&b, &of_b)]
}

/// A run of letters and digits is a word; every other character stands for itself, and so does one of a script without
/// spaces between words.
fn words(text: &str) -> Vec<&str> {
    let joins = |c: char| c.is_alphanumeric() && c < '\u{2e80}';
    let (mut words, mut start, mut before) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if at > start && !(before && joins(c)) {
            words.push(&text[start..at]);
            start = at;
        }
        before = joins(c);
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

/// The places of a longest common subsequence in both.
fn longest_common(a: &[&str], b: &[&str]) -> Vec<(usize, usize)> {
    // How long it is behind each pair of places.
    let mut length = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            length[i][j] = match a[i] == b[j] {
                true => length[i + 1][j + 1] + 1,
                false => length[i + 1][j].max(length[i][j + 1]),
            };
        }
    }
    let (mut shared, mut i, mut j) = (Vec::new(), 0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            shared.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length[i + 1][j] >= length[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    shared
}

/// Words joined to pieces. Spaces alone between two that differ differ, too.
fn pieces(words: &[&str], shared: &[usize]) -> Vec<Piece> {
    let is_own = |i: usize| i < words.len() && !shared.contains(&i);
    let mut pieces: Vec<Piece> = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let between = word.trim().is_empty() && i > 0 && is_own(i - 1) && is_own(i + 1);
        let same = !is_own(i) && !between;
        match pieces.last_mut().filter(|piece| piece.same == same) {
            Some(piece) => piece.text.push_str(word),
            None => pieces.push(Piece { text: word.to_string(), same }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts with their own pieces in brackets.
    fn marked(one: &str, other: &str) -> [String; 2] {
        let mark = |pieces: Vec<Piece>| {
            let mark = |Piece { text, same }: Piece| if same { text } else { format!("[{text}]") };
            pieces.into_iter().map(mark).collect::<String>()
        };
        differences(one, other).map(mark)
    }

    #[test]
    fn words_that_differ_are_marked() {
        assert_eq!(marked("I am Ember.", "I am Luma."), ["I am [Ember].", "I am [Luma]."]);
        assert_eq!(marked("", "Red."), ["", "[Red.]"]);
        assert_eq!(marked("same", "same"), ["same", "same"]);
        assert_eq!(marked("a b c", "b"), ["[a ]b[ c]", "b"]);
        assert_eq!(marked("It is very old.", "Who knows."), ["[It is very old].", "[Who knows]."]);
    }

    #[test]
    fn chinese_differs_by_the_character() {
        assert_eq!(marked("我叫小烬。", "我叫露玛。"), ["我叫[小烬]。", "我叫[露玛]。"]);
        assert_eq!(words("是Luma 2号"), ["是", "Luma", " ", "2", "号"]);
    }

    #[test]
    fn pieces_are_the_whole_texts_even_of_long_ones() {
        let (one, other) = ("word ".repeat(700), "word ".repeat(3));
        let whole = |pieces: &Vec<Piece>| pieces.iter().map(|piece| piece.text.as_str()).collect::<String>();
        let found = differences(&one, &other);
        assert_eq!(found.each_ref().map(whole), [one, other]);
        assert!(found[0].iter().all(|piece| !piece.same));
    }
}
