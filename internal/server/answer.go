package server

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/oidc"
)

// The faces a request can be for, told apart by its path: they count and answer each in their own form.
const (
	faceHealth   = "health"
	faceSCIM     = "scim"
	faceAPI      = "api"
	faceDecision = "decision"
	faceOpenID   = "openid"
	faceSignIn   = "signin"
	faceConsole  = "console"
)

// programs are the OpenID endpoints that programs call; authorize and end_session are for browsers, and get pages.
var programs = []string{oidc.PathToken, oidc.PathUserinfo, oidc.PathIntrospect, oidc.PathRevoke, oidc.PathKeys}

func faceOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "healthz", "readyz", "metrics":
		return faceHealth
	case "scim":
		return faceSCIM
	case "api":
		return faceAPI
	case "access":
		return faceDecision
	case "signin", "sso", "saml":
		return faceSignIn
	case "authorize", "end_session", ".well-known":
		return faceOpenID
	}
	if slices.Contains(programs, path) {
		return faceOpenID
	}
	return faceConsole
}

// failure is a refusal that no face has made: there was no route, no right method, or nothing is served there yet.
type failure struct {
	status int
	title  string
	said   string // a sentence
	code   string // shown, and found in the log
}

var (
	notFound         = failure{status: http.StatusNotFound, title: "There is nothing here", said: "Nothing is served at this address."}
	methodNotAllowed = failure{status: http.StatusMethodNotAllowed, title: "Not in this way", said: "This address does not take this method."}
	internalError    = failure{status: http.StatusInternalServerError, title: "Something went wrong on our side", said: "The request could not be finished. The code leads to the reason in the log."}
)

// refuse answers in the form of the protocol that is spoken at the path.
func refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, f failure) {
	said := f.said
	if f.code != "" {
		said += " Code: " + f.code + "."
	}
	switch face := faceOf(r.URL.Path); {
	case face == faceSCIM:
		// RFC 7644 section 3.12; the status is a string there.
		writeJSON(w, f.status, "application/scim+json", map[string]any{
			"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": strconv.Itoa(f.status), "detail": said,
		})
	case face == faceDecision:
		// AuthZEN Authorization API 1.0 section 10.1.2: an error message string.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, said+"\n") // a reader who went away is not our error
	case face == faceOpenID && slices.Contains(programs, r.URL.Path):
		writeJSON(w, f.status, "application/json", map[string]any{"error": "server_error", "error_description": said})
	case face == faceAPI, face == faceOpenID && strings.HasPrefix(r.URL.Path, "/.well-known/"), face == faceHealth:
		problem := map[string]any{"type": "about:blank", "title": http.StatusText(f.status), "status": f.status, "detail": said}
		if f.code != "" {
			problem["code"] = f.code
		}
		writeJSON(w, f.status, "application/problem+json", problem)
	default:
		page.RefuseWith(w, r, log, f.status, page.Failure{Title: f.title, Said: f.said, Code: f.code})
	}
}

// allowed gives the methods that a path takes, which an answer 405 has to name (RFC 9110 section 15.5.6).
func allowed(r chi.Routes, path string) []string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		asked := m
		if m == http.MethodHead {
			asked = http.MethodGet // what answers GET answers HEAD
		}
		if r.Match(chi.NewRouteContext(), asked, path) {
			out = append(out, m)
		}
	}
	return []string{strings.Join(out, ", ")}
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body map[string]any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reader who went away is not our error
}
