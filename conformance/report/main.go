// Command report turns Ginkgo's JSON reports of conformance runs into one Markdown page.
//
//	report FILE.json... > docs/conformance.md
package main

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2/types"
)

//go:embed causes.txt
var causes string

type outcome struct {
	name, failure string
	state         types.SpecState
}

func main() {
	// A test that ran in several of the reports counts as it ended in the last.
	outcomes := map[string]outcome{}
	for _, path := range os.Args[1:] {
		if err := read(path, outcomes); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if len(outcomes) == 0 {
		fmt.Fprintln(os.Stderr, "no test ran: nothing to report")
		os.Exit(1)
	}
	write(outcomes)
}

func read(path string, outcomes map[string]outcome) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var reports []types.Report
	if err := json.Unmarshal(content, &reports); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, report := range reports {
		for _, spec := range report.SpecReports {
			if spec.LeafNodeType != types.NodeTypeIt || !slices.Contains(spec.Labels(), "Conformance") {
				continue
			}
			if spec.State.Is(types.SpecStatePending | types.SpecStateInvalid | types.SpecStateInterrupted | types.SpecStateAborted | types.SpecStateTimedout) {
				continue
			}
			// What a filter left out was not tried; what skips itself says why.
			if spec.State == types.SpecStateSkipped && spec.Failure.Message == "" {
				if _, known := outcomes[spec.FullText()]; !known {
					outcomes[spec.FullText()] = outcome{spec.FullText(), "", types.SpecStatePending}
				}
				continue
			}
			outcomes[spec.FullText()] = outcome{spec.FullText(), summary(spec.Failure.Message), spec.State}
		}
	}
	return nil
}

// summary is the part of a failure that fits one line of a table.
func summary(message string) string {
	line := strings.Join(strings.Fields(message), " ")
	line = strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(line)
	if runes := []rune(line); len(runes) > 240 {
		line = string(runes[:240]) + "…"
	}
	return line
}

// cause says why a test fails, where that is known.
func cause(name string) string {
	for line := range strings.Lines(causes) {
		part, why, found := strings.Cut(strings.TrimSpace(line), "\t")
		if found && strings.Contains(name, part) {
			return why
		}
	}
	return ""
}

func area(name string) string {
	if rest, found := strings.CutPrefix(name, "["); found {
		if end := strings.IndexByte(rest, ']'); end > 0 {
			return rest[:end]
		}
	}
	return "other"
}

func write(outcomes map[string]outcome) {
	byArea := map[string][]outcome{}
	for _, outcome := range outcomes {
		byArea[area(outcome.name)] = append(byArea[area(outcome.name)], outcome)
	}
	areas := slices.Sorted(maps.Keys(byArea))

	fmt.Print("# Conformance\n\n" +
		"The published end-to-end tests of Kubernetes that are labelled Conformance, run unchanged against one node. Written by\n" +
		"`make conformance` (`FOCUS=` a regular expression chooses tests); not part of the test run. What was\n" +
		"left out is told under \"Not run\", with what it needs where that is missing.\n\n" +
		"| area | run | passed | failed | skipped themselves | not run |\n|---|---|---|---|---|---|\n")
	for _, area := range areas {
		var passed, failed, skipped, missing int
		for _, outcome := range byArea[area] {
			switch {
			case outcome.state == types.SpecStatePassed:
				passed++
			case outcome.state == types.SpecStateSkipped:
				skipped++
			case outcome.state == types.SpecStatePending:
				missing++
			default:
				failed++
			}
		}
		run := len(byArea[area]) - missing
		fmt.Printf("| %s | %d | %d | %d | %d | %d |\n", area, run, passed, failed, skipped, missing)
	}
	for _, area := range areas {
		tests := byArea[area]
		slices.SortFunc(tests, func(a, b outcome) int { return cmp.Compare(a.name, b.name) })
		fmt.Printf("\n## %s\n", area)
		section("Failed", tests, func(state types.SpecState) bool { return state.Is(types.SpecStateFailureStates) })
		section("Skipped themselves", tests, func(state types.SpecState) bool { return state == types.SpecStateSkipped })
		section("Not run", tests, func(state types.SpecState) bool { return state == types.SpecStatePending })
		section("Passed", tests, func(state types.SpecState) bool { return state == types.SpecStatePassed })
	}
}

func section(title string, tests []outcome, is func(types.SpecState) bool) {
	first := true
	for _, test := range tests {
		if !is(test.state) {
			continue
		}
		if first {
			fmt.Printf("\n%s:\n\n", title)
			first = false
		}
		name := strings.TrimSpace(strings.TrimPrefix(test.name, "["+area(test.name)+"]"))
		fmt.Printf("- %s\n", strings.NewReplacer("<", "&lt;", "*", "\\*").Replace(name))
		if test.failure != "" {
			fmt.Printf("  - %s\n", test.failure)
		}
		if why := cause(test.name); why != "" && test.state.Is(types.SpecStateFailureStates|types.SpecStatePending) {
			fmt.Printf("  - cause: %s\n", why)
		}
	}
}
