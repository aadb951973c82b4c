//! How deep a schema goes when its references are followed. What compiles it goes down by recursion, and follows a reference
//! when it first meets it: a chain of them is short in bytes, and would take the stack of the whole program.

use std::collections::HashMap;

use serde_json::Value;

/// Most objects within each other, references followed. A thread of `serve` that reads requests has stack for many times that.
const DEEPEST: usize = 600;

/// Most values that are looked at: references of many spellings may all mean the same large part.
const MOST_VALUES: usize = 5_000_000;

/// A part of the schema that references mean, and which others it goes on to.
#[derive(Default)]
struct Part {
    name: String,
    /// Objects within each other.
    height: usize,
    /// The parts that it refers to anywhere within.
    refers: Vec<usize>,
    /// Those of which it is all that they are: by `$ref` itself, or within `allOf`.
    is_all_of: Vec<usize>,
}

/// Refuses a schema that nests too deep, and one with a part that refers to itself and is nothing beside that.
///
/// # Errors
/// The fact and the limit.
pub(super) fn check_depth(schema: &Value) -> Result<(), String> {
    let parts = parts(schema)?;
    let heights: Vec<usize> = parts.iter().map(|part| part.height).collect();
    let (below, circular) = below(&heights, &parts.iter().map(|part| &part.refers[..]).collect::<Vec<_>>());
    let total = |part: usize| heights[part] + below[part];
    let deepest = match circular.first() {
        // No path meets a part twice: all that lie on a circle, and what lies below them.
        Some(true) => {
            let circle: usize =
                heights.iter().zip(&circular).filter(|(_, is)| **is).map(|(height, _)| height).sum();
            let outside = (0..parts.len()).filter(|part| !circular[*part]).map(total).max();
            circle + outside.unwrap_or(0)
        }
        _ => total(0),
    };
    if deepest > DEEPEST {
        return Err(format!(
            "it nests {deepest} objects deep where its references are followed, and {DEEPEST} are the most"
        ));
    }
    let all_of: Vec<&[usize]> = parts.iter().map(|part| &part.is_all_of[..]).collect();
    let (_, circular) = self::below(&heights, &all_of);
    let Some(first) = circular.iter().position(|is| *is) else { return Ok(()) };
    // From what leads to a circle onto it.
    let next = |part: usize, _| all_of[part].iter().copied().find(|&next| circular[next]).unwrap_or(part);
    let within = (0..parts.len()).fold(first, next);
    Err(format!("'{}' refers to itself and says nothing beside that", parts[within].name))
}

/// The root, and every part that a reference means.
///
/// # Errors
/// References that lead to more than can be looked at.
fn parts(root: &Value) -> Result<Vec<Part>, String> {
    let (mut names, mut known) = (vec!["#".to_string()], HashMap::from([("#".to_string(), 0)]));
    let (mut parts, mut seen): (Vec<Part>, usize) = (Vec::new(), 0);
    while let Some(name) = names.get(parts.len()).cloned() {
        let (mut height, mut refers, mut is_all_of) = (0, Vec::new(), Vec::new());
        if let Some(value) = meant(root, &name) {
            height = walk(value, &mut refers, &mut seen);
            same(value, &mut is_all_of);
        }
        if seen > MOST_VALUES {
            return Err(format!("its references lead to more than {MOST_VALUES} values, which are the most"));
        }
        let mut numbered = |found: Vec<&str>| {
            let mut places: Vec<usize> = found
                .into_iter()
                .map(|name| {
                    let name = if name == "#/" { "#" } else { name };
                    *known.entry(name.to_string()).or_insert_with(|| {
                        names.push(name.to_string());
                        names.len() - 1
                    })
                })
                .collect();
            places.sort_unstable();
            places.dedup();
            places
        };
        let (refers, is_all_of) = (numbered(refers), numbered(is_all_of));
        parts.push(Part { name, height, refers, is_all_of });
    }
    Ok(parts)
}

/// What a reference means; none that is no path from the root, which the compiler refuses by name.
fn meant<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    let path = name.strip_prefix('#')?;
    path.strip_prefix('/').map_or(path.is_empty().then_some(root), |path| {
        path.split('/').try_fold(root, |part, key| match part {
            Value::Array(list) => list.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        })
    })
}

/// How many objects stand within each other; takes the references on the way, and counts what is looked at. JSON itself nests
/// 128 deep at most.
fn walk<'a>(value: &'a Value, refers: &mut Vec<&'a str>, seen: &mut usize) -> usize {
    *seen += 1;
    match value {
        Value::Object(keys) => {
            if let Some(Value::String(name)) = keys.get("$ref") {
                refers.push(name);
            }
            1 + keys.values().map(|value| walk(value, refers, seen)).max().unwrap_or(0)
        }
        Value::Array(list) => list.iter().map(|value| walk(value, refers, seen)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The references that a part must follow whatever it holds.
fn same<'a>(value: &'a Value, is_all_of: &mut Vec<&'a str>) {
    if let Some(name) = value.get("$ref").and_then(Value::as_str) {
        is_all_of.push(name);
    }
    if let Some(all) = value.get("allOf").and_then(Value::as_array) {
        all.iter().for_each(|value| same(value, is_all_of));
    }
}

/// The greatest height below each part that leads to no circle, and which parts lead to one.
fn below(heights: &[usize], refers: &[&[usize]]) -> (Vec<usize>, Vec<bool>) {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); heights.len()];
    let mut open: Vec<usize> = refers.iter().map(|refers| refers.len()).collect();
    for (user, refers) in refers.iter().enumerate() {
        refers.iter().for_each(|&part| users[part].push(user));
    }
    let mut below = vec![0; heights.len()];
    let mut done: Vec<usize> = (0..heights.len()).filter(|&part| open[part] == 0).collect();
    while let Some(part) = done.pop() {
        for &user in &users[part] {
            below[user] = below[user].max(heights[part] + below[part]);
            open[user] -= 1;
            if open[user] == 0 {
                done.push(user);
            }
        }
    }
    (below, open.iter().map(|open| *open > 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_that_is_meant_in_thousands_of_spellings_is_not_looked_at_as_often() {
        let large = json!({"enum": vec![1; 3000]});
        let spelled = |i: usize| json!({"$ref": format!("#/allOf/{}", "0".repeat(i))});
        let all: Vec<Value> = std::iter::once(large).chain((1..2000).map(spelled)).collect();
        let told = check_depth(&json!({"allOf": all})).unwrap_err();
        assert!(told.contains("more than 5000000 values"), "{told}");
    }

    /// Definitions each of which holds the next.
    fn chain(length: usize) -> Value {
        let part = |i: usize| json!({"type": "object", "properties": {"x": {"$ref": format!("#/$defs/a{}", i + 1)}}});
        let mut parts: serde_json::Map<String, Value> =
            (0..length).map(|i| (format!("a{i}"), part(i))).collect();
        parts.insert(format!("a{length}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/a0", "$defs": parts})
    }

    #[test]
    fn references_count_as_what_they_mean() {
        // The root: itself, its definitions, one of them, its properties, one of those. A link: three; the last: one.
        let total = |schema: &Value| {
            let parts = parts(schema).unwrap();
            let heights: Vec<usize> = parts.iter().map(|part| part.height).collect();
            let refers: Vec<&[usize]> = parts.iter().map(|part| &part.refers[..]).collect();
            heights[0] + below(&heights, &refers).0[0]
        };
        assert_eq!(total(&chain(10)), 5 + 3 * 10 + 1);
        assert_eq!(total(&json!({"anyOf": [{"type": "null"}, {"items": {}}]})), 3);
        assert_eq!(check_depth(&chain(150)), Ok(()));
        let refused = check_depth(&chain(5000)).unwrap_err();
        assert!(refused.contains("15006") && refused.contains("600"), "{refused}");
    }

    #[test]
    fn a_circle_counts_each_of_its_parts_once() {
        let tree = |count: usize| {
            let part = |i: usize| {
                let next = format!("#/$defs/a{}", (i + 1) % count);
                json!({"type": "object", "properties": {"x": {"type": "array", "items": {"$ref": next}}}})
            };
            let parts: serde_json::Map<String, Value> =
                (0..count).map(|i| (format!("a{i}"), part(i))).collect();
            json!({"$ref": "#/$defs/a0", "$defs": parts})
        };
        assert_eq!(check_depth(&tree(100)), Ok(()));
        assert!(check_depth(&tree(1000)).unwrap_err().contains("4006"));
    }

    #[test]
    fn a_part_that_is_only_itself_is_told_by_name() {
        for (schema, name) in [
            (json!({"$ref": "#"}), "'#'"),
            (json!({"$ref": "#/"}), "'#'"),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}), "'#/$defs/a'"),
            (
                json!({"type": "object", "properties": {"c": {"$ref": "#/$defs/a"}},
                    "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
                "'#/$defs/",
            ),
        ] {
            let refused = check_depth(&schema).unwrap_err();
            assert!(refused.starts_with(name), "{schema}: {refused}");
        }
        for schema in [
            json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]}),
            json!({"type": "object", "properties": {"c": {"$ref": "#"}}}),
            json!({"type": "array", "items": {"$ref": "#"}}),
            json!({"$ref": "#/$defs/none"}),
            json!({"$ref": "elsewhere"}),
            json!({"properties": {"$ref": {"type": "string"}}}),
        ] {
            assert_eq!(check_depth(&schema), Ok(()), "{schema}");
        }
    }
}
