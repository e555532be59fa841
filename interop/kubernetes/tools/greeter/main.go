// Command greeter is a controller as people write them with controller-runtime: a kind of its own, an object
// that it keeps for each, status, finalizer, events, an index, and a leader among several copies.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

const finalizer = "greetings.example.com/farewell"

var kind = schema.GroupVersionKind{Group: "greetings.example.com", Version: "v1", Kind: "Greeting"}

type greeter struct {
	client.Client
	events events.EventRecorder
	name   string
}

func (g *greeter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	greeting := &unstructured.Unstructured{}
	greeting.SetGroupVersionKind(kind)
	if err := g.Get(ctx, request.NamespacedName, greeting); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	word, _, _ := unstructured.NestedString(greeting.Object, "spec", "word")
	if !greeting.GetDeletionTimestamp().IsZero() {
		farewell := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: request.Name + "-farewell", Namespace: request.Namespace}}
		if err := client.IgnoreAlreadyExists(g.Create(ctx, farewell)); err != nil {
			return ctrl.Result{}, err
		}
		controllerutil.RemoveFinalizer(greeting, finalizer)
		return ctrl.Result{}, g.Update(ctx, greeting)
	}
	if controllerutil.AddFinalizer(greeting, finalizer) {
		if err := g.Update(ctx, greeting); err != nil {
			return ctrl.Result{}, err
		}
	}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: request.Name, Namespace: request.Namespace}}
	done, err := controllerutil.CreateOrUpdate(ctx, g.Client, settings, func() error {
		settings.Data = map[string]string{"word": word}
		return controllerutil.SetControllerReference(greeting, settings, g.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	if done != controllerutil.OperationResultNone {
		g.events.Eventf(greeting, settings, corev1.EventTypeNormal, "Greeted", "Greet", "said %s", word)
	}
	same := &unstructured.UnstructuredList{}
	same.SetGroupVersionKind(kind)
	if err := g.List(ctx, same, client.InNamespace(request.Namespace), client.MatchingFields{"word": word}); err != nil {
		return ctrl.Result{}, err
	}
	patch := client.MergeFrom(greeting.DeepCopy())
	if err := unstructured.SetNestedMap(greeting.Object, map[string]any{
		"by": g.name, "said": word, "same": int64(len(same.Items)),
	}, "status"); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, g.Status().Patch(ctx, greeting, patch)
}

func run() error {
	ctrl.SetLogger(zap.New())
	lease, renew, retry := 4*time.Second, 3*time.Second, 500*time.Millisecond
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		LeaderElection: true, LeaderElectionID: "greeter", LeaderElectionReleaseOnCancel: true,
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
		HealthProbeBindAddress: ":8081",
		// The index is the cache's.
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := manager.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	greeting := &unstructured.Unstructured{}
	greeting.SetGroupVersionKind(kind)
	err = manager.GetFieldIndexer().IndexField(context.Background(), greeting, "word", func(object client.Object) []string {
		word, _, _ := unstructured.NestedString(object.(*unstructured.Unstructured).Object, "spec", "word")
		return []string{word}
	})
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	reconciler := &greeter{Client: manager.GetClient(), events: manager.GetEventRecorder("greeter"), name: os.Getenv("POD_NAME")}
	if err := ctrl.NewControllerManagedBy(manager).For(greeting).Owns(&corev1.ConfigMap{}).Complete(reconciler); err != nil {
		return fmt.Errorf("make the controller: %w", err)
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
