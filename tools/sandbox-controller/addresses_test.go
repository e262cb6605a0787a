package main

import (
	"net/netip"
	"testing"

	core "k8s.io/api/core/v1"
)

func newPool(prefix string) pool {
	return pool{netip.MustParsePrefix(prefix), map[netip.Addr]string{}}
}

func expectAddress(t *testing.T, p pool, name, asked, expected string) {
	t.Helper()
	got, err := p.take(name, asked)
	if err != nil || got.String() != expected {
		t.Fatalf("%s: got %s, %v; expected %s", name, got, err, expected)
	}
}

func TestTheLowestFreeAddressIsTakenAndKept(t *testing.T) {
	p := newPool("10.121.0.0/24")
	expectAddress(t, p, "a", "", "10.121.0.1")
	expectAddress(t, p, "b", "", "10.121.0.2")
	expectAddress(t, p, "a", "", "10.121.0.1")
	p.release("a")
	expectAddress(t, p, "c", "", "10.121.0.1")
}

func TestAnAddressThatWasAskedForReplacesTheOneHeld(t *testing.T) {
	p := newPool("10.121.0.0/24")
	expectAddress(t, p, "a", "", "10.121.0.1")
	expectAddress(t, p, "a", "10.121.0.9", "10.121.0.9")
	expectAddress(t, p, "b", "", "10.121.0.1")
}

func TestWhatCannotBeGivenIsAnError(t *testing.T) {
	p := newPool("10.121.0.0/30")
	expectAddress(t, p, "a", "", "10.121.0.1")
	for _, asked := range []string{"10.121.0.1", "10.121.0.0", "10.121.0.3", "10.122.0.1", "x"} {
		if got, err := p.take("b", asked); err == nil {
			t.Errorf("%s was given as %s", asked, got)
		}
	}
	expectAddress(t, p, "b", "", "10.121.0.2")
	if got, err := p.take("c", ""); err == nil {
		t.Errorf("an address too many: %s", got)
	}
}

func TestOnlyAnAddressOfTheRangeCounts(t *testing.T) {
	p := newPool("10.121.0.0/24")
	service := &core.Service{}
	service.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: "192.0.2.1"}, {IP: "10.121.0.7"}}
	if got, ok := p.address(service); !ok || got.String() != "10.121.0.7" {
		t.Errorf("got %s, %t", got, ok)
	}
}

func TestAHeldAddressIsNotTakenOver(t *testing.T) {
	p := newPool("10.121.0.0/24")
	address := netip.MustParseAddr("10.121.0.1")
	if !p.hold(address, "a") || p.hold(address, "b") || !p.hold(address, "a") {
		t.Error("an address has one holder")
	}
}
