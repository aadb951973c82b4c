//! Names that come from the hub and become paths and addresses here: none of them is believed.

use std::path::{Component, Path};

/// Whether a file of this name lies in the folder of its repository, on every system.
pub fn is_plain(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word != "." && word != "..";
    name.split('/').all(word)
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// A name as a value behind a URL's `?`, where a slash means something, too.
pub fn in_query(name: &str) -> String {
    in_url(name).replace('/', "%2F")
}

/// A name in a URL: every byte that means something there is written `%XX`.
pub fn in_url(name: &str) -> String {
    let mut url = String::new();
    for byte in name.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// The name under which contents are kept: their ETag without quotes, if it can be a file's name.
pub fn content_name(etag: &str) -> Option<&str> {
    let name = etag.trim().trim_start_matches("W/").trim_matches('"');
    let safe = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (safe && (1..=200).contains(&name.len()) && !name.starts_with('.')).then_some(name)
}

/// Whether this is a commit's name.
pub fn is_commit(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The first few names, and how many more there are.
pub fn first_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_not_plain() {
        for name in ["a.json", "data/train-0.parquet", "训练/第 1 组.jsonl", "..a", "a..b", ".gitattributes"]
        {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "./a", "a\\b", "..\\a", "a\nb", "a\0b"]
        {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[test]
    fn what_means_something_in_a_url_is_written_in_numbers() {
        assert_eq!(in_url("a/b-1.5_c~d.json"), "a/b-1.5_c~d.json");
        assert_eq!(in_url("a b?c#d%e=中"), "a%20b%3Fc%23d%25e%3D%E4%B8%AD");
        assert_eq!(in_query("a/b&c+d"), "a%2Fb%26c%2Bd");
    }

    #[test]
    fn an_etag_that_is_no_file_name_is_refused() {
        assert_eq!(content_name("\"abc-1.2\""), Some("abc-1.2"));
        assert_eq!(content_name("W/\"abc\""), Some("abc"));
        for etag in ["", "\"\"", "../a", "a/b", "a\\b", ".a", "..", "\"a b\"", &"a".repeat(201)] {
            assert_eq!(content_name(etag), None, "{etag}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(first_of(["a", "b"]), "a, b");
        assert_eq!(first_of(["a"; 9]), "a, a, a, a, a, a and 3 more");
    }
}
