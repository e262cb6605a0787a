package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
)

const (
	// proxyPort is where kube-proxy says that it and its node are well, which is what clouds' balancers ask too.
	proxyPort = 10256
	// checkEvery and checkTimeout are in the range of clouds' health checks, at their quick end.
	checkEvery   = 2 * time.Second
	checkTimeout = 1500 * time.Millisecond
	// failuresAllowed: one late answer on a busy machine must not move traffic.
	failuresAllowed = 1
)

// target is one address and port that is asked for its health.
type target struct {
	node netip.Addr
	port int32
}

// health asks nodes how they are and keeps the host's routes to the cluster on those that answer.
type health struct {
	nodes     listers.NodeLister
	services  listers.ServiceLister
	router    *router
	ranges    []netip.Prefix
	balancers pool
	client    *http.Client
	failures  map[target]int
}

func newHealth(shared informers.SharedInformerFactory, router *router, services, balancers netip.Prefix) *health {
	return &health{
		nodes:     shared.Core().V1().Nodes().Lister(),
		services:  shared.Core().V1().Services().Lister(),
		router:    router,
		ranges:    []netip.Prefix{services.Masked(), balancers.Masked()},
		balancers: pool{prefix: balancers.Masked()},
		// A new connection each time: a kept one would say nothing about the way to the node.
		client:   &http.Client{Timeout: checkTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		failures: map[target]int{},
	}
}

func (h *health) run(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		if err := h.check(ctx); err != nil {
			klog.ErrorS(err, "Routes")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// check asks every node once and brings the routes in line with the answers.
func (h *health) check(ctx context.Context) error {
	nodes, err := h.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	services, err := h.services.List(labels.Everything())
	if err != nil {
		return err
	}
	var members []netip.Addr
	for _, node := range nodes {
		if address, ok := internal(node); ok {
			members = append(members, address)
		}
	}
	ports := map[netip.Prefix]int32{}
	for _, service := range services {
		if address, ok := h.balancers.address(service); ok {
			ports[netip.PrefixFrom(address, address.BitLen())] = checkPort(service)
		}
	}
	h.ask(ctx, members, ports)
	if ctx.Err() != nil {
		// Answers that stopping cut short say nothing about the nodes.
		return nil
	}
	return h.route(members, ports)
}

// checkPort is the port whose answer decides whether a node gets the Service's traffic: with the policy Local a node
// without an endpoint drops it.
func checkPort(service *core.Service) int32 {
	if port := service.Spec.HealthCheckNodePort; port != 0 {
		return port
	}
	return proxyPort
}

// ask brings the count of failures of every node and port up to date.
func (h *health) ask(ctx context.Context, members []netip.Addr, ports map[netip.Prefix]int32) {
	asked := map[target]bool{}
	for _, node := range members {
		asked[target{node, proxyPort}] = true
		for _, port := range ports {
			asked[target{node, port}] = true
		}
	}
	var lock sync.Mutex
	var all sync.WaitGroup
	failures := map[target]int{}
	for t := range asked {
		all.Go(func() {
			well := h.answers(ctx, t)
			lock.Lock()
			defer lock.Unlock()
			before, known := h.failures[t]
			switch {
			case well:
				failures[t] = 0
			case !known:
				failures[t] = failuresAllowed + 1
			default:
				failures[t] = before + 1
			}
		})
	}
	all.Wait()
	h.failures = failures
}

func (h *health) answers(ctx context.Context, t target) bool {
	url := fmt.Sprintf("http://%s/healthz", net.JoinHostPort(t.node.String(), strconv.Itoa(int(t.port))))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := h.client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// route sends the Service range and each load balancer's address to one node that is well. An address stays on its
// node while that is well: connections live in the node's connection table and would break on another.
func (h *health) route(members []netip.Addr, ports map[netip.Prefix]int32) error {
	current, err := h.router.current(h.ranges)
	if err != nil {
		return err
	}
	desired := map[netip.Prefix]netip.Addr{h.ranges[0]: h.choose(h.ranges[0], proxyPort, members, current)}
	// Addresses that nobody holds are refused at once and do not leave by the host's default route.
	desired[h.ranges[1]] = netip.Addr{}
	for destination, port := range ports {
		desired[destination] = h.choose(destination, port, members, current)
	}
	return h.router.apply(current, desired)
}

func (h *health) choose(
	destination netip.Prefix, port int32, members []netip.Addr, current map[netip.Prefix]netip.Addr,
) netip.Addr {
	var well []netip.Addr
	for _, node := range members {
		if h.failures[target{node, port}] <= failuresAllowed && h.failures[target{node, proxyPort}] <= failuresAllowed {
			well = append(well, node)
		}
	}
	if len(well) == 0 {
		return netip.Addr{}
	}
	if slices.Contains(well, current[destination]) {
		return current[destination]
	}
	return slices.MaxFunc(well, func(a, b netip.Addr) int {
		return int(weight(a, destination)) - int(weight(b, destination))
	})
}

// weight spreads addresses over nodes, each time in the same way.
func weight(node netip.Addr, destination netip.Prefix) uint32 {
	sum := fnv.New32a()
	fmt.Fprint(sum, destination, node)
	return sum.Sum32()
}

func internal(node *core.Node) (netip.Addr, bool) {
	for _, address := range node.Status.Addresses {
		if address.Type == core.NodeInternalIP {
			parsed, err := netip.ParseAddr(address.Address)
			return parsed, err == nil
		}
	}
	return netip.Addr{}, false
}
