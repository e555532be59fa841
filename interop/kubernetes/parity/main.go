// Command parity plays the same requests to Kubernetes' own API server and to another, and compares the answers.
//
// Kubernetes' API server and etcd are part of this program, and run within it. The other is the one whose kubeconfig
// $KUBECONFIG names; nothing but an API server should be at work there, since controllers would change what is compared.
// Requests are lines of files (see requests.go), or the life of each object of a file of YAML documents. Answers are compared whole, status, headers and body, but for what
// each server draws for itself; what differs is printed and ends the program with a failure unless explained.txt
// explains it.
//
//	KUBECONFIG=... go run . [file...]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	verbose := flag.Bool("v", false, "print answers that are the same, too")
	flag.Parse()
	folder, err := os.MkdirTemp("", "parity")
	if err == nil {
		err = run(folder, flag.Args(), *verbose)
		os.RemoveAll(folder)
	}
	if err != nil {
		// To where the differences are: what Kubernetes logs goes to the other stream.
		fmt.Println("parity:", err)
		os.Exit(1)
	}
}

func run(folder string, files []string, verbose bool) error {
	explained, err := explanations()
	if err != nil {
		return err
	}
	portolan, err := connect()
	if err != nil {
		return err
	}
	administrator, err := portolan.administrator()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	kubernetes, err := startUpstream(ctx, folder, administrator)
	if err != nil {
		return err
	}
	hooks, err := startHooks()
	if err != nil {
		return err
	}
	kubernetes.hooks, portolan.hooks = hooks, hooks
	asked, unexplained := 0, 0
	for _, file := range files {
		read := script
		if strings.HasSuffix(file, ".yaml") {
			read = kubernetes.lives
		}
		requests, err := read(file)
		if err != nil {
			return err
		}
		fmt.Println("#", file)
		hooked := ""
		for _, one := range requests {
			if one.method == "HOOK" {
				hooks.set(one)
				hooked = one.line
				continue
			}
			want, got := kubernetes.ask(one), portolan.ask(one)
			asked++
			var lines []string
			for _, line := range difference(want, got) {
				if !explained.of(one.line, line) {
					lines = append(lines, line)
				}
			}
			if verbose {
				lines = want
			}
			if len(lines) == 0 {
				continue
			}
			unexplained++
			if hooked != "" {
				// What the webhooks do counts as much as what is asked.
				fmt.Printf("%.200s\n", hooked)
			}
			fmt.Printf("%.200s\n", one.line)
			for _, line := range lines {
				fmt.Printf("    %.500s\n", line)
			}
		}
	}
	fmt.Printf("%d requests, %d with unexplained differences\n", asked, unexplained)
	if unexplained > 0 && !verbose {
		return fmt.Errorf("answers differ")
	}
	return nil
}

// The answer as lines, or why there is none.
func (it *target) ask(one request) []string {
	told, err := it.send(one)
	if err != nil {
		return []string{"no answer: " + err.Error()}
	}
	return it.shown(told)
}

// The name of whom the kubeconfig is for.
func (it *target) administrator() (string, error) {
	review := `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	told, err := it.send(request{
		method: "POST", path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", contentType: "application/json", body: []byte(review),
	})
	if err != nil {
		return "", err
	}
	var answered struct {
		Status struct{ UserInfo struct{ Username string } }
	}
	if err := json.Unmarshal(told.body, &answered); err != nil {
		return "", err
	}
	return answered.Status.UserInfo.Username, nil
}
