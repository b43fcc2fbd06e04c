package store

import "net/netip"

// Network gives what a limit counts an address as. Whoever has one IPv6 address has the 2^64 of its network, and takes a new one for
// every guess; so there the network counts. Events keep the address itself.
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Unmap().Is4() {
		return ip
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return p.String()
}
