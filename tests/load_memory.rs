//! Loading takes memory for the file, the zone and little else, however many records there are.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use meridian::diagnostics::{Source, render};
use meridian::wire::name::Name;
use meridian::zone::hash::HashKey;
use meridian::zone::load::load;

/// Octets held at this moment, and the most there were.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Weighing;

fn more(octets: usize) {
    let held = HELD.fetch_add(octets, Ordering::Relaxed) + octets;
    MOST.fetch_max(held, Ordering::Relaxed);
}

fn less(octets: usize) {
    HELD.fetch_sub(octets, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large pieces, which are all that matters here, grow without being copied.
        more(size.saturating_sub(layout.size()));
        less(layout.size().saturating_sub(size));
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Weighing = Weighing;

const RECORDS: usize = 1_000_000;
/// What the whole process may have, the file included.
const MOST_MIB: usize = 120;
/// The same where each record has something wrong with it.
const STRANGE_MIB: usize = 300;

fn zone(line: impl Fn(usize) -> String) -> Arc<Source> {
    let head = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";
    let mut text = head.to_owned();
    for number in 0..RECORDS - 3 {
        let _ = writeln!(text, "{}", line(number));
    }
    text.shrink_to_fit();
    Arc::new(Source { path: "example.org.zone".into(), text: text.into_bytes() })
}

/// Loads it; returns how many records there are, what was told, and the most octets held.
fn weigh(source: &Arc<Source>) -> (usize, String, usize) {
    let origin: Name = "example.org".parse().expect("a name");
    let open = |_: &Path| unreachable!("nothing is included");
    MOST.store(HELD.load(Ordering::Relaxed), Ordering::Relaxed);
    let (zone, faults) = load(source, &origin, &[], HashKey::random(), &open);
    (zone.record_count(), render(&faults), MOST.load(Ordering::Relaxed))
}

// One test, since what one holds another would weigh.
#[test]
fn a_million_records_are_loaded_in_bounded_memory() {
    let address = |number: usize| format!("203.0.{}.{}", number >> 8 & 255, number & 255);
    let sound = zone(|number| format!("host-{number} A {}", address(number)));
    let (records, told, most) = weigh(&sound);
    assert_eq!((records, told.as_str()), (RECORDS, ""));
    assert!(most < MOST_MIB << 20, "{} MiB", most >> 20);
    drop(sound);

    // Each has something wrong with it, so all are read twice, and kept as they are written.
    let strange = zone(|number| format!("host_{number} A {}", address(number)));
    let (records, told, most) = weigh(&strange);
    assert_eq!(records, RECORDS);
    assert!(told.contains("more warnings of this zone are not told"), "{told}");
    assert!(most < STRANGE_MIB << 20, "{} MiB", most >> 20);
}
