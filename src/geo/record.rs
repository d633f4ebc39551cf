//! The records of an mmdb file: of each, the values asked for and nothing else.
//!
//! MaxMind DB File Format Specification 2.0, "Output Data Section". A record is a map of maps,
//! lists, texts and numbers, much of it kept elsewhere and pointed at. One pass over a record
//! finds all that is wanted of it and steps over the rest; nothing is copied. Knows nothing of
//! what the values mean.

/// The types of values we look into, by their numbers in the specification.
const POINTER: u8 = 1;
const TEXT: u8 = 2;
const DOUBLE: u8 = 3;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const INT32: u8 = 8;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;
const BOOLEAN: u8 = 14;
const FLOAT: u8 = 15;

/// More values than any record has: damage must not keep us for long.
const VALUES_MAX: usize = 100_000;

/// One step into a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map, at this key.
    Key(&'static str),
    /// Into a list, at its first value.
    First,
}

/// The way from a record to one of its values.
pub(crate) type Path = &'static [Step];

/// A value as written; what it means is up to the field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'f> {
    Text(&'f str),
    Number(f64),
}

/// What is wrong with a value. Places count from the start of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It ends behind the section.
    #[error("a value at byte {0} of the data goes past their end")]
    Cut(usize),
    /// A pointer to a pointer, or a key that is no text.
    #[error("a value out of place at byte {0} of the data")]
    Misplaced(usize),
    /// Text is UTF-8.
    #[error("text at byte {0} of the data is not UTF-8")]
    NotUtf8(usize),
    /// A number of more octets than its type has.
    #[error("a number of {1} octets at byte {0} of the data")]
    Number(usize, usize),
    /// No record is that large.
    #[error("too many values in one record at byte {0} of the data")]
    Endless(usize),
}

/// A section of values. Pointers count from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'f>(pub(crate) &'f [u8]);

/// Reads the same values of many records.
#[derive(Debug)]
pub(crate) struct Reader<'f, 'p> {
    values: Values<'f>,
    paths: &'p [Path],
    keys: Vec<KnownKey>,
}

/// A key of a map that was compared before: records point at the same few over and over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct KnownKey {
    /// Where the key is kept, the map's level, and the paths that led to the map.
    key: (usize, usize, u32),
    /// Those of the paths that go on along it.
    found: u32,
}

/// Keys that are kept in mind at once; more cost time only.
const KNOWN_KEYS: usize = 256;

/// What comes before a value's content.
#[derive(Debug, Clone, Copy)]
struct Head {
    kind: u8,
    /// Octets of the content, entries of a map or list, or where a pointer points.
    size: usize,
    /// Where the content begins.
    at: usize,
}

impl<'f, 'p> Reader<'f, 'p> {
    /// `paths`: at most 32.
    pub(crate) fn new(values: Values<'f>, paths: &'p [Path]) -> Self {
        Self { values, paths, keys: vec![KnownKey::default(); KNOWN_KEYS] }
    }

    /// Calls `give` for each of the paths that leads from the value at `place` to a text or a
    /// number, with the path's place in the list. In the record's order.
    pub(crate) fn read(
        &mut self,
        place: usize,
        mut give: impl FnMut(usize, Scalar<'f>),
    ) -> Result<(), ValueError> {
        let all = ((1_u64 << self.paths.len()) - 1) as u32;
        let (head, _) = self.values.resolve(place)?;
        self.take(head, 0, all, &mut give)
    }

    /// Gives a value to those of the paths in `open` that end here, and goes on along the others.
    fn take(
        &mut self,
        head: Head,
        level: usize,
        open: u32,
        give: &mut impl FnMut(usize, Scalar<'f>),
    ) -> Result<(), ValueError> {
        match head.kind {
            MAP => self.look_up(head, level, open, give),
            ARRAY => {
                let first = along(self.paths, open, level, |step| step == Step::First);
                if first == 0 || head.size == 0 {
                    return Ok(());
                }
                let (head, _) = self.values.resolve(head.at)?;
                self.take(head, level + 1, first, give)
            }
            _ => {
                let ends = members(open).filter(|path| self.paths[*path].len() == level);
                if let Some(value) = self.values.scalar(head)? {
                    ends.for_each(|path| give(path, value));
                }
                Ok(())
            }
        }
    }

    fn look_up(
        &mut self,
        map: Head,
        level: usize,
        open: u32,
        give: &mut impl FnMut(usize, Scalar<'f>),
    ) -> Result<(), ValueError> {
        if map.size > VALUES_MAX {
            return Err(ValueError::Endless(map.at));
        }
        let mut at = map.at;
        for _ in 0..map.size {
            let (key, value) = self.values.place(at)?;
            let found = self.found(key, level, open)?;
            at = if found == 0 {
                // What a pointer points at is far away: it is not even looked at.
                self.values.behind(self.values.head(value)?)?
            } else {
                let (head, next) = self.values.resolve(value)?;
                self.take(head, level + 1, found, give)?;
                next
            };
        }
        Ok(())
    }

    /// Those of the paths in `open` that go on along a key.
    fn found(&mut self, key: usize, level: usize, open: u32) -> Result<u32, ValueError> {
        let wanted = (key, level, open);
        let slot = (key ^ key >> 8 ^ open as usize ^ level) % KNOWN_KEYS;
        if self.keys[slot].key == wanted {
            return Ok(self.keys[slot].found);
        }
        let head = self.values.head(key)?;
        if head.kind != TEXT {
            return Err(ValueError::Misplaced(key));
        }
        let name = self.values.content(head)?;
        let fits = |step| matches!(step, Step::Key(key) if key.as_bytes() == name);
        let found = along(self.paths, open, level, fits);
        self.keys[slot] = KnownKey { key: wanted, found };
        Ok(found)
    }
}

impl<'f> Values<'f> {
    /// Octets of the section.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Where the value at `at` is kept, here or where a pointer points; and where the next begins.
    #[inline]
    fn place(&self, at: usize) -> Result<(usize, usize), ValueError> {
        let head = self.head(at)?;
        let kept = if head.kind == POINTER { head.size } else { at };
        Ok((kept, self.behind(head)?))
    }

    /// The value at `at`, or the one a pointer there points at; and where the next begins.
    #[inline]
    fn resolve(&self, at: usize) -> Result<(Head, usize), ValueError> {
        let head = self.head(at)?;
        let next = self.behind(head)?;
        if head.kind != POINTER {
            return Ok((head, next));
        }
        let target = self.head(head.size)?;
        if target.kind == POINTER { Err(ValueError::Misplaced(at)) } else { Ok((target, next)) }
    }

    /// Where the value after this one begins.
    #[inline]
    fn behind(&self, head: Head) -> Result<usize, ValueError> {
        match head.kind {
            POINTER | BOOLEAN => Ok(head.at),
            MAP => self.skip(head.at, 2 * head.size),
            ARRAY => self.skip(head.at, head.size),
            _ => Ok(head.at + head.size),
        }
    }

    /// Where the value after the next `left` ones begins.
    fn skip(&self, mut at: usize, mut left: usize) -> Result<usize, ValueError> {
        for _ in 0..VALUES_MAX {
            if left == 0 {
                return Ok(at);
            }
            let head = self.head(at)?;
            left -= 1;
            at = head.at;
            match head.kind {
                POINTER | BOOLEAN => {}
                MAP => left += 2 * head.size,
                ARRAY => left += head.size,
                _ => at += head.size,
            }
        }
        Err(ValueError::Endless(at))
    }

    fn scalar(&self, head: Head) -> Result<Option<Scalar<'f>>, ValueError> {
        let content = match head.kind {
            TEXT | DOUBLE | UINT16 | UINT32 | INT32 | UINT64 | FLOAT => self.content(head)?,
            _ => return Ok(None),
        };
        let odd = ValueError::Number(head.at, head.size);
        let value = match head.kind {
            TEXT => {
                let text = std::str::from_utf8(content);
                return Ok(Some(Scalar::Text(text.map_err(|_| ValueError::NotUtf8(head.at))?)));
            }
            DOUBLE => f64::from_be_bytes(content.try_into().map_err(|_| odd)?),
            FLOAT => f64::from(f32::from_be_bytes(content.try_into().map_err(|_| odd)?)),
            // Shorter ones have no sign.
            INT32 if content.len() == 4 => f64::from(number(content) as i32),
            _ if content.len() > 8 => return Err(odd),
            _ => number(content) as f64,
        };
        Ok(Some(Scalar::Number(value)))
    }

    fn content(&self, head: Head) -> Result<&'f [u8], ValueError> {
        self.0.get(head.at..head.at + head.size).ok_or(ValueError::Cut(head.at))
    }

    #[inline]
    fn head(&self, at: usize) -> Result<Head, ValueError> {
        let [control] = self.octets(at)?;
        let (kind, small) = (control >> 5, usize::from(control & 31));
        match kind {
            POINTER => return self.pointer(small, at + 1),
            0 => return self.extended(small, at + 1),
            _ => {}
        }
        let (size, at) = self.size(small, at + 1)?;
        Ok(Head { kind, size, at })
    }

    fn extended(&self, small: usize, at: usize) -> Result<Head, ValueError> {
        let [kind] = self.octets(at)?;
        let (size, at) = self.size(small, at + 1)?;
        Ok(Head { kind: kind.saturating_add(7), size, at })
    }

    /// A size from its first five bits, and where the content begins.
    #[inline]
    fn size(&self, small: usize, at: usize) -> Result<(usize, usize), ValueError> {
        Ok(match small {
            29 => (29 + number(&self.octets::<1>(at)?), at + 1),
            30 => (285 + number(&self.octets::<2>(at)?), at + 2),
            31 => (65_821 + number(&self.octets::<3>(at)?), at + 3),
            size => (size, at),
        })
    }

    /// A pointer from the last five bits of its first octet: two tell how long it is.
    #[inline]
    fn pointer(&self, small: usize, at: usize) -> Result<Head, ValueError> {
        let high = small & 7;
        let (size, at) = match small >> 3 {
            0 => (high << 8 | number(&self.octets::<1>(at)?), at + 1),
            1 => ((high << 16 | number(&self.octets::<2>(at)?)) + 2_048, at + 2),
            2 => ((high << 24 | number(&self.octets::<3>(at)?)) + 526_336, at + 3),
            _ => (number(&self.octets::<4>(at)?), at + 4),
        };
        Ok(Head { kind: POINTER, size, at })
    }

    #[inline]
    fn octets<const N: usize>(&self, at: usize) -> Result<[u8; N], ValueError> {
        let octets = self.0.get(at..).and_then(<[u8]>::first_chunk);
        octets.copied().ok_or(ValueError::Cut(at))
    }
}

/// Those of the paths in `open` whose next step `fits`.
fn along(paths: &[Path], open: u32, level: usize, fits: impl Fn(Step) -> bool) -> u32 {
    let goes_on = |&path: &usize| paths[path].get(level).is_some_and(|step| fits(*step));
    members(open).filter(goes_on).fold(0, |found, path| found | 1 << path)
}

/// The numbers in a set, ascending.
fn members(mut set: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let member = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(member)
    })
}

/// Octets as a number, the highest first; at most eight count.
#[inline]
fn number(octets: &[u8]) -> usize {
    octets.iter().fold(0, |number, octet| number << 8 | usize::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[Path] =
        &[&[Step::Key("a")], &[Step::Key("b"), Step::First, Step::Key("c")], &[Step::Key("d")]];

    fn read(section: &[u8], place: usize) -> Result<Vec<(usize, Scalar<'_>)>, ValueError> {
        let mut found = Vec::new();
        Reader::new(Values(section), PATHS).read(place, |path, value| found.push((path, value)))?;
        Ok(found)
    }

    #[test]
    fn values_are_found_through_lists_and_pointers() {
        // "A" at 0; at 2 a map: "d" -> pointer to 0, "b" -> [{"c": 258}], "a" -> -1.
        let mut section = b"\x41A\xe3\x41d\x20\x00\x41b\x01\x04\xe1\x41c\xa2\x01\x02".to_vec();
        section.extend(b"\x41a\x04\x01\xff\xff\xff\xff");
        let found = [(2, Scalar::Text("A")), (1, Scalar::Number(258.0)), (0, Scalar::Number(-1.0))];
        assert_eq!(read(&section, 2).unwrap(), found);
        for end in 2..section.len() {
            assert!(read(&section[..end], 2).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_stepped_over() {
        // "x" -> {"a": 1}, "y" -> [true, [1]], "d" -> 2.5 as a float, "a" -> true.
        let section = b"\xe4\x41x\xe1\x41a\xa1\x01\x41y\x02\x04\x01\x07\x01\x04\xa1\x01\
                        \x41d\x04\x08\x40\x20\x00\x00\x41a\x01\x07";
        assert_eq!(read(section, 0).unwrap(), [(2, Scalar::Number(2.5))]);
    }

    #[test]
    fn damage_is_an_error() {
        // A pointer to itself, a key that is a number, text that is not UTF-8, nine octets.
        assert_eq!(read(b"\x20\x00", 0), Err(ValueError::Misplaced(0)));
        assert_eq!(read(b"\xe1\xa1\x01\xa1\x01", 0), Err(ValueError::Misplaced(1)));
        assert_eq!(read(b"\xe1\x41a\x41\xff", 0), Err(ValueError::NotUtf8(4)));
        assert_eq!(read(b"\xe1\x41a\xa9123456789", 0), Err(ValueError::Number(4, 9)));
        // A map of 16 million entries.
        assert!(read(b"\xff\xff\xff\xff", 0).is_err());
    }
}
