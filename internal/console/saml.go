package console

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/oidc"
)

// AskMetadata asks a SAML connection's metadata address now.
type AskMetadata func(ctx context.Context, org id.Organization, c id.Connection) error

// mountSAML adds the page of a SAML connection's certificates and keys, both sides'.
func (c *Console) mountSAML(r chi.Router) {
	r.Route("/connections/{connection}/keys", func(r chi.Router) {
		r.Get("/", c.view("connections", "Certificates and keys", c.samlKeys))
		r.Post("/ask", c.show(c.askMetadata))
		r.Post("/metadata", c.change(c.decideMetadata))
		r.Post("/make", c.show(c.makeSAMLKey))
		r.Post("/{key}/use", c.change(c.useSAMLKey))
		r.Post("/{key}/remove", c.change(c.removeSAMLKey))
	})
}

// certificateLine is a certificate as people compare it.
type certificateLine struct {
	Fingerprint   string
	Holder        string
	Until         when
	Tone, Warning string // of its end, where that is soon and matters
	State         string
	New           bool
}

// samlKeyLine is one of our keys.
type samlKeyLine struct {
	certificateLine
	store.SAMLKey
	KeyID string // in the key set, towards an OpenID Provider
	Made  when
}

// addressLine is an address of the provider, and whether the waiting document changes it.
type addressLine struct{ What, Was, Becomes string }

type samlPage struct {
	*frame
	Connection   connection.Connection
	Source       string // "" where the document stands in the settings
	Unread       string // why the provider's document cannot be shown
	EntityID     string
	Asked        when
	Until        when
	Certificates []certificateLine
	Addresses    []addressLine
	// Of the document that waits; Fingerprint is "" where none does.
	Fingerprint string
	Waiting     []certificateLine
	Changed     []addressLine
	Arrived     when
	// Ours.
	Signing, Encryption []samlKeyLine
	Metadata, ACS, SLO  string
	KeySet              string // towards an OpenID Provider, which needs none of the three
}

func (p samlPage) at(path string) templ.SafeURL {
	return p.frame.at("connections/" + string(p.Connection.ID) + "/keys" + path)
}

func (p samlPage) keys(purpose store.KeyPurpose) []samlKeyLine {
	if purpose == store.KeySigns {
		return p.Signing
	}
	return p.Encryption
}

func certificateLineOf(v *visit, cert *x509.Certificate) certificateLine {
	l := certificateLine{Fingerprint: saml.Fingerprint(cert), Holder: cert.Subject.String(), Until: v.when(cert.NotAfter, "")}
	var said string
	if l.Tone, said = ending(cert.NotAfter, v.now); said != "" {
		l.Warning = strings.ToUpper(said[:1]) + said[1:]
	}
	return l
}

// samlConnection reads the connection of the address.
func samlConnection(v *visit, tx *store.Tx) (connection.Connection, error) {
	v.section = "connections"
	if err := v.setsUp(); err != nil {
		return connection.Connection{}, err
	}
	return tx.SAMLConnection(v.ctx, id.Connection(chi.URLParam(v.r, "connection")))
}

// published is where the provider reads our keys.
func published(of connection.Connection) string {
	if of.Protocol == connection.SAML {
		return "metadata"
	}
	return "key set"
}

// keyedConnection reads the connection of the address, whose provider knows us by keys of our own.
func keyedConnection(v *visit, tx *store.Tx) (connection.Connection, error) {
	v.section = "connections"
	if err := v.setsUp(); err != nil {
		return connection.Connection{}, err
	}
	return tx.KeyedConnection(v.ctx, id.Connection(chi.URLParam(v.r, "connection")))
}

func (c *Console) samlKeys(v *visit, tx *store.Tx) (templ.Component, error) {
	of, err := keyedConnection(v, tx)
	if err != nil {
		return nil, err
	}
	v.title = "Certificates and keys of " + of.Name
	base := c.URL + "/sso/" + url.PathEscape(string(v.organization.ID)) + "/" + url.PathEscape(string(of.ID))
	p := samlPage{frame: v.frame, Connection: of, Metadata: base + "/metadata", ACS: base + "/acs", SLO: base + "/slo"}
	if of.Protocol != connection.SAML {
		v.title = "Keys of " + of.Name
		p.KeySet = base + "/jwks"
		if err := p.own(v, tx); err != nil {
			return nil, err
		}
		return clientKeysPage(p), nil
	}
	known, err := tx.SAMLMetadata(v.ctx, of)
	if err != nil {
		return nil, err
	}
	if known.Fetched {
		p.Source, p.Asked = of.Settings.Metadata, v.when(known.Approved.Fetched, "Not yet: the first sign-in asks")
	}
	if known.Approved.Body != "" {
		p.approved(v, known)
	}
	if err := p.own(v, tx); err != nil {
		return nil, err
	}
	return samlKeysPage(p), nil
}

// own reads our keys.
func (p *samlPage) own(v *visit, tx *store.Tx) error {
	keys, err := tx.SAMLKeys(v.ctx, p.Connection.ID)
	if err != nil {
		return err
	}
	for _, k := range keys {
		line := samlKeyLine{certificateLine: certificateLineOf(v, k.Certificate), SAMLKey: k, Made: v.when(k.Created, "")}
		if p.KeySet != "" {
			if line.KeyID, err = oidc.Thumbprint(k.Certificate.PublicKey); err != nil {
				return err
			}
		}
		if k.Purpose == store.KeySigns {
			p.Signing = append(p.Signing, line)
		} else {
			p.Encryption = append(p.Encryption, line)
		}
	}
	return nil
}

// approved shows the document that counts, and what the one that waits would change.
func (p *samlPage) approved(v *visit, known store.SAMLMetadata) {
	approved, err := store.ReadSAMLMetadata(p.Connection, known.Approved.Body)
	if err != nil {
		p.Unread = err.Error()
		return
	}
	p.EntityID, p.Until = approved.EntityID, v.when(approved.ValidUntil, "It does not say")
	for _, cert := range approved.Certificates {
		p.Certificates = append(p.Certificates, certificateLineOf(v, cert))
	}
	p.Addresses = addressLines(approved, approved)
	if known.Pending.Body == "" {
		return
	}
	pending, err := store.ReadSAMLMetadata(p.Connection, known.Pending.Body)
	if err != nil {
		p.Unread = err.Error()
		return
	}
	p.Fingerprint, p.Arrived = seal.Fingerprint(known.Pending.Body), v.when(known.Pending.Fetched, "")
	changes := saml.Compare(approved.IdentityProvider, pending)
	for state, certs := range map[string][]*x509.Certificate{"New": changes.Added, "Stays": changes.Kept, "Goes": changes.Removed} {
		for _, cert := range certs {
			line := certificateLineOf(v, cert)
			line.State, line.New = state, state == "New"
			p.Waiting = append(p.Waiting, line)
		}
	}
	slices.SortFunc(p.Waiting, func(a, b certificateLine) int {
		return strings.Compare(a.State+a.Fingerprint, b.State+b.Fingerprint)
	})
	for _, line := range addressLines(approved, pending) {
		if line.Was != line.Becomes {
			p.Changed = append(p.Changed, line)
		}
	}
}

func addressLines(was, becomes *saml.Metadata) []addressLine {
	addresses := func(all []saml.Endpoint) string {
		var out []string
		for _, e := range all {
			out = append(out, e.URL)
		}
		return strings.Join(slices.Compact(out), ", ")
	}
	return []addressLine{
		{"Entity id", was.EntityID, becomes.EntityID},
		{"Sign-in", addresses(was.SSO), addresses(becomes.SSO)},
		{"Logout", addresses(was.SLO), addresses(becomes.SLO)},
	}
}

func samlDone(v *visit, c connection.Connection, done string) (string, string, error) {
	return done, string(v.at("connections/" + string(c.ID) + "/keys")), nil
}

func (c *Console) decideMetadata(v *visit, tx *store.Tx) (string, string, error) {
	of, err := samlConnection(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	approve := v.form("decision") == "approve"
	if !approve && v.form("decision") != "decline" {
		return "", "", fault.New(fault.Invalid, "The form did not say what was decided.")
	}
	if err := tx.DecideSAMLMetadata(v.ctx, v.viewer.actor, of.ID, v.form("fingerprint"), approve, reason); err != nil {
		return "", "", err
	}
	if approve {
		return samlDone(v, of, "The new metadata of "+of.Name+" counts from now on.")
	}
	return samlDone(v, of, "The new metadata of "+of.Name+" was declined; what was approved before counts.")
}

func (c *Console) useSAMLKey(v *visit, tx *store.Tx) (string, string, error) {
	of, err := keyedConnection(v, tx)
	if err != nil {
		return "", "", err
	}
	if err := tx.UseSAMLKey(v.ctx, v.viewer.actor, of.ID, chi.URLParam(v.r, "key")); err != nil {
		return "", "", err
	}
	return samlDone(v, of, "The new key is in use. Remove the former one once "+of.Name+" has read our "+published(of)+" again.")
}

func (c *Console) removeSAMLKey(v *visit, tx *store.Tx) (string, string, error) {
	of, err := keyedConnection(v, tx)
	if err != nil {
		return "", "", err
	}
	if err := tx.RemoveSAMLKey(v.ctx, v.viewer.actor, of.ID, chi.URLParam(v.r, "key")); err != nil {
		return "", "", err
	}
	return samlDone(v, of, "The key is gone.")
}

// allowed asks in a transaction of its own whether the viewer may change the connection of the address, for what cannot be done
// within one: making a key, asking a provider.
func (c *Console) allowed(
	w http.ResponseWriter, r *http.Request, read func(*visit, *store.Tx) (connection.Connection, error),
) (v *visit, of connection.Connection, err error) {
	if v, err = c.visit(w, r, "", ""); err != nil {
		return v, of, redirected(w, r, err)
	}
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.again(tx); err == nil {
			of, err = read(v, tx)
		}
		return err
	})
	if err != nil {
		// Without the connection, so that nobody goes on with one that was refused.
		return v, connection.Connection{}, c.refusedChange(v, err)
	}
	return v, of, nil
}

func (c *Console) askMetadata(w http.ResponseWriter, r *http.Request) error {
	v, of, err := c.allowed(w, r, samlConnection)
	if v == nil || of.ID == "" {
		return err
	}
	if err := c.Metadata(v.ctx, of.Organization, of.ID); err != nil {
		return c.refusedChange(v, err)
	}
	c.setFlash(w, of.Name+" was asked for its metadata.")
	http.Redirect(w, r, string(v.at("connections/"+string(of.ID)+"/keys")), http.StatusSeeOther)
	return nil
}

// makeSAMLKey makes the next key of a purpose. It is made before the transaction that keeps it, since that takes a moment.
func (c *Console) makeSAMLKey(w http.ResponseWriter, r *http.Request) error {
	var purpose store.KeyPurpose
	v, of, err := c.allowed(w, r, func(v *visit, tx *store.Tx) (connection.Connection, error) {
		of, err := keyedConnection(v, tx)
		if err != nil {
			return of, err
		}
		purpose = store.KeyPurpose(r.PostFormValue("purpose"))
		return tx.KeyedConnection(v.ctx, of.ID, purpose)
	})
	if v == nil || of.ID == "" {
		return err
	}
	if _, err := c.DB.EnsureSAMLKeys(v.ctx, of.Organization, of.ID); err != nil {
		return err
	}
	key, err := c.DB.MakeSAMLKey(of.Organization, of.ID, purpose)
	if err != nil {
		return err
	}
	err = c.DB.Write(v.ctx, of.Organization, func(tx *store.Tx) error {
		if err := v.again(tx); err != nil {
			return err
		}
		if _, err := keyedConnection(v, tx); err != nil {
			return err
		}
		return tx.AddSAMLKey(v.ctx, v.viewer.actor, of.ID, key)
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	c.setFlash(w, "The next key stands in our "+published(of)+". Put it in use once "+of.Name+" knows it.")
	http.Redirect(w, r, string(v.at("connections/"+string(of.ID)+"/keys")), http.StatusSeeOther)
	return nil
}

// samlMatters is what about the SAML connections wants attention: metadata that waits, or cannot be read.
func samlMatters(v *visit, tx *store.Tx) ([]matter, error) {
	all, err := tx.Connections(v.ctx)
	if err != nil {
		return nil, err
	}
	var out []matter
	for _, c := range all {
		if c.Protocol != connection.SAML || c.Settings.Disabled {
			continue
		}
		to := v.at("connections/" + string(c.ID) + "/keys")
		known, err := tx.SAMLMetadata(v.ctx, c)
		if err != nil {
			return nil, err
		}
		if known.Pending.Body != "" {
			out = append(out, matter{
				"warn", c.Name + " publishes other keys or addresses. They count once somebody has looked at them.", to, "Look at them",
			})
		}
		if known.Approved.Body == "" {
			continue
		}
		if _, err := store.ReadSAMLMetadata(c, known.Approved.Body); err != nil {
			out = append(out, matter{"bad", "The metadata of " + c.Name + " cannot be read, so nobody signs in through it.", to, "See why"})
			continue
		}
	}
	return out, nil
}
