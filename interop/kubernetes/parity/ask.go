package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// The longest that an answer may take.
	patience = 20 * time.Second
	// How often a server may ask to be asked later.
	delays = 10
)

// A server that is asked.
type target struct {
	name, url, token string
	client           *http.Client
	// The webhooks that it is told of.
	hooks *hooks
	// What the last object that was answered says of itself.
	uid, revision, next string
}

type answer struct {
	code   int
	header http.Header
	body   []byte
}

// The server whose kubeconfig $KUBECONFIG names.
func connect() (*target, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	settings, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	return &target{name: "portolan", url: strings.TrimSuffix(config.Host, "/"), client: clientFor(settings)}, nil
}

// A client that changes nothing of what it is told to send, and follows nothing.
func clientFor(settings *tls.Config) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Sends a request, again if the server is not ready for it yet: Kubernetes' own is not for kinds that are new.
func (it *target) send(asked request) (answer, error) {
	for range delays {
		told, err := it.try(asked)
		if err != nil || !bytes.Contains(told.body, []byte("storage is (re)initializing")) {
			return told, err
		}
		time.Sleep(time.Second)
	}
	return it.try(asked)
}

func (it *target) try(asked request) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	named := []string{"$UID", it.uid, "$REVISION", it.revision, "$CONTINUE", it.next}
	if it.hooks != nil {
		named = append(named, "$HOOK", it.hooks.url, "$CA", it.hooks.authority)
	}
	fill := strings.NewReplacer(named...).Replace
	sent, err := http.NewRequestWithContext(ctx, asked.method, it.url, bytes.NewReader([]byte(fill(string(asked.body)))))
	if err != nil {
		return answer{}, err
	}
	path, query, _ := strings.Cut(fill(asked.path), "?")
	sent.URL.Opaque = "//" + sent.URL.Host + path
	sent.URL.RawQuery = query
	if it.token != "" {
		sent.Header.Set("Authorization", "Bearer "+it.token)
	}
	if asked.contentType != "" {
		sent.Header.Set("Content-Type", asked.contentType)
	}
	sent.Header.Set("User-Agent", "parity/1 (test)")
	for _, header := range asked.headers {
		sent.Header.Set(header[0], header[1])
	}
	received, err := it.client.Do(sent)
	if err != nil {
		return answer{}, fmt.Errorf("%s", strings.ReplaceAll(err.Error(), it.url, ""))
	}
	defer received.Body.Close()
	body, err := io.ReadAll(received.Body)
	if err != nil {
		body = append(body, "\nbreaks off: "+err.Error()...)
	}
	return answer{received.StatusCode, received.Header, body}, nil
}
