//! Schemas of arguments and answers, from the types themselves. Owns making them small and plain: a
//! client sends the whole list of tools to its model, and warns about what it does not know.

use crate::registry::UnreadFrom;
use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Keywords that say nothing to a model, or that clients do not know.
const NOISE: [&str; 5] = ["$schema", "title", "format", "default", "minimum"];

/// What a tool takes: the fields of `T`, and those by which a caller may say who it is.
pub(crate) fn input<T: JsonSchema>(claims: &[(&str, &str)]) -> JsonObject {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = plain(settings.into_generator().into_root_schema_for::<T>().into());
    schema.insert("additionalProperties".to_owned(), json!(false));
    let properties = properties_of(&mut schema);
    for (name, about) in claims {
        let claim = json!({"type": "string", "description": about});
        properties.insert((*name).to_owned(), claim);
    }
    schema
}

/// What a tool answers. The same schema holds for a refusal, which has `error` and none of the rest: some
/// clients hold every result against it. So at the top nothing is required. What of the unread mail is told stands where
/// a tool is about it; said of each tool it would take a model 2 kB more.
pub(crate) fn output<T: JsonSchema>(unread: UnreadFrom) -> JsonObject {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.inline_subschemas = true);
    let mut schema = plain(settings.into_generator().into_root_schema_for::<T>().into());
    schema.remove("required");
    let properties = properties_of(&mut schema);
    let unread = match unread {
        UnreadFrom::Answer => json!({"type": "object", "properties": {
            "count": {"type": "integer"}, "highestPriority": {"type": "string"}
        }}),
        UnreadFrom::Beside | UnreadFrom::Afterwards => json!({"type": "object"}),
    };
    properties.insert("unread".to_owned(), unread);
    properties.insert("error".to_owned(), json!({"type": "object"}));
    schema
}

/// The names of the fields in a schema, in the order in which they are shown.
pub(crate) fn fields(schema: &JsonObject) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(|known| known.keys());
    names.cloned().collect()
}

/// What a schema says of one field, in words: its type, and its description.
pub(crate) fn in_words(schema: &JsonObject, field: &str) -> Option<String> {
    let property = schema.get("properties")?.get(field)?;
    let kind = property.get("type").and_then(Value::as_str);
    let kind = match kind {
        Some("array") if property["items"]["type"] == "object" => "a list of objects",
        Some("array") => "a list of strings",
        Some("object") => "an object",
        Some("integer") => "an integer",
        _ => "a string",
    };
    let about = property.get("description").and_then(Value::as_str);
    Some(about.map_or_else(|| kind.to_owned(), |about| format!("{kind}: {about}")))
}

fn properties_of(schema: &mut JsonObject) -> &mut JsonObject {
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    properties
        .as_object_mut()
        .expect("properties are an object")
}

fn plain(schema: Value) -> JsonObject {
    let mut schema = schema;
    slim(&mut schema);
    let Value::Object(mut schema) = schema else {
        unreachable!("the schema of a struct is an object")
    };
    // The root's description is the type's, which speaks to whoever reads the source.
    schema.remove("description");
    schema
}

fn slim(schema: &mut Value) {
    match schema {
        Value::Object(object) => slim_object(object),
        Value::Array(parts) => parts.iter_mut().for_each(slim),
        _ => {}
    }
}

fn slim_object(object: &mut JsonObject) {
    for word in NOISE {
        object.remove(word);
    }
    let required: Vec<Value> = match object.get("required") {
        Some(Value::Array(names)) => names.clone(),
        _ => Vec::new(),
    };
    for (word, part) in object.iter_mut() {
        // Below `properties` stand names, not keywords.
        if let ("properties", Value::Object(fields)) = (word.as_str(), &mut *part) {
            for (name, field) in fields.iter_mut() {
                slim(field);
                if !required.iter().any(|known| known == name) {
                    never_null(field);
                }
            }
        } else {
            slim(part);
        }
        // As the root's: the type's own words speak to whoever reads the source.
        if let ("items", Value::Object(item)) = (word.as_str(), &mut *part) {
            item.remove("description");
        }
    }
}

/// A field that may be left out is left out rather than null.
fn never_null(field: &mut Value) {
    let Value::Object(field) = field else { return };
    if let Some(Value::Array(kinds)) = field.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            field.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = field.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if let Some(Value::Array(choices)) = field.get("anyOf")
        && let [Value::Object(only), Value::Object(null)] = choices.as_slice()
        && null.get("type").is_some_and(|kind| kind == "null")
    {
        let only: Map<String, Value> = only.clone();
        field.remove("anyOf");
        for (word, value) in only {
            field.entry(word).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    /// Somebody.
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        /// When.
        sent_at: i64,
        read_at: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
    }

    #[test]
    fn schemas_hold_no_word_that_clients_warn_about() {
        let schema = Value::Object(output::<Sample>(UnreadFrom::Beside));
        assert_eq!(
            schema["properties"]["sentAt"],
            json!({"type": "integer", "description": "When."})
        );
        assert_eq!(
            schema["properties"]["readAt"]["type"],
            json!(["integer", "null"])
        );
        assert_eq!(schema["properties"]["replyTo"]["type"], "string");
        assert_eq!(schema["type"], "object");
        for word in ["format", "$schema", "title", "Somebody"] {
            assert!(!schema.to_string().contains(word), "{schema}");
        }
    }
}
