//! Finds the end of an object or list in compact JSON, sixty-four bytes at a time.

/// Bytes that are looked at together: one for each bit of a number.
pub(super) const BLOCK: usize = 64;

/// The places of what matters in as many bytes: a bit for each byte, the lowest for the first.
#[derive(Debug)]
pub(super) struct Block {
    quotes: u64,
    backslashes: u64,
    begins: u64,
    ends: u64,
}

/// Where a scan stands between two blocks.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// Objects and lists that were begun and not ended.
    depth: u32,
    /// All bits, if the next byte is inside of a text; else none.
    in_text: u64,
    /// One, if the next byte is escaped.
    escaped: u64,
}

impl Nesting {
    /// The place in a block at which what was begun first ends.
    pub(super) fn end_in(&mut self, block: &Block) -> Option<usize> {
        let escaped = self.escaped(block.backslashes);
        let inside = self.inside(block.quotes & !escaped);
        let (begins, ends) = (block.begins & !inside, block.ends & !inside);
        let (begun, ended) = (begins.count_ones(), ends.count_ones());
        if ended >= self.depth {
            let mut left = ends;
            for before in 1..=ended {
                let end = left & left.wrapping_neg();
                if self.depth + (begins & (end - 1)).count_ones() == before {
                    return Some(end.trailing_zeros() as usize);
                }
                left ^= end;
            }
        }
        self.depth = self.depth + begun - ended;
        None
    }

    /// The bytes that a backslash stands before.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let mut escaped = std::mem::take(&mut self.escaped);
        let mut left = backslashes & !escaped;
        while left != 0 {
            let backslash = left & left.wrapping_neg();
            let next = backslash << 1;
            if next == 0 {
                self.escaped = 1;
            }
            escaped |= next;
            left &= !(backslash | next);
        }
        escaped
    }

    /// The bytes of texts, from the quotes that these begin with to before those that they end with.
    fn inside(&mut self, quotes: u64) -> u64 {
        let mut inside = quotes;
        for distance in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << distance;
        }
        inside ^= self.in_text;
        self.in_text = if inside >> (BLOCK - 1) == 1 { u64::MAX } else { 0 };
        inside
    }
}

impl Block {
    #[cfg(target_arch = "x86_64")]
    pub(super) fn of(bytes: &[u8; BLOCK]) -> Self {
        // SAFETY: every processor of this architecture has what is compared with. Without it a block costs more than
        // what stands in it, byte by byte.
        unsafe { Self::compared(bytes) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn of(bytes: &[u8; BLOCK]) -> Self {
        let places = |is_wanted: fn(u8) -> bool| {
            bytes.iter().rev().fold(0, |places, byte| places << 1 | u64::from(is_wanted(*byte)))
        };
        Self {
            quotes: places(|byte| byte == b'"'),
            backslashes: places(|byte| byte == b'\\'),
            begins: places(|byte| matches!(byte, b'{' | b'[')),
            ends: places(|byte| matches!(byte, b'}' | b']')),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    fn compared(bytes: &[u8; BLOCK]) -> Self {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        };
        let (words, _) = bytes.as_chunks::<8>();
        let word = |place: usize| i64::from_le_bytes(words[place]);
        let parts = [0, 2, 4, 6].map(|place| _mm_set_epi64x(word(place + 1), word(place)));
        let places = |parts: [__m128i; 4], byte: u8| {
            let wanted = _mm_set1_epi8(byte.cast_signed());
            let found = parts.map(|part| _mm_movemask_epi8(_mm_cmpeq_epi8(part, wanted)).cast_unsigned());
            found.iter().rev().fold(0, |places, found| places << 16 | u64::from(*found))
        };
        // Brackets and braces differ in one bit.
        let folded = parts.map(|part| _mm_or_si128(part, _mm_set1_epi8((b'{' ^ b'[').cast_signed())));
        Self {
            quotes: places(parts, b'"'),
            backslashes: places(parts, b'\\'),
            begins: places(folded, b'{'),
            ends: places(folded, b'}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::encoded::value_length;

    #[test]
    fn an_object_ends_where_it_ends_wherever_it_stands_in_a_block() {
        let texts = ["", "\"", "\\", "\\\"", "}]", "\\}", "{\"a\":[", "\\\\\\"];
        for length in 0..140 {
            for text in texts {
                for filled in [format!("{}{text}", "x".repeat(length)), format!("{text}{}", "\\".repeat(length))] {
                    let object = json!({"a": [1, {"b": [filled, {}]}, []], (filled.clone()): {"c": null}});
                    let encoded = object.to_string();
                    for tail in ["", "}", "]}\"", ",\"}{"] {
                        let whole = format!("{encoded}{tail}");
                        assert_eq!(value_length(whole.as_bytes()), Some(encoded.len()), "{whole}");
                    }
                    assert_eq!(value_length(&encoded.as_bytes()[..encoded.len() - 1]), None, "{encoded}");
                }
            }
        }
    }

    #[test]
    fn what_is_deep_ends_with_the_last_brace() {
        for depth in [1, 63, 64, 65, 127, 128, 500] {
            let list = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(value_length(format!("{list}]").as_bytes()), Some(list.len()));
            let value = (0..depth.min(100)).fold(json!("}"), |inner, _| Value::Array(vec![inner]));
            assert_eq!(value_length(value.to_string().as_bytes()), Some(value.to_string().len()));
        }
    }
}
