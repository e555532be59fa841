package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func (s *suite) discovery(ctx context.Context) {
	for name, config := range map[string]*rest.Config{"JSON": s.config, "protobuf": s.protobuf} {
		s.check("discovery in "+name, func(context.Context) error {
			// The version is told in JSON alone.
			config := rest.CopyConfig(config)
			config.AcceptContentTypes = config.ContentType + ",application/json"
			client, err := discovery.NewDiscoveryClientForConfig(config)
			if err != nil {
				return err
			}
			client.UseLegacyDiscovery = name == "protobuf"
			version, err := client.ServerVersion()
			if err != nil {
				return err
			}
			if err := expect("major", version.Major, "1"); err != nil {
				return err
			}
			groups, resources, err := client.ServerGroupsAndResources()
			if err != nil {
				return err
			}
			if len(groups) < 15 || len(resources) < 15 {
				return fmt.Errorf("%d groups and %d lists of resources", len(groups), len(resources))
			}
			if _, err := client.OpenAPISchema(); err != nil {
				return fmt.Errorf("OpenAPI v2: %w", err)
			}
			paths, err := client.OpenAPIV3().Paths()
			if err != nil {
				return fmt.Errorf("OpenAPI v3: %w", err)
			}
			if _, err := paths["apis/apps/v1"].Schema("application/json"); err != nil {
				return fmt.Errorf("OpenAPI v3: %w", err)
			}
			return nil
		})
	}
	s.check("the mapper finds resources, kinds and short names", func(context.Context) error {
		client := memory.NewMemCacheClient(discovery.NewDiscoveryClientForConfigOrDie(s.config))
		deferred := restmapper.NewDeferredDiscoveryRESTMapper(client)
		mapper := restmapper.NewShortcutExpander(deferred, client, nil)
		mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
		if err != nil {
			return err
		}
		if err := expect("resource", mapping.Resource.String(), "apps/v1, Resource=deployments"); err != nil {
			return err
		}
		resource, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: "deploy"})
		if err != nil {
			return err
		}
		if err := expect("short name", resource.Resource, "deployments"); err != nil {
			return err
		}
		_, err = mapper.KindFor(schema.GroupVersionResource{Resource: "nonsuches"})
		if err == nil {
			return errors.New("a resource that is not there was found")
		}
		return nil
	})
}

// forms checks what goes on besides objects: refusals, options, pages, streams of events.
func (s *suite) forms(ctx context.Context) {
	maps := s.typed.CoreV1().ConfigMaps(s.namespace)
	s.check("refusals in protobuf keep their details", func(ctx context.Context) error {
		_, err := maps.Get(ctx, "none", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		}
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Details == nil || status.Status().Details.Name != "none" {
			return fmt.Errorf("details: %#v", err)
		}
		bad := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "A B"}}
		_, err = s.typed.CoreV1().Pods(s.namespace).Create(ctx, bad, metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) || !errors.As(err, &status) || len(status.Status().Details.Causes) < 2 {
			return fmt.Errorf("causes: %w", err)
		}
		return nil
	})
	s.check("a collection is deleted by options in protobuf", func(ctx context.Context) error {
		for index := range 5 {
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("collected-%d", index), Labels: map[string]string{"collected": "yes"},
			}}
			if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		background := metav1.DeletePropagationBackground
		options := metav1.ListOptions{LabelSelector: "collected=yes"}
		if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, options); err != nil {
			return err
		}
		left, err := maps.List(ctx, options)
		if err != nil {
			return err
		}
		return expect("left", len(left.Items), 0)
	})
	s.check("a list comes in pages of one revision", func(ctx context.Context) error {
		for index := range 25 {
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("page-%02d", index), Labels: map[string]string{"page": "yes"},
			}}
			if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		var names []string
		pages := pager.New(pager.SimplePageFunc(func(options metav1.ListOptions) (runtime.Object, error) {
			return maps.List(ctx, options)
		}))
		pages.PageSize = 10
		err := pages.EachListItem(ctx, metav1.ListOptions{LabelSelector: "page=yes"}, func(object runtime.Object) error {
			names = append(names, object.(*corev1.ConfigMap).Name)
			return nil
		})
		if err != nil {
			return err
		}
		if !slices.IsSorted(names) {
			return fmt.Errorf("not in order: %v", names)
		}
		return expect("items", len(names), 25)
	})
	s.check("a large list is compressed and read", func(ctx context.Context) error {
		for index := range 20 {
			data := make([]byte, 20_000)
			for place := range data {
				data[place] = 'a' + byte(place*index%26)
			}
			object := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", index), Labels: map[string]string{"large": "yes"}},
				Data:       map[string]string{"data": string(data)},
			}
			if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		list, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "large=yes"})
		if err != nil {
			return err
		}
		if err := expect("items", len(list.Items), 20); err != nil {
			return err
		}
		return expect("size", len(list.Items[7].Data["data"]), 20_000)
	})
	s.check("a watch of a revision that is gone ends in an error", func(ctx context.Context) error {
		events, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: "999999999"})
		if err != nil {
			return nil
		}
		defer events.Stop()
		event := <-events.ResultChan()
		if event.Type != watch.Error {
			return fmt.Errorf("saw %v", event)
		}
		return nil
	})
	s.check("warnings and strict field validation", func(ctx context.Context) error {
		warnings := &collector{}
		config := rest.CopyConfig(s.config)
		config.WarningHandlerWithContext = warnings
		client := dynamic.NewForConfigOrDie(config).Resource(configMaps).Namespace(s.namespace)
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "odd"}, "datum": "x",
		}}
		_, err := client.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Strict"})
		if !apierrors.IsBadRequest(err) {
			return fmt.Errorf("strict: %w", err)
		}
		if _, err := client.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Warn"}); err != nil {
			return err
		}
		if err := expect("warnings", len(warnings.texts), 1); err != nil {
			return err
		}
		return expect("warning", warnings.texts[0], `unknown field "datum"`)
	})
}

type collector struct{ texts []string }

func (c *collector) HandleWarningHeaderWithContext(_ context.Context, code int, _ string, text string) {
	c.texts = append(c.texts, text)
}

func (s *suite) informers(ctx context.Context) {
	for name, config := range map[string]*rest.Config{"JSON": s.config, "protobuf": s.protobuf} {
		s.check("informers in "+name+" follow changes", func(ctx context.Context) error {
			return s.informer(ctx, kubernetes.NewForConfigOrDie(config))
		})
	}
}

func (s *suite) informer(ctx context.Context, client kubernetes.Interface) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(s.namespace))
	defer factory.Shutdown()
	defer cancel()
	maps := factory.Core().V1().ConfigMaps()
	var added, updated, deleted atomic.Int32
	_, err := maps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		UpdateFunc: func(any, any) { updated.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	})
	if err != nil {
		return err
	}
	// More kinds at a time, as controllers have.
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(), factory.Core().V1().Secrets().Informer(),
		factory.Apps().V1().Deployments().Informer(), factory.Core().V1().Events().Informer(),
		factory.Discovery().V1().EndpointSlices().Informer(), factory.Coordination().V1().Leases().Informer(),
	} {
		informer.HasSynced()
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%v never synced", kind)
		}
	}
	before := added.Load()
	api := client.CoreV1().ConfigMaps(s.namespace)
	object, err := api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "informed-"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	object.Data = map[string]string{"a": "b"}
	if _, err := api.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := until(ctx, func() bool {
		found, err := maps.Lister().ConfigMaps(s.namespace).Get(object.Name)
		return err == nil && found.Data["a"] == "b"
	}); err != nil {
		return fmt.Errorf("the update never came: %w", err)
	}
	if err := api.Delete(ctx, object.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return until(ctx, func() bool {
		return added.Load() > before && updated.Load() >= 1 && deleted.Load() >= 1
	})
}

func until(ctx context.Context, reached func() bool) error {
	for !reached() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (s *suite) dynamic(ctx context.Context) {
	s.check("the dynamic client and its informers", func(ctx context.Context) error {
		client := dynamic.NewForConfigOrDie(s.config)
		factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, s.namespace, nil)
		ctx, cancel := context.WithCancel(ctx)
		defer factory.Shutdown()
		defer cancel()
		lister := factory.ForResource(configMaps).Lister()
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		maps := client.Resource(configMaps).Namespace(s.namespace)
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "dynamic"}, "data": map[string]any{"a": "b"},
		}}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
		if err := until(ctx, func() bool {
			found, err := lister.ByNamespace(s.namespace).List(labels.Everything())
			return err == nil && slices.ContainsFunc(found, func(object runtime.Object) bool {
				return object.(*unstructured.Unstructured).GetName() == "dynamic"
			})
		}); err != nil {
			return err
		}
		object.SetKind("ConfigMap")
		if _, err := maps.Apply(ctx, "dynamic", &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "dynamic"}, "data": map[string]any{"c": "d"},
		}}, metav1.ApplyOptions{FieldManager: "dynamic"}); err != nil {
			return err
		}
		found, err := maps.Get(ctx, "dynamic", metav1.GetOptions{})
		if err != nil {
			return err
		}
		value, _, _ := unstructured.NestedString(found.Object, "data", "c")
		return expect("applied", value, "d")
	})
}

func (s *suite) metadata(ctx context.Context) {
	s.check("the metadata client and its informers", func(ctx context.Context) error {
		client := metadata.NewForConfigOrDie(metadata.ConfigFor(s.config))
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "described", Labels: map[string]string{"a": "b"}}}
		if _, err := s.typed.CoreV1().ConfigMaps(s.namespace).Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
		factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, s.namespace, nil)
		ctx, cancel := context.WithCancel(ctx)
		defer factory.Shutdown()
		defer cancel()
		lister := factory.ForResource(configMaps).Lister()
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		if _, err := lister.ByNamespace(s.namespace).Get("described"); err != nil {
			return err
		}
		maps := client.Resource(configMaps).Namespace(s.namespace)
		found, err := maps.Get(ctx, "described", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := expect("label", found.Labels["a"], "b"); err != nil {
			return err
		}
		patch := []byte(`{"metadata":{"labels":{"c":"d"}}}`)
		if found, err = maps.Patch(ctx, "described", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return err
		}
		if err := expect("patched", found.Labels["c"], "d"); err != nil {
			return err
		}
		list, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "a=b"})
		if err != nil {
			return err
		}
		return expect("items", len(list.Items), 1)
	})
}

func (s *suite) apply(ctx context.Context) {
	s.check("typed apply owns, conflicts and takes over", func(ctx context.Context) error {
		deployments := s.typed.AppsV1().Deployments(s.namespace)
		configuration := func(replicas int32) *appsapply.DeploymentApplyConfiguration {
			return appsapply.Deployment("applied", s.namespace).WithSpec(appsapply.DeploymentSpec().
				WithReplicas(replicas).
				WithSelector(metaapply.LabelSelector().WithMatchLabels(map[string]string{"a": "b"})).
				WithTemplate(coreapply.PodTemplateSpec().WithLabels(map[string]string{"a": "b"}).WithSpec(coreapply.PodSpec().
					WithNodeSelector(map[string]string{"none": "such"}).
					WithContainers(coreapply.Container().WithName("c").WithImage("i").
						WithPorts(coreapply.ContainerPort().WithContainerPort(80))))))
		}
		first, err := deployments.Apply(ctx, configuration(0), metav1.ApplyOptions{FieldManager: "first"})
		if err != nil {
			return err
		}
		again, err := deployments.Apply(ctx, configuration(0), metav1.ApplyOptions{FieldManager: "first"})
		if err != nil {
			return err
		}
		if err := expect("generation after the same again", again.Generation, first.Generation); err != nil {
			return err
		}
		_, err = deployments.Apply(ctx, configuration(1), metav1.ApplyOptions{FieldManager: "second"})
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("no conflict: %w", err)
		}
		var status apierrors.APIStatus
		if !errors.As(err, &status) || len(status.Status().Details.Causes) != 1 {
			return fmt.Errorf("causes: %w", err)
		}
		if err := expect("cause", status.Status().Details.Causes[0].Field, ".spec.replicas"); err != nil {
			return err
		}
		taken, err := deployments.Apply(ctx, configuration(1), metav1.ApplyOptions{FieldManager: "second", Force: true})
		if err != nil {
			return err
		}
		if err := expect("replicas", *taken.Spec.Replicas, 1); err != nil {
			return err
		}
		extracted, err := appsapply.ExtractDeployment(taken, "second")
		if err != nil {
			return err
		}
		if err := expect("extracted replicas", *extracted.Spec.Replicas, 1); err != nil {
			return err
		}
		return deployments.Delete(ctx, "applied", metav1.DeleteOptions{})
	})
}

func (s *suite) election(ctx context.Context) {
	s.check("leaders are elected and succeeded", func(ctx context.Context) error {
		var leaders []string
		for _, name := range []string{"one", "two"} {
			elected, cancel := context.WithCancel(ctx)
			lock := &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Namespace: s.namespace, Name: "election"},
				Client:     s.typed.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: name},
			}
			leaderelection.RunOrDie(elected, leaderelection.LeaderElectionConfig{
				Lock: lock, ReleaseOnCancel: true, Name: "election",
				LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(context.Context) {
						leaders = append(leaders, name)
						cancel()
					},
					OnStoppedLeading: func() {},
				},
			})
			cancel()
		}
		return expect("leaders", fmt.Sprint(leaders), "[one two]")
	})
}
