// Package netguard makes the requests that leave the house: discovery documents, key sets, metadata, logout and webhook
// deliveries. Their addresses come from administrators of organizations and from identity providers, so each one may be an
// attempt to make this server read what only it can reach (server-side request forgery): its own loopback, the machine
// next door, a cloud's metadata service.
//
// The name is resolved once and the very address that was judged is dialled, so a name that changes between the two
// (DNS rebinding) gains nothing. A redirect is a new request under the same rules. Bodies and times are bounded. A proxy of
// the environment is not used: it would resolve the name again, out of our sight.
package netguard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Policy says what a guard lets through.
type Policy struct {
	// AllowPrivate lets requests reach loopback and private addresses, and plain http to loopback.
	AllowPrivate bool
	// Timeout bounds a whole exchange, body included; 10 seconds where it is 0.
	Timeout time.Duration
	// MaxBytes bounds a body, after decompression; 4 MiB where it is 0. A key set or a federation's entry is far smaller.
	MaxBytes int64
}

// Guard makes requests under one policy.
type Guard struct {
	policy Policy
	client *http.Client
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxRedirects is enough for a moved document and too few for a chase.
const maxRedirects = 3

// New makes a guard.
func New(p Policy) *Guard {
	if p.Timeout == 0 {
		p.Timeout = 10 * time.Second
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = 4 << 20
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	g := &Guard{policy: p, dial: dialer.DialContext}
	g.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	transport := &http.Transport{
		Proxy:                  nil,
		DialContext:            g.connect,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  p.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
	}
	g.client = &http.Client{
		Transport: guarded{g, transport},
		Timeout:   p.Timeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			// What carries a message (logout token, webhook) goes where it was declared to go and nowhere else.
			if m := via[0].Method; m != http.MethodGet && m != http.MethodHead {
				return http.ErrUseLastResponse
			}
			if len(via) > maxRedirects {
				return fault.New(fault.Invalid, "%s redirects too often.", via[0].URL.Host)
			}
			if via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return fault.New(fault.Invalid, "%s redirects from https to %s.", via[0].URL.Host, r.URL.Scheme)
			}
			return nil
		},
	}
	return g
}

// Client gives an HTTP client whose every request, redirects included, passes the guard.
func (g *Guard) Client() *http.Client { return g.client }

// Get fetches a document: its body and header, for a status of 200.
func (g *Guard) Get(ctx context.Context, address string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Invalid, "%q is not a URL.", address)
	}
	response, err := g.client.Do(r)
	if err != nil {
		return nil, nil, unreachable(r.URL, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fault.New(fault.Unavailable, "%s answered %s.", r.URL.Host, response.Status)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, unreachable(r.URL, err)
	}
	return body, response.Header, nil
}

// unreachable keeps a refusal of the guard as it is and gives every other failure its kind. What the network said is for
// the log: told to the caller, it would make the server a port scanner.
func unreachable(u *url.URL, err error) error {
	if f := fault.As(err); f != nil {
		return f
	}
	return fault.Wrap(err, fault.Unavailable, "%s cannot be reached.", u.Host)
}

// Check says whether an address may be declared at all, before any name is resolved. The resolved address is judged
// again at each request.
func (g *Guard) Check(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%q is not a URL.", address)
	}
	return g.check(u)
}

func (g *Guard) check(u *url.URL) error {
	host := hostname(u.Host)
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fault.New(fault.Invalid, "%q is not an https address.", u.Redacted())
	case host == "":
		return fault.New(fault.Invalid, "%q names no host.", u.Redacted())
	case u.User != nil:
		// https://idp.example@127.0.0.1/ looks like the one and is the other.
		return fault.New(fault.Invalid, "%q holds a user name.", u.Redacted())
	}
	addr, literal := netip.ParseAddr(host)
	loopback := isLocalhost(host) || literal == nil && addr.Unmap().IsLoopback()
	if u.Scheme == "http" && (!g.policy.AllowPrivate || !loopback) {
		return fault.New(fault.Invalid, "%q is not an https address.", u.Redacted())
	}
	switch {
	case literal == nil:
		return g.judge(host, addr)
	case endsInNumber(host):
		// 2130706433, 0177.0.0.1 and 0x7f.1 are 127.0.0.1 to some resolvers and a name to others.
		return fault.New(fault.Invalid, "%s is not a host name: an IPv4 address has four decimal parts.", host)
	case isLocalhost(host) && !g.policy.AllowPrivate:
		return refusal(host)
	}
	return nil
}

// WebAddress reports whether a text has the form of an address that a setting may name, whatever the policy: what travels to it must
// not travel in the clear, so http is for this machine alone.
func WebAddress(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(raw, "#") || strings.ContainsAny(raw, " \\\t\r\n") {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}

// hostname gives a URL's host without its port, brackets and trailing dot, in lower case.
func hostname(hostport string) string {
	host := (&url.URL{Host: hostport}).Hostname()
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// isLocalhost follows RFC 6761 section 6.3: localhost and every name below it are loopback.
func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// endsInNumber reports whether the last label is a number, decimal or hexadecimal: such a host is an IPv4 address or
// nothing (WHATWG URL, "ends in a number").
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// guarded is the transport: it judges the URL of each request, and bounds what comes back.
type guarded struct {
	g    *Guard
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.g.check(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = &bounded{ReadCloser: response.Body, left: t.g.policy.MaxBytes, host: r.URL.Host}
	return response, nil
}

// bounded is a body that fails where it grows too large; cut off silently, half a document could pass for a whole one.
type bounded struct {
	io.ReadCloser
	left int64
	host string
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fault.New(fault.TooLarge, "What %s answers is too large.", b.host)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fault.New(fault.TooLarge, "What %s answers is too large.", b.host)
	}
	return n, err
}

// connect resolves the host once, judges every address it has, and dials those very addresses. One forbidden address
// among them refuses the name: whoever mixes them is up to something.
func (g *Guard) connect(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	var addrs []netip.Addr
	if literal, err := netip.ParseAddr(name); err == nil {
		addrs = []netip.Addr{literal}
	} else if addrs, err = g.lookup(ctx, host); err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := g.judge(name, a); err != nil {
			return nil, err
		}
	}
	failures := []error{fmt.Errorf("connect to %s", hostport)}
	for _, a := range addrs {
		conn, err := g.dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func refusal(host string) error {
	return fault.New(fault.Invalid, "%s is an address of a private network, which this installation does not reach.", host)
}

// judge says whether an address may be dialled.
func (g *Guard) judge(host string, a netip.Addr) error {
	if a.Zone() != "" {
		return refusal(host)
	}
	a = a.Unmap()
	if in(a, private) {
		if g.policy.AllowPrivate {
			return nil
		}
		return refusal(host)
	}
	if !public(a) {
		return fault.New(fault.Invalid, "%s is not an address of the public Internet.", host)
	}
	return nil
}

// private are the addresses that AllowPrivate opens: loopback, RFC 1918, RFC 6598 and RFC 4193. Link-local stays shut
// even then: it is where clouds answer with the machine's own credentials (169.254.169.254).
var private = prefixes("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")

// special are the ranges of the IANA special-purpose registries (RFC 6890) that no server on the Internet has.
var special = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	// Inside 2000::/3: protocol assignments with Teredo, documentation, and 6to4, which carries an IPv4 address inside.
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// global is all of IPv6 that is handed out to networks (RFC 4291 section 2.5.4); nat64 reaches IPv4 (RFC 6052).
var (
	global = netip.MustParsePrefix("2000::/3")
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
)

func public(a netip.Addr) bool {
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
		if in(a, private) {
			return false
		}
	}
	if a.Is6() && !global.Contains(a) {
		return false
	}
	return !in(a, special)
}

func in(a netip.Addr, ranges []netip.Prefix) bool {
	for _, r := range ranges {
		if r.Contains(a) {
			return true
		}
	}
	return false
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}
