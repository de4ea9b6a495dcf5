//! Changes of TOML that leave everything else as it is. Owns how; knows no client but by its table.

use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

/// The table that holds the servers.
const SECTION: &str = "mcp_servers";
/// Fields by which one way to reach a server differs from another.
const OF_A_TRANSPORT: [&str; 5] = ["command", "args", "env_vars", "url", "bearer_token_env_var"];

/// Enters a server under `name`.
pub(super) fn enter_server(
    text: &str,
    name: &str,
    entry: &[(&str, Json)],
) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())?;
    let servers = document.entry(SECTION).or_insert_with(|| {
        let mut table = Table::new();
        // Only the server's own header is written.
        table.set_implicit(true);
        Item::Table(table)
    });
    let servers = servers.as_table_like_mut();
    let servers = servers.ok_or_else(|| format!("`{SECTION}` is no table"))?;
    let server = servers.entry(name).or_insert_with(toml_edit::table);
    let server = server.as_table_like_mut();
    let server = server.ok_or_else(|| format!("`{SECTION}.{name}` is no table"))?;
    for field in OF_A_TRANSPORT {
        if !entry.iter().any(|(wanted, _)| *wanted == field) {
            server.remove(field);
        }
    }
    for (field, wanted) in entry {
        set(server, field, written(wanted)?);
    }
    Ok(document.to_string())
}

/// Sets a field, unless it says so already; what is written beside it stays.
fn set(table: &mut dyn TableLike, field: &str, mut wanted: Value) {
    if let Some(Item::Value(there)) = table.get_mut(field) {
        let decor = std::mem::take(there.decor_mut());
        if plain(there) == plain(&wanted) {
            *there.decor_mut() = decor;
            return;
        }
        *wanted.decor_mut() = decor;
        *there = wanted;
        return;
    }
    table.insert(field, value(wanted));
}

/// A value without its layout.
fn plain(value: &Value) -> String {
    match value {
        Value::Array(array) => array.iter().map(|value| plain(value) + ",").collect(),
        Value::String(text) => format!("{:?}", text.value()),
        other => other.to_string().trim().to_owned(),
    }
}

fn written(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Array(values) => {
            let values = values.iter().map(written).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Array(values.into_iter().collect::<Array>()))
        }
        other => Err(format!("{other} is neither a text nor a list")),
    }
}
