//! Creates builders of HTTPS clients. All outgoing requests use these builders and therefore the
//! same TLS library (rustls with ring).

/// Returns a builder of HTTP clients. The caller must set a timeout, because the builder sets no
/// timeout.
///
/// The clients trust two sets of root certificates: the certificates of Mozilla, which are part of
/// the program, and the certificates of the machine. The programs of the cloud functions contain no
/// certificates and trust only those of their machine, as the clients of AWS always do. Proxy settings
/// in environment variables are ignored.
#[expect(
    clippy::disallowed_methods,
    reason = "the only constructor of HTTP clients"
)]
pub fn client() -> reqwest::ClientBuilder {
    // The call returns an error only if the process has already installed a TLS provider. In this
    // case, the program uses the installed provider, so the error is ignored.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder();
    #[cfg(feature = "local")]
    let builder = builder.tls_certs_merge(
        webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter_map(|root| reqwest::Certificate::from_der(root).ok()),
    );
    builder.no_proxy()
}
