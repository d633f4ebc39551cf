//! One region is handed over by name, one by its own DNS, and the resolver follows to the end.
//!
//! Both records are the same for every client. Resolvers keep referrals for all clients (RFC 7871
//! section 7.4), and Unbound 1.17 keeps a chain for all clients when the end of a CNAME comes
//! from a server without client subnets, as BIND is.

use hickory_proto::rr::RecordType;

use crate::internet::{Internet, ZONE, failover_budget, return_budget};
use crate::lab::until;
use crate::meridian::Geo;
use crate::world::{PLACES, Place, REGIONS};

#[test]
fn a_cname_and_a_delegation_are_followed_to_the_end() {
    let mut internet = Internet::new(Geo::Embedded);
    println!("\nhand-over by name and by delegation:");
    a_balancers_name_leads_to_its_region(&mut internet);
    a_delegated_name_is_answered_by_the_regions_own_dns(&mut internet);
}

fn a_balancers_name_leads_to_its_region(internet: &mut Internet) {
    let [fra, iad, ..] = REGIONS;
    let princeton = place("Princeton").address();
    let name = format!("edge.{ZONE}");

    let direct = internet.client_of_meridian(princeton).ask(&name).expect("Meridian answers");
    assert!(direct.authoritative);
    let types: Vec<RecordType> = direct.message.answers.iter().map(|r| r.record_type()).collect();
    assert_eq!(types, [RecordType::CNAME], "the neighbour's zone is not Meridian's to answer");

    let asker = internet.client_of_resolver(princeton);
    let reply = asker.ask(&name).expect("the resolver answers");
    assert_eq!(reply.address(), Some(iad.vip()), "lb.iad.example.net. is iad's balancer");
    assert_eq!(internet.page(princeton, iad.vip()).as_deref(), Ok("iad"));

    internet.region("iad").kill_haproxy();
    let moved = until(failover_budget(), "clients leave a balancer that died", || {
        asker.ask(&name).is_some_and(|reply| reply.address() == Some(fra.vip()))
    });
    internet.region("iad").start_haproxy();
    let back = until(return_budget(), "clients return to the balancer's name", || {
        asker.ask(&name).is_some_and(|reply| reply.address() == Some(iad.vip()))
    });
    println!("  CNAME: followed to iad; left it after {moved:.2?}, returned after {back:.2?}");
}

fn a_delegated_name_is_answered_by_the_regions_own_dns(internet: &mut Internet) {
    let [fra, _, sin, ..] = REGIONS;
    let tokyo = place("Tokyo").address();
    let name = format!("app.{ZONE}");

    let referral = internet.client_of_meridian(tokyo).ask(&name).expect("Meridian answers");
    assert!(!referral.authoritative, "a referral is not an authoritative answer");
    assert!(referral.message.answers.is_empty());
    let types = |records: &[hickory_proto::rr::Record]| -> Vec<RecordType> {
        records.iter().map(|record| record.record_type()).collect()
    };
    assert_eq!(types(&referral.message.authorities), [RecordType::NS]);
    assert_eq!(types(&referral.message.additionals), [RecordType::A], "glue");

    let asker = internet.client_of_resolver(tokyo);
    let reply = asker.ask(&name).expect("the resolver answers");
    assert_eq!(reply.address(), Some(sin.vip()), "Knot in sin knows the address");
    assert_eq!(internet.page(tokyo, sin.vip()).as_deref(), Ok("sin"));

    internet.region("sin").kill_knot();
    let moved = until(failover_budget(), "clients leave a region whose DNS died", || {
        asker.ask(&name).is_some_and(|reply| reply.address() == Some(fra.vip()))
    });
    println!("  NS: followed to sin's Knot; when it died, fra after {moved:.2?}");
}

fn place(city: &str) -> &'static Place {
    PLACES.iter().find(|place| place.city == city).expect("a place of the list")
}
