use std::time::Duration;

use super::*;
use crate::params::ListParams;
use crate::testing::FakeServer;

fn pod() -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: Some("n".to_owned()),
        name: Some("p".to_owned()),
        ..ObjectReference::default()
    }
}

/// Reason and words, who reports, both counts, and which times there are.
async fn written(client: &Client) -> Vec<String> {
    let list = client.list::<Event>("n", &ListParams::default()).await.expect("listed");
    let tell = |event: &Event| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let series = event.series.as_ref().and_then(|series| series.count);
        let times = [event.first_timestamp.is_some(), event.event_time.is_some(), event.source.is_some()];
        let by = [text(&event.reporting_component), text(&event.reporting_instance), text(&event.action)];
        let counts = [event.count, series];
        format!("{} {} by {by:?}, {counts:?}, {times:?}", text(&event.reason), text(&event.message))
    };
    let mut told: Vec<String> = list.items.iter().map(tell).collect();
    told.sort();
    told
}

#[tokio::test]
async fn both_forms_of_events_say_who_reports_and_count() {
    let server = FakeServer::default();
    let client = server.client();
    let (sender, receiver) = mpsc::channel(QUEUE);
    for message in ["a", "a", "b"] {
        for (reason, action) in [("Old", None), ("New", Some("Binding"))] {
            let (event_type, reason, message) = (EventType::Normal, reason.to_owned(), message.to_owned());
            sender.send(Occurrence { object: pod(), event_type, reason, action, message }).await.expect("room");
        }
    }
    drop(sender);
    let source = EventSource { component: Some("scheduler".to_owned()), host: Some("h".to_owned()) };
    Writer::new(client.clone(), source, Arc::new(SystemClock)).run(receiver).await;
    assert_eq!(
        written(&client).await,
        [
            r#"New a by ["scheduler", "scheduler-h", "Binding"], [None, Some(2)], [false, true, false]"#,
            r#"Old a by ["scheduler", "h", ""], [Some(2), None], [true, false, true]"#,
            r#"Old b by ["scheduler", "h", ""], [Some(1), None], [true, false, true]"#,
        ]
    );
    assert_eq!(shortened(&"é".repeat(600)).len(), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_series_is_written_at_its_second_event_after_a_while_and_when_it_ends() {
    let server = FakeServer::default();
    let client = server.client();
    let recorder = EventRecorder::new(client.clone(), "scheduler", "h");
    let happens = async |times: usize, pause: u64| {
        for _ in 0..times {
            recorder.acted(&pod(), EventType::Warning, "FailedScheduling", "Scheduling", "why");
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        let list = client.list::<Event>("n", &ListParams::default()).await.expect("listed");
        list.items.iter().map(|event| event.series.as_ref().and_then(|series| series.count)).collect::<Vec<_>>()
    };
    assert_eq!(happens(1, 1).await, [None]);
    assert_eq!(happens(1, 1).await, [Some(2)]);
    assert_eq!(happens(3, 1).await, [Some(2)], "counted, not written");
    assert_eq!(happens(40, 60).await, [Some(41)], "the series goes on for forty minutes");
    assert_eq!(happens(0, 0).await, [Some(41)]);
    tokio::time::sleep(Duration::from_secs(800)).await;
    assert_eq!(happens(0, 0).await, [Some(45)], "it has ended");
    let mut two = happens(1, 1).await;
    two.sort();
    assert_eq!(two, [None, Some(45)], "another one");
}
