package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A request of a script.
type request struct {
	line, method, path, contentType string
	headers                         [][2]string
	body                            []byte
}

// The requests of a script: lines of method, path, type of the body, more headers, body, with a space between them.
// `-` is nothing; a body without a type is JSON. Headers are `name:value`, with `&` between them and `_` for spaces.
// `\xNN`, `\n`, `\t` and `\\` are a byte each, `{{3*ab}}` is `ababab`; `$UID`, `$REVISION` and `$CONTINUE` are those of
// the last object or list that was answered. `HOOK path code headers body` is no request but what the webhook at that
// path of `$HOOK` answers from there on (see hooks.go); `$CA` is the authority that both servers should trust there.
func script(file string) ([]request, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []request
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", file, err, line)
		}
		all = append(all, one)
	}
	return all, nil
}

func parse(line string) (request, error) {
	words := strings.SplitN(line, " ", 5)
	for len(words) < 5 {
		words = append(words, "-")
	}
	for index, word := range words {
		if word == "-" {
			words[index] = ""
			continue
		}
		expanded, err := expand(word)
		if err != nil {
			return request{}, err
		}
		words[index] = expanded
	}
	one := request{line: line, method: words[0], path: words[1], contentType: words[2], body: []byte(words[4])}
	if one.contentType == "" && len(one.body) > 0 && one.method != "HOOK" && !strings.HasPrefix(line, one.method+" "+one.path+" - - -") {
		one.contentType = "application/json"
	}
	if words[3] != "" {
		for _, header := range strings.Split(words[3], "&") {
			name, value, found := strings.Cut(header, ":")
			if !found {
				return request{}, fmt.Errorf("a header without a colon")
			}
			one.headers = append(one.headers, [2]string{name, strings.ReplaceAll(value, "_", " ")})
		}
	}
	return one, nil
}

func expand(text string) (string, error) {
	var out strings.Builder
	for text != "" {
		if count, word, rest, found := repeated(text); found {
			word, err := expand(word)
			if err != nil {
				return "", err
			}
			out.WriteString(strings.Repeat(word, count))
			text = rest
			continue
		}
		if text[0] != '\\' || len(text) < 2 {
			out.WriteByte(text[0])
			text = text[1:]
			continue
		}
		switch text[1] {
		case 'x':
			if len(text) < 4 {
				return "", fmt.Errorf("a byte without two digits")
			}
			number, err := strconv.ParseUint(text[2:4], 16, 8)
			if err != nil {
				return "", err
			}
			out.WriteByte(byte(number))
			text = text[4:]
			continue
		case 'n':
			out.WriteByte('\n')
		case 't':
			out.WriteByte('\t')
		default:
			out.WriteByte('\\')
		}
		text = text[2:]
	}
	return out.String(), nil
}

// What stands between double braces and how often it is meant; it may have braces of its own.
func repeated(text string) (count int, word, rest string, found bool) {
	inner, found := strings.CutPrefix(text, "{{")
	if !found {
		return 0, "", "", false
	}
	number, behind, found := strings.Cut(inner, "*")
	count, err := strconv.Atoi(number)
	end := strings.Index(behind, "}}")
	if !found || err != nil || end < 0 {
		return 0, "", "", false
	}
	for strings.HasPrefix(behind[end+1:], "}}") {
		end++
	}
	return count, behind[:end], behind[end+2:], true
}
