//! Keys and words that are planned, so that "not yet" is told apart from "no such thing".

/// What a planned key is for; `what` is the kind of table it stands in.
pub(super) fn key(what: &str, key: &str) -> Option<&'static str> {
    PLANNED.iter().find(|(tables, name, _)| tables.contains(&what) && *name == key).map(|p| p.2)
}

/// Whether a planned version has this word for `what`.
pub(super) fn word(what: &str, word: &str) -> Option<()> {
    WORDS.contains(&(what, word)).then_some(())
}

/// Advice on keys people look for in the wrong place.
pub(super) fn hint(what: &str, key: &str) -> Option<&'static str> {
    HINTS.iter().find(|(tables, name, _)| tables.contains(&what) && *name == key).map(|h| h.2)
}

/// How a key that must be there is written.
pub(super) fn example(key: &str) -> Option<&'static str> {
    const EXAMPLES: &[(&str, &str)] = &[
        ("type", "type = \"http\", \"https\", \"tcp\" or another"),
        ("name", "name = \"fra-1\", the vantage's name"),
        ("monitor", "monitor = \"web\", one of [monitor.NAME]"),
        ("target", "target = \"192.0.2.10\", or several"),
        ("query", "query = \"www.example.org.\", the name asked for"),
        ("from", "from = \"haproxy\", \"prometheus\", \"nginx\", \"envoy\", \"json\" or \"orca\""),
        ("proxy", "proxy = \"web\", the backend's name"),
        ("cluster", "cluster = \"web\", the cluster's name"),
        ("limit", "limit = 1000, what it can bear"),
        ("user", "user = \"probe\""),
        ("password_file", "password_file = \"/etc/meridian/probe.password\""),
        ("match", "match = \"default\" for every client, or match = { country = \"DE\" }"),
        ("region", "region = \"NAME\", a region of geo/regions.toml"),
        (
            "file",
            "file = \"geo/latency.csv\", lines of network,region,milliseconds, or monitor = \"NAME\"",
        ),
        ("certificate", "certificate = \"tls/fullchain.pem\""),
        ("key", "key = \"tls/privkey.pem\""),
        ("address", "address = \"192.0.2.1\""),
        ("ns", "ns = \"ns1.example.net.\""),
        ("pool", "pool = \"dub\", one of the pools"),
        ("blue", "blue = [\"fra\"], the pools clients are at"),
        ("green", "green = [\"dub\"], the pools clients go to"),
        ("sample", "sample = \"0.1%\""),
        ("responses_per_second", "responses_per_second = 1000, and dry_run = true to begin with"),
    ];
    EXAMPLES.iter().find(|(name, _)| *name == key).map(|(_, example)| *example)
}

const RECORD: &str = "a record";
const RULE: &str = "a rule";
const POOL: &str = "a pool";
const MONITOR: &str = "a monitor";
const SETTINGS: &str = "meridian.toml";

const PLANNED: &[(&[&str], &str, &str)] = &[
    (&[RECORD, RULE], "quorum", "verdicts of several vantages"),
    (&[MONITOR], "vantages", "verdicts of several vantages"),
    (&[SETTINGS], "cluster", "several nodes that share health"),
    (&[SETTINGS], "bus", "several nodes that share health"),
    (&[SETTINGS], "dnssec", "signing answers"),
    (&[SETTINGS], "https", "DNS over HTTPS"),
    (&[SETTINGS], "quic", "DNS over QUIC"),
];

const WORDS: &[(&str, &str)] = &[];

const HINTS: &[(&[&str], &str, &str)] = &[
    (&[SETTINGS], "rrl", "the section is [rate_limit]"),
    (&[RECORD], "match", "'match' belongs to a rule: [[record.\"NAME\".rule]]"),
    (&[RULE], "ttl", "'ttl' belongs to the record, above its rules"),
    (&[RULE], "answers", "'answers' belongs to the record, above its rules"),
    (&[RULE], "order", "'order' belongs to the record, above its rules"),
    (&[RULE], "https", "'https' belongs to the record, above its rules"),
    (&[RULE], "srv", "'srv' belongs to the record, above its rules"),
    (&[RULE], "pool_names", "'pool_names' belongs to the record, above its rules"),
    (&[RECORD, RULE], "txt", "texts belong to pools: [pool.NAME] txt = [\"…\"]"),
    (&[POOL, RULE], "flatten", "'flatten' belongs to a record"),
    (&[POOL], "pool_names", "'pool_names' belongs to a record"),
    (&[RECORD, RULE], "pool", "did you mean 'pools'?"),
    (&[RECORD, RULE], "monitor", "'monitor' belongs to a pool"),
    (&[RECORD, RULE], "weights", "write the weights as the pools: pools = { fra = 95, dub = 5 }"),
    (&[POOL], "ttl", "'ttl' belongs to a record"),
    (
        &[POOL],
        "target",
        "'target' belongs to an inline monitor: monitor = { type = \"tcp\", target = … }",
    ),
    (&[POOL], "address", "write members = [\"192.0.2.1\"]"),
    (&[MONITOR], "status", "write expect = { status = … }"),
    (&["expectations"], "regex", "write body_matches = \"…\""),
    (&["expectations"], "method", "'method' belongs to the monitor"),
    (&[MONITOR], "json", "write expect = { json = { \"$.status\" = \"ok\" } }"),
    (&[MONITOR], "certificate_days", "write expect = { certificate_days = … }"),
    (&[MONITOR], "rcode", "write expect = { rcode = … }"),
    (&[MONITOR], "downinter", "the key is 'slow_interval'"),
    (&[MONITOR], "fastinter", "the key is 'fast_interval'"),
    (&[MONITOR], "preferred_ip_protocol", "write family = \"ipv4-first\" or \"ipv6-first\""),
    (&[MONITOR], "source_ip_address", "the key is 'source'"),
    (&[MONITOR], "query_response", "the key is 'dialogue'"),
];
