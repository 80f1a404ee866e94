//! Listens, answers, ends.
//!
//! One thread waits for connections and events; whatever computes runs on other threads, so many at a time
//! ([`App::blocking`]). The server ends when it is told to ([`Stopper`]), or when no page has asked for anything for as long
//! as it may be idle. Requests that run then are dropped: none of them changes anything.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, middleware, routing::get};
use tokio::sync::{Notify, Semaphore};

use crate::{
    api, assets, guard,
    guard::Guard,
    jobs::Jobs,
    library::{Content, HeapFile, Library, Origin, Settings},
    reply::Refusal,
};

/// Questions that are computed at a time.
const AT_ONCE: usize = 4;

/// Questions that may wait for their turn.
const WAITING: usize = 64;

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interface.
    pub listen: IpAddr,
    /// The port; 0 is any that is free.
    pub port: u16,
    /// Whether nothing may be captured.
    pub read_only: bool,
    /// Ends when nothing was asked for so long.
    pub idle_timeout: Option<Duration>,
    /// Where captures are written.
    pub folder: PathBuf,
    /// What the page offers to capture at first.
    pub target: Option<String>,
    /// The files that are shown.
    pub files: Vec<PathBuf>,
    /// Files that are offered besides.
    pub nearby: Vec<PathBuf>,
    /// Files that were shown by servers before, and are offered again.
    pub recent: Vec<PathBuf>,
    /// How files are opened.
    pub settings: Settings,
    /// The version that the page shows.
    pub version: String,
}

impl Options {
    /// Any free port of the loopback interface.
    pub fn new(files: Vec<PathBuf>, settings: Settings) -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            read_only: false,
            idle_timeout: None,
            folder: PathBuf::from("."),
            target: None,
            nearby: Vec::new(),
            recent: Vec::new(),
            files,
            settings,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system gives no random numbers for the secrets.
    #[error("there are no random numbers for the token: {0}")]
    Random(getrandom::Error),
    /// The server cannot run.
    #[error("the server cannot run: {0}")]
    Run(#[source] io::Error),
    /// A file cannot be served.
    #[error("{0}")]
    File(String),
}

impl WebError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                Some("another program has the port: --port 0 takes a free one".to_owned())
            }
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 are the administrator's: --port 0 takes a free one".to_owned())
            }
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrNotAvailable => {
                Some("--listen takes an address of this machine".to_owned())
            }
            _ => None,
        }
    }
}

/// Says whether somebody is there.
pub(crate) struct Activity {
    running: AtomicUsize,
    last: Mutex<Instant>,
}

/// A request that runs, an open page's stream of events among them.
pub(crate) struct Busy<'a>(&'a Activity);

impl Activity {
    fn new() -> Self {
        Self { running: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }

    pub(crate) fn request(&self) -> Busy<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    fn idle(&self) -> Duration {
        if self.running.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A folder of the server's own that goes with it; made when first needed.
#[derive(Debug, Default)]
pub(crate) struct Folder(Mutex<(Option<tempfile::TempDir>, usize)>);

impl Folder {
    /// A path for a new file with this name.
    pub(crate) fn next_path(&self, name: &str) -> io::Result<PathBuf> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.1;
        inner.1 += 1;
        let (slot, _) = &mut *inner;
        let folder = match slot.take() {
            Some(folder) => folder,
            None => tempfile::Builder::new().prefix("heapsight-open-").tempdir()?,
        };
        // A folder for each file: names may be the same.
        let place = slot.insert(folder).path().join(number.to_string());
        std::fs::create_dir(&place)?;
        Ok(place.join(name))
    }
}

/// What all requests share.
pub(crate) struct App {
    pub(crate) guard: Guard,
    pub(crate) library: Arc<Library>,
    pub(crate) activity: Activity,
    pub(crate) read_only: bool,
    idle_timeout: Option<Duration>,
    pub(crate) dropped: Folder,
    pub(crate) jobs: Jobs,
    pub(crate) target: Option<String>,
    pub(crate) version: String,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl App {
    /// How often a page that is open says so.
    pub(crate) fn beat(&self) -> Duration {
        let third = self.idle_timeout.map(|most| most / 3);
        third.unwrap_or(Duration::MAX).clamp(Duration::from_millis(100), Duration::from_secs(15))
    }

    /// Computes an answer on another thread when it is its turn.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once"));
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let turn = turn.map_err(|_| Refusal::failed("the server ends"))?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await
            .unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed")))
    }

    /// Asks a heap when it is open.
    pub(crate) async fn heap<T: Send + 'static>(
        self: &Arc<Self>,
        file: usize,
        ask: impl FnOnce(&HeapFile) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let content = self.library.content(file).await?;
        self.blocking(move || match &*content {
            Content::Heap(heap) => ask(heap),
            Content::Profile(_) => Err(Refusal::bad("the file is a profile, not a heap")),
        })
        .await
    }
}

/// Ends a server from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Notify>);

impl Stopper {
    /// Ends it; once is enough.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    stop: Arc<Notify>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens; connections wait until [`Server::run`].
    pub fn bind(options: Options) -> Result<Self, WebError> {
        let wanted = SocketAddr::new(options.listen, options.port);
        let listen = |error| WebError::Listen { address: wanted, error };
        let listener = TcpListener::bind(wanted).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let library = Arc::new(Library::new(options.settings));
        let given = options.files.iter().map(|path| (path, Origin::Given));
        let nearby = options.nearby.iter().map(|path| (path, Origin::Nearby));
        let recent = options.recent.iter().map(|path| (path, Origin::Recent));
        for (path, origin) in given.chain(nearby).chain(recent) {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            library.add(path, &name, origin).map_err(|refusal| WebError::File(refusal.what))?;
        }
        let app = Arc::new(App {
            guard: Guard::new(address).map_err(WebError::Random)?,
            library,
            activity: Activity::new(),
            read_only: options.read_only,
            idle_timeout: options.idle_timeout,
            dropped: Folder::default(),
            jobs: Jobs::new(options.folder),
            target: options.target,
            version: options.version,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
        });
        Ok(Self { app, listener, address, stop: Arc::default() })
    }

    fn place(&self) -> String {
        // A browser cannot go to "all addresses".
        let ip = if self.address.ip().is_unspecified() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            self.address.ip()
        };
        SocketAddr::new(ip, self.address.port()).to_string()
    }

    /// The address with the token, for people.
    pub fn url(&self) -> String {
        format!("http://{}/?token={}", self.place(), self.app.guard.token())
    }

    /// An address that is good once, for a command line.
    pub fn url_for_browser(&self) -> String {
        match self.app.guard.token_for_browser() {
            Some(token) => format!("http://{}/?token={token}", self.place()),
            None => self.url(),
        }
    }

    /// Ends the server from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Begins to open the first file, so that it is there when the page asks.
    pub fn warm(&self) {
        if let Ok(entry) = self.app.library.entry(0)
            && entry.origin == Origin::Given
        {
            self.app.library.start(&entry);
        }
    }

    /// Answers until it is stopped, or idle for too long.
    pub fn run(self) -> Result<(), WebError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(WebError::Run)?;
        let (app, stop) = (self.app, self.stop);
        let idle = app.idle_timeout;
        let jobs = Arc::clone(&app);
        let listener = self.listener;
        let result = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = router(&app);
            tokio::select! {
                ended = async { axum::serve(listener, router).await } => ended,
                () = stop.notified() => Ok(()),
                () = idled(&app.activity, idle) => Ok(()),
            }
        });
        // Targets are left as they were found; what still computes is not waited for.
        jobs.jobs.end();
        runtime.shutdown_background();
        result.map_err(WebError::Run)
    }
}

async fn idled(activity: &Activity, most: Option<Duration>) {
    let Some(most) = most else { return std::future::pending().await };
    while activity.idle() < most {
        let left = most.saturating_sub(activity.idle());
        tokio::time::sleep(left.clamp(Duration::from_millis(20), Duration::from_secs(1))).await;
    }
}

fn router(app: &Arc<App>) -> Router {
    Router::new()
        .nest("/api", api::router())
        .route("/assets/{folder}/{*name}", get(assets::asset))
        .fallback(get(assets::page))
        .layer(middleware::from_fn_with_state(Arc::clone(app), guard::watch))
        .with_state(Arc::clone(app))
}
