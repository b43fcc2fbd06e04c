package signin

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// maxNote is as much as an administrator reads in the inbox.
const maxNote = 500

// NoAccessPath is where issuing sends somebody who has no access at all; organization and, if known, application are its
// parameters, and client the organization asked for where it is not the person's own.
const NoAccessPath = "/signin/no-access"

// noAccess serves GET /signin/no-access: no dead end. It says where the person is, that signing in worked, what is missing and
// who can give it.
func (f *flow) noAccess(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if client := id.Organization(q.Get("client")); client != "" {
		f.noAccessToward(w, r, id.Organization(q.Get("organization")), client, plain(q.Get("application")))
		return
	}
	f.showNoAccess(w, r, id.Organization(q.Get("organization")), http.StatusForbidden, func(v *noAccessView) {
		v.application = plain(q.Get("application"))
		v.kept = q.Get("noted") != ""
	})
}

func (f *flow) showNoAccess(w http.ResponseWriter, r *http.Request, org id.Organization, status int, complete func(*noAccessView)) {
	s, err := f.signedIn(r, org)
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	v := noAccessView{organization: org, person: either(s.DisplayName, s.Email, s.UserName)}
	err = f.DB.Read(r.Context(), org, func(tx *store.Tx) error {
		self, err := tx.Self(r.Context())
		if err != nil {
			return err
		}
		u, err := tx.User(r.Context(), s.User)
		if err != nil {
			return err
		}
		v.name, v.note = self.Name, u.Note
		return nil
	})
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	complete(&v)
	f.render(w, r, status, noAccessPage(v))
}

func (f *flow) signedIn(r *http.Request, org id.Organization) (session.Session, error) {
	return f.DB.Session(r.Context(), org, f.cookies.Hash(r, org))
}

// note serves POST /signin/no-access.
func (f *flow) note(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		page.Refuse(w, r, f.Log, fault.New(fault.TooLarge, "This note is too long."))
		return
	}
	org := id.Organization(r.PostForm.Get("organization"))
	application := plain(r.PostForm.Get("application"))
	text := strings.TrimSpace(strings.ToValidUTF8(r.PostForm.Get("note"), ""))
	s, err := f.signedIn(r, org)
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	if n := utf8.RuneCountInString(text); n == 0 || n > maxNote {
		f.showNoAccess(w, r, org, http.StatusUnprocessableEntity, func(v *noAccessView) {
			v.application, v.note, v.wrong = application, text, "Write a sentence or two, at most 500 characters."
		})
		return
	}
	ip, request := f.From(r)
	err = f.DB.Write(ctx, org, func(tx *store.Tx) error {
		return tx.SetNote(ctx, s.User, text, audit.Actor{
			Kind: audit.ActorUser, ID: string(s.User), Name: either(s.DisplayName, s.Email, s.UserName), Organization: org,
			Door: audit.SignIn, IP: ip, Request: request,
		})
	})
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	http.Redirect(w, r, NoAccessPath+"?"+url.Values{
		"organization": {string(org)}, "application": {application}, "noted": {"1"},
	}.Encode(), http.StatusSeeOther)
}
