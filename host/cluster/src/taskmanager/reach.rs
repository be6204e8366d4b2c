//! Where this host stands in the network, seen from the JobManager's address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use ureq::http::Uri;

/// Whether a URL names an address of this host only. A name other than `localhost` is not looked up.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Some((host, _)) = host_and_port(url) else { return false };
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The address of this host by which packets leave for a URL's host. Sends none.
///
/// # Errors
/// Why it is not known, in words.
pub(crate) fn own_address_towards(url: &str) -> Result<IpAddr, String> {
    if is_loopback(url) {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let (host, port) = host_and_port(url).ok_or("the URL names no host")?;
    let mut found = (host.as_str(), port).to_socket_addrs().map_err(|error| error.to_string())?;
    let there = found.next().ok_or("its name has no address")?;
    let any: IpAddr = if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let route = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(there)?;
        Ok(socket.local_addr()?.ip())
    };
    route().map_err(|error| error.to_string())
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_elsewhere() {
        for url in ["http://127.0.0.1:7420", "http://localhost", "https://[::1]:7420/", "http://127.8.0.1:1"] {
            assert!(is_loopback(url), "{url}");
            assert_eq!(own_address_towards(url), Ok(Ipv4Addr::LOCALHOST.into()), "{url}");
        }
        for url in ["http://10.1.2.3:7420", "https://jobs.example.org", "http://localhost.example.org", "nonsense:", ""]
        {
            assert!(!is_loopback(url), "{url}");
        }
        assert!(own_address_towards("http://no-such-host.invalid:7420").is_err());
    }
}
