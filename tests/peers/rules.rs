//! Why answers may differ: each rule has a name, says when it holds, and takes the difference it
//! explains out of both answers. What is left is unexplained.

use crate::ask::Said;
use crate::message::{
    AA, AD, ANY, Answer, CD, CNAME, DNAME, DS, NS, NSEC, NXDOMAIN, Question, SERVFAIL, TC, YXDOMAIN,
};
use crate::name::Name;
use crate::servers::{Kind, UDP_SIZE};
use crate::world::World;
use crate::zones::Zone;

/// Two answers to one question.
pub struct Case<'a> {
    pub world: &'a World<'a>,
    pub question: &'a Question,
    pub peer: Kind,
    pub over_udp: bool,
    pub mine: &'a Option<Said>,
    pub theirs: &'a Option<Said>,
    pub mine_tcp: &'a Option<Said>,
    pub theirs_tcp: &'a Option<Said>,
}

/// A rule: true when it took something out.
type Rule = fn(&Case<'_>, &mut Answer, &mut Answer) -> bool;

/// Every rule, in the order they are tried. `docs/differences.md` has a section for each.
pub const RULES: &[(&str, Rule)] = &[
    ("cd-copied", cd_copied),
    ("ad-set-when-truncated", ad_set_when_truncated),
    ("record-repeated", record_repeated),
    ("truncated", truncated),
    ("any-gets-more", any_gets_more),
    ("any-below-dname", any_below_dname),
    ("glue-left-out", glue_left_out),
    ("glue-from-hidden-wildcard", glue_from_hidden_wildcard),
    ("optional-addresses", optional_addresses),
    ("apex-ns-beside-an-answer", apex_ns),
    ("yxdomain-and-on", yxdomain_and_on),
    ("nsec-at-cname", nsec_at_cname),
    ("chain-stops-at-zone", chain_stops_at_zone),
    ("chain-without-end", chain_without_end),
    ("one-tree-for-all-zones", one_tree),
];

/// The rules that explain the difference, none when there is none; or what is left of it.
pub fn explain(case: &Case<'_>) -> Result<Vec<&'static str>, String> {
    let Some(mut mine) = answer(case.mine) else {
        return Err("no answer of Meridian's".to_owned());
    };
    let Some(mut theirs) = answer(case.theirs) else {
        return Err("no answer of the peer's".to_owned());
    };
    let mut rules = Vec::new();
    for (name, rule) in RULES {
        if mine == theirs {
            break;
        }
        if rule(case, &mut mine, &mut theirs) {
            rules.push(*name);
        }
    }
    if mine == theirs { Ok(rules) } else { Err(left(&mine, &theirs)) }
}

fn answer(said: &Option<Said>) -> Option<Answer> {
    said.as_ref()?.answer.clone()
}

/// Which parts still differ.
fn left(mine: &Answer, theirs: &Answer) -> String {
    let parts = [
        ("rcode", mine.rcode != theirs.rcode),
        ("flags", mine.flags != theirs.flags),
        ("answer", mine.answer != theirs.answer),
        ("authority", mine.authority != theirs.authority),
        ("additional", mine.additional != theirs.additional),
        ("repeated", mine.repeated != theirs.repeated),
        ("OPT", mine.opt != theirs.opt),
    ];
    let names: Vec<&str> =
        parts.iter().filter(|(_, differ)| *differ).map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The peer copies CD.
fn cd_copied(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let copied = case.question.flags & CD != 0 && theirs.has(CD) && !mine.has(CD);
    if copied {
        theirs.flags &= !CD;
    }
    copied
}

/// BIND copies AD into a truncated answer, and only there.
fn ad_set_when_truncated(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let set = case.peer == Kind::Bind
        && case.question.flags & AD != 0
        && theirs.has(TC)
        && theirs.has(AD)
        && !mine.has(AD);
    if set {
        theirs.flags &= !AD;
    }
    set
}

/// The peer has a record twice in one section.
fn record_repeated(_: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let repeated = mine.repeated == 0 && theirs.repeated > 0;
    theirs.repeated = mine.repeated;
    repeated
}

/// One of both, or each, is too large for its datagram, as its answer over TCP shows. What is in
/// it is compared there.
fn truncated(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let limit = case.question.edns.map_or(512, |(size, _)| usize::from(size).clamp(512, UDP_SIZE));
    let too_large = |answer: &Answer, tcp: &Option<Said>, slack| {
        !answer.has(TC) || tcp.as_ref().is_some_and(|said| said.length + slack > limit)
    };
    let holds = case.over_udp
        && (mine.has(TC) || theirs.has(TC))
        && too_large(mine, case.mine_tcp, 0)
        // BIND writes records in any order, and compression depends on it.
        && too_large(theirs, case.theirs_tcp, 64)
        && mine.has(AA) == theirs.has(AA);
    if holds {
        for side in [mine, theirs] {
            side.flags &= !TC;
            side.rcode = 0;
            side.repeated = 0;
            side.answer.clear();
            side.authority.clear();
            side.additional.clear();
        }
    }
    holds
}

/// Everything, or one RRset of what is there: all have the name that was asked.
fn any_gets_more(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let name = case.question.name.lower();
    let whole = |answer: &Answer| {
        !answer.answer.is_empty()
            && answer.answer.iter().all(|r| r.owner == name && is_at(case.world, &name, r.rtype))
    };
    let holds = case.question.qtype == ANY && whole(mine) && whole(theirs);
    if holds {
        mine.answer.clear();
        theirs.answer.clear();
    }
    holds
}

/// ANY below a DNAME: the CNAME that is made there is an answer; the peer follows it all the same.
fn any_below_dname(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let ours = chain(case, mine);
    let holds = case.question.qtype == ANY
        && matches!(case.peer, Kind::Knot | Kind::Nsd)
        && ours.len() == 2
        && mine.answer.iter().any(|r| r.rtype == DNAME)
        && chain(case, theirs).starts_with(&ours);
    if holds {
        keep_chain(mine, &ours);
        keep_chain(theirs, &ours);
    }
    holds
}

/// Whether the zone of `name` has this type there, or at a wildcard.
fn is_at(world: &World<'_>, name: &Name, rtype: u16) -> bool {
    world.zone_of(name).is_some_and(|zone| {
        zone.records.iter().any(|record| {
            crate::message::type_number(record.rtype) == rtype
                && (record.owner.lower() == *name
                    || (record.owner.is_wildcard() && name.is_below(&record.owner.parent())))
        })
    })
}

/// The cut that an answer refers to.
fn cut_of(answer: &Answer) -> Option<Name> {
    let is_referral = |r: &&crate::message::Rr| r.rtype == NS;
    answer.authority.iter().find(is_referral).map(|r| r.owner.clone())
}

/// The peer leaves glue out that did not fit, and says nothing of it; over TCP it has it.
fn glue_left_out(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let Some(tcp) = answer(case.theirs_tcp).filter(|_| case.over_udp) else { return false };
    let before = mine.additional.len();
    let there = &theirs.additional;
    mine.additional.retain(|r| there.contains(r) || !tcp.additional.contains(r));
    mine.additional.len() < before
}

/// The peer makes glue of a wildcard below the cut, which the cut hides.
fn glue_from_hidden_wildcard(case: &Case<'_>, _: &mut Answer, theirs: &mut Answer) -> bool {
    let Some(cut) = cut_of(theirs) else { return false };
    let before = theirs.additional.len();
    theirs.additional.retain(|r| {
        !r.owner.is_in(&cut) || case.world.has_address(r) || !case.world.has_wildcard_address(r)
    });
    theirs.additional.len() < before
}

/// One of both has addresses in the additional section that nobody needs: all but those of name
/// servers below the cut that is referred to.
fn optional_addresses(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let before = (mine.additional.clone(), theirs.additional.clone());
    for side in [&mut *mine, &mut *theirs] {
        let cut = if side.has(AA) && side.answer.is_empty() { None } else { cut_of(side) };
        let needed = |name: &Name| cut.as_ref().is_some_and(|cut| name.is_in(cut));
        side.additional.retain(|r| {
            needed(&r.owner) || !(case.world.has_address(r) || case.world.has_wildcard_address(r))
        });
    }
    before != (mine.additional.clone(), theirs.additional.clone())
}

/// The peer adds the zone's NS to an answer.
fn apex_ns(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let is_apex = |name: &Name| case.world.zone_of(name).is_some_and(|zone| zone.apex == *name);
    let fits = mine.authority.is_empty()
        && !theirs.authority.is_empty()
        && theirs.has(AA)
        && theirs.authority.iter().all(|r| r.rtype == NS && is_apex(&r.owner));
    if fits {
        theirs.authority.clear();
    }
    fits
}

/// The names an answer goes through, from the qname to where its last CNAME leads.
fn chain(case: &Case<'_>, answer: &Answer) -> Vec<Name> {
    let mut names = vec![case.question.name.lower()];
    while let Some(next) =
        answer.answer.iter().find(|r| r.rtype == CNAME && r.owner == names[names.len() - 1])
    {
        let target = next.target();
        let seen = names.contains(&target);
        names.push(target);
        if seen {
            break;
        }
    }
    names
}

/// Leaves of an answer what leads along `names`.
fn keep_chain(answer: &mut Answer, names: &[Name]) {
    let Some((_, aliases)) = names.split_last() else { return };
    answer.answer.retain(|r| match r.rtype {
        CNAME => aliases.contains(&r.owner),
        DNAME => aliases.iter().any(|name| name.is_below(&r.owner)),
        _ => false,
    });
    answer.authority.clear();
    answer.additional.clear();
    answer.rcode = 0;
}

/// The peer follows a chain only in the zone of the qname: where another zone of ours begins it
/// stops, or goes on with what the first zone has there.
fn chain_stops_at_zone(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let (ours, others) = (chain(case, mine), chain(case, theirs));
    let both = ours.iter().zip(&others).take_while(|(a, b)| a == b).count();
    let stops = ours[..both].to_vec();
    let [.., alias, last] = &stops[..] else { return false };
    let zone = |name: &Name| {
        let mut enclosing = case.world.enclosing(name);
        let nearest = enclosing.next();
        // DS at an apex is the parent's (RFC 4035 section 3.1.4.1).
        let is_above = case.question.qtype == DS && nearest.is_some_and(|zone| zone.apex == *name);
        enclosing.next().filter(|_| is_above).or(nearest)
    };
    let apex = |name| zone(name).map(|zone| &zone.apex);
    let holds = matches!(case.peer, Kind::Knot | Kind::Bind)
        && apex(last).is_some()
        && apex(alias) != apex(last);
    if holds {
        keep_chain(mine, &stops);
        keep_chain(theirs, &stops);
    }
    holds
}

/// The chain runs in a circle, or grows without end; each gives up at another place.
fn chain_without_end(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let (ours, others) = (chain(case, mine), chain(case, theirs));
    let (short, long) = if ours.len() < others.len() { (&ours, &others) } else { (&others, &ours) };
    let circle = (1..long.len()).any(|at| long[..at].contains(&long[at]));
    let grows = mine.answer.iter().filter(|r| r.rtype == DNAME).any(|dname| {
        long[..long.len() - 1].iter().filter(|name| name.is_below(&dname.owner)).count() > 1
    });
    // Meridian goes through eight names.
    let holds = short.len() > 1
        && long.starts_with(short)
        && (circle || grows || long.len() > 8)
        && [&*mine, &*theirs]
            .iter()
            .all(|side| [0, SERVFAIL, YXDOMAIN, NXDOMAIN].contains(&side.rcode));
    if holds {
        keep_chain(mine, short);
        keep_chain(theirs, short);
    }
    holds
}

/// Who asks for NSEC at a CNAME is not led on by the peer: in signed zones both stand there.
fn nsec_at_cname(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let name = case.question.name.lower();
    let holds = case.question.qtype == NSEC
        && matches!(case.peer, Kind::Knot | Kind::Bind)
        && mine.answer.iter().any(|r| r.rtype == CNAME && r.owner == name)
        && theirs.answer.is_empty()
        && theirs.rcode == 0
        && theirs.has(AA);
    if holds {
        mine.clone_from(theirs);
    }
    holds
}

/// Knot notices that a DNAME makes the name too long, and goes on all the same.
fn yxdomain_and_on(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let holds = case.peer == Kind::Knot
        && mine.rcode == YXDOMAIN
        && mine.answer.iter().any(|r| r.rtype == DNAME)
        && mine.answer.is_subset(&theirs.answer);
    if holds {
        theirs.clone_from(mine);
    }
    holds
}

/// NSD keeps the names of all zones in one tree, with those that are only led to. What a zone
/// above has below the cut to this one, which nobody may see, exists for NSD: no NXDOMAIN, no
/// wildcard; so does a wildcard that is only some record's target. And DS is asked of whichever
/// zone above has NS there.
fn one_tree(case: &Case<'_>, mine: &mut Answer, theirs: &mut Answer) -> bool {
    let names = chain(case, mine);
    let is_meant = |name: &Name| {
        (1..name.0.len()).any(|at| case.world.means_wildcard(&Name(name.0[at..].to_vec())))
    };
    let foreign = names.iter().any(|name| has_foreign(case.world, name) || is_meant(name));
    let other_parent =
        case.question.qtype == DS && names.iter().any(|n| has_two_parents(case.world, n));
    let holds = case.peer == Kind::Nsd && ((foreign && theirs.has(AA)) || other_parent);
    if holds {
        mine.clone_from(theirs);
    }
    holds
}

/// Whether a zone above or below that of `name` has a name on the way from the apex of its zone
/// to it, or below it, or a wildcard for it.
fn has_foreign(world: &World<'_>, name: &Name) -> bool {
    let mut zones = world.enclosing(name);
    let Some(zone) = zones.next() else { return false };
    let common = |owner: &Name| {
        let (a, b) = (owner.lower().0, name.lower().0);
        a.into_iter().rev().zip(b.into_iter().rev()).take_while(|(a, b)| a == b).count()
    };
    let covers = |owner: &Name| {
        owner.wildcards().iter().any(|w| w.parent().is_in(&zone.apex) && name.is_below(&w.parent()))
    };
    let is_near = |other: &Name| common(other) > zone.apex.0.len();
    world.apexes().any(is_near)
        || zones.flat_map(|z| &z.records).any(|r| is_near(&r.owner) || covers(&r.owner))
}

/// Whether `name` is an apex whose parent is not the only zone above with a cut there.
fn has_two_parents(world: &World<'_>, name: &Name) -> bool {
    let mut zones = world.enclosing(name);
    let has_cut =
        |zone: &Zone| zone.records.iter().any(|r| r.rtype == "NS" && r.owner.lower() == *name);
    zones.next().is_some_and(|zone| zone.apex == *name)
        && zones.next().is_some_and(|parent| !has_cut(parent) || zones.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zones::Family;

    /// An empty zone answers NXDOMAIN; the peer says what `change` makes of it.
    fn explained(change: impl FnOnce(&mut Answer)) -> Result<Vec<&'static str>, String> {
        let families: [(usize, Family); 0] = [];
        let question = Question { name: Name::plain("a.test"), qtype: 1, flags: CD, edns: None };
        let mut packet = question.packet(1);
        packet[2..4].copy_from_slice(&(0x8000 | AA | NXDOMAIN).to_be_bytes());
        let mine = Answer::read(&packet, &question).expect("an answer");
        let mut theirs = mine.clone();
        change(&mut theirs);
        let said = |answer| Some(Said { length: packet.len(), answer: Some(answer) });
        let (mine, theirs) = (said(mine), said(theirs));
        explain(&Case {
            world: &World::new(&families),
            question: &question,
            peer: Kind::Bind,
            over_udp: false,
            mine: &mine,
            theirs: &theirs,
            mine_tcp: &mine,
            theirs_tcp: &theirs,
        })
    }

    #[test]
    fn what_no_rule_explains_is_left() {
        assert_eq!(explained(|_| ()), Ok(vec![]));
        assert_eq!(explained(|theirs| theirs.flags |= CD), Ok(vec!["cd-copied"]));
        assert_eq!(explained(|theirs| theirs.rcode = 0), Err("rcode".to_owned()));
        assert_eq!(explained(|theirs| theirs.flags |= TC), Err("flags".to_owned()));
        assert_eq!(explained(|theirs| theirs.opt = Some((0, false))), Err("OPT".to_owned()));
    }
}
