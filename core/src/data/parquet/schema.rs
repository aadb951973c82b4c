//! The columns that a footer lists, counted before the parquet crate makes room for as many as it claims.

use super::bytes::Rest;

/// How deep columns may be nested: a list in a list takes two more levels, and each level some of the stack.
const DEEPEST: usize = 100;

/// Whether a footer's columns form a tree, as they claim, and how deep it is.
///
/// The footer is a `FileMetaData` of
/// <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.
pub(super) fn is_sound(footer: &[u8]) -> bool {
    children(&mut Rest(footer)).is_some_and(|children| is_tree(&children))
}

/// Whether these are the counts of children of a tree's nodes, each before those below it.
fn is_tree(children: &[u64]) -> bool {
    // The children that are still to come, of each node above the next one.
    let mut above = vec![1];
    for (index, count) in children.iter().enumerate() {
        while above.last() == Some(&0) {
            above.pop();
        }
        let Some(left) = above.last_mut() else { return false };
        *left -= 1;
        if *count > (children.len() - index - 1) as u64 || above.len() > DEEPEST {
            return false;
        }
        above.push(*count);
    }
    children.len() > 1 && above.iter().all(|left| *left == 0)
}

/// How many children each element of the schema claims.
fn children(footer: &mut Rest) -> Option<Vec<u64>> {
    let mut number = 0;
    loop {
        match (field(footer, &mut number)?, number) {
            (STOP, _) => return None,
            (LIST, 2) => {
                let (count, kind) = list(footer)?;
                return (kind == STRUCT).then(|| (0..count).map(|_| element(footer)).collect())?;
            }
            (kind, _) => skip(footer, kind, DEEPEST)?,
        }
    }
}

/// How many children one element claims.
fn element(footer: &mut Rest) -> Option<u64> {
    let (mut number, mut children) = (0, 0);
    loop {
        match (field(footer, &mut number)?, number) {
            (STOP, _) => return Some(children),
            // A signed integer: its lowest bit is the sign.
            (INTEGER, 5) => children = footer.varint().filter(|count| count & 1 == 0)? >> 1,
            (kind, _) => skip(footer, kind, DEEPEST)?,
        }
    }
}

const STOP: u8 = 0;
const INTEGER: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// The type of a struct's next field, whose number is counted up.
fn field(bytes: &mut Rest, number: &mut u64) -> Option<u8> {
    let header = bytes.byte()?;
    let kind = header & 0x0F;
    *number = match header >> 4 {
        0 if kind != STOP => bytes.varint()? >> 1,
        more => number.checked_add(more.into())?,
    };
    Some(kind)
}

/// A list's length, and the type of its elements.
fn list(bytes: &mut Rest) -> Option<(u64, u8)> {
    let header = bytes.byte()?;
    let count = match header >> 4 {
        15 => bytes.varint()?,
        count => count.into(),
    };
    Some((count, header & 0x0F))
}

/// Passes over a value of Thrift's compact protocol.
fn skip(bytes: &mut Rest, kind: u8, deepest: usize) -> Option<()> {
    let deeper = deepest.checked_sub(1)?;
    match kind {
        // A truth value, which the type tells.
        1 | 2 => {}
        3 => drop(bytes.byte()?),
        4..=6 => drop(bytes.varint()?),
        7 => drop(bytes.take(8)?),
        8 => {
            let length = usize::try_from(bytes.varint()?).ok()?;
            bytes.take(length)?;
        }
        LIST | 10 => {
            let (count, kind) = list(bytes)?;
            // As long as each element takes a byte, no count is too high to try.
            (kind > 2).then_some(())?;
            (0..count).try_for_each(|_| skip(bytes, kind, deeper))?;
        }
        STRUCT => {
            let mut number = 0;
            loop {
                match field(bytes, &mut number)? {
                    STOP => break,
                    kind => skip(bytes, kind, deeper)?,
                }
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer whose elements claim these children, each with a name and a type that is a struct.
    fn footer(children: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, 2, 0x19, 0xFC, children.len() as u8 | 0x80, 0];
        for count in children {
            bytes.extend([0x48, 1, b'a', 0x15, 2 * count, 0x5C, 0x1C, 0x11, 0, 0, 0]);
        }
        bytes
    }

    #[test]
    fn columns_must_form_a_tree() {
        for children in [&[1, 0][..], &[2, 0, 0], &[2, 2, 0, 0, 1, 0]] {
            assert!(is_sound(&footer(children)), "{children:?}");
        }
        for children in [&[][..], &[0], &[0, 0], &[2, 0], &[1, 0, 0], &[60, 0]] {
            assert!(!is_sound(&footer(children)), "{children:?}");
        }
        assert!(!is_sound(&footer(&[1, 0])[..20]));
    }

    #[test]
    fn columns_must_not_be_nested_without_end() {
        let nested = |depth: usize| [vec![1; depth], vec![0]].concat();
        assert!(is_sound(&footer(&nested(DEEPEST - 1))));
        assert!(!is_sound(&footer(&nested(DEEPEST))));
    }
}
