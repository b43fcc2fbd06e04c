package netguard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// The attack: whoever may declare an address (metadata, key set, discovery, logout, webhook) names one that only this
// server can reach.
// Negative case 180, with the tests below it.
func TestCheck_AddressesOfPrivateNetworksAreRefused(t *testing.T) {
	t.Parallel()
	g := New(Policy{})
	for _, address := range []string{
		"https://127.0.0.1/", "https://127.8.9.10:8443/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
		"https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://idp.localhost/",
		"https://10.1.2.3/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://100.64.0.1/",
		"https://169.254.169.254/latest/meta-data/", "https://[fd00::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
		"https://[fd00:ec2::254]/", "https://0.0.0.0/", "https://[::]/", "https://224.0.0.1/", "https://255.255.255.255/",
		// An IPv4 address inside an IPv6 one: mapped, NAT64, 6to4, Teredo.
		"https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
		"https://[2001:0:7f00:1::]/",
		// Other spellings of 127.0.0.1 that some resolvers read.
		"https://2130706433/", "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://0x7f000001/", "https://127.1/",
		"https://127.0.0.1./",
		// The host hides behind a user name.
		"https://idp.example@127.0.0.1/",
		// Not https, or not a web address at all.
		"http://idp.example/", "http://127.0.0.1/", "file:///etc/passwd", "gopher://idp.example/", "//idp.example/", "",
	} {
		if err := g.Check(address); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want a refusal", address, err)
		}
	}
	for _, address := range []string{
		"https://idp.example/metadata", "https://idp.example:8443/", "https://93.184.216.34/", "https://[2606:2800:220:1::1]/",
		"https://1password.example/", "https://[64:ff9b::5db8:d822]/",
	} {
		if err := g.Check(address); err != nil {
			t.Errorf("%s: got %v, want it let through", address, err)
		}
	}
}

// What a setting may name is judged by its form alone, in one place for files, pages and the API.
func TestWebAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://hooks.example/v?x=1": true, "http://localhost:8080/v": true, "http://127.0.0.1/v": true, "http://[::1]/v": true,
		"http://hooks.example/v": false, "http://127.0.0.1.example/v": false, "http://10.0.0.1/v": false, "hooks.example/v": false,
		"https://": false, "https:///v": false, "ftp://hooks.example/v": false, "javascript:alert(1)": false,
		"https://a:b@hooks.example/v": false, "https://hooks.example/v#": false, "https://hooks.example/a b": false,
		"https://hooks.example\\@10.0.0.1/": false, "": false,
	} {
		if got := WebAddress(address); got != want {
			t.Errorf("%q: got %t", address, got)
		}
	}
}

func TestCheck_AllowedPrivateNetworksStayShutForMetadataServices(t *testing.T) {
	t.Parallel()
	g := New(Policy{AllowPrivate: true})
	for address, want := range map[string]bool{
		"http://127.0.0.1:1234/": true, "http://localhost:1234/": true, "http://[::1]:1234/": true, "https://10.0.0.1/": true,
		"https://[fd00::1]/": true, "https://192.168.0.7/": true,
		"http://10.0.0.1/": false, "http://idp.example/": false, "https://169.254.169.254/": false, "https://[fe80::1]/": false,
		"https://0.0.0.0/": false, "http://0x7f.1/": false, "https://[64:ff9b::a9fe:a9fe]/": false,
	} {
		if err := g.Check(address); (err == nil) != want {
			t.Errorf("%s: got %v, want let through: %v", address, err, want)
		}
	}
}

// resolving makes a guard see name at the given addresses, and counts how often it asks.
func resolving(g *Guard, asked *int, addresses ...string) {
	g.lookup = func(context.Context, string) ([]netip.Addr, error) {
		*asked++
		var out []netip.Addr
		for _, a := range addresses {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

func TestGet_NameThatLeadsToAPrivateAddressIsRefused(t *testing.T) {
	t.Parallel()
	for _, addresses := range [][]string{
		{"127.0.0.1"},
		{"::1"},
		{"169.254.169.254"},
		{"10.0.0.1"},
		{"fd00::1"},
		{"0.0.0.0"},
		{"93.184.216.34", "127.0.0.1"},
		{"2606:2800:220:1::1", "::ffff:192.168.0.1"},
	} {
		g := New(Policy{})
		asked := 0
		resolving(g, &asked, addresses...)
		g.dial = func(_ context.Context, _, address string) (net.Conn, error) {
			t.Errorf("%v: dialled %s", addresses, address)
			return nil, errors.New("refused")
		}
		_, _, err := g.Get(t.Context(), "https://rebound.example/keys")
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v: got %v, want a refusal", addresses, err)
		}
	}
}

// The attack: a name that answers a public address when it is judged and a private one when it is dialled.
func TestGet_AddressThatWasJudgedIsTheOneDialled(t *testing.T) {
	t.Parallel()
	g := New(Policy{})
	asked := 0
	resolving(g, &asked, "93.184.216.34")
	var dialled []string
	g.dial = func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errors.New("nobody there")
	}
	_, _, err := g.Get(t.Context(), "https://rebound.example/keys")
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want it unreachable", err)
	}
	if f := fault.As(err); f != nil && strings.Contains(f.Message, "nobody there") {
		t.Errorf("got %q, which tells the caller what the network said", f.Message)
	}
	if asked != 1 || len(dialled) != 1 || dialled[0] != "93.184.216.34:443" {
		t.Errorf("asked %d times and dialled %v, want once, and the address that was judged", asked, dialled)
	}
}

func serve(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestGet_RedirectIsJudgedLikeARequest(t *testing.T) {
	t.Parallel()
	g := New(Policy{AllowPrivate: true})
	for _, to := range []string{
		"http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "http://10.0.0.1/", "file:///etc/passwd",
		"http://0x7f000001/", "https://user@127.0.0.1/",
	} {
		u := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
		if _, _, err := g.Get(t.Context(), u.String()); fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: got %v, want a refusal", to, err)
		}
	}
	u := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) })
	if _, _, err := g.Get(t.Context(), u.String()); fault.KindOf(err) != fault.Invalid {
		t.Errorf("got %v for a chase of redirects, want a refusal", err)
	}
	moved := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
			return
		}
		_, _ = io.WriteString(w, "keys")
	})
	body, _, err := g.Get(t.Context(), moved.JoinPath("old").String())
	if err != nil || string(body) != "keys" {
		t.Errorf("got %q, %v, want the moved document", body, err)
	}
}

func TestClient_MessageIsNotRedirected(t *testing.T) {
	t.Parallel()
	posted := 0
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		posted++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), strings.NewReader("logout_token=secret"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := New(Policy{AllowPrivate: true}).Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusTemporaryRedirect || posted != 1 {
		t.Errorf("got %d after %d posts, want the redirect itself after one", response.StatusCode, posted)
	}
}

func TestGet_BodyBeyondTheLimitFailsInsteadOfEnding(t *testing.T) {
	t.Parallel()
	g := New(Policy{AllowPrivate: true, MaxBytes: 1000})
	for size, want := range map[int]fault.Kind{1000: fault.Internal, 1001: fault.TooLarge, 1 << 20: fault.TooLarge} {
		u := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", size)) })
		body, _, err := g.Get(t.Context(), u.String())
		if got := fault.KindOf(err); got != want || want == fault.Internal && (err != nil || len(body) != size) {
			t.Errorf("%d bytes: got %d and %v", size, len(body), err)
		}
	}
}

func TestGet_ServerThatNeverEndsIsLeft(t *testing.T) {
	t.Parallel()
	g := New(Policy{AllowPrivate: true, Timeout: 50 * time.Millisecond})
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if _, _, err := g.Get(t.Context(), u.String()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want it given up", err)
	}
}

func TestGet_RefusalByTheOtherSideIsUnavailable(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	if _, _, err := New(Policy{AllowPrivate: true}).Get(t.Context(), u.String()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want it unavailable", err)
	}
}
