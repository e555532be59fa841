// Command strategies compares what a running server answers with what Kubernetes' own rules say.
//
// Kubernetes' packages for its kinds are part of this program. For each kind of objects.yaml, and for each
// single change to that object, they are asked what they default, refuse and warn of, and the server whose
// kubeconfig $KUBECONFIG names is asked the same by a dry run: for a new object, for an update of one that is
// there, and for what is written to a subresource of it, of which subresources.yaml tells. Differences are printed, grouped by what differs, and end the program with a failure unless
// explained.txt explains them.
//
//	KUBECONFIG=... go run . [-kind Pod,Service] [-verb create|update|status|...]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/capabilities"
)

func main() {
	kinds := flag.String("kind", "", "kinds to compare, separated by commas; else all")
	verb := flag.String("verb", "", "create, update or a subresource; else all")
	flag.Parse()
	// Kubernetes' packages say at length what they think of odd objects.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	// A server refuses privileged containers unless it is told otherwise, as every installer of clusters does.
	capabilities.Setup(true, 0)
	server, err := connect()
	if err == nil {
		err = run(server, *kinds, *verb)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "strategies:", err)
		os.Exit(1)
	}
}

// A difference, as the first change shows it, and how many others do.
type difference struct {
	kind, verb string
	lines      []string
	change     string
	count      int
}

// What is refused says nothing about the rule: changes that break the same rule are one difference.
var value = regexp.MustCompile(`value: .*: `)

func run(server *server, kinds, verb string) error {
	bases, err := objects()
	if err != nil {
		return err
	}
	explained, err := explanations()
	if err != nil {
		return err
	}
	known := func(name string) bool { return kinds == "" || slices.Contains(strings.Split(kinds, ","), name) }
	found := map[string]*difference{}
	asked, silent := 0, 0
	for _, base := range bases {
		kind := base["kind"].(string)
		if !known(kind) {
			continue
		}
		if kind == customKind {
			if err := define(server); err != nil {
				return err
			}
			defer server.remove(custom.definition)
		}
		suites, err := subresourceSuites(kind)
		if err != nil {
			return err
		}
		for _, suite := range append([]suite{creates, updates}, suites...) {
			if verb != "" && verb != suite.verb {
				continue
			}
			outcome, err := suite.run(server, base)
			if err != nil {
				return fmt.Errorf("%s %s: %w", suite.verb, kind, err)
			}
			asked += outcome.asked
			silent += outcome.silent
			for _, one := range outcome.found {
				lines := slices.DeleteFunc(one.lines, func(line string) bool { return explained.of(kind, suite.verb, line) })
				if len(lines) == 0 {
					continue
				}
				key := kind + " " + suite.verb
				for _, line := range lines {
					first, _, _ := strings.Cut(line, "\n")
					key += "\n" + value.ReplaceAllString(first, "value: ")
				}
				if found[key] == nil {
					found[key] = &difference{kind: kind, verb: suite.verb, lines: lines, change: one.change}
				}
				found[key].count++
			}
		}
	}
	keys := make([]string, 0, len(found))
	for key := range found {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		it := found[key]
		fmt.Printf("%s %s: %d changes, such as %s\n", it.verb, it.kind, it.count, it.change)
		for _, line := range it.lines {
			fmt.Printf("    %s\n", line)
		}
	}
	fmt.Printf("%d questions, %d more that Kubernetes' packages do not answer, %d unexplained differences\n",
		asked, silent, len(found))
	idle := explained.idle()
	if kinds == "" && verb == "" {
		for _, line := range idle {
			fmt.Println("explains nothing:", line)
		}
	} else {
		idle = nil
	}
	if len(found)+len(idle) > 0 {
		return fmt.Errorf("%d differences without an explanation, %d explanations of nothing", len(found), len(idle))
	}
	return nil
}
