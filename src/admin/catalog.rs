//! The names of all metrics: what each counts, in which unit, with which labels. Everything
//! exported is described here, and `docs/metrics.md` says the same (a test compares them).

use metrics::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets of observations.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, comma-separated, in the order of the documentation.
    pub labels: &'static str,
    /// What it says, one line.
    pub meaning: &'static str,
}

/// Declares the names as constants and the catalog in one place.
macro_rules! catalog {
    ($($constant:ident = $name:literal $kind:ident [$labels:literal] $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)*
        /// Every metric, in the order of the documentation.
        pub const CATALOG: &[Metric] = &[$(Metric {
            name: $name, kind: Kind::$kind, labels: $labels, meaning: $meaning,
        },)*];
    };
}

catalog! {
    BUILD_INFO = "meridian_build_info" Gauge ["version"]
        "Always 1; the label says which version runs.";
    UPTIME = "meridian_uptime_seconds" Gauge [""]
        "Seconds since the daemon started.";
    REQUESTS = "meridian_dns_requests_total" Counter ["transport,family"]
        "Packets that came in as queries.";
    RESPONSES = "meridian_dns_responses_total" Counter ["rcode"]
        "Answers that went out, by response code.";
    DROPPED = "meridian_dns_dropped_total" Counter ["reason"]
        "Packets left without an answer, by reason.";
    MALFORMED = "meridian_dns_malformed_total" Counter ["part"]
        "Queries that could not be read, by the part that was wrong.";
    KINDS = "meridian_dns_answers_total" Counter ["kind"]
        "Answers by what they were made of: static, steered, referral, nodata.";
    CLIENT_SUBNET = "meridian_dns_client_subnet_total" Counter [""]
        "Queries that carried a client subnet.";
    COOKIES = "meridian_dns_cookies_total" Counter ["state"]
        "Queries with a DNS cookie: new, bad or valid.";
    RATE_LIMITED = "meridian_dns_rate_limited_total" Counter ["outcome"]
        "Answers past a network's rate, by what became of them.";
    TRUNCATED = "meridian_dns_truncated_total" Counter [""]
        "Answers over UDP that did not fit and went out with TC set.";
    ANSWERS = "meridian_steering_answers_total" Counter ["record,pool,region,reason"]
        "Steered answers, by the pool that was picked and why.";
    HEAVY_NETWORKS = "meridian_steering_heavy_networks" Gauge [""]
        "Client networks so heavy that chance decides for each of their queries.";
    PANICKING = "meridian_steering_panicking_rules" Gauge ["record,family"]
        "Rules of a record under which so few pools serve that clients are sent to all of them.";
    HEALTH_STATE = "meridian_health_state" Gauge ["zone,pool,region,family"]
        "Verdict on a pool: 0 unknown, 1 up, 2 degraded, 3 down, 4 draining, 5 forced-down, 6 forced-up, 7 maintenance.";
    HEALTH_ELIGIBLE = "meridian_health_eligible" Gauge ["zone,pool,region,family"]
        "1 while clients are sent to the pool, else 0.";
    HEALTH_LIVE = "meridian_health_members_live" Gauge ["zone,pool,region,family"]
        "Members of the pool that live.";
    AREA_STATE = "meridian_health_area_state" Gauge ["zone,pool,region,family,area"]
        "The verdict as a number, for the clients of one area; only where areas are defined.";
    AREA_ELIGIBLE = "meridian_health_area_eligible" Gauge ["zone,pool,region,family,area"]
        "1 while clients of the area are sent to the pool, else 0; only where areas are defined.";
    TRANSITIONS = "meridian_health_transitions_total" Counter ["zone,pool,region,family,to"]
        "Changes of a pool's verdict, by the new one.";
    HEALTH_HELD = "meridian_health_held" Gauge [""]
        "Checks of which the vantages conclude nothing just now, so that they stay as they were.";
    CHECK_VOTES = "meridian_check_votes" Gauge ["check,vote"]
        "Votes that count now on a check, by what they say: up or down.";
    CHECK_HELD = "meridian_check_held" Gauge ["check"]
        "1 while the vantages conclude nothing of a check, so that it stays as it was.";
    CHECK_DAMPED = "meridian_check_damped_seconds" Gauge ["check"]
        "For how long a check that flaps is held down at the least; 0 where it is not.";
    CERTIFICATE_DAYS = "meridian_check_certificate_days" Gauge ["check"]
        "Whole days until the certificate that a check is shown ends; negative after that.";
    VANTAGE_VOTES = "meridian_vantage_votes" Gauge ["vantage,vote"]
        "Checks by what a vantage believes of them: up, down or unknown.";
    VANTAGE_AGE = "meridian_vantage_report_age_seconds" Gauge ["vantage"]
        "Age of the newest report of a vantage.";
    VANTAGE_SUSPECT = "meridian_vantage_suspect" Gauge ["vantage"]
        "1 while a vantage has no vote because its canaries, its lateness or others speak against it.";
    VANTAGE_REPORTS = "meridian_vantage_reports_total" Counter ["vantage"]
        "Reports of a vantage that were let in.";
    VANTAGE_MISSED = "meridian_vantage_missed_total" Counter ["vantage"]
        "Reports of a vantage that never came, as gaps in their numbers tell.";
    VANTAGE_REFUSED = "meridian_vantage_refused_total" Counter ["vantage,reason"]
        "Reports that were refused, by why; of nobody known where the vantage is empty.";
    PROBES = "meridian_probe_results_total" Counter ["monitor,outcome"]
        "Probes that ended, by outcome: success, or the class of failure.";
    PROBE_SECONDS = "meridian_probe_duration_seconds" Histogram ["monitor"]
        "How long probes took, failed ones included.";
    DECISIONS = "meridian_decisions_logged_total" Counter ["outcome"]
        "Sampled decisions: written, dropped for want of room, or lost on the way to the file.";
    ALIAS_LOOKUPS = "meridian_alias_lookups_total" Counter ["outcome"]
        "Names that were asked for because records flatten them: resolved, nothing, or failed.";
    ALIASES_STALE = "meridian_aliases_stale" Gauge [""]
        "Names and families answered with addresses that could not be resolved again in time.";
    OVERRIDES = "meridian_overrides" Gauge [""]
        "Operators' overrides in force.";
    OVERRIDES_PLANNED = "meridian_overrides_planned" Gauge [""]
        "Operators' overrides that begin later.";
    ORDERS = "meridian_orders" Gauge [""]
        "Orders to all nodes that hold, as this one knows them; only where somebody may order.";
    ORDERS_DIFFER = "meridian_orders_differ" Gauge [""]
        "Other nodes that were heard to know other orders; only where somebody may order.";
    ORDERS_REFUSED = "meridian_orders_refused_total" Counter ["reason"]
        "Orders to all nodes that were refused, by why; only where somebody may order.";
    CHANGE_SHARE = "meridian_change_share" Gauge ["record,kind"]
        "Share of a record's clients on the new side of its canary or switch, 0 to 1.";
    CANARY_PHASE = "meridian_canary_phase" Gauge ["record"]
        "Where a canary stands: 0 waiting, 1 running, 2 paused, 3 aborted, 4 done.";
    CHANGE_EVENTS = "meridian_change_events_total" Counter ["record,event"]
        "What changes have done: stepped, held, aborted, done, or ordered by an operator.";
    SAFETY_REFUSED = "meridian_safety_refused_total" Counter ["rule"]
        "Commands refused by a safety rule: regions or shift.";
    ALIVE = "meridian_pool_answers_alive" Gauge ["zone,pool,region"]
        "Answers not yet expired of a pool that no client is sent to any longer.";
    POOL_RATE = "meridian_pool_queries_per_second" Gauge ["zone,pool,region"]
        "Queries a second whose clients are sent to a pool that has a capacity.";
    POOL_LOAD_RATIO = "meridian_pool_load_ratio" Gauge ["zone,pool,region"]
        "What a pool is sent as a part of its target; above 1 it gets too much.";
    POOL_KEPT = "meridian_pool_kept_ratio" Gauge ["zone,pool,region"]
        "The part of its nearest clients that a pool keeps; below 1 it is at capacity.";
    POOL_STALE = "meridian_pool_load_stale" Gauge ["zone,pool,region"]
        "1 while a pool that should report its load does not.";
    SPILLED = "meridian_steering_spilled_ratio" Gauge [""]
        "The part of the queries for pools with a capacity whose clients are sent farther.";
    RELOADS = "meridian_reloads_total" Counter ["outcome"]
        "Attempts to load the files: loaded or refused.";
    LAST_RELOAD_OK = "meridian_config_last_reload_successful" Gauge [""]
        "1 while the files on disk are the ones in force, 0 while they are refused.";
    GENERATION = "meridian_config_generation" Gauge [""]
        "How many times a configuration was put in force since the start.";
    LOAD_SECONDS = "meridian_config_load_seconds" Gauge [""]
        "How long the configuration in force took to read and compile.";
    ZONE_SERIAL = "meridian_zone_serial" Gauge ["zone"]
        "SOA SERIAL of the zone as served.";
    GEO_AGE = "meridian_geo_database_age_seconds" Gauge ["database"]
        "Age of a GeoIP database's data.";
    GEO_REFUSED = "meridian_geo_databases_refused" Gauge [""]
        "GeoIP databases whose newer file is broken, so that the older one is in use.";
    TLS_EXPIRY = "meridian_tls_certificate_expiry_seconds" Gauge [""]
        "Seconds until the certificate for DNS over TLS expires; negative when it is over.";
    BUS_LINK = "meridian_bus_link_up" Gauge ["link"]
        "1 while the connection to a node or a cluster of the bus stands, else 0; only with a bus.";
    BUS_MESSAGES = "meridian_bus_messages_total" Counter ["what"]
        "Messages of the bus: published, received, skipped, overtaken or refused; only with a bus.";
    BUS_EXPIRY = "meridian_bus_certificate_expiry_seconds" Gauge [""]
        "Seconds until this node's certificate for the bus expires; negative when it is over.";
    TCP_OPEN = "meridian_tcp_connections" Gauge [""]
        "TCP connections open.";
    TCP_ACCEPTED = "meridian_tcp_accepted_total" Counter [""]
        "TCP connections accepted.";
    TCP_REFUSED = "meridian_tcp_refused_total" Counter ["limit"]
        "TCP connections closed at once because a limit was reached: in total, or per client.";
    TCP_CLOSED = "meridian_tcp_closed_total" Counter ["reason"]
        "TCP connections the server closed: idle, slow to read, malformed.";
    UDP_BATCHES = "meridian_udp_batches_total" Counter [""]
        "Batches of datagrams taken from the sockets; requests per batch say how full they were.";
    SOCKET_ERRORS = "meridian_socket_errors_total" Counter ["operation"]
        "Socket operations that failed.";
    PANICS = "meridian_panics_total" Counter ["transport"]
        "Panics of the code that answers, each caught at the cost of the query that met it.";
    THREADS_LOST = "meridian_threads_lost" Gauge [""]
        "Answering threads that ended though nobody told them to.";
    READY = "meridian_ready" Gauge [""]
        "1 while zones are served.";
}

/// Tells the recorder in force what each metric is.
pub fn describe() {
    for metric in CATALOG {
        let (name, meaning) = (metric.name, metric.meaning);
        let unit = if name.contains("_seconds") { Unit::Seconds } else { Unit::Count };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, unit, meaning),
            Kind::Gauge => metrics::describe_gauge!(name, unit, meaning),
            Kind::Histogram => metrics::describe_histogram!(name, unit, meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in CATALOG {
            assert!(metric.name.starts_with("meridian_"), "{}", metric.name);
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.meaning.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn no_metric_stands_twice() {
        let mut names: Vec<_> = CATALOG.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
