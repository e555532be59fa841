// Command messages prints the table of protobuf messages from the types that Kubernetes publishes
// for Go:
//
//	io.k8s.api.core.v1.Pod v1/Pod
//	 1 metadata &io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta
//	io.k8s.api.core.v1.Volume
//	 1 name! string
//	 2 - &io.k8s.api.core.v1.VolumeSource
//
// A message is its name and the kinds that it is. A field is its number, its name in JSON and its
// type. `*` marks a pointer, which is written only if it is set; everything else but lists and maps
// is always written. `!` marks a field that JSON shows even if it is zero; `-` stands for a message
// whose fields are, in JSON, fields of the object around it.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	discoveryv2 "k8s.io/api/apidiscovery/v2"
	discoveryv2beta1 "k8s.io/api/apidiscovery/v2beta1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Messages that are something else in JSON than an object of their fields.
var special = map[string]string{
	"k8s.io.apimachinery.pkg.api.resource.Quantity":                                         "quantity",
	"k8s.io.apimachinery.pkg.apis.meta.v1.Duration":                                         "duration",
	"k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1":                                         "json",
	"k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime":                                        "micro-time",
	"k8s.io.apimachinery.pkg.apis.meta.v1.Time":                                             "time",
	"k8s.io.apimachinery.pkg.runtime.RawExtension":                                          "json",
	"k8s.io.apimachinery.pkg.util.intstr.IntOrString":                                       "int-or-string",
	"k8s.io.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON":                         "json",
	"k8s.io.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray":       "schema-or-list",
	"k8s.io.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool":        "schema-or-bool",
	"k8s.io.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}

type marshaler interface{ Marshal() ([]byte, error) }

var marshalerType = reflect.TypeFor[marshaler]()

func main() {
	all := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, admissionv1.AddToScheme, admissionv1beta1.AddToScheme, discoveryv2.AddToScheme,
		discoveryv2beta1.AddToScheme, imagepolicyv1alpha1.AddToScheme, apiextensionsv1.AddToScheme,
		apiregistrationv1.AddToScheme, metricsv1beta1.AddToScheme, metav1.AddMetaToScheme,
	} {
		if err := add(all); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	table := &table{texts: map[string]string{}}
	kinds := map[string][]string{}
	for kind, goType := range all.AllKnownTypes() {
		// What belongs to every group stands once, in its own.
		if name(goType) == "" || kind.Version == runtime.APIVersionInternal {
			continue
		}
		if strings.HasSuffix(goType.PkgPath(), "/meta/v1") {
			kind = schema.GroupVersionKind{Group: "meta.k8s.io", Version: "v1", Kind: kind.Kind}
		}
		if !reflect.PointerTo(goType).Implements(marshalerType) {
			continue
		}
		table.message(goType)
		text := kind.GroupVersion().String() + "/" + kind.Kind
		known := kinds[name(goType)]
		if len(known) == 0 || known[len(known)-1] != text {
			kinds[name(goType)] = append(known, text)
		}
	}
	table.message(reflect.TypeFor[metav1.WatchEvent]())
	names := make([]string, 0, len(table.texts))
	for name := range table.texts {
		names = append(names, name)
	}
	sort.Strings(names)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, name := range names {
		sort.Strings(kinds[name])
		fmt.Fprintln(out, strings.Join(append([]string{definition(name)}, kinds[name]...), " "))
		fmt.Fprint(out, table.texts[name])
	}
}

type table struct{ texts map[string]string }

func name(t reflect.Type) string {
	if t.PkgPath() == "" {
		return ""
	}
	return strings.ReplaceAll(t.PkgPath(), "/", ".") + "." + t.Name()
}

func definition(name string) string { return strings.Replace(name, "k8s.io.", "io.k8s.", 1) }

func (table *table) message(t reflect.Type) {
	if _, known := table.texts[name(t)]; known || special[name(t)] != "" || t.Kind() != reflect.Struct {
		return
	}
	table.texts[name(t)] = ""
	lines := map[int]string{}
	numbers := []int{}
	for i := range t.NumField() {
		field := t.Field(i)
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue
		}
		number, err := strconv.Atoi(tag[1])
		if err != nil {
			panic(fmt.Sprintf("%s.%s: %v", name(t), field.Name, err))
		}
		jsonTag := strings.Split(field.Tag.Get("json"), ",")
		jsonName, flags := jsonTag[0], ""
		if jsonName == "" {
			jsonName = "-"
		}
		omitted := false
		for _, option := range jsonTag[1:] {
			omitted = omitted || option == "omitempty" || option == "omitzero"
		}
		fieldType := field.Type
		if fieldType.Kind() == reflect.Pointer {
			flags, fieldType = "*", fieldType.Elem()
		}
		if !omitted && jsonName != "-" {
			flags += "!"
		}
		numbers = append(numbers, number)
		lines[number] = fmt.Sprintf(" %d %s%s %s\n", number, jsonName, flags, table.typeOf(fieldType))
	}
	sort.Ints(numbers)
	var text strings.Builder
	for _, number := range numbers {
		text.WriteString(lines[number])
	}
	table.texts[name(t)] = text.String()
}

func (table *table) typeOf(t reflect.Type) string {
	if simple := special[name(t)]; simple != "" {
		// Their schema is a message of the table too.
		if strings.HasPrefix(simple, "schema-") {
			table.message(reflect.TypeFor[apiextensionsv1.JSONSchemaProps]())
		}
		return simple
	}
	if name(t) != "" && reflect.PointerTo(t).Implements(marshalerType) {
		if t.Kind() == reflect.Slice {
			// A list of text that is a message only because maps cannot hold lists.
			return "strings"
		}
		table.message(t)
		return "&" + definition(name(t))
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32:
		return "int32"
	case reflect.Int64:
		return "int64"
	case reflect.Float64:
		return "double"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + table.typeOf(t.Elem())
	case reflect.Map:
		return "{}" + table.typeOf(t.Elem())
	default:
		panic(fmt.Sprintf("%s has no form in protobuf", t))
	}
}
