package oidc

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// confirmCookie holds the random value that the confirm form must repeat. A page elsewhere can make
// a browser post the form, but can neither read nor set this cookie.
func (p *Provider) confirmCookie(value string, maxAge int) *http.Cookie {
	name := "vestibule_logout"
	if p.secure {
		name = "__Host-" + name
	}
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: p.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

// endSession ends the session a browser holds (RP-Initiated Logout 1.0). Only a hint that names
// exactly that session ends it unasked; every other way asks first, since any page may send a
// browser here.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if !allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	var q params
	var bad *Error
	if r.Method == http.MethodPost {
		q, bad = form(w, r)
	} else {
		q, bad = query(r)
	}
	if bad == nil {
		bad = q.judge()
	}
	if bad != nil {
		p.page(w, r, errorPage(bad))
		return
	}
	target, err := p.judgeLogout(r, q)
	if err != nil {
		p.logoutFailure(w, r, err)
		return
	}
	confirmed := r.Method == http.MethodPost && q.has("confirm")
	if r.Method == http.MethodPost && !confirmed {
		// From an application's page: a cross-site POST comes without our Lax cookies.
		w.Header().Set("Location", PathEndSession+"?"+q.encode())
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	sessions, err := p.browser.Sessions(r.Context(), r)
	if err != nil {
		p.pageFailure(w, r, err)
		return
	}
	ending := sessions
	if confirmed {
		cookie, err := r.Cookie(p.confirmCookie("", 0).Name)
		if err != nil || subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(q["confirm"])) != 1 {
			p.page(w, r, errorPage(&Error{Description: "This form was not opened in this browser. Open it again.", Status: http.StatusForbidden}))
			return
		}
		http.SetCookie(w, p.confirmCookie("", -1))
	} else if len(sessions) > 0 {
		named := slices.IndexFunc(sessions, func(s BrowserSession) bool {
			return target.hint.Session != "" && s.ID == target.hint.Session && s.Subject == target.hint.Subject
		})
		if named < 0 {
			value := random()
			http.SetCookie(w, p.confirmCookie(value, 600))
			p.confirmLogout(w, r, target, q, value)
			return
		}
		ending = sessions[named : named+1]
	}
	if len(ending) > 0 {
		cookies, path, err := p.browser.End(r.Context(), r, ending, After{Location: target.location, Ask: confirmed})
		if err != nil {
			p.pageFailure(w, r, err)
			return
		}
		for _, c := range cookies {
			http.SetCookie(w, c)
		}
		if path != "" {
			w.Header().Set("Location", path)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
	}
	if target.location == "" || confirmed {
		p.signedOut(w, r, target.location)
		return
	}
	w.Header().Set("Location", target.location)
	w.WriteHeader(http.StatusSeeOther)
}

type logoutTarget struct {
	hint     hint
	client   *Client
	location string
}

// judgeLogout reads the request. An address to go to afterwards is only believed with an ID token of
// ours that says for which application (RP-Initiated Logout section 3): without it, this endpoint
// would send anyone to any registered address.
func (p *Provider) judgeLogout(r *http.Request, q params) (logoutTarget, error) {
	var t logoutTarget
	if q.has("id_token_hint") {
		var err error
		if t.hint, err = p.readHint(q["id_token_hint"]); err != nil {
			return t, refuse(InvalidRequest, "The id_token_hint is not an ID token of ours.")
		}
		if q.has("client_id") && q["client_id"] != t.hint.Audience {
			return t, refuse(InvalidRequest, "The id_token_hint belongs to another application.")
		}
		if t.client, err = p.client(r.Context(), t.hint.Audience); err != nil {
			if errors.Is(err, ErrNotFound) {
				err = refuse(InvalidRequest, "The application of this id_token_hint is no longer registered.")
			}
			return t, err
		}
	}
	if !q.has("post_logout_redirect_uri") {
		return t, nil
	}
	uri := q["post_logout_redirect_uri"]
	if t.client == nil || !slices.Contains(t.client.PostLogoutRedirectURIs, uri) {
		return t, refuse(InvalidRequest, "The post_logout_redirect_uri is not registered for the application of an id_token_hint.")
	}
	t.location = uri
	if q.has("state") {
		t.location = addTo(uri, false, url.Values{"state": {q["state"]}})
	}
	return t, nil
}

func (p *Provider) logoutFailure(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *Error
	if errors.As(err, &refusal) {
		p.page(w, r, errorPage(refusal))
		return
	}
	p.pageFailure(w, r, err)
}
