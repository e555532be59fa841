package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The webhooks that both servers ask. `HOOK` in a script sets what one answers from then on: its path, the code of the
// answer (0: none, the connection ends), headers, body. `Delay:3s` among the headers is waited for.
//
// In the body, `$REVIEW` is the uid of the question, `$ASKED` all of it in one text and `$CAUSES` as causes of a status,
// a field each; `$CONVERTED` are its objects in the version asked for, with what a JSON object behind a `+` merges into each.
// `$BASE64` encodes the JSON value behind it, or what a string there says.
type hooks struct {
	url, authority string
	lock           sync.Mutex
	answers        map[string]request
}

// What of a question's head is told.
var headers = []string{"Accept", "Accept-Encoding", "Content-Type", "User-Agent"}

func startHooks() (*hooks, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	it := &hooks{
		url:       "https://" + listener.Addr().String(),
		authority: base64.StdEncoding.EncodeToString(block),
		answers:   map[string]request{},
	}
	server := &http.Server{
		Handler:   it,
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		// What Go's clients only speak to hooks on their own machine would show in the words of failures.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return it, nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "hooks"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}, err
}

func (it *hooks) set(answer request) {
	it.lock.Lock()
	defer it.lock.Unlock()
	it.answers[answer.path] = answer
}

func (it *hooks) ServeHTTP(writer http.ResponseWriter, asked *http.Request) {
	it.lock.Lock()
	answer, found := it.answers[asked.URL.Path]
	it.lock.Unlock()
	if !found {
		http.NotFound(writer, asked)
		return
	}
	question, err := io.ReadAll(asked.Body)
	if err != nil {
		return
	}
	body, err := filled(string(answer.body), asked, question)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusTeapot)
		return
	}
	code := http.StatusOK
	if answer.contentType != "" {
		code, _ = strconv.Atoi(answer.contentType)
	}
	writer.Header().Set("Content-Type", "application/json")
	for _, header := range answer.headers {
		if header[0] != "Delay" {
			writer.Header().Set(header[0], header[1])
			continue
		}
		delay, _ := time.ParseDuration(header[1])
		select {
		case <-time.After(delay):
		case <-asked.Context().Done():
		}
	}
	if code == 0 {
		panic(http.ErrAbortHandler)
	}
	writer.WriteHeader(code)
	_, _ = io.WriteString(writer, body)
}

// The body of an answer with what it takes from the question.
func filled(body string, asked *http.Request, question []byte) (string, error) {
	var review struct {
		Request struct {
			UID               string
			DesiredAPIVersion string
			Objects           []map[string]any
		}
	}
	if err := json.Unmarshal(question, &review); err != nil {
		return "", err
	}
	lines, err := described(asked, question)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for body != "" {
		before, behind, found := strings.Cut(body, "$")
		out.WriteString(before)
		switch {
		case !found:
			return out.String(), nil
		case strings.HasPrefix(behind, "REVIEW"):
			body = behind[len("REVIEW"):]
			out.WriteString(review.Request.UID)
		case strings.HasPrefix(behind, "CAUSES"):
			body = behind[len("CAUSES"):]
			var causes []map[string]string
			for _, line := range lines {
				causes = append(causes, map[string]string{"message": line})
			}
			text, _ := json.Marshal(causes)
			out.Write(text)
		case strings.HasPrefix(behind, "ASKED"):
			body = behind[len("ASKED"):]
			text, _ := json.Marshal(strings.Join(lines, "; "))
			out.Write(text)
		case strings.HasPrefix(behind, "BASE64"):
			value, rest, err := valueOf(behind[len("BASE64"):])
			if err != nil {
				return "", err
			}
			var text string
			if json.Unmarshal(value, &text) == nil {
				value = []byte(text)
			}
			body = rest
			out.WriteString(strconv.Quote(base64.StdEncoding.EncodeToString(value)))
		case strings.HasPrefix(behind, "CONVERTED"):
			body = behind[len("CONVERTED"):]
			var merged map[string]any
			if more, found := strings.CutPrefix(body, "+"); found {
				value, rest, err := valueOf(more)
				if err != nil {
					return "", err
				}
				if err := json.Unmarshal(value, &merged); err != nil {
					return "", err
				}
				body = rest
			}
			for _, object := range review.Request.Objects {
				object["apiVersion"] = review.Request.DesiredAPIVersion
				merge(object, merged)
			}
			text, err := json.Marshal(review.Request.Objects)
			if err != nil {
				return "", err
			}
			out.Write(text)
		default:
			body = behind
			out.WriteByte('$')
		}
	}
	return out.String(), nil
}

// The JSON value that a text begins with, and what comes behind it.
func valueOf(text string) (json.RawMessage, string, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	var value json.RawMessage
	err := decoder.Decode(&value)
	return value, text[decoder.InputOffset():], err
}

// Null takes a field away.
func merge(into, from map[string]any) {
	for name, value := range from {
		inner, isObject := value.(map[string]any)
		within, hasObject := into[name].(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case isObject && hasObject:
			merge(within, inner)
		default:
			into[name] = value
		}
	}
}

// What a question says, line by line.
func described(asked *http.Request, question []byte) ([]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(question))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	lines := []string{asked.Method + " " + asked.URL.String() + " " + asked.Proto}
	for _, name := range headers {
		lines = append(lines, fmt.Sprintf("%s: %q", name, asked.Header[name]))
	}
	for _, line := range flat("", neutral("", document)) {
		// Who asks has a certificate here and a token there.
		if !strings.Contains(line, "credential-id") {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// The fields of a document with their values, those that hold no others.
func flat(path string, value any) []string {
	var lines []string
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			lines = append(lines, flat(path+"."+name, inner)...)
		}
		sort.Strings(lines)
	case []any:
		for index, inner := range value {
			lines = slices.Concat(lines, flat(fmt.Sprintf("%s[%d]", path, index), inner))
		}
	}
	if lines == nil {
		text, _ := json.Marshal(value)
		lines = []string{strings.TrimPrefix(path, ".") + " = " + string(text)}
	}
	return lines
}
