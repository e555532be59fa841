//! Whether JSON is written as `serde_json` writes a value of its own: without white space, keys sorted. Such
//! JSON can be passed on as it is.

/// Objects and lists inside each other, as `serde_json` has them.
const DEPTH: usize = 128;

/// Where the value that begins at `start` ends; `None` if it is malformed, or correct but in another form.
pub(super) fn end(text: &[u8], start: usize) -> Option<usize> {
    value(text, start, DEPTH)
}

fn value(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string(text, at).map(|(_, end)| end),
        b'{' => object(text, at, depth.checked_sub(1)?),
        b'[' => list(text, at, depth.checked_sub(1)?),
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'n' => literal(text, at, b"null"),
        _ => number(text, at),
    }
}

fn object(text: &[u8], start: usize, depth: usize) -> Option<usize> {
    let mut at = start + 1;
    if text.get(at)? == &b'}' {
        return Some(at + 1);
    }
    let mut before: Option<&[u8]> = None;
    loop {
        let (key, end) = string(text, at)?;
        if before.is_some_and(|before| !precedes(before, key)) || text.get(end)? != &b':' {
            return None;
        }
        before = Some(key);
        at = end + 1;
        // What a set of fields holds for most of them.
        at = match text.get(at..at + 2)? {
            b"{}" => at + 2,
            _ => value(text, at, depth)?,
        };
        match text.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn list(text: &[u8], start: usize, depth: usize) -> Option<usize> {
    let mut at = start + 1;
    if text.get(at)? == &b']' {
        return Some(at + 1);
    }
    loop {
        at = value(text, at, depth)?;
        match text.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn literal(text: &[u8], start: usize, word: &[u8]) -> Option<usize> {
    text.get(start..)?.starts_with(word).then_some(start + word.len())
}

/// A whole number that is surely written back as it is; all others are left to `serde_json`.
fn number(text: &[u8], start: usize) -> Option<usize> {
    const DIGITS: usize = 18;
    let digits_from = start + usize::from(text.get(start)? == &b'-');
    let rest = text.get(digits_from..)?;
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_plain = match rest.first()? {
        b'0' => count == 1 && digits_from == start,
        _ => (1..=DIGITS).contains(&count),
    };
    let goes_on = matches!(rest.get(count), Some(b'.' | b'e' | b'E'));
    (is_plain && !goes_on).then_some(digits_from + count)
}

/// What stands between the quotes of the string at `start`, and where it ends.
#[inline(always)]
fn string(text: &[u8], start: usize) -> Option<(&[u8], usize)> {
    if text.get(start)? != &b'"' {
        return None;
    }
    let mut at = start + 1;
    loop {
        at = special(text, at)?;
        match text[at] {
            b'"' => return Some((&text[start + 1..at], at + 1)),
            // What may be written in several ways is left to `serde_json`.
            b'\\' if matches!(text.get(at + 1)?, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
            _ => return None,
        }
    }
}

/// Where the first quote, backslash or control character from `start` on stands.
#[inline(always)]
pub(super) fn special(text: &[u8], start: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);
    let mut at = start;
    // Eight at a time: the lowest high bit that is set belongs to the first byte that is less than what was
    // taken away from it.
    while let Some(word) = text.get(at..)?.first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let less = word.wrapping_sub(ONES * 0x20)
            | (word ^ QUOTES).wrapping_sub(ONES)
            | (word ^ BACKSLASHES).wrapping_sub(ONES);
        let found = less & !word & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(at + rest)
}

/// Whether a key comes before another one, by what their escapes mean.
#[inline]
fn precedes(left: &[u8], right: &[u8]) -> bool {
    let same = match (left.first_chunk::<8>(), right.first_chunk::<8>()) {
        (Some(a), Some(b)) if a != b => {
            let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            differing.trailing_zeros() as usize / 8
        }
        _ => left.iter().zip(right).take_while(|(a, b)| a == b).count(),
    };
    let (Some(&a), Some(&b)) = (left.get(same), right.get(same)) else {
        // One begins with the other.
        return left.len() < right.len();
    };
    let backslashes = left[..same].iter().rev().take_while(|byte| **byte == b'\\').count();
    if backslashes % 2 == 1 {
        return meaning(a) < meaning(b);
    }
    let meant = |key: &[u8], byte: u8| match key.get(same + 1) {
        Some(escaped) if byte == b'\\' => meaning(*escaped),
        _ => byte,
    };
    meant(left, a) < meant(right, b)
}

/// What a character behind a backslash means.
fn meaning(escaped: u8) -> u8 {
    match escaped {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}
