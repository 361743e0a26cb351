// Enforces the NetworkPolicies of a node, in the network namespace in which it runs, with the engine of
// sigs.k8s.io/kube-network-policies. That engine's own program runs only in a pod; this one takes a kubeconfig.
//
// Usage: network_policies KUBECONFIG NODE. It prints "enforcing" when it knows policies, pods and namespaces.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const queue = 100

func main() {
	if len(os.Args) != 3 {
		log.Fatalf("usage: %s KUBECONFIG NODE", os.Args[0])
	}
	if err := enforce(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func enforce(kubeconfig, node string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	controller, err := networkpolicy.NewController(client,
		factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Namespaces(), factory.Core().V1().Pods(),
		nil, nil, nil, nil,
		networkpolicy.Config{QueueID: queue, NodeName: node})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	fmt.Println("enforcing")
	return controller.Run(ctx)
}
