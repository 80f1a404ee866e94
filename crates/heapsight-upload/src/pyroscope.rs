//! Pushing sampling profiles to Grafana Pyroscope.
//!
//! Source: "Server HTTP API", <https://grafana.com/docs/pyroscope/latest/reference-server-api/>. A profile is the body of
//! `POST /ingest?format=pprof` with the name of the application, which may have labels in braces, and the time that it is
//! of in seconds since 1970. The server knows the sample types `inuse_objects`, `inuse_space` and `alloc_space` by
//! themselves, so values get these names. V8 counts samples and not objects; Pyroscope takes `samples` for CPU time, so
//! counts go only if they are of objects.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use base64::Engine;
use bytes::Bytes;
use heapsight_profile::{Called, Counts};
use object_store::client::HttpErrorKind;
use serde_json::Value;
use ureq::http::Request;
use url::Url;

use crate::{
    destination::Environment,
    error::{Kind, Result, UploadError, said},
    http::Connector,
};

/// What stands for the process id in the value of a label.
const PID: &str = "{pid}";

/// A side file has a line for each script of the program.
const MAX_SIDE_FILE: u64 = 256 << 20;

/// An application as Pyroscope knows it, and its server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Application {
    /// The URL of the server, to which `/ingest` is appended.
    server: String,
    /// Whether it is reached without TLS.
    plain: bool,
    /// `name{label=value,...}`
    name: String,
}

impl Application {
    /// The application of a URL: `pyroscope+http://HOST:PORT?name=APPLICATION&LABEL=VALUE`; the value `{pid}` is the process
    /// id that is in the side file.
    pub(crate) fn of(url: &Url) -> Result<Self> {
        let wrong = |why: String| UploadError::new(Kind::Destination, "cannot push profiles there", why);
        let form = "use pyroscope+http://HOST:PORT?name=APPLICATION&LABEL=VALUE";
        let (mut name, mut labels) = (None, Vec::new());
        for (key, value) in url.query_pairs() {
            if value == PID && key != "name" {
                labels.push(format!("{key}={PID}"));
                continue;
            }
            if value.is_empty()
                || value.contains(['{', '}', ',', '=', '"'])
                || value.chars().any(char::is_control)
            {
                return Err(wrong(format!("`{value}` cannot be a name or a label")).hint(form));
            }
            if key == "name" {
                name = Some(value.into_owned());
            } else if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(wrong(format!("`{key}` cannot be the name of a label")).hint(form));
            } else {
                labels.push(format!("{key}={value}"));
            }
        }
        let Some(name) = name else {
            return Err(wrong("the URL does not name the application".to_owned()).hint(form));
        };
        if !url.username().is_empty() {
            return Err(wrong("the URL has a user in it".to_owned())
                .hint("credentials come from PYROSCOPE_BASIC_AUTH_USER and PYROSCOPE_BASIC_AUTH_PASSWORD"));
        }
        let scheme = url.scheme().trim_start_matches("pyroscope+");
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(wrong("the URL names no server".to_owned()).hint(form));
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        labels.sort();
        Ok(Self {
            server: format!("{scheme}://{host}{port}{}", url.path().trim_end_matches('/')),
            plain: scheme == "http",
            name: format!("{name}{{{}}}", labels.join(",")),
        })
    }
}

/// What pushes.
#[derive(Clone, Debug)]
pub(crate) struct Pusher {
    application: Application,
    connector: Connector,
    headers: Vec<(&'static str, String)>,
}

impl Pusher {
    pub(crate) fn new(application: &Application, environment: &Environment, patience: Duration) -> Self {
        let mut headers = Vec::new();
        let user = environment.get("PYROSCOPE_BASIC_AUTH_USER");
        let password = environment.get("PYROSCOPE_BASIC_AUTH_PASSWORD");
        if let (Some(user), Some(password)) = (user, password) {
            let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            headers.push(("Authorization", format!("Basic {both}")));
        } else if let Some(token) = environment.get("PYROSCOPE_AUTH_TOKEN") {
            headers.push(("Authorization", format!("Bearer {token}")));
        }
        if let Some(tenant) = environment.get("PYROSCOPE_TENANT_ID") {
            headers.push(("X-Scope-OrgID", tenant.to_owned()));
        }
        Self { application: application.clone(), connector: Connector::new(environment, patience), headers }
    }

    /// Pushes a profile, on this thread, and says how many bytes went.
    pub(crate) fn push(&self, path: &Path) -> Result<u64> {
        let Application { server, plain, name } = &self.application;
        let what = format!("cannot push {} to {server}", path.display());
        let recorded = Recorded::of(path).map_err(|error| UploadError::local(&what, &error))?;
        let body = pprof(path, recorded, &what)?;
        let length = body.len() as u64;
        let mut url = Url::parse(&format!("{server}/ingest"))
            .map_err(|error| UploadError::new(Kind::Destination, &what, error))?;
        url.query_pairs_mut()
            .append_pair("name", &name.replace(PID, &recorded.process()))
            .append_pair("from", &(recorded.begin_ns / 1_000_000_000).to_string())
            .append_pair("until", &recorded.end_ns.div_ceil(1_000_000_000).to_string())
            .append_pair("format", "pprof")
            .append_pair("spyName", "heapsight");
        let mut request = Request::post(url.as_str()).header("Content-Type", "binary/octet-stream");
        for (header, value) in &self.headers {
            request = request.header(*header, value);
        }
        let request = request.body(Bytes::from(body)).map_err(|error| {
            // The value of a header, which may be a password, is not in it.
            UploadError::new(Kind::Destination, &what, error)
        })?;
        let answer =
            self.connector.client(*plain, Duration::from_secs(10)).send(request).map_err(|error| {
                let kind = match error.kind() {
                    _ if error.insecure() => Kind::Insecure,
                    HttpErrorKind::Unknown => Kind::Other,
                    _ => Kind::Passing,
                };
                let hint = error.hint().map(str::to_owned);
                UploadError { hint, ..UploadError::new(kind, &what, error) }
            })?;
        let status = answer.status().as_u16();
        let text = String::from_utf8_lossy(answer.body());
        let failed = |kind| UploadError::new(kind, &what, said(status, &text));
        Err(match status {
            200..=299 => return Ok(length),
            401 | 403 => failed(Kind::Permission).hint(
                "credentials come from PYROSCOPE_BASIC_AUTH_USER and _PASSWORD, or PYROSCOPE_AUTH_TOKEN",
            ),
            404 => failed(Kind::NotFound).hint("check that Pyroscope answers at that address"),
            408 | 429 | 500.. => failed(Kind::Passing),
            _ => failed(Kind::Destination),
        })
    }
}

/// A profile as Pyroscope takes it.
fn pprof(path: &Path, recorded: Recorded, what: &str) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(|error| UploadError::local(what, &error))?;
    let profile = heapsight_profile::read(file).map_err(|error| {
        UploadError::new(Kind::Local, what, error)
            .hint("Pyroscope takes sampling profiles: `heapsight sample`")
    })?;
    let (counts, sizes) =
        if recorded.collected { ("alloc_objects", "alloc_space") } else { ("inuse_objects", "inuse_space") };
    let called = Called {
        counts: (profile.counts == Counts::Objects).then_some(counts),
        sizes,
        time_ns: recorded.begin_ns,
        duration_ns: recorded.end_ns - recorded.begin_ns,
    };
    let mut out = Vec::new();
    heapsight_profile::pprof_called(&profile, called, &mut out)
        .map_err(|error| UploadError::new(Kind::Local, what, error))?;
    Ok(out)
}

/// What of a recording is in its side file, or else is taken from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recorded {
    begin_ns: u64,
    end_ns: u64,
    /// Whether it has what was collected, too.
    collected: bool,
    pid: Option<u64>,
}

impl Recorded {
    /// The process as a label: without a side file nobody knows.
    fn process(&self) -> String {
        self.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
    }

    fn of(path: &Path) -> io::Result<Self> {
        if let Some(recorded) = Self::of_side_file(path) {
            return Ok(recorded);
        }
        let modified = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(modified.as_nanos()).unwrap_or(0);
        Ok(Self { begin_ns: at, end_ns: at, collected: false, pid: None })
    }

    fn of_side_file(path: &Path) -> Option<Self> {
        let mut name = path.file_name()?.to_owned();
        name.push(crate::uploader::SIDE_FILE);
        let file = fs::File::open(path.with_file_name(name)).ok()?;
        let value: Value = serde_json::from_reader(io::BufReader::new(file.take(MAX_SIDE_FILE))).ok()?;
        let capture = &value["capture"];
        let begin: jiff::Timestamp = capture["time"].as_str()?.parse().ok()?;
        let begin_ns = u64::try_from(begin.as_nanosecond()).ok()?;
        let duration =
            Duration::try_from_secs_f64(capture["duration_ms"].as_f64().unwrap_or(0.0) / 1000.0).ok()?;
        Some(Self {
            begin_ns,
            end_ns: begin_ns.checked_add(u64::try_from(duration.as_nanos()).ok()?)?,
            collected: capture["sampling"]["collected"] == true,
            pid: value["process"]["pid"].as_u64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Application> {
        Application::of(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_url_names_application_and_labels() {
        let application =
            of("pyroscope+https://profiles.example/base/?region=eu&name=shop.api&env=prod").unwrap();
        assert_eq!(
            application,
            Application {
                server: "https://profiles.example/base".into(),
                plain: false,
                name: "shop.api{env=prod,region=eu}".into()
            }
        );
        assert_eq!(of("pyroscope+http://localhost:4040?name=a").unwrap().name, "a{}");
        assert_eq!(of("pyroscope+http://localhost:4040?name=a&pid={pid}").unwrap().name, "a{pid={pid}}");
        for (url, why) in [
            ("pyroscope+http://localhost:4040", "the URL does not name the application"),
            ("pyroscope+http://localhost?name=a{b}", "`a{b}` cannot be a name"),
            ("pyroscope+http://localhost?name=a&b-c=d", "`b-c` cannot be the name of a label"),
            ("pyroscope+http://user@localhost?name=a", "the URL has a user in it"),
        ] {
            let error = of(url).unwrap_err();
            assert!(error.why.starts_with(why) && error.hint.is_some(), "{error}");
        }
    }

    #[test]
    fn the_time_of_a_profile_is_in_its_side_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.heapprofile");
        fs::write(&path, "{}").unwrap();
        let without = Recorded::of(&path).unwrap();
        assert!(without.begin_ns > 0 && without.begin_ns == without.end_ns && !without.collected);
        let side = r#"{"capture":{"time":"2026-11-21T08:08:07Z","duration_ms":1500.5,"sampling":{"collected":true}},
            "process":{"pid":4711}}"#;
        fs::write(folder.path().join("a.heapprofile.meta.json"), side).unwrap();
        let begin_ns = 1_795_248_487_000_000_000;
        assert_eq!(
            Recorded::of(&path).unwrap(),
            Recorded { begin_ns, end_ns: begin_ns + 1_500_500_000, collected: true, pid: Some(4711) }
        );
    }
}
