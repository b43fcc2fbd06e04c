package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Outgoing is a message on its way: a redirect to URL, or a form posted to URL with the fields.
type Outgoing struct {
	ID       string // what the answer's InResponseTo will be
	IssuedAt time.Time
	Binding  Binding
	URL      string
	Fields   []Field // for Post
}

// Field is a hidden field of a form that posts itself.
type Field struct{ Name, Value string }

// AuthnOptions are what one sign-in asks of the provider (Core 3.4.1).
type AuthnOptions struct {
	RelayState    string
	ForceAuthn    bool
	IsPassive     bool
	AuthnContexts []string // class references, any of which will do, compared exactly
}

var handle = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// Handle gives a RelayState that may be one of ours, "" for anything else. It never holds an address: a place to land that
// travels through the browser is an open redirect (Bindings 3.4.3 bounds it to 80 bytes).
func Handle(relayState string) string {
	if handle.MatchString(relayState) {
		return relayState
	}
	return ""
}

var errRelayState = fault.New(fault.Invalid, "A RelayState is a handle of at most 80 letters, digits, - and _.")

func newID() string {
	var b [20]byte
	_, _ = rand.Read(b[:])
	return "_" + hex.EncodeToString(b[:]) // an xs:ID must not begin with a digit
}

// choose gives the endpoint to use: the redirect where there is one, since a form needs a page of ours in between.
func choose(endpoints []Endpoint) (Endpoint, bool) {
	for _, binding := range []Binding{Redirect, Post} {
		for _, e := range endpoints {
			if e.Binding == binding {
				return e, true
			}
		}
	}
	return Endpoint{}, false
}

// AuthnRequest makes a request for one sign-in and signs it if the provider or the connection wants it.
func (c *Connection) AuthnRequest(o AuthnOptions) (*Outgoing, error) {
	if o.RelayState != Handle(o.RelayState) {
		return nil, errRelayState
	}
	to, ok := choose(c.IdP.SSO)
	if !ok {
		return nil, fault.New(fault.Unsupported, "%s has no sign-in address for HTTP-Redirect or HTTP-POST.", c.IdP.EntityID)
	}
	el, out := c.message("AuthnRequest", to.Binding, to.URL)
	el.CreateAttr("AssertionConsumerServiceURL", c.SP.ACS)
	el.CreateAttr("ProtocolBinding", string(Post))
	if o.ForceAuthn {
		el.CreateAttr("ForceAuthn", "true")
	}
	if o.IsPassive {
		el.CreateAttr("IsPassive", "true")
	}
	format := c.Settings.NameIDFormat
	if format == "" {
		format = Unspecified
	}
	if !c.Settings.NoNameIDPolicy {
		add(el, "samlp:NameIDPolicy", "", "Format", format, "AllowCreate", "true")
	}
	if len(o.AuthnContexts) > 0 {
		asked := add(el, "samlp:RequestedAuthnContext", "", "Comparison", "exact")
		for _, class := range o.AuthnContexts {
			add(asked, "saml:AuthnContextClassRef", class)
		}
	}
	return c.dispatch(out, el, "SAMLRequest", o.RelayState, c.IdP.WantSignedRequests || c.Settings.SignRequests)
}

// message begins any message of ours (Core 3.2.1).
func (c *Connection) message(local string, binding Binding, to string) (*etree.Element, *Outgoing) {
	out := &Outgoing{ID: newID(), IssuedAt: c.Now().UTC(), Binding: binding, URL: to}
	el := etree.NewElement("samlp:" + local)
	el.CreateAttr("xmlns:samlp", nsProtocol)
	el.CreateAttr("xmlns:saml", nsAssertion)
	el.CreateAttr("ID", out.ID)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", stamp(out.IssuedAt))
	el.CreateAttr("Destination", to)
	add(el, "saml:Issuer", c.SP.EntityID)
	return el, out
}

// dispatch signs and encodes for the binding.
func (c *Connection) dispatch(out *Outgoing, el *etree.Element, parameter, relayState string, signed bool) (*Outgoing, error) {
	if err := c.encode(out, el, parameter, relayState, signed); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *Connection) encode(out *Outgoing, el *etree.Element, parameter, relayState string, signed bool) (err error) {
	defer rescue(&err)
	if signed && len(c.SP.Signing) == 0 {
		return fault.New(fault.Invalid, "%s wants signed requests, and there is no key to sign them with.", c.IdP.EntityID)
	}
	if out.Binding == Post {
		if signed {
			if err := sign(el, c.SP.Signing[0]); err != nil {
				return err
			}
		}
		raw, err := serialize(el)
		if err != nil {
			return err
		}
		out.Fields = []Field{{parameter, base64.StdEncoding.EncodeToString(raw)}}
		if relayState != "" {
			out.Fields = append(out.Fields, Field{"RelayState", relayState})
		}
		return nil
	}
	raw, err := serialize(el)
	if err != nil {
		return err
	}
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.DefaultCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	// The signature counts on these very octets in this order (Bindings 3.4.4.1), so the query is not built by url.Values,
	// which sorts.
	query := parameter + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if signed {
		key := c.SP.Signing[0]
		query += "&SigAlg=" + url.QueryEscape(queryAlgorithm(key))
		signature, err := signOctets([]byte(query), key)
		if err != nil {
			return err
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	// An endpoint may have a query of its own.
	separator := "?"
	if strings.Contains(out.URL, "?") {
		separator = "&"
	}
	out.URL += separator + query
	return nil
}
