//! What a paying service stands on.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::BoxError;

/// An HTTP client as a tower service, for requests with bodies of the kind `Q`. Every service that fits is one.
pub trait Carrier<Q>:
    Service<Request<Q>, Response = Response<Self::Answer>, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + 'static
{
    /// What its answers are made of.
    type Answer: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;
}

impl<S, Q, R> Carrier<Q> for S
where
    S: Service<Request<Q>, Response = Response<R>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Answer = R;
}
