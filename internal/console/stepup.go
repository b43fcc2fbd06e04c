package console

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// A door is an address under an organization's that asks for a fresh proof: to see its form, to send it, or both.
type door struct {
	methods string
	pattern string
	when    func(*visit) bool // asks only for what is chosen in the form; always where nil
}

const (
	both = http.MethodGet + " " + http.MethodPost
	post = http.MethodPost
	get  = http.MethodGet
)

// sensitive lists the doors that a browser somebody left open must not go through: what lets others in, lets others decide, or
// undoes much at once. The form asks before it is filled in, and again when it is sent.
var sensitive = []door{
	{get, "/directories/{directory}/tokens/new", nil},
	{post, "/directories/{directory}/tokens", nil},
	{both, "/directories/{directory}/tokens/of/{token}/revoke", nil},
	{both, "/directories/{directory}/wave/{act:undo|release}", nil},
	{get, "/connections/new", nil},
	{post, "/connections", nil},
	{get, "/connections/{connection}/edit", nil},
	{post, "/connections/{connection}", nil},
	{both, "/connections/{connection}/do/{act}", nil},
	{post, "/connections/{connection}/keys/metadata", nil},
	{post, "/connections/{connection}/keys/make", nil},
	{post, "/connections/{connection}/keys/{key}/{act:use|remove}", nil},
	{both, "/domains/{domain}/release", nil},
	{post, "/rules/{act:enforce|release}", nil},
	{post, "/rules/exceptions", nil},
	{post, "/rules/exceptions/{exception}/end", nil},
	{get, "/setup-links/new", nil},
	{post, "/setup-links", nil},
	{both, "/setup-links/{link}/revoke", nil},
	{get, "/webhooks/new", nil},
	{post, "/webhooks", nil},
	{get, "/webhooks/{webhook}/edit", nil},
	{post, "/webhooks/{webhook}", nil},
	{both, "/webhooks/{webhook}/secret", nil},
	{both, "/webhooks/{webhook}/delete", nil},
	{get, "/roles/new", nil},
	{post, "/roles", nil},
	{both, "/roles/{role}/{act:edit|delete}", nil},
	{both, "/providers/offer", nil},
	{both, "/providers/{provider}/{act:terms|give|cut}", nil},
	{both, "/users/{user}/do/{act:custom|defaults|delete|keep|reactivate|reset-factors|restore}", nil},
	{post, "/users/{user}/carry", nil},
	{post, "/conflicts/{conflict}", nil},   // "the same person" hands an account over
	{post, "/groups/{group}/members", nil}, // a group may give anything
	{post, "/users/{user}/give", (*visit).givesPower},
	{post, "/users/give", (*visit).givesPower},
	{post, "/groups/{group}/give", (*visit).givesPower},
	{post, "/invitations", (*visit).givesPower},
	{post, "/invitations/list/send", nil}, // each row may name roles of its own
	{post, "/invitations/{invitation}/resend", (*visit).showsLinks},
}

// doors finds the line of a request in sensitive.
var doors, conditions = func() (*chi.Mux, map[string]func(*visit) bool) {
	m, when := chi.NewMux(), map[string]func(*visit) bool{}
	for _, d := range sensitive {
		for method := range strings.FieldsSeq(d.methods) {
			m.MethodFunc(method, d.pattern, func(http.ResponseWriter, *http.Request) {})
		}
		when[d.pattern] = d.when
	}
	return m, when
}()

// givesPower reports whether what is chosen gives a role that is protected or that may give others.
func (v *visit) givesPower() bool {
	catalogue := v.viewer.ground.Catalogue
	for _, chosen := range v.r.PostForm["role"] {
		for _, r := range catalogue.Expand(id.Role(chosen)) {
			if role, _ := catalogue.Role(r); role.Protected || len(role.MayGrant) > 0 {
				return true
			}
		}
	}
	return false
}

// showsLinks reports whether an invitation's link is shown to who sends it, since no letter takes it to whom it is for.
func (v *visit) showsLinks() bool { return v.c.letters() == mail.Off }

// freshFirst asks, before a sensitive door, for a proof that is not old.
func (c *Console) freshFirst(next http.Handler) http.Handler {
	return c.show(func(w http.ResponseWriter, r *http.Request) error {
		at, found := chi.RouteContext(r.Context()).RoutePath, chi.NewRouteContext()
		if len(at) > 1 {
			at = strings.TrimSuffix(at, "/") // a group of routes answers with the slash and without, and so does its door
		}
		if !doors.Match(found, r.Method, at) {
			next.ServeHTTP(w, r)
			return nil
		}
		// As the handler reads it: a role that stands in a multipart form must not be one that is seen there alone.
		if err := parsed(r); err != nil {
			return err
		}
		v, err := c.visit(w, r, "", "")
		if err != nil {
			return redirected(w, r, err)
		}
		if v.viewer.operator != nil {
			if v.viewer.proved, err = c.freshOperator(r); err != nil {
				return err
			}
		}
		err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) error {
			if err := v.again(tx); err != nil {
				return err
			}
			if when := conditions[found.RoutePattern()]; when != nil && !when(v) {
				return nil
			}
			return v.fresh(tx)
		})
		if err != nil {
			return c.refusedChange(v, err)
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// held is a form that waits, in the browser of who filled it in, until they have shown who they are. Nothing of it is kept here.
type held struct {
	Prove  string     // the way to show it, in a tab of its own
	Action string     // where the form is sent
	Fields url.Values // what was typed
}

// prove answers who has to show anew who they are: a page they only wanted to see is shown afterwards, and what they sent is
// given back to them to be sent once more. Nothing that was typed is lost, or done without the proof.
func prove(w http.ResponseWriter, r *http.Request, s signIn) error {
	if s.proved != "" && r.Header.Get("HX-Request") == "true" {
		// A dialog cannot hold a sign-in: the whole page goes there.
		w.Header().Set("HX-Redirect", s.to)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if s.proved == "" || r.Method == http.MethodGet || len(r.PostForm) == 0 {
		http.Redirect(w, r, s.to, http.StatusSeeOther)
		return nil
	}
	return page.Render(w, r, http.StatusForbidden, heldPage(held{s.proved, r.URL.RequestURI(), r.PostForm}))
}

// proved is where the tab ends in which somebody has shown who they are.
func (c *Console) proved(w http.ResponseWriter, r *http.Request) error {
	if _, err := c.visit(w, r, "", ""); err != nil {
		return redirected(w, r, err)
	}
	return page.Render(w, r, http.StatusOK, provedPage())
}

// operatorAnew is the way for an operator to show once more who they are: by a factor, or by the password where they have none.
func operatorAnew(back string) string {
	return "/operator/signin?" + url.Values{"return_to": {back}}.Encode()
}

// freshOperator reports whether the operator of this browser has shown lately who they are, with the second factor of whoever has one.
func (c *Console) freshOperator(r *http.Request) (bool, error) {
	hash, fresh := c.operatorHash(r), false
	err := c.DB.System().Read(r.Context(), func(tx *store.SystemTx) error {
		since, err := tx.OperatorSessionSince(r.Context(), hash)
		if err != nil || !mfa.Fresh(since, tx.Now()) {
			return err
		}
		o, _, err := tx.OperatorSession(r.Context(), hash)
		if err != nil {
			return err
		}
		factors, err := tx.OperatorFactors(r.Context(), o.ID)
		fresh = err == nil && (len(factors) == 0 || mfa.Two(o.AMR))
		return err
	})
	if fault.KindOf(err) == fault.Unauthenticated {
		return false, nil
	}
	return fresh, err
}

// fields lists what was typed, in one order.
func (h held) fields() (out [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(h.Fields)) {
		for _, value := range h.Fields[name] {
			out = append(out, [2]string{name, value})
		}
	}
	return out
}
