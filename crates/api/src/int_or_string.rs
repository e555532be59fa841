//! Fields that hold a number or a text, such as ports and `maxSurge`.

use serde_json::Value;

/// How a percentage becomes a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// The number that `value` stands for: itself, or that many percent of `total`.
///
/// `None` if it is neither a number nor a percentage.
pub fn scaled(value: &Value, total: i64, round: Round) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent = percent(value)?;
    let exact = i128::from(percent) * i128::from(total);
    let scaled = match round {
        Round::Down => exact / 100,
        Round::Up => exact.div_euclid(100) + i128::from(exact.rem_euclid(100) != 0),
    };
    i64::try_from(scaled).ok()
}

/// The number before the percent sign of a text such as `25%`.
pub fn percent(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scales_numbers_and_percentages() {
        let cases = [
            (json!(3), Round::Up, Some(3)),
            (json!("25%"), Round::Up, Some(3)),
            (json!("25%"), Round::Down, Some(2)),
            (json!("0%"), Round::Up, Some(0)),
            (json!("x%"), Round::Up, None),
            (json!("25"), Round::Up, None),
            (json!(true), Round::Up, None),
        ];
        for (value, round, expected) in cases {
            assert_eq!(scaled(&value, 10, round), expected, "{value}");
        }
    }
}
