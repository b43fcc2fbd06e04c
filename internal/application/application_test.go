package application_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

func dashboard() application.Application {
	return application.Application{
		ID: "energy-dashboard", Name: "Energy Dashboard", Protocol: application.OIDC, SecretHash: "h",
		RedirectURIs: []string{"http://127.0.0.1:9401/callback"}, PostLogoutRedirectURIs: []string{"http://127.0.0.1:9401/"},
		BackchannelLogoutURI: "http://127.0.0.1:9401/backchannel-logout",
		GrantTypes:           []string{"authorization_code", "refresh_token", "client_credentials"},
		Claims:               []string{"roles", "grants", "groups", "organization"}, Organizations: []id.Organization{"*"},
	}
}

func TestCheck_NamesTheWrongField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*application.Application)
		want string
	}{
		"as declared":            {func(*application.Application) {}, ""},
		"plain http":             {func(a *application.Application) { a.RedirectURIs[0] = "http://app.example/cb" }, "redirect_uris"},
		"fragment":               {func(a *application.Application) { a.RedirectURIs[0] = "https://app.example/cb#" }, "redirect_uris"},
		"script":                 {func(a *application.Application) { a.RedirectURIs[0] = "javascript:alert(1)" }, "redirect_uris"},
		"userinfo":               {func(a *application.Application) { a.RedirectURIs[0] = "https://u@app.example/cb" }, "redirect_uris"},
		"own scheme, has secret": {func(a *application.Application) { a.RedirectURIs[0] = "com.example.app:/cb" }, "redirect_uris"},
		"own scheme, public": {func(a *application.Application) {
			a.RedirectURIs[0], a.SecretHash, a.GrantTypes = "com.example.app:/cb", "", a.GrantTypes[:2]
		}, ""},
		"public for itself":   {func(a *application.Application) { a.SecretHash = "" }, "grant_types"},
		"unknown grant":       {func(a *application.Application) { a.GrantTypes[0] = "password" }, "grant_types"},
		"unknown claim":       {func(a *application.Application) { a.Claims[0] = "password" }, "claims"},
		"nobody":              {func(a *application.Application) { a.Organizations = nil }, "organizations"},
		"symmetric algorithm": {func(a *application.Application) { a.IDTokenAlgorithm = "HS256" }, "id_token_signed_response_alg"},
		"unknown protocol":    {func(a *application.Application) { a.Protocol = "ws-fed" }, "protocol"},
		"logout in the clear": {func(a *application.Application) { a.BackchannelLogoutURI = "http://app.example/" }, "backchannel_logout_uri"},
	} {
		a := dashboard()
		c.edit(&a)
		got := ""
		if f := fault.As(a.Check()); f != nil {
			got = f.Fields[0].Path
		}
		if got != c.want {
			t.Errorf("%s: field %q, want %q", name, got, c.want)
		}
	}
}

func TestOrigins_OnlyOfPublicClients(t *testing.T) {
	t.Parallel()
	a := dashboard()
	if got := a.Origins(); got != nil {
		t.Errorf("a confidential client has origins %v", got)
	}
	a.SecretHash = ""
	a.RedirectURIs = []string{"https://spa.example/a", "https://spa.example/b", "com.example.app:/cb"}
	if d := cmp.Diff(a.Origins(), []string{"https://spa.example"}); d != "" {
		t.Errorf("origins, got - want +\n%s", d)
	}
}
