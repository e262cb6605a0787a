package main

import (
	"maps"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// newNetwork gives the test a network namespace of its own, with the bridge and the host's address on it.
func newNetwork(t *testing.T) *router {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = netns.Set(before)
		runtime.UnlockOSThread()
	})
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sy0"}}
	address, _ := netlink.ParseAddr("10.118.0.1/24")
	for _, err := range []error{netlink.LinkAdd(bridge), netlink.LinkSetUp(bridge), netlink.AddrAdd(bridge, address)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := newRouter("sy0")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoutesFollowWhatIsDesired(t *testing.T) {
	r := newNetwork(t)
	ranges := []netip.Prefix{netip.MustParsePrefix("10.120.0.0/16"), netip.MustParsePrefix("10.121.0.0/24")}
	one := netip.MustParsePrefix("10.121.0.1/32")
	node, other, none := netip.MustParseAddr("10.118.0.11"), netip.MustParseAddr("10.118.0.12"), netip.Addr{}
	for _, desired := range []map[netip.Prefix]netip.Addr{
		{ranges[0]: none, ranges[1]: none},
		{ranges[0]: node, ranges[1]: none, one: node},
		{ranges[0]: other, ranges[1]: none, one: other},
		{ranges[0]: none, ranges[1]: none, one: none},
		{ranges[0]: other, ranges[1]: none},
	} {
		current, err := r.current(ranges)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.apply(current, desired); err != nil {
			t.Fatal(err)
		}
		got, err := r.current(ranges)
		if err != nil || !maps.Equal(got, desired) {
			t.Fatalf("got %v, %v; desired %v", got, err, desired)
		}
	}
}
