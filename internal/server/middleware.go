package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
)

// facts are what is known of a request before anybody has looked at what it wants.
type facts struct{ ip, request string }

type factsKey struct{}

// From gives the address a request really came from, and its id as it stands in the log.
func From(r *http.Request) (ip, request string) {
	f, _ := r.Context().Value(factsKey{}).(facts)
	return f.ip, f.request
}

// identify gives a request its id and finds the address it came from. The id is always ours: one that a caller could
// choose would let him write his requests under somebody else's in log and audit.
func identify(trusted []netip.Prefix) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f := facts{ip: clientIP(r, trusted), request: string(id.New[id.Event]())}
			w.Header().Set("X-Request-Id", f.request)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), factsKey{}, f)))
		})
	}
}

// clientIP reads X-Forwarded-For only where it comes from a proxy that is trusted, and from its end: what stands further
// left than the first stranger was written by that stranger.
func clientIP(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	at = at.Unmap()
	if !within(trusted, at) {
		return at.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = hop.Unmap()
		if !within(trusted, at) {
			break
		}
	}
	return at.String()
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// answer watches what is answered, for the line and the counters.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// observe writes one line a request and counts it. The line has the path and never the query or a header: codes, states,
// tokens and addresses travel there.
func observe(log *slog.Logger, m *metrics) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			a := &answer{ResponseWriter: w}
			defer func() {
				took := time.Since(began)
				if a.status == 0 {
					a.status = http.StatusOK
				}
				face := faceOf(r.URL.Path)
				m.observe(face, r.Method, a.status, took)
				level := slog.LevelInfo
				switch {
				case face == faceHealth && a.status == http.StatusServiceUnavailable:
					// A node that stops says so to every look at it, and one whose store is away has said why.
					level = slog.LevelDebug
				case a.status >= http.StatusInternalServerError && a.status != http.StatusNotImplemented:
					level = slog.LevelError
				case face == faceHealth:
					level = slog.LevelDebug
				}
				if !log.Enabled(r.Context(), level) {
					return
				}
				ip, request := From(r)
				// As log.LogAttrs would, but without looking for the line of code that says it.
				line := slog.NewRecord(time.Now(), level, "request", 0)
				line.AddAttrs(slog.String("request", request), slog.String("method", r.Method), slog.String("path", clip(r.URL.Path)),
					slog.Int("status", a.status), slog.Int64("bytes", a.bytes), slog.Int64("us", took.Microseconds()), slog.String("ip", ip))
				_ = log.Handler().Handle(r.Context(), line)
			}()
			next.ServeHTTP(a, r)
		})
	}
}

// clip keeps a stranger from writing a novel into the log.
func clip(path string) string {
	if len(path) > 256 {
		return strings.ToValidUTF8(path[:256], "") + "..."
	}
	return path
}

// recoverer turns a panic into an answer with a short code, the code and the stack into a line, and the fact that it
// happened into an event: somebody may have sent what should not have come.
func recoverer(log *slog.Logger, failed func(context.Context, audit.Event) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
					panic(p)
				}
				code := page.Code()
				ip, request := From(r)
				log.ErrorContext(r.Context(), "a request panicked", "request", request, "code", code, "panic", p, "stack", string(debug.Stack()))
				ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), eventLimit)
				defer cancel()
				if err := failed(ctx, audit.Event{
					Actor: audit.Actor{Kind: audit.ActorSystem, Door: doorOf(r.URL.Path), IP: ip, Request: request}, Action: "request.failed",
					TargetKind: "request", TargetID: request, TargetName: r.Method + " " + clip(r.URL.Path), Outcome: audit.Refused, Code: code,
				}); err != nil {
					log.ErrorContext(r.Context(), "the event of a panic is lost", "request", request, "code", code, "error", err)
				}
				if a, ok := w.(*answer); ok && a.status != 0 {
					panic(http.ErrAbortHandler) // half an answer is worse than a broken connection
				}
				failure := internalError
				failure.code = code
				refuse(w, r, log, failure)
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// doorOf is the door that a path is behind.
func doorOf(path string) audit.Door {
	switch faceOf(path) {
	case faceSCIM:
		return audit.SCIM
	case faceOpenID:
		return audit.OpenID
	case faceSignIn:
		return audit.SignIn
	case faceAPI, faceDecision:
		return audit.API
	}
	return audit.Console
}

// Headers of every answer. Their values are the same for all, so none has to be made for each.
var nosniff, forAYear = []string{"nosniff"}, []string{"max-age=31536000"}

// bound sets what holds for every answer and every body. A face sets stricter ones for itself.
func bound(https bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["X-Content-Type-Options"] = nosniff
			if https {
				h["Strict-Transport-Security"] = forAYear
			}
			if r.Body != http.NoBody { // whoever looks for a body need not find one that only says so when it is read
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			}
			next.ServeHTTP(w, r)
		})
	}
}
