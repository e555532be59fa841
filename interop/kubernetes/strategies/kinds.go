package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apiextensionsinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/registry/rest"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	apiregistrationinstall "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	"k8s.io/kube-aggregator/pkg/registry/apiservice"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingadmissionpolicy"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingadmissionpolicybinding"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/resolver"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicy"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicybinding"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/limitrange"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/ingressclass"
	"k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
)

type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

func init() {
	apiextensionsinstall.Install(legacyscheme.Scheme)
	apiregistrationinstall.Install(legacyscheme.Scheme)
}

// Which resource the parameters of policies are.
var configMaps = resolver.ResourceResolverFunc(func(schema.GroupVersionKind) (schema.GroupVersionResource, error) {
	return schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, nil
})

// Claims whose status anybody may write.
var claims = resourceclaim.NewStrategy(namespaces{}, authorizerfactory.NewAlwaysAllowAuthorizer())

// Namespaces without labels.
type namespaces struct {
	corev1client.NamespaceInterface
}

func (namespaces) Get(context.Context, string, metav1.GetOptions) (*corev1.Namespace, error) {
	return &corev1.Namespace{}, nil
}

// How Kubernetes treats objects of each kind.
var strategies = map[string]strategy{
	"APIService":                       apiservice.NewStrategy(legacyscheme.Scheme).(strategy),
	"CSIDriver":                        csidriver.Strategy,
	"CSINode":                          csinode.Strategy,
	"CSIStorageCapacity":               csistoragecapacity.Strategy,
	"CertificateSigningRequest":        certificates.Strategy,
	"ClusterRole":                      clusterrole.Strategy,
	"ClusterRoleBinding":               clusterrolebinding.Strategy,
	"ConfigMap":                        configmap.Strategy,
	"ControllerRevision":               controllerrevision.Strategy,
	"CronJob":                          cronjob.Strategy,
	"CustomResourceDefinition":         customresourcedefinition.NewStrategy(legacyscheme.Scheme),
	"DaemonSet":                        daemonset.Strategy,
	"Deployment":                       deployment.Strategy,
	"DeviceClass":                      deviceclass.Strategy,
	"EndpointSlice":                    endpointslice.Strategy,
	"Endpoints":                        endpoint.Strategy,
	"Event":                            event.Strategy,
	"FlowSchema":                       flowschema.Strategy,
	"HorizontalPodAutoscaler":          horizontalpodautoscaler.Strategy,
	"IPAddress":                        ipaddress.Strategy,
	"Ingress":                          ingress.Strategy,
	"IngressClass":                     ingressclass.Strategy,
	"Job":                              job.Strategy,
	"Lease":                            lease.Strategy,
	"LimitRange":                       limitrange.Strategy,
	"MutatingAdmissionPolicy":          mutatingadmissionpolicy.NewStrategy(nil, configMaps),
	"MutatingAdmissionPolicyBinding":   mutatingadmissionpolicybinding.NewStrategy(nil, nil, configMaps),
	"MutatingWebhookConfiguration":     mutatingwebhookconfiguration.Strategy,
	"Namespace":                        namespace.Strategy,
	"NetworkPolicy":                    networkpolicy.Strategy,
	"Node":                             node.Strategy,
	"PersistentVolume":                 persistentvolume.Strategy,
	"PersistentVolumeClaim":            persistentvolumeclaim.Strategy,
	"Pod":                              pod.Strategy,
	"PodDisruptionBudget":              poddisruptionbudget.Strategy,
	"PodTemplate":                      podtemplate.Strategy,
	"PriorityClass":                    priorityclass.Strategy,
	"PriorityLevelConfiguration":       prioritylevelconfiguration.Strategy,
	"ReplicaSet":                       replicaset.Strategy,
	"ReplicationController":            replicationcontroller.Strategy,
	"ResourceClaim":                    claims,
	"ResourceClaimTemplate":            resourceclaimtemplate.NewStrategy(namespaces{}),
	"ResourceQuota":                    resourcequota.Strategy,
	"ResourceSlice":                    resourceslice.Strategy,
	"Role":                             role.Strategy,
	"RoleBinding":                      rolebinding.Strategy,
	"RuntimeClass":                     runtimeclass.Strategy,
	"Secret":                           secret.Strategy,
	"Service":                          service.Strategy,
	"ServiceAccount":                   serviceaccount.Strategy,
	"ServiceCIDR":                      servicecidr.Strategy,
	"StatefulSet":                      statefulset.Strategy,
	"StorageClass":                     storageclass.Strategy,
	"ValidatingAdmissionPolicy":        validatingadmissionpolicy.NewStrategy(nil, configMaps),
	"ValidatingAdmissionPolicyBinding": validatingadmissionpolicybinding.NewStrategy(nil, nil, configMaps),
	"ValidatingWebhookConfiguration":   validatingwebhookconfiguration.Strategy,
	"VolumeAttachment":                 volumeattachment.Strategy,
	"VolumeAttributesClass":            volumeattributesclass.Strategy,
}
