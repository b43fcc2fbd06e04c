package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Offer is a role at a resource that comes with an invitation.
type Offer struct {
	Role     id.Role     `json:"role"`
	Resource id.Resource `json:"resource,omitempty" doc:"Absent: the whole organization"`
	Starts   *time.Time  `json:"starts,omitempty" doc:"Absent: at once"`
	Expires  *time.Time  `json:"expires,omitempty" doc:"Absent: never"`
}

// NewInvitation is somebody to be invited.
type NewInvitation struct {
	Email   string              `json:"email" maxLength:"254"`
	Name    string              `json:"name,omitempty" maxLength:"200"`
	Grants  []Offer             `json:"grants,omitempty" maxItems:"100"`
	Letters []notification.Kind `json:"letters,omitempty" doc:"Which letters the person shall get: access-changed, needs-roles, directories, expiry. Absent: each that is meant for them; those about the security of the account always come"`
}

// Invitation is somebody who was invited.
type Invitation struct {
	ID        id.Invitation    `json:"id"`
	Email     string           `json:"email"`
	Name      string           `json:"name,omitempty"`
	User      id.User          `json:"user" doc:"The user that waits, with the status pending"`
	State     invitation.State `json:"state" enum:"pending,expired,accepted,revoked,overtaken"`
	Grants    []Grant          `json:"grants"`
	InvitedBy string           `json:"invited_by"`
	Created   time.Time        `json:"created"`
	Sent      time.Time        `json:"sent" doc:"Last"`
	Times     int64            `json:"times" doc:"How often it was sent"`
	Expires   time.Time        `json:"expires"`
	Opened    *time.Time       `json:"opened"`
	Accepted  *time.Time       `json:"accepted"`
	Revoked   *time.Time       `json:"revoked"`
	Letter    string           `json:"letter" enum:"none,waiting,sent,failed" doc:"none where no mail server is set up"`
	Link      string           `json:"link,omitempty" doc:"Only in the answer that made it, and only where no mail server is set up: whoever has it can accept"`
}

func invitationOf(now time.Time) func(store.Invitation) Invitation {
	return func(i store.Invitation) Invitation {
		out := Invitation{
			ID: i.ID, Email: i.Email, Name: i.Name, User: i.User, State: i.State(now), InvitedBy: i.InvitedByName, Grants: []Grant{},
			Created: i.Created.UTC(), Sent: i.Sent.UTC(), Times: i.Times, Expires: i.Expires.UTC(), Opened: optional(i.Opened),
			Accepted: optional(i.Accepted), Revoked: optional(i.Revoked), Letter: "waiting",
		}
		switch {
		case i.Letter.Delivery == "":
			out.Letter = "none"
		case !i.Letter.Delivered.IsZero():
			out.Letter = "sent"
		case !i.Letter.Failed.IsZero():
			out.Letter = "failed"
		}
		for _, g := range i.Grants {
			out.Grants = append(out.Grants, grantOf(g))
		}
		return out
	}
}

func (a *API) inviteOptions() store.InviteOptions {
	return store.InviteOptions{URL: a.URL, Show: a.Mail == nil || a.Mail.Mode() == mail.Off}
}

func (a *API) invitations(api huma.API) {
	const path = "/organizations/{organization}/invitations"
	type ofInvitation struct {
		Of
		Invitation id.Invitation `path:"invitation"`
	}
	handle(a, api, huma.Operation{
		OperationID: "list-invitations", Method: http.MethodGet, Path: path, Summary: "Invitations, newest first",
	}, func(ctx context.Context, in *struct {
		Of
		Paging
		Q   string `query:"q" maxLength:"254" doc:"Part of the address"`
		All bool   `query:"all" doc:"Those that are over too: accepted, revoked, overtaken by a directory"`
	},
	) (out *List[Invitation], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			list, next, err := tx.ListInvitations(ctx, store.InvitationFilter{Q: in.Q, All: in.All, Cursor: in.Cursor, Limit: in.Limit})
			out = listOf(list, next, invitationOf(tx.Now()))
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "invite", Method: http.MethodPost, Path: path, Summary: "Invite somebody by email", DefaultStatus: http.StatusCreated,
		Description: "The person stands as a pending user from now on, with the roles given. Above the ceiling 403, somebody who is here or invited already 409, an address outside the allowed domains or an unknown role 422.",
	}, func(ctx context.Context, in *struct {
		Of
		Body NewInvitation
	},
	) (out *made[Invitation], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			self, err := tx.Self(ctx)
			if err != nil {
				return err
			}
			row := invitation.Row{Email: in.Body.Email, Name: mail.Line(in.Body.Name)}
			for _, g := range in.Body.Grants {
				w := access.Want{Role: g.Role, Resource: g.Resource, Starts: timeOf(g.Starts), Expires: timeOf(g.Expires)}
				if w.Resource == "" {
					w.Resource = self.Tree.Root()
				}
				row.Grants = append(row.Grants, w)
			}
			o := a.inviteOptions()
			if in.Body.Letters != nil {
				o.Letters = notification.Clean(in.Body.Letters)
			}
			list, err := tx.Invite(ctx, actorOf(ctx), []invitation.Row{row}, o)
			if err != nil {
				return err
			}
			out = &made[Invitation]{
				"/api/v1/organizations/" + string(in.Organization) + "/invitations/" + string(list[0].ID),
				invitationOf(tx.Now())(list[0].Invitation),
			}
			out.Body.Link = list[0].Link
			return nil
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-invitation", Method: http.MethodGet, Path: path + "/{invitation}", Summary: "One invitation",
	}, func(ctx context.Context, in *ofInvitation) (out *one[Invitation], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			i, err := tx.Invitation(ctx, in.Invitation)
			if err == nil {
				out = &one[Invitation]{invitationOf(tx.Now())(*i)}
			}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "resend-invitation", Method: http.MethodPost, Path: path + "/{invitation}/resend",
		Summary: "Send an invitation again: its term is renewed, and the earlier link void",
	}, func(ctx context.Context, in *ofInvitation) (out *one[Invitation], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			again, err := tx.ResendInvitation(ctx, actorOf(ctx), in.Invitation, a.inviteOptions())
			if err == nil {
				out = &one[Invitation]{invitationOf(tx.Now())(again.Invitation)}
				out.Body.Link = again.Link
			}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "revoke-invitation", Method: http.MethodDelete, Path: path + "/{invitation}", Summary: "Revoke an invitation",
		Description: "The link is void at once, and the pending user is gone with what was given.", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		Of
		Invitation id.Invitation `path:"invitation"`
		Reason     string        `query:"reason" maxLength:"500"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.RevokeInvitation(ctx, actorOf(ctx), in.Invitation, in.Reason)
		})
	})
}
