//! Where a request really comes from, when a reverse proxy stands in front of the gate.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The header that every reverse proxy can be told to append its caller's address to.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The reverse proxies whose word is believed. By default nobody's: whoever sends a request writes its headers.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Believes requests from these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The address of the caller whose request arrived from `peer`.
    ///
    /// `X-Forwarded-For` is read from its end, where the nearest proxy writes, as long as every address passed is a trusted
    /// proxy's. What stands before the first that is none was written by the caller, and is not looked at. A place that holds
    /// no address ends the walk too: the caller is then who was reached last.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut caller = peer.to_canonical();
        if !self.trusts(caller) {
            return peer;
        }
        let lines = headers.get_all(FORWARDED_FOR);
        let hops = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            let Some(address) = address_of(hop.trim()) else { break };
            caller = address.to_canonical();
            if !self.trusts(caller) {
                break;
            }
        }
        caller
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address_of(hop: &str) -> Option<IpAddr> {
    if let Ok(address) = hop.parse() {
        return Some(address);
    }
    let host = match hop.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => hop.split_once(':')?.0,
    };
    host.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const CALLER: &str = "203.0.113.9";

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()])
    }

    fn caller(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        proxies().caller(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        assert_eq!(caller("127.0.0.1", &[CALLER]), CALLER);
        assert_eq!(caller("::ffff:127.0.0.1", &[CALLER]), CALLER, "a socket of both families");
        assert_eq!(caller("198.51.100.1", &[CALLER]), "198.51.100.1");
        let nobody = TrustedProxies::default();
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, HeaderValue::from_static(CALLER))]);
        assert_eq!(nobody.caller("127.0.0.1".parse().unwrap(), &headers).to_string(), "127.0.0.1");
    }

    #[test]
    fn what_the_caller_wrote_himself_is_not_believed() {
        assert_eq!(caller("127.0.0.1", &["1.2.3.4, 203.0.113.9"]), CALLER);
        assert_eq!(caller("127.0.0.1", &["10.1.1.1, 203.0.113.9, 10.2.2.2"]), CALLER, "two proxies in a row");
        assert_eq!(caller("127.0.0.1", &["1.2.3.4", CALLER]), CALLER, "lines are read as one list");
        assert_eq!(caller("127.0.0.1", &["10.9.9.9"]), "10.9.9.9", "a caller inside the trusted network");
    }

    #[test]
    fn ports_and_brackets_are_left_out_and_what_is_no_address_ends_the_walk() {
        assert_eq!(caller("10.0.0.1", &["203.0.113.9:4711"]), CALLER);
        assert_eq!(caller("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(caller("10.0.0.1", &["2001:db8::1"]), "2001:db8::1");
        for nonsense in ["unknown", "", "1.2.3.4, ", "_hidden", "[::1", "\u{7f}", "1.2.3.4 5.6.7.8", "é"] {
            let Ok(line) = HeaderValue::from_bytes(nonsense.as_bytes()) else { continue };
            let headers = HeaderMap::from_iter([(FORWARDED_FOR, line)]);
            let caller = proxies().caller("10.0.0.1".parse().unwrap(), &headers);
            assert_eq!(caller.to_string(), "10.0.0.1", "{nonsense:?}");
        }
        assert_eq!(caller("127.0.0.1", &[]), "127.0.0.1");
    }

    proptest! {
        #[test]
        fn whatever_a_caller_writes_first_changes_nothing(written in "[ -~]{0,60}") {
            prop_assert_eq!(caller("127.0.0.1", &[&format!("{written},{CALLER}")]), CALLER);
            prop_assert_eq!(caller("127.0.0.1", &[&written, CALLER]), CALLER);
        }
    }
}
