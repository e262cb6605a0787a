package main

import (
	"net/netip"
	"testing"
)

var (
	members = []netip.Addr{
		netip.MustParseAddr("10.118.0.11"), netip.MustParseAddr("10.118.0.12"), netip.MustParseAddr("10.118.0.13"),
	}
	destination = netip.MustParsePrefix("10.121.0.1/32")
)

func TestAnAddressStaysOnItsNodeWhileThatIsWell(t *testing.T) {
	h := &health{failures: map[target]int{}}
	for _, node := range members {
		current := map[netip.Prefix]netip.Addr{destination: node}
		if got := h.choose(destination, proxyPort, members, current); got != node {
			t.Errorf("moved from %s to %s", node, got)
		}
		h.failures[target{node, proxyPort}] = failuresAllowed
		if got := h.choose(destination, proxyPort, members, current); got != node {
			t.Errorf("moved from %s to %s after one late answer", node, got)
		}
	}
}

func TestANodeThatDoesNotAnswerGetsNothing(t *testing.T) {
	h := &health{failures: map[target]int{{members[0], proxyPort}: failuresAllowed + 1}}
	current := map[netip.Prefix]netip.Addr{destination: members[0]}
	if got := h.choose(destination, proxyPort, members, current); got == members[0] || !got.IsValid() {
		t.Errorf("got %s", got)
	}
}

func TestOnlyANodeWithAnEndpointGetsTrafficOfThePolicyLocal(t *testing.T) {
	h := &health{failures: map[target]int{{members[0], 31000}: 9, {members[2], 31000}: 9}}
	if got := h.choose(destination, 31000, members, nil); got != members[1] {
		t.Errorf("got %s", got)
	}
}

func TestWithoutAHealthyNodeThereIsNoWay(t *testing.T) {
	h := &health{failures: map[target]int{{members[0], proxyPort}: 9}}
	if got := h.choose(destination, proxyPort, members[:1], nil); got.IsValid() {
		t.Errorf("got %s", got)
	}
}
