//! Values, keys and paths as TOML writes them.

use serde_json::Value as Json;

/// A value on one line; without the nulls, which TOML has not.
pub fn json(value: &Json) -> String {
    match value {
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(json).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(table) => {
            let known = table.iter().filter(|(_, value)| !value.is_null());
            inline(known.map(|(name, value)| (name, json(value))))
        }
        // JSON differs in that it lets a string have a DEL.
        scalar => scalar.to_string().replace('\u{7f}', "\\u007f"),
    }
}

/// A table on one line, its values written already.
pub fn inline<'a>(pairs: impl Iterator<Item = (&'a String, String)>) -> String {
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{} = {value}", key(name)))
        .collect();
    if pairs.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", pairs.join(", "))
    }
}

/// A path.
pub fn path<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    keys.into_iter().map(key).collect::<Vec<_>>().join(".")
}

/// A key, in quotes if it needs them.
pub fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        json(&name.into())
    }
}
