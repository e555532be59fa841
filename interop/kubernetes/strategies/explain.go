package main

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed explained.txt
var explainedText string

// An exception: which lines of differences it is about, and whether there were any.
type exception struct {
	line       string
	kind, verb string
	pattern    *regexp.Regexp
	used       bool
}

type exceptions []*exception

// Reads lines of kind, verb (each may be *), a pattern of lines, and the reason, with tabs between them.
func explanations() (exceptions, error) {
	var all exceptions
	for line := range strings.Lines(explainedText) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 4 || fields[3] == "" {
			return nil, fmt.Errorf("explained.txt: not four fields: %s", line)
		}
		pattern, err := regexp.Compile(fields[2])
		if err != nil {
			return nil, fmt.Errorf("explained.txt: %w", err)
		}
		all = append(all, &exception{line: line, kind: fields[0], verb: fields[1], pattern: pattern})
	}
	return all, nil
}

// Whether a line is explained.
func (all exceptions) of(kind, verb, line string) bool {
	for _, one := range all {
		is := (one.kind == "*" || one.kind == kind) && (one.verb == "*" || one.verb == verb)
		if is && one.pattern.MatchString(line) {
			one.used = true
			return true
		}
	}
	return false
}

func (all exceptions) idle() []string {
	var lines []string
	for _, one := range all {
		if !one.used {
			lines = append(lines, one.line)
		}
	}
	return lines
}
