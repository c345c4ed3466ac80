// agent gives the node what a cloud gives a cluster: network policies that hold, and volumes.
//
// Called by containerd as a CNI plug-in (CNI_COMMAND is set), it asks the running agent to put a new pod's rules
// in place before the pod's containers start.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"rlgen-k8s/cluster/agent/policy"
	"rlgen-k8s/cluster/agent/volumes"
)

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		os.Exit(policy.Plugin(os.Stdin, os.Stdout))
	}
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	socket := flag.String("socket", "", "Unix socket on which the CNI plug-in announces pods")
	folder := flag.String("volumes", "", "folder that holds the volumes")
	node := flag.String("node", "", "the node's name")
	flag.Parse()
	if err := run(*kubeconfig, *socket, *folder, *node); err != nil {
		log.Fatal(err)
	}
}

func run(kubeconfig, socket, folder, node string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	factory := informers.NewSharedInformerFactory(client, time.Hour)
	enforcer := policy.NewEnforcer(factory)
	provisioner := volumes.NewProvisioner(client, factory, folder, node)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go provisioner.Run(ctx)
	go enforcer.Run(ctx)
	return enforcer.Serve(ctx, socket)
}
