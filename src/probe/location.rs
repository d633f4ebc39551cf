//! Where a redirect leads (RFC 9110 section 10.2.2): as much of a URL as HTTP needs.

use hyper::Response;
use hyper::header::LOCATION;

/// Scheme and authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) authority: Box<str>,
}

impl Origin {
    /// The host, in brackets where it is an IPv6 address, and the port.
    pub(super) fn host_and_port(&self) -> Option<(&str, u16)> {
        let usual = if self.tls { 443 } else { 80 };
        let host = super::tls::without_port(&self.authority);
        let port = match self.authority.get(host.len()..)?.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => usual,
        };
        (!host.is_empty()).then_some((host, port))
    }
}

/// The location, where the answer is a redirect.
pub(super) fn of(answer: &Response<()>) -> Option<String> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    Some(answer.headers().get(LOCATION)?.to_str().ok()?.to_owned())
}

/// Where `location` leads from `path` at `origin`; `None` where it is no URL of HTTP.
pub(super) fn join(origin: &Origin, path: &str, location: &str) -> Option<(Origin, String)> {
    let location = location.split('#').next().unwrap_or_default();
    let plain = location.chars().all(|c| c.is_ascii_graphic());
    let is_scheme = |scheme: &str| {
        location.get(..scheme.len())?.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    };
    if !plain {
        return None;
    }
    let (tls, rest) = match (is_scheme("https://"), is_scheme("http://")) {
        (Some(length), _) => (true, &location[length..]),
        (None, Some(length)) => (false, &location[length..]),
        (None, None) => match location.strip_prefix("//") {
            Some(rest) => (origin.tls, rest),
            None => return Some((origin.clone(), relative(path, location)?)),
        },
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // Credentials in a URL are not taken from a server.
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    Some((Origin { tls, authority: authority.into() }, path))
}

fn relative(path: &str, location: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    if location.starts_with('/') {
        return Some(location.to_owned());
    }
    if location.is_empty() || location.starts_with('?') {
        return Some(format!("{path}{location}"));
    }
    // `mailto:` and the like.
    if location.split(['/', '?']).next()?.contains(':') {
        return None;
    }
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    Some(without_dots(&format!("{folder}{location}")))
}

/// `/a/../b` is `/b` (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (at, part) in parts.iter().enumerate() {
        let is_last = at + 1 == parts.len();
        match *part {
            "." if is_last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(location: &str) -> Option<String> {
        let origin = Origin { tls: true, authority: "www.example.org".into() };
        let (origin, path) = join(&origin, "/a/b?c", location)?;
        Some(format!("{}{}{path}", if origin.tls { "s " } else { "" }, origin.authority))
    }

    #[test]
    fn locations_are_joined_as_rfc_3986_says() {
        for (location, expected) in [
            ("https://other.example.org:8443/x?y#z", "s other.example.org:8443/x?y"),
            ("HTTP://other.example.org", "other.example.org/"),
            ("http://other.example.org?x", "other.example.org/?x"),
            ("//cdn.example.org/x", "s cdn.example.org/x"),
            ("/x", "s www.example.org/x"),
            ("x", "s www.example.org/a/x"),
            ("../x", "s www.example.org/x"),
            ("./", "s www.example.org/a/"),
            ("?d", "s www.example.org/a/b?d"),
        ] {
            assert_eq!(lead(location).as_deref(), Some(expected), "{location}");
        }
        for location in
            ["mailto:ops@example.org", "http://", "https://a:b@example.org/", "/ü", "/ x"]
        {
            assert_eq!(lead(location), None, "{location}");
        }
    }

    #[test]
    fn ports_are_the_schemes_unless_they_are_written() {
        let of = |tls, authority: &str| {
            let origin = Origin { tls, authority: authority.into() };
            origin.host_and_port().map(|(host, port)| (host.to_owned(), port))
        };
        assert_eq!(of(true, "example.org"), Some(("example.org".to_owned(), 443)));
        assert_eq!(of(false, "[2001:db8::1]:81"), Some(("[2001:db8::1]".to_owned(), 81)));
        assert_eq!(of(false, "example.org:x"), Some(("example.org:x".to_owned(), 80)));
    }
}
