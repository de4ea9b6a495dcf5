//! Changes of JSON with comments that leave everything else as it is. Owns how; knows no client.

use super::plan::Hooked;
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Value, json};

/// Fields of an entry by which one way to reach a server differs from another: what the wanted way
/// lacks goes.
const OF_A_TRANSPORT: [&str; 6] = ["type", "command", "args", "url", "headers", "env"];
/// Events that are hooked.
const EVENTS: [&str; 4] = ["SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"];
/// How long the client waits for a hook, in seconds: more than a hook ever takes.
const HOOK_TIMEOUT_S: u64 = 10;

/// What the clients take: JSON, with comments and trailing commas.
const FORM: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A server's entry.
pub(super) struct Server<'a> {
    /// The object that holds the servers.
    pub(super) section: &'a str,
    /// Under which name.
    pub(super) name: &'a str,
    /// Its fields.
    pub(super) entry: &'a [(&'a str, Value)],
    /// A variable that goes where it has this value.
    pub(super) stale: Option<(&'a str, &'a str)>,
}

/// Enters a server, and an input where one is needed.
pub(super) fn enter_server(
    text: &str,
    wanted: &Server<'_>,
    input: Option<&Value>,
) -> Result<String, String> {
    let (root, all) = parsed(text)?;
    let Server { entry, .. } = *wanted;
    if let Some(input) = input {
        let inputs = all.array_value_or_create("inputs");
        let inputs = inputs.ok_or("`inputs` is no list")?;
        let id = |node: &CstNode| Some(node.to_serde_value()?.get("id")?.clone());
        let is_there = inputs
            .elements()
            .iter()
            .any(|node| id(node).as_ref() == input.get("id"));
        if !is_there {
            inputs.append(written(input));
        }
    }
    let servers = object(&all, wanted.section)?;
    let server = object(&servers, wanted.name)?;
    if let (Some((name, value)), Some(env)) = (wanted.stale, server.object_value("env"))
        && let Some(property) = env.get(name)
        && property.value().and_then(|node| node.to_serde_value()) == Some(json!(value))
    {
        property.remove();
        if env.properties().is_empty()
            && let Some(env) = server.get("env")
        {
            env.remove();
        }
    }
    for field in OF_A_TRANSPORT {
        let is_wanted = entry.iter().any(|(wanted, _)| *wanted == field);
        // Variables of the user's own stay: a command may need them.
        let is_own = field == "env" && entry.iter().any(|(wanted, _)| *wanted == "command");
        if let (false, false, Some(property)) = (is_wanted, is_own, server.get(field)) {
            property.remove();
        }
    }
    for (field, value) in entry {
        match value {
            Value::Object(fields) if server.object_value(field).is_some() => {
                let inner = object(&server, field)?;
                for (field, value) in fields {
                    set(&inner, field, value);
                }
            }
            value => set(&server, field, value),
        }
    }
    Ok(finished(&root))
}

/// Enters a command as the hook of every event that is served.
pub(super) fn enter_hooks(text: &str, hooked: &Hooked) -> Result<String, String> {
    let (root, all) = parsed(text)?;
    let hooks = object(&all, "hooks")?;
    for event in EVENTS {
        let groups = hooks.array_value_or_create(event);
        let groups = groups.ok_or_else(|| format!("`hooks.{event}` is no list"))?;
        let own = handlers(&groups)
            .into_iter()
            .find(|handler| command(handler).is_some_and(|command| hooked.is_form_of(&command)));
        if let Some(own) = own {
            set(&own, "command", &json!(hooked.command));
            continue;
        }
        let handler =
            json!({"type": "command", "command": hooked.command, "timeout": HOOK_TIMEOUT_S});
        groups.append(written(&json!({ "hooks": [handler] })));
    }
    Ok(finished(&root))
}

/// Every handler of an event, whatever its matcher.
fn handlers(groups: &CstArray) -> Vec<CstObject> {
    let groups = groups
        .elements()
        .into_iter()
        .filter_map(|group| group.as_object());
    let lists = groups.filter_map(|group| group.array_value("hooks"));
    lists
        .flat_map(|list| list.elements())
        .filter_map(|handler| handler.as_object())
        .collect()
}

fn command(handler: &CstObject) -> Option<String> {
    handler
        .get("command")?
        .value()?
        .as_string_lit()?
        .decoded_value()
        .ok()
}

/// The text and its outermost object; an empty text has an empty one.
fn parsed(text: &str) -> Result<(CstRootNode, CstObject), String> {
    let root = CstRootNode::parse(text, &FORM).map_err(|error| error.to_string())?;
    let all = root.object_value_or_create();
    let all = all.ok_or_else(|| "it holds no JSON object".to_owned())?;
    Ok((root, all))
}

fn object(within: &CstObject, field: &str) -> Result<CstObject, String> {
    let object = within.object_value_or_create(field);
    object.ok_or_else(|| format!("`{field}` is no object"))
}

/// Sets a field, unless it says so already.
fn set(object: &CstObject, field: &str, value: &Value) {
    match object.get(field) {
        Some(property) if property.to_serde_value().as_ref() == Some(value) => {}
        Some(property) => property.set_value(written(value)),
        None => {
            object.append(field, written(value));
        }
    }
}

fn written(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(written).collect()),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), written(value)));
            CstInputValue::Object(fields.collect())
        }
    }
}

/// The whole text; one that was empty ends its last line.
fn finished(root: &CstRootNode) -> String {
    let mut text = root.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
