//! `[cluster]`: how instances of this host reach each other.

use super::{
    HttpConfig,
    section::{Section, section},
    tls::{self, Pem, PemFile},
    toml_reader::Table,
};

section! {
    /// How this instance reaches others of the same host, at the addresses that their `advertise` in `[tasks]` names.
    #[derive(Eq)]
    pub struct ClusterConfig {
        /// The certificate that this instance shows to others, followed by those between it and an authority, in PEM
        /// format. The others need it where `tls_client_ca` in `[http]` is set. The file is read again
        /// when it changes.
        tls_cert: Option<Pem> = None, PemFile => unset("`tls_cert` of `[http]`, if `tls_client_ca` is set there");
        /// The private key of `tls_cert`, in PEM format.
        tls_key: Option<Pem> = None, PemFile => unset("`tls_key` of `[http]`");
        /// Certificates of authorities, in PEM format: others must show a certificate that one of them has
        /// signed, if their address begins with `https://`.
        tls_ca: Option<Pem> = None, PemFile => unset("the authorities of the system");
    }
}

/// Reads `[cluster]`.
pub(super) fn read(table: Table<'_>, cluster: &mut ClusterConfig) {
    cluster.read(&table);
    tls::check_identity(&table, cluster.tls_cert.as_ref(), cluster.tls_key.as_ref());
    if let (Some(item), Some(ca)) = (table.get("tls_ca"), &cluster.tls_ca)
        && let Err(why) = tls::roots(ca)
    {
        item.fail(why);
    }
    table.finish();
}

impl ClusterConfig {
    /// What holds where nothing else is said: the listener's own certificate, where the others ask for one.
    #[must_use]
    pub fn or_of(mut self, http: &HttpConfig) -> Self {
        if self.tls_cert.is_none() && http.asks_for_certificates() {
            (self.tls_cert, self.tls_key) = (http.tls_cert.clone(), http.tls_key.clone());
        }
        self
    }
}
