// Command sandbox-controller gives a sandbox cluster what a cloud gives a real one: volumes, load balancers'
// addresses, and a way from the host to both Services and load balancers that avoids nodes which do not answer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// options are the command line.
type options struct {
	kubeconfig   string
	volumes      string
	balancers    netip.Prefix
	services     netip.Prefix
	bridge       string
	resyncPeriod time.Duration
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("sandbox-controller", flag.ContinueOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of a cluster administrator")
	flags.StringVar(&o.volumes, "volumes", "", "folder in which each volume gets a folder of its own")
	flags.TextVar(&o.balancers, "lb-range", netip.MustParsePrefix("10.121.0.0/24"), "addresses of load balancers")
	flags.TextVar(&o.services, "service-range", netip.MustParsePrefix("10.120.0.0/16"), "the cluster's Service range")
	flags.StringVar(&o.bridge, "bridge", "sy0", "the bridge that the nodes hang on")
	flags.DurationVar(&o.resyncPeriod, "resync", 30*time.Second, "how often everything is looked at again")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if o.kubeconfig == "" || o.volumes == "" || flags.NArg() > 0 {
		return o, errors.New("--kubeconfig and --volumes are needed, and nothing but flags is understood")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("%s: %w", o.kubeconfig, err)
	}
	config.UserAgent = "sandbox-controller"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	router, err := newRouter(o.bridge)
	if err != nil {
		return err
	}
	shared := informers.NewSharedInformerFactory(client, o.resyncPeriod)
	addresses, err := newAddresses(client, shared, o.balancers)
	if err != nil {
		return err
	}
	health := newHealth(shared, router, o.services, o.balancers)
	shared.Start(ctx.Done())
	shared.WaitForCacheSync(ctx.Done())

	var all sync.WaitGroup
	all.Go(func() { provisionVolumes(ctx, client, o.volumes) })
	all.Go(func() { addresses.run(ctx) })
	all.Go(func() { health.run(ctx) })
	all.Wait()
	return nil
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o)
	}
	klog.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-controller:", err)
		os.Exit(1)
	}
}
