//! Who is let in.
//!
//! A page of any site that the user visits can send requests to the loopback interface, and other users of the machine
//! can open connections to it. So each request must show that it comes from the page that the user was given:
//!
//! * `Host` must be the address that is served: a name that an attacker points at the loopback interface is refused.
//! * `Origin`, where there is one, must be the server's own; a request that changes something must have it.
//! * The cookie must be right. It is given in exchange for the token of the address that was printed, is readable by no
//!   script, and is sent by no other site. A second token, for the browser that is started, is good once: command lines can be
//!   seen by other users.
//! * Nothing is upgraded: there is no WebSocket to hijack.
//!
//! Secrets are compared in constant time.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
    middleware::Next,
    response::IntoResponse,
};

use crate::{reply::Refusal, server::App};

/// What the page may do: its own scripts, styles and answers, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The secrets of one server.
pub(crate) struct Guard {
    /// For the address that is printed.
    token: String,
    /// For the browser that is started; gone when it was used.
    once: Mutex<Option<String>>,
    cookie: String,
    cookie_name: String,
    port: u16,
    /// Whether other machines may connect, which name this one by any of its addresses.
    open: bool,
}

impl Guard {
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new(address: SocketAddr) -> Result<Self, getrandom::Error> {
        Ok(Self {
            token: secret()?,
            once: Mutex::new(Some(secret()?)),
            cookie: secret()?,
            // Cookies do not tell ports apart: two servers must not overwrite each other's.
            cookie_name: format!("heapsight-{}", address.port()),
            port: address.port(),
            open: !address.ip().is_loopback(),
        })
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn token_for_browser(&self) -> Option<String> {
        self.once.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a `Host` is this server.
    fn is_own(&self, host: &str) -> bool {
        let Some((name, port)) = host.rsplit_once(':') else { return false };
        if port.parse() != Ok(self.port) {
            return false;
        }
        let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        // A name can be pointed at any address, an address cannot.
        name == "localhost" || address.parse().is_ok_and(|ip: IpAddr| self.open || ip.is_loopback())
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies.flat_map(|line| line.split(';')).any(|pair| {
            pair.trim().split_once('=').is_some_and(|(name, value)| {
                name == self.cookie_name && equal(value.as_bytes(), self.cookie.as_bytes())
            })
        })
    }

    /// Takes a token of an address.
    fn takes(&self, token: &str) -> bool {
        if equal(token.as_bytes(), self.token.as_bytes()) {
            return true;
        }
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        let right = once.as_ref().is_some_and(|once| equal(token.as_bytes(), once.as_bytes()));
        if right {
            *once = None;
        }
        right
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("\u{0}"));
        if headers.contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
            return Err(Refusal::bad("this server upgrades no connection"));
        }
        let host = text("host").unwrap_or_default();
        if headers.get_all(header::HOST).iter().count() != 1 || !self.is_own(host) {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "the request is for another host than this server",
            ));
        }
        let own = format!("http://{host}");
        let origin = text("origin");
        let site = text("sec-fetch-site");
        if origin.is_some_and(|origin| origin != own) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the request comes from another site"));
        }
        let navigates = text("sec-fetch-mode") == Some("navigate");
        if site.is_some_and(|site| site != "same-origin" && site != "none") && !navigates {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the request comes from another site"));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && origin.is_none() && site != Some("same-origin") {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the request does not say where it comes from"));
        }
        Ok(())
    }
}

/// Lets requests through, or not; and says on every answer what a browser may do with it.
pub(crate) async fn watch(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let _busy = app.activity.request();
    let mut response = admit(&app.guard, request, next).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn admit(guard: &Guard, request: Request, next: Next) -> Response<Body> {
    if let Err(refusal) = guard.check(&request) {
        return refusal.into_response();
    }
    let path = request.uri().path();
    let is_page = !path.starts_with("/api/") && !path.starts_with("/assets/");
    if is_page
        && let Some((token, rest)) = token_of(request.uri().query().unwrap_or_default())
        && guard.takes(&token)
    {
        return enter(guard, path, &rest);
    }
    if !guard.has_cookie(request.headers()) {
        return if is_page {
            let text = "This page is open only to the browser that came by the address with the token.\n\
                Open the address that `heapsight open` printed in its terminal.\n";
            (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
                .into_response()
        } else {
            Refusal::new(StatusCode::UNAUTHORIZED, "the session is not known")
                .hint("open the address that `heapsight open` printed")
                .into_response()
        };
    }
    next.run(request).await
}

/// The token in a query, and the query without it.
fn token_of(query: &str) -> Option<(String, String)> {
    let (tokens, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("token="));
    Some((tokens.first()?.trim_start_matches("token=").to_owned(), rest.join("&")))
}

/// Gives the cookie and sends the browser to the same page without the token, so that no history keeps it.
fn enter(guard: &Guard, path: &str, rest: &str) -> Response<Body> {
    // A path that begins with two slashes would be another host.
    let path = format!("/{}", path.trim_start_matches(['/', '\\']));
    let place = if rest.is_empty() { path } else { format!("{path}?{rest}") };
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", guard.cookie_name, guard.cookie);
    let mut response = StatusCode::SEE_OTHER.into_response();
    for (name, value) in [(header::LOCATION, place), (header::SET_COOKIE, cookie)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 256 random bits, as text.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Compares without telling by its time where two texts differ. Their lengths are no secret.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0u8, |sum, (a, b)| sum | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str) -> Guard {
        Guard::new(address.parse().unwrap()).unwrap()
    }

    #[test]
    fn names_that_can_be_pointed_here_are_refused() {
        let local = guard("127.0.0.1:7000");
        for own in ["127.0.0.1:7000", "localhost:7000", "[::1]:7000", "127.0.0.2:7000"] {
            assert!(local.is_own(own), "{own}");
        }
        for other in [
            "evil.example:7000",
            "127.0.0.1",
            "127.0.0.1:7001",
            "10.0.0.1:7000",
            "localhost.evil.example:7000",
            "",
        ] {
            assert!(!local.is_own(other), "{other}");
        }
        let open = guard("0.0.0.0:7000");
        assert!(open.is_own("10.0.0.1:7000") && !open.is_own("evil.example:7000"));
    }

    #[test]
    fn the_token_of_a_command_line_is_good_once() {
        let guard = guard("127.0.0.1:7000");
        let once = guard.token_for_browser().unwrap();
        assert!(guard.takes(&once) && !guard.takes(&once));
        let printed = guard.token().to_owned();
        assert!(guard.takes(&printed) && guard.takes(&printed) && !guard.takes(""));
    }

    #[test]
    fn a_token_is_taken_out_of_an_address() {
        let (token, rest) = token_of("class=a%20b&token=12&x=1").unwrap();
        assert_eq!((token.as_str(), rest.as_str()), ("12", "class=a%20b&x=1"));
        assert_eq!(token_of("class=a"), None);
        let guard = guard("127.0.0.1:7000");
        let place = enter(&guard, "//evil.example/", "");
        assert_eq!(place.headers()[header::LOCATION], "/evil.example/");
    }
}
