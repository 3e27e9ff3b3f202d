//! HTTPS clients: one TLS stack (rustls with ring) for every outgoing request.

/// Returns a builder for HTTP clients. The clients trust the root certificates of Mozilla, which
/// are compiled in, and the root certificates of the machine. The clients ignore proxies in
/// environment variables. The caller sets a timeout.
#[expect(
    clippy::disallowed_methods,
    reason = "the only constructor of HTTP clients"
)]
pub fn client() -> reqwest::ClientBuilder {
    // An error only means that the process already installed a TLS provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|root| reqwest::Certificate::from_der(root).ok());
    reqwest::Client::builder().no_proxy().tls_certs_merge(roots)
}
