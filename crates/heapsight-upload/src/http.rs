//! HTTP for the object stores and for Pyroscope: ureq, with the certificates that the system trusts.
//!
//! Nothing is tried twice here, and nothing is followed: what a failure means, and when to try again, is decided in one
//! place (`uploader.rs`). A connection on which nothing moves for a while is given up; one that is only slow is not.

use std::{error::Error, fmt, io::Read, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use ureq::{
    Agent, Proxy, ProxyProtocol,
    http::{Method, Request},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{destination::Environment, error::Refusal};

/// Answers are parts of files that are read back, or short texts.
const MAX_ANSWER: u64 = 1 << 30;

/// Of an answer that says what is wrong, this much is kept.
const MAX_REFUSAL: usize = 16 << 10;

/// Makes connections, for one destination.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    proxy: Option<Proxy>,
    certificates: RootCerts,
    patience: Duration,
}

impl Connector {
    /// What makes connections with the proxy of an environment. `patience` is how long nothing may move on one.
    pub(crate) fn new(environment: &Environment, patience: Duration) -> Self {
        // What cannot be loaded is missing among the roots, and connections then fail for that reason.
        let found = rustls_native_certs::load_native_certs().certs;
        let certificates: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        Self { proxy: proxy(environment), certificates: RootCerts::new_with_certs(&certificates), patience }
    }

    /// A client; `plain` is whether connections without TLS are allowed.
    pub(crate) fn client(&self, plain: bool, to_connect: Duration) -> Client {
        let tls = TlsConfig::builder()
            .root_certs(self.certificates.clone())
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(self.proxy.clone())
            .tls_config(tls)
            .user_agent(concat!("heapsight/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(self.patience))
            .timeout_connect(Some(to_connect.min(self.patience)))
            .timeout_per_read(Some(self.patience))
            .timeout_per_write(Some(self.patience))
            .build()
            .new_agent();
        Client { agent, plain }
    }
}

/// The proxy for secure connections; plain ones are for what is near.
fn proxy(environment: &Environment) -> Option<Proxy> {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let named = names.iter().find_map(|name| Proxy::new(environment.get(name)?).ok())?;
    let Some(except) = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy")) else {
        return Some(named);
    };
    // Exceptions can only be said when a proxy is built from its parts.
    let mut builder = Proxy::builder(match named.protocol() {
        ProxyProtocol::Https => ProxyProtocol::Https,
        _ => ProxyProtocol::Http,
    });
    builder = builder.host(named.host()).port(named.port());
    if let Some(user) = named.username() {
        builder = builder.username(user);
    }
    if let Some(password) = named.password() {
        builder = builder.password(password);
    }
    for host in except.split(',').map(str::trim) {
        builder = builder.no_proxy(host);
    }
    builder.build().ok()
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        // "5s", or "1s" for the services of a cloud that give credentials.
        let to_connect = options
            .get_config_value(&ClientConfigKey::ConnectTimeout)
            .and_then(|text| text.strip_suffix('s')?.parse().ok())
            .map_or(Duration::from_secs(10), Duration::from_secs);
        Ok(HttpClient::new(self.client(plain, to_connect)))
    }
}

/// Sends requests.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    plain: bool,
}

/// An answer.
pub(crate) type Answer = ureq::http::Response<Bytes>;

impl Client {
    /// Sends a request and reads the whole answer, on this thread.
    pub(crate) fn send(&self, request: Request<Bytes>) -> Result<Answer, TransportError> {
        if !self.plain && request.uri().scheme_str() != Some("https") {
            return Err(TransportError::Plain);
        }
        let (parts, body) = request.into_parts();
        let has_body = !body.is_empty() || parts.method == Method::PUT || parts.method == Method::POST;
        let answer = if has_body {
            self.agent.run(Request::from_parts(parts, &body[..]))
        } else {
            self.agent.run(Request::from_parts(parts, ()))
        };
        let (parts, body) = answer.map_err(TransportError::Http)?.into_parts();
        let mut bytes = Vec::new();
        body.into_reader().take(MAX_ANSWER).read_to_end(&mut bytes).map_err(TransportError::Read)?;
        Ok(Answer::from_parts(parts, bytes.into()))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.collect().await?.to_bytes());
        let client = self.clone();
        let sent = tokio::task::spawn_blocking(move || client.send(request)).await;
        let answer = sent
            .map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?
            .map_err(|error| HttpError::new(error.kind(), error))?;
        let status = answer.status();
        let elsewhere = status.is_redirection() && status.as_u16() != 304;
        if status.is_server_error() || elsewhere || matches!(status.as_u16(), 400 | 408 | 429) {
            // The store would make text of it.
            let body = answer.body();
            let body = String::from_utf8_lossy(&body[..body.len().min(MAX_REFUSAL)]).into_owned();
            return Err(HttpError::new(HttpErrorKind::Unknown, Refusal { status: status.as_u16(), body }));
        }
        Ok(answer.map(Into::into))
    }
}

/// No answer, or not a whole one.
#[derive(Debug)]
pub(crate) enum TransportError {
    /// The request would go over the network for all to read.
    Plain,
    /// No answer.
    Http(ureq::Error),
    /// The answer broke off.
    Read(std::io::Error),
}

impl TransportError {
    pub(crate) fn kind(&self) -> HttpErrorKind {
        match self {
            Self::Plain => HttpErrorKind::Unknown,
            Self::Read(_) => HttpErrorKind::Interrupted,
            Self::Http(error) => match error {
                ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => HttpErrorKind::Connect,
                ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
                ureq::Error::Io(_) | ureq::Error::Protocol(_) => HttpErrorKind::Interrupted,
                _ => HttpErrorKind::Unknown,
            },
        }
    }

    pub(crate) fn insecure(&self) -> bool {
        match self {
            Self::Plain | Self::Http(ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => true,
            // A certificate that is not trusted comes as a failure to read.
            Self::Http(ureq::Error::Io(error)) | Self::Read(error) => {
                error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
            }
            Self::Http(_) => false,
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Plain => Some(
                "set AWS_ALLOW_HTTP=true, GOOGLE_ALLOW_HTTP=true or AZURE_ALLOW_HTTP=true if that is meant",
            ),
            _ if self.insecure() => {
                Some("the certificates that are trusted are the system's; SSL_CERT_FILE names others")
            }
            _ => None,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("the endpoint is http:, without encryption"),
            Self::Http(ureq::Error::Io(error)) if self.insecure() => {
                write!(f, "the connection is not secure: {error}")
            }
            Self::Read(error) => write!(f, "the answer broke off: {error}"),
            Self::Http(error) => match error {
                ureq::Error::HostNotFound => f.write_str("the name of the server is not known"),
                ureq::Error::Timeout(_) => f.write_str("the server did not answer in time"),
                ureq::Error::Io(error) => write!(f, "the connection failed: {error}"),
                ureq::Error::Rustls(error) => write!(f, "the connection is not secure: {error}"),
                error => write!(f, "{error}"),
            },
        }
    }
}

impl Error for TransportError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_of_the_environment_has_its_exceptions() {
        let of = |variables: &[(&str, &str)]| proxy(&Environment::new(variables.iter().copied()));
        assert_eq!(of(&[("NO_PROXY", "*")]), None);
        assert_eq!(of(&[("HTTP_PROXY", "http://proxy:1")]), None, "plain connections are for what is near");
        let named =
            of(&[("https_proxy", "http://user:p%40ss@proxy:3128"), ("no_proxy", "localhost, .internal")]);
        let named = named.unwrap();
        assert_eq!((named.host(), named.port()), ("proxy", 3128));
        assert_eq!((named.username(), named.password()), (Some("user"), Some("p@ss")));
        let passes = |url: &str| named.is_no_proxy(&url.parse().unwrap());
        assert!(passes("https://localhost/") && passes("https://store.internal/"));
        assert!(!passes("https://s3.amazonaws.com/"));
    }
}
