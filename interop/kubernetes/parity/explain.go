package main

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed explained.txt
var explainedText string

// A difference that is meant: of which requests, and which lines.
type exception struct{ request, line *regexp.Regexp }

type exceptions []exception

// Reads patterns of requests and of lines, and the reason, with tabs between them.
func explanations() (exceptions, error) {
	var all exceptions
	for line := range strings.Lines(explainedText) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 || fields[2] == "" {
			return nil, fmt.Errorf("explained.txt: not three fields: %s", line)
		}
		var patterns [2]*regexp.Regexp
		for index := range patterns {
			pattern, err := regexp.Compile(fields[index])
			if err != nil {
				return nil, fmt.Errorf("explained.txt: %w", err)
			}
			patterns[index] = pattern
		}
		all = append(all, exception{patterns[0], patterns[1]})
	}
	return all, nil
}

func (all exceptions) of(request, line string) bool {
	for _, one := range all {
		if one.request.MatchString(request) && one.line.MatchString(line) {
			return true
		}
	}
	return false
}
