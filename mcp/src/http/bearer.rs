//! The token that a request presents, and what is answered to one that presents none, or presents it in the
//! wrong place. Owns reading it; whether it is good is the issuer's to say.

use super::refusal::{answer, with_header};
use axum::response::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::token::{InvalidToken, PREFIX, TEXT_BYTES, Token};

/// Names under which other programs take a token in a URL.
const URL_NAMES: [&str; 5] = [
    "access_token",
    "token",
    "authorization",
    "api_key",
    "apikey",
];

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unauthorized {
    /// No token is presented.
    Missing,
    /// What is presented is no bearer token.
    Malformed,
    /// It looks like one of ours, and has a slip in it.
    Slip,
    /// It is not known, or has ended.
    Unknown,
}

/// The token that the headers present.
pub(super) fn presented(headers: &HeaderMap) -> Result<Token, Unauthorized> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let first = given.next().ok_or(Unauthorized::Missing)?;
    if given.next().is_some() {
        return Err(Unauthorized::Malformed);
    }
    let text = first.to_str().map_err(|_| Unauthorized::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Unauthorized::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unauthorized::Malformed);
    }
    Token::parse(token.trim_matches(' ')).map_err(|error| match error {
        InvalidToken::Checksum => Unauthorized::Slip,
        _ => Unauthorized::Malformed,
    })
}

/// Whether a URL carries a token, or something that was meant to be one.
pub(super) fn is_in_url(uri: &Uri) -> bool {
    let of_ours = |text: &str| {
        let found = text.match_indices(PREFIX);
        let candidates = found.filter_map(|(at, _)| text.get(at..at + TEXT_BYTES));
        candidates
            .into_iter()
            .any(|text| Token::parse(text).is_ok())
    };
    let query = uri.query().unwrap_or_default();
    let named = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        URL_NAMES
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    });
    named || of_ours(query) || of_ours(uri.path())
}

/// The answer to a URL with a token in it.
pub(super) fn refuse_url() -> Response {
    let refusal = Refusal::invalid(
        "url",
        "a token must not stand in a URL: it is written into logs and histories on the way",
        "send it in the header `Authorization: Bearer …`, and have this one revoked and another issued",
    );
    answer(StatusCode::BAD_REQUEST, &refusal)
}

/// The answer to a request that does not say who calls, with where to read how.
pub(super) fn challenge(why: Unauthorized, metadata_url: &str) -> Response {
    let (message, remedy) = match why {
        Unauthorized::Missing => (
            "no token is presented",
            "send `Authorization: Bearer …` with a token that `postroad token issue` made",
        ),
        Unauthorized::Malformed => (
            "what the header Authorization holds is no token of Postroad",
            "send `Authorization: Bearer …` with a token that `postroad token issue` made",
        ),
        Unauthorized::Slip => (
            "the token was not copied whole, or was changed",
            "copy it again, from its first character to its last",
        ),
        Unauthorized::Unknown => (
            "the token is not known, or has ended",
            "have a new one issued: `postroad token issue`",
        ),
    };
    let refusal = Refusal::new(ErrorCode::Unauthenticated, message, remedy);
    let error = match why {
        Unauthorized::Missing => String::new(),
        _ => format!("error=\"invalid_token\", error_description=\"{message}\", "),
    };
    let scopes = Scope::AGENT_DEFAULT.map(Scope::token).join(" ");
    let value = format!("Bearer {error}resource_metadata=\"{metadata_url}\", scope=\"{scopes}\"");
    with_header(
        answer(StatusCode::UNAUTHORIZED, &refusal),
        WWW_AUTHENTICATE,
        &value,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_is_read_from_one_bearer_header_only() {
        let token = Token::generate();
        let text = token.text();
        let key = |values: &[&str]| presented(&headers(values)).map(|read| read.key().public_key());
        let good = Ok(token.key().public_key());
        for scheme in ["Bearer ", "bearer ", "BEARER  "] {
            assert_eq!(key(&[&format!("{scheme}{}", text.as_str())]), good);
        }
        let bearer = format!("Bearer {}", text.as_str());
        assert_eq!(key(&[]), Err(Unauthorized::Missing));
        for values in [
            &[&*bearer, &*bearer][..],
            &["Bearer"],
            &["Bearer "],
            &[text.as_str()],
            &[&bearer.replace("Bearer", "Basic")],
            &[&format!("{bearer} x")],
            &["Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"],
        ] {
            assert_eq!(key(values), Err(Unauthorized::Malformed), "{values:?}");
        }
        let last = if bearer.ends_with('A') { "B" } else { "A" };
        let slip = format!("{}{last}", &bearer[..bearer.len() - 1]);
        assert_eq!(key(&[&slip]), Err(Unauthorized::Slip));
        let mut bytes = HeaderMap::new();
        bytes.insert(
            AUTHORIZATION,
            HeaderValue::from_bytes(b"Bearer \xff").unwrap(),
        );
        assert_eq!(presented(&bytes).map(drop), Err(Unauthorized::Malformed));
    }

    #[test]
    fn a_token_in_a_url_is_noticed_wherever_it_stands() {
        let token = Token::generate();
        let text = token.text();
        for url in [
            format!("/mcp?x={}", text.as_str()),
            format!("/mcp/{}", text.as_str()),
            format!("/mcp?a=b&pr_{}", text.as_str()),
            "/mcp?access_token=x".to_owned(),
            "/mcp?a=1&TOKEN".to_owned(),
        ] {
            assert!(is_in_url(&url.parse().unwrap()), "{url}");
        }
        for url in ["/mcp", "/mcp?session=pr_short", "/mcp?tokens=3", "/pr_?x"] {
            assert!(!is_in_url(&url.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn a_challenge_says_where_to_read_and_never_repeats_what_was_presented() {
        let url = "https://road.example.com/.well-known/oauth-protected-resource/mcp";
        let header = |why| {
            let response = challenge(why, url);
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            response.headers()[WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            header(Unauthorized::Missing),
            format!("Bearer resource_metadata=\"{url}\", scope=\"self messages memory tasks\"")
        );
        assert!(header(Unauthorized::Unknown).contains("error=\"invalid_token\""));
    }
}
