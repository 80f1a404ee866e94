//! Where files go: a URL that has no secrets in it, and an environment that has them.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use url::Url;

use crate::{
    error::{Kind, Result, UploadError},
    local::is_same,
    pyroscope::Application,
};

/// Variables that are looked at; all others are dropped at once.
const PREFIXES: [&str; 4] = ["AWS_", "GOOGLE_", "AZURE_", "PYROSCOPE_"];
const NAMES: [&str; 8] = [
    "SERVICE_ACCOUNT",
    "IDENTITY_ENDPOINT",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What the environment says about credentials, endpoints and proxies. It is never shown.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Picks what matters of an environment: `std::env::vars_os()` of whoever may read it.
    pub fn new<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<std::ffi::OsStr>,
        V: AsRef<std::ffi::OsStr>,
    {
        let pick = |(name, value): (N, V)| {
            let name = name.as_ref().to_str()?;
            let known = NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            let value = value.as_ref().to_str().filter(|value| known && !value.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        };
        Self(variables.into_iter().filter_map(pick).collect())
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The variables of a prefix, with their names in lower case, as the stores' settings are called.
    pub(crate) fn settings<'e>(&'e self, prefix: &'e str) -> impl Iterator<Item = (String, &'e str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Where files go.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    url: String,
    pub(crate) place: Place,
}

/// The kinds of destinations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// A service that the `object_store` crate knows, by its URL, and the names in it begin with a prefix.
    Store { service: Service, url: Url },
    /// A folder, on a network file system perhaps.
    Folder(PathBuf),
    /// A server of Grafana Pyroscope, for profiles.
    Pyroscope(Application),
}

/// The services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Google,
    Azure,
}

impl FromStr for Destination {
    type Err = UploadError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| UploadError::new(Kind::Destination, "cannot upload there", why);
        let forms = "use s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, file:///FOLDER or \
            pyroscope+http://HOST:PORT?name=APPLICATION";
        let url = Url::parse(text).map_err(|error| wrong(&format!("it is no URL ({error})")).hint(forms))?;
        if url.password().is_some() {
            return Err(wrong("the URL has a password in it")
                .hint("credentials come from the environment: `heapsight upload --help` has the names"));
        }
        let place = match url.scheme() {
            "pyroscope+http" | "pyroscope+https" => Place::Pyroscope(Application::of(&url)?),
            _ if url.query().is_some() || url.fragment().is_some() => {
                return Err(wrong("the URL has `?` or `#` in it")
                    .hint("credentials come from the environment; write %3F or %23 where a name has them"));
            }
            "file" => {
                let folder = url.to_file_path().map_err(|()| {
                    wrong("a file URL has no host").hint("a folder of this machine is file:///FOLDER")
                })?;
                Place::Folder(folder)
            }
            scheme => {
                let service = match scheme {
                    "s3" | "s3a" => Service::S3,
                    "gs" => Service::Google,
                    "az" | "adl" | "azure" | "abfs" | "abfss" => Service::Azure,
                    _ => return Err(wrong(&format!("`{scheme}:` is no place that is known")).hint(forms)),
                };
                if url.host_str().is_none_or(str::is_empty) {
                    return Err(wrong("the URL names no bucket").hint(forms));
                }
                Place::Store { service, url: url.clone() }
            }
        };
        Ok(Self { url: url.as_str().trim_end_matches('/').to_owned(), place })
    }
}

impl Destination {
    /// Whether files are kept there as they are and can be verified; otherwise they are profiles for a server.
    pub fn keeps_files(&self) -> bool {
        !matches!(self.place, Place::Pyroscope(_))
    }

    /// Whether it is this folder of this machine: what is there is no copy of what is there.
    pub fn is_folder(&self, folder: &Path) -> bool {
        matches!(&self.place, Place::Folder(own) if is_same(own, folder))
    }

    /// Whether a file that goes there under a name is there already because it is the same one.
    pub(crate) fn has(&self, path: &Path, name: &str) -> bool {
        matches!(&self.place, Place::Folder(folder) if is_same(&folder.join(name), path))
    }

    /// The URL of a file there.
    pub fn url_of(&self, name: &str) -> String {
        if self.keeps_files() { format!("{}/{name}", self.url) } else { self.url.clone() }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse::<Destination>().unwrap().place
    }

    #[test]
    fn urls_name_services() {
        assert!(matches!(place("s3://bucket"), Place::Store { service: Service::S3, .. }));
        assert!(matches!(place("gs://bucket/a/b"), Place::Store { service: Service::Google, .. }));
        assert!(matches!(place("az://container/a"), Place::Store { service: Service::Azure, .. }));
        assert!(matches!(
            place("abfss://container@account.dfs.core.windows.net/a"),
            Place::Store { service: Service::Azure, .. }
        ));
        assert_eq!(place("file:///var/captures/"), Place::Folder("/var/captures".into()));
        let s3: Destination = "s3://bucket/a/".parse().unwrap();
        assert_eq!((s3.to_string().as_str(), s3.url_of("x").as_str()), ("s3://bucket/a", "s3://bucket/a/x"));
    }

    #[test]
    fn urls_that_make_no_sense_are_refused_with_a_reason() {
        for (url, why) in [
            ("/var/captures", "it is no URL"),
            ("ftp://host/a", "`ftp:` is no place that is known"),
            ("s3:///a", "the URL names no bucket"),
            ("s3://key:secret@bucket/a", "the URL has a password in it"),
            ("az://container/a?sv=1&sig=secret", "the URL has `?` or `#` in it"),
            ("file://host/a", "a file URL has no host"),
        ] {
            let error = url.parse::<Destination>().unwrap_err();
            assert!(error.why.starts_with(why), "{url}: {error}");
            assert!(error.hint.is_some() && !error.to_string().contains("secret"), "{url}");
        }
    }

    #[test]
    fn the_environment_is_not_shown() {
        let environment = Environment::new([
            ("AWS_SECRET_ACCESS_KEY", "hush"),
            ("AWS_REGION", ""),
            ("PATH", "/bin"),
            ("https_proxy", "http://user:hush@proxy"),
        ]);
        assert_eq!(format!("{environment:?}"), r#"["AWS_SECRET_ACCESS_KEY", "https_proxy"]"#);
        assert_eq!(environment.get("AWS_SECRET_ACCESS_KEY"), Some("hush"));
        let settings: Vec<_> = environment.settings("AWS_").collect();
        assert_eq!(settings, [("aws_secret_access_key".to_owned(), "hush")]);
    }
}
