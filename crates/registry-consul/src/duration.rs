//! Durations as Go writes and reads them: `1h2m3.5s`, `100ms`.

use std::time::Duration;

use portolan_base::go;

pub(crate) use portolan_base::go::format_duration as format;

/// Reads a duration that is not negative; the error is worded as Go words it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let nanoseconds = go::parse_duration(text).map_err(|why| format!("time: {why}"))?;
    u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(|_| format!("time: invalid duration {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_negative_or_none_is_refused_in_gos_words() {
        assert_eq!(parse("1.5h"), Ok(Duration::from_secs(5400)));
        for (text, words) in
            [("-1s", "time: invalid duration \"-1s\""), ("10", "time: missing unit in duration \"10\"")]
        {
            assert_eq!(parse(text), Err(words.to_owned()));
        }
    }
}
