package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// ConnectionSettings are what an administrator sets of a connection; the names are those of the operator's file.
type ConnectionSettings struct {
	Name           string       `json:"name" minLength:"1" maxLength:"120"`
	Preset         string       `json:"preset,omitempty" doc:"The provider whose words and match go with it" enum:",entra,okta,google,onelogin,jumpcloud,ping,keycloak,adfs,generic"`
	Issuer         string       `json:"issuer,omitempty" maxLength:"2000"`
	ClientID       string       `json:"client_id,omitempty" maxLength:"500"`
	SecretExpires  string       `json:"client_secret_expires,omitempty" maxLength:"10" doc:"The day on which the client secret ends at the provider, as 2027-03-31: administrators are told ahead"`
	AuthMethod     string       `json:"auth_method,omitempty" enum:",client_secret_basic,client_secret_post,private_key_jwt"`
	Scopes         []string     `json:"scopes,omitempty" maxItems:"50"`
	Algorithms     []string     `json:"algorithms,omitempty" maxItems:"20"`
	HostedDomain   string       `json:"hosted_domain,omitempty" maxLength:"253"`
	Tenant         string       `json:"tenant,omitempty" maxLength:"200"`
	ACRValues      []string     `json:"acr_values,omitempty" maxItems:"20"`
	Metadata       string       `json:"metadata,omitempty" doc:"Of a SAML provider: an address or the document" maxLength:"1000000"`
	Domains        []string     `json:"domains,omitempty" doc:"Proven domains whose people are sent here" maxItems:"200"`
	Directory      id.Directory `json:"directory,omitempty" maxLength:"63"`
	MatchClaim     string       `json:"match_claim,omitempty" maxLength:"500"`
	MatchAttribute string       `json:"match_attribute,omitempty" enum:",externalId,userName"`
	Provisioning   string       `json:"provisioning,omitempty" enum:",just-in-time,directory-only"`
	GroupsClaim    string       `json:"groups_claim,omitempty" maxLength:"500"`
	UpstreamLogout bool         `json:"upstream_logout,omitempty"`
}

func (s ConnectionSettings) onto(c connection.Connection) connection.Connection {
	c.Name, c.Directory = s.Name, s.Directory
	t := c.Settings
	t.Preset, t.Issuer, t.ClientID, t.AuthMethod, t.Scopes, t.Algorithms = s.Preset, s.Issuer, s.ClientID, s.AuthMethod, s.Scopes, s.Algorithms
	t.ClientSecretExpires = s.SecretExpires
	t.HostedDomain, t.Tenant, t.ACRValues, t.Metadata, t.Domains = s.HostedDomain, s.Tenant, s.ACRValues, s.Metadata, s.Domains
	t.Match = connection.Match{Claim: s.MatchClaim, Attribute: connection.Attribute(s.MatchAttribute)}
	t.Provisioning, t.GroupsClaim, t.UpstreamLogout = connection.Provisioning(s.Provisioning), s.GroupsClaim, s.UpstreamLogout
	c.Settings = t
	return c
}

func settingsOf(c connection.Connection) ConnectionSettings {
	s := c.Settings
	return ConnectionSettings{
		Name: c.Name, Preset: s.Preset, Issuer: s.Issuer, ClientID: s.ClientID, SecretExpires: s.ClientSecretExpires, AuthMethod: s.AuthMethod, Scopes: s.Scopes,
		Algorithms: s.Algorithms, HostedDomain: s.HostedDomain, Tenant: s.Tenant, ACRValues: s.ACRValues, Metadata: s.Metadata,
		Domains: s.Domains, Directory: c.Directory, MatchClaim: s.Match.Claim, MatchAttribute: string(s.Match.Attribute),
		Provisioning: string(s.Provisioning), GroupsClaim: s.GroupsClaim, UpstreamLogout: s.UpstreamLogout,
	}
}

// Connection is a way to sign in. Its secret goes in and never comes out.
type Connection struct {
	ID        id.Connection `json:"id"`
	Protocol  string        `json:"protocol" enum:"oidc,saml"`
	State     string        `json:"state" enum:"draft,on,off"`
	Declared  bool          `json:"declared" doc:"In the operator's file, and changed there"`
	HasSecret bool          `json:"has_secret"`
	Version   int64         `json:"version" doc:"Of the settings; a test sign-in counts for one version"`
	Created   time.Time     `json:"created"`
	ConnectionSettings
}

func connectionShape(m store.ManagedConnection) Connection {
	state := "on"
	switch {
	case m.Settings.Draft:
		state = "draft"
	case m.Settings.Disabled:
		state = "off"
	}
	return Connection{
		ID: m.ID, Protocol: string(m.Protocol), State: state, Declared: m.Declared, HasSecret: m.Settings.ClientSecret != "",
		Version: m.Version, Created: m.Created.UTC(), ConnectionSettings: settingsOf(m.Connection),
	}
}

type makeConnection struct {
	Of
	Body struct {
		ID           id.Connection `json:"id" minLength:"1" maxLength:"63"`
		Protocol     string        `json:"protocol" enum:"oidc,saml"`
		ClientSecret string        `json:"client_secret,omitempty" doc:"Kept sealed; no answer has it" maxLength:"4000" writeOnly:"true"`
		ConnectionSettings
	}
}

type changeConnection struct {
	OfConnection
	Body struct {
		Version      int64  `json:"version" doc:"The version that the change was made on"`
		ClientSecret string `json:"client_secret,omitempty" doc:"Absent: the one that is kept stays" maxLength:"4000" writeOnly:"true"`
		ConnectionSettings
	}
}

type closeConnection struct {
	OfConnection
	Body *Reason
}

func (c *closeConnection) reason() string {
	if c.Body == nil {
		return ""
	}
	return c.Body.Reason
}

// TestSignIn is a test sign-in through a connection.
type TestSignIn struct {
	ID       id.Attempt  `json:"id"`
	Version  int64       `json:"version" doc:"Of the settings it was of"`
	By       string      `json:"by"`
	Started  time.Time   `json:"started"`
	Finished *time.Time  `json:"finished" doc:"null: it was not finished"`
	Passed   *time.Time  `json:"passed" doc:"null: it was not passed"`
	User     id.User     `json:"user,omitempty" doc:"Whom it would have signed in"`
	Checks   []TestCheck `json:"checks"`
}

// TestCheck is one thing that a test sign-in looked at.
type TestCheck struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome" enum:"pass,warn,fail,not-reached"`
	Said    string `json:"said,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

func testShape(t connection.Test) TestSignIn {
	out := TestSignIn{
		ID: t.ID, Version: t.Version, By: t.TesterName, Started: t.Started.UTC(), Finished: optional(t.Finished), Passed: optional(t.Passed),
		User: t.User, Checks: []TestCheck{},
	}
	if t.Report != nil {
		for _, c := range t.Report.Checks {
			out.Checks = append(out.Checks, TestCheck{string(c.Name), string(c.Outcome), c.Said, c.Fix})
		}
	}
	return out
}

type listConnections struct {
	Of
	Paging
}

type listTests struct {
	OfConnection
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

func (a *API) connections(api huma.API) {
	const list, path = "/organizations/{organization}/connections", "/organizations/{organization}/connections/{connection}"
	handle(a, api, huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: list, Summary: "The ways an organization signs in",
	}, func(ctx context.Context, in *listConnections) (out *List[Connection], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.ManagedConnections(ctx)
			if err != nil {
				return err
			}
			items, next, err := cut(in.Paging, all, func(m store.ManagedConnection) string { return string(m.ID) })
			out = listOf(items, next, connectionShape)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-connection", Method: http.MethodGet, Path: path, Summary: "One connection",
	}, func(ctx context.Context, in *OfConnection) (out *one[Connection], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			m, err := tx.ManagedConnection(ctx, in.Connection)
			out = &one[Connection]{connectionShape(m)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "make-connection", Method: http.MethodPost, Path: list, DefaultStatus: http.StatusCreated,
		Summary: "Make a connection, as a draft that only test sign-ins go through",
	}, func(ctx context.Context, in *makeConnection) (out *one[Connection], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			c := in.Body.onto(connection.Connection{
				Organization: in.Organization, ID: in.Body.ID, Protocol: connection.Protocol(in.Body.Protocol),
			})
			a.sealSecret(&c, in.Body.ClientSecret)
			if err := tx.MakeConnection(ctx, actorOf(ctx), c); err != nil {
				return err
			}
			m, err := tx.ManagedConnection(ctx, c.ID)
			out = &one[Connection]{connectionShape(m)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "change-connection", Method: http.MethodPut, Path: path,
		Summary: "Replace a connection's settings; earlier test sign-ins count no longer",
	}, func(ctx context.Context, in *changeConnection) (out *one[Connection], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			was, err := tx.ManagedConnection(ctx, in.Connection)
			if err != nil {
				return err
			}
			c := in.Body.onto(was.Connection)
			c.Settings.ClientSecret = ""
			a.sealSecret(&c, in.Body.ClientSecret)
			if err := tx.ChangeConnection(ctx, actorOf(ctx), c, in.Body.Version); err != nil {
				return err
			}
			m, err := tx.ManagedConnection(ctx, c.ID)
			out = &one[Connection]{connectionShape(m)}
			return err
		})
		return out, err
	})
	for _, act := range []struct {
		id, method, path, summary string
		do                        func(ctx context.Context, tx *store.Tx, in *closeConnection) error
	}{
		{"open-connection", http.MethodPost, path + "/open", "Let people sign in through a connection; a draft needs a test sign-in that was passed", func(ctx context.Context, tx *store.Tx, in *closeConnection) error {
			return tx.OpenConnection(ctx, actorOf(ctx), in.Connection)
		}},
		{"close-connection", http.MethodPost, path + "/close", "Let nobody in through a connection", func(ctx context.Context, tx *store.Tx, in *closeConnection) error {
			return tx.CloseConnection(ctx, actorOf(ctx), in.Connection, in.reason())
		}},
		{"delete-connection", http.MethodDelete, path, "Delete a connection that is off", func(ctx context.Context, tx *store.Tx, in *closeConnection) error {
			return tx.DeleteConnection(ctx, actorOf(ctx), in.Connection, in.reason())
		}},
	} {
		handle(a, api, huma.Operation{
			OperationID: act.id, Method: act.method, Path: act.path, DefaultStatus: http.StatusNoContent, Summary: act.summary,
		}, func(ctx context.Context, in *closeConnection) (*Nothing, error) {
			return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error { return act.do(ctx, tx, in) })
		})
	}
	handle(a, api, huma.Operation{
		OperationID: "list-tests", Method: http.MethodGet, Path: path + "/tests", Summary: "Test sign-ins through a connection, the newest first",
	}, func(ctx context.Context, in *listTests) (out *List[TestSignIn], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.ManagedConnection(ctx, in.Connection); err != nil {
				return err
			}
			tests, err := tx.Tests(ctx, in.Connection, in.Limit)
			out = listOf(tests, "", testShape)
			return err
		})
		return out, err
	})
}

func (a *API) sealSecret(c *connection.Connection, secret string) {
	if secret != "" {
		c.Settings.ClientSecret = a.DB.Keys.Seal(connection.SecretPlace(c.Organization, c.ID), []byte(secret))
	}
}

// Domain is a domain that an organization says is its own.
type Domain struct {
	Domain      string     `json:"domain"`
	State       string     `json:"state" enum:"declared,waiting,proven,failing,lapsed"`
	RecordName  string     `json:"record_name,omitempty" doc:"Where the TXT record stands that proves it"`
	RecordValue string     `json:"record_value,omitempty"`
	Checked     *time.Time `json:"checked"`
	Found       string     `json:"found,omitempty" doc:"What the last look found"`
	Verified    *time.Time `json:"verified"`
}

func domainShape(d store.DomainClaim) Domain {
	out := Domain{
		Domain: d.Domain, State: d.State(), Checked: optional(d.Checked), Found: d.Found, Verified: optional(d.Verified),
		RecordName: connection.ChallengeName(d.Domain), RecordValue: d.Challenge,
	}
	if d.Declared {
		out.State, out.RecordName = "declared", ""
	}
	return out
}

type ofDomain struct {
	Of
	Domain string `path:"domain" maxLength:"253"`
	Body   *Reason
}

type claimDomain struct {
	Of
	Body struct {
		Domain string `json:"domain" maxLength:"253"`
	}
}

func (a *API) domains(api huma.API) {
	const list, path = "/organizations/{organization}/domains", "/organizations/{organization}/domains/{domain}"
	handle(a, api, huma.Operation{
		OperationID: "list-domains", Method: http.MethodGet, Path: list, Summary: "The domains an organization says are its own",
	}, func(ctx context.Context, in *listConnections) (out *List[Domain], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.Domains(ctx)
			if err != nil {
				return err
			}
			items, next, err := cut(in.Paging, all, func(d store.DomainClaim) string { return d.Domain })
			out = listOf(items, next, domainShape)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "claim-domain", Method: http.MethodPost, Path: list, DefaultStatus: http.StatusCreated,
		Summary: "Begin the proof that a domain is the organization's",
	}, func(ctx context.Context, in *claimDomain) (out *one[Domain], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			d, err := tx.ClaimDomain(ctx, actorOf(ctx), in.Body.Domain)
			out = &one[Domain]{domainShape(d)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "check-domain", Method: http.MethodPost, Path: path + "/check", DefaultStatus: http.StatusOK,
		Summary: "Look for the record of a domain now",
	}, func(ctx context.Context, in *ofDomain) (*one[Domain], error) {
		if err := a.read(ctx, in.Organization, func(tx *store.Tx) error {
			_, err := tx.DomainClaim(ctx, in.Domain)
			return err
		}); err != nil {
			return nil, err
		}
		if a.CheckDomain == nil {
			return nil, fault.New(fault.Unavailable, "This node asks no name servers.")
		}
		d, err := a.CheckDomain(ctx, actorOf(ctx), in.Organization, in.Domain)
		return &one[Domain]{domainShape(d)}, err
	})
	handle(a, api, huma.Operation{
		OperationID: "release-domain", Method: http.MethodDelete, Path: path, DefaultStatus: http.StatusNoContent,
		Summary: "Give a domain up",
	}, func(ctx context.Context, in *ofDomain) (*Nothing, error) {
		reason := ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		return &Nothing{}, a.DB.System().Write(ctx, func(tx *store.SystemTx) error {
			if _, err := tx.In(in.Organization).Self(ctx); err != nil {
				return err
			}
			return tx.ReleaseDomain(ctx, actorOf(ctx), in.Organization, in.Domain, reason)
		})
	})
}
