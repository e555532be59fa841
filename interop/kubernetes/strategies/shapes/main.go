// Command shapes prints how Kubernetes' own structures show themselves as JSON, for those whose differences it
// tells clients:
//
//	PodSpec
//	 Volumes volumes []Volume
//	 RestartPolicy restartPolicy value
//
// A structure is its name and its fields in order. A field is the name by which it is shown, the name that
// clients know it by (`^` before it if that stands in the structure around this one), and its type: `value` is
// anything that is shown as clients write it, and behind `=` how it is shown if it is not there. `*` is shown as
// null if it is not there, `?` not at all.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kubernetes/pkg/apis/authorization"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/networking"
	"k8s.io/kubernetes/pkg/apis/rbac"
	"k8s.io/kubernetes/pkg/apis/resource"
	"k8s.io/kubernetes/pkg/apis/storage"
)

// Pairs of Kubernetes' own structures and what clients know.
var roots = [][2]reflect.Type{
	{reflect.TypeFor[core.PodSpec](), reflect.TypeFor[corev1.PodSpec]()},
	{reflect.TypeFor[core.PersistentVolumeSource](), reflect.TypeFor[corev1.PersistentVolumeSource]()},
	{reflect.TypeFor[core.PersistentVolumeClaimSpec](), reflect.TypeFor[corev1.PersistentVolumeClaimSpec]()},
	{reflect.TypeFor[core.PodTemplateSpec](), reflect.TypeFor[corev1.PodTemplateSpec]()},
	{reflect.TypeFor[batch.PodFailurePolicy](), reflect.TypeFor[batchv1.PodFailurePolicy]()},
	{reflect.TypeFor[batch.SuccessPolicy](), reflect.TypeFor[batchv1.SuccessPolicy]()},
	{reflect.TypeFor[rbac.RoleRef](), reflect.TypeFor[rbacv1.RoleRef]()},
	{reflect.TypeFor[core.VolumeNodeAffinity](), reflect.TypeFor[corev1.VolumeNodeAffinity]()},
	{reflect.TypeFor[core.EventSource](), reflect.TypeFor[corev1.EventSource]()},
	{reflect.TypeFor[networking.ParentReference](), reflect.TypeFor[networkingv1.ParentReference]()},
	{reflect.TypeFor[networking.ServiceCIDRSpec](), reflect.TypeFor[networkingv1.ServiceCIDRSpec]()},
	{reflect.TypeFor[storage.CSINodeDriver](), reflect.TypeFor[storagev1.CSINodeDriver]()},
	{reflect.TypeFor[storage.VolumeAttachmentSpec](), reflect.TypeFor[storagev1.VolumeAttachmentSpec]()},
	{reflect.TypeFor[resource.ResourceClaimSpec](), reflect.TypeFor[resourcev1.ResourceClaimSpec]()},
	{reflect.TypeFor[resource.ResourceClaimTemplateSpec](), reflect.TypeFor[resourcev1.ResourceClaimTemplateSpec]()},
	{reflect.TypeFor[resource.AllocationResult](), reflect.TypeFor[resourcev1.AllocationResult]()},
	{reflect.TypeFor[resource.DeviceAttribute](), reflect.TypeFor[resourcev1.DeviceAttribute]()},
	{
		reflect.TypeFor[apiextensions.CustomResourceDefinitionVersion](),
		reflect.TypeFor[apiextensionsv1.CustomResourceDefinitionVersion](),
	},
	{reflect.TypeFor[metav1.ObjectMeta](), reflect.TypeFor[metav1.ObjectMeta]()},
	{reflect.TypeFor[authorization.NonResourceAttributes](), reflect.TypeFor[authorizationv1.NonResourceAttributes]()},
}

// Structures that are shown as a value.
var values = map[reflect.Type]string{
	reflect.TypeFor[quantity.Quantity]():    `"0"`,
	reflect.TypeFor[intstr.IntOrString]():   "0",
	reflect.TypeFor[metav1.Time]():          "null",
	reflect.TypeFor[metav1.FieldsV1]():      "null",
	reflect.TypeFor[runtime.RawExtension](): "null",
}

var (
	seen = map[reflect.Type]bool{}
	next = roots
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	for len(next) > 0 {
		pair := next[0]
		next = next[1:]
		if seen[pair[0]] {
			continue
		}
		seen[pair[0]] = true
		fmt.Fprintln(out, pair[0].Name())
		fields(out, pair[0], pair[1], "")
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The fields of a structure; clients know them below `below`.
func fields(out *bufio.Writer, shown, known reflect.Type, below string) {
	for index := range shown.NumField() {
		field := shown.Field(index)
		name, more, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if field.Anonymous && name == "" {
			inner, place := known, below
			if same, is := known.FieldByName(field.Name); is {
				inner = same.Type
				if name, _, _ := strings.Cut(same.Tag.Get("json"), ","); name != "" {
					place = name + "."
				}
			}
			fields(out, field.Type, inner, place)
			continue
		}
		if name == "" {
			name = field.Name
		}
		client, place := field.Type, "^"
		clientName := strings.ToLower(field.Name[:1]) + field.Name[1:]
		if strings.HasPrefix(field.Name, "Host") && len(field.Name) == 7 {
			clientName = "host" + field.Name[4:]
		}
		same, is := known.FieldByNameFunc(func(other string) bool { return strings.EqualFold(other, field.Name) })
		if is {
			if tag, _, _ := strings.Cut(same.Tag.Get("json"), ","); tag != "" {
				clientName = tag
			}
			client, place = same.Type, ""
		}
		mark := ""
		if strings.Contains(more, "omitempty") || strings.Contains(more, "omitzero") {
			mark = "?"
		}
		fmt.Fprintf(out, " %s %s%s%s %s%s\n", name, place, below, clientName, mark, kind(field.Type, client))
	}
}

// The type of a field. Structures that it is made of are printed later.
func kind(shown, known reflect.Type) string {
	if zero, is := values[shown]; is {
		return "value=" + zero
	}
	for known.Kind() == reflect.Pointer && shown.Kind() != reflect.Pointer {
		known = known.Elem()
	}
	element := func() reflect.Type {
		if known.Kind() == shown.Kind() {
			return known.Elem()
		}
		return known
	}
	switch shown.Kind() {
	case reflect.Pointer:
		inner := kind(shown.Elem(), element())
		return "*" + inner
	case reflect.Slice:
		if shown.Elem().Kind() == reflect.Uint8 {
			return "value=null"
		}
		return "[]" + kind(shown.Elem(), element())
	case reflect.Map:
		return "map:" + kind(shown.Elem(), element())
	case reflect.Struct:
		next = append(next, [2]reflect.Type{shown, known})
		return shown.Name()
	case reflect.Bool:
		return "value=false"
	case reflect.String:
		return `value=""`
	case reflect.Interface:
		return "value=null"
	default:
		return "value=0"
	}
}
