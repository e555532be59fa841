//! How long admission took, in its steps and in what is built in.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::histogram::Histogram;
use crate::admission::Operation;
use crate::admission::controllers::Controller;

/// Upper ends of the buckets in seconds, as upstream.
const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// Room for those that look at one object in one step.
const CONTROLLERS: usize = 24;

type Durations = Histogram<{ BUCKETS.len() }>;

/// One of the two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Who may change the object looks at it.
    Admit,
    /// Who may only refuse it does.
    Validate,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

/// What was done to the object, and whether that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Decided {
    operation: &'static str,
    rejected: bool,
    step: Step,
}

/// How long all took.
#[derive(Debug, Default)]
pub(crate) struct Admissions(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    steps: BTreeMap<Decided, Durations>,
    controllers: BTreeMap<(&'static str, Decided), Durations>,
}

impl Counters {
    fn step(&mut self, decided: Decided) -> &mut Durations {
        self.steps.entry(decided).or_insert_with(|| Histogram::new(&BUCKETS))
    }
}

/// A step of the admission of one object.
#[derive(Debug)]
pub(crate) struct Timed<'a> {
    admissions: &'a Admissions,
    step: Step,
    operation: Operation,
    began: Instant,
    /// When the last controller was done.
    last: Instant,
    /// What controllers said, and how long it took them.
    said: Vec<(&'static str, Decided, Duration)>,
}

impl Admissions {
    pub(crate) fn begin(&self, step: Step, operation: Operation) -> Timed<'_> {
        let now = Instant::now();
        Timed { admissions: self, step, operation, began: now, last: now, said: Vec::with_capacity(CONTROLLERS) }
    }

    /// Counts the steps of a write that no controller had to look at.
    pub(crate) fn passed(&self, operation: Operation) {
        let mut counters = self.0.lock();
        for step in [Step::Admit, Step::Validate] {
            let decided = Decided { operation: operation.name(), rejected: false, step };
            counters.step(decided).record(Duration::ZERO);
        }
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let counters = self.0.lock();
        let metric = "apiserver_admission_controller_admission_duration_seconds";
        writeln!(text, "# HELP {metric} Time that a controller of admission took.\n# TYPE {metric} histogram")?;
        for ((name, decided), durations) in &counters.controllers {
            durations.write(text, metric, &format_args!("name=\"{name}\",{decided}"))?;
        }
        let metric = "apiserver_admission_step_admission_duration_seconds";
        writeln!(text, "# HELP {metric} Time that a step of admission took.\n# TYPE {metric} histogram")?;
        for (decided, durations) in &counters.steps {
            durations.write(text, metric, decided)?;
        }
        Ok(())
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, rejected, step } = self;
        write!(formatter, "operation=\"{operation}\",rejected=\"{rejected}\",type=\"{}\"", step.name())
    }
}

impl Timed<'_> {
    fn decided(&self, rejected: bool) -> Decided {
        Decided { operation: self.operation.name(), rejected, step: self.step }
    }

    /// What a controller says, which took the time since the one before it.
    pub(crate) fn of<T, E>(&mut self, controller: &Controller, outcome: Result<T, E>) -> Result<T, E> {
        if controller.handles.contains(&self.operation) {
            let now = Instant::now();
            self.said.push((controller.name, self.decided(outcome.is_err()), now - self.last));
            self.last = now;
        }
        outcome
    }

    /// A controller that refuses nothing is done.
    pub(crate) fn done(&mut self, controller: &Controller) {
        let Ok(()) = self.of(controller, Ok::<_, Infallible>(()));
    }

    /// What comes of the step. All that its controllers said is counted here, under one lock.
    pub(crate) fn end<T, E>(self, outcome: Result<T, E>) -> Result<T, E> {
        let decided = self.decided(outcome.is_err());
        let mut counters = self.admissions.0.lock();
        for (name, decided, took) in self.said {
            counters.controllers.entry((name, decided)).or_insert_with(|| Histogram::new(&BUCKETS)).record(took);
        }
        counters.step(decided).record(self.began.elapsed());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::controllers::LIMIT_RANGER;

    #[test]
    fn steps_and_controllers_are_told_under_upstreams_names() {
        let admissions = Admissions::default();
        let mut timed = admissions.begin(Step::Validate, Operation::Create);
        let outcome = timed.of(&LIMIT_RANGER, Err::<(), _>("no"));
        assert!(timed.end(outcome).is_err());
        // Those are not asked about a deletion.
        let mut timed = admissions.begin(Step::Admit, Operation::Delete);
        let outcome = timed.of(&LIMIT_RANGER, Ok::<_, ()>(()));
        assert!(timed.end(outcome).is_ok());
        admissions.passed(Operation::Update);
        let mut text = String::new();
        admissions.write(&mut text).expect("a text takes everything");
        let counts: Vec<&str> = text.lines().filter(|line| line.contains("_count")).collect();
        expect_test::expect![[r#"
            apiserver_admission_controller_admission_duration_seconds_count{name="LimitRanger",operation="CREATE",rejected="true",type="validate"} 1
            apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="true",type="validate"} 1
            apiserver_admission_step_admission_duration_seconds_count{operation="DELETE",rejected="false",type="admit"} 1
            apiserver_admission_step_admission_duration_seconds_count{operation="UPDATE",rejected="false",type="admit"} 1
            apiserver_admission_step_admission_duration_seconds_count{operation="UPDATE",rejected="false",type="validate"} 1"#]]
        .assert_eq(&counts.join("\n"));
    }
}
