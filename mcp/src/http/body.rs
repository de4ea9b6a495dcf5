//! Bodies: a request's, read whole and bounded; an answer's, which ends when its caller does.

use super::refusal::answer;
use super::seat::Place;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http::StatusCode;
use http_body_util::LengthLimitError;
use hyper::body::{Frame, SizeHint};
use postroad_protocol::error::{ErrorCode, Refusal};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Largest body of a request, in bytes. A message's content as JSON writes it has 700 KiB at most.
pub(super) const BODY_MAX_BYTES: usize = 1024 * 1024;
/// How long a request may take to be sent.
const BODY_PATIENCE: Duration = Duration::from_secs(20);

/// Reads a whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, Response> {
    let too_large = || {
        let message = format!("a request has {BODY_MAX_BYTES} bytes at most");
        let refusal = Refusal::new(ErrorCode::TooLarge, message, "send less at once");
        answer(StatusCode::PAYLOAD_TOO_LARGE, &refusal)
    };
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_PATIENCE, axum::body::to_bytes(body, BODY_MAX_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        Ok(Err(_)) => {
            let message = "the request ended before its body did, or its chunks are malformed";
            let refusal = Refusal::invalid("body", message, "send it again, whole");
            Err(answer(StatusCode::BAD_REQUEST, &refusal))
        }
        Err(_) => {
            let message = "the request took too long to be sent";
            let refusal = Refusal::unavailable(message);
            Err(answer(StatusCode::REQUEST_TIMEOUT, &refusal))
        }
    }
}

/// Whether a body was given up because it is too long.
fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What an answer that is still being sent counts for: its place at the caller, and among all requests.
pub(super) struct Shares {
    pub(super) _place: Place,
    pub(super) _request: OwnedSemaphorePermit,
}

/// An answer's body. It holds its shares until it is sent or nobody reads it any more.
pub(super) struct Held {
    inner: Body,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    is_over: bool,
    _shares: Shares,
}

impl Held {
    /// `inner`, until it or the caller ends.
    pub(super) fn new(inner: Body, ended: &CancellationToken, shares: Shares) -> Self {
        Self {
            inner,
            ended: Box::pin(ended.clone().cancelled_owned()),
            is_over: false,
            _shares: shares,
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over || self.ended.as_mut().poll(context).is_ready() {
            self.is_over = true;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[tokio::test]
    async fn a_body_that_is_cut_off_is_not_called_too_large() {
        let cut = [
            Ok(Bytes::from_static(b"{")),
            Err(Error::from(ErrorKind::UnexpectedEof)),
        ];
        let cut = Body::from_stream(futures_util::stream::iter(cut));
        let status = |refused: Response| refused.status();
        let refused = read(cut).await.map_err(status);
        assert_eq!(refused, Err(StatusCode::BAD_REQUEST));
        let piece = Bytes::from(vec![b' '; BODY_MAX_BYTES / 2 + 1]);
        let long = [Ok::<_, Error>(piece.clone()), Ok(piece)];
        let long = Body::from_stream(futures_util::stream::iter(long));
        let refused = read(long).await.map_err(status);
        assert_eq!(refused, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
