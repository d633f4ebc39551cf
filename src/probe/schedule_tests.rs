//! Phase, jitter, pace and bounds on tokio's paused clock.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::probe::monitor::{Kind, Tcp, Way};

const LIMITS: Limits = Limits { concurrency: 8, per_host: 2 };
const INTERVAL: Duration = Duration::from_secs(10);

/// A target that takes `takes` to answer `answer`, and counts how many ask at once.
struct Target {
    takes: Duration,
    answer: Result<(), Reason>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Target {
    fn new(takes: Duration, answer: Result<(), Reason>) -> Arc<Self> {
        Arc::new(Self { takes, answer, under_way: AtomicUsize::new(0), most: AtomicUsize::new(0) })
    }
}

impl Ask for Arc<Target> {
    async fn ask(&self, _: &Check, _: &mut Trace) -> Result<(), Reason> {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        self.answer
    }
}

/// Keeps every sample, and answers with one pace.
struct Seen {
    pace: Pace,
    samples: Mutex<Vec<(Box<str>, Sample, Duration)>>,
}

impl Sink for Seen {
    fn observe(&self, check: &Check, sample: &Sample, now: Duration) -> Pace {
        let mut samples = self.samples.lock().expect("not poisoned");
        samples.push((check.key.clone(), *sample, now));
        self.pace
    }
}

impl Seen {
    fn with(pace: Pace) -> Arc<Self> {
        Arc::new(Self { pace, samples: Mutex::new(Vec::new()) })
    }

    fn times(&self, key: &str) -> Vec<Duration> {
        let samples = self.samples.lock().expect("not poisoned");
        samples.iter().filter(|(of, ..)| **of == *key).map(|(.., at)| *at).collect()
    }

    fn keys(&self) -> HashSet<Box<str>> {
        let samples = self.samples.lock().expect("not poisoned");
        samples.iter().map(|(key, ..)| key.clone()).collect()
    }
}

fn monitor() -> Monitor {
    Monitor {
        name: "m".into(),
        kind: Kind::Tcp(Tcp::default()),
        port: 80,
        interval: INTERVAL,
        fast_interval: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        rise: 3,
        fall: 3,
        slow_interval: INTERVAL,
        way: Way::default(),
    }
}

/// Check number `number`, at an address of its own, or all at one.
fn check(number: u8, apart: bool) -> Check {
    let address = [192, 0, 2, if apart { number } else { 1 }];
    Check {
        key: format!("m@{number}").into(),
        monitor: Arc::new(monitor()),
        target: CheckTarget::Address((address, 80).into()),
    }
}

fn prober(target: &Arc<Target>, seen: &Arc<Seen>, seed: u64) -> Prober<Arc<Target>> {
    let epoch = Instant::now().into_std();
    Prober::new(Arc::clone(target), Arc::clone(seen) as Arc<dyn Sink>, LIMITS, epoch, seed)
}

fn quick() -> Arc<Target> {
    Target::new(Duration::from_millis(1), Ok(()))
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn first_probes_are_spread_over_the_interval() {
    let (target, seen) = (quick(), Seen::with(Pace::Steady));
    let mut prober = prober(&target, &seen, 1);
    prober.update(&[], LIMITS);
    let checks: Vec<_> = (0..200).map(|number| check(number, true)).collect();
    prober.update(&checks, LIMITS);
    pass(INTERVAL + Duration::from_millis(10)).await;
    assert_spread(checks.iter().map(|check| seen.times(&check.key)[0]).collect());
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_begins_asks_soon_and_spreads_out_with_the_second_probe() {
    let (target, seen) = (quick(), Seen::with(Pace::Steady));
    let mut prober = prober(&target, &seen, 1);
    let checks: Vec<_> = (0..200).map(|number| check(number, true)).collect();
    prober.update(&checks, LIMITS);
    pass(INTERVAL + Duration::from_millis(250)).await;
    let first = checks.iter().map(|check| seen.times(&check.key)[0]);
    assert!(
        first.max().is_some_and(|last| last < Duration::from_millis(210)),
        "a thousand a second"
    );
    assert_spread(checks.iter().map(|check| seen.times(&check.key)[1]).collect());
}

fn assert_spread(times: Vec<Duration>) {
    for quarter in 0..4u32 {
        let range = INTERVAL * quarter / 4..INTERVAL * (quarter + 1) / 4;
        let share = times.iter().filter(|at| range.contains(*at)).count();
        assert!((30..70).contains(&share), "{share} of 200 in quarter {quarter}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_kept_within_ten_per_cent() {
    let (target, seen) = (quick(), Seen::with(Pace::Steady));
    let mut prober = prober(&target, &seen, 2);
    prober.update(&[check(1, true)], LIMITS);
    pass(INTERVAL * 100).await;
    let times = seen.times("m@1");
    // The second probe comes when it may, so that those that begin together spread out.
    let gaps: Vec<_> = times[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((95..=106).contains(&times.len()), "{}", times.len());
    let around = INTERVAL.mul_f64(0.899)..INTERVAL.mul_f64(1.101);
    assert!(gaps.iter().all(|gap| around.contains(gap)), "{gaps:?}");
    let mean = gaps.iter().sum::<Duration>().as_secs_f64() / gaps.len() as f64;
    assert!((mean - 10.0).abs() < 0.2, "{mean}");
    assert!(gaps.iter().any(|gap| *gap < INTERVAL.mul_f64(0.95)), "jitter is there");
}

#[tokio::test(start_paused = true)]
async fn a_pending_change_is_looked_at_sooner() {
    let target = Target::new(Duration::from_millis(1), Err(Reason::Refused));
    let seen = Seen::with(Pace::Fast);
    let mut prober = prober(&target, &seen, 3);
    prober.update(&[check(1, true)], LIMITS);
    pass(INTERVAL * 3).await;
    let times = seen.times("m@1");
    let around = Duration::from_millis(900)..Duration::from_millis(1110);
    assert!(times.windows(2).all(|pair| around.contains(&(pair[1] - pair[0]))), "{times:?}");
    assert!(times.len() >= 18);
}

#[tokio::test(start_paused = true)]
async fn a_probe_without_an_end_has_timed_out() {
    let target = Target::new(Duration::from_secs(3600), Ok(()));
    let seen = Seen::with(Pace::Steady);
    let mut prober = prober(&target, &seen, 4);
    prober.update(&[check(1, true)], LIMITS);
    pass(INTERVAL + Duration::from_secs(4)).await;
    let samples = seen.samples.lock().expect("not poisoned");
    let timeout = Duration::from_secs(3);
    assert_eq!(samples[0].1.reason(), Some(Reason::TimedOut));
    assert!(samples[0].1.latency.abs_diff(timeout) < Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn probes_under_way_are_bounded_in_all_and_per_host() {
    for (apart, most) in [(true, LIMITS.concurrency), (false, LIMITS.per_host)] {
        let target = Target::new(Duration::from_secs(2), Ok(()));
        let seen = Seen::with(Pace::Fast);
        let mut prober = prober(&target, &seen, 5);
        let checks: Vec<_> = (0..40).map(|number| check(number, apart)).collect();
        prober.update(&checks, LIMITS);
        pass(INTERVAL * 10).await;
        assert_eq!(target.most.load(Ordering::SeqCst), most);
        assert_eq!(seen.keys().len(), 40, "everyone had a turn");
        assert!(prober.work().late.load(Ordering::Relaxed) > 0 || apart);
        assert!(prober.work().probes.load(Ordering::Relaxed) >= 40);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_times() {
    let times = async |seed| {
        let (target, seen) = (quick(), Seen::with(Pace::Steady));
        let mut prober = prober(&target, &seen, seed);
        prober.update(&[check(1, true)], LIMITS);
        pass(INTERVAL * 5).await;
        seen.times("m@1").iter().map(Duration::as_millis).collect::<Vec<_>>()
    };
    assert_eq!(times(7).await, times(7).await);
    assert_ne!(times(7).await, times(8).await);
}

#[tokio::test(start_paused = true)]
async fn an_update_leaves_what_is_the_same_undisturbed() {
    let (target, seen, undisturbed) = (quick(), Seen::with(Pace::Steady), Seen::with(Pace::Steady));
    let mut prober_a = prober(&target, &seen, 9);
    let mut prober_b = prober(&target, &undisturbed, 9);
    prober_a.update(&[check(1, true), check(2, true)], LIMITS);
    prober_b.update(&[check(1, true), check(2, true)], LIMITS);
    prober_b.update(&[check(1, true)], LIMITS);
    for round in 0..20u8 {
        pass(Duration::from_millis(2_345)).await;
        prober_a.update(&[check(3 + round, true), check(1, true)], LIMITS);
    }
    let millis = |seen: &Seen| {
        let times = seen.times("m@1");
        times.iter().map(|at| at.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(millis(&seen), millis(&undisturbed));
    let ended = seen.times("m@2").len();
    assert!(ended <= 2, "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_and_a_new_limit_begin_anew() {
    let (target, seen) = (quick(), Seen::with(Pace::Steady));
    let mut prober = prober(&target, &seen, 10);
    prober.update(&[check(1, true)], LIMITS);
    pass(INTERVAL * 2).await;
    let interval = Duration::from_secs(1);
    let changed = Check { monitor: Arc::new(Monitor { interval, ..monitor() }), ..check(1, true) };
    prober.update(std::slice::from_ref(&changed), LIMITS);
    let before = seen.times("m@1").len();
    pass(INTERVAL).await;
    assert!(seen.times("m@1").len() >= before + 8);
    prober.update(&[changed], Limits { concurrency: 1, per_host: 1 });
    let before = seen.times("m@1").len();
    pass(INTERVAL).await;
    assert!((8..=12).contains(&(seen.times("m@1").len() - before)), "one task, not two");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_prober_asks_nobody() {
    let (target, seen) = (quick(), Seen::with(Pace::Steady));
    let mut prober = prober(&target, &seen, 11);
    prober.update(&[check(1, true)], LIMITS);
    pass(INTERVAL * 2).await;
    drop(prober);
    pass(Duration::ZERO).await;
    let before = seen.times("m@1").len();
    pass(INTERVAL * 5).await;
    assert_eq!(seen.times("m@1").len(), before);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_long_is_asked_less_often() {
    let target = Target::new(Duration::from_millis(1), Err(Reason::Refused));
    let seen = Seen::with(Pace::Steady);
    let mut prober = prober(&target, &seen, 5);
    let slow_interval = INTERVAL * 6;
    let slow =
        Check { monitor: Arc::new(Monitor { slow_interval, ..monitor() }), ..check(1, true) };
    prober.update(&[slow, check(2, true)], LIMITS);
    pass(INTERVAL * 100).await;
    let pauses = |key: &str| -> Vec<Duration> {
        seen.times(key).windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let slowed = pauses("m@1");
    assert!(slowed[0] < INTERVAL * 2, "it has only begun to fail: {slowed:?}");
    let last = *slowed.last().expect("probes");
    assert!(last > slow_interval.mul_f64(0.89) && last < slow_interval.mul_f64(1.11), "{last:?}");
    let even = pauses("m@2");
    assert!(even.iter().all(|pause| *pause < INTERVAL.mul_f64(1.11)), "{even:?}");
}
