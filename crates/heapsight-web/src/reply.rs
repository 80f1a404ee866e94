//! Answers and refusals as JSON.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

/// What a request is answered with.
pub(crate) type Reply = Result<Json, Refusal>;

/// A JSON answer.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) Value);

/// A request that is not answered: what is wrong, and what to try.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self { status, what: what.into(), hint: None }
    }

    /// The request itself makes no sense.
    pub(crate) fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    /// What it names is not there.
    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// The request is sound, and what it asks for does not work.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, what)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn value(&self) -> Value {
        json!({"error": {"what": self.what, "hint": self.hint}})
    }
}

impl From<heapsight_analysis::OutOfMemory> for Refusal {
    fn from(error: heapsight_analysis::OutOfMemory) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<heapsight_capture::CaptureError> for Refusal {
    fn from(error: heapsight_capture::CaptureError) -> Self {
        let refusal = Self::failed(error.to_string());
        Self { hint: error.hint, ..refusal }
    }
}

fn respond(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl IntoResponse for Json {
    fn into_response(self) -> Response<Body> {
        respond(StatusCode::OK, &self.0)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        respond(self.status, &self.value())
    }
}
