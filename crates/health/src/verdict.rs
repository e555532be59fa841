//! From single results to a verdict. Pure.

use portolan_api::typed::{Health, HealthCheck};

/// Counts equal results in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Verdict {
    good: u16,
    bad: u16,
}

impl Verdict {
    /// Takes in a result. Returns the health that is established by now; `None` leaves it as it was.
    pub(crate) fn count(&mut self, check: &HealthCheck, found: Health) -> Option<Health> {
        let limit = |value: i32| u16::try_from(value.max(1)).unwrap_or(u16::MAX);
        if found == Health::Critical {
            (self.good, self.bad) = (0, self.bad.saturating_add(1));
            let critical = limit(check.failures_before_critical);
            let warning =
                if check.failures_before_warning > 0 { limit(check.failures_before_warning) } else { critical };
            return if self.bad >= critical {
                Some(Health::Critical)
            } else {
                (self.bad >= warning).then_some(Health::Warning)
            };
        }
        (self.good, self.bad) = (self.good.saturating_add(1), 0);
        (self.good >= limit(check.success_before_passing)).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_in_a_row_make_a_verdict() {
        use Health::{Critical as C, Passing as P, Warning as W};
        // Successes before passing, failures before warning, before critical; results; verdicts.
        type Case<'a> = ((i32, i32, i32), &'a [Health], &'a [Option<Health>]);
        let cases: [Case<'_>; 5] = [
            ((0, 0, 0), &[C, P, W, C], &[Some(C), Some(P), Some(W), Some(C)]),
            ((2, 0, 3), &[C, C, C, P, P], &[None, None, Some(C), None, Some(P)]),
            ((0, 1, 3), &[C, C, C, C], &[Some(W), Some(W), Some(C), Some(C)]),
            ((0, 2, 3), &[C, C, P, C], &[None, Some(W), Some(P), None]),
            ((2, 0, 0), &[P, W, C, W, W], &[None, Some(W), Some(C), None, Some(W)]),
        ];
        for ((success, warning, critical), results, verdicts) in cases {
            let check = HealthCheck {
                success_before_passing: success,
                failures_before_warning: warning,
                failures_before_critical: critical,
                ..HealthCheck::default()
            };
            let mut verdict = Verdict::default();
            let counted: Vec<_> = results.iter().map(|result| verdict.count(&check, *result)).collect();
            assert_eq!(counted, verdicts, "{success} {warning} {critical}");
        }
    }
}
