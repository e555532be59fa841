//! Certificates and tokens, from first start to refusal.

use std::sync::Arc;
use std::time::Duration;

use portolan_base::Timestamp;
use portolan_identity::{
    Authority, BoundObject, Claims, Request, TokenIssuer, Usage, client_tls, server_tls, user_of_certificate,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn request(common_name: &str, organization: Option<&str>, usage: Usage) -> Request {
    Request {
        common_name: common_name.into(),
        organization: organization.map(str::to_owned),
        dns_names: vec!["localhost".into()],
        addresses: vec!["127.0.0.1".parse().expect("an address")],
        usage,
        valid_for: Duration::from_secs(3600),
    }
}

fn claims(issued_at: Timestamp) -> Claims {
    Claims {
        namespace: "shop".into(),
        service_account: BoundObject { name: "cart".into(), uid: "u1".into() },
        pod: Some(BoundObject { name: "cart-1".into(), uid: "p1".into() }),
        node: None,
        secret: None,
        audiences: vec!["https://kubernetes.default.svc".into()],
        issued_at,
        expires_at: issued_at + Duration::from_secs(600),
        id: "t1".into(),
    }
}

#[tokio::test]
async fn a_client_certificate_names_user_and_group_across_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Authority::load_or_create(folder.path(), "portolan-ca").expect("made");
    let server = first.issue(&request("server", None, Usage::Server)).expect("issued");
    let again = Authority::load_or_create(folder.path(), "portolan-ca").expect("loaded");
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    let client = again.issue(&request("admin", Some("system:masters"), Usage::Client)).expect("issued");

    let acceptor = tokio_rustls::TlsAcceptor::from(server_tls(&server, again.certificate_pem()).expect("server TLS"));
    let connector =
        tokio_rustls::TlsConnector::from(client_tls(first.certificate_pem(), Some(&client)).expect("client TLS"));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move {
        let mut stream = acceptor.accept(far).await.expect("handshake");
        let der = stream.get_ref().1.peer_certificates().expect("a client certificate")[0].clone();
        stream.write_all(b"x").await.expect("written");
        stream.shutdown().await.expect("closed");
        der
    });
    let name = "localhost".try_into().expect("a name");
    let mut stream = connector.connect(name, near).await.expect("handshake");
    stream.read_u8().await.expect("one byte");
    let user = user_of_certificate(&serving.await.expect("served")).expect("a user");
    assert_eq!(user.name, "admin");
    assert_eq!(user.groups, ["system:masters", "system:authenticated"]);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let ours = Authority::load_or_create(ours.path(), "ours").expect("made");
    let theirs = Authority::load_or_create(theirs.path(), "theirs").expect("made");
    let server = ours.issue(&request("server", None, Usage::Server)).expect("issued");
    let client = theirs.issue(&request("admin", Some("system:masters"), Usage::Client)).expect("issued");
    let acceptor = tokio_rustls::TlsAcceptor::from(server_tls(&server, ours.certificate_pem()).expect("server TLS"));
    let connector: tokio_rustls::TlsConnector =
        client_tls(ours.certificate_pem(), Some(&client)).map(Arc::into).expect("client TLS");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move { acceptor.accept(far).await.map(|_| ()) });
    let _ = connector.connect("localhost".try_into().expect("a name"), near).await;
    assert!(serving.await.expect("no panic").is_err());
}

#[test]
fn tokens_verify_until_they_expire_and_only_with_their_key() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let issuer = TokenIssuer::load_or_create(here.path(), "https://kubernetes.default.svc").expect("made");
    let stranger = TokenIssuer::load_or_create(there.path(), "https://kubernetes.default.svc").expect("made");
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let claims = claims(now);
    let token = issuer.sign(&claims).expect("signed");
    let reloaded = TokenIssuer::load_or_create(here.path(), "https://kubernetes.default.svc").expect("loaded");
    assert_eq!(reloaded.verify(&token, now).expect("valid"), claims);
    assert_eq!(claims.user_name(), "system:serviceaccount:shop:cart");
    assert!(issuer.verify(&token, now + Duration::from_secs(600)).is_err(), "expired");
    assert!(issuer.verify(&token, now - Duration::from_secs(1)).is_err(), "not valid yet");
    assert!(stranger.verify(&token, now).is_err(), "other key");
    for broken in ["", "a.b.c", &token[..token.len() - 4]] {
        assert!(issuer.verify(broken, now).is_err(), "{broken:?}");
    }
    assert_eq!(issuer.jwks()["keys"][0]["crv"], "P-256");
}

#[test]
fn key_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    Authority::load_or_create(folder.path(), "ca").expect("made");
    let mode = std::fs::metadata(folder.path().join("ca.key")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(folder.path().join("ca.key")).expect("removed");
    let text = Authority::load_or_create(folder.path(), "ca").expect_err("half a pair").to_string();
    assert!(text.contains("without ca.key"), "{text}");
}
