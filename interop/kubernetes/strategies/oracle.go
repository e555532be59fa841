package main

import (
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// What becomes of an object.
type outcome struct {
	code int
	// What is wrong with it: a line for each cause, or the message if it has none.
	wrong []string
	// What is stored, as the client sees it.
	object   object
	warnings []string
}

// What Kubernetes' packages say of a new object, or with old of an update: of it, or of a subresource of it. The
// error says why they say nothing.
func ask(new, old object, subresource string) (answer outcome, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("%v", panicked)
		}
	}()
	obj, kind, refused := internal(new)
	if refused != nil {
		return outcome{code: 400}, nil
	}
	var strategy strategy = strategies[kind.Kind]
	if subresource != "" {
		strategy = subresources[kind.Kind+"/"+subresource]
	}
	metadata, err := meta.Accessor(obj)
	if err != nil {
		return outcome{}, err
	}
	ctx := genericapirequest.WithNamespace(genericapirequest.NewContext(), metadata.GetNamespace())
	ctx = genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: "someone"})
	verb := "create"
	if old != nil {
		verb = "update"
	}
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		APIGroup: kind.Group, APIVersion: kind.Version, Verb: verb, Subresource: subresource, IsResourceRequest: true,
	})
	if old == nil {
		rest.FillObjectMetaSystemFields(metadata)
		if kind.Kind == "Service" {
			err = allocate(ctx, obj, nil)
		}
		if err == nil {
			err = rest.BeforeCreate(strategy, ctx, obj)
		}
		if err == nil {
			answer.warnings = strategy.WarningsOnCreate(ctx, obj)
		}
	} else {
		before, _, refused := internal(old)
		if refused != nil {
			return outcome{}, refused
		}
		if kind.Kind == "Service" && subresource == "" {
			err = allocate(ctx, obj, before)
		}
		if err == nil {
			err = rest.BeforeUpdate(strategy, ctx, obj, before)
		}
		if err == nil {
			answer.warnings = strategy.WarningsOnUpdate(ctx, obj, before)
		}
	}
	if err != nil {
		status, is := err.(apierrors.APIStatus)
		if !is {
			return outcome{}, err
		}
		answer.code, answer.wrong = int(status.Status().Code), []string{status.Status().Message}
		if details := status.Status().Details; details != nil && answer.code == 422 {
			answer.wrong = nil
			for _, cause := range details.Causes {
				answer.wrong = append(answer.wrong, fmt.Sprintf("%s %s: %s", cause.Type, cause.Field, cause.Message))
			}
		}
		return answer, nil
	}
	answer.code = 200
	if made, is := obj.(*unstructured.Unstructured); is {
		answer.object = made.Object
		return answer, nil
	}
	shown, err := legacyscheme.Scheme.ConvertToVersion(obj, kind.GroupVersion())
	if err != nil {
		return outcome{}, err
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return outcome{}, err
	}
	return answer, json.Unmarshal(text, &answer.object)
}

var codecs = serializer.NewCodecFactory(legacyscheme.Scheme)

// The object as Kubernetes' code sees it, with its defaults.
func internal(from object) (runtime.Object, *schema.GroupVersionKind, error) {
	if from["kind"] == customKind {
		return customInternal(from)
	}
	text, err := json.Marshal(from)
	if err != nil {
		return nil, nil, err
	}
	decoded, kind, err := codecs.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	legacyscheme.Scheme.Default(decoded)
	to := schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}
	hub, err := legacyscheme.Scheme.ConvertToVersion(decoded, to)
	return hub, kind, err
}
