//! A real OCI registry (`docker-registry`), as plain as it can be or with a password and TLS, and a
//! liar in front of one.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command as StdCommand, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{client::http, eventually, secs};

/// The user that a registry with a password knows.
pub const USER: &str = "toolbay";
/// Its password.
pub const PASSWORD: &str = "secret-of-the-test";
/// The bcrypt of it.
const HASH: &str = "$2b$05$xfg19zFoB8QGwGUh6HZ7ROwndPLpFUv.Zq1RGXIumgdgU7DqdfKaa";

/// A registry that runs, ended when it goes out of scope.
pub struct Registry {
    folder: TempDir,
    port: u16,
    is_tls: bool,
    child: Child,
}

impl Registry {
    /// Starts one over plain HTTP that lets anybody in. None: it is not installed, which CI does
    /// not accept.
    pub async fn start() -> Option<Self> {
        Self::with(false, false).await
    }

    /// Starts one, with a password, with TLS by an authority that is in `ca.pem` of its folder.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn with(has_password: bool, is_tls: bool) -> Option<Self> {
        let is_there = |program: &str| StdCommand::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !is_there("docker-registry") || !is_there("openssl") {
            let how = "docker-registry or openssl is missing: apt-get install docker-registry openssl";
            assert!(std::env::var_os("CI").is_none(), "{how}");
            eprintln!("skipped: {how}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a folder can be made");
        if is_tls {
            certificates(folder.path());
        }
        fs::write(folder.path().join("htpasswd"), format!("{USER}:{HASH}\n")).expect("a file can be written");
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound address").port();
            let here = folder.path().display();
            let tls = if is_tls { format!(", tls: {{certificate: {here}/cert.pem, key: {here}/key.pem}}") } else { String::new() };
            let auth = if has_password { format!("auth: {{htpasswd: {{realm: test, path: {here}/htpasswd}}}}\n") } else { String::new() };
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {here}/data}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\"{tls}}}\n{auth}"
            );
            fs::write(folder.path().join("config.yml"), config).expect("a file can be written");
            let mut child = run(folder.path());
            if answers(&mut child, port).await {
                return Some(Self { folder, port, is_tls, child });
            }
        }
        panic!("docker-registry does not start: {}", fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    }

    /// `127.0.0.1:PORT`, or with TLS `localhost:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        if self.is_tls { format!("localhost:{}", self.port) } else { format!("127.0.0.1:{}", self.port) }
    }

    /// `oci://HOST/NAME`.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.host())
    }

    /// The authority of its certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Starts it again where it was, with what it had.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn restart(&mut self) {
        self.child = run(self.folder.path());
        assert!(answers(&mut self.child, self.port).await, "the registry starts again");
    }

    /// Puts an artifact under a tag by hand, layer by layer: media type, content, annotations. The
    /// manifest's digest.
    ///
    /// # Panics
    ///
    /// Where the registry does not take it.
    pub async fn put(&self, repository: &str, tag: &str, layers: &[(&str, &[u8], Value)]) -> String {
        let base = format!("http://{}/v2/{repository}", self.host());
        let mut described = Vec::new();
        for (media_type, content, annotations) in [("application/vnd.oci.empty.v1+json", &b"{}"[..], Value::Null)].iter().chain(layers) {
            let digest = sha256(content);
            let begun = http().post(format!("{base}/blobs/uploads/")).send().await.expect("the registry answers");
            let place = begun.headers()["location"].to_str().expect("an address").to_owned();
            let place = if place.starts_with('/') { format!("http://{}{place}", self.host()) } else { place };
            let mark = if place.contains('?') { '&' } else { '?' };
            let put = http().put(format!("{place}{mark}digest={digest}")).body(content.to_vec());
            let put = put.header("content-type", "application/octet-stream").send().await.expect("the registry answers");
            assert_eq!(put.status(), 201, "{put:?}");
            let mut one = json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
            if !annotations.is_null() {
                one["annotations"] = annotations.clone();
            }
            described.push(one);
        }
        let config = described.remove(0);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": described }).to_string();
        self.put_manifest(repository, tag, media_type, &manifest).await
    }

    /// Puts a manifest, or a list of them, under a tag as it is. Its digest.
    ///
    /// # Panics
    ///
    /// Where the registry does not take it.
    pub async fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, manifest: &str) -> String {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.host());
        let put = http().put(url).header("content-type", media_type).body(manifest.to_owned());
        let put = put.send().await.expect("the registry answers");
        assert_eq!(put.status(), 201, "{put:?}");
        sha256(manifest.as_bytes())
    }

    /// Signs a manifest of a repository as cosign does with a key.
    pub async fn sign(&self, repository: &str, digest: &str, key: &SigningKey) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": format!("{}/{repository}", self.host()) },
                "image": { "docker-manifest-digest": digest },
                "type": "cosign container image signature"
            },
            "optional": null
        });
        let payload = payload.to_string();
        let annotations = json!({ "dev.cosignproject.cosign/signature": key.sign(payload.as_bytes()) });
        let layer = ("application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes(), annotations);
        self.put(repository, &format!("{}.sig", digest.replace(':', "-")), &[layer]).await;
    }
}

fn run(folder: &Path) -> Child {
    let log = fs::File::create(folder.join("log")).expect("a log can be made");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(folder.join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().expect("docker-registry can be started")
}

/// Whether something listens there before the program ends.
async fn answers(child: &mut Child, port: u16) -> bool {
    eventually("docker-registry listens or ends", secs(60), || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(())
    })
    .await;
    matches!(child.try_wait(), Ok(None))
}

fn openssl(arguments: &[&str], folder: &Path) {
    let output = StdCommand::new("openssl").args(arguments).current_dir(folder).output().expect("openssl can be started");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `ca.pem`, and `cert.pem` with `key.pem` by it, for localhost.
pub(crate) fn certificates(folder: &Path) {
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let ca = ["req", "-x509", "-days", "30", "-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&ca[..], &new[..], &["-addext", "basicConstraints=critical,CA:TRUE"]].concat(), folder);
    openssl(&[&["req", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "csr.pem"][..], &new[..]].concat(), folder);
    fs::write(folder.join("ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").expect("a file can be written");
    let sign =
        ["x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-out", "cert.pem"];
    openssl(&[&sign[..], &["-extfile", "ext"]].concat(), folder);
}

/// A key as `cosign generate-key-pair` makes it: ECDSA on P-256.
pub struct SigningKey(TempDir);

impl Default for SigningKey {
    fn default() -> Self {
        Self::new()
    }
}

impl SigningKey {
    /// A new one.
    ///
    /// # Panics
    ///
    /// Where openssl makes none.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"], folder.path());
        openssl(&["ec", "-in", "key.pem", "-pubout", "-out", "cosign.pub"], folder.path());
        Self(folder)
    }

    /// The public key's file.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.0.path().join("cosign.pub")
    }

    fn sign(&self, payload: &[u8]) -> String {
        fs::write(self.0.path().join("payload"), payload).expect("a file can be written");
        openssl(&["dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "payload"], self.0.path());
        openssl(&["base64", "-A", "-in", "signature", "-out", "signature.txt"], self.0.path());
        fs::read_to_string(self.0.path().join("signature.txt")).expect("openssl has written it")
    }
}

/// `sha256:` and the digest, by `sha256sum`.
///
/// # Panics
///
/// Where there is no `sha256sum`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("content");
    fs::write(&path, bytes).expect("a file can be written");
    let output = StdCommand::new("sha256sum").arg(&path).output().expect("sha256sum is part of every system");
    let text = String::from_utf8(output.stdout).expect("digits");
    format!("sha256:{}", text.split_whitespace().next().expect("a digest"))
}

/// What the liar does to what comes from the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    None,
    /// Blobs have another last byte.
    Blob,
    /// Blobs break off in the middle.
    Torn,
    /// Blobs end in the middle, as if that were all.
    Short,
    /// Blobs go on and on.
    Endless,
    /// Manifests say something else than their digest.
    Manifest,
    /// Every answer is 503.
    Busy,
}

/// A proxy before a registry that changes what it sends.
pub struct Liar {
    address: SocketAddr,
    lie: Arc<Mutex<Lie>>,
    task: JoinHandle<()>,
}

impl Liar {
    /// Starts one that is honest at first.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start(registry: &Registry) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let lie = Arc::new(Mutex::new(Lie::None));
        let router = Router::new().fallback(pass).with_state((registry.host(), Arc::clone(&lie)));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, lie, task }
    }

    /// From now on it lies like this.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn lies(&self, lie: Lie) {
        *self.lie.lock().expect("no handler panics") = lie;
    }

    /// `oci://HOST/NAME`.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.address)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State((host, lie)): State<(String, Arc<Mutex<Lie>>)>, request: Request) -> Response {
    let lie = *lie.lock().expect("no handler panics");
    if lie == Lie::Busy {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let accept = request.headers().get("accept").cloned();
    let mut asked = http().request(request.method().clone(), format!("http://{host}{path}"));
    if let Some(accept) = accept {
        asked = asked.header("accept", accept);
    }
    let Ok(answer) = asked.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut response = Response::builder().status(answer.status());
    for name in ["content-type", "docker-content-digest"] {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    let is_blob = path.contains("/blobs/") && answer.status().is_success();
    let is_manifest = path.contains("/manifests/") && answer.status().is_success();
    let Ok(body) = answer.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let half = body.slice(..body.len() / 2);
    let body = match lie {
        Lie::Blob if is_blob => {
            let mut changed = body.to_vec();
            *changed.last_mut().expect("no blob is empty") ^= 1;
            Body::from(changed)
        }
        Lie::Manifest if is_manifest => Body::from([&body[..], b" "].concat()),
        Lie::Short if is_blob => Body::from(half),
        Lie::Torn if is_blob => {
            let parts = [Ok(half), Err(std::io::Error::other("torn on purpose"))];
            Body::from_stream(futures::stream::iter(parts))
        }
        Lie::Endless if is_blob => Body::from_stream(futures::stream::repeat_with(move || Ok::<Bytes, std::io::Error>(body.clone()))),
        _ => Body::from(body),
    };
    response.body(body).expect("the parts of an answer")
}
