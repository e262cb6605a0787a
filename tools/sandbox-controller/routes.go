package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// protocol marks the routes that are ours, so that no other is ever changed or removed.
const protocol netlink.RouteProtocol = 118

// router keeps the host's routes into the cluster.
type router struct {
	bridge netlink.Link
}

func newRouter(bridge string) (*router, error) {
	link, err := netlink.LinkByName(bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	return &router{link}, nil
}

// current returns our routes within the ranges, with the node that each leads to; none for those that refuse.
func (r *router) current(ranges []netip.Prefix) (map[netip.Prefix]netip.Addr, error) {
	routes, err := netlink.RouteListFiltered(
		netlink.FAMILY_V4, &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_MAIN},
		netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE,
	)
	if err != nil {
		return nil, err
	}
	found := map[netip.Prefix]netip.Addr{}
	for _, route := range routes {
		destination, ok := prefix(route.Dst)
		if !ok || !within(destination, ranges) {
			continue
		}
		gateway, _ := netip.AddrFromSlice(route.Gw.To4())
		found[destination] = gateway
	}
	return found, nil
}

// apply changes the routes that differ from what is desired; a destination without a node is unreachable.
func (r *router) apply(current, desired map[netip.Prefix]netip.Addr) error {
	var problems []error
	for destination, node := range desired {
		if before, exists := current[destination]; exists && before == node {
			continue
		}
		klog.InfoS("Route", "to", destination, "via", via(node))
		problems = append(problems, netlink.RouteReplace(r.route(destination, node)))
	}
	for destination, node := range current {
		if _, keep := desired[destination]; keep {
			continue
		}
		klog.InfoS("Route removed", "to", destination)
		err := netlink.RouteDel(r.route(destination, node))
		if !errors.Is(err, syscall.ESRCH) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func via(node netip.Addr) string {
	if node.IsValid() {
		return node.String()
	}
	return "no node: unreachable"
}

func (r *router) route(destination netip.Prefix, node netip.Addr) *netlink.Route {
	route := &netlink.Route{
		Dst: &net.IPNet{
			IP:   destination.Addr().AsSlice(),
			Mask: net.CIDRMask(destination.Bits(), destination.Addr().BitLen()),
		},
		Protocol: protocol,
		Table:    unix.RT_TABLE_MAIN,
	}
	if node.IsValid() {
		route.Gw = node.AsSlice()
		route.LinkIndex = r.bridge.Attrs().Index
	} else {
		route.Type = unix.RTN_UNREACHABLE
	}
	return route
}

func prefix(network *net.IPNet) (netip.Prefix, bool) {
	if network == nil {
		return netip.Prefix{}, false
	}
	address, ok := netip.AddrFromSlice(network.IP.To4())
	bits, _ := network.Mask.Size()
	return netip.PrefixFrom(address, bits), ok
}

func within(destination netip.Prefix, ranges []netip.Prefix) bool {
	for _, outer := range ranges {
		if outer.Overlaps(destination) {
			return true
		}
	}
	return false
}
