//! SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) over a known number
//! of words, which is all that DNS cookies need: unrolled, without memory of its own.

/// A secret of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u64; 2]);

impl std::fmt::Debug for Key {
    /// A secret is never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl Key {
    /// The key of these octets, in the order the paper reads them.
    pub const fn new(octets: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(octets);
        Self([both as u64, (both >> 64) as u64])
    }

    /// A key made of two hashes.
    pub(crate) const fn of_hashes(hashes: [u64; 2]) -> Self {
        Self(hashes)
    }

    /// The hash of a message of `N - 1` whole words, little-endian, and `last`: the octets that
    /// are left over, at most seven, with the message's length in its top octet.
    #[inline]
    pub fn hash<const N: usize>(&self, words: [u64; N], last: u64) -> u64 {
        let Self([k0, k1]) = *self;
        let mut state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        for word in words {
            state = absorb(state, word);
        }
        state = absorb(state, last);
        state[2] ^= 0xff;
        for _ in 0..4 {
            state = round(state);
        }
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

#[inline]
const fn absorb(mut state: [u64; 4], word: u64) -> [u64; 4] {
    state[3] ^= word;
    state = round(round(state));
    state[0] ^= word;
    state
}

#[inline]
const fn round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v1 = v1.rotate_left(13) ^ v0;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v3);
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.wrapping_add(v3);
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.wrapping_add(v1);
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the paper's reference program: key and message are 0, 1, 2, …
    #[test]
    fn the_vectors_of_the_reference_program() {
        let key = Key::new(std::array::from_fn(|at| at as u8));
        let word = |at: u64| u64::from_le_bytes(std::array::from_fn(|i| at as u8 * 8 + i as u8));
        assert_eq!(key.hash([], 0), 0x726f_db47_dd0e_0e31);
        assert_eq!(key.hash([], 1 << 56), 0x74f8_39c5_93dc_67fd);
        assert_eq!(key.hash([word(0)], 8 << 56), 0x93f5_f579_9a93_2462);
        let rest = word(1) & 0x00ff_ffff_ffff_ffff;
        assert_eq!(key.hash([word(0)], 15 << 56 | rest), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new([7; 16])), "Key(secret)");
    }
}
