//! When a service that failed is asked again.
//!
//! Source: `k8s.io/apiserver/pkg/util/webhook` (`DefaultRetryBackoffWithInitialDelay`, `DefaultShouldRetry`).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use portolan_base::Backoff;

/// How often it is asked in all.
const TRIES: u32 = 5;

/// By how much each pause is longer than the one before.
const GROWTH: f64 = 1.5;

/// By how much of itself a pause may be longer, so that servers that failed together do not come back together.
const JITTER: f64 = 0.2;

/// The tries at one question.
#[derive(Debug)]
pub(crate) struct Tries {
    left: u32,
    pauses: Backoff,
}

impl Tries {
    /// Pause of the webhooks that say who somebody is and what they may do.
    pub(crate) const OF_ACCESS: Duration = Duration::from_millis(500);

    /// `first`: the first pause.
    pub(crate) fn new(first: Duration) -> Self {
        Self { left: TRIES, pauses: Backoff::new(first, Duration::MAX).growing(GROWTH) }
    }

    /// Tries until it works, or fails in a way that does not pass, or was tried often enough.
    pub(crate) async fn run<T, E, F>(
        mut self,
        mut attempt: impl FnMut() -> F,
        is_passing: impl Fn(&E) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let outcome = attempt().await;
            let pause = match &outcome {
                Err(error) if is_passing(error) => self.next_pause(),
                _ => None,
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return outcome,
            }
        }
    }

    /// After a try that failed: how long to wait for the next one, or nothing if that was the last.
    fn next_pause(&mut self) -> Option<Duration> {
        self.left = self.left.saturating_sub(1);
        (self.left > 0).then(|| self.pauses.lengthened(JITTER))
    }
}

/// Whether an answer says that the next one may be different.
pub(super) fn is_passing(code: StatusCode, headers: &HeaderMap) -> bool {
    // Who says when to come back wants it.
    let comes_back = headers.get(header::RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse::<u32>().ok());
    comes_back.is_some_and(|seconds| seconds > 0)
        || matches!(
            code,
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Whether a connection was cut, as by a service that is being replaced. One that cannot be made is no such case.
pub(super) fn is_cut(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let io = error.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_five_tries_with_growing_pauses() {
        let mut tries = Tries::new(Tries::OF_ACCESS);
        for least in [500.0, 750.0, 1125.0, 1687.5] {
            let pause = tries.next_pause().expect("another try").as_secs_f64() * 1000.0;
            assert!((least - 0.1..=least * 1.2 + 0.1).contains(&pause), "{least}: {pause}");
        }
        assert_eq!(tries.next_pause(), None);
        assert_eq!(tries.next_pause(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_tried_again() {
        for (outcomes, expected, count) in [
            (&[Ok(1)][..], Ok(1), 1),
            (&[Err("passes"), Ok(2)], Ok(2), 2),
            (&[Err("passes"), Err("stays"), Ok(3)], Err("stays"), 2),
            (&[Err("passes"); 9], Err("passes"), 5),
        ] {
            let mut left = outcomes.iter();
            let attempt = || std::future::ready(*left.next().expect("another outcome"));
            let found = Tries::new(Tries::OF_ACCESS).run(attempt, |error| *error == "passes").await;
            assert_eq!((found, outcomes.len() - left.len()), (expected, count));
        }
    }

    #[test]
    fn answers_that_pass_are_told_from_those_that_stay() {
        for (code, after, expected) in [
            (500, None, true),
            (504, None, true),
            (429, None, true),
            (429, Some("1"), true),
            (503, None, false),
            (503, Some("1"), true),
            (503, Some("0"), false),
            (503, Some("soon"), false),
            (502, None, false),
            (400, None, false),
            (401, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(after.map(|after: &str| (header::RETRY_AFTER, after.parse().expect("a value"))));
            let code = StatusCode::from_u16(code).expect("a code");
            assert_eq!(is_passing(code, &headers), expected, "{code} {after:?}");
        }
    }
}
