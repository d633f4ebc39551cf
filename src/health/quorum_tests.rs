//! Tests of the rule, vote by vote; how it fares over thousands of rounds stands in
//! `tests/health/quorum.rs`.

use super::*;

const RULE: Rule = Rule { need: None, floor: 3, vantages: 9 };

/// Votes by group: `"uud d uu"` are three groups.
fn tally(votes: &str) -> Tally {
    let groups: Vec<&str> = votes.split(' ').collect();
    let mut tally = Tally::new(groups.len());
    for (group, votes) in groups.iter().enumerate() {
        for vote in votes.chars() {
            tally.add(group, if vote == 'u' { Vote::Up } else { Vote::Down });
        }
    }
    tally
}

fn believed(votes: &str) -> Belief {
    match conclude(&tally(votes), &RULE, Belief::Unknown) {
        Conclusion::Believed(belief) => belief,
        Conclusion::Held(hold) => panic!("{votes}: {hold:?}"),
    }
}

fn ballot(votes: &str) -> Ballot {
    let mut ballot = Ballot::new(votes.len());
    for (at, vote) in votes.chars().enumerate() {
        ballot.set(at, if vote == 'u' { Vote::Up } else { Vote::Down });
    }
    ballot
}

fn sound(ballot: &Ballot) -> Voter<'_> {
    Voter { group: 0, itself: SelfView::default(), ballot }
}

/// Each check in a region of its own.
fn suspects(voters: &[Voter<'_>]) -> Vec<Option<Suspicion>> {
    suspicions(voters, |check| check as u16)
}

#[test]
fn below_a_third_is_down_from_two_thirds_is_up_and_between_is_degraded() {
    assert_eq!(believed("ddd ddd ddd"), Belief::Down);
    assert_eq!(believed("udd udd ddd"), Belief::Down);
    assert_eq!(believed("uuu ddd ddd"), Belief::Degraded);
    assert_eq!(believed("uuu uud ddd"), Belief::Degraded);
    assert_eq!(believed("uuu uuu ddd"), Belief::Up);
    assert_eq!(believed("uud uud uud"), Belief::Up);
    assert_eq!(believed("uuu uuu uuu"), Belief::Up);
}

#[test]
fn many_vantages_of_one_group_are_one_voice() {
    assert_eq!(believed("uuuuuuuuuu d d d"), Belief::Down);
    assert_eq!(believed("dddddddddd u u u"), Belief::Up);
}

#[test]
fn a_split_vote_keeps_what_was_down_down() {
    let split = tally("uuu ddd");
    for (last, then) in [
        (Belief::Up, Belief::Degraded),
        (Belief::Degraded, Belief::Degraded),
        (Belief::Down, Belief::Down),
    ] {
        assert_eq!(conclude(&split, &RULE, last), Conclusion::Believed(then), "{last:?}");
    }
}

#[test]
fn with_fewer_voters_than_the_floor_nothing_is_concluded() {
    let few = Conclusion::Held(Hold::Few { voters: 2, floor: 3 });
    assert_eq!(conclude(&tally("uu"), &RULE, Belief::Down), few);
    assert_eq!(conclude(&tally("d d"), &RULE, Belief::Up), few);
    let alone = Rule { floor: 0, ..RULE };
    let nobody = Conclusion::Held(Hold::Few { voters: 0, floor: 1 });
    assert_eq!(conclude(&Tally::new(3), &alone, Belief::Up), nobody);
}

#[test]
fn so_many_of_so_many_replaces_the_thresholds() {
    let rule = Rule { need: Some(3), floor: 3, vantages: 5 };
    let after = |votes| conclude(&tally(votes), &rule, Belief::Up);
    assert_eq!(after("uuudd"), Conclusion::Believed(Belief::Up));
    assert_eq!(after("uu ddd"), Conclusion::Believed(Belief::Down));
    // The fifth is silent, and would decide.
    assert_eq!(after("uudd"), Conclusion::Held(Hold::Undecided { ups: 2, need: 3 }));
    assert_eq!(after("uddd"), Conclusion::Believed(Belief::Down));
}

#[test]
fn whoever_believes_nothing_is_absent() {
    let mut tally = tally("uu");
    tally.add(0, Vote::Unknown);
    tally.add(7, Vote::Down);
    assert_eq!((tally.voters(), tally.share()), (2, 1.0));
}

#[test]
fn a_vantage_with_silent_canaries_or_a_late_one_has_no_vote() {
    let well = ballot("uuuuu");
    let view = |canaries, canaries_ok, lag_ms| SelfView { canaries, canaries_ok, lag_ms };
    let of = |itself| suspects(&[Voter { itself, ..sound(&well) }])[0];
    assert_eq!(of(view(0, 0, 0)), None);
    assert_eq!(of(view(4, 2, 500)), None);
    assert_eq!(of(view(3, 1, 0)), Some(Suspicion::Canaries { ok: 1, of: 3 }));
    assert_eq!(of(view(3, 3, 501)), Some(Suspicion::Late(501)));
}

#[test]
fn a_vantage_that_fails_nearly_everywhere_is_suspect_only_when_contradicted() {
    let (broken, well) = (ballot("dddduddddd"), ballot("uuuuuuuuuu"));
    let voters = [sound(&broken), sound(&well)];
    let contradicted = Suspicion::Contradicted { fails: 9, of: 10, by: 1 };
    assert_eq!(suspects(&voters), [Some(contradicted), None]);
    // Half of what it fails is enough, less is not.
    let (half, less) = (ballot("uuuuuddddd"), ballot("uuuddddddd"));
    assert_eq!(suspects(&[sound(&broken), sound(&less)]), [None, None]);
    assert!(suspects(&[sound(&ballot("dddddddddd")), sound(&half)])[0].is_some());
    // All see the same: then that is what it is like.
    assert_eq!(suspects(&[sound(&broken), sound(&broken)]), [None, None]);
    // Whoever is suspect itself contradicts nobody.
    let late = Voter { itself: SelfView { lag_ms: 900, ..SelfView::default() }, ..sound(&well) };
    assert_eq!(suspects(&[sound(&broken), late])[0], None);
}

#[test]
fn failing_is_suspect_only_with_five_targets_in_two_regions() {
    let well = ballot("uuuuuuuuuu");
    let fails = |votes: &str| suspects(&[sound(&ballot(votes)), sound(&well)])[0].is_some();
    assert!(fails("ddddd"));
    assert!(!fails("dddd"));
    assert!(fails("ddddu"));
    assert!(!fails("ddduu"));
    let one_region = suspicions(&[sound(&ballot("ddddd")), sound(&well)], |_| 0);
    assert_eq!(one_region, [None, None]);
}

#[test]
fn a_ballot_holds_one_vote_for_each_check() {
    let mut ballot = Ballot::new(130);
    ballot.set(129, Vote::Up);
    ballot.set(129, Vote::Down);
    ballot.set(64, Vote::Up);
    ballot.set(500, Vote::Up);
    assert_eq!(ballot.counts(), (1, 1));
    assert_eq!([64, 129, 0, 500].map(|at| ballot.vote(at)), {
        [Vote::Up, Vote::Down, Vote::Unknown, Vote::Unknown]
    });
    ballot.clear();
    assert_eq!(ballot.counts(), (0, 0));
}
