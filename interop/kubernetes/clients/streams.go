package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

// streams checks what goes through to a pod on a node.
func (s *suite) streams(ctx context.Context, image string) {
	pods := s.typed.CoreV1().Pods(s.namespace)
	zero := int64(0)
	script := `printf 'while read -r line && [ "$line" != "$(printf "\\r")" ]; do :; done
printf "HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n"; exec busybox cat' > /upgrade
busybox nc -ll -p 9000 -e sh /upgrade &
echo started; while :; do printf 'HTTP/1.0 200 OK\r\n\r\nhello' | busybox nc -l -p 8080 >/dev/null; done`
	s.check("a pod runs", func(ctx context.Context) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "streams"}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &zero,
			Containers:                    []corev1.Container{{Name: "c", Image: image, Command: []string{"sh", "-c", script}}},
		}}
		if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
		events, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=streams"})
		if err != nil {
			return err
		}
		defer events.Stop()
		for event := range events.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodRunning {
				return nil
			}
		}
		return ctx.Err()
	})
	s.check("logs", func(ctx context.Context) error {
		var text string
		err := until(ctx, func() bool {
			log, err := pods.GetLogs("streams", &corev1.PodLogOptions{}).DoRaw(ctx)
			text = string(log)
			return err == nil && text != ""
		})
		if err != nil {
			return err
		}
		return expect("log", text, "started\n")
	})
	exec := s.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.namespace).Name("streams").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: "c", Command: []string{"sh", "-c", "cat; echo oops >&2; exit 3"}, Stdin: true, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	for _, transport := range []string{"websocket", "SPDY"} {
		s.check("exec over "+transport, func(ctx context.Context) error {
			var executor remotecommand.Executor
			var err error
			if transport == "SPDY" {
				executor, err = remotecommand.NewSPDYExecutor(s.config, "POST", exec.URL())
			} else {
				executor, err = remotecommand.NewWebSocketExecutor(s.config, "GET", exec.URL().String())
			}
			if err != nil {
				return err
			}
			var stdout, stderr bytes.Buffer
			err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{
				Stdin: strings.NewReader("given"), Stdout: &stdout, Stderr: &stderr,
			})
			if err == nil || !strings.Contains(err.Error(), "exit code 3") {
				return fmt.Errorf("exit: %w", err)
			}
			return expect("output", stdout.String()+"|"+stderr.String(), "given|oops\n")
		})
	}
	s.check("upgrades through the pod's proxy", func(ctx context.Context) error {
		return s.upgrade(ctx, "pods/streams:9000/proxy/socket")
	})
	s.check("port-forward", func(ctx context.Context) error { return s.portForward(ctx) })
	s.check("the pod goes", func(ctx context.Context) error {
		return pods.Delete(ctx, "streams", metav1.DeleteOptions{GracePeriodSeconds: &zero})
	})
}

// upgrade switches the protocol of a connection and sends bytes to and fro, as a WebSocket does.
func (s *suite) upgrade(ctx context.Context, path string) error {
	config := rest.CopyConfig(s.config)
	// Protocols are switched in HTTP/1.1 only.
	config.NextProtos = []string{"http/1.1"}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, "GET", config.Host+"/api/v1/namespaces/"+s.namespace+"/"+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	stream, ok := response.Body.(io.ReadWriteCloser)
	if !ok || response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("not switched: %s", response.Status)
	}
	if _, err := stream.Write([]byte("to and fro")); err != nil {
		return err
	}
	back := make([]byte, len("to and fro"))
	if _, err := io.ReadFull(stream, back); err != nil {
		return err
	}
	return expect("echo", string(back), "to and fro")
}

func (s *suite) portForward(ctx context.Context) error {
	request := s.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.namespace).Name("streams").SubResource("portforward")
	transport, upgrader, err := spdy.RoundTripperFor(rest.CopyConfig(s.config))
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", request.URL())
	stop, ready := make(chan struct{}), make(chan struct{})
	defer close(stop)
	forwarder, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, os.Stderr)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	var dial net.Dialer
	connection, err := dial.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		return err
	}
	defer connection.Close()
	answer, err := io.ReadAll(connection)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(string(answer), "hello") {
		return fmt.Errorf("answer %q", answer)
	}
	return nil
}
