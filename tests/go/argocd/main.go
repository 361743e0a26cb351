// Argo CD's application controller, its repo-server, the kustomize that the repo-server calls, and what Argo CD's API
// server does for an action: one program, which is the part by whose name it was started, as Argo CD's own program is.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"
	"path/filepath"

	jsonpatch "github.com/evanphx/json-patch"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	kustomize "sigs.k8s.io/kustomize/kustomize/v5/commands"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
)

func main() {
	parts := map[string]func() *cobra.Command{
		"argocd-application-controller": controller.NewCommand,
		"argocd-repo-server":            reposerver.NewCommand,
		"kustomize":                     kustomize.NewDefaultCommand,
		"argocd-actions":                actions,
		"argocd-action":                 action,
	}
	name := filepath.Base(os.Args[0])
	part, known := parts[name]
	if !known {
		log.Fatalf("started as %q, which is no part of this program", name)
	}
	if part().Execute() != nil {
		os.Exit(1)
	}
}

// actions prints which actions the argocd-cm of KUBECONFIG's cluster offers for the object of stdin.
func actions() *cobra.Command {
	return &cobra.Command{Args: cobra.NoArgs, RunE: func(_ *cobra.Command, _ []string) error {
		object, vm, err := objectAndRules()
		if err != nil {
			return err
		}
		scripts, err := vm.GetResourceActionDiscovery(object)
		if err != nil {
			return err
		}
		offered, err := vm.ExecuteResourceActionDiscovery(object, scripts)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(offered)
	}}
}

// action prints the merge patch that Argo CD's API server would send for an action on the object of stdin
// (server/application/application.go, RunResourceActionV2 and patchResource).
func action() *cobra.Command {
	return &cobra.Command{Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, names []string) error {
		object, vm, err := objectAndRules()
		if err != nil {
			return err
		}
		before, err := json.Marshal(object)
		if err != nil {
			return err
		}
		definition, err := vm.GetResourceAction(object, names[0])
		if err != nil {
			return err
		}
		changed, err := vm.ExecuteResourceAction(object, definition.ActionLua, nil)
		if err != nil {
			return err
		}
		after, err := json.Marshal(changed[0].UnstructuredObj)
		if err != nil {
			return err
		}
		patch, err := jsonpatch.CreateMergePatch(before, after)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(patch)
		return err
	}}
}

func objectAndRules() (*unstructured.Unstructured, lua.VM, error) {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, lua.VM{}, err
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return nil, lua.VM{}, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, lua.VM{}, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, lua.VM{}, err
	}
	overrides, err := settings.NewSettingsManager(context.Background(), client, "argocd").GetResourceOverrides()
	return object, lua.VM{ResourceOverrides: overrides}, err
}
