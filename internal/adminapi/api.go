// Package adminapi is the admin API: what operators and their scripts do under /api/v1, in JSON, with a bearer token that
// has operator rights.
//
// It decides nothing. Each call opens one transaction of one organization, asks the domain (access, directory, store) and
// translates: inputs into its words, faults into application/problem+json. Organizations are kept apart by the transaction:
// an id of another organization is not found, whatever the call. The OpenAPI 3.1 document is generated from the same types
// that decode the input, so it cannot promise something else.
package adminapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/store"
)

// API is the admin API of a node.
type API struct {
	DB   *store.DB
	Log  *slog.Logger
	From func(*http.Request) (ip, request string) // where a request comes from, and its id in the log
	// CheckDomain asks a claimed domain's zone for its proof.
	CheckDomain func(ctx context.Context, actor audit.Actor, org id.Organization, domain string) (store.DomainClaim, error)
	// Metadata asks a SAML provider for its metadata out of turn.
	Metadata func(ctx context.Context, org id.Organization, c id.Connection) error
	URL      string       // the public base URL, for the links of invitations
	Mail     *mail.Mailer // says what becomes of letters
}

// Mount serves the API under /api/v1.
func (a *API) Mount(r chi.Router) {
	r.Route("/api/v1", func(r chi.Router) {
		config := huma.DefaultConfig("Vestibule admin API", "1")
		config.Info.Description = "Organizations, users and their access. Errors are application/problem+json (RFC 9457)."
		config.Servers = []*huma.Server{{URL: "/api/v1"}}
		config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
			"token": {Type: "http", Scheme: "bearer", Description: "An API token, made by `vestibule token create --operator`."},
		}
		config.Security = []map[string][]string{{"token": {}}}
		// No pages with scripts from elsewhere, no $schema links in answers: the document alone.
		config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
		// A filter with a slip in its name must not list everything as if it had matched.
		config.RejectUnknownQueryParameters = true
		r.NotFound(refuse(http.StatusNotFound, "The admin API has nothing at this address."))
		r.MethodNotAllowed(refuse(http.StatusMethodNotAllowed, "This address does not take this method."))
		api := humachi.New(r, config)
		api.UseMiddleware(a.authenticate)
		for _, register := range []func(huma.API){
			a.organizations, a.directories, a.drift, a.expiries, a.connections, a.domains, a.samlMetadata, a.samlKeys, a.catalogue, a.roles, a.users, a.grants, a.restrictions, a.groupRoles, a.conflicts, a.invitations, a.setupLinks, a.webhooks, a.local, a.providers, a.events,
		} {
			register(api)
		}
	})
}

type actorKey struct{}

// actorOf gives who calls; the token's own name stands in the audit log.
func actorOf(ctx context.Context) audit.Actor {
	actor, _ := ctx.Value(actorKey{}).(audit.Actor)
	return actor
}

// authenticate takes a bearer token from the Authorization header alone: one in the address would stand in logs (RFC 6750
// section 5.3).
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	w.Header().Set("Cache-Control", "no-store")
	secret, sent := bearer(r)
	var token store.APIToken
	var stale bool
	challenge := `Bearer realm="vestibule"` // without a credential there is no error code (RFC 6750 section 3.1)
	var failure error = fault.New(fault.Unauthenticated, "This call wants an API token: Authorization: Bearer TOKEN.")
	if sent {
		failure = a.DB.System().Read(ctx.Context(), func(tx *store.SystemTx) (err error) {
			token, stale, err = tx.APIToken(ctx.Context(), secret)
			return err
		})
		challenge += `, error="invalid_token"`
	}
	ip, request := a.From(r)
	actor := audit.Actor{
		Kind: audit.ActorOperator, ID: string(token.ID), Name: "API token " + token.Name, Door: audit.API, IP: ip, Request: request,
	}
	ctx = huma.WithValue(ctx, actorKey{}, actor)
	if failure == nil {
		failure = wellFormed(r.URL)
	}
	if failure == nil && stale {
		failure = a.DB.System().Write(ctx.Context(), func(tx *store.SystemTx) error {
			return tx.TouchAPIToken(ctx.Context(), token.ID)
		})
	}
	if failure != nil {
		p := a.problem(ctx.Context(), failure)
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		write(w, p)
		return
	}
	next(ctx)
}

// wellFormed refuses an address that cannot be read to its end. A filter whose escape is broken would be left out unseen, and
// everything listed as if it had matched.
func wellFormed(u *url.URL) error {
	query, err := url.QueryUnescape(u.RawQuery)
	if err == nil {
		_, err = url.ParseQuery(u.RawQuery)
	}
	if text := u.Path + query; err != nil || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fault.New(fault.Invalid, "The address holds a broken escape, the character NUL, or bytes that are not UTF-8.")
	}
	return nil
}

// refuse answers where no call is.
func refuse(status int, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, newProblem(status, detail)) }
}

// write answers a problem outside of a call.
func write(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a caller who went away is not our error
}

// bearer gives the token of the request; the scheme's name is read in any case (RFC 9110 section 11.1). Two headers are
// none: which of them a proxy in front has looked at cannot be known.
func bearer(r *http.Request) (string, bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, secret, found := strings.Cut(headers[0], " ")
	secret = strings.TrimSpace(secret)
	return secret, found && strings.EqualFold(scheme, "Bearer") && secret != ""
}

// handle registers a call, with the one translation of its errors.
func handle[I, O any](a *API, api huma.API, op huma.Operation, fn func(ctx context.Context, in *I) (*O, error)) {
	op.Errors = append(op.Errors, http.StatusUnauthorized)
	if strings.Contains(op.Path, "{") {
		op.Errors = append(op.Errors, http.StatusNotFound)
	}
	if op.Method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusForbidden, http.StatusConflict)
	}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}

// read runs fn in a transaction of an organization that exists.
func (a *API) read(ctx context.Context, org id.Organization, fn func(tx *store.Tx) error) error {
	return a.DB.Read(ctx, org, known(ctx, fn))
}

// write runs fn in a writing transaction of an organization that exists.
func (a *API) write(ctx context.Context, org id.Organization, fn func(tx *store.Tx) error) error {
	return a.DB.Write(ctx, org, known(ctx, fn))
}

func known(ctx context.Context, fn func(tx *store.Tx) error) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		if _, err := tx.Self(ctx); err != nil {
			return err
		}
		return fn(tx)
	}
}

// Of is a call about one organization.
type Of struct {
	Organization id.Organization `path:"organization" doc:"The organization's id" example:"northwind"`
}

// OfUser is a call about one user.
type OfUser struct {
	Of
	User id.User `path:"user" doc:"The user's id"`
}

// Paging bounds a list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor string `query:"cursor" maxLength:"400" doc:"next of the page before"`
}

// Page is a page of a list.
type Page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next" doc:"The cursor of the next page; null on the last one"`
}

// List is the answer of a list.
type List[T any] struct {
	Body Page[T]
}

func listOf[T, U any](items []T, next string, shape func(T) U) *List[U] {
	out := &List[U]{Body: Page[U]{Items: make([]U, 0, len(items))}}
	for _, item := range items {
		out.Body.Items = append(out.Body.Items, shape(item))
	}
	if next != "" {
		out.Body.Next = &next
	}
	return out
}

// cut gives a page of a list that is short enough to be read whole, by each item's key; items are in the order of the list.
func cut[T any](p Paging, items []T, key func(T) string) ([]T, string, error) {
	if p.Cursor != "" {
		at := -1
		for i, item := range items {
			if key(item) == p.Cursor {
				at = i
				break
			}
		}
		if at < 0 {
			return nil, "", fault.New(fault.Invalid, "This cursor is not of this list.").WithField("cursor", "It names nothing in the list.")
		}
		items = items[at+1:]
	}
	if len(items) <= p.Limit {
		return items, "", nil
	}
	items = items[:p.Limit]
	return items, key(items[p.Limit-1]), nil
}

// matches reports whether a text a person typed is part of one of the others, in any case.
func matches(q string, in ...string) bool {
	q = strings.ToLower(strings.TrimSpace(q))
	for _, s := range in {
		if strings.Contains(strings.ToLower(s), q) {
			return true
		}
	}
	return false
}

// Reason is a body that may say why.
type Reason struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Kept in the audit log"`
}

// Nothing is an answer without a body.
type Nothing struct{}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
