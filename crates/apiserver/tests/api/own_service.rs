//! The Service by which pods find the API.

use std::time::Duration;

use serde_json::json;

use crate::support::cluster;
use crate::watches::Watch;

#[tokio::test]
async fn the_service_of_the_api_comes_back_with_its_address() {
    let cluster = cluster().await;
    let serving = cluster.serve().await;
    let kept = [
        "/api/v1/namespaces/default/services",
        "/api/v1/namespaces/default/endpoints",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    ];
    for collection in kept {
        let path = format!("{collection}/kubernetes");
        let old = cluster.get(&path).await;
        assert_eq!(old.code, 200, "{old:?}");
        let uid = old.body["metadata"]["uid"].as_str().expect("an identity").to_owned();
        let uri = format!("{collection}?watch=true&fieldSelector=metadata.name=kubernetes");
        let mut watch = Watch::of(&cluster, &uri).await;
        let gone = cluster.delete(&path, json!({})).await;
        assert_eq!(gone.code, 200, "{gone:?}");
        let back = async {
            loop {
                let event = watch.next().await.expect("the watch does not end");
                if event["type"] == "ADDED" && event["object"]["metadata"]["uid"] != uid.as_str() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("in time");
        let new = cluster.get(&path).await;
        for field in ["clusterIP", "ports"] {
            assert_eq!(new.body["spec"][field], old.body["spec"][field], "{collection}");
        }
        for field in ["subsets", "endpoints", "ports"] {
            assert_eq!(new.body[field], old.body[field], "{collection}");
        }
    }
    serving.end().await;
}
