//! `meridian import blackbox.yml`: modules of the Prometheus blackbox exporter as monitors.
//!
//! What has no counterpart is told as a comment above the monitor, key by key: nothing is left out
//! in silence.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use super::output::print;
use crate::probe::pattern::Pattern;

/// `import`.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The blackbox exporter's configuration: blackbox.yml.
    pub file: PathBuf,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<u8> {
    let shown = args.file.display();
    let text = fs::read_to_string(&args.file).with_context(|| format!("cannot read {shown}"))?;
    print(&translated(&text).with_context(|| format!("cannot understand {shown}"))?)?;
    Ok(0)
}

/// The monitors of a blackbox exporter's configuration, as TOML.
fn translated(text: &str) -> anyhow::Result<String> {
    let value: Value = serde_saphyr::from_str(text)?;
    let Some(Value::Object(modules)) = value.get("modules") else {
        bail!("there are no 'modules'");
    };
    let mut out = String::from(
        "# From a configuration of the Prometheus blackbox exporter, for probes/monitors.toml.\n\
         # There the scheme, port and path stand in each target; here they belong to the monitor.\n",
    );
    for (name, module) in modules {
        out.push('\n');
        out.push_str(&Module::of(name, module).written());
    }
    Ok(out)
}

/// One module on its way.
struct Module<'v> {
    name: String,
    /// Keys of the module and, with their section in front, of its prober.
    all: Vec<(String, &'v Value)>,
    section: &'static str,
    taken: BTreeSet<String>,
    lines: Vec<(&'static str, String)>,
    expect: Vec<(&'static str, String)>,
    notes: Vec<String>,
}

impl<'v> Module<'v> {
    fn of(name: &str, module: &'v Value) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
        let name = name.chars().map(plain).collect();
        let mut all = Vec::new();
        for (key, value) in module.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("http" | "tcp" | "dns" | "grpc" | "icmp" | "unix" | "websocket", _) => {
                    let inner = value.as_object().into_iter().flatten();
                    all.extend(inner.map(|(inner, value)| (format!("{key}.{inner}"), value)));
                }
                _ => all.push((key.clone(), value)),
            }
        }
        Self {
            name,
            all,
            section: "",
            taken: BTreeSet::new(),
            lines: Vec::new(),
            expect: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn written(mut self) -> String {
        let prober = self.take("prober").and_then(Value::as_str).unwrap_or_default();
        let known = match prober {
            "http" => self.http(),
            "tcp" => self.tcp(),
            "dns" => self.dns(),
            "grpc" => self.grpc(),
            _ => false,
        };
        if !known {
            return format!("# [{}]: there is no monitor like prober '{prober}'\n", self.name);
        }
        if let Some(timeout) = self.take("timeout").and_then(Value::as_str) {
            match seconds(timeout) {
                Some(time) => self.lines.push(("timeout", text(&format!("{time}s")))),
                None => self.notes.push(format!("timeout: {timeout}")),
            }
        }
        self.way();
        for (key, value) in &self.all {
            if !self.taken.contains(key) {
                self.notes.push(format!("{key}: {value}"));
            }
        }
        let mut out = String::new();
        for note in &self.notes {
            let _ = writeln!(out, "# not carried over: {}", note.replace(['\n', '\r'], " "));
        }
        let _ = writeln!(out, "[monitor.{}]", self.name);
        for (key, value) in &self.lines {
            let _ = writeln!(out, "{key} = {value}");
        }
        if !self.expect.is_empty() {
            let _ = writeln!(out, "[monitor.{}.expect]", self.name);
            for (key, value) in &self.expect {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        out
    }

    fn take(&mut self, key: &str) -> Option<&'v Value> {
        let key = if self.section.is_empty() || !self.has_section(key) {
            key.to_owned()
        } else {
            format!("{}.{key}", self.section)
        };
        let (_, value) = self.all.iter().find(|(of, _)| *of == key)?;
        self.taken.insert(key);
        Some(value)
    }

    /// `prober` and `timeout` stand outside.
    fn has_section(&self, key: &str) -> bool {
        !matches!(key, "prober" | "timeout")
    }

    fn take_bool(&mut self, key: &str, usual: bool) -> bool {
        self.take(key).and_then(Value::as_bool).unwrap_or(usual)
    }

    fn http(&mut self) -> bool {
        self.section = "http";
        let must = self.take_bool("fail_if_not_ssl", false);
        let mut tls = self.tls();
        let is_https = must || tls.is_some();
        self.lines.push(("type", text(if is_https { "https" } else { "http" })));
        self.lines.append(&mut tls.take().unwrap_or_default());
        if must {
            self.expect.push(("tls", "true".into()));
        } else if self.take_bool("fail_if_ssl", false) {
            self.expect.push(("tls", "false".into()));
        }
        if let Some(method) = self.take("method") {
            self.lines.push(("method", written(method)));
        }
        if let Some(Value::Object(headers)) = self.take("headers") {
            let mut others = Vec::new();
            for (name, value) in headers {
                if name.eq_ignore_ascii_case("host") {
                    self.lines.push(("host", written(value)));
                } else {
                    others.push(format!("{} = {}", text(name), written(value)));
                }
            }
            if !others.is_empty() {
                self.lines.push(("headers", format!("{{ {} }}", others.join(", "))));
            }
        }
        if let Some(body) = self.take("body") {
            self.lines.push(("body", written(body)));
        }
        self.credentials();
        self.versions();
        // The exporter follows ten, as Go's client does.
        if self.take_bool("follow_redirects", true) {
            self.lines.push(("redirects", "10".into()));
        }
        self.status();
        self.patterns("fail_if_body_matches_regexp", "body_not_matches");
        self.patterns("fail_if_body_not_matches_regexp", "body_matches");
        self.headers("fail_if_header_matches", "headers_not");
        self.headers("fail_if_header_not_matches", "headers");
        true
    }

    fn credentials(&mut self) {
        if let Some(value) = self.take("basic_auth") {
            let of = |key: &str| value.get(key).and_then(Value::as_str);
            match (of("username"), of("password_file")) {
                (Some(user), Some(file)) => {
                    let (user, file) = (text(user), text(file));
                    let line = format!("{{ user = {user}, password_file = {file} }}");
                    self.lines.push(("basic_auth", line));
                }
                _ => self.notes.push("basic_auth: passwords stand in files here".into()),
            }
        }
        if let Some(file) = self.take("bearer_token_file") {
            self.lines.push(("bearer_file", written(file)));
        }
        if let Some(value) = self.take("authorization") {
            match value.get("credentials_file") {
                Some(file) => self.lines.push(("bearer_file", written(file))),
                None => self.notes.push("authorization: tokens stand in files here".into()),
            }
        }
        for key in ["bearer_token"] {
            if self.take(key).is_some() {
                self.notes.push(format!("{key}: tokens stand in files here"));
            }
        }
    }

    fn versions(&mut self) {
        let mut versions = BTreeSet::new();
        if let Some(Value::Array(all)) = self.take("valid_http_versions") {
            for version in all.iter().filter_map(Value::as_str) {
                versions.insert(match version {
                    "HTTP/1.0" => "\"1.0\"",
                    "HTTP/1.1" => "\"1.1\"",
                    _ => "\"2\"",
                });
            }
        }
        let offered = self.take_bool("enable_http2", true);
        if versions.is_empty() && offered {
            versions = BTreeSet::from(["\"1.0\"", "\"1.1\"", "\"2\""]);
        }
        if !versions.is_empty() {
            let all: Vec<&str> = versions.into_iter().collect();
            self.lines.push(("versions", format!("[{}]", all.join(", "))));
        }
    }

    fn status(&mut self) {
        let Some(Value::Array(codes)) = self.take("valid_status_codes") else { return };
        if !codes.is_empty() {
            let all: Vec<String> = codes.iter().map(written).collect();
            self.expect.push(("status", format!("[{}]", all.join(", "))));
        }
    }

    fn patterns(&mut self, key: &str, ours: &'static str) {
        let Some(Value::Array(all)) = self.take(key) else { return };
        let sound = self.sound(all.iter().filter_map(Value::as_str));
        if !sound.is_empty() {
            self.expect.push((ours, format!("[{}]", sound.join(", "))));
        }
    }

    /// Expressions of RE2 that are none of ours become notes.
    fn sound<'t>(&mut self, all: impl Iterator<Item = &'t str>) -> Vec<String> {
        let mut sound = Vec::new();
        for pattern in all {
            match Pattern::new(pattern) {
                Ok(_) => sound.push(text(pattern)),
                Err(why) => self.notes.push(format!("the expression {pattern}: {why}")),
            }
        }
        sound
    }

    fn headers(&mut self, key: &str, ours: &'static str) {
        let Some(Value::Array(all)) = self.take(key) else { return };
        let mut pairs = Vec::new();
        for value in all {
            let of = |key: &str| value.get(key).and_then(Value::as_str);
            let (Some(name), Some(pattern)) = (of("header"), of("regexp")) else { continue };
            if value.get("allow_missing").and_then(Value::as_bool) == Some(true)
                && ours == "headers"
            {
                self.notes.push(format!("allow_missing of header {name}"));
                continue;
            }
            let sound = self.sound(std::iter::once(pattern));
            pairs.extend(sound.into_iter().map(|sound| format!("{} = {sound}", text(name))));
        }
        if !pairs.is_empty() {
            self.expect.push((ours, format!("{{ {} }}", pairs.join(", "))));
        }
    }

    fn tcp(&mut self) -> bool {
        self.section = "tcp";
        let is_tls = self.take_bool("tls", false);
        self.lines.push(("type", text(if is_tls { "tls" } else { "tcp" })));
        self.lines.push(("port", "443 # the target's".into()));
        let mut steps = Vec::new();
        let mut encrypts = is_tls;
        if let Some(Value::Array(all)) = self.take("query_response") {
            for value in all {
                if let Some(pattern) = value.get("expect").and_then(Value::as_str) {
                    let sound = self.sound(std::iter::once(pattern));
                    steps.extend(sound.into_iter().map(|sound| format!("{{ expect = {sound} }}")));
                }
                if let Some(line) = value.get("send").and_then(Value::as_str) {
                    // The exporter ends each with a line feed.
                    steps.push(format!("{{ send = {} }}", text(&format!("{line}\n"))));
                }
                if value.get("starttls").and_then(Value::as_bool) == Some(true) {
                    encrypts = true;
                    steps.push("{ starttls = true }".into());
                }
                if value.get("labels").is_some() {
                    self.notes.push("labels of a step".into());
                }
            }
        }
        let tls = self.tls();
        if encrypts {
            self.lines.extend(tls.unwrap_or_default());
        } else if tls.is_some() {
            self.notes.push("tls_config: the dialogue has no TLS".into());
        }
        if !steps.is_empty() {
            self.lines.push(("dialogue", format!("[\n    {},\n]", steps.join(",\n    "))));
        }
        true
    }

    fn dns(&mut self) -> bool {
        self.section = "dns";
        self.lines.push(("type", text("dns")));
        if self.take_bool("dns_over_tls", false) {
            self.notes.push("dns_over_tls: queries go over UDP or TCP".into());
        }
        for (key, ours) in [
            ("query_name", "query"),
            ("query_type", "query_type"),
            ("transport_protocol", "transport"),
            ("recursion_desired", "recursion"),
        ] {
            if let Some(value) = self.take(key) {
                self.lines.push((ours, written(value)));
            }
        }
        if let Some(Value::Array(codes)) = self.take("valid_rcodes") {
            let all: Vec<String> = codes.iter().map(written).collect();
            self.expect.push(("rcode", format!("[{}]", all.join(", "))));
        }
        if let Some(Value::Object(rules)) = self.take("validate_answer_rrs") {
            for (key, ours) in [
                ("fail_if_matches_regexp", "answer_not"),
                ("fail_if_none_matches_regexp", "answer"),
            ] {
                let all = rules.get(key).and_then(Value::as_array);
                let all = all.map(Vec::as_slice).unwrap_or_default();
                let sound = self.sound(all.iter().filter_map(Value::as_str));
                if !sound.is_empty() {
                    self.expect.push((ours, format!("[{}]", sound.join(", "))));
                }
            }
            for key in ["fail_if_all_match_regexp", "fail_if_not_matches_regexp"] {
                if let Some(value) = rules.get(key) {
                    self.notes.push(format!("dns.validate_answer_rrs.{key}: {value}"));
                }
            }
        }
        true
    }

    fn grpc(&mut self) -> bool {
        self.section = "grpc";
        self.lines.push(("type", text("grpc")));
        self.lines.push(("port", "443 # the target's".into()));
        if let Some(service) = self.take("service") {
            self.lines.push(("service", written(service)));
        }
        let is_tls = self.take_bool("tls", false);
        let tls = self.tls();
        if is_tls {
            self.lines.push(("tls", "true".into()));
            self.lines.extend(tls.unwrap_or_default());
        }
        true
    }

    /// The lines of `tls_config`; `None` without one.
    fn tls(&mut self) -> Option<Vec<(&'static str, String)>> {
        let Value::Object(config) = self.take("tls_config")? else { return None };
        let mut lines = Vec::new();
        for (key, value) in config {
            match key.as_str() {
                "insecure_skip_verify" if value.as_bool() == Some(true) => {
                    lines.push(("verify", "false".into()));
                }
                "insecure_skip_verify" => {}
                "server_name" => lines.push(("server_name", written(value))),
                "ca_file" => lines.push(("ca_file", written(value))),
                _ => self.notes.push(format!("tls_config.{key}: {value}")),
            }
        }
        Some(lines)
    }

    fn way(&mut self) {
        let falls_back = self.take_bool("ip_protocol_fallback", true);
        let preferred = self.take("preferred_ip_protocol").and_then(Value::as_str);
        let family = match (preferred.unwrap_or("ip6"), falls_back) {
            ("ip4", true) => "ipv4-first",
            ("ip4", false) => "ipv4",
            (_, true) => "ipv6-first",
            (_, false) => "ipv6",
        };
        self.lines.push(("family", text(family)));
        if let Some(source) = self.take("source_ip_address") {
            self.lines.push(("source", written(source)));
        }
    }
}

/// A text as TOML.
fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A plain value as TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(value) => text(value),
        Value::Null | Value::Array(_) | Value::Object(_) => text(&value.to_string()),
    }
}

/// A length of time of Prometheus: `1m30s`.
fn seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| behind.starts_with(unit))?;
        sum += number * scale;
        rest = &behind[unit.len()..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACKBOX: &str = r#"
modules:
  http_2xx:
    prober: http
    timeout: 5s
    http:
      valid_http_versions: ["HTTP/1.1", "HTTP/2.0"]
      valid_status_codes: [200, 204]
      method: POST
      headers: { Host: www.example.org, Accept: "*/*" }
      body: '{"ping": "\n"}'
      follow_redirects: false
      fail_if_not_ssl: true
      fail_if_body_matches_regexp: ["maintenance", "(?<!a)b"]
      fail_if_header_not_matches: [{ header: Content-Type, regexp: "^text/" }]
      tls_config: { insecure_skip_verify: true, cert_file: /etc/cert.pem }
      basic_auth: { username: ops, password_file: /etc/password }
      proxy_url: "http://proxy.example.org"
      preferred_ip_protocol: ip4
  smtp_starttls:
    prober: tcp
    timeout: 1m30s
    tcp:
      query_response:
        - expect: "^220 ([^ ]+) ESMTP"
        - send: "EHLO prober\r"
        - expect: "^250-STARTTLS"
        - starttls: true
  dns_soa:
    prober: dns
    dns:
      query_name: example.org
      query_type: SOA
      transport_protocol: tcp
      valid_rcodes: [NOERROR]
      validate_answer_rrs: { fail_if_none_matches_regexp: ["SOA"] }
  grpc_health:
    prober: grpc
    grpc: { service: shop, tls: true, tls_config: { server_name: shop.example.org } }
  ping:
    prober: icmp
"#;

    #[test]
    fn modules_become_monitors_that_load() {
        let translated = translated(BLACKBOX).expect("a configuration");
        for line in [
            "[monitor.http_2xx]",
            "type = \"https\"",
            "status = [200, 204]",
            "versions = [\"1.1\", \"2\"]",
            "host = \"www.example.org\"",
            "family = \"ipv4-first\"",
            "timeout = \"90s\"",
            "query = \"example.org\"",
            "{ starttls = true },",
            "# [ping]: there is no monitor like prober 'icmp'",
        ] {
            assert!(translated.contains(line), "{line}:\n{translated}");
        }
        for lost in ["http.proxy_url", "tls_config.cert_file", "(?<!a)b"] {
            let note = |line: &str| line.starts_with("# not carried over") && line.contains(lost);
            assert!(translated.lines().any(note), "{lost}:\n{translated}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("monitors.toml");
        fs::write(&file, &translated).expect("written");
        let (monitors, faults) = crate::config::load_monitors(&file);
        // A timeout of 90 s is more than a probe may take here.
        let told = crate::diagnostics::render(&faults);
        assert_eq!(faults.len(), 1, "{told}\n{translated}");
        assert!(told.contains("duration out of range"), "{told}");
        assert_eq!(monitors.len(), 4, "{told}");
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        assert!(translated("modules: 3").is_err());
        assert!(translated("a: [").is_err());
    }

    #[test]
    fn times_of_prometheus_are_read() {
        assert_eq!(seconds("5s"), Some(5.0));
        assert_eq!(seconds("1m30s"), Some(90.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("5"), None);
    }
}
