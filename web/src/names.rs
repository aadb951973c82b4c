//! Names of what a run gives, which take no other's place.

/// The wanted name, or that name with the first number behind it that is free.
pub fn free(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = wanted.to_string();
    let mut number = 1;
    while is_taken(&name) {
        number += 1;
        name = format!("{wanted}-{number}");
    }
    name
}

/// What is named after its data and the day: `lessons 2026-03-01` of `lessons.jsonl.gz`.
pub fn of_data(file: Option<&str>, day: &str) -> String {
    match file.map(stem).filter(|stem| !stem.is_empty()) {
        Some(stem) => format!("{stem} {day}"),
        None => day.to_string(),
    }
}

/// A file's name without folders and endings.
pub fn stem(file: &str) -> &str {
    let own = file.rsplit(['/', '\\']).next().unwrap_or_default();
    own.split('.').map(str::trim).find(|part| !part.is_empty()).unwrap_or_default()
}

/// A day as names have it: `2026-03-01`.
pub fn day(year: u32, month: u32, day: u32) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_first_free_number() {
        assert_eq!(free("lora", |_| false), "lora");
        assert_eq!(free("lora", |name| ["lora", "lora-2", "lora-4"].contains(&name)), "lora-3");
    }

    #[test]
    fn days_sort_as_texts() {
        assert_eq!(day(2026, 3, 1), "2026-03-01");
    }

    #[test]
    fn data_name_what_was_made_of_them() {
        for (file, name) in [
            (Some("lessons.jsonl"), "lessons 2026-03-01"),
            (Some("a folder/课 1.jsonl.gz"), "课 1 2026-03-01"),
            (Some(".hidden"), "hidden 2026-03-01"),
            (Some(""), "2026-03-01"),
            (None, "2026-03-01"),
        ] {
            assert_eq!(of_data(file, "2026-03-01"), name);
        }
    }
}
