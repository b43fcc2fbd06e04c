// Package page is the shell that every page a person sees stands in: the document around it, the one stylesheet, the
// vendored htmx, the security headers, and the one translation of a fault into a page. Sign-in and console render into it;
// it knows nothing of what they show.
//
// Pages work without script where a person may be locked out (sign-in, setup, errors); script only adds comfort. The
// Content-Security-Policy is plain 'self': no inline script, no inline style, no nonce. A template that breaks it shows
// up in the report counter, which the browser tests read.
package page

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/a-h/templ"
)

//go:embed assets
var files embed.FS

// Where the shell's own addresses are mounted. They are part of the pages' markup.
const (
	AssetsPath = "/assets/"
	ReportPath = "/csp-report"
)

// policy is the Content-Security-Policy of every page. form-action is filled in because Chromium applies it to the
// whole redirect chain after a form: a page whose form leads to another origin must name that origin (AllowForms).
const (
	policyHead = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'"
	policyTail = "; frame-ancestors 'none'; base-uri 'none'; report-uri " + ReportPath
)

// Headers sets the security headers of pages and assets.
func Headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetHeaders(w)
		next.ServeHTTP(w, r)
	})
}

// SetHeaders sets the security headers on one answer.
func SetHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", policyHead+policyTail)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	// Addresses of pages carry organization and user ids, sign-in pages a state: none of it leaves the origin.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
}

// AllowForms lets the forms of this one answer lead, by redirects, to the given origins ("https://idp.example").
// Call it before Render.
func AllowForms(w http.ResponseWriter, origins ...string) {
	var allowed strings.Builder
	for _, o := range origins {
		// An origin is data from a connection: one that could open another directive is left out.
		if o != "" && !strings.ContainsAny(o, " ;,'\"\r\n\t") {
			allowed.WriteString(" " + o)
		}
	}
	w.Header().Set("Content-Security-Policy", policyHead+allowed.String()+policyTail)
}

// Render writes a page. It is rendered whole before the first byte goes out, so that a failing template is an error and
// never half a page. Pages are about one person at one moment: nothing keeps a copy.
func Render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		return err
	}
	h := w.Header()
	if h.Get("Content-Security-Policy") == "" {
		SetHeaders(w)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	// A reader who went away is not our error.
	_, _ = w.Write(b.Bytes())
	return nil
}

// Assets serves the stylesheet, the scripts and the mark under AssetsPath. Addresses carry the content's hash (see
// asset), so a copy may be kept for as long as anyone likes.
func Assets() http.Handler {
	sub, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the embedded tree is part of the program
	}
	serve := http.StripPrefix(AssetsPath, http.FileServerFS(sub))
	return Headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		if r.URL.RawQuery != "" {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			w.Header().Set("Cache-Control", "public, max-age=300")
		}
		serve.ServeHTTP(w, r)
	}))
}

// Reports receives what browsers report against the policy, and counts it. A report is a stranger's word about a page:
// it is counted and never stored.
type Reports struct{ count atomic.Int64 }

// ServeHTTP is the endpoint named by the policy's report-uri.
func (p *Reports) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "A browser reports here by POST.", http.StatusMethodNotAllowed)
		return
	}
	p.count.Add(1)
	w.WriteHeader(http.StatusNoContent)
}

// Count is how many reports have come in since the start.
func (p *Reports) Count() int64 { return p.count.Load() }
