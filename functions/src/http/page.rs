//! Returns the start page, which contains links to the APIs. The URLs of tickets in BlueKing ITSM
//! (`/#/ticket/detail?id=`) also open the start page.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

/// The content security policy of the start page. The policy forbids scripts and external
/// resources, because the page needs none.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const STYLE: &str = "body{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#1d2129}\
    h1{font-size:1.6rem}code{background:#f2f3f5;padding:.1rem .3rem;border-radius:.2rem}li{margin:.3rem 0}a{color:#165dff}\
    p.note{background:#fff7e8;border-left:.25rem solid #ff9a2e;padding:.6rem .8rem}";

const ENGLISH: &str = r#"<h1>Ledgerdesk</h1>
<p>An IT service desk. Every change of a ticket is an event in an append-only ledger that can be replayed and verified.</p>
<p class="note">The web console is not part of this version yet. A link to a ticket leads to this page; the ticket itself is
available over the API, by its number: <code>GET /v1/tickets/{number}</code>.</p>
<ul>
<li><a href="openapi.json">openapi.json</a>: the description of all APIs</li>
<li><code>/v1</code>: the REST API</li>
<li><code>/api/c/compapi/v2/itsm/</code>: the API of BlueKing ITSM, for its clients and SDKs</li>
<li><a href="healthz">healthz</a>: the program runs; <a href="readyz">readyz</a>: the ledger can be read and written</li>
</ul>
<p>The APIs need the code and the secret of an app. Documents: <code>README.md</code> and <code>docs/operating.md</code> of the project.</p>"#;

const CHINESE: &str = r#"<h1>Ledgerdesk</h1>
<p>IT 服务台。单据的每一次变更都以事件形式写入只增不改的账本，可以回放，也可以校验。</p>
<p class="note">当前版本还没有网页控制台。单据链接会打开本页；可以通过接口按单号查看单据：<code>GET /v1/tickets/{单号}</code>。</p>
<ul>
<li><a href="openapi.json">openapi.json</a>：全部接口的说明</li>
<li><code>/v1</code>：REST 接口</li>
<li><code>/api/c/compapi/v2/itsm/</code>：兼容蓝鲸 ITSM 的接口，供其客户端和 SDK 使用</li>
<li><a href="healthz">healthz</a>：程序在运行；<a href="readyz">readyz</a>：账本可用</li>
</ul>
<p>调用接口需要应用的编码和密钥。文档见项目中的 <code>README.md</code> 和 <code>docs/operating.md</code>。</p>"#;

/// Handles `GET /`. Returns the start page in Chinese or English, without a check of credentials.
pub(super) async fn first(headers: HeaderMap) -> Response {
    let accept_language = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (language, text) = if prefers_chinese(accept_language) {
        ("zh-CN", CHINESE)
    } else {
        ("en", ENGLISH)
    };
    let page = format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Ledgerdesk</title><style>{STYLE}</style></head>\n<body>\n{text}\n<p><small>Ledgerdesk {}</small></p>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, language),
        (header::VARY, "Accept-Language"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page).into_response()
}

/// Returns whether the header `Accept-Language` prefers Chinese to English (RFC 9110 12.5.4).
/// Returns false if the header contains neither language.
fn prefers_chinese(header: &str) -> bool {
    let weight_of = |language: &str| {
        let weights = header.split(',').filter_map(|part| {
            let mut pieces = part.trim().split(';');
            let tag = pieces.next()?.trim().to_lowercase();
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q=")?.trim().parse::<f32>().ok())
                .unwrap_or(1.0);
            (tag.split('-').next() == Some(language)).then_some(weight)
        });
        weights.fold(0.0, f32::max)
    };
    weight_of("zh") > weight_of("en")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_language_follows_the_weights_of_accept_language() {
        for header in [
            "zh-CN,zh;q=0.9,en;q=0.8",
            "zh",
            "en;q=0.5, zh-TW",
            "fr, zh;q=0.1",
        ] {
            assert!(prefers_chinese(header), "{header}");
        }
        for header in [
            "",
            "en-US,en;q=0.9,zh;q=0.8",
            "de",
            "*",
            "zh;q=x;q=0.1,en;q=0.2",
            "zh;q=0",
        ] {
            assert!(!prefers_chinese(header), "{header}");
        }
    }
}
