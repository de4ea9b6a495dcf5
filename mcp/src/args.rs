//! What a tool was called with. Owns telling a caller which field is wrong and how to put it right;
//! what a field means is the tool's and, in the end, the broker's.

use crate::caller::Caller;
use crate::schema;
use postroad_client::Page;
use postroad_protocol::limits::PAGE_MAX;
use postroad_protocol::query::AsOf;
use postroad_protocol::tenancy::Claims;
use postroad_protocol::{ErrorCode, MessageId, Refusal, Role, TimeMs};
use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// By which fields a caller may say who it is, and what a schema says of them.
pub(crate) const TENANT: (&str, &str) = ("tenantId", "Your tenant; may be left out");
/// See [`TENANT`].
pub(crate) const FROM: (&str, &str) = ("from", "Your role; may be left out");
/// See [`TENANT`].
pub(crate) const RECIPIENT: (&str, &str) = ("recipient", "Your role; may be left out");
/// See [`TENANT`].
pub(crate) const RECIPIENT_INSTANCE: (&str, &str) =
    ("recipientInstanceId", "Your instance; may be left out");

/// Longest part of a caller's own text that an error repeats, in characters.
const REPEATED_MAX_CHARS: usize = 60;
/// Longest cause of a field of the wrong type that is repeated, in characters.
const CAUSE_MAX_CHARS: usize = 160;

/// Reads the arguments of a tool with this input schema and these claims, made by `caller`.
pub(crate) fn read<T: DeserializeOwned>(
    tool: &str,
    schema: &JsonObject,
    claims: &[(&str, &str)],
    caller: &Caller,
    mut arguments: JsonObject,
) -> Result<T, Refusal> {
    // Models say null where they mean nothing.
    arguments.retain(|_, value| !value.is_null());
    let known = schema::fields(schema);
    if let Some(unknown) = arguments.keys().find(|name| !known.contains(name)) {
        return Err(unknown_field(tool, unknown, &known));
    }
    let mut claimed = JsonObject::new();
    for (name, _) in claims {
        if let Some((name, value)) = arguments.remove_entry(*name) {
            claimed.insert(name, value);
        }
    }
    let claimed: Claims = typed(tool, schema, claimed)?;
    caller.expect(&claimed)?;
    typed(tool, schema, arguments)
}

fn unknown_field(tool: &str, name: &str, known: &[String]) -> Refusal {
    let shown: String = name.chars().take(REPEATED_MAX_CHARS).collect();
    let fields = known.join(", ");
    let nearest = known
        .iter()
        .map(|field| {
            (
                strsim::osa_distance(&shown.to_lowercase(), &field.to_lowercase()),
                field,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, field)| *distance <= field.chars().count() / 2);
    let remedy = match nearest {
        _ if known.is_empty() => format!("call {tool} without arguments"),
        Some((_, nearest)) => format!("did you mean `{nearest}`? {tool} takes {fields}"),
        None => format!("leave it out: {tool} takes {fields}"),
    };
    Refusal::invalid(&shown, format!("{tool} has no field `{shown}`"), remedy)
}

fn typed<T: DeserializeOwned>(
    tool: &str,
    schema: &JsonObject,
    arguments: JsonObject,
) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        let cause: String = error.into_inner().to_string();
        let missing = cause.strip_prefix("missing field `");
        if let Some(field) = missing.and_then(|rest| rest.strip_suffix('`')) {
            let message = format!("{tool} needs the field `{field}`");
            return Refusal::invalid(field, message, give(schema, field));
        }
        let field: String = path.chars().take(REPEATED_MAX_CHARS).collect();
        let root = field.split(['.', '[']).next().unwrap_or_default();
        let cause: String = cause.chars().take(CAUSE_MAX_CHARS).collect();
        let message = format!("`{field}` cannot be read: {cause}");
        Refusal::invalid(&field, message, give(schema, root))
    })
}

fn give(schema: &JsonObject, field: &str) -> String {
    schema::in_words(schema, field).map_or_else(
        || "give the fields that the tool's input schema names".to_owned(),
        |words| format!("give {field} as {words}"),
    )
}

/// A page size as the client library takes it.
pub(crate) fn limit(limit: Option<i64>) -> Result<Option<u32>, Refusal> {
    let Some(limit) = limit else { return Ok(None) };
    let fits = u32::try_from(limit).ok();
    match fits.filter(|limit| (1..=PAGE_MAX).contains(&(*limit as usize))) {
        Some(limit) => Ok(Some(limit)),
        None => Err(Refusal::invalid(
            "limit",
            format!("the limit lies between 1 and {PAGE_MAX}"),
            format!("ask for 1 to {PAGE_MAX}; a list goes on with its cursor"),
        )),
    }
}

/// Which part of a list.
pub(crate) fn page(size: Option<i64>, cursor: Option<String>) -> Result<Page, Refusal> {
    let mut page = Page::default();
    if let Some(cursor) = cursor {
        page = page.after(cursor);
    }
    if let Some(size) = limit(size)? {
        page = page.limit(size);
    }
    Ok(page)
}

/// A message's id. A text that cannot be one names nothing, just like an id of somebody else's.
pub(crate) fn message(text: &str) -> Result<MessageId, Refusal> {
    MessageId::parse(text).ok_or_else(|| Refusal::not_found("messageId", "message"))
}

/// A time.
pub(crate) fn moment(field: &str, ms: i64) -> Result<TimeMs, Refusal> {
    u64::try_from(ms).map(TimeMs).map_err(|_| {
        Refusal::invalid(
            field,
            "a time is not negative",
            "give milliseconds since 1970",
        )
    })
}

/// As of when memories are asked for, where that is not now.
pub(crate) fn as_of(ms: Option<i64>) -> Result<Option<AsOf>, Refusal> {
    let time = ms.map(|ms| moment("asOf", ms)).transpose()?;
    Ok(time.map(AsOf::Time))
}

/// Refuses whoever says that somebody else writes a memory, as a broker would.
pub(crate) fn author(caller: &Caller, claimed: Option<&str>) -> Result<(), Refusal> {
    let own = caller.reader();
    let is_own = |claimed: &str| match claimed.split_once('/') {
        Some((role, instance)) => role == own.role.as_str() && instance == own.instance.as_str(),
        None => Role::parse(claimed).is_ok_and(|role| role == own.role),
    };
    match claimed {
        Some(claimed) if !is_own(claimed) => Err(Refusal::new(
            ErrorCode::PermissionDenied,
            "createdBy is not the credential's",
            "leave createdBy out: the credential says who stores",
        )
        .at("createdBy")),
        _ => Ok(()),
    }
}

/// More than fits at once.
pub(crate) fn too_many(field: &str, count: usize, most: usize) -> Refusal {
    Refusal::new(
        ErrorCode::TooLarge,
        format!("{count} are named; {most} is the limit"),
        "name them in several calls",
    )
    .at(field)
}
