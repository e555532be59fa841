package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// What an object needs besides its name, by resource and group.
var bodies = map[string]string{
	"apiservices.apiregistration.k8s.io": `{"metadata":{"name":"v1.client-go.example"},"spec":{"group":"client-go.example","version":"v1","groupPriorityMinimum":10,"versionPriority":10}}`,
	"bindings":                           "",
	"certificatesigningrequests.certificates.k8s.io":                 "",
	"clusterrolebindings.rbac.authorization.k8s.io":                  `{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}`,
	"rolebindings.rbac.authorization.k8s.io":                         `{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}`,
	"controllerrevisions.apps":                                       `{"revision":1,"data":{"a":1}}`,
	"cronjobs.batch":                                                 `{"spec":{"schedule":"* * * * *","suspend":true,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}`,
	"csidrivers.storage.k8s.io":                                      `{"spec":{"attachRequired":true}}`,
	"csinodes.storage.k8s.io":                                        `{"spec":{"drivers":[]}}`,
	"csistoragecapacities.storage.k8s.io":                            `{"storageClassName":"a","capacity":"1Gi"}`,
	"customresourcedefinitions.apiextensions.k8s.io":                 "",
	"daemonsets.apps":                                                `{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"nodeSelector":{"none":"such"},"containers":[{"name":"c","image":"i"}]}}}}`,
	"deployments.apps":                                               `{"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
	"deviceclasses.resource.k8s.io":                                  `{"spec":{"selectors":[{"cel":{"expression":"true"}}]}}`,
	"endpointslices.discovery.k8s.io":                                `{"addressType":"IPv4","endpoints":[{"addresses":["10.1.2.3"]}],"ports":[{"name":"a","port":80,"protocol":"TCP"}]}`,
	"events":                                                         `{"involvedObject":{"namespace":"NAMESPACE","kind":"Pod","name":"p"},"reason":"Test","type":"Normal","firstTimestamp":"2026-01-01T00:00:00Z"}`,
	"events.events.k8s.io":                                           `{"eventTime":"2026-01-01T00:00:00.000001Z","action":"a","reason":"r","reportingController":"example.com/c","reportingInstance":"i","type":"Normal","regarding":{"namespace":"NAMESPACE","kind":"Pod","name":"p"}}`,
	"flowschemas.flowcontrol.apiserver.k8s.io":                       `{"spec":{"priorityLevelConfiguration":{"name":"global-default"},"matchingPrecedence":9000}}`,
	"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io":       `{"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":1,"limitResponse":{"type":"Reject"}}}}`,
	"horizontalpodautoscalers.autoscaling":                           `{"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}}`,
	"ingressclasses.networking.k8s.io":                               `{"spec":{"controller":"example.com/c"}}`,
	"ingresses.networking.k8s.io":                                    `{"spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}}}}`,
	"ipaddresses.networking.k8s.io":                                  `{"metadata":{"name":"192.0.2.77"},"spec":{"parentRef":{"resource":"services","namespace":"default","name":"s"}}}`,
	"servicecidrs.networking.k8s.io":                                 `{"spec":{"cidrs":["10.231.0.0/24"]}}`,
	"jobs.batch":                                                     `{"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}`,
	"leases.coordination.k8s.io":                                     `{"spec":{"holderIdentity":"a","renewTime":"2026-01-01T00:00:00.000001Z","leaseDurationSeconds":10}}`,
	"limitranges":                                                    `{"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"10Gi"}}]}}`,
	"localsubjectaccessreviews.authorization.k8s.io":                 "",
	"mutatingadmissionpolicies.admissionregistration.k8s.io":         `{"spec":{"reinvocationPolicy":"Never","matchConstraints":{"resourceRules":[{"apiGroups":["none.example"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nones"]}]},"mutations":[{"patchType":"ApplyConfiguration","applyConfiguration":{"expression":"Object{}"}}]}}`,
	"mutatingadmissionpolicybindings.admissionregistration.k8s.io":   `{"spec":{"policyName":"none"}}`,
	"mutatingwebhookconfigurations.admissionregistration.k8s.io":     `{"webhooks":[]}`,
	"validatingwebhookconfigurations.admissionregistration.k8s.io":   `{"webhooks":[]}`,
	"validatingadmissionpolicies.admissionregistration.k8s.io":       `{"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":["none.example"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nones"]}]},"validations":[{"expression":"true"}]}}`,
	"validatingadmissionpolicybindings.admissionregistration.k8s.io": `{"spec":{"policyName":"none","validationActions":["Deny"]}}`,
	"networkpolicies.networking.k8s.io":                              `{"spec":{"podSelector":{}}}`,
	"nodes":                                                          `{"spec":{"unschedulable":true}}`,
	"persistentvolumeclaims":                                         `{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`,
	"persistentvolumes":                                              `{"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/tmp/none"}}}`,
	"poddisruptionbudgets.policy":                                    `{"spec":{"minAvailable":"50%","selector":{"matchLabels":{"a":"b"}}}}`,
	"pods":                                                           `{"spec":{"nodeSelector":{"none":"such"},"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1500m","memory":"1Gi"}},"readinessProbe":{"httpGet":{"port":"http"}}}]}}`,
	"podtemplates":                                                   `{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}`,
	"priorityclasses.scheduling.k8s.io":                              `{"value":5}`,
	"replicasets.apps":                                               `{"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
	"replicationcontrollers":                                         `{"spec":{"replicas":0,"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
	"resourceclaims.resource.k8s.io":                                 `{"spec":{"devices":{}}}`,
	"resourceclaimtemplates.resource.k8s.io":                         `{"spec":{"spec":{"devices":{}}}}`,
	"resourceslices.resource.k8s.io":                                 `{"spec":{"driver":"a.example.com","nodeName":"n","pool":{"name":"p","generation":1,"resourceSliceCount":1}}}`,
	"resourcequotas":                                                 `{"spec":{"hard":{"count/nones.none.example":"10"}}}`,
	"runtimeclasses.node.k8s.io":                                     `{"handler":"h"}`,
	"secrets":                                                        `{"data":{"a":"/wA="},"stringData":{"b":"c"}}`,
	"services":                                                       `{"spec":{"selector":{"a":"b"},"ports":[{"port":80,"targetPort":"http"}]}}`,
	"statefulsets.apps":                                              `{"spec":{"replicas":0,"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
	"storageclasses.storage.k8s.io":                                  `{"provisioner":"example.com/p"}`,
	"volumeattachments.storage.k8s.io":                               `{"spec":{"attacher":"a","nodeName":"n","source":{"persistentVolumeName":"pv"}}}`,
	"volumeattributesclasses.storage.k8s.io":                         `{"driverName":"example.com"}`,
	"configmaps":                                                     `{"data":{"a":"b"},"binaryData":{"c":"/wA="}}`,
}

// kinds writes, reads, follows and deletes an object of every kind that the typed clients know and the
// server serves, in protobuf.
func (s *suite) kinds(ctx context.Context) {
	client := discovery.NewDiscoveryClientForConfigOrDie(s.config)
	lists, err := client.ServerPreferredResources()
	if err != nil {
		s.check("kinds", func(context.Context) error { return err })
		return
	}
	for _, list := range lists {
		version, _ := schema.ParseGroupVersion(list.GroupVersion)
		for _, resource := range list.APIResources {
			if strings.Contains(resource.Name, "/") || !slices.Contains(resource.Verbs, "create") || !slices.Contains(resource.Verbs, "watch") {
				continue
			}
			kind := version.WithKind(resource.Kind)
			if !scheme.Scheme.Recognizes(kind) {
				continue
			}
			name := resource.Name
			if version.Group != "" {
				name += "." + version.Group
			}
			body, known := bodies[name]
			if known && body == "" {
				continue
			}
			if !known {
				body = "{}"
			}
			s.check("kind "+name, func(ctx context.Context) error { return s.kind(ctx, kind, resource, body) })
		}
	}
}

func (s *suite) kind(ctx context.Context, kind schema.GroupVersionKind, resource metav1.APIResource, body string) error {
	client, err := s.rest(kind.GroupVersion())
	if err != nil {
		return err
	}
	object, err := scheme.Scheme.New(kind)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(body, "NAMESPACE", s.namespace)), object); err != nil {
		return err
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if accessor.GetName() == "" {
		accessor.SetName(s.namespace + "-object")
	}
	accessor.SetLabels(map[string]string{"client-go": s.namespace})
	name := accessor.GetName()
	on := func(request *rest.Request) *rest.Request {
		return request.NamespaceIfScoped(s.namespace, resource.Namespaced).Resource(resource.Name)
	}
	fresh := func() runtime.Object {
		object, _ := scheme.Scheme.New(kind)
		return object
	}
	options := &metav1.ListOptions{LabelSelector: "client-go=" + s.namespace}
	follow := *options
	follow.Watch = true
	events, err := on(client.Get()).VersionedParams(&follow, scheme.ParameterCodec).Watch(ctx)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer events.Stop()

	created := fresh()
	if err := on(client.Post()).Body(object).Do(ctx).Into(created); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := on(client.Post()).Body(object).Do(ctx).Error(); !errors.IsAlreadyExists(err) {
		return fmt.Errorf("create again: %w", err)
	}
	got := fresh()
	if err := on(client.Get()).Name(name).Do(ctx).Into(got); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	// The same object in JSON: nothing is lost or made up in protobuf.
	inJSON := fresh()
	if err := on(client.Get()).Name(name).SetHeader("Accept", "application/json").Do(ctx).Into(inJSON); err != nil {
		return fmt.Errorf("get as JSON: %w", err)
	}
	if left, _ := meta.Accessor(got); left.GetUID() == "" {
		return fmt.Errorf("get: no UID")
	}
	same, _ := meta.Accessor(inJSON)
	other, _ := meta.Accessor(got)
	if same.GetResourceVersion() == other.GetResourceVersion() && !equality.Semantic.DeepEqual(got, inJSON) {
		left, _ := json.Marshal(got)
		right, _ := json.Marshal(inJSON)
		return fmt.Errorf("protobuf and JSON differ:\n  %s\n  %s", left, right)
	}
	list, err := on(client.Get()).VersionedParams(options, scheme.ParameterCodec).Do(ctx).Get()
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if err := expect("items", meta.LenList(list), 1); err != nil {
		return err
	}
	// Controllers may write in between, as they do in every cluster.
	for range 10 {
		accessor, _ = meta.Accessor(got)
		accessor.GetLabels()["updated"] = "yes"
		err = on(client.Put()).Name(name).Body(got).Do(ctx).Into(fresh())
		if !errors.IsConflict(err) {
			break
		}
		got = fresh()
		if err := on(client.Get()).Name(name).Do(ctx).Into(got); err != nil {
			return fmt.Errorf("get: %w", err)
		}
	}
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	for patchType, patch := range map[types.PatchType]string{
		types.MergePatchType:          `{"metadata":{"labels":{"merged":"yes"}}}`,
		types.StrategicMergePatchType: `{"metadata":{"labels":{"strategic":"yes"}}}`,
		types.JSONPatchType:           `[{"op":"add","path":"/metadata/labels/patched","value":"yes"}]`,
		types.ApplyYAMLPatchType: fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"labels":{"applied":"yes"}}}`,
			kind.GroupVersion(), kind.Kind, name),
	} {
		patched := fresh()
		request := on(client.Patch(patchType)).Name(name).Param("fieldManager", "clients").Param("force", "true")
		if patchType != types.ApplyYAMLPatchType {
			request = on(client.Patch(patchType)).Name(name)
		}
		if err := request.Body([]byte(patch)).Do(ctx).Into(patched); err != nil {
			return fmt.Errorf("%s: %w", patchType, err)
		}
	}
	if err := on(client.Get()).Name(name).Do(ctx).Into(got); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	accessor, _ = meta.Accessor(got)
	for _, label := range []string{"updated", "merged", "strategic", "patched", "applied"} {
		if err := expect("label "+label, accessor.GetLabels()[label], "yes"); err != nil {
			return err
		}
	}
	uid := accessor.GetUID()
	zero := int64(0)
	remove := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, GracePeriodSeconds: &zero}
	if len(accessor.GetFinalizers()) > 0 {
		patch := []byte(`{"metadata":{"finalizers":null}}`)
		if err := on(client.Patch(types.MergePatchType)).Name(name).Body(patch).Do(ctx).Error(); err != nil {
			return fmt.Errorf("finalizers: %w", err)
		}
	}
	if err := on(client.Delete()).Name(name).Body(remove).Do(ctx).Error(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	seen := map[watch.EventType]int{}
	for event := range events.ResultChan() {
		seen[event.Type]++
		if event.Type == watch.Error {
			return fmt.Errorf("watch: %v", errors.FromObject(event.Object))
		}
		if event.Type == watch.Deleted {
			break
		}
		// What holds an object that is being deleted is not this check's matter.
		accessor, _ := meta.Accessor(event.Object)
		if accessor.GetDeletionTimestamp() != nil {
			return nil
		}
	}
	if seen[watch.Added] != 1 || seen[watch.Modified] < 5 || seen[watch.Deleted] != 1 {
		return fmt.Errorf("watch: saw %v", seen)
	}
	return nil
}

// rest is what the typed clients are made of.
func (s *suite) rest(version schema.GroupVersion) (*rest.RESTClient, error) {
	config := rest.CopyConfig(s.protobuf)
	config.GroupVersion = &version
	config.APIPath = "/apis"
	if version.Group == "" {
		config.APIPath = "/api"
	}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return rest.RESTClientFor(config)
}
