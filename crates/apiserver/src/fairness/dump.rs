//! Levels, queues and requests as the CSV of upstream's `/debug/api_priority_and_fairness`.
//!
//! Source: `k8s.io/apiserver/pkg/util/flowcontrol/apf_controller_debug.go`.

use std::fmt::Write as _;
use std::sync::Arc;

use portolan_base::Timestamp;

use super::Fairness;
use super::level::{Figures, Level};
use super::requests::Shown;
use crate::status::Status;

/// Where the levels are shown.
pub(crate) const LEVELS_PATH: &str = "/debug/api_priority_and_fairness/dump_priority_levels";

/// Where their queues are shown.
pub(crate) const QUEUES_PATH: &str = "/debug/api_priority_and_fairness/dump_queues";

/// Where their requests are shown.
pub(crate) const REQUESTS_PATH: &str = "/debug/api_priority_and_fairness/dump_requests";

/// The parameter of a query that asks for [`DETAIL_COLUMNS`] as well, whatever its value.
pub(crate) const DETAILS: &str = "includeRequestDetails";

/// Columns of [`Fairness::dump_levels`].
const LEVEL_COLUMNS: [&str; 10] = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];

/// Columns of [`Fairness::dump_queues`].
const QUEUE_COLUMNS: [&str; 9] = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];

/// Columns of [`Fairness::dump_requests`]; one is misspelt upstream too.
const REQUEST_COLUMNS: [&str; 10] = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
];

/// More columns of [`Fairness::dump_requests`].
const DETAIL_COLUMNS: [&str; 8] =
    ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];

/// When something started that has not: Go's first time.
const NOT_YET: &str = "0001-01-01T00:00:00Z";

/// The narrowest column.
const NARROWEST: usize = 8;

impl Fairness {
    /// All levels.
    pub(crate) async fn dump_levels(&self) -> Result<String, Status> {
        let mut rows = vec![LEVEL_COLUMNS.map(str::to_owned).to_vec()];
        for (name, level) in self.at_work().await? {
            let Figures { running, waiting, active_queues, past, .. } = level.figures();
            let is_idle = running == 0 && waiting == 0;
            rows.push(vec![
                name,
                active_queues.to_string(),
                is_idle.to_string(),
                false.to_string(),
                waiting.to_string(),
                running.to_string(),
                past.dispatched.to_string(),
                past.rejected.to_string(),
                past.timed_out.to_string(),
                past.cancelled.to_string(),
            ]);
        }
        Ok(aligned(&rows))
    }

    /// All queues of all levels.
    ///
    /// A request takes one seat and is charged one unit of its level's time. What runs without having waited belongs
    /// to no queue.
    pub(crate) async fn dump_queues(&self) -> Result<String, Status> {
        let mut rows = vec![QUEUE_COLUMNS.map(str::to_owned).to_vec()];
        for (name, level) in self.at_work().await? {
            for (index, queue) in level.queues().into_iter().enumerate() {
                let (waiting, running) = (queue.waiting.to_string(), queue.running.to_string());
                rows.push(vec![
                    name.clone(),
                    index.to_string(),
                    waiting.clone(),
                    running.clone(),
                    running,
                    format!("{}.00000000ss", queue.start),
                    waiting.clone(),
                    waiting.clone(),
                    format!("{waiting}.00000000ss"),
                ]);
            }
        }
        Ok(aligned(&rows))
    }

    /// All requests that wait or run in a level.
    pub(crate) async fn dump_requests(&self, has_details: bool) -> Result<String, Status> {
        let details = if has_details { &DETAIL_COLUMNS[..] } else { &[] };
        let mut rows = vec![REQUEST_COLUMNS.iter().chain(details).map(|column| (*column).to_owned()).collect()];
        for (name, level) in self.at_work().await? {
            rows.extend(level.requests().into_iter().map(|request| row(&name, request, has_details)));
        }
        Ok(aligned(&rows))
    }

    /// All levels at work, by name.
    async fn at_work(&self) -> Result<Vec<(String, Arc<Level>)>, Status> {
        self.flows.refresh().await?;
        let levels = self.levels(&self.flows.view());
        let mut levels: Vec<_> = levels.by_name.iter().map(|(name, level)| (name.clone(), level.clone())).collect();
        levels.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(levels)
    }
}

fn row(level: &str, request: Shown, has_details: bool) -> Vec<String> {
    let index = |index: Option<usize>| index.map_or_else(|| "-1".to_owned(), |index| index.to_string());
    let time = |time: Timestamp| time.to_string();
    let mut row = vec![
        level.to_owned(),
        request.schema,
        index(request.queue),
        index(request.place),
        request.distinguisher,
        time(request.arrived),
        "1".to_owned(),
        "0".to_owned(),
        "0s".to_owned(),
        request.started.map_or_else(|| NOT_YET.to_owned(), time),
    ];
    if has_details {
        row.extend(request.details);
    }
    row
}

/// Rows of values behind commas, in columns.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len() + 2).max().unwrap_or(0).max(NARROWEST);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (index, (value, width)) in row.iter().zip(&widths).enumerate() {
            let cell = if index + 1 < columns { format!("{value},") } else { value.clone() };
            let width = if index + 1 < columns { *width } else { 0 };
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{cell:<width$}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_columns_behind_commas() {
        let rows = [["Name", "N"], ["catch-all-of-them", "7"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "Name,              N\ncatch-all-of-them, 7\n");
    }
}
