//! Clients for HTTPS: one TLS stack (rustls with ring) for every outgoing request.

/// A builder for HTTP clients. It trusts Mozilla's root certificates, which come with the program, and those of the machine; it ignores proxies that the
/// environment names. The caller adds a timeout.
#[expect(clippy::disallowed_methods, reason = "the one place that makes HTTP clients")]
pub fn client() -> reqwest::ClientBuilder {
    // An error means that the process has a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|root| reqwest::Certificate::from_der(root).ok());
    reqwest::Client::builder().no_proxy().tls_certs_merge(roots)
}
