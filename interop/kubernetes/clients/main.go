// Command clients drives a cluster with everything that client-go offers, as programs use it: typed
// clients in protobuf, informers, the dynamic and the metadata client, discovery, leader election,
// server-side apply. It needs a kubeconfig of an administrator and prints one line per check.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	corev1 "k8s.io/api/core/v1"
)

// Each check has its own time, so that one that hangs does not take the others with it.
const patience = 30 * time.Second

type suite struct {
	config    *rest.Config // JSON
	protobuf  *rest.Config
	typed     kubernetes.Interface // in protobuf
	namespace string
	only      string
	failures  int
}

func main() {
	klog.InitFlags(nil)
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "of an administrator")
	only := flag.String("run", "", "only checks whose name contains this")
	streams := flag.Bool("streams", false, "also check exec, logs and port-forward, which need a node and the image given")
	image := flag.String("image", "", "an image with a shell that the node has")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	config.QPS, config.Burst = 500, 1000
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	protobuf.AcceptContentTypes = runtime.ContentTypeProtobuf
	s := &suite{config: config, protobuf: protobuf, typed: kubernetes.NewForConfigOrDie(protobuf), only: *only}
	ctx := context.Background()
	namespace, err := s.typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "client-go-"},
	}, metav1.CreateOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	s.namespace = namespace.Name
	// A controller makes it where there are controllers; pods need it.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err = s.typed.CoreV1().ServiceAccounts(s.namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !errors.IsAlreadyExists(err) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	s.discovery(ctx)
	s.kinds(ctx)
	s.forms(ctx)
	s.informers(ctx)
	s.dynamic(ctx)
	s.metadata(ctx)
	s.apply(ctx)
	s.election(ctx)
	if *streams {
		s.streams(ctx, *image)
	}
	if err := s.typed.CoreV1().Namespaces().Delete(ctx, s.namespace, metav1.DeleteOptions{}); err != nil {
		fmt.Println("FAIL the namespace goes:", err)
		s.failures++
	}
	if s.failures > 0 {
		fmt.Println(s.failures, "checks failed")
		os.Exit(1)
	}
}

func (s *suite) check(name string, run func(context.Context) error) {
	if !strings.Contains(name, s.only) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	started := time.Now()
	if err := run(ctx); err != nil {
		s.failures++
		fmt.Printf("FAIL %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok   %s (%d ms)\n", name, time.Since(started).Milliseconds())
}

// expect is an error unless the values are the same.
func expect[T comparable](what string, found, expected T) error {
	if found != expected {
		return fmt.Errorf("%s: found %v, expected %v", what, found, expected)
	}
	return nil
}
