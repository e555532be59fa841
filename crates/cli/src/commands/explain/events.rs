//! Which events of an object explain the state it is in. Pure.

use serde_json::Value;

use crate::commands::describe::count;

/// What lies further back explains how it was, not how it is.
const SHOWN: usize = 8;

/// The events that are shown.
pub(super) struct Newest {
    /// Oldest first; each text once.
    pub(super) shown: Vec<Value>,
    /// How many there are before these.
    pub(super) older: usize,
}

/// The last few of events that are given oldest first. Those that say the same are one, seen as often as all of them.
pub(super) fn newest(events: Vec<Value>) -> Newest {
    let mut shown: Vec<Value> = Vec::new();
    for mut event in events {
        let same = |other: &Value| ["type", "reason", "message"].iter().all(|field| other[*field] == event[*field]);
        if let Some(index) = shown.iter().position(same) {
            let earlier = count(&shown.remove(index));
            event["series"] = serde_json::json!({
                "count": count(&event) + earlier,
                "lastObservedTime": event["series"]["lastObservedTime"],
            });
        }
        shown.push(event);
    }
    let older = shown.len().saturating_sub(SHOWN);
    shown.drain(..older);
    Newest { shown, older }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_few_are_shown_each_text_once() {
        let event =
            |message: &str, count: u64| json!({"type": "Normal", "reason": "R", "message": message, "count": count});
        let mut events: Vec<Value> = vec![event("again", 3)];
        events.extend((0..9).map(|index| event(&index.to_string(), 1)));
        events.push(event("again", 2));
        let newest = newest(events);
        let shown: Vec<String> =
            newest.shown.iter().map(|event| format!("{} x{}", event["message"], count(event))).collect();
        let expected = ["2", "3", "4", "5", "6", "7", "8"].map(|message| format!("\"{message}\" x1"));
        assert_eq!(shown[..7], expected);
        assert_eq!(shown[7], "\"again\" x5");
        assert_eq!(newest.older, 2);
    }
}
