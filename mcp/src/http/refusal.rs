//! What HTTP answers where no MCP server has the word yet: the house's one shape of an error, and beside it a JSON-RPC
//! error, which is all that MCP clients show of it.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use postroad_protocol::error::Refusal;
use serde::Serialize;

/// JSON-RPC's code for errors of a server's own.
const SERVER_ERROR: i32 = -32_000;

/// A refusal, in the same words as everywhere.
pub(super) fn answer(status: StatusCode, refusal: &Refusal) -> Response {
    answer_as(SERVER_ERROR, status, refusal)
}

/// The same, where JSON-RPC has a code of its own for it.
pub(super) fn answer_as(code: i32, status: StatusCode, refusal: &Refusal) -> Response {
    let message = format!("{}: {}; {}", refusal.code, refusal.message, refusal.remedy);
    let document = Document {
        refusal,
        jsonrpc: "2.0",
        // Whose request it was is not known: its body may not have been read.
        id: (),
        error: RpcError { code, message },
    };
    json(status, &document)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    refusal: &'a Refusal,
    jsonrpc: &'static str,
    id: (),
    error: RpcError,
}

#[derive(Serialize)]
struct RpcError {
    code: i32,
    message: String,
}

/// A refusal for now.
pub(super) fn later(status: StatusCode, refusal: &Refusal) -> Response {
    with_header(answer(status, refusal), RETRY_AFTER, "1")
}

/// A document, which nobody on the way keeps.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let response = with_header(response, CONTENT_TYPE, "application/json");
    with_header(response, CACHE_CONTROL, "no-store")
}

/// The response with one more header; without it, where the value is none.
pub(super) fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
