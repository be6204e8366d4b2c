//! By which names this server goes. A page in somebody's browser can reach a server on their machine by a name of its own that
//! it lets point there; the browser then says that name, and by it the page is found out.

use std::{collections::BTreeSet, net::IpAddr};

/// The names that requests may give as their host.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: BTreeSet<String>,
    /// Whether it listens on all addresses, and so goes by any that is a number. Such a one cannot be made to point elsewhere.
    any_address: bool,
}

impl Hosts {
    pub(crate) fn new(listen: IpAddr, names: &[String]) -> Self {
        let mut known: BTreeSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        known.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        known.insert(match listen {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
        Self { names: known, any_address: listen.is_unspecified() }
    }

    /// Whether `NAME` or `NAME:PORT` is this server. Any port will do: it may be forwarded.
    pub(crate) fn know(&self, authority: &str) -> bool {
        let name = name_of(authority).to_ascii_lowercase();
        if self.names.contains(&name) {
            return true;
        }
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
        self.any_address && bare.parse::<IpAddr>().is_ok()
    }
}

/// The authority without its port.
fn name_of(authority: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':') {
        Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => authority,
    }
}

/// Whether a page came from the server that its request goes to: `http://HOST:PORT` and `HOST:PORT`.
pub(crate) fn is_same_origin(origin: &str, authority: &str) -> bool {
    let of_page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of_page.is_some_and(|of_page| of_page.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listen: &str, known: &[&str], strange: &[&str]) {
        let hosts = Hosts::new(listen.parse().expect("it is an address"), &["Jobs.example.com".to_owned()]);
        for name in known {
            assert!(hosts.know(name), "{name}");
        }
        for name in strange {
            assert!(!hosts.know(name), "{name}");
        }
    }

    #[test]
    fn names_of_this_server_and_no_others() {
        let known = ["localhost", "LOCALHOST:7420", "127.0.0.1:1", "[::1]", "[::1]:7420", "jobs.example.com:443"];
        let strange = [
            "",
            ":",
            "evil.com",
            "localhost.evil.com",
            "evil.com:7420",
            "localhost:evil",
            "127.0.0.1.evil.com",
            "::1",
            "user@localhost",
            "localhost, evil.com",
            "[::1",
            "example.com",
        ];
        check("127.0.0.1", &known, &[&strange[..], &["10.0.0.1", "[fe80::1]:1"]].concat());
        check("10.0.0.1", &[&known[..], &["10.0.0.1:7420"]].concat(), &[&strange[..], &["10.0.0.2"]].concat());
        check("0.0.0.0", &[&known[..], &["10.0.0.1:7420", "[fe80::1]:1"]].concat(), &strange[..7]);
        check("fe80::1", &[&known[..], &["[fe80::1]:1"]].concat(), &["[fe80::2]:1"]);
    }

    #[test]
    fn pages_of_this_server_and_no_others() {
        assert!(is_same_origin("http://localhost:7420", "localhost:7420"));
        assert!(is_same_origin("https://LOCALHOST:7420", "localhost:7420"));
        for origin in
            ["null", "", "http://localhost", "http://localhost:7421", "http://evil.com", "file://localhost:7420"]
        {
            assert!(!is_same_origin(origin, "localhost:7420"), "{origin}");
        }
    }
}
