package session

import (
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

const (
	sessionPrefix = "vestibule_s_"
	browserName   = "vestibule_b"
	hostPrefix    = "__Host-"
)

// browserLifetime of the cookie that binds attempts to a browser. It names nobody; a year keeps one browser one browser.
const browserLifetime = 365 * 24 * time.Hour

// Cookies names and writes the cookies of one installation.
type Cookies struct {
	// Secure is set when the public URL is https. The cookies then carry the __Host- prefix, which a sibling host or a
	// plain-http page cannot set (RFC 6265bis section 4.1.3.2): no session fixation from a neighbour.
	Secure bool
}

// For gives the cookies that fit a public base URL.
func For(publicURL string) Cookies {
	return Cookies{Secure: strings.HasPrefix(publicURL, "https://")}
}

func (c Cookies) name(plain string) string {
	if c.Secure {
		return hostPrefix + plain
	}
	return plain
}

// Name of the session cookie of an organization. A declared id needs no escaping in it.
func (c Cookies) Name(org id.Organization) string { return c.name(sessionPrefix + string(org)) }

func (c Cookies) make(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// Session is the cookie that carries a new session's handle until the browser closes or lifetime has passed.
func (c Cookies) Session(org id.Organization, handle string, lifetime time.Duration) *http.Cookie {
	return c.make(c.Name(org), handle, int(lifetime/time.Second))
}

// Clear is the cookie that makes the browser forget its session of an organization.
func (c Cookies) Clear(org id.Organization) *http.Cookie { return c.make(c.Name(org), "", -1) }

// Handle gives the session handle this browser shows for an organization, or "".
func (c Cookies) Handle(r *http.Request, org id.Organization) string { return one(r, c.Name(org)) }

// Hash gives the fingerprint of that handle as the store keeps it, or "".
func (c Cookies) Hash(r *http.Request, org id.Organization) string {
	return fingerprint(c.Handle(r, org))
}

// Organizations lists, in order, the organizations this browser shows a session cookie of. Whether one is live, the store says.
func (c Cookies) Organizations(r *http.Request) []id.Organization {
	var out []id.Organization
	prefix := c.name(sessionPrefix)
	seen := map[string]bool{}
	for _, k := range r.Cookies() {
		org, ok := strings.CutPrefix(k.Name, prefix)
		if ok && id.Declared(org) && !seen[org] && c.Handle(r, id.Organization(org)) != "" {
			seen[org] = true
			out = append(out, id.Organization(org))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// Browser gives the fingerprint of this browser's own cookie, or "" when it has none: such a browser owns no attempt.
func (c Cookies) Browser(r *http.Request) string { return fingerprint(one(r, c.name(browserName))) }

// EnsureBrowser gives the fingerprint of this browser's cookie and, when it had none, the cookie to set.
func (c Cookies) EnsureBrowser(r *http.Request) (hash string, set *http.Cookie) {
	if hash := c.Browser(r); hash != "" {
		return hash, nil
	}
	handle := seal.Handle()
	return seal.Fingerprint(handle), c.make(c.name(browserName), handle, int(browserLifetime/time.Second))
}

// one gives the value of the only cookie of that name. Two of one name mean that somebody planted one (cookie tossing): none
// is believed.
func one(r *http.Request, name string) string {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 || len(cookies[0].Value) != 43 {
		return ""
	}
	return cookies[0].Value
}

func fingerprint(handle string) string {
	if handle == "" {
		return ""
	}
	return seal.Fingerprint(handle)
}
