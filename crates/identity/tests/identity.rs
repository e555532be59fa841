//! Certificates and tokens, from first start to refusal.

use std::sync::Arc;
use std::time::Duration;

use portolan_base::Timestamp;
use portolan_identity::{
    Authority, BoundObject, Claims, Request, TokenIssuer, TokenSettings, Usage, client_tls, server_tls,
    server_tls_for_any_certificate, user_of_certificate,
};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn request(common_name: &str, organization: Option<&str>, usage: Usage) -> Request {
    Request {
        common_name: common_name.into(),
        organizations: [organization.map(str::to_owned), None],
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
        warn_after: None,
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
    let mut wanted = request("admin", Some("system:masters"), Usage::Client);
    wanted.organizations[1] = Some("others".into());
    let client = again.issue(&wanted).expect("issued");

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
    assert_eq!(user.groups, ["system:masters", "others", "system:authenticated"]);
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

#[tokio::test]
async fn a_server_that_takes_any_certificate_wants_its_key() {
    let (ours, theirs) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let ours = Authority::load_or_create(ours.path(), "ours").expect("made");
    let theirs = Authority::load_or_create(theirs.path(), "theirs").expect("made");
    let server = ours.issue(&request("server", None, Usage::Server)).expect("issued");
    let tls = server_tls_for_any_certificate(&server, ours.certificate_pem()).expect("server TLS");
    let foreign = theirs.issue(&request("admin", Some("system:masters"), Usage::Client)).expect("issued");
    let stolen = ours.issue(&request("admin", Some("system:masters"), Usage::Client)).expect("issued");
    for (certificate, key, expected) in [(&foreign, &foreign, Some("admin")), (&stolen, &foreign, None)] {
        let chain = vec![CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(key.key_pem.as_bytes()).expect("PEM");
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
        let shown = Arc::new(Shows(Arc::new(CertifiedKey::new(chain, signer))));
        let mut client = (*client_tls(ours.certificate_pem(), None).expect("client TLS")).clone();
        client.client_auth_cert_resolver = shown;
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.clone());
        let (near, far) = tokio::io::duplex(64 * 1024);
        let serving = tokio::spawn(async move {
            let stream = acceptor.accept(far).await.ok()?;
            let chain = stream.get_ref().1.peer_certificates()?;
            user_of_certificate(chain.first()?).ok().map(|user| user.name)
        });
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let stream = connector.connect("localhost".try_into().expect("a name"), near).await;
        assert_eq!(serving.await.expect("no panic").as_deref(), expected);
        drop(stream);
    }
}

/// Shows a certificate, whether it has its key or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
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

/// Keys in the forms that `openssl` writes, with the algorithm that each signs with.
fn foreign_keys() -> [(&'static str, String); 5] {
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
    use base64::Engine;
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let pkcs8 = |algorithm| rcgen::KeyPair::generate_for(algorithm).expect("a key").serialize_pem();
    let sec1 = aws_lc_rs::agreement::PrivateKey::generate(&aws_lc_rs::agreement::ECDH_P256).expect("a key");
    let sec1 = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&sec1).expect("encoded");
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let rsa = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).expect("encoded");
    // A PKCS #8 key of RSA is a fixed beginning of 26 bytes around the PKCS #1 key.
    let pkcs1 = &rsa.as_ref()[26..];
    [
        ("ES256", pkcs8(&rcgen::PKCS_ECDSA_P256_SHA256)),
        ("ES256", pem("EC PRIVATE KEY", sec1.as_ref())),
        ("ES384", pkcs8(&rcgen::PKCS_ECDSA_P384_SHA384)),
        ("RS256", pem("PRIVATE KEY", rsa.as_ref())),
        ("RS256", pem("RSA PRIVATE KEY", pkcs1)),
    ]
}

#[test]
fn another_key_signs_and_all_verify() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let claims = claims(now);
    for (algorithm, pem) in foreign_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = TokenIssuer::load_or_create(folder.path(), "https://before").expect("made");
        let issuers = vec!["https://now".to_owned(), "https://before".into()];
        let settings = TokenSettings { issuers, signing_key: Some(pem.clone()), verification_keys: Vec::new() };
        let after = TokenIssuer::load(folder.path(), settings).expect(algorithm);
        let (old, new) = (before.sign(&claims).expect("signed"), after.sign(&claims).expect("signed"));
        assert_eq!(after.verify(&old, now).expect("the old key is believed"), claims);
        assert_eq!(after.verify(&new, now).expect("its own"), claims);
        assert!(before.verify(&new, now).is_err(), "not believed before");
        assert!(after.may_be_ours(&old) && after.may_be_ours(&new));

        // One who has the public keys only.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let settings = TokenSettings {
            issuers: vec!["https://now".into()],
            verification_keys: vec![pem],
            ..TokenSettings::default()
        };
        let elsewhere = TokenIssuer::load(elsewhere.path(), settings).expect("loaded");
        assert_eq!(elsewhere.verify(&new, now).expect(algorithm), claims);
        assert!(elsewhere.verify(&old, now).is_err(), "neither the key nor the name is known there");

        let published =
            portolan_identity::PublicKeys::from_json(after.jwks().to_string().as_bytes()).expect("a key set");
        let algorithms = after.algorithms();
        assert!(algorithms.contains(&algorithm.to_owned()) && algorithms.contains(&"ES256".to_owned()));
        for token in [&old, &new] {
            assert!(published.verify(token, &algorithms).is_ok(), "{algorithm}");
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    for (pem, expected) in [
        (String::new(), "there is none"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".into(), "a key of service-account tokens"),
        (ed.public_key_pem(), "neither RSA nor ECDSA"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = TokenSettings {
            issuers: vec!["https://now".into()],
            verification_keys: vec![pem.clone()],
            ..TokenSettings::default()
        };
        let text = TokenIssuer::load(folder.path(), settings).expect_err(&pem).to_string();
        assert!(text.contains(expected), "{text}");
    }
}
