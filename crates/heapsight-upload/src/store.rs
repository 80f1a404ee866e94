//! From a destination to an object store.

use std::{
    path::{Path as FsPath, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{
    BackoffConfig, ObjectStore, RetryConfig,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem,
    multipart::MultipartStore,
    path::{Path, PathPart},
};
use url::Url;

use crate::{
    destination::{Environment, Service},
    error::{Kind, Result, UploadError},
    http::Connector,
};

/// A store that is ready. Making one opens no connection.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// What can go up in parts, over several connections and processes.
    pub(crate) parts: Option<Arc<dyn Parts>>,
    /// The folder, where the store is one.
    pub(crate) folder: Option<PathBuf>,
    /// What to say if it fails, where no credentials are named and the machine is asked for some.
    pub(crate) nameless: Option<&'static str>,
    prefix: Path,
}

/// A store with uploads in parts.
pub(crate) trait Parts: MultipartStore + std::fmt::Debug {}

impl<T: MultipartStore + std::fmt::Debug> Parts for T {}

impl Remote {
    /// A service on the network.
    pub(crate) fn service(
        service: Service,
        url: &Url,
        environment: &Environment,
        patience: Duration,
    ) -> Result<Self> {
        let failed = |error: object_store::Error| {
            UploadError::new(Kind::Destination, format!("cannot use {url}"), deepest(&error)).hint(
                "settings and credentials come from the environment: `heapsight upload --help` has the names",
            )
        };
        // Failures are dealt with by whoever uploads, on a clock of its own.
        let never =
            RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, backoff: BackoffConfig::default() };
        let connector = Connector::new(environment, patience);
        macro_rules! build {
            ($builder:expr, $prefix:literal) => {{
                let mut builder = $builder.with_url(url.as_str());
                for (key, value) in environment.settings($prefix) {
                    // Others of that prefix are for other programs.
                    if let Ok(key) = key.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                Arc::new(builder.with_retry(never).with_http_connector(connector).build().map_err(failed)?)
            }};
        }
        let prefix = Path::from_url_path(url.path()).map_err(|error| failed(error.into()))?;
        let remote = |store: Arc<dyn ObjectStore>, parts: Arc<dyn Parts>| Self {
            store,
            parts: Some(parts),
            folder: None,
            nameless: nameless(service, environment),
            prefix,
        };
        Ok(match service {
            Service::S3 => {
                let store = build!(AmazonS3Builder::new(), "AWS_");
                remote(store.clone(), store)
            }
            Service::Google => {
                let mut builder = GoogleCloudStorageBuilder::new();
                if let Some(path) = environment.get("SERVICE_ACCOUNT") {
                    builder = builder.with_service_account_path(path);
                }
                let store = build!(builder, "GOOGLE_");
                remote(store.clone(), store)
            }
            Service::Azure => {
                let mut builder = MicrosoftAzureBuilder::new();
                if let Some(endpoint) = environment.get("IDENTITY_ENDPOINT") {
                    builder = builder.with_msi_endpoint(endpoint);
                }
                let store = build!(builder, "AZURE_");
                remote(store.clone(), store)
            }
        })
    }

    /// A folder, which is made if it is not there.
    pub(crate) fn folder(folder: &FsPath) -> Result<Self> {
        let failed = |why: String| {
            UploadError::new(Kind::Destination, format!("cannot use the folder {}", folder.display()), why)
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| failed(error.to_string()))?;
        let folder = folder.canonicalize().map_err(|error| failed(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| failed(deepest(&error)))?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            parts: None,
            folder: Some(folder),
            nameless: None,
            prefix: Path::default(),
        })
    }

    /// The place of a name, which may have folders in it. What no store can have in a name is written as `%23`.
    pub(crate) fn place(&self, name: &str) -> Path {
        let mut place = self.prefix.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            // A folder takes `NAME#1` for one that is being written.
            place = match PathPart::parse(part) {
                Ok(as_it_is) if !part.contains('#') => place.join(as_it_is),
                _ => place.join(part),
            };
        }
        place
    }
}

/// What to say of a service for which an environment names no credentials.
fn nameless(service: Service, environment: &Environment) -> Option<&'static str> {
    let (names, hint): (&[&str], _) = match service {
        Service::S3 => (
            &["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE"],
            "AWS_ACCESS_KEY_ID is not set, so the machine is asked for the credentials of its role",
        ),
        Service::Google => (
            &["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"],
            "GOOGLE_APPLICATION_CREDENTIALS is not set, so the machine is asked for the credentials of its role",
        ),
        Service::Azure => (
            &[
                "AZURE_STORAGE_ACCOUNT_KEY",
                "AZURE_STORAGE_ACCESS_KEY",
                "AZURE_STORAGE_SAS_KEY",
                "AZURE_CLIENT_ID",
            ],
            "AZURE_STORAGE_ACCOUNT_KEY is not set, so the machine is asked for the credentials of its role",
        ),
    };
    names.iter().all(|name| environment.get(name).is_none()).then_some(hint)
}

/// The innermost reason of an error.
fn deepest(error: &object_store::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
