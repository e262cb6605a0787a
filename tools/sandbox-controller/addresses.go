package main

import (
	"context"
	"fmt"
	"net/netip"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// addresses gives every Service of type LoadBalancer an address of the range and takes it back afterwards.
// Services' statuses are the only record, so a restart changes no address.
type addresses struct {
	client   kubernetes.Interface
	services listers.ServiceLister
	queue    workqueue.TypedRateLimitingInterface[string]
	pool     pool
}

// pool is who holds which address of a range.
type pool struct {
	prefix  netip.Prefix
	holders map[netip.Addr]string
}

func newAddresses(
	client kubernetes.Interface, shared informers.SharedInformerFactory, prefix netip.Prefix,
) (*addresses, error) {
	informer := shared.Core().V1().Services()
	a := &addresses{
		client:   client,
		services: informer.Lister(),
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		pool:     pool{prefix.Masked(), map[netip.Addr]string{}},
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			a.queue.Add(key)
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: enqueue,
	})
	return a, err
}

func (a *addresses) run(ctx context.Context) {
	services, err := a.services.List(labels.Everything())
	if err != nil {
		klog.Fatal(err)
	}
	// Before the first is given away, all that are held must be known.
	for _, service := range services {
		if address, held := a.pool.address(service); held && wanted(service) {
			a.pool.hold(address, key(service))
		}
	}
	context.AfterFunc(ctx, a.queue.ShutDown)
	for {
		name, stopped := a.queue.Get()
		if stopped {
			return
		}
		if err := a.sync(ctx, name); err != nil {
			klog.ErrorS(err, "Load balancer", "service", name)
			a.queue.AddRateLimited(name)
		} else {
			a.queue.Forget(name)
		}
		a.queue.Done(name)
	}
}

func (a *addresses) sync(ctx context.Context, name string) error {
	namespace, short, err := cache.SplitMetaNamespaceKey(name)
	if err != nil {
		return nil
	}
	service, err := a.services.Services(namespace).Get(short)
	if apierrors.IsNotFound(err) {
		a.pool.release(name)
		return nil
	}
	if err != nil {
		return err
	}
	shown, has := a.pool.address(service)
	if !wanted(service) {
		a.pool.release(name)
		if !has {
			return nil
		}
		return a.publish(ctx, service, netip.Addr{})
	}
	if has && a.pool.hold(shown, name) && fits(service, shown) {
		return nil
	}
	address, err := a.pool.take(name, service.Spec.LoadBalancerIP)
	if err != nil {
		return err
	}
	klog.InfoS("Load balancer", "service", name, "address", address)
	return a.publish(ctx, service, address)
}

// publish writes the address, or none, into the Service's status.
func (a *addresses) publish(ctx context.Context, service *core.Service, address netip.Addr) error {
	changed := service.DeepCopy()
	changed.Status.LoadBalancer = core.LoadBalancerStatus{}
	if address.IsValid() {
		mode := core.LoadBalancerIPModeVIP
		changed.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}}
	}
	_, err := a.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, changed, meta.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func key(service *core.Service) string {
	return service.Namespace + "/" + service.Name
}

// wanted says whether the Service asks for a load balancer of the default kind.
func wanted(service *core.Service) bool {
	return service.Spec.Type == core.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil &&
		service.DeletionTimestamp == nil
}

func fits(service *core.Service, address netip.Addr) bool {
	return service.Spec.LoadBalancerIP == "" || service.Spec.LoadBalancerIP == address.String()
}

// address returns the address of the range that the Service's status shows.
func (p *pool) address(service *core.Service) (netip.Addr, bool) {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil && p.usable(address) {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// hold notes that the Service has this address; false when another has it.
func (p *pool) hold(address netip.Addr, name string) bool {
	if holder, taken := p.holders[address]; taken && holder != name {
		return false
	}
	p.release(name)
	p.holders[address] = name
	return true
}

func (p *pool) release(name string) {
	for address, holder := range p.holders {
		if holder == name {
			delete(p.holders, address)
		}
	}
}

// take returns the address asked for, or that already held, or the lowest that is free.
func (p *pool) take(name, asked string) (netip.Addr, error) {
	if asked != "" {
		address, err := netip.ParseAddr(asked)
		if err != nil || !p.usable(address) {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP %s is not an address of %s", asked, p.prefix)
		}
		if !p.hold(address, name) {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP %s is held by %s", asked, p.holders[address])
		}
		return address, nil
	}
	for address, holder := range p.holders {
		if holder == name {
			return address, nil
		}
	}
	for address := p.prefix.Addr().Next(); p.usable(address); address = address.Next() {
		if p.hold(address, name) {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %s is free", p.prefix)
}

// usable leaves out a range's first address, which names the network, and its last, which is for broadcasts.
func (p *pool) usable(address netip.Addr) bool {
	return p.prefix.Contains(address) && p.prefix.Contains(address.Next()) && address != p.prefix.Addr()
}
