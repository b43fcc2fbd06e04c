package store_test

import (
	"testing"

	"github.com/vestibule-id/vestibule/internal/store"
)

func TestNetwork_AnIPv6AddressCountsAsItsNetwork(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "2001:db8:0:1::1": "2001:db8:0:1::/64", "2001:db8:0:1:ffff::": "2001:db8:0:1::/64",
		"fe80::1%eth0": "fe80::/64", "::1": "::/64", "": "", "unknown": "unknown",
	} {
		if got := store.Network(ip); got != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
}
