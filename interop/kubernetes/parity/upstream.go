package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// Starts etcd and Kubernetes' API server in this process, with their data in a folder. The administrator has the
// name that the other server's has, since answers tell it.
func startUpstream(ctx context.Context, folder, administrator string) (*target, error) {
	etcd, err := startEtcd(folder)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	key, err := writeKey(filepath.Join(folder, "service-account.key"))
	if err != nil {
		return nil, err
	}
	token := random()
	tokens := filepath.Join(folder, "tokens.csv")
	line := fmt.Sprintf("%s,%s,,\"system:masters\"\n", token, administrator)
	if err := os.WriteFile(tokens, []byte(line), 0o600); err != nil {
		return nil, err
	}
	// What it writes of itself is managed by the name of its program.
	os.Args[0] = "kube-apiserver"
	command := app.NewAPIServerCommand()
	command.SetArgs([]string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir=" + folder,
		"--token-auth-file=" + tokens,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--service-cluster-ip-range=10.43.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key,
		"--service-account-signing-key-file=" + key,
		"--requestheader-client-ca-file=" + filepath.Join(folder, "apiserver.crt"),
		"--enable-aggregator-routing",
	})
	command.SilenceUsage = true
	command.SetErr(io.Discard)
	failed := make(chan error, 1)
	go func() { failed <- command.ExecuteContext(ctx) }()
	base := fmt.Sprintf("https://127.0.0.1:%d", port)
	certificate := filepath.Join(folder, "apiserver.crt")
	it := &target{name: "kubernetes", url: base, token: token}
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		select {
		case err := <-failed:
			return nil, fmt.Errorf("kube-apiserver: %w", err)
		default:
		}
		if it.client == nil {
			it.client = trusting(certificate)
			continue
		}
		told, err := it.send(request{method: "GET", path: "/readyz"})
		if err == nil && told.code == http.StatusOK {
			return it, nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("%d %s", told.code, told.body)
		}
	}
	return nil, fmt.Errorf("kube-apiserver is not ready after a minute: %w", last)
}

func startEtcd(folder string) (string, error) {
	settings := embed.NewConfig()
	settings.Dir = filepath.Join(folder, "etcd")
	settings.LogLevel = "error"
	settings.UnsafeNoFsync = true
	var urls [2]url.URL
	for index := range urls {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		urls[index] = url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	settings.ListenClientUrls, settings.AdvertiseClientUrls = urls[:1], urls[:1]
	settings.ListenPeerUrls, settings.AdvertisePeerUrls = urls[1:], urls[1:]
	settings.InitialCluster = settings.InitialClusterFromName(settings.Name)
	server, err := embed.StartEtcd(settings)
	if err != nil {
		return "", err
	}
	select {
	case <-server.Server.ReadyNotify():
		return urls[0].String(), nil
	case <-time.After(time.Minute):
		return "", fmt.Errorf("etcd is not ready after a minute")
	}
}

// A client that trusts what signed itself; none while the file is not there.
func trusting(file string) *http.Client {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil
	}
	return clientFor(&tls.Config{RootCAs: pool, ServerName: "kubernetes.default.svc"})
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func writeKey(file string) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return file, os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

func random() string {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:])
	return hex.EncodeToString(bytes[:])
}
