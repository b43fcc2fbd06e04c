package oidc

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The gate stands in front of every endpoint: method, content type, size, and parameters that come
// once, in the right place and in bounded length. What passes is a plain map.

const (
	maxBody  = 64 << 10
	maxQuery = 64 << 10
)

// caps bound what a parameter may hold, in bytes. The large ones are opaque to us and only carried
// (state, nonce) or signed by us (id_token_hint, token); the rest is as long as a lawful value can be.
var caps = map[string]int{
	"client_id": 256, "client_secret": 1024, "redirect_uri": 2048, "response_type": 64,
	"response_mode": 32, "scope": 1024, "state": 4096, "nonce": 1024, "prompt": 128, "max_age": 10,
	"login_hint": 512, "organization": 128, "connection": 128, "id_token_hint": 16 << 10,
	"code_challenge": 128, "code_challenge_method": 16, "grant_type": 128, "code": 256,
	"code_verifier": 256, "refresh_token": 256, "token": 16 << 10, "token_type_hint": 64,
	"post_logout_redirect_uri": 2048, "attempt": 128, "confirm": 128, "access_token": 16 << 10,
}

// defaultCap is for parameters we do not read; RFC 6749 section 3.1 has them ignored, not refused.
const defaultCap = 8 << 10

type params map[string]string

// has says whether a parameter was sent with a value; one without counts as omitted (RFC 6749
// section 3.1).
func (q params) has(name string) bool { return q[name] != "" }

// list splits a space-delimited value.
func (q params) list(name string) []string { return strings.Fields(q[name]) }

// noStore marks an answer as one that holds credentials or a person's data, and as nothing that a
// browser may render, frame or leak by Referer.
func noStore(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// allow answers 405 to any method not listed.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	w.WriteHeader(http.StatusMethodNotAllowed)
	return false
}

// query reads the parameters of a GET.
func query(r *http.Request) (params, *Error) {
	if len(r.URL.RawQuery) > maxQuery {
		return nil, &Error{Code: InvalidRequest, Description: "The address is too long.", Status: http.StatusRequestURITooLong}
	}
	return once(r.URL.RawQuery)
}

// form reads the parameters of a POST. Nothing may stand in the query as well: a secret there would
// lie in every log on the way (RFC 6749 section 2.3.1).
func form(w http.ResponseWriter, r *http.Request) (params, *Error) {
	if r.URL.RawQuery != "" {
		return nil, refuse(InvalidRequest, "Parameters belong into the body, not into the address.")
	}
	if !isForm(r.Header.Values("Content-Type")) {
		return nil, &Error{
			Code: InvalidRequest, Description: "The body must be application/x-www-form-urlencoded.",
			Status: http.StatusUnsupportedMediaType,
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &Error{Code: InvalidRequest, Description: "The body is larger than 64 KiB.", Status: http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return nil, refuse(InvalidRequest, "The body ended early.")
	}
	return once(string(body))
}

func isForm(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	media, args, err := mime.ParseMediaType(contentType[0])
	if err != nil || media != "application/x-www-form-urlencoded" {
		return false
	}
	for name, value := range args {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// once parses and insists that each parameter comes once. Where a value comes twice, two readers may
// each believe another one; that gap is what parameter pollution uses.
func once(raw string) (params, *Error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse(InvalidRequest, "The parameters are not well-formed.")
	}
	q := make(params, len(values))
	for name, all := range values {
		if len(all) > 1 {
			return nil, refuse(InvalidRequest, "A parameter was sent more than once.")
		}
		q[name] = all[0]
	}
	return q, nil
}

// judge checks length and characters of each value. The names it skips are judged by their owner.
func (q params) judge() *Error {
	for name, value := range q {
		limit, known := caps[name]
		if !known {
			limit = defaultCap
		}
		if len(value) > limit {
			if !known {
				name = "A parameter"
			}
			return refuse(InvalidRequest, name+" is too long.")
		}
		// Control characters have no business in any of these and are what header and log injection
		// is made of; RFC 6749 appendix A excludes them everywhere.
		if !utf8.ValidString(value) || strings.IndexFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) >= 0 {
			return refuse(InvalidRequest, "A parameter holds characters that are not allowed.")
		}
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// fail answers an application directly (RFC 6749 section 5.2).
func (p *Provider) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ours := asError(err)
	if ours {
		p.report(r, err)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(1+seconds(e.RetryAfter), 10))
	}
	if e.Code == InvalidClient && e.status() == http.StatusUnauthorized {
		// RFC 6749 section 5.2 demands the challenge when the header was tried; RFC 9110 section
		// 15.5.2 demands one with every 401.
		w.Header().Set("WWW-Authenticate", `Basic realm="openid", charset="UTF-8"`)
	}
	writeJSON(w, e.status(), struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
}

// crossOrigin lets pages of registered clients call an endpoint; no cookies are involved, so no
// credentials are allowed. It returns true when it has answered a preflight.
func (p *Provider) crossOrigin(w http.ResponseWriter, r *http.Request, methods string) bool {
	origin := r.Header.Get("Origin")
	if origin != "" {
		w.Header().Add("Vary", "Origin")
		ok, err := p.clients.AllowsOrigin(r.Context(), origin)
		if err != nil {
			p.report(r, err)
		}
		if ok {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
	}
	if r.Method != http.MethodOptions {
		return false
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", methods)
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// narrowOrigin takes the permission back if the client that turned out to call does not run there.
func narrowOrigin(w http.ResponseWriter, r *http.Request, c *Client) {
	if origin := r.Header.Get("Origin"); origin != "" && !slices.Contains(c.Origins, origin) {
		w.Header().Del("Access-Control-Allow-Origin")
	}
}
