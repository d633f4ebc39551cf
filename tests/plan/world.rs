//! Records drawn at random over the four regions: every policy, groups inside, bands, sides,
//! fences, panic and last resorts.

use meridian::steer::chance::Chance;

pub(crate) const REGIONS: [&str; 4] = ["fra", "dub", "iad", "sin"];
const MATCHES: [&str; 5] = [
    "{ continent = [\"EU\"] }",
    "{ country = [\"US\"] }",
    "{ cidr = [\"10.1.0.0/17\"] }",
    "\"unknown\"",
    "\"default\"",
];
const RESORTS: [&str; 4] = ["all", "nodata", "servfail", "default"];
const FENCED: [&str; 2] = ["nodata", "servfail"];
const POLICIES: [&str; 7] =
    ["failover", "nearest", "round-robin", "latency", "weighted", "sticky", "hash"];

/// What `latency` goes by: it turns distances round for some.
pub(crate) const LATENCY: &str = "network,region,milliseconds\n10.1.0.0/17,iad,4\n\
    10.2.0.0/16,fra,9\n10.2.0.0/16,dub,9.5\n10.3.0.0/16,sin,20\n";

/// A record `www` of one to three rules, with the groups that it names.
pub(crate) fn record(chance: &mut Chance) -> String {
    let mut groups = String::new();
    let mut text = format!("[record.\"www\"]\nanswers = {}\n", 1 + chance.below(2));
    let rules = 1 + chance.below(3);
    let mut matches_left = MATCHES[..4].to_vec();
    for number in 0..rules {
        let last = number + 1 == rules;
        let drawn = matches_left.remove(chance.below(matches_left.len() as u32) as usize);
        let matches = if last { MATCHES[4] } else { drawn };
        let mut pools: Vec<String> =
            REGIONS.iter().filter(|_| chance.below(2) == 0).map(|p| (*p).to_owned()).collect();
        if pools.is_empty() {
            pools.push(REGIONS[chance.below(4) as usize].to_owned());
        }
        let mut nests = false;
        if pools.len() > 1 && chance.below(3) == 0 {
            // The last of them go into a group, which may hold a group in turn.
            nests = true;
            let inner = pools.split_off(pools.len() - 1 - usize::from(pools.len() > 2));
            let name = format!("inner{number}");
            groups.push_str(&format!("[group.{name}]\n{}", chosen(chance, &inner, false)));
            pools.push(name);
            if chance.below(3) == 0 {
                let name = format!("outer{number}");
                groups.push_str(&format!("[group.{name}]\n{}", chosen(chance, &pools, false)));
                pools = vec![name];
            }
        }
        let policy = chosen(chance, &pools, !nests);
        let fence = chance.below(2) == 0;
        let resort = if fence {
            FENCED[chance.below(2) as usize]
        } else {
            RESORTS[chance.below(4) as usize]
        };
        let panic = if chance.below(4) == 0 { "panic = \"40%\"\n" } else { "" };
        let canary = if !nests && pools.len() > 1 && chance.below(4) == 0 {
            format!("canary = {{ pool = \"{}\", steps = [\"50%\"] }}\n", pools[pools.len() - 1])
        } else {
            String::new()
        };
        text.push_str(&format!(
            "[[record.\"www\".rule]]\nmatch = {matches}\n{policy}fence = {fence}\n\
             last_resort = \"{resort}\"\n{panic}{canary}"
        ));
    }
    groups + &text
}

/// A policy over these pools and groups, as it is written.
fn chosen(chance: &mut Chance, pools: &[String], is_flat: bool) -> String {
    let listed: Vec<String> = pools.iter().map(|pool| format!("\"{pool}\"")).collect();
    let weighed: Vec<String> =
        pools.iter().map(|pool| format!("{pool} = {}", 1 + chance.below(9))).collect();
    let (listed, weighed) =
        (format!("[{}]", listed.join(", ")), format!("{{ {} }}", weighed.join(", ")));
    let band = match chance.below(3) {
        _ if !is_flat => "",
        0 => "band = \"60%\"\nties = \"random\"\n",
        1 => "band = \"60%\"\nties = \"network\"\n",
        _ => "",
    };
    match POLICIES[chance.below(7) as usize] {
        "sticky" => format!("policy = \"weighted\"\nsticky = \"network\"\npools = {weighed}\n"),
        policy @ ("weighted" | "hash") => format!("policy = \"{policy}\"\npools = {weighed}\n"),
        "nearest" => format!("policy = \"nearest\"\npools = {listed}\n{band}"),
        "latency" if is_flat => format!(
            "policy = \"latency\"\npools = {listed}\n{band}latency = {{ file = \"geo/latency.csv\" }}\n"
        ),
        "latency" => format!("policy = \"nearest\"\npools = {listed}\n"),
        policy => format!("policy = \"{policy}\"\npools = {listed}\n"),
    }
}
