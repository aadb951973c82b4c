//! Tables for people: columns as wide as what stands in them.

/// Lines of a table, of rows that may be of different lengths.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let padded = |(cell, wide): (&String, &usize)| format!("{cell}{}", " ".repeat(wide - width(cell)));
        let cells: Vec<String> = row.iter().zip(&widths).map(padded).collect();
        cells.join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

/// The places that a text takes on a terminal: Chinese characters take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{2E80}' { 2 } else { 1 }).sum()
}

/// A text in lines of at most so many places, divided at spaces where there are some; a line end of its own stays, and a
/// control character becomes a space.
pub fn wrapped(text: &str, most: usize) -> Vec<String> {
    text.split('\n').flat_map(|line| wrapped_line(line, most.max(2))).collect()
}

fn wrapped_line(line: &str, most: usize) -> Vec<String> {
    let (mut lines, mut now) = (Vec::new(), String::new());
    for c in line.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        now.push(c);
        if width(&now) <= most {
            continue;
        }
        // What stands behind the last space goes on in the next line; without one it is cut here.
        let at = now[..now.len() - c.len_utf8()].rfind(' ').filter(|_| c != ' ');
        let rest = match at {
            Some(at) => now.split_off(at + 1),
            None => now.split_off(now.len() - c.len_utf8()),
        };
        lines.push(now.trim_end().to_string());
        now = rest.trim_start().to_string();
    }
    lines.push(now.trim_end().to_string());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_divided_at_spaces_and_else_where_a_line_is_full() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("从前有一只", 4), ["从前", "有一", "只"]);
        assert_eq!(wrapped("a\n\nb\tc", 9), ["a", "", "b c"]);
        assert_eq!(wrapped("", 9), [""]);
        // Even one character takes two places.
        assert_eq!(wrapped("前有", 0), ["前", "有"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let lines = table(&[row(&["run", "loss"]), row(&["数据", "2.5", "x"]), row(&["a"])]);
        assert_eq!(lines, ["run   loss", "数据  2.5   x", "a"]);
        assert!(table(&[]).is_empty());
    }
}
