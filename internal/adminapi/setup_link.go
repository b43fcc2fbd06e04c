package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/store"
)

// NewSetupLink is a setup link to be made.
type NewSetupLink struct {
	Purposes  []connection.SetupPurpose `json:"purposes" minItems:"1" maxItems:"4" doc:"What it is for, and nothing else: sso, scim, domain, certificate"`
	Contact   string                    `json:"contact" maxLength:"254" doc:"Whose it is: an email address. Each use stands in the audit log under it"`
	Name      string                    `json:"name,omitempty" maxLength:"120"`
	Directory id.Directory              `json:"directory,omitempty" maxLength:"63" doc:"Wanted for scim; with sso, where the connection's people are found"`
	Renews    id.Connection             `json:"renews,omitempty" maxLength:"63" doc:"Wanted for certificate: a SAML connection"`
	Domains   []string                  `json:"domains,omitempty" maxItems:"20" doc:"Proven domains that a connection made through it may be for"`
	Opens     bool                      `json:"opens,omitempty" doc:"The contact may open the connection once a test sign-in has passed"`
	Expires   *time.Time                `json:"expires,omitempty" doc:"Absent: in seven days; at most 90 days ahead"`
}

// SetupLink is a link by which somebody without an account sets something up.
type SetupLink struct {
	ID         id.SetupLink              `json:"id"`
	Purposes   []connection.SetupPurpose `json:"purposes"`
	Contact    string                    `json:"contact"`
	Name       string                    `json:"name,omitempty"`
	State      connection.SetupState     `json:"state" enum:"waiting,opened,finished,revoked,expired"`
	Directory  id.Directory              `json:"directory,omitempty"`
	Renews     id.Connection             `json:"renews,omitempty"`
	Connection id.Connection             `json:"connection,omitempty" doc:"The one that was made through it"`
	Domains    []string                  `json:"domains" doc:"Given with it, or claimed through it"`
	Opens      bool                      `json:"opens"`
	MadeBy     string                    `json:"made_by"`
	Created    time.Time                 `json:"created"`
	Expires    time.Time                 `json:"expires"`
	LastUsed   *time.Time                `json:"last_used"`
	Link       string                    `json:"link,omitempty" doc:"Only in the answer that made it: whoever has it can set up what it is for"`
}

func setupLinkOf(now time.Time) func(store.SetupLink) SetupLink {
	return func(l store.SetupLink) SetupLink {
		out := SetupLink{
			ID: l.ID, Purposes: l.Purposes, Contact: l.Contact, Name: l.ContactName, State: l.State(now), Directory: l.Directory,
			Renews: l.Renews, Connection: l.Connection, Domains: l.Domains, Opens: l.Opens, MadeBy: l.MadeBy, Created: l.Created.UTC(),
			Expires: l.Expires.UTC(), LastUsed: optional(l.Used),
		}
		if out.Domains == nil {
			out.Domains = []string{}
		}
		return out
	}
}

func (a *API) setupLinks(api huma.API) {
	const path = "/organizations/{organization}/setup-links"
	handle(a, api, huma.Operation{
		OperationID: "list-setup-links", Method: http.MethodGet, Path: path, Summary: "Setup links, newest first, 200 at most",
	}, func(ctx context.Context, in *Of) (out *List[SetupLink], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			list, err := tx.SetupLinks(ctx)
			out = listOf(list, "", setupLinkOf(tx.Now()))
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "make-setup-link", Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated,
		Summary:     "Make a link by which somebody without an account sets something up",
		Description: "A letter takes it to the contact, where a mail server is set up. The answer holds it too, this once; what is kept is its hash.",
	}, func(ctx context.Context, in *struct {
		Of
		Body NewSetupLink
	},
	) (out *made[SetupLink], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			b := in.Body
			l, address, err := tx.MakeSetupLink(ctx, actorOf(ctx), store.NewSetupLink{
				Purposes: b.Purposes, Contact: b.Contact, ContactName: b.Name, Directory: b.Directory, Renews: b.Renews, Domains: b.Domains,
				Opens: b.Opens, Expires: timeOf(b.Expires), URL: a.URL, Write: a.Mail != nil && a.Mail.Mode() != mail.Off,
			})
			if err != nil {
				return err
			}
			out = &made[SetupLink]{"/api/v1/organizations/" + string(in.Organization) + "/setup-links", setupLinkOf(tx.Now())(l)}
			out.Body.Link = address
			return nil
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "revoke-setup-link", Method: http.MethodDelete, Path: path + "/{link}", Summary: "Revoke a setup link",
		Description: "It opens nothing from then on. What was set up through it stays.", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		Of
		Link   id.SetupLink `path:"link"`
		Reason string       `query:"reason" maxLength:"500"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.RevokeSetupLink(ctx, actorOf(ctx), in.Link, in.Reason)
		})
	})
}
