//! What is served under which path, and in what order a request is judged: by whom it may be sent, whether
//! there is room, who calls; only then is its body read.

use super::bearer::{Unauthorized, challenge, is_in_url, presented, refuse_url};
use super::body::{self, Held, Shares};
use super::callers::{Admitted, Callers, Denied};
use super::refusal::{answer, answer_as, json, later, with_header};
use super::seat::Ending;
use super::site::{Passed, Site};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use axum::{Router, middleware};
use http::header::ALLOW;
use http::{HeaderMap, Method, StatusCode};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::tenancy::Scope;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where MCP is served.
pub(super) const MCP_PATH: &str = "/mcp";
/// Where its metadata lies.
const METADATA: &str = "/.well-known/oauth-protected-resource";
/// Sessions of one caller at once. Each is forgotten when nothing has come for it for as long as a caller may
/// be idle.
const SESSIONS_PER_CALLER: usize = 64;
/// How soon it is known that a token has ended, once its credential has.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// JSON-RPC's code for what is no JSON.
const PARSE_ERROR: i32 = -32_700;
/// JSON-RPC's code for what is no request.
const INVALID_REQUEST: i32 = -32_600;
/// Names the session of a request.
const SESSION_ID: &str = "mcp-session-id";

/// What every request is judged by.
pub(super) struct Front {
    pub(super) site: Site,
    pub(super) callers: Arc<Callers>,
    /// Requests, and answers that are still being sent.
    pub(super) requests: Arc<Semaphore>,
    pub(super) ending: Ending,
}

/// Every path.
pub(super) fn router(front: Arc<Front>) -> Router {
    let metadata_of_mcp = format!("{METADATA}{MCP_PATH}");
    let judged = Router::new()
        .route(MCP_PATH, any(mcp))
        .route(METADATA, get(metadata))
        .route(&metadata_of_mcp, get(metadata))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(Arc::clone(&front), judge));
    Router::new()
        .route("/healthz", get(healthy))
        .merge(judged)
        .with_state(front)
}

/// Says that it is there. It names nobody and counts nobody, so whoever asks may know.
async fn healthy() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "ok": true }))
}

async fn nothing() -> Response {
    let refusal = Refusal::new(
        ErrorCode::NotFound,
        "nothing is served under this path",
        format!("MCP is served under {MCP_PATH}"),
    );
    answer(StatusCode::NOT_FOUND, &refusal)
}

/// Turns away what was not sent to this server or by whom may, and what carries a token in its URL.
async fn judge(
    State(front): State<Arc<Front>>,
    mut request: Request,
    next: middleware::Next,
) -> Response {
    let passed = match front.site.check(request.uri(), request.headers()) {
        Ok(passed) => Arc::new(passed),
        Err(refusal) => return answer(StatusCode::FORBIDDEN, &refusal),
    };
    if let Some(told) = passed.preflight(request.method()) {
        return told;
    }
    if is_in_url(request.uri()) {
        return passed.shared(refuse_url());
    }
    request.extensions_mut().insert(Arc::clone(&passed));
    passed.shared(next.run(request).await)
}

/// What RFC 9728 has a client read of this resource.
#[derive(Serialize)]
struct Metadata {
    resource: String,
    resource_name: &'static str,
    bearer_methods_supported: [&'static str; 1],
    scopes_supported: Vec<&'static str>,
}

async fn metadata(passed: axum::Extension<Arc<Passed>>) -> Response {
    let metadata = Metadata {
        resource: format!("{}{MCP_PATH}", passed.base),
        resource_name: "Postroad",
        bearer_methods_supported: ["header"],
        scopes_supported: Scope::ALL.map(Scope::token).to_vec(),
    };
    json(StatusCode::OK, &metadata)
}

async fn mcp(
    State(front): State<Arc<Front>>,
    axum::Extension(passed): axum::Extension<Arc<Passed>>,
    request: Request,
) -> Response {
    if ![Method::GET, Method::POST, Method::DELETE].contains(request.method()) {
        let message = "MCP knows GET, POST and DELETE";
        let refusal = Refusal::invalid("method", message, "use a client that speaks MCP");
        let refused = answer(StatusCode::METHOD_NOT_ALLOWED, &refusal);
        return with_header(refused, ALLOW, "GET, POST, DELETE");
    }
    let Ok(share) = Arc::clone(&front.requests).try_acquire_owned() else {
        let refusal = Refusal::unavailable("as many requests are under way as this server takes");
        return later(StatusCode::SERVICE_UNAVAILABLE, &refusal);
    };
    let unauthorized = |why| challenge(why, &passed.metadata_url());
    let token = match presented(request.headers()) {
        Ok(token) => token,
        Err(why) => return unauthorized(why),
    };
    let admitted = match front.callers.admit(token).await {
        Ok(admitted) => admitted,
        Err(denied) => return denied_answer(denied, unauthorized),
    };
    let ended = admitted.ended().clone();
    let served = tokio::select! {
        biased;
        () = ended.cancelled() => {
            if front.ending.over.is_cancelled() {
                let refusal = Refusal::unavailable("this server stops");
                return later(StatusCode::SERVICE_UNAVAILABLE, &refusal);
            }
            return unauthorized(Unauthorized::Unknown);
        }
        served = serve_until_told(&admitted, request) => served,
    };
    let shares = Shares {
        _place: admitted.into_place(),
        _request: share,
    };
    served.map(|body| Body::new(Held::new(body, &ended, shares)))
}

fn denied_answer(denied: Denied, unauthorized: impl Fn(Unauthorized) -> Response) -> Response {
    match denied {
        Denied::Unknown => unauthorized(Unauthorized::Unknown),
        Denied::Busy => {
            let refusal = Refusal::new(
                ErrorCode::RateLimited,
                "this token has as many requests and streams under way as it may",
                "wait for some to end, or use a token for each program",
            );
            later(StatusCode::TOO_MANY_REQUESTS, &refusal)
        }
        Denied::Unavailable(refusal) => later(StatusCode::SERVICE_UNAVAILABLE, &refusal),
    }
}

/// Serves a request; where the credential ended meanwhile, waits a moment to hear whether the token has, too: the
/// caller's connection knows of its own end first.
async fn serve_until_told(admitted: &Admitted, request: Request) -> Response {
    let served = serve(admitted, request).await;
    if admitted.has_expired() {
        let _ = tokio::time::timeout(TOLD_WITHIN, admitted.ended().cancelled()).await;
    }
    served
}

/// Hands a request of somebody who was let in to that caller's own service.
async fn serve(admitted: &Admitted, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let is_initialize = match is_initialize(&parts.method, &body) {
        Ok(is_initialize) => is_initialize,
        Err((code, refusal)) => return answer_as(code, StatusCode::BAD_REQUEST, &refusal),
    };
    if opens_session(&parts.headers, is_initialize)
        && admitted.sessions().await >= SESSIONS_PER_CALLER
    {
        let refusal = Refusal::new(
            ErrorCode::QuotaExceeded,
            format!("this token has {SESSIONS_PER_CALLER} sessions open, which is the limit"),
            "end those that are not used with DELETE, or wait until they are forgotten",
        );
        return later(StatusCode::TOO_MANY_REQUESTS, &refusal);
    }
    let ends_session = parts.method == Method::DELETE;
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = admitted.service().handle(request).await.map(Body::new);
    if ends_session && response.status() == StatusCode::ACCEPTED {
        // It has ended when this is answered; to clients "accepted" is a failure.
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// Whether a body is an `initialize`. Requests without a body are none.
///
/// # Errors
/// JSON-RPC's code and the refusal of what is no message at all.
fn is_initialize(method: &Method, body: &[u8]) -> Result<bool, (i32, Refusal)> {
    if method != Method::POST {
        return Ok(false);
    }
    let remedy = "send one JSON-RPC message: {\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": …}";
    let refused = |code, message| Err((code, Refusal::invalid("body", message, remedy)));
    if let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(body) {
        let ClientJsonRpcMessage::Request(request) = message else {
            return Ok(false);
        };
        return Ok(matches!(
            request.request,
            ClientRequest::InitializeRequest(_)
        ));
    }
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Array(_)) => refused(INVALID_REQUEST, "batches are not served"),
        Ok(_) => refused(
            INVALID_REQUEST,
            "the body is no JSON-RPC 2.0 message of the protocol",
        ),
        Err(_) => refused(PARSE_ERROR, "the body is no JSON, or is nested too deeply"),
    }
}

/// Whether a request would open a session: revisions without sessions open none, and are counted in vain.
fn opens_session(headers: &HeaderMap, is_initialize: bool) -> bool {
    is_initialize && !headers.contains_key(SESSION_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_initialize_without_a_session_opens_one() {
        let mut headers = HeaderMap::new();
        let hello = r#""params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}"#;
        for (body, opens) in [
            (
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize",{hello}}}"#),
                true,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"\u0069nitialize",{hello}}}"#),
                true,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned(),
                false,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
                false,
            ),
        ] {
            let asked = is_initialize(&Method::POST, body.as_bytes()).unwrap();
            assert_eq!(opens_session(&headers, asked), opens, "{body}");
        }
        headers.insert(SESSION_ID, http::HeaderValue::from_static("x"));
        assert!(!opens_session(&headers, true));
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        let deep = format!(
            "{{\"method\":\"x\",\"params\":{}1{}}}",
            "[".repeat(500),
            "]".repeat(500)
        );
        for (body, code) in [
            ("", PARSE_ERROR),
            ("hello", PARSE_ERROR),
            ("\u{0}", PARSE_ERROR),
            ("{\"method\":", PARSE_ERROR),
            (&*deep, PARSE_ERROR),
            ("null", INVALID_REQUEST),
            ("{\"method\":\"ping\"}", INVALID_REQUEST),
            (" [{\"method\":\"ping\"}]", INVALID_REQUEST),
            ("{\"method\":5}", INVALID_REQUEST),
            ("{\"method\":\"a\",\"method\":\"b\"}", INVALID_REQUEST),
        ] {
            let (told, refusal) = is_initialize(&Method::POST, body.as_bytes()).unwrap_err();
            assert_eq!(
                (told, refusal.field.as_deref()),
                (code, Some("body")),
                "{body:.40}"
            );
        }
        assert!(!is_initialize(&Method::DELETE, b"").unwrap());
    }
}
