//! Finds the end of an object or list in compact JSON: sixty-four bytes at a time where the processor can.

use super::scan::string_length;

/// The length of the object or list at the start of `bytes`. Most of what is passed is passed here.
pub(super) fn container_length(bytes: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if wide::is_possible() {
        // SAFETY: the processor was asked for what this needs. From text to text there is a branch for each of them.
        return unsafe { wide::container_length(bytes) };
    }
    length_by_texts(bytes)
}

/// The same, from text to text.
fn length_by_texts(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
        match bytes[at] {
            b'"' => {
                at += string_length(&bytes[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            _ => depth = depth.checked_sub(1)?,
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8, _mm256_cmpeq_epi8,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi8,
    };

    /// Bytes that are looked at together: one for each bit of a number.
    const BLOCK: usize = 64;

    /// Whether the processor has what is used here: most of the last ten years have.
    pub(super) fn is_possible() -> bool {
        use std::arch::is_x86_feature_detected as has;
        has!("avx2") && has!("bmi1") && has!("popcnt") && has!("pclmulqdq")
    }

    #[target_feature(enable = "avx2,bmi1,popcnt,pclmulqdq")]
    pub(super) fn container_length(bytes: &[u8]) -> Option<usize> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        let mut nesting = Nesting::default();
        for (index, block) in blocks.iter().enumerate() {
            if let Some(end) = nesting.end_in(&Block::of(block)) {
                return Some(index * BLOCK + end + 1);
            }
        }
        let mut last = [b' '; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        nesting.end_in(&Block::of(&last)).map(|end| blocks.len() * BLOCK + end + 1)
    }

    /// The places of what matters in as many bytes: a bit for each byte, the lowest for the first.
    struct Block {
        quotes: u64,
        backslashes: u64,
        begins: u64,
        ends: u64,
    }

    impl Block {
        #[target_feature(enable = "avx2")]
        fn of(bytes: &[u8; BLOCK]) -> Self {
            let (words, _) = bytes.as_chunks::<8>();
            let word = |place: usize| i64::from_le_bytes(words[place]);
            let low = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
            let high = _mm256_set_epi64x(word(7), word(6), word(5), word(4));
            // Brackets and braces differ in one bit.
            let bit = _mm256_set1_epi8((b'{' ^ b'[').cast_signed());
            let folded = (_mm256_or_si256(low, bit), _mm256_or_si256(high, bit));
            Self {
                quotes: places((low, high), b'"'),
                backslashes: places((low, high), b'\\'),
                begins: places(folded, b'{'),
                ends: places(folded, b'}'),
            }
        }
    }

    /// Where a byte stands.
    #[target_feature(enable = "avx2")]
    fn places((low, high): (__m256i, __m256i), byte: u8) -> u64 {
        let wanted = _mm256_set1_epi8(byte.cast_signed());
        let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)).cast_unsigned();
        let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)).cast_unsigned();
        u64::from(high) << 32 | u64::from(low)
    }

    /// Where a scan stands between two blocks.
    #[derive(Default)]
    struct Nesting {
        /// Objects and lists that were begun and not ended.
        depth: u32,
        /// All bits, if the next byte is inside of a text; else none.
        in_text: u64,
        /// One, if the next byte is escaped.
        escaped: u64,
    }

    impl Nesting {
        /// The place in a block at which what was begun first ends.
        #[target_feature(enable = "bmi1,popcnt,pclmulqdq")]
        fn end_in(&mut self, block: &Block) -> Option<usize> {
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
        #[inline]
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

        /// The bytes of texts, from the quotes that these begin with to before those that they end with: each bit is
        /// the sum of those up to it, which is what multiplying by ones without carrying gives.
        #[target_feature(enable = "pclmulqdq")]
        fn inside(&mut self, quotes: u64) -> u64 {
            let sums = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, quotes.cast_signed()), _mm_set1_epi8(-1));
            let inside = _mm_cvtsi128_si64(sums).cast_unsigned() ^ self.in_text;
            self.in_text = if inside >> (BLOCK - 1) == 1 { u64::MAX } else { 0 };
            inside
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{container_length, length_by_texts};

    /// What both ways find.
    fn end_of(bytes: &[u8]) -> Option<usize> {
        let found = container_length(bytes);
        assert_eq!(found, length_by_texts(bytes));
        found
    }

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
                        assert_eq!(end_of(whole.as_bytes()), Some(encoded.len()), "{whole}");
                    }
                    assert_eq!(end_of(&encoded.as_bytes()[..encoded.len() - 1]), None, "{encoded}");
                }
            }
        }
    }

    #[test]
    fn what_is_deep_ends_with_the_last_brace() {
        for depth in [1, 63, 64, 65, 127, 128, 500] {
            let list = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(end_of(format!("{list}]").as_bytes()), Some(list.len()));
            let value = (0..depth.min(100)).fold(json!("}"), |inner, _| Value::Array(vec![inner]));
            assert_eq!(end_of(value.to_string().as_bytes()), Some(value.to_string().len()));
        }
    }
}
