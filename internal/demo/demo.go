// Package demo is what the demo has around a node of Vestibule: two companies with their people, the identity provider
// they sign in at and that pushes them, and an application that they sign in to. All of it speaks over HTTP as strangers
// would; none of it touches the store.
package demo

import (
	"embed"
	"html/template"
	"net/http"
	"slices"
	"sync"

	"github.com/vestibule-id/vestibule/internal/seal"
)

//go:embed assets
var files embed.FS

// Configuration is the file for apply that the demo runs on.
func Configuration() []byte {
	b, err := files.ReadFile("assets/demo.yaml")
	if err != nil {
		panic(err) // the embedded tree is part of the program
	}
	return b
}

// pages are parsed when the first is shown: a node that runs no demo does not pay for them.
var pages = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(files, "assets/pages.html"))
})

// World is the demo around the node: where everything is, and the secrets between its parts, new in every run.
type World struct {
	Vestibule   string // base URLs
	Provider    string
	Application string

	Companies []*Company

	clientSecret string
}

// Company is an organization with its directory and its connection.
type Company struct {
	ID        string // the organization's
	Name      string
	Directory string
	People    []*Person

	groups       map[string][]string // name -> ids of people
	clientSecret string
	scimToken    string
}

// Person works for a company.
type Person struct {
	ID     string // at the identity provider
	Given  string
	Family string
	Email  string
	Note   string // what to expect of signing in as this one
	Pushed bool

	mu     sync.Mutex
	active bool   // guarded by mu
	record string // the SCIM id once pushed; guarded by mu
}

// Name is the person's full name.
func (p *Person) Name() string { return p.Given + " " + p.Family }

// Active says whether the person works there.
func (p *Person) Active() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active
}

// Record is the id Vestibule gave the person's record; empty for one who was not pushed.
func (p *Person) Record() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record
}

// New makes the world. Its people are always the same, its secrets never.
func New(vestibule, provider, application string) *World {
	return &World{
		Vestibule: vestibule, Provider: provider, Application: application, clientSecret: seal.Handle(),
		Companies: []*Company{
			{
				ID: "northwind", Name: "Northwind Energy", Directory: "entra", clientSecret: seal.Handle(), scimToken: seal.Handle(),
				People: []*Person{
					{ID: "0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0001", Given: "Ann", Family: "Archer", Email: "ann@northwind.example", Pushed: true, active: true, Note: "pushed, in the group London Team: Asset Editor at London 1"},
					{ID: "0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0002", Given: "Olive", Family: "Owens", Email: "olive@northwind.example", Pushed: true, active: true, Note: "pushed, in the group Platform Admins: may use the console and give roles"},
					{ID: "0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0003", Given: "Leo", Family: "Lang", Email: "leo@northwind.example", Pushed: true, Note: "pushed, and deactivated since: is refused"},
					{ID: "0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0004", Given: "Nina", Family: "Novak", Email: "nina@northwind.example", active: true, Note: "nobody pushed her: signs in and waits in the inbox"},
					{ID: "0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0005", Given: "Eve", Family: "Ellis", Email: "eve@elsewhere.example", active: true, Note: "a guest with a foreign address: is refused"},
				},
				groups: map[string][]string{
					"London Team":     {"0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0001"},
					"Platform Admins": {"0a21b7c4-5d0e-4f0a-9a63-1f1f5a3c0002"},
				},
			},
			{
				ID: "fieldserv", Name: "Fieldserv", Directory: "okta", scimToken: seal.Handle(),
				People: []*Person{
					{ID: "00ufred0000000000001", Given: "Fred", Family: "Field", Email: "fred@fieldserv.example", Pushed: true, active: true, Note: "pushed as Okta does, signs in by SAML: viewer in Fieldserv, and nothing in Northwind"},
					{ID: "00ufay00000000000002", Given: "Fay", Family: "Frost", Email: "fay@fieldserv.example", Pushed: true, active: true, Note: "pushed as Okta does, signs in by SAML"},
				},
				groups: map[string][]string{"Technicians": {"00ufred0000000000001"}},
			},
		},
	}
}

// Getenv is the environment the configuration is applied with.
func (w *World) Getenv(name string) (string, bool) {
	v, ok := map[string]string{
		"NORTHWIND_SCIM_TOKEN":    w.Companies[0].scimToken,
		"NORTHWIND_OIDC_ISSUER":   w.issuer(w.Companies[0]),
		"NORTHWIND_OIDC_SECRET":   w.Companies[0].clientSecret,
		"FIELDSERV_SCIM_TOKEN":    w.Companies[1].scimToken,
		"FIELDSERV_SAML_METADATA": w.samlEntity(w.Companies[1]) + "/metadata",
		"DASHBOARD_CLIENT_SECRET": w.clientSecret,
		"DASHBOARD_REDIRECT_URI":  w.Application + "/callback",
		"DASHBOARD_HOME":          w.Application + "/",
	}[name]
	return v, ok
}

func (w *World) issuer(c *Company) string { return w.Provider + "/" + c.ID }

func (w *World) company(id string) *Company {
	i := slices.IndexFunc(w.Companies, func(c *Company) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return w.Companies[i]
}

func (c *Company) person(id string) *Person {
	i := slices.IndexFunc(c.People, func(p *Person) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return c.People[i]
}

func show(rw http.ResponseWriter, status int, name string, data any) {
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	rw.WriteHeader(status)
	_ = pages().ExecuteTemplate(rw, name, data) // a reader who went away is nobody's error
}

func style(rw http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(rw, r, files, "assets/style.css")
}
