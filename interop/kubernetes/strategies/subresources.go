package main

import (
	_ "embed"
	"fmt"
	"slices"

	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
)

//go:embed subresources.yaml
var subresourcesText []byte

// How Kubernetes treats what is written to a subresource of a kind.
var subresources = map[string]strategy{
	"CertificateSigningRequest/approval": certificates.ApprovalStrategy,
	"CertificateSigningRequest/status":   certificates.StatusStrategy,
	"CronJob/status":                     cronjob.StatusStrategy,
	"DaemonSet/status":                   daemonset.StatusStrategy,
	"Deployment/status":                  deployment.StatusStrategy,
	"FlowSchema/status":                  flowschema.StatusStrategy,
	"HorizontalPodAutoscaler/status":     horizontalpodautoscaler.StatusStrategy,
	"Ingress/status":                     ingress.StatusStrategy,
	"Job/status":                         job.StatusStrategy,
	"Namespace/status":                   namespace.StatusStrategy,
	"Node/status":                        node.StatusStrategy,
	"PersistentVolume/status":            persistentvolume.StatusStrategy,
	"PersistentVolumeClaim/status":       persistentvolumeclaim.StatusStrategy,
	"Pod/ephemeralcontainers":            pod.EphemeralContainersStrategy,
	"Pod/resize":                         pod.ResizeStrategy,
	"Pod/status":                         pod.StatusStrategy,
	"PodDisruptionBudget/status":         poddisruptionbudget.StatusStrategy,
	"PriorityLevelConfiguration/status":  prioritylevelconfiguration.StatusStrategy,
	"ReplicaSet/status":                  replicaset.StatusStrategy,
	"ReplicationController/status":       replicationcontroller.StatusStrategy,
	"Service/status":                     service.StatusStrategy,
	"ResourceClaim/status":               resourceclaim.NewStatusStrategy(claims),
	"ServiceCIDR/status":                 servicecidr.StatusStrategy,
	"StatefulSet/status":                 statefulset.StatusStrategy,
	"VolumeAttachment/status":            volumeattachment.StatusStrategy,
}

// The changes to subresources of a kind's object. The verb is the subresource.
func subresourceSuites(kind string) ([]suite, error) {
	all, err := documents(subresourcesText)
	if err != nil {
		return nil, err
	}
	var suites []suite
	for _, written := range all {
		if written["kind"] != kind {
			continue
		}
		name := written["subresource"].(string)
		if subresources[kind+"/"+name] == nil {
			return nil, fmt.Errorf("no strategy for %s/%s", kind, name)
		}
		delete(written, "kind")
		delete(written, "subresource")
		suites = append(suites, suite{name, func(server *server, base object) (result, error) {
			return writes(server, base, written, name)
		}})
	}
	return suites, nil
}

// Writes a subresource of a new object, with each change; then once more, now that it was written before.
func writes(server *server, base, written object, subresource string) (result, error) {
	made, err := server.create(prepared(base), false)
	if err != nil {
		return result{}, err
	}
	if made.code != 201 {
		return result{found: []finding{{"none", []string{fmt.Sprintf("it cannot be made: %v", made.wrong)}}}}, nil
	}
	defer server.remove(base)
	changes := changesWithin(written)
	update := func(new object) (outcome, error) { return server.update(new, subresource, true) }
	all, err := compared(merged(made.object, written).(object), made.object, subresource, changes, update)
	if err != nil {
		return all, err
	}
	old, err := server.update(merged(made.object, written).(object), subresource, false)
	if err != nil || old.code != 200 {
		// Why it is refused was compared already.
		return all, err
	}
	more, err := compared(merged(old.object, written).(object), old.object, subresource, changes, update)
	all.asked += more.asked
	all.silent += more.silent
	all.found = append(all.found, more.found...)
	return all, err
}

// All single changes to what a document says.
func changesWithin(written object) []change {
	var all []change
	for _, name := range names(written) {
		below := changesBelow([]any{name}, written[name])
		if name == "metadata" {
			below = slices.DeleteFunc(below, func(it change) bool { return len(it.path) == 1 })
		}
		all = append(all, below...)
	}
	return all
}

// What a document says put into a value.
func merged(value, written any) any {
	switch written := written.(type) {
	case object:
		before, _ := value.(object)
		fields := make(object, len(before)+len(written))
		for name, value := range before {
			fields[name] = copied(value)
		}
		for name, value := range written {
			fields[name] = merged(before[name], value)
		}
		return fields
	case []any:
		before, _ := value.([]any)
		items := copied(before).([]any)
		for index, item := range written {
			if index < len(before) {
				items[index] = merged(before[index], item)
			} else {
				items = append(items, copied(item))
			}
		}
		return items
	}
	return written
}
