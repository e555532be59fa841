package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// Changes to a kind's object, for new objects or for updates.
type suite struct {
	verb string
	run  func(*server, object) (result, error)
}

type result struct {
	// Questions, and how many of them Kubernetes' packages do not answer.
	asked, silent int
	found         []finding
}

// How one change is treated differently.
type finding struct {
	change string
	lines  []string
}

var (
	creates = suite{"create", func(server *server, base object) (result, error) {
		return compared(base, nil, "", changes(base), func(new object) (outcome, error) { return server.create(new, true) })
	}}
	updates = suite{"update", func(server *server, base object) (result, error) {
		made, err := server.create(prepared(base), false)
		if err != nil {
			return result{}, err
		}
		if made.code != 201 {
			return result{found: []finding{{"none", []string{fmt.Sprintf("it cannot be made: %v", made.wrong)}}}}, nil
		}
		defer server.remove(base)
		if base["kind"] == "APIService" {
			// The server looks for it at once, and says so in its status.
			if made, err = server.settled(made.object); err != nil {
				return result{}, err
			}
		}
		update := func(new object) (outcome, error) { return server.update(new, "", true) }
		return compared(made.object, made.object, "", changes(made.object), update)
	}}
)

// An object that nobody acts on while it is there.
func prepared(base object) object {
	new := copied(base).(object)
	if spec, is := new["spec"].(object); is {
		if base["kind"] == "Pod" {
			delete(spec, "resourceClaims")
		}
	}
	return new
}

func compared(
	base, old object, subresource string, changes []change, answer func(object) (outcome, error),
) (result, error) {
	var all result
	for _, change := range append([]change{{}}, changes...) {
		new := base
		if len(change.path) > 0 {
			new = change.applied(base)
		}
		want, err := ask(new, old, subresource)
		if err != nil {
			all.silent++
			continue
		}
		got, err := answer(new)
		if err != nil {
			return all, err
		}
		all.asked++
		if len(change.path) == 0 && want.code == 400 {
			all.found = append(all.found, finding{"none", []string{fmt.Sprintf("nobody can read it: %v", got.wrong)}})
		}
		if lines := want.differs(got, subresource == "status"); len(lines) > 0 {
			all.found = append(all.found, finding{change.String(), lines})
		}
	}
	return all, nil
}

// The longest of the texts that values are changed to.
var long = regexp.MustCompile(`x{200,}`)

var pointer = regexp.MustCompile(`0x[0-9a-f]+`)

// What the type of an object is named in rules of definitions: another each time.
var self = regexp.MustCompile(`selfType\d+`)

// How what a server answers differs, with or without the status; each line is of one thing. Kubernetes looks at some objects twice when they are
// updated: how often something is told does not count.
func (want outcome) differs(got outcome, status bool) []string {
	if got.code == 201 {
		got.code = 200
	}
	if want.code == 400 && got.code == 400 {
		return nil
	}
	var lines []string
	add := func(what string, more []string, less []string) {
		for _, line := range more {
			if !slices.Contains(less, line) {
				lines = append(lines, what+" "+long.ReplaceAllString(line, "xxx..."))
			}
		}
	}
	wanted, gotten := plain(want.wrong), plain(got.wrong)
	add("want", wanted, gotten)
	add("got ", gotten, wanted)
	if len(lines) == 0 && want.code != got.code {
		lines = append(lines, fmt.Sprintf("code: want %d, got %d", want.code, got.code))
	}
	if want.code == 200 && got.code == 200 {
		add("want warning", want.warnings, got.warnings)
		add("got warning ", got.warnings, want.warnings)
		for _, line := range fields(want.object, got.object, "") {
			if status || !strings.HasPrefix(line, "field .status") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

func plain(lines []string) []string {
	var all []string
	for _, line := range lines {
		all = append(all, self.ReplaceAllString(pointer.ReplaceAllString(line, "PTR"), "object"))
	}
	sort.Strings(all)
	return all
}

// Fields that a server sets whatever the object says.
var own = []string{".metadata.uid", ".metadata.creationTimestamp", ".metadata.managedFields", ".metadata.resourceVersion"}

// Whether both are times at which the same was asked: each looks at a clock of its own.
func together(want, got any) bool {
	wanted, _ := want.(string)
	gotten, _ := got.(string)
	first, wrong := time.Parse(time.RFC3339, wanted)
	second, wrongToo := time.Parse(time.RFC3339, gotten)
	return wrong == nil && wrongToo == nil && second.Sub(first).Abs() <= time.Second
}

func fields(want, got any, path string) []string {
	if slices.Contains(own, path) {
		return nil
	}
	switch want := want.(type) {
	case object:
		got, is := got.(object)
		if !is {
			break
		}
		var lines []string
		all := names(want)
		for _, name := range names(got) {
			if _, known := want[name]; !known {
				all = append(all, name)
			}
		}
		for _, name := range all {
			lines = append(lines, fields(want[name], got[name], path+"."+name)...)
		}
		return lines
	case []any:
		got, is := got.([]any)
		if !is || len(got) != len(want) {
			break
		}
		var lines []string
		for index := range want {
			lines = append(lines, fields(want[index], got[index], fmt.Sprintf("%s[%d]", path, index))...)
		}
		return lines
	}
	wanted, _ := json.Marshal(want)
	gotten, _ := json.Marshal(got)
	if string(wanted) == string(gotten) || together(want, got) {
		return nil
	}
	short := func(text []byte) string {
		if len(text) > 80 {
			return string(text[:80]) + "..."
		}
		return strings.TrimSpace(string(text))
	}
	return []string{fmt.Sprintf("field %s: want %s, got %s", path, short(wanted), short(gotten))}
}
