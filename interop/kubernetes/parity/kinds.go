package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

const (
	table   = "Accept:application/json;as=Table;g=meta.k8s.io;v=v1"
	partial = "Accept:application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

// The life of each object of a file of YAML documents. One that has no name has the name `case`.
func (it *target) lives(file string) ([]request, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []request
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var object map[string]any
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if object == nil {
			continue
		}
		life, err := it.life(object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, life...)
	}
	return all, nil
}

func (it *target) life(object map[string]any) ([]request, error) {
	metadata, _ := object["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		object["metadata"] = metadata
	}
	if metadata["name"] == nil {
		metadata["name"] = "case"
	}
	name := metadata["name"].(string)
	version, kind := object["apiVersion"].(string), object["kind"].(string)
	collection, err := it.collection(version, kind)
	if err != nil {
		return nil, err
	}
	whole, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	labelled := func(value string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"labels":{"parity":%q}}}`, version, kind, name, value)
	}
	one := collection + "/" + name
	lines := []string{
		"POST " + collection + " - - " + string(whole),
		"GET " + one + " - - -",
		"GET " + one + " - " + table + " -",
		"GET " + one + " - " + partial + " -",
		"GET " + one + " - Accept:application/yaml -",
		"GET " + collection + "?fieldSelector=metadata.name%3D" + name + " - - -",
		"GET " + collection + "?fieldSelector=metadata.name%3D" + name + " - " + table + " -",
		"PUT " + one + " - - " + string(whole),
		"PATCH " + one + " application/merge-patch+json - " + labelled("merged"),
		"PATCH " + one + " application/strategic-merge-patch+json - " + labelled("strategic"),
		"PATCH " + one + `?fieldManager=operation application/json-patch+json - [{"op":"add","path":"/metadata/labels/parity","value":"json"}]`,
		"PATCH " + one + ` application/merge-patch+json - {"metadata":{"labels":{"a b":""},"finalizers":["x"],"deletionGracePeriodSeconds":5}}`,
		"PATCH " + one + "?fieldManager=applier application/apply-patch+yaml - " + labelled("applied"),
		"PATCH " + one + "?fieldManager=applier&force=true application/apply-patch+yaml - " + labelled("applied"),
		"GET " + one + " - - -",
		"DELETE " + one + " - - -",
		"GET " + one + " - - -",
	}
	var all []request
	for _, line := range lines {
		// What the object holds is not to be expanded.
		head, body := line, ""
		if before, after, found := strings.Cut(line, " - - {"); found {
			head, body = before+" - - -", "{"+after
		}
		asked, err := parse(head)
		if err != nil {
			return nil, err
		}
		if body != "" {
			asked.contentType, asked.body = "application/json", []byte(body)
		}
		asked.line = line
		all = append(all, asked)
	}
	return all, nil
}

// The path of the objects of a kind, those of the namespace `default` if they have one.
func (it *target) collection(version, kind string) (string, error) {
	parsed, err := schema.ParseGroupVersion(version)
	if err != nil {
		return "", err
	}
	root := "/apis/" + version
	if parsed.Group == "" {
		root = "/api/" + version
	}
	told, err := it.send(request{method: "GET", path: root})
	if err != nil {
		return "", err
	}
	var list struct {
		Resources []struct {
			Name, Kind string
			Namespaced bool
		}
	}
	if err := json.Unmarshal(told.body, &list); err != nil {
		return "", err
	}
	for _, one := range list.Resources {
		if one.Kind == kind && !strings.Contains(one.Name, "/") {
			if one.Namespaced {
				root += "/namespaces/default"
			}
			return root + "/" + one.Name, nil
		}
	}
	return "", fmt.Errorf("no resource of kind %s in %s", kind, version)
}
