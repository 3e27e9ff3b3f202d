//! Decides whether an outgoing request (egress) is allowed. Requests to all public addresses are
//! allowed. A request to a private address is allowed only if the configuration contains the
//! address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The private addresses and the host names to which requests are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    loopback: bool,
    nets: Vec<(IpAddr, u8)>,
    hosts: Vec<String>,
}

impl Egress {
    /// Parses a comma-separated list of allowed destinations. An entry has one of these forms:
    /// `loopback`, a network such as `10.0.0.0/8`, an address, a host name, or `*.example.com` for
    /// all subdomains.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut egress = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            if part == "loopback" {
                egress.loopback = true;
                continue;
            }
            let (address, bits) = part
                .split_once('/')
                .map_or((part, None), |(address, bits)| (address, Some(bits)));
            match (address.parse::<IpAddr>(), bits) {
                (Ok(address), None) => egress
                    .nets
                    .push((address, if address.is_ipv4() { 32 } else { 128 })),
                (Ok(address), Some(bits)) => {
                    let prefix_max = if address.is_ipv4() { 32 } else { 128 };
                    let bits = bits
                        .parse()
                        .ok()
                        .filter(|bits| *bits <= prefix_max)
                        .ok_or_else(|| format!("{part} is not a network"))?;
                    egress.nets.push((address, bits));
                }
                (Err(_), Some(_)) => return Err(format!("{part} is not a network")),
                (Err(_), None) if is_host_name(part) => egress.hosts.push(part.to_lowercase()),
                (Err(_), None) => {
                    return Err(format!("{part} is neither an address nor a host name"));
                }
            }
        }
        Ok(egress)
    }

    /// Returns rules that allow every address. The desk uses these rules only for servers that the
    /// operator has configured.
    pub fn everywhere() -> Self {
        Self {
            loopback: true,
            nets: vec![
                (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
                (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            ],
            hosts: Vec::new(),
        }
    }

    /// Returns these egress rules. If `allowed` is true, the rules also allow the loopback
    /// addresses of this machine.
    #[must_use]
    pub fn with_loopback(mut self, allowed: bool) -> Self {
        self.loopback |= allowed;
        self
    }

    /// Returns whether the list of allowed hosts contains a host name. All addresses of such a host
    /// are allowed.
    pub fn allows_host(&self, host: &str) -> bool {
        let host = host.to_lowercase();
        self.hosts
            .iter()
            .any(|allowed| match allowed.strip_prefix("*.") {
                Some(domain) => host
                    .strip_suffix(domain)
                    .is_some_and(|front| front.ends_with('.')),
                None => *allowed == host,
            })
    }

    /// Returns whether requests to an address are allowed. The entry `loopback` allows only
    /// 127.0.0.0/8 and ::1. The form ::ffff:127.0.0.1 is also loopback.
    pub fn allows(&self, address: IpAddr) -> bool {
        if address.to_canonical().is_loopback() && self.loopback {
            return true;
        }
        let address = plain(address);
        is_public(address) || self.in_nets(address)
    }

    /// Returns whether the list contains an address. Unlike [`Egress::allows`], a public address must be in the list too.
    pub fn contains(&self, address: IpAddr) -> bool {
        let is_loopback = address.to_canonical().is_loopback() && self.loopback;
        is_loopback || self.in_nets(plain(address))
    }

    /// Returns whether the list contains a host name.
    pub fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Looks up the addresses of a server. Returns the addresses that these rules allow.
    pub async fn addresses(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let is_named = self.allows_host(host);
        let found = tokio::net::lookup_host((host, port)).await?;
        Ok(found
            .filter(|address| is_named || self.allows(address.ip()))
            .collect())
    }

    /// Checks a host without a DNS lookup. If requests to the host are forbidden, returns the host
    /// in lower case. Otherwise returns `None`.
    ///
    /// If the host is an IP address, the rules decide whether the address is allowed. Some names,
    /// such as `localhost`, always mean this machine, so they are treated like a loopback address.
    /// Other names are allowed here, because their addresses are not known before the DNS lookup.
    pub fn closes(&self, host: &str) -> Option<String> {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.')
            .to_lowercase();
        let is_local_name = host == "localhost" || host.ends_with(".localhost");
        let address = if is_local_name {
            Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        } else {
            host.parse::<IpAddr>().ok()
        };
        let is_closed =
            address.is_some_and(|address| !self.allows(address) && !self.allows_host(&host));
        is_closed.then_some(host)
    }

    fn in_nets(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|(net, bits)| match (net, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                bits_of(u32::from(*net).into(), 32, *bits)
                    == bits_of(u32::from(address).into(), 32, *bits)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                bits_of((*net).into(), 128, *bits) == bits_of(address.into(), 128, *bits)
            }
            _ => false,
        })
    }
}

/// Returns whether a text is a host name, or `*.` followed by a host name.
///
/// A single `*` is rejected, because this entry would match no host name. A text without letters is
/// rejected, because this text is probably a wrong IP address.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    name.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        && name.chars().any(|c| c.is_ascii_alphabetic())
}

/// Returns the first `bits` bits of an address. `all` is the number of bits in the address.
fn bits_of(address: u128, all: u8, bits: u8) -> u128 {
    if bits == 0 {
        0
    } else {
        address >> (all - bits)
    }
}

/// Returns the IPv4 address inside an IPv6 address, if the IPv6 address contains one. Otherwise
/// returns the address unchanged. Mapped, translated and tunnel addresses contain an IPv4 address
/// (RFC 4291 2.5.5, RFC 2765, RFC 6052, RFC 3056).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let segments = v6.segments();
    let at = |first: usize| {
        Ipv4Addr::from((u32::from(segments[first]) << 16) | u32::from(segments[first + 1]))
    };
    match segments {
        _ if v6.is_loopback() || v6.is_unspecified() => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => at(6).into(),
        [0x2002, ..] => at(1).into(),
        _ => address,
    }
}

/// Returns whether an address is public. These addresses are not public:
///
/// - Addresses of this machine: loopback, unspecified and link-local addresses. In a cloud, a
///   server at a link-local address provides the credentials of the machine.
/// - Private networks (RFC 1918, RFC 6598, RFC 4193, the registries of RFC 6890) and reserved
///   addresses.
/// - 168.63.129.16, because one cloud offers internal services at this address.
fn is_public(address: IpAddr) -> bool {
    let is_closed = match address {
        IpAddr::V4(v4) => {
            let special = match v4.octets() {
                [0 | 240..=255, ..]
                | [192, 0, 0 | 2, _]
                | [198, 51, 100, _]
                | [203, 0, 113, _]
                | [168, 63, 129, 16] => true,
                [100, second, ..] => (64..128).contains(&second),
                [198, second, ..] => (18..20).contains(&second),
                _ => false,
            };
            v4.is_loopback()
                || v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_private()
                || v4.is_multicast()
                || special
        }
        IpAddr::V6(v6) => {
            // These address ranges are not public: site-local (RFC 3879), local translation (RFC
            // 8215), discard (RFC 6666), documentation (RFC 3849, RFC 9637) and segment routing
            // (RFC 9602). Teredo addresses (RFC 4380) are not public either, because they contain
            // another address.
            let special = match v6.segments() {
                [0x64, 0xff9b, 1, ..]
                | [0x100, 0, 0, 0, ..]
                | [0x2001, 0 | 0xdb8, ..]
                | [0x3fff, 0..=0xfff, ..]
                | [0x5f00, ..] => true,
                [first, ..] => first & 0xffc0 == 0xfec0,
            };
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_unique_local()
                || v6.is_multicast()
                || special
        }
    };
    !is_closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_forbidden_unless_configured() {
        let allows = |egress: &str, address: &str| {
            Egress::read(egress)
                .unwrap()
                .allows(address.parse().unwrap())
        };
        for inside in [
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.9",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(!allows("", inside), "{inside}");
        }
        // Each of the following addresses is a special IPv6 address, or contains a private IPv4
        // address. Rules without any entry must forbid all these addresses.
        for inside in [
            "64:ff9b::a01:203",
            "64:ff9b::7f00:1",
            "2002:a01:203::1",
            "::10.1.2.3",
            "::127.0.0.1",
            "fec0::1",
            "64:ff9b:1::1",
            "2001::1",
            "::ffff:0:127.0.0.1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!allows("", inside), "{inside}");
        }
        for inside in [
            "198.18.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "203.0.113.9",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(!allows("", inside), "{inside}");
        }
        assert!(
            allows("", "64:ff9b::808:808")
                && allows("", "2002:808:808::1")
                && allows("", "198.20.0.1")
        );
        assert!(allows("10.0.0.0/8", "64:ff9b::a01:203"));
        assert!(allows("", "8.8.8.8") && allows("", "2606:4700::1111"));
        assert!(
            allows("10.0.0.0/8", "10.1.2.3")
                && !allows("10.0.0.0/8", "11.0.0.1") | allows("", "11.0.0.1")
        );
        assert!(allows("10.0.0.0/8", "::ffff:10.0.0.1") && !allows("10.0.0.0/8", "192.168.0.1"));
        assert!(allows("loopback", "127.0.0.1") && !allows("loopback", "10.0.0.1"));
        assert!(allows("fd00::/8", "fd12::1"));
    }

    #[test]
    fn loopback_allows_loopback_and_no_link_local_address() {
        let egress = Egress::read("loopback").unwrap();
        for open in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"] {
            assert!(egress.allows(open.parse().unwrap()), "{open}");
        }
        for closed in [
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "10.0.0.1",
            "::127.0.0.1",
        ] {
            assert!(!egress.allows(closed.parse().unwrap()), "{closed}");
        }
        assert!(
            Egress::read("169.254.0.0/16")
                .unwrap()
                .allows("169.254.169.254".parse().unwrap()),
            "a configured network is allowed"
        );
    }

    #[test]
    fn forbidden_addresses_in_urls_are_rejected_before_resolution() {
        let closed = Egress::default();
        for host in [
            "169.254.169.254",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1",
        ] {
            assert!(closed.closes(host).is_some(), "{host}");
        }
        for host in [
            "8.8.8.8",
            "example.com",
            "localhost.example.com",
            "[2606:4700::1111]",
        ] {
            assert_eq!(closed.closes(host), None, "{host}");
        }
        assert_eq!(Egress::read("loopback").unwrap().closes("localhost"), None);
        assert_eq!(Egress::read("localhost").unwrap().closes("localhost"), None);
    }

    #[test]
    fn host_names_are_allowed_exactly_or_by_domain() {
        let egress = Egress::read("itsm.corp, *.intra.example.com").unwrap();
        assert!(egress.allows_host("ITSM.corp") && egress.allows_host("a.b.intra.example.com"));
        assert!(
            !egress.allows_host("intra.example.com")
                && !egress.allows_host("evilintra.example.com")
        );
        assert_eq!(
            Egress::read("10.0.0.0/33").unwrap_err(),
            "10.0.0.0/33 is not a network"
        );
        assert!(Egress::read("a b").is_err());
    }
}
