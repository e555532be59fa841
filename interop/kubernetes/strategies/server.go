package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The server that is compared.
type server struct {
	url    string
	client *http.Client
	// The paths of kinds, without namespaces.
	resources map[schema.GroupVersionKind]string
}

func connect() (*server, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	it := &server{strings.TrimSuffix(config.Host, "/"), client, map[schema.GroupVersionKind]string{}}
	// What pods of the comparison run as.
	account := object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": object{"name": "default"}}
	made, err := it.send("POST", "/api/v1/namespaces/default/serviceaccounts", account)
	if err != nil {
		return nil, err
	}
	if made.code != 201 && made.code != 409 {
		return nil, fmt.Errorf("no service account: %v", made.wrong)
	}
	return it, nil
}

// The path of objects of a kind.
func (it *server) path(of object) (string, error) {
	version, _ := schema.ParseGroupVersion(of["apiVersion"].(string))
	kind := version.WithKind(of["kind"].(string))
	root := "/apis/" + version.String()
	if version.Group == "" {
		root = "/api/" + version.Version
	}
	if it.resources[kind] == "" {
		listed, err := it.send("GET", root, nil)
		if err != nil {
			return "", err
		}
		list, _ := listed.object["resources"].([]any)
		for _, item := range list {
			resource := item.(object)
			name := resource["name"].(string)
			if !strings.Contains(name, "/") {
				it.resources[version.WithKind(resource["kind"].(string))] = name
			}
		}
	}
	name, known := it.resources[kind]
	if !known {
		return "", fmt.Errorf("%s is not served", kind)
	}
	if namespace, is := of["metadata"].(object)["namespace"].(string); is {
		root += "/namespaces/" + namespace
	}
	return root + "/" + name, nil
}

func (it *server) create(new object, dry bool) (outcome, error) {
	path, err := it.path(new)
	if err != nil {
		return outcome{}, err
	}
	if dry {
		path += "?dryRun=All"
	}
	return it.send("POST", path, new)
}

// Writes an object, or a subresource of it.
func (it *server) update(new object, subresource string, dry bool) (outcome, error) {
	path, err := it.path(new)
	if err != nil {
		return outcome{}, err
	}
	path += "/" + new["metadata"].(object)["name"].(string)
	if subresource != "" {
		path += "/" + subresource
	}
	if dry {
		path += "?dryRun=All"
	}
	return it.send("PUT", path, new)
}

// The object when its status has conditions.
func (it *server) settled(made object) (outcome, error) {
	path, err := it.path(made)
	if err != nil {
		return outcome{}, err
	}
	path += "/" + made["metadata"].(object)["name"].(string)
	for range 100 {
		found, err := it.send("GET", path, nil)
		if err != nil {
			return outcome{}, err
		}
		status, _ := found.object["status"].(object)
		if conditions, _ := status["conditions"].([]any); len(conditions) > 0 {
			return found, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return outcome{}, fmt.Errorf("%s does not settle", path)
}

// Deletes an object that nobody else cares for.
func (it *server) remove(old object) {
	path, err := it.path(old)
	path += "/" + old["metadata"].(object)["name"].(string)
	if err == nil {
		_, err = it.send("DELETE", path+"?gracePeriodSeconds=0&propagationPolicy=Background", nil)
	}
	if err == nil {
		_, err = it.send("PATCH", path, object{"metadata": object{"finalizers": nil}})
	}
	if err == nil && old["kind"] == "Namespace" {
		_, err = it.send("PUT", path+"/finalize", object{
			"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": old["metadata"].(object)["name"]},
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "not removed:", err)
	}
}

func (it *server) send(method, path string, body object) (outcome, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return outcome{}, err
		}
	}
	request, err := http.NewRequest(method, it.url+path, bytes.NewReader(text))
	if err != nil {
		return outcome{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if method == "PATCH" {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	request.Header.Set("Accept", "application/json")
	response, err := it.client.Do(request)
	if err != nil {
		return outcome{}, err
	}
	defer response.Body.Close()
	if text, err = io.ReadAll(response.Body); err != nil {
		return outcome{}, err
	}
	answer := outcome{code: response.StatusCode}
	if err := json.Unmarshal(text, &answer.object); err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for _, header := range response.Header["Warning"] {
		// That a kind is deprecated is said of every request for it, not by its strategy.
		if text := warning(header); !strings.HasPrefix(text, "v1 Endpoints is deprecated") {
			answer.warnings = append(answer.warnings, text)
		}
	}
	if answer.code < 300 {
		return answer, nil
	}
	message, _ := answer.object["message"].(string)
	answer.wrong = []string{message}
	details, _ := answer.object["details"].(object)
	if causes, _ := details["causes"].([]any); answer.code == 422 {
		answer.wrong = nil
		for _, item := range causes {
			cause := item.(object)
			field := func(name string) string {
				text, _ := cause[name].(string)
				return text
			}
			answer.wrong = append(answer.wrong, fmt.Sprintf("%s %s: %s", field("reason"), field("field"), field("message")))
		}
	}
	return answer, nil
}

// The text of a warning's header: `299 - "text"`.
func warning(header string) string {
	_, quoted, _ := strings.Cut(header, "\"")
	quoted = strings.TrimSuffix(quoted, "\"")
	return string(slices.DeleteFunc([]byte(strings.ReplaceAll(quoted, `\"`, "\"")), func(letter byte) bool {
		return letter == '\\'
	}))
}
