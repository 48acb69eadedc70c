//! Where deliveries may go. An endpoint's owner chooses the address, so it must not become a way into the network that
//! simdepot runs in (server-side request forgery, OWASP API7).
//!
//! An address is looked at twice: as it was written, when the endpoint is made, and as it was resolved, whenever a
//! connection is opened; a name that means a public address today may mean a private one tomorrow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use url::{Host, Url};

/// Longest address, in bytes.
const MAX_URL: usize = 2_048;

/// Which addresses endpoints may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Targets {
    /// The public internet, over HTTPS.
    #[default]
    Public,
    /// As [`Targets::Public`], and this machine itself, also over plain HTTP. For trials: what listens on the machine
    /// can be asked by its key holders, so there must be nothing behind it that is worth asking.
    PublicOrThisMachine,
    /// Everything, for a network whose key holders are trusted with it.
    All,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Not a URL, or one with characters that URLs do not have.
    #[error("must be an absolute URL such as https://shop.example.com/webhooks")]
    NotUrl,
    /// Too long.
    #[error("must have at most 2048 characters")]
    TooLong,
    /// Not HTTPS.
    #[error("must begin with https://")]
    Scheme,
    /// A user or password in it.
    #[error("must not carry a user or password; deliveries are signed")]
    UserInfo,
    /// A fragment, which is never sent.
    #[error("must not have a fragment")]
    Fragment,
    /// An address that may not be reached.
    #[error("must not lead to a private or special address")]
    Address,
}

impl Targets {
    /// Reads an address and checks what can be seen of it without asking anybody.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong.
    pub fn check(self, text: &str) -> Result<Url, TargetError> {
        if text.len() > MAX_URL {
            return Err(TargetError::TooLong);
        }
        // The parser passes over some of these silently; what is shown should be what is used.
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\') {
            return Err(TargetError::NotUrl);
        }
        let url = Url::parse(text).map_err(|_| TargetError::NotUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let host = url.host().ok_or(TargetError::NotUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if self == Self::All => {}
            "http" if self == Self::PublicOrThisMachine && is_this_machine(&host) => {}
            _ => return Err(TargetError::Scheme),
        }
        let allowed = match host {
            Host::Domain(_) if is_this_machine(&host) => self != Self::Public,
            Host::Domain(_) => true,
            Host::Ipv4(ip) => self.allows(ip.into()),
            Host::Ipv6(ip) => self.allows(ip.into()),
        };
        if allowed { Ok(url) } else { Err(TargetError::Address) }
    }

    /// Whether a connection to `ip` may be opened.
    pub fn allows(self, ip: IpAddr) -> bool {
        let reach = match ip {
            IpAddr::V4(ip) => reach_v4(ip),
            IpAddr::V6(ip) => reach_v6(ip),
        };
        match self {
            Self::Public => reach == Reach::Public,
            Self::PublicOrThisMachine => reach != Reach::Special,
            Self::All => true,
        }
    }
}

/// Whether a URL leads to the machine itself, by what can be seen of it.
pub fn is_on_this_machine(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.host().is_some_and(|host| is_this_machine(&host)))
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        // RFC 6761 §6.3.
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(ip) => reach_v4(*ip) == Reach::Loopback,
        Host::Ipv6(ip) => reach_v6(*ip) == Reach::Loopback,
    }
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Loopback,
    Special,
}

/// By the IANA special-purpose registry of IPv4, with multicast, and the one metadata service (Azure's) whose address
/// looks public. The others' are link-local, shared or reserved.
fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        [0 | 10, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [172, 16..=31, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [192, 168, ..]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [168, 63, 129, 16]
        | [224..=255, ..] => Reach::Special,
        _ => Reach::Public,
    }
}

/// By the IANA special-purpose registry of IPv6. Public addresses are given out of 2000::/3 alone; those that stand
/// for an IPv4 address reach as far as it does.
fn reach_v6(ip: Ipv6Addr) -> Reach {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0, 0, 0, 0, 0, 0xffff, high, low] => reach_v4(embedded(high, low)),
        // NAT64 (RFC 6052) and 6to4 (RFC 3056). A translator's loopback is not ours.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            match reach_v4(embedded(high, low)) {
                Reach::Public => Reach::Public,
                Reach::Loopback | Reach::Special => Reach::Special,
            }
        }
        // Protocol assignments (Teredo, ORCHID, benchmarks) and documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Special,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Special,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reach_as_far_as_they_do() {
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            let ip: IpAddr = public.parse().unwrap();
            assert!(Targets::Public.allows(ip) && Targets::PublicOrThisMachine.allows(ip), "{public}");
        }
        for loopback in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"] {
            let ip: IpAddr = loopback.parse().unwrap();
            assert!(!Targets::Public.allows(ip) && Targets::PublicOrThisMachine.allows(ip), "{loopback}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::2",
            "::7f00:1",
            "::10.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2002:a00:1::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "2001::1",
            "2001:0:4136:e378::1",
            "2001:db8::1",
            "2001:20::1",
            "2001:2::1",
            "3fff::1",
            "3fff:fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
            "4000::1",
        ] {
            let ip: IpAddr = special.parse().unwrap();
            assert!(!Targets::Public.allows(ip) && !Targets::PublicOrThisMachine.allows(ip), "{special}");
            assert!(Targets::All.allows(ip), "{special}");
        }
    }

    #[test]
    fn urls_are_read_as_they_are_used() {
        let check = |targets: Targets, url: &str| targets.check(url).err();
        for fine in [
            "https://shop.example.com/webhooks?shop=1",
            "https://shop.example.com:8443/",
            "https://8.8.8.8/",
            "https://[2606:4700:4700::1111]/x",
        ] {
            assert_eq!(check(Targets::Public, fine), None, "{fine}");
        }
        for (bad, why) in [
            ("", TargetError::NotUrl),
            ("/webhooks", TargetError::NotUrl),
            ("https://", TargetError::NotUrl),
            ("https://shop.example.com/a b", TargetError::NotUrl),
            ("https://shop.example.com/\n", TargetError::NotUrl),
            ("https:\\\\shop.example.com", TargetError::NotUrl),
            ("https://[fe80::1%25eth0]/", TargetError::NotUrl),
            ("http://shop.example.com/", TargetError::Scheme),
            ("ftp://shop.example.com/", TargetError::Scheme),
            ("file:///etc/passwd", TargetError::NotUrl),
            ("gopher://shop.example.com/", TargetError::Scheme),
            ("https://user@shop.example.com/", TargetError::UserInfo),
            ("https://:pass@shop.example.com/", TargetError::UserInfo),
            ("https://shop.example.com/#a", TargetError::Fragment),
            ("https://127.0.0.1/", TargetError::Address),
            ("https://127.1/", TargetError::Address),
            ("https://2130706433/", TargetError::Address),
            ("https://0x7f.0.0.1/", TargetError::Address),
            ("https://0177.0.0.1/", TargetError::Address),
            ("https://localhost/", TargetError::Address),
            ("https://LOCALHOST./", TargetError::Address),
            ("https://a.localhost:8080/", TargetError::Address),
            ("https://[::1]/", TargetError::Address),
            ("https://[::ffff:10.0.0.1]/", TargetError::Address),
            ("https://169.254.169.254/latest/meta-data", TargetError::Address),
            ("https://10.1.2.3:6379/", TargetError::Address),
        ] {
            assert_eq!(check(Targets::Public, bad), Some(why), "{bad}");
        }
        let long = format!("https://shop.example.com/{}", "x".repeat(MAX_URL));
        assert_eq!(check(Targets::All, &long), Some(TargetError::TooLong));
    }

    #[test]
    fn a_trial_reaches_its_own_machine() {
        let check = |url: &str| Targets::PublicOrThisMachine.check(url).err();
        for fine in
            ["http://127.0.0.1:9000/", "http://localhost:9000/", "https://localhost/", "http://[::1]:80/"]
        {
            assert_eq!(check(fine), None, "{fine}");
        }
        assert_eq!(check("http://shop.example.com/"), Some(TargetError::Scheme));
        assert_eq!(check("http://10.0.0.1/"), Some(TargetError::Scheme));
        assert_eq!(check("https://10.0.0.1/"), Some(TargetError::Address));
        assert_eq!(Targets::All.check("http://10.0.0.1:6379/").err(), None);
        assert!(is_on_this_machine("http://127.0.0.1:8090") && is_on_this_machine("http://localhost"));
        assert!(!is_on_this_machine("https://api.transatel.com") && !is_on_this_machine("127.0.0.1"));
    }
}
