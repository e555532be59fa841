package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Headers that differ from answer to answer.
var noted = []string{"Audit-Id", "Content-Length", "Date", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid"}

var (
	uids  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	ages  = regexp.MustCompile(`^(\d+[smhd])+$`)
	tails = regexp.MustCompile(`\b([a-z-]+-)[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
)

// An answer as lines that two servers should have in common.
func (it *target) shown(told answer) []string {
	lines := []string{fmt.Sprint(told.code)}
	for name, values := range told.header {
		if slices.Contains(noted, name) {
			continue
		}
		for _, value := range values {
			lines = append(lines, name+": "+it.common(value))
		}
	}
	sort.Strings(lines[1:])
	decoder := json.NewDecoder(bytes.NewReader(told.body))
	decoder.UseNumber()
	var documents []string
	for decoder.More() {
		var document any
		start := decoder.InputOffset()
		if err := decoder.Decode(&document); err != nil {
			documents = append(documents, string(told.body[start:]))
			break
		}
		it.note(document)
		text, _ := json.MarshalIndent(neutral("", document), "", " ")
		documents = append(documents, string(text))
	}
	if documents == nil {
		documents = []string{""}
	}
	for _, document := range documents {
		lines = append(lines, strings.Split(it.common(document), "\n")...)
	}
	return lines
}

// A text without what each server draws for itself.
func (it *target) common(text string) string {
	text = uids.ReplaceAllString(text, "UID")
	text = times.ReplaceAllString(text, "TIME")
	if it.revision != "" && len(it.revision) > 1 {
		text = regexp.MustCompile(`\b`+it.revision+`\b`).ReplaceAllString(text, "REVISION")
	}
	return strings.ReplaceAll(text, it.url, "URL")
}

// Keeps what later requests may name.
func (it *target) note(document any) {
	fields, is := document.(map[string]any)
	if !is {
		return
	}
	if inner, is := fields["object"].(map[string]any); is && fields["type"] != nil {
		fields = inner
	}
	metadata, is := fields["metadata"].(map[string]any)
	if !is {
		return
	}
	for name, kept := range map[string]*string{"uid": &it.uid, "resourceVersion": &it.revision, "continue": &it.next} {
		if text, is := metadata[name].(string); is && text != "" {
			*kept = text
		}
	}
}

func neutral(name string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			value[name] = neutral(name, inner)
		}
		return value
	case []any:
		for index, inner := range value {
			value[index] = neutral(name, inner)
		}
		return value
	case string:
		switch {
		case name == "resourceVersion" && value != "" && value != "0":
			return "REVISION"
		case name == "continue" && value != "":
			return "CONTINUE"
		case name == "cells" && ages.MatchString(value):
			return "AGE"
		case name == "name" || name == "message":
			return tails.ReplaceAllString(value, "${1}TAIL")
		}
	}
	return value
}

// More lines than this are not held against each other one by one: that takes their square in memory.
const longestCompared = 4000

// What only one has, of lines in order: `want` for Kubernetes, `got` for the other.
func difference(want, got []string) []string {
	for len(want) > 0 && len(got) > 0 && want[0] == got[0] {
		want, got = want[1:], got[1:]
	}
	for len(want) > 0 && len(got) > 0 && want[len(want)-1] == got[len(got)-1] {
		want, got = want[:len(want)-1], got[:len(got)-1]
	}
	if max(len(want), len(got)) > longestCompared {
		return []string{fmt.Sprintf("want %d other lines", len(want)), fmt.Sprintf("got  %d other lines", len(got))}
	}
	longest := make([][]int, len(want)+1)
	for index := range longest {
		longest[index] = make([]int, len(got)+1)
	}
	for at := len(want) - 1; at >= 0; at-- {
		for by := len(got) - 1; by >= 0; by-- {
			if want[at] == got[by] {
				longest[at][by] = longest[at+1][by+1] + 1
			} else {
				longest[at][by] = max(longest[at+1][by], longest[at][by+1])
			}
		}
	}
	var lines []string
	at, by := 0, 0
	for at < len(want) || by < len(got) {
		switch {
		case at < len(want) && by < len(got) && want[at] == got[by]:
			at, by = at+1, by+1
		case by == len(got) || at < len(want) && longest[at+1][by] >= longest[at][by+1]:
			lines = append(lines, "want "+want[at])
			at++
		default:
			lines = append(lines, "got  "+got[by])
			by++
		}
	}
	return lines
}
