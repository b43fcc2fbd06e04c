package connection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	entra := &connection.Directory{ID: "entra", Dialect: "entra", Key: connection.ExternalID}
	good := func(change func(*connection.Connection)) *connection.Connection {
		c := &connection.Connection{
			ID: "corp", Protocol: connection.OIDC, Directory: "entra",
			Settings: connection.Settings{Issuer: "https://idp.example", ClientID: "vestibule"},
		}
		change(c)
		return c
	}
	for name, tt := range map[string]struct {
		change    func(*connection.Connection)
		directory *connection.Directory
		want      []string // the fields that are wrong
	}{
		"complete":               {func(*connection.Connection) {}, entra, nil},
		"no issuer":              {func(c *connection.Connection) { c.Settings.Issuer = "" }, entra, []string{"issuer"}},
		"issuer with query":      {func(c *connection.Connection) { c.Settings.Issuer += "/?a=b" }, entra, []string{"issuer"}},
		"issuer of every tenant": {func(c *connection.Connection) { c.Settings.Issuer = "https://login.microsoftonline.com/common/v2.0" }, entra, []string{"issuer"}},
		"issuer template": {func(c *connection.Connection) {
			c.Settings.Issuer = "https://login.microsoftonline.com/{tenantid}/v2.0"
		}, entra, []string{"issuer"}},
		"no client id":          {func(c *connection.Connection) { c.Settings.ClientID = "" }, entra, []string{"client_id"}},
		"symmetric algorithm":   {func(c *connection.Connection) { c.Settings.Algorithms = []string{"HS256"} }, entra, []string{"algorithms"}},
		"no algorithm":          {func(c *connection.Connection) { c.Settings.Algorithms = []string{"none"} }, entra, []string{"algorithms"}},
		"without openid":        {func(c *connection.Connection) { c.Settings.Scopes = []string{"email"} }, entra, []string{"scopes"}},
		"another auth method":   {func(c *connection.Connection) { c.Settings.AuthMethod = "none" }, entra, []string{"auth_method"}},
		"unknown provisioning":  {func(c *connection.Connection) { c.Settings.Provisioning = "always" }, entra, []string{"provisioning"}},
		"a domain that is none": {func(c *connection.Connection) { c.Settings.Domains = []string{"a@b.example"} }, entra, []string{"domains"}},
		"match off the directory's key": {func(c *connection.Connection) {
			c.Settings.Match = connection.Match{Claim: "email", Attribute: connection.UserName}
		}, entra, []string{"match.attribute"}},
		"match without a claim":         {func(c *connection.Connection) { c.Settings.Match.Attribute = connection.ExternalID }, entra, []string{"match.claim"}},
		"match without a directory":     {func(c *connection.Connection) { c.Directory, c.Settings.Match.Attribute = "", connection.ExternalID }, nil, []string{"match"}},
		"a directory that is not there": {func(*connection.Connection) {}, nil, []string{"directory"}},
		"SAML without metadata":         {func(c *connection.Connection) { c.Protocol = connection.SAML }, entra, []string{"metadata"}},
		"SAML needs nothing of OpenID": {func(c *connection.Connection) {
			c.Protocol = connection.SAML
			c.Settings = connection.Settings{Metadata: "m.xml"}
		}, entra, nil},
		"another protocol": {func(c *connection.Connection) { c.Protocol = "ldap" }, entra, []string{"protocol"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			if f := fault.As(connection.Validate(good(tt.change), tt.directory)); f != nil {
				for _, field := range f.Fields {
					got = append(got, field.Path)
				}
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("got before want:\n%s", diff)
			}
		})
	}
}

func TestValidate_Completes(t *testing.T) {
	t.Parallel()
	c := &connection.Connection{
		ID: "corp", Protocol: connection.OIDC, Directory: "entra",
		Settings: connection.Settings{Issuer: "https://idp.example", ClientID: "v", Domains: []string{"Northwind.EXAMPLE.", "bücher.example"}},
	}
	if err := connection.Validate(c, &connection.Directory{ID: "entra", Dialect: "entra", Key: connection.ExternalID}); err != nil {
		t.Fatal(err)
	}
	want := connection.Settings{
		Issuer: "https://idp.example", ClientID: "v", Scopes: []string{"openid", "email", "profile"},
		Domains:      []string{"northwind.example", "xn--bcher-kva.example"},
		Match:        connection.Match{Claim: "oid", Attribute: connection.ExternalID},
		Provisioning: connection.DirectoryOnly,
	}
	if diff := cmp.Diff(c.Settings, want); diff != "" {
		t.Errorf("got before want:\n%s", diff)
	}
}

func TestDomainOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"ann@northwind.example":                     "northwind.example",
		"Ann@NORTHWIND.example":                     "northwind.example",
		"ann@BÜCHER.example":                        "xn--bcher-kva.example",
		"admin@northwind.example@evil.example":      "",
		"evil@evil.example,ann@northwind.example":   "",
		`"ann@northwind.example"@evil.example`:      "",
		"ann@[127.0.0.1]":                           "",
		"ann@northwind.example\r\nBcc: x@y.example": "",
		"ann@localhost":                             "",
		"@northwind.example":                        "",
		// Other spellings of one domain are it, and what only looks like it is not.
		"ann@northwind.example.":                "northwind.example",
		"ann@XN--BCHER-KVA.Example":             "xn--bcher-kva.example",
		"ann@northwind\u3002example":            "northwind.example",
		"ann@ｎｏｒｔｈｗｉｎｄ.example":                 "northwind.example",
		"ann@north\u00adwind.example":           "northwind.example",
		"ann@n\u043erthwind.example":            "xn--nrthwind-nbh.example",
		"ann@northwind.example\u200b.evil":      "northwind.example.evil",
		"ann@northwind.exam\u2044ple":           "northwind.xn--example-4d7c",
		"ann@xn--\u00fc.example":                "",
		"ann+evil.example@northwind.example":    "northwind.example",
		"ann%evil.example@northwind.example":    "northwind.example",
		"ann@.example":                          "",
		"ann@northwind..example":                "",
		`"ann"@northwind.example`:               "",
		`ann(evil@x.example)@northwind.example`: "",
		"ann":                                   "",
		"":                                      "",
	} {
		if got := connection.DomainOf(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
