//! A server that speaks S3, with a folder behind it, and with faults.
//!
//! What `s3s-fs` leaves out is the ETag in the answer to HEAD; it is put there as S3 has it: the MD5 of what was put
//! whole, or the MD5 of the MD5s of its parts with their number.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, runtime, sync::Notify};

/// The one bucket there is.
pub const BUCKET: &str = "captures";

/// The credentials that the server takes.
const KEY: &str = "AKHEAPSIGHT";
const SECRET: &str = "very-secret-key-of-the-test";

/// A request as a fault is chosen by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number, from 0.
    pub number: usize,
    /// `PUT`
    pub method: String,
    /// What it is, in S3's words: `PutObject`, `UploadPart`, ...
    pub operation: &'static str,
    /// The number of the part, of `UploadPart`.
    pub part: Option<u32>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is answered.
    None,
    /// The answer is an error.
    Status(u16),
    /// The answer is that the credentials have expired.
    Expired,
    /// The connection is cut in the middle of the request's body.
    Cut,
    /// It is done, and then the connection is cut before the answer.
    Lost,
    /// It is done after a while.
    Slow(Duration),
    /// It is never answered.
    Stall,
    /// It is done, and a byte of the answer's body is another one.
    Altered,
    /// It is done, and the answer's ETag is of something else.
    OtherTag,
}

type Chooses = Box<dyn FnMut(&Seen) -> Fault + Send>;

struct Inner {
    service: S3Service,
    open: bool,
    choose: Mutex<Chooses>,
    seen: Mutex<Vec<Seen>>,
    tags: Mutex<Tags>,
    /// One more than requests under way.
    under_way: Arc<()>,
}

#[derive(Default)]
struct Tags {
    /// MD5s of parts, by id of the upload.
    parts: HashMap<String, BTreeMap<u32, Vec<u8>>>,
    /// ETags of objects, by path.
    objects: HashMap<String, String>,
}

/// The server; it ends when this is dropped.
pub struct S3Server {
    address: SocketAddr,
    root: tempfile::TempDir,
    inner: Arc<Inner>,
    over: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Starts a server on a port of the loopback interface.
    pub fn start() -> Self {
        Self::with(false)
    }

    /// One that takes whoever comes. What Google Cloud Storage calls its XML API is S3 but for the signatures.
    pub fn open_to_all() -> Self {
        Self::with(true)
    }

    fn with(open: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(BUCKET)).unwrap();
        let store = s3s_fs::FileSystem::new(root.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(store);
        if !open {
            builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        }
        let inner = Arc::new(Inner {
            open,
            service: builder.build(),
            choose: Mutex::new(Box::new(|_| Fault::None)),
            seen: Mutex::default(),
            tags: Mutex::default(),
            under_way: Arc::new(()),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(Notify::new());
        let (served, ended) = (inner.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let accept = async {
                    loop {
                        let Ok((stream, _)) = listener.accept().await else { continue };
                        let inner = served.clone();
                        let service = service_fn(move |request| answer(inner.clone(), request));
                        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                    }
                };
                let accept = std::pin::pin!(accept);
                let ended = std::pin::pin!(ended.notified());
                // Without a macro for what happens once.
                std::future::poll_fn({
                    let (mut accept, mut ended) = (accept, ended);
                    move |context| {
                        use std::{future::Future, task::Poll};
                        if ended.as_mut().poll(context).is_ready() {
                            return Poll::Ready(());
                        }
                        let _: Poll<Infallible> = accept.as_mut().poll(context);
                        Poll::Pending
                    }
                })
                .await;
            });
            runtime.shutdown_background();
        });
        Self { address, root, inner, over, thread: Some(thread) }
    }

    /// The environment of a client.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// The environment of a client of Google Cloud Storage, for [`S3Server::open_to_all`].
    pub fn google_environment(&self) -> Vec<(&'static str, String)> {
        vec![
            // As emulators of it are used: nobody is asked for a token.
            (
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                format!(
                    r#"{{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true,"gcs_base_url":"http://{}"}}"#,
                    self.address
                ),
            ),
        ]
    }

    /// From now on, what happens to each request.
    pub fn faults(&self, choose: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.inner.choose.lock().unwrap() = Box::new(choose);
    }

    /// All requests until now.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// Waits until the server is done with all that it was sent, also by those who are gone.
    pub fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while Arc::strong_count(&self.inner.under_way) > 1 {
            assert!(Instant::now() < until, "the server is not done");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many requests were of an operation.
    pub fn count(&self, operation: &str) -> usize {
        self.seen().iter().filter(|seen| seen.operation == operation).count()
    }

    /// The file behind an object.
    pub fn file(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// The bytes of an object, if it is there.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        fs::read(self.file(key)).ok()
    }

    /// Files of uploads in parts that are not complete.
    pub fn unfinished(&self) -> usize {
        let names = fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".upload")).count()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.over.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The connection is to be cut.
#[derive(Debug)]
struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut off by the test")
    }
}

impl std::error::Error for CutOff {}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Body>, CutOff> {
    let query: HashMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let path = request.uri().path().to_owned();
    let part = query.get("partNumber").and_then(|number| number.parse().ok());
    let upload = query.get("uploadId").cloned().unwrap_or_default();
    let operation = match (request.method().as_str(), query.contains_key("uploads"), part, upload.is_empty())
    {
        ("HEAD", ..) => "HeadObject",
        ("GET", ..) => "GetObject",
        ("POST", true, ..) => "CreateMultipartUpload",
        ("POST", ..) => "CompleteMultipartUpload",
        ("PUT", _, Some(_), _) => "UploadPart",
        ("PUT", ..) => "PutObject",
        ("DELETE", _, _, false) => "AbortMultipartUpload",
        _ => "other",
    };
    let seen = {
        let mut all = inner.seen.lock().unwrap();
        let seen = Seen { number: all.len(), method: request.method().to_string(), operation, part };
        all.push(seen.clone());
        seen
    };
    let under_way = inner.under_way.clone();
    let fault = (inner.choose.lock().unwrap())(&seen);
    match fault {
        Fault::Status(status) => {
            // The body is read, as servers do that answer.
            let _ = request.into_body().collect().await;
            let code = match status {
                404 => "NoSuchBucket",
                503 => "SlowDown",
                _ => "InternalError",
            };
            let text = format!("<Error><Code>{code}</Code><Message>The test wants it so.</Message></Error>");
            return Ok(Response::builder().status(status).body(Body::from(text)).unwrap());
        }
        Fault::Expired => {
            let _ = request.into_body().collect().await;
            let text = "<Error><Code>ExpiredToken</Code><Message>The test wants it so.</Message></Error>";
            return Ok(Response::builder().status(400).body(Body::from(text.to_owned())).unwrap());
        }
        Fault::Cut => {
            let _ = request.into_body().frame().await;
            return Err(CutOff);
        }
        Fault::Stall => std::future::pending().await,
        Fault::Slow(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    let completes = operation == "CompleteMultipartUpload";
    let (served, mut request) = (inner.clone(), request.map(Body::from));
    if inner.open {
        request.headers_mut().remove(header::AUTHORIZATION);
    }
    // On a task of its own: what was begun is done, as by other servers, even if nobody waits for the answer any more.
    let done = tokio::spawn(async move {
        let answered = match served.service.call(request).await {
            // The store completes an upload while its answer is read.
            Ok(answer) if completes => {
                let (parts, body) = answer.into_parts();
                body.collect().await.map(|body| Response::from_parts(parts, Body::from(body.to_bytes()))).ok()
            }
            answer => answer.ok(),
        };
        drop(under_way);
        answered
    });
    let done = done.await;
    let Ok(Some(mut response)) = done else { return Err(CutOff) };
    if response.status().is_success() {
        inner.tags.lock().unwrap().note(&seen, &path, &upload, &mut response);
    }
    match fault {
        Fault::Lost => Err(CutOff),
        Fault::OtherTag => {
            let other = "\"00000000000000000000000000000000\"";
            response.headers_mut().insert(header::ETAG, other.parse().unwrap());
            Ok(response)
        }
        Fault::Altered => {
            let (parts, body) = response.into_parts();
            let mut bytes = body.collect().await.map_err(|_| CutOff)?.to_bytes().to_vec();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            Ok(Response::from_parts(parts, Body::from(bytes)))
        }
        _ => Ok(response),
    }
}

impl Tags {
    /// Remembers the ETags that S3 would have, and adds them where they are missing.
    fn note(&mut self, seen: &Seen, path: &str, upload: &str, response: &mut Response<Body>) {
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        match seen.operation {
            "PutObject" => {
                self.objects.extend(tag.map(|tag| (path.to_owned(), tag)));
            }
            "UploadPart" => {
                let sum: Vec<u8> = tag.iter().flat_map(|tag| bytes_of(tag.trim_matches('"'))).collect();
                self.parts.entry(upload.to_owned()).or_default().insert(seen.part.unwrap(), sum);
            }
            "CompleteMultipartUpload" => {
                let parts = self.parts.remove(upload).unwrap_or_default();
                let sums: Vec<u8> = parts.values().flatten().copied().collect();
                let sum =
                    Md5::digest(&sums).iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
                self.objects.insert(path.to_owned(), format!("\"{sum}-{}\"", parts.len()));
            }
            "HeadObject" | "GetObject" => {
                if let Some(tag) = self.objects.get(path) {
                    response.headers_mut().insert(header::ETAG, tag.parse().unwrap());
                }
            }
            _ => {}
        }
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}
