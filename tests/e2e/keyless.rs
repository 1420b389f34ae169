//! Plugins from a real registry that are signed without a lasting key: by a certificate of an
//! authority of ours and an entry in a log of ours, beside the plugin or as a bundle that refers to it.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PublicKeyData as _, SanType, SigningKey as _,
};
use toolbay_tests::{
    Client, Registry, Server, Setup, Value, eventually, json, registry, secs,
    wat::{self, binary},
};

const ISSUER: &str = "https://token.example.com";
const RELEASE: &str = "https://example.com/acme/v/release.yml@refs/tags/v1";

/// An authority and a log.
struct Sigstore {
    fulcio: CertifiedIssuer<'static, KeyPair>,
    rekor: KeyPair,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let text = registry::sha256(bytes);
    let hex = text.trim_start_matches("sha256:").as_bytes();
    hex.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Sigstore {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "fulcio");
        let fulcio = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { fulcio, rekor: KeyPair::generate().unwrap() }
    }

    /// The files of its roots.
    fn write(&self, setup: &Setup) {
        fs::write(setup.home().join("fulcio.pem"), self.fulcio.pem()).unwrap();
        let key = base64(self.rekor.subject_public_key_info());
        fs::write(setup.home().join("rekor.pub"), format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")).unwrap();
    }

    fn certificate(&self, subject: &str, key: &KeyPair) -> rcgen::Certificate {
        let mut params = CertificateParams::default();
        // Who it is for stands beside it.
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(subject.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        // An UTF8String of ASN.1.
        let text = [&[0x0c, u8::try_from(ISSUER.len()).unwrap()][..], ISSUER.as_bytes()].concat();
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text)];
        params.signed_by(key, &self.fulcio).unwrap()
    }

    fn log(&self) -> Vec<u8> {
        sha256(&self.rekor.subject_public_key_info())
    }

    fn promise(&self, body: &str, at: u64) -> String {
        let signed = format!(r#"{{"body":"{}","integratedTime":{at},"logID":"{}","logIndex":5}}"#, base64(body), hex(&self.log()));
        base64(self.rekor.sign(signed.as_bytes()).unwrap())
    }

    /// What `cosign sign` up to version 2 puts beside a manifest.
    async fn sign(&self, registry: &Registry, repository: &str, digest: &str, subject: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(subject, &key).pem();
        let document = json!({ "critical": { "identity": { "docker-reference": repository }, "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature" }, "optional": null })
        .to_string();
        let signature = base64(key.sign(document.as_bytes()).unwrap());
        let body = json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hex(&sha256(document.as_bytes())) } },
            "signature": { "content": signature, "publicKey": { "content": base64(&certificate) } } } })
        .to_string();
        let at = now();
        let bundle = json!({ "SignedEntryTimestamp": self.promise(&body, at), "Payload": {
            "body": base64(&body), "integratedTime": at, "logIndex": 5, "logID": hex(&self.log()) } });
        let annotations = json!({ "dev.cosignproject.cosign/signature": signature, "dev.sigstore.cosign/certificate": certificate,
            "dev.sigstore.cosign/chain": self.fulcio.pem(), "dev.sigstore.cosign/bundle": bundle.to_string() });
        let layer = ("application/vnd.dev.cosign.simplesigning.v1+json", document.as_bytes(), annotations);
        registry.put(repository, &format!("{}.sig", digest.replace(':', "-")), &[layer]).await;
    }

    /// A bundle as `cosign sign` 3 writes it.
    fn bundle(&self, digest: &str, subject: &str) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(subject, &key);
        let hash = digest.trim_start_matches("sha256:");
        let payload = json!({ "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": hash } }],
            "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {} })
        .to_string();
        let kind = "application/vnd.in-toto+json";
        let signature = base64(key.sign(format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len()).as_bytes()).unwrap());
        let body = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "payloadHash": { "algorithm": "sha256", "value": hex(&sha256(payload.as_bytes())) },
            "signatures": [{ "signature": signature, "verifier": base64(certificate.pem()) }] } })
        .to_string();
        let (at, log) = (now(), self.log());
        // The only entry of its log.
        let root = base64(sha256(&[&[0], body.as_bytes()].concat()));
        let text = format!("rekor.example.com\n1\n{root}\n");
        let signed = base64([&log[..4], &self.rekor.sign(text.as_bytes()).unwrap()].concat());
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": base64(certificate.der()) },
                "tlogEntries": [{
                    "logIndex": "5", "logId": { "keyId": base64(&log) }, "integratedTime": at.to_string(),
                    "inclusionPromise": { "signedEntryTimestamp": self.promise(&body, at) },
                    "inclusionProof": { "logIndex": "0", "treeSize": "1", "rootHash": root, "hashes": [],
                        "checkpoint": { "envelope": format!("{text}\n\u{2014} rekor.example.com {signed}\n") } },
                    "canonicalizedBody": base64(&body),
                }],
            },
            "dsseEnvelope": { "payload": base64(&payload), "payloadType": kind, "signatures": [{ "sig": signature }] },
        })
    }
}

/// Puts bundles there that refer to a manifest, in the tag for registries that keep no lists.
async fn refer(registry: &Registry, repository: &str, digest: &str, bundles: &[Value]) {
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let mut manifests = Vec::new();
    for (number, bundle) in bundles.iter().enumerate() {
        let text = bundle.to_string();
        let one = registry.put(repository, &format!("bundle-{number}"), &[(kind, text.as_bytes(), Value::Null)]).await;
        manifests
            .push(json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": one, "size": 1, "artifactType": kind }));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let list = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests }).to_string();
    registry.put_manifest(repository, &digest.replace(':', "-"), media_type, &list).await;
}

async fn push(setup: &Setup, number: u32, to: &str) -> String {
    let path = setup.home().join(format!("v{number}.wasm"));
    fs::write(&path, binary(&wat::version(number))).unwrap();
    let pushed = setup.run(["push", path.to_str().unwrap(), to]).await;
    pushed.expect_code(0).stdout.trim().split_once('@').expect("a digest").1.to_owned()
}

async fn version(server: &Server) -> Option<u64> {
    let reply = Client::modern(server).call("version", json!({})).await;
    reply.answer().get("result").and_then(|result| result["structuredContent"]["result"].as_u64())
}

#[tokio::test]
async fn what_is_signed_by_an_identity_is_served_and_nothing_else() {
    let Some(registry) = Registry::start().await else { return };
    let (ours, theirs) = (Sigstore::new(), Sigstore::new());
    let to = registry.reference("acme/v:1");
    let setup = Setup::new();
    let cache = setup.home().join("registry-cache");
    let setup = setup.config(&format!(
        "[host]\nregistry_cache = {cache:?}\n[plugin.v]\nsource = {to:?}\ninterval = \"1s\"\n\
         [trust]\nsigned = [{{ source = \"*/acme/*\", fulcio = [\"fulcio.pem\"], rekor = [\"rekor.pub\"], \
         identities = [{{ subject = \"https://example.com/acme/*@refs/tags/*\", issuer = {ISSUER:?} }}] }}]\n"
    ));
    ours.write(&setup);
    let first = push(&setup, 1, &to).await;
    let refused = async |setup: &Setup, says: &str| {
        let failed = setup.run(["pull", &to]).await;
        assert!(failed.expect_code(1).stderr.contains(says), "{says}: {}", failed.stderr);
    };
    refused(&setup, "the registry has no signature of sha256:").await;
    ours.sign(&registry, "acme/v", &first, "https://example.com/acme/v/test.yml@refs/heads/main").await;
    refused(&setup, "it is by somebody else: https://example.com/acme/v/test.yml@refs/heads/main of https://token.example.com").await;
    theirs.sign(&registry, "acme/v", &first, RELEASE).await;
    refused(&setup, "in a log that is not trusted").await;
    let other = format!("sha256:{}", hex(&sha256(b"another")));
    ours.sign(&registry, "acme/v", &first, RELEASE).await;
    setup.run(["pull", &to]).await.expect_code(0);
    let server = setup.start().await;
    eventually("the first version answers", secs(60), || async { (version(&server).await == Some(1)).then_some(()) }).await;

    // The next one is signed by bundles: of something else first, and changed, then rightly beside those.
    let second = push(server.setup(), 2, &to).await;
    let said = |words: &'static str| server.wait_plugin("v", words, move |status| status["warnings"].to_string().contains(words));
    said("has no signature").await;
    let mut changed = ours.bundle(&second, RELEASE);
    changed["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1".into();
    let wrong = [ours.bundle(&other, RELEASE), changed, theirs.bundle(&second, RELEASE)];
    refer(&registry, "acme/v", &second, &wrong).await;
    said("none of its 3 signatures counts").await;
    assert_eq!(version(&server).await, Some(1));
    let right = [&wrong[..], &[ours.bundle(&second, RELEASE)]].concat();
    refer(&registry, "acme/v", &second, &right).await;
    eventually("the second version answers", secs(60), || async { (version(&server).await == Some(2)).then_some(()) }).await;
    let shown = server.setup().run(["inspect", &to]).await;
    assert!(shown.expect_code(0).stdout.contains("signatures   4"), "{}", shown.stdout);
    // Roots of a third from now on: nothing is signed under them.
    Sigstore::new().write(server.setup());
    eventually("it is withdrawn", secs(60), || async { version(&server).await.is_none().then_some(()) }).await;
}
