//! Who may what, with the stock client: certificates, tokens, roles, the record of it all.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, eventually};

const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, resources: [{group: '', resources: [secrets]}]}
- {level: None}
";

const ENCRYPTION: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox: {keys: [{name: one, secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}]}
  - identity: {}
";

const REQUEST: &str = "
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: ann}
spec:
  request: REQUEST
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 3600
  usages: [client auth]
";

const OLD_TOKEN: &str = "
apiVersion: v1
kind: Secret
metadata: {name: old, annotations: {kubernetes.io/service-account.name: robot}}
type: kubernetes.io/service-account-token
";

/// Runs a line of shell in a folder, with `kubectl` pointed at the cluster.
fn shell(cluster: &Cluster, line: &str) -> anyhow::Result<String> {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(cluster.scratch_dir())
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", cluster.scratch_dir())
        .stdin(Stdio::null())
        .output()?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{line}: {text}");
    Ok(text)
}

fn expect(cluster: &Cluster, line: &str, words: &[&str]) -> anyhow::Result<()> {
    let printed = shell(cluster, line)?;
    for word in words {
        ensure!(printed.contains(word), "{line}: no {word:?} in {printed}");
    }
    Ok(())
}

fn contains(folder: &Path, text: &str) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let bytes = std::fs::read(entry?.path())?;
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn certificates_tokens_and_roles_work_with_the_stock_client() -> anyhow::Result<()> {
    let files = tempfile::tempdir()?;
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).map(|()| path.to_string_lossy().into_owned())
    };
    let (audit, encryption) = (file("audit.yaml", AUDIT)?, file("encryption.yaml", ENCRYPTION)?);
    let tokens = file("tokens.csv", "s3cret,bob,1,\"dev,ops\"\n")?;
    let log = files.path().join("audit.log").to_string_lossy().into_owned();
    let cluster = Cluster::prepare(&[
        "--no-agent",
        "--audit-policy-file",
        &audit,
        "--audit-log-path",
        &log,
        "--encryption-provider-config",
        &encryption,
        "--token-auth-file",
        &tokens,
    ])?;
    cluster.up()?;
    let ca = "kubectl config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d > ca.crt; \
              kubectl config view -o jsonpath='{.clusters[0].cluster.server}' > server";
    shell(&cluster, ca)?;
    let as_nobody = "KUBECONFIG=/dev/null kubectl --server=$(cat server) --certificate-authority=ca.crt";

    expect(&cluster, "kubectl auth whoami", &["kubernetes-admin", "system:masters", "X509SHA256="])?;
    expect(&cluster, &format!("{as_nobody} --token=s3cret auth whoami"), &["bob", "dev", "ops"])?;
    expect(&cluster, "kubectl auth can-i --list --as=ann", &["selfsubjectreviews.authentication.k8s.io", "/healthz"])?;
    expect(&cluster, "kubectl auth can-i get pods --as=ann || true", &["no"])?;
    expect(
        &cluster,
        &format!("{as_nobody} --token=s3cret get pods || true"),
        &["User \"bob\" cannot list resource \"pods\""],
    )?;
    expect(&cluster, "kubectl create role r --verb=get,list --resource=pods", &["created"])?;
    expect(&cluster, "kubectl create rolebinding r --role=r --user=ann --serviceaccount=default:robot", &["created"])?;
    expect(&cluster, "kubectl auth can-i list pods --as=ann", &["yes"])?;
    expect(&cluster, "kubectl get role r -o yaml > r.yaml && kubectl auth reconcile -f r.yaml", &["reconciled"])?;

    // A certificate of one's own.
    shell(
        &cluster,
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ann.key -out ann.csr -subj /O=dev/O=ops/CN=ann",
    )?;
    let pem = shell(&cluster, "base64 -w0 ann.csr")?;
    cluster.kubectl_with("create", &REQUEST.replace("REQUEST", pem.trim()))?;
    expect(&cluster, "kubectl get csr ann", &["kubernetes.io/kube-apiserver-client", "60m", "Pending"])?;
    expect(&cluster, "kubectl certificate approve ann", &["approved"])?;
    eventually("the certificate is issued", || expect(&cluster, "kubectl get csr ann", &["Approved,Issued"]));
    shell(&cluster, "kubectl get csr ann -o jsonpath='{.status.certificate}' | base64 -d > ann.crt")?;
    let as_ann = format!("{as_nobody} --client-certificate=ann.crt --client-key=ann.key");
    expect(&cluster, &format!("{as_ann} auth whoami"), &["ann", "dev", "ops"])?;
    expect(&cluster, &format!("{as_ann} get pods"), &["No resources found"])?;

    // Tokens of a service account, new and old.
    expect(&cluster, "kubectl create serviceaccount robot", &["created"])?;
    let with_token = format!("{as_nobody} --token=$(kubectl create token robot --duration=10m) auth whoami");
    expect(&cluster, &with_token, &["system:serviceaccount:default:robot", "JTI="])?;
    cluster.kubectl_with("create", OLD_TOKEN)?;
    let token = "kubectl get secret old -o jsonpath='{.data.token}' | base64 -d";
    eventually("the old token is made", || {
        expect(
            &cluster,
            &format!("{as_nobody} --token=$({token}) auth whoami"),
            &["system:serviceaccount:default:robot", "SECRET=old"],
        )
    });

    // Secrets are neither on disk nor in the record.
    shell(&cluster, "kubectl create secret generic s --from-literal=word=hunter2hunter2")?;
    expect(&cluster, "kubectl get secret s -o jsonpath='{.data.word}' | base64 -d", &["hunter2hunter2"])?;
    ensure!(!contains(&cluster.data_dir().join("store"), "aHVudGVyMmh1bnRlcjI")?, "the secret is on disk");
    let record = std::fs::read_to_string(&log).context("the record is written")?;
    ensure!(record.contains("\"verb\":\"create\"") && !record.contains("aHVudGVyMmh1bnRlcjI"), "{record}");
    expect(&cluster, "kubectl get secrets -A -o json | kubectl replace -f -", &["replaced"])?;

    // Flows, health, figures.
    expect(&cluster, "kubectl get flowschemas", &["exempt", "global-default", "catch-all"])?;
    expect(&cluster, "kubectl get --raw '/readyz?verbose'", &["[+]ping ok", "readyz check passed"])?;
    expect(
        &cluster,
        "kubectl get --raw /metrics",
        &["apiserver_flowcontrol_nominal_limit_seats", "apiserver_request_total"],
    )?;
    expect(&cluster, "kubectl get --raw /.well-known/openid-configuration", &["jwks_uri"])?;
    Ok(())
}
