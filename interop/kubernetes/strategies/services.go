package main

import (
	"context"
	"net"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
	servicestorage "k8s.io/kubernetes/pkg/registry/core/service/storage"
)

// Where addresses and ports of Services come from, as on the server.
var (
	addresses = &net.IPNet{IP: net.IPv4(10, 43, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}
	nodePorts = utilnet.PortRange{Base: 30000, Size: 2768}
)

// What Kubernetes does before a Service meets its strategy: it keeps and gives addresses and ports.
func allocate(ctx context.Context, new, old runtime.Object) error {
	ips, err := ipallocator.NewInMemory(addresses)
	if err != nil {
		return err
	}
	ports, err := portallocator.NewInMemory(nodePorts)
	if err != nil {
		return err
	}
	if old != nil {
		spec := old.(*core.Service).Spec
		for _, address := range spec.ClusterIPs {
			if parsed := net.ParseIP(address); parsed != nil {
				if err := ips.Allocate(parsed); err != nil {
					return err
				}
			}
		}
		for _, port := range append([]core.ServicePort{{NodePort: spec.HealthCheckNodePort}}, spec.Ports...) {
			if port.NodePort != 0 && !ports.Has(int(port.NodePort)) {
				if err := ports.Allocate(int(port.NodePort)); err != nil {
					return err
				}
			}
		}
	}
	families := map[core.IPFamily]ipallocator.Interface{core.IPv4Protocol: ips}
	services, _, _, err := servicestorage.NewREST(nowhere, core.IPv4Protocol, families, ports, nil, nil, nil)
	if err != nil {
		return err
	}
	var done registry.FinishFunc
	if old == nil {
		done, err = services.BeginCreate(ctx, new, &metav1.CreateOptions{})
	} else {
		done, err = services.BeginUpdate(ctx, new, old, &metav1.UpdateOptions{})
	}
	if err == nil {
		done(ctx, true)
	}
	return err
}

// A registry that stores nothing.
var nowhere = generic.RESTOptions{
	StorageConfig:  &storagebackend.ConfigForResource{},
	ResourcePrefix: "services",
	Decorator: func(*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error),
		func() runtime.Object, func() runtime.Object, storage.AttrFunc, storage.IndexerFuncs, *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		return nil, nil, nil
	},
}
