//! A page that shows the cluster in a browser: one file, nothing from elsewhere, only what `/v1` says.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The page. It holds nothing of the cluster; it asks for that with the token that its reader gives.
pub(crate) const PAGE: &str = include_str!("dashboard.html");

/// What the browser lets the page do: run the script and use the style that stand in it, ask this server, and nothing else. What it
/// shows can be put there as text only.
pub(crate) fn policy() -> HeaderValue {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |tag| STANDARD.encode(Sha256::digest(inside(PAGE, tag)));
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
            hash("script"),
            hash("style")
        )
    });
    HeaderValue::from_str(&POLICY).expect("it is ASCII")
}

/// What stands in the first element of this name.
fn inside<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<{tag}>")).expect("the page has such an element");
    let (inside, _) = rest.split_once(&format!("</{tag}>")).expect("it ends");
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_policy_allows_is_what_the_page_has() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "one {tag}");
        }
        assert!(!PAGE.contains(" style=") && !PAGE.contains(" onclick="), "the policy allows none in attributes");
        assert!(!PAGE.contains("innerHTML") && !PAGE.contains("insertAdjacentHTML"), "text, never markup");
        assert!(policy().to_str().is_ok_and(|policy| policy.contains("script-src 'sha256-")));
    }
}
