//! Bodies of requests and answers: MessagePack or JSON, answered in kind. Owns decoding with the
//! field at fault, bounds on size and depth, and the error body; never interprets a field.

use crate::error::{ErrorCode, Refusal};
use crate::limits::{BODY_MAX_DEPTH, REQUEST_MAX_BYTES};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How a body is written. A JSON object begins with `{` (0x7b) or white space, which no
/// MessagePack map does, so the first byte tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// MessagePack with named fields.
    MessagePack,
    /// JSON; also what an empty body counts as.
    Json,
}

impl Encoding {
    /// Tells how a request body is written.
    pub fn of(body: &[u8]) -> Self {
        match body.first() {
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n' | b'[' | b'"') | None => Self::Json,
            Some(_) => Self::MessagePack,
        }
    }

    /// Writes an answer.
    pub fn encode<T: Serialize>(self, value: &T) -> Vec<u8> {
        match self {
            Self::MessagePack => {
                rmp_serde::to_vec_named(value).expect("answers are plain data and always encode")
            }
            Self::Json => {
                serde_json::to_vec(value).expect("answers are plain data and always encode")
            }
        }
    }

    /// Reads a body; an empty one reads as an object without fields.
    ///
    /// # Errors
    /// `too_large`, or `invalid_argument` with the path of the field.
    pub fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Refusal> {
        if body.len() > REQUEST_MAX_BYTES {
            return Err(Refusal::new(
                ErrorCode::TooLarge,
                format!(
                    "the request has {} bytes; {REQUEST_MAX_BYTES} is the limit",
                    body.len()
                ),
                "send less at once",
            )
            .at(BODY));
        }
        match self {
            Self::Json => decode_json(if body.is_empty() { b"{}" } else { body }),
            Self::MessagePack => decode_message_pack(body),
        }
    }
}

/// The field of what is wrong with a body as a whole.
const BODY: &str = "body";

fn decode_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if json_depth(body) > BODY_MAX_DEPTH {
        return Err(too_deep());
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let syntax = !error.inner().is_data();
        malformed(
            "JSON",
            &error.path().to_string(),
            &error.inner().to_string(),
            syntax,
        )
    })?;
    reader
        .end()
        .map_err(|error| malformed("JSON", "", &error.to_string(), true))?;
    Ok(value)
}

fn decode_message_pack<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // A cursor knows how far it has read, which a deserializer of a plain slice does not tell.
    let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(body));
    reader.set_max_depth(BODY_MAX_DEPTH);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        if matches!(inner, rmp_serde::decode::Error::DepthLimitExceeded) {
            return too_deep();
        }
        let syntax = !matches!(
            inner,
            rmp_serde::decode::Error::Syntax(_)
                | rmp_serde::decode::Error::Uncategorized(_)
                | rmp_serde::decode::Error::TypeMismatch(_)
                | rmp_serde::decode::Error::Utf8Error(_)
        );
        malformed("MessagePack", &path, &inner.to_string(), syntax)
    })?;
    if reader.position() != body.len() as u64 {
        return Err(malformed(
            "MessagePack",
            "",
            "bytes follow the object",
            true,
        ));
    }
    Ok(value)
}

fn too_deep() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidArgument,
        format!("the body nests deeper than {BODY_MAX_DEPTH} levels"),
        "send the flat object that subjects.md shows",
    )
    .at(BODY)
}

fn malformed(what: &str, path: &str, cause: &str, syntax: bool) -> Refusal {
    let cause: String = cause
        .chars()
        .filter(|c| !c.is_control())
        .take(160)
        .collect();
    let place: Option<String> = match path {
        "" | "." => None,
        path => Some(path.chars().filter(|c| !c.is_control()).take(64).collect()),
    };
    if syntax {
        return Refusal::new(
            ErrorCode::InvalidArgument,
            format!("the body is not one {what} object: {cause}"),
            "send one JSON or MessagePack object with the fields that subjects.md shows",
        )
        .at(place.as_deref().unwrap_or(BODY));
    }
    let refusal = Refusal::new(
        ErrorCode::InvalidArgument,
        format!("a field is missing or of the wrong type: {cause}"),
        "send the fields that subjects.md shows, with their types",
    );
    let field = place.or_else(|| missing_field(&cause));
    refusal.at(field.as_deref().unwrap_or(BODY))
}

/// serde says ``missing field `x` `` without a path.
fn missing_field(cause: &str) -> Option<String> {
    let rest = cause.split_once("missing field `")?.1;
    Some(rest.split_once('`')?.0.to_owned())
}

/// Deepest nesting of brackets outside strings; a scan, so that nothing is built of a hostile body.
fn json_depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// An answer on the wire: the answer's own fields, or a refusal's at top level.
///
/// # Errors
/// The refusal that the body holds; `internal` when the body is neither.
pub fn decode_answer<T: DeserializeOwned>(
    encoding: Encoding,
    body: &[u8],
    is_error: bool,
) -> Result<T, Refusal> {
    let unreadable = |cause: String| {
        Refusal::new(
            ErrorCode::Internal,
            format!("the answer could not be read: {cause}"),
            "use a client of the deployment's version",
        )
    };
    if is_error {
        let refusal: Refusal = read(encoding, body).map_err(unreadable)?;
        return Err(refusal);
    }
    read(encoding, body).map_err(unreadable)
}

fn read<T: for<'de> Deserialize<'de>>(encoding: Encoding, body: &[u8]) -> Result<T, String> {
    match encoding {
        Encoding::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        Encoding::MessagePack => rmp_serde::from_slice(body).map_err(|error| error.to_string()),
    }
}

/// Header that marks an answer as a refusal: its value is the stable code.
pub const ERROR_CODE_HEADER: &str = "Nats-Service-Error-Code";
/// Header beside it with the message, for tools that show it.
pub const ERROR_HEADER: &str = "Nats-Service-Error";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        channel: String,
        #[serde(default)]
        limit: Option<i64>,
    }

    #[test]
    fn both_encodings_read_back_what_they_wrote() {
        let sample = Sample {
            channel: "é".repeat(70_000),
            limit: Some(-3),
        };
        for encoding in [Encoding::MessagePack, Encoding::Json] {
            let body = encoding.encode(&sample);
            assert_eq!(Encoding::of(&body), encoding);
            assert_eq!(encoding.decode::<Sample>(&body).unwrap(), sample);
        }
    }

    #[test]
    fn both_encodings_name_the_field_at_fault() {
        for body in [
            br#"{"channel":"a","limit":"x"}"#.to_vec(),
            rmp_serde::to_vec_named(&serde_json::json!({"channel":"a","limit":"x"})).unwrap(),
        ] {
            let refusal = Encoding::of(&body).decode::<Sample>(&body).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("limit"), "{refusal:?}");
        }
        let missing = Encoding::Json.decode::<Sample>(b"").unwrap_err();
        assert_eq!(missing.field.as_deref(), Some("channel"));
        let missing = rmp_serde::to_vec_named(&serde_json::json!({"limit": 1})).unwrap();
        assert_eq!(
            Encoding::of(&missing)
                .decode::<Sample>(&missing)
                .unwrap_err()
                .field
                .as_deref(),
            Some("channel")
        );
    }

    #[test]
    fn extra_fields_are_ignored_and_extra_bytes_are_not() {
        assert!(
            Encoding::Json
                .decode::<Sample>(br#"{"channel":"a","other":{"x":[1]}}"#)
                .is_ok()
        );
        assert!(
            Encoding::Json
                .decode::<Sample>(br#"{"channel":"a"}{"channel":"b"}"#)
                .is_err()
        );
        let mut twice = rmp_serde::to_vec_named(&Sample {
            channel: "a".into(),
            limit: None,
        })
        .unwrap();
        twice.push(0xc0);
        assert!(Encoding::of(&twice).decode::<Sample>(&twice).is_err());
    }

    #[test]
    fn deep_and_large_bodies_are_refused_before_they_are_built() {
        let deep = format!(
            r#"{{"channel":{}1{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(
            Encoding::Json
                .decode::<Sample>(deep.as_bytes())
                .unwrap_err()
                .code,
            ErrorCode::InvalidArgument
        );
        let mut deep = vec![0x81, 0xa7];
        deep.extend_from_slice(b"channel");
        deep.extend(std::iter::repeat_n(0x91, 100_000));
        assert_eq!(
            Encoding::of(&deep)
                .decode::<Sample>(&deep)
                .unwrap_err()
                .code,
            ErrorCode::InvalidArgument
        );
        let large = vec![b' '; REQUEST_MAX_BYTES + 1];
        assert_eq!(
            Encoding::of(&large)
                .decode::<Sample>(&large)
                .unwrap_err()
                .code,
            ErrorCode::TooLarge
        );
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(refusal) = Encoding::of(&body).decode::<Sample>(&body) {
                prop_assert_eq!(refusal.code, ErrorCode::InvalidArgument);
            }
        }
    }
}
