//! An [`Explanation`] told in words: the chain of one answer, a line for each step.

use anstyle::Style;

use super::output::{BAD, FAINT, GOOD, HEAD, WARN, paint, table};
use crate::server::explain::{CandidateView, Explanation, PlaceView, Steering};

const PLAIN: Style = Style::new();

/// The story. `health` says whose health was believed, `supposed` what was supposed on top.
pub fn render(told: &Explanation, health: &str, supposed: &[String]) -> String {
    let mut out = format!(
        "{} {} for a client at {}\n\n",
        paint(HEAD, &told.name),
        paint(HEAD, &told.qtype),
        paint(HEAD, &told.client)
    );
    step(&mut out, "place", &place(&told.place));
    let health = if supposed.is_empty() {
        health.to_owned()
    } else {
        format!("{health}, but {}", supposed.join(", "))
    };
    step(&mut out, "health", &health);
    if told.steps.is_empty() {
        step(&mut out, "zone", "none of ours holds this name");
    }
    for hop in &told.steps {
        if told.steps.len() > 1 {
            out.push('\n');
            step(&mut out, "name", &hop.name);
        }
        step(&mut out, "zone", &hop.zone);
        step(&mut out, "found", &hop.found);
        if let Some(steering) = &hop.steering {
            steer(&mut out, steering);
        }
    }
    out.push('\n');
    answer(&mut out, told);
    out
}

fn step(out: &mut String, title: &str, text: &str) {
    out.push_str(&format!("{}  {text}\n", paint(FAINT, format_args!("{title:>10}"))));
}

fn place(place: &PlaceView) -> String {
    let parts: Vec<String> = [
        place.city.clone(),
        place.subdivision.clone(),
        place.country.clone(),
        place.continent.clone(),
        place.location.map(|[latitude, longitude]| format!("at {latitude:.2}, {longitude:.2}")),
        place.asn.map(|asn| format!("AS{asn}")),
        place.region.as_ref().map(|region| format!("pinned to region {region}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut text = if parts.is_empty() { "unknown".to_owned() } else { parts.join(", ") };
    text.push_str(&format!(" (all of {}", place.network));
    if !place.source.is_empty() {
        text.push_str(&format!("; says {}", place.source));
    }
    text + ")"
}

fn steer(out: &mut String, steering: &Steering) {
    step(out, "record", &format!("{}, TTL {} s", steering.record, steering.ttl));
    if let Some(area) = &steering.area {
        step(out, "area", &format!("{area}: what pools are for its clients counts"));
    }
    let rule = match (steering.rule, &steering.policy) {
        (Some(number), Some(policy)) => {
            let fence = if steering.fence { ", fenced: never answered from elsewhere" } else { "" };
            let clients = steering.clients.as_deref().unwrap_or("every client");
            format!("{number} of {}, for {clients}: {policy}{fence}", steering.rules)
        }
        _ => format!("none of {} is for this client", steering.rules),
    };
    step(out, "rule", &rule);
    if let Some(side) = &steering.side {
        step(out, "side", &format!("this client is on the {side} side"));
    }
    if !steering.via.is_empty() {
        step(out, "groups", &steering.via.join(", then "));
    }
    if let Some((eligible, own)) = steering.panic {
        let text = format!("only {eligible} of {own} pools serve: panic, health is ignored");
        step(out, "panic", &paint(WARN, text));
    }
    if !steering.candidates.is_empty() {
        let drawn =
            matches!(steering.policy.as_deref(), Some("weighted" | "round-robin" | "multivalue"));
        let order = match steering.stays_by {
            Some(bits) => format!("this /{bits} stays at one of"),
            None if drawn => "one draw of many, chosen from".to_owned(),
            None => "in this order".to_owned(),
        };
        let order = match &steering.ties {
            Some(ties) => format!("{order}; {ties}"),
            None => order,
        };
        step(out, "candidates", &order);
        let rows: Vec<_> = steering.candidates.iter().enumerate().map(candidate).collect();
        out.push_str(&table(14, &rows));
    }
    step(out, "pick", &pick(steering));
    step(out, "scope", &scope(steering.scope));
}

fn pick(steering: &Steering) -> String {
    let picked = steering.candidates.iter().filter(|candidate| candidate.outcome == "picked");
    let names: Vec<&str> = picked.map(|candidate| candidate.pool.as_str()).collect();
    let why = match steering.reason.as_str() {
        "preferred" => "what the policy wants",
        "unhealthy" => "the first choice is unhealthy",
        "drained" => "the first choice is drained",
        "at-capacity" => "the first choice is at capacity",
        "no-address" => "the first choice has no address of this type",
        "shed" => "the first choice does not take this client now",
        "fenced" => "nothing inside the fence is left: the last resort",
        "panic" => "health is ignored",
        "last-resort" => "nothing is left: the last resort",
        "unmatched" => "no rule is for this client",
        other => other,
    };
    match (&names[..], &steering.last_resort) {
        ([], Some(instead)) => format!("{why}, {instead}"),
        ([], None) => why.to_owned(),
        (names, Some(instead)) => format!("{}: {why}, {instead}", names.join(", ")),
        (names, None) => format!("{}: {why}", names.join(", ")),
    }
}

fn scope(scope: u8) -> String {
    match scope {
        0 => "/0: the same for every client".to_owned(),
        scope => format!("/{scope}: the same for all clients of that network"),
    }
}

fn candidate((at, candidate): (usize, &CandidateView)) -> Vec<(Style, String)> {
    let style = match candidate.outcome.as_str() {
        "picked" => GOOD,
        "struck out" => BAD,
        "passed over" => WARN,
        _ => FAINT,
    };
    let because = candidate.because.as_ref().map(|code| code.replace('-', " "));
    let outcome = [Some(candidate.outcome.clone()), because, candidate.why.clone()];
    let outcome: Vec<String> = outcome.into_iter().flatten().collect();
    let outcome = outcome.join(": ");
    let mut facts = Vec::new();
    if let Some(weight) = candidate.weight {
        facts.push(format!("weight {weight}"));
    }
    if let Some(km) = candidate.distance_km {
        facts.push(format!("{km:.0} km"));
    }
    if let (Some(ms), Some(from)) = (candidate.latency_ms, &candidate.latency_from) {
        facts.push(format!("{ms} ms {from}"));
    }
    if candidate.tied {
        facts.push("equally near".to_owned());
    }
    if let Some(room) = candidate.room {
        let load = match candidate.load {
            Some(load) => format!("load {:.0} %", load * 100.0),
            None => "load unknown".to_owned(),
        };
        facts.push(format!("{load}, {:.0} % of the room", room * 100.0));
    }
    if candidate.bias != 0 {
        facts.push(format!("bias {:+}", candidate.bias));
    }
    if let Some(share) = candidate.keeps {
        facts.push(format!("takes {:.0} %", share * 100.0));
    }
    if let Some(name) = &candidate.name {
        facts.push(format!("by itself {name}"));
    }
    let other = match candidate.group.as_str() {
        "own" => "",
        "outside" => ", outside the fence",
        _ => ", not the rule's own",
    };
    vec![
        (PLAIN, format!("{}. {}", at + 1, candidate.pool)),
        (FAINT, format!("region {}{other}", candidate.region)),
        (PLAIN, if facts.is_empty() { "-".to_owned() } else { facts.join(", ") }),
        (PLAIN, candidate.verdict.clone()),
        (style, outcome),
    ]
}

fn answer(out: &mut String, told: &Explanation) {
    let referral =
        told.answer.is_empty() && told.authority.iter().any(|line| line.contains(" NS "));
    let text = match told.rcode.as_str() {
        "NOERROR" if referral => "NOERROR, a referral: ask these name servers".to_owned(),
        "NOERROR" if told.answer.is_empty() => "NOERROR, no data of this type".to_owned(),
        other => other.to_owned(),
    };
    step(out, "answer", &text);
    for line in told.answer.iter().chain(&told.authority).chain(&told.additional) {
        out.push_str(&format!("            {}\n", paint(HEAD, line)));
    }
    step(out, "holds for", &scope(told.scope));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::explain::Step;

    fn candidate(pool: &str, km: f64, outcome: &str, why: Option<&str>) -> CandidateView {
        CandidateView {
            pool: pool.to_owned(),
            region: pool.to_owned(),
            target: "192.0.2.1".to_owned(),
            name: None,
            distance_km: Some(km),
            latency_ms: None,
            latency_from: None,
            tied: false,
            load: None,
            room: None,
            bias: 0,
            weight: None,
            group: "own".to_owned(),
            keeps: None,
            verdict: if why.is_some() { "down" } else { "up" }.to_owned(),
            outcome: outcome.to_owned(),
            because: why.map(|_| "unhealthy".to_owned()),
            why: why.map(str::to_owned),
        }
    }

    fn steering() -> Steering {
        Steering {
            record: "www.example.org.".to_owned(),
            area: None,
            rule: Some(1),
            rules: 1,
            clients: Some("every client".into()),
            policy: Some("nearest".to_owned()),
            stays_by: None,
            fence: false,
            ties: None,
            side: None,
            via: Vec::new(),
            candidates: vec![
                candidate("fra", 424.0, "struck out", Some("down after 3 failures")),
                candidate("iad", 6716.0, "picked", None),
                candidate("sin", 9930.0, "not needed", None),
            ],
            reason: "unhealthy".to_owned(),
            panic: None,
            last_resort: None,
            ttl: 30,
            scope: 24,
        }
    }

    fn steered() -> Explanation {
        Explanation {
            name: "www.example.org.".to_owned(),
            qtype: "A".to_owned(),
            client: "203.0.113.0/24".to_owned(),
            place: PlaceView {
                network: "203.0.113.0/24".to_owned(),
                continent: Some("EU".to_owned()),
                country: Some("DE".to_owned()),
                subdivision: None,
                city: Some("Berlin".to_owned()),
                location: Some([52.52, 13.4]),
                asn: Some(64500),
                region: None,
                source: "city.mmdb".to_owned(),
            },
            steps: vec![Step {
                name: "www.example.org.".to_owned(),
                zone: "example.org.".to_owned(),
                found: "a steered name".to_owned(),
                steering: Some(steering()),
            }],
            rcode: "NOERROR".to_owned(),
            answer: vec!["www.example.org. 30 IN A 192.0.2.20".to_owned()],
            authority: Vec::new(),
            additional: Vec::new(),
            scope: 24,
        }
    }

    fn plain(told: &Explanation, down: &[String]) -> String {
        anstream::adapter::strip_str(&render(told, "as the daemon sees it", down)).to_string()
    }

    #[test]
    fn a_failover_reads_like_a_story() {
        let expected = "\
www.example.org. A for a client at 203.0.113.0/24

     place  Berlin, DE, EU, at 52.52, 13.40, AS64500 (all of 203.0.113.0/24; says city.mmdb)
    health  as the daemon sees it
      zone  example.org.
     found  a steered name
    record  www.example.org., TTL 30 s
      rule  1 of 1, for every client: nearest
candidates  in this order
              1. fra  region fra  424 km   down  struck out: unhealthy: down after 3 failures
              2. iad  region iad  6716 km  up    picked
              3. sin  region sin  9930 km  up    not needed
      pick  iad: the first choice is unhealthy
     scope  /24: the same for all clients of that network

    answer  NOERROR
            www.example.org. 30 IN A 192.0.2.20
 holds for  /24: the same for all clients of that network
";
        assert_eq!(plain(&steered(), &[]), expected);
    }

    #[test]
    fn what_is_supposed_and_what_is_left_out_are_said() {
        let mut told = steered();
        let steering = told.steps[0].steering.as_mut().expect("steered");
        steering.panic = Some((1, 3));
        steering.fence = true;
        steering.candidates.clear();
        steering.reason = "last-resort".to_owned();
        steering.last_resort = Some("no data".to_owned());
        told.answer.clear();
        let text = plain(
            &told,
            &["region.fra supposed down".to_owned(), "pool.iad supposed drained".to_owned()],
        );
        for part in [
            "as the daemon sees it, but region.fra supposed down, pool.iad supposed drained",
            "1 of 1, for every client: nearest, fenced: never answered from elsewhere",
            "only 1 of 3 pools serve: panic, health is ignored",
            "nothing is left: the last resort, no data",
            "NOERROR, no data of this type",
        ] {
            assert!(text.contains(part), "missing {part:?} in\n{text}");
        }
        assert!(!text.contains("candidates"), "{text}");
    }

    #[test]
    fn a_name_in_no_zone_of_ours_ends_early() {
        let mut told = steered();
        told.steps.clear();
        told.answer.clear();
        told.rcode = "REFUSED".to_owned();
        told.scope = 0;
        let text = plain(&told, &[]);
        let end = "      zone  none of ours holds this name\n\n    answer  REFUSED\n holds for  /0: the same for every client\n";
        assert!(text.ends_with(end), "{text}");
    }
}
