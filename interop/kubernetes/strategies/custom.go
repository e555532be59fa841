package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
)

// A definition, and an object of the kind that it defines.
//
//go:embed custom.yaml
var customText []byte

// The kind that is defined.
const customKind = "Knob"

// How Kubernetes' packages treat its objects.
var custom struct {
	definition object
	structural *structuralschema.Structural
}

// What tells of an object of which kind it is: itself.
type typer struct{}

func (typer) ObjectKinds(of runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	return []schema.GroupVersionKind{of.GetObjectKind().GroupVersionKind()}, false, nil
}

func (typer) Recognizes(schema.GroupVersionKind) bool { return true }

// Makes the strategy of the kind, and gives the object.
func customObject() (object, error) {
	all, err := documents(customText)
	if err != nil {
		return nil, err
	}
	custom.definition = all[0]
	hub, _, err := internal(custom.definition)
	if err != nil {
		return nil, err
	}
	spec := hub.(*apiextensions.CustomResourceDefinition).Spec
	if custom.structural, err = structuralschema.NewStructural(spec.Validation.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(spec.Validation.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	ofStatus := spec.Validation.OpenAPIV3Schema.Properties["status"]
	statusValidator, _, err := validation.NewSchemaValidator(&ofStatus)
	if err != nil {
		return nil, err
	}
	kind := schema.GroupVersionKind{Group: spec.Group, Version: spec.Version, Kind: spec.Names.Kind}
	strategy := customresource.NewStrategy(typer{}, true, kind, validator, statusValidator, custom.structural,
		spec.Subresources.Status, spec.Subresources.Scale, nil)
	strategies[customKind] = strategy
	subresources[customKind+"/status"] = customresource.NewStatusStrategy(strategy)
	return all[1], nil
}

// The object as Kubernetes' code sees it: with its defaults, and without what its schema does not know.
func customInternal(from object) (runtime.Object, *schema.GroupVersionKind, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, nil, err
	}
	content := object{}
	if err := k8sjson.Unmarshal(text, &content); err != nil {
		return nil, nil, err
	}
	defaulting.Default(content, custom.structural)
	pruning.Prune(content, custom.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(content, custom.structural)
	if err := objectmeta.Coerce(nil, content, custom.structural, false, false); err != nil {
		return nil, nil, err
	}
	metadata, found, err := objectmeta.GetObjectMeta(content, false)
	if err != nil {
		return nil, nil, err
	}
	if found {
		if err := objectmeta.SetObjectMeta(content, metadata); err != nil {
			return nil, nil, err
		}
	}
	made := &unstructured.Unstructured{Object: content}
	kind := made.GroupVersionKind()
	return made, &kind, nil
}

// Brings the kind to a server.
func define(server *server) error {
	made, err := server.create(custom.definition, false)
	if err != nil {
		return err
	}
	if made.code != 201 {
		return fmt.Errorf("the definition is refused: %v", made.wrong)
	}
	path := "/apis/custom.example.com/v1/namespaces/default/knobs"
	for range 100 {
		listed, err := server.send("GET", path, nil)
		if err != nil {
			return err
		}
		if listed.code == 200 {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s is not served", path)
}
