package console

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountTokens adds the pages of a directory's credentials.
func (c *Console) mountTokens(r chi.Router) {
	r.Route("/directories/{directory}/tokens", func(r chi.Router) {
		r.Get("/", c.view("directories", "Tokens", c.tokens))
		r.Get("/new", c.view("directories", "New token", c.newToken))
		r.Post("/", c.show(c.makeToken))
		r.Get("/of/{token}", c.view("directories", "Token", c.token))
		r.Get("/of/{token}/revoke", c.view("directories", "Revoke", c.revokeDialog))
		r.Post("/of/{token}/revoke", c.change(c.revokeToken))
	})
}

// tokenLine is a token as people tell it from others.
type tokenLine struct {
	ID, Name, Prefix, Source string
	MadeBy                   string
	Created                  when
	Expires                  when
	FirstUsed                when
	LastUsed                 when
	Live                     bool
	Tone, Warning            string
	Declared                 bool
}

func tokenLineOf(v *visit, t *directory.Token) tokenLine {
	l := tokenLine{
		ID: t.ID, Name: t.Name(), Prefix: t.Prefix, MadeBy: t.MadeBy, Created: v.when(t.Created, ""), Expires: v.when(t.Expires, "Never"),
		FirstUsed: v.when(t.FirstUsed, ""), LastUsed: v.when(t.LastUsed, "Never"), Live: t.Live(v.now), Declared: t.Source == directory.TokenFromFile,
	}
	switch t.Source {
	case directory.TokenFromFile:
		l.Source = "From the file"
	case directory.TokenFromCLI:
		l.Source = "Made at the terminal"
	default:
		l.Source = "Made here by " + either(t.MadeBy, "someone")
	}
	var said string
	if l.Tone, said = ending(t.Expires, v.now); said != "" {
		l.Warning = string(said[0]-'a'+'A') + said[1:]
	}
	return l
}

// clientLine is an OAuth client of a directory.
type clientLine struct {
	ID, Proof string
	LastUsed  when
}

// credentials is what every page about a directory's tokens shows.
type credentials struct {
	*frame
	Directory *directory.Directory
	Tokens    []tokenLine
	Clients   []clientLine
	Endpoint  string // where clients get tokens
	Metadata  string
	Tone      string // of how the change from one token to the next stands
	Said      string
}

func (d credentials) at(path string) templ.SafeURL {
	to := "directories/" + string(d.Directory.ID) + "/tokens"
	if path != "" {
		to += "/" + path
	}
	return d.frame.at(to)
}

// credentials reads the directory of the address.
func (c *Console) credentials(v *visit, tx *store.Tx) (credentials, error) {
	v.section = "directories"
	if err := v.setsUp(); err != nil {
		return credentials{}, err
	}
	of, err := tx.Directory(v.ctx, id.Directory(chi.URLParam(v.r, "directory")))
	if err != nil {
		return credentials{}, err
	}
	v.title = "Tokens of " + of.Name
	place := "/scim/" + url.PathEscape(string(v.organization.ID)) + "/" + url.PathEscape(string(of.ID))
	d := credentials{
		frame: v.frame, Directory: of, Endpoint: c.URL + place + "/oauth/token",
		Metadata: c.URL + "/.well-known/oauth-authorization-server" + place,
	}
	for i := range of.Tokens {
		d.Tokens = append(d.Tokens, tokenLineOf(v, &of.Tokens[i]))
	}
	for _, of := range of.Clients {
		line := clientLine{ID: of.ID, Proof: "Client secret", LastUsed: v.when(of.LastUsed, "Never")}
		switch {
		case of.KeysURL != "":
			line.Proof = "Key at " + of.KeysURL
		case of.Keys != "":
			line.Proof = "Key in the file"
		}
		d.Clients = append(d.Clients, line)
	}
	d.Tone, d.Said = rotation(v, of)
	return d, nil
}

// rotation says how the change from one token to the next stands.
func rotation(v *visit, d *directory.Directory) (tone, said string) {
	var live []*directory.Token
	for i := range d.Tokens {
		if d.Tokens[i].Live(v.now) {
			live = append(live, &d.Tokens[i])
		}
	}
	if len(live) < 2 {
		return "", ""
	}
	newest := slices.MaxFunc(live, func(a, b *directory.Token) int { return a.Created.Compare(b.Created) })
	switch {
	case newest.LastUsed.IsZero():
		return "info", d.Name + " has not come with the new token " + newest.Name() + " yet. Enter it there; the older one keeps working meanwhile."
	case newest.FirstUsed.IsZero():
		return "", ""
	}
	for _, t := range live {
		if t != newest && t.LastUsed.After(newest.FirstUsed.Add(time.Minute)) {
			return "warn", "The new token " + newest.Name() + " was first used " + v.when(newest.FirstUsed, "").words() +
				", and the older one " + t.Name() + " still is, " + v.when(t.LastUsed, "").words() + " last. Find out where before you revoke it."
		}
	}
	return "ok", "The new token " + newest.Name() + " was first used " + v.when(newest.FirstUsed, "").words() +
		", and no older one since. The older ones can be revoked."
}

func (c *Console) tokens(v *visit, tx *store.Tx) (templ.Component, error) {
	d, err := c.credentials(v, tx)
	return tokensPage(d), err
}

// enterAt says where a provider's administrator enters a token.
var enterAt = map[string]string{
	"entra": "In the Entra admin center: Enterprise applications, the application, Provisioning, Admin Credentials, Secret Token. Then “Test Connection” and “Save”.",
	"okta":  "In the Okta admin console: Applications, the application, Provisioning, Integration, Edit, Authorization (HTTP header). Then “Test API Credentials” and “Save”.",
}

type tokenForm struct {
	credentials
	Expires string
	Min     string
	Problem string
}

func (c *Console) newToken(v *visit, tx *store.Tx) (templ.Component, error) {
	d, err := c.credentials(v, tx)
	return newTokenPage(tokenForm{credentials: d, Min: v.now.UTC().Format(time.DateOnly)}), err
}

// oneToken is a token by itself: fresh, with its secret; later, with what became of it.
type oneToken struct {
	credentials
	Token  tokenLine
	Secret string // on the page that made it, and never again
	Enter  string
}

// makeToken answers with the page that holds the secret: a redirect would have to keep it somewhere.
func (c *Console) makeToken(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	v, err := c.visit(w, r, "directories", "New token")
	if err != nil {
		return redirected(w, r, err)
	}
	var made oneToken
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		v.now = tx.Now() // the token is as old as its transaction
		d, err := c.credentials(v, tx)
		if err != nil {
			return err
		}
		if err := v.once(tx, shownOnce{
			"A token of " + d.Directory.Name, "If nobody copied it, revoke it in the list and make another.", d.at(""), "All tokens of " + d.Directory.Name,
		}); err != nil {
			return err
		}
		expires, err := endOf(v.form("expires"))
		if err != nil {
			return err
		}
		secret, token, err := tx.CreateDirectoryToken(v.ctx, v.viewer.actor, d.Directory.ID, directory.Token{
			Source: directory.TokenFromConsole, Expires: expires,
		})
		made = oneToken{credentials: d, Token: tokenLineOf(v, &token), Secret: secret, Enter: enterAt[d.Directory.Dialect]}
		return err
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	v.title = "New token of " + made.Directory.Name
	return page.Render(w, r, http.StatusOK, tokenPage(made))
}

// byAddress finds the token of the address.
func (c *Console) byAddress(v *visit, tx *store.Tx) (oneToken, error) {
	d, err := c.credentials(v, tx)
	if err != nil {
		return oneToken{}, err
	}
	for _, t := range d.Tokens {
		if t.ID == chi.URLParam(v.r, "token") {
			v.title = "Token " + t.Name
			return oneToken{credentials: d, Token: t, Enter: enterAt[d.Directory.Dialect]}, nil
		}
	}
	return oneToken{}, fault.New(fault.NotFound, "%s has no such token.", d.Directory.Name)
}

func (c *Console) token(v *visit, tx *store.Tx) (templ.Component, error) {
	t, err := c.byAddress(v, tx)
	return tokenPage(t), err
}

// follows names what revoking a token leads to.
func (t oneToken) follows() []string {
	name := t.Directory.Name
	out := []string{name + "'s next call with it is refused."}
	others := slices.ContainsFunc(t.Tokens, func(o tokenLine) bool { return o.ID != t.Token.ID && o.Live }) || len(t.Clients) > 0
	switch {
	case !t.Token.Live:
		out = []string{"It has expired and opens nothing any more."}
	case !others:
		out = append(out, "It is the last one that is valid: until "+name+" has another, nobody new arrives from there, and nobody who leaves is signed out.")
	case !t.Token.LastUsed.zero():
		out = append(out, "It was last used "+t.Token.LastUsed.words()+". Another token or client stays valid.")
	default:
		out = append(out, "It was never used. Another token or client stays valid.")
	}
	return append(out, "It cannot be brought back; a new one can be made at any time.")
}

func (c *Console) revokeDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	t, err := c.byAddress(v, tx)
	if err != nil {
		return nil, err
	}
	return revokePage(t), nil
}

func (c *Console) revokeToken(v *visit, tx *store.Tx) (string, string, error) {
	t, err := c.byAddress(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	return "The token " + t.Token.Name + " of " + t.Directory.Name + " is revoked.", string(t.at("")),
		tx.RevokeDirectoryToken(v.ctx, v.viewer.actor, t.Directory.ID, t.Token.ID, reason)
}
