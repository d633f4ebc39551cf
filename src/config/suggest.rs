//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to `word`, when it is near enough to be a slip of the fingers: at most
/// one edit per three letters, case apart. The first of equals wins.
pub(super) fn closest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let allowed = word.len().div_ceil(3).min(4);
    let near = candidates.into_iter().filter_map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        let edits = distance(&word, &letters);
        (edits <= allowed && edits < letters.len()).then_some((edits, candidate))
    });
    near.min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// `did you mean 'x'?`, or a list of what would have been right.
pub(super) fn help(word: &str, candidates: &[&str], what: &str) -> Option<String> {
    if let Some(near) = closest(word, candidates.iter().copied()) {
        return Some(format!("did you mean '{near}'?"));
    }
    /// More names than this help nobody.
    const LISTED: usize = 12;
    match candidates.len() {
        0 => None,
        1..=LISTED => Some(format!("{what}: {}", candidates.join(", "))),
        _ => Some(format!("{what}: {}, …", candidates[..LISTED].join(", "))),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other
/// (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &right) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(left != right);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left == b[j - 1] && a[i - 1] == right {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_its_word() {
        let keys = ["policy", "pools", "panic", "ttl", "fence"];
        for (slip, word) in
            [("polcy", "policy"), ("poosl", "pools"), ("tll", "ttl"), ("Fence", "fence")]
        {
            assert_eq!(closest(slip, keys), Some(word));
        }
    }

    #[test]
    fn a_word_far_from_all_has_no_suggestion() {
        assert_eq!(closest("colour", ["policy", "pools", "ttl"]), None);
        assert_eq!(closest("x", ["y"]), None);
    }

    #[test]
    fn where_nothing_is_near_the_choice_is_listed() {
        assert_eq!(
            help("zzz", &["fra", "dub"], "pools here").as_deref(),
            Some("pools here: fra, dub")
        );
        assert_eq!(help("zzz", &[], "pools here"), None);
    }
}
