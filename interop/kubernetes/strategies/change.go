package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed objects.yaml
var objectsText []byte

type object = map[string]any

// The documents of a file in YAML.
func documents(text []byte) ([]object, error) {
	var all []object
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var one object
		if err := decoder.Decode(&one); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}

func objects() ([]object, error) {
	all, err := documents(objectsText)
	if err != nil {
		return nil, err
	}
	defined, err := customObject()
	if err != nil {
		return nil, err
	}
	all = append(all, defined)
	for _, one := range all {
		metadata, _ := one["metadata"].(object)
		if metadata == nil {
			metadata = object{}
			one["metadata"] = metadata
		}
		if metadata["name"] == nil {
			metadata["name"] = "case"
		}
		if _, namespaced := strategies[one["kind"].(string)]; !namespaced {
			return nil, fmt.Errorf("no strategy for %s", one["kind"])
		}
		if strategies[one["kind"].(string)].NamespaceScoped() {
			metadata["namespace"] = "default"
		}
	}
	return all, nil
}

// The absence of a value.
type absent struct{}

// What texts and numbers are changed to.
var (
	texts = []any{
		absent{}, "", "A_b", "a b", strings.Repeat("x", 300), "-1", "a/b/c", "1.2.3.4", "*", "/", "..", "$(A)", "foo",
		"10%", "1e3", " ", "a.b", "Always",
	}
	numbers = []any{absent{}, 0, -1, 1, 100, 65536, 1000001, 2147483647}
)

// One change to an object: where, and what is there then.
type change struct {
	path  []any
	value any
}

func (it change) String() string {
	var text strings.Builder
	for _, step := range it.path {
		switch step := step.(type) {
		case string:
			fmt.Fprintf(&text, ".%s", step)
		default:
			fmt.Fprintf(&text, "[%v]", step)
		}
	}
	if _, none := it.value.(absent); none {
		return text.String() + " absent"
	}
	value, _ := json.Marshal(it.value)
	if len(value) > 60 {
		value = append(value[:60:60], "..."...)
	}
	return fmt.Sprintf("%s = %s", text.String(), value)
}

// All single changes to what stands at a path of an object, in an order that stays.
func changesBelow(path []any, value any) []change {
	var all []change
	step := func(more any) []any { return append(append([]any{}, path...), more) }
	for _, other := range instead(value) {
		all = append(all, change{path, other})
	}
	switch value := value.(type) {
	case object:
		for _, name := range names(value) {
			all = append(all, changesBelow(step(name), value[name])...)
		}
	case []any:
		for index, item := range value {
			all = append(all, changesBelow(step(index), item)...)
		}
	}
	return all
}

// All single changes to an object but to its status.
func changes(base object) []change {
	var all []change
	for _, name := range names(base) {
		switch name {
		case "apiVersion", "kind", "status":
		case "metadata":
			metadata := base[name].(object)
			for _, name := range names(metadata) {
				switch name {
				case "annotations", "finalizers", "labels", "ownerReferences":
					all = append(all, changesBelow([]any{"metadata", name}, metadata[name])...)
				}
			}
		default:
			all = append(all, changesBelow([]any{name}, base[name])...)
		}
	}
	return all
}

// What a value is changed to.
func instead(value any) []any {
	switch value := value.(type) {
	case bool:
		return []any{!value, absent{}}
	case float64, int64, int:
		return numbers
	case string:
		return texts
	case []any:
		others := []any{absent{}, []any{}}
		if len(value) > 0 {
			others = append(others, append(append([]any{}, value...), value[0]))
		}
		return others
	case object:
		others := []any{absent{}, object{}}
		for _, item := range value {
			if _, is := item.(string); !is {
				return others
			}
		}
		more := object{"a b": "x"}
		for name, item := range value {
			more[name] = item
		}
		return append(others, more)
	}
	return nil
}

func names(fields object) []string {
	all := make([]string, 0, len(fields))
	for name := range fields {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

func copied(value any) any {
	switch value := value.(type) {
	case object:
		fields := make(object, len(value))
		for name, item := range value {
			fields[name] = copied(item)
		}
		return fields
	case []any:
		items := make([]any, len(value))
		for index, item := range value {
			items[index] = copied(item)
		}
		return items
	}
	return value
}

// The object with a change made to it.
func (it change) applied(base object) object {
	whole := copied(base)
	// Lists change their length only as a whole, so that their holder need not be told.
	var into func(holder any, path []any) any
	into = func(holder any, path []any) any {
		if len(path) == 0 {
			return it.value
		}
		switch step := path[0].(type) {
		case string:
			fields := holder.(object)
			if value := into(fields[step], path[1:]); value == (absent{}) {
				delete(fields, step)
			} else {
				fields[step] = value
			}
		case int:
			items := holder.([]any)
			if value := into(items[step], path[1:]); value == (absent{}) {
				return append(items[:step], items[step+1:]...)
			} else {
				items[step] = value
			}
		}
		return holder
	}
	return into(whole, it.path).(object)
}
