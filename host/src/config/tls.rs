//! TLS of the listener: certificate, key and the authority of clients, read and checked with the configuration.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};
use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    toml_reader::{Item, Table},
    types::Type,
};

/// A file in PEM format. The configuration is read again when it changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    path: PathBuf,
    bytes: Arc<[u8]>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By what is in it, so that a renewed certificate is seen to be another; and that may be a key.
        let digest = blake3::hash(&self.bytes).to_hex();
        write!(f, "{} ({})", self.path.display(), &digest[..8])
    }
}

impl Pem {
    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The type of such a key.
pub(super) struct PemFile;

impl Type<Option<Pem>> for PemFile {
    fn read(&self, item: &Item<'_>) -> Option<Option<Pem>> {
        let path = item.file_path()?;
        item.source.reads(&path);
        match std::fs::read(&path) {
            Ok(bytes) => Some(Some(Pem { path, bytes: bytes.into() })),
            Err(error) => {
                item.fail(format_args!("cannot read the file {}: {error}", path.display()));
                None
            }
        }
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("path", json!({ "type": "string" }))
    }

    fn write(&self, _: &Option<Pem>) -> Option<Value> {
        None
    }
}

/// How new connections are encrypted. Made of files that are keys beside it: it differs where they do, and is not compared itself.
#[derive(Clone)]
pub struct ServerTls(pub Arc<ServerConfig>);

impl PartialEq for ServerTls {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// What `tls_cert`, `tls_key` and `tls_client_ca` of `[http]` make. What is wrong is noted where it stands.
pub(super) fn server(table: &Table<'_>, cert: Option<&Pem>, private: Option<&Pem>, clients: Option<&Pem>) -> Option<ServerTls> {
    let key = |name: &'static str| table.get(name);
    let (cert, private) = match (cert, private) {
        (Some(cert), Some(private)) => (cert, private),
        (cert, private) => {
            for (name, is_there, wanted) in [("tls_cert", cert.is_some(), "tls_key"), ("tls_key", private.is_some(), "tls_cert")] {
                // A file that cannot be read was told already.
                if let (Some(item), true, None) = (key(name), is_there, key(wanted)) {
                    item.fail_key(format_args!("is of no use without {wanted:?}; write the path of that file too"));
                }
            }
            if let (Some(item), None, None) = (key("tls_client_ca"), key("tls_cert"), key("tls_key")) {
                item.fail_key("is of no use without \"tls_cert\" and \"tls_key\": the connections are not encrypted");
            }
            return None;
        }
    };
    let fail = |name: &'static str, why: String| {
        if let Some(item) = key(name) {
            item.fail(why);
        }
    };
    let made = chain(cert).map_err(|why| ("tls_cert", why)).and_then(|chain| {
        let private = private_key(private).map_err(|why| ("tls_key", why))?;
        let clients = clients.map(roots).transpose().map_err(|why| ("tls_client_ca", why))?;
        config(chain, private, clients)
    });
    match made {
        Ok(server) => Some(ServerTls(Arc::new(server))),
        Err((name, why)) => {
            fail(name, why);
            None
        }
    }
}

/// Notes what is wrong about a certificate that is shown to others, where it stands.
pub(super) fn check_identity(table: &Table<'_>, cert: Option<&Pem>, private: Option<&Pem>) {
    let (Some(cert), Some(private)) = (cert, private) else {
        for (name, wanted) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
            if let (Some(item), None) = (table.get(name), table.get(wanted)) {
                item.fail_key(format_args!("is of no use without {wanted:?}; write the path of that file too"));
            }
        }
        return;
    };
    let checked = chain(cert).map_err(|why| ("tls_cert", why)).and_then(|chain| {
        let private = private_key(private).map_err(|why| ("tls_key", why))?;
        let made = CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider());
        made.map(drop).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ("tls_key", "is not the key of the certificate in \"tls_cert\"".to_owned()),
            error => ("tls_cert", format!("cannot be used: {error}")),
        })
    });
    if let Err((name, why)) = checked
        && let Some(item) = table.get(name)
    {
        item.fail(why);
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    clients: Option<RootCertStore>,
) -> Result<ServerConfig, (&'static str, String)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ("tls_cert", error.to_string()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| ("tls_client_ca", error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => ("tls_key", "is not the key of the certificate in \"tls_cert\"".to_owned()),
        error => ("tls_cert", format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The server's certificate, and those between it and an authority.
fn chain(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = pem.path.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
    let chain = chain.map_err(|error| format!("{path} is no file of certificates in PEM format: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{path} has no certificate in PEM format (\"-----BEGIN CERTIFICATE-----\")"));
    }
    Ok(chain)
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&pem.bytes)
        .map_err(|_| format!("{} has no private key in PEM format (PKCS #8, PKCS #1 or SEC1, not encrypted)", pem.path.display()))
}

/// Authorities that sign certificates.
pub(super) fn roots(pem: &Pem) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem)? {
        roots.add(certificate).map_err(|error| format!("{} has a certificate that cannot be an authority: {error}", pem.path.display()))?;
    }
    Ok(roots)
}
