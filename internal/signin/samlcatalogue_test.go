package signin_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/saml/samltest"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
)

// hostileResponse is one case of the negative catalogue's part C, as it reaches the assertion consumer service. The reader of
// messages has many more of each kind (internal/saml); here it is shown that each ends on the page, in the log with its cause, and
// nowhere else.
type hostileResponse struct {
	name   string
	change func(r *samltest.Response)
	bytes  func(raw []byte) []byte
	form   func(form url.Values)
	code   connection.Code // empty: token-refused
	says   string          // in the event's reason
}

// hostileResponses are the cases 116 to 158 that one response holds.
func (w *samlWorld) hostileResponses() (all []hostileResponse) {
	t, now := w.t, w.clock.Now()
	ours := w.ourKey().Certificate
	add := func(name, says string, change func(r *samltest.Response)) {
		all = append(all, hostileResponse{name: name, says: says, change: change})
	}
	raw := func(name, says string, change func(raw []byte) []byte) {
		all = append(all, hostileResponse{name: name, says: says, bytes: change})
	}
	form := func(name, says string, code connection.Code, change func(form url.Values)) {
		all = append(all, hostileResponse{name: name, says: says, code: code, form: change})
	}
	edit := func(name, says string, change func(el *etree.Element)) {
		add(name, says, func(r *samltest.Response) { r.Edit = change })
	}
	after := func(name, says string, change func(el *etree.Element)) {
		add(name, says, func(r *samltest.Response) { r.After = change })
	}
	signature := func(name, says string, change func(info *etree.Element)) {
		add(name, says, func(r *samltest.Response) { r.Signature = change })
	}
	drop := func(el *etree.Element, local string) {
		found := el.FindElement(".//" + local)
		found.Parent().RemoveChild(found)
	}
	nameID := func(value string) func(raw []byte) []byte {
		return func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(">ada@northwind.example</saml:NameID>"), []byte(">"+value+"</saml:NameID>"), 1)
		}
	}
	within := func(content string) func(raw []byte) []byte {
		return func(raw []byte) []byte {
			return bytes.Replace(raw, []byte("</samlp:Response>"), []byte(content+"</samlp:Response>"), 1)
		}
	}

	for i, wrap := range samltest.Wraps {
		for sign, targets := range map[samltest.Sign][]string{
			samltest.SignAssertion: {"Assertion"}, samltest.SignResponse: {"Response"}, samltest.SignBoth: {"Assertion", "Response"},
		} {
			for _, target := range targets {
				add(fmt.Sprintf("%d XSW%d of %s, signed %d", 116+i, i+1, target, sign), "", func(r *samltest.Response) {
					r.Sign = sign
					r.After = func(response *etree.Element) {
						el := response
						if target == "Assertion" {
							el = response.SelectElement("Assertion")
						}
						wrap(t, response, el)
					}
				})
			}
		}
	}
	add("124 unsigned", "signature", func(r *samltest.Response) { r.Sign = samltest.SignNone })
	after("124 altered", "signature", func(el *etree.Element) { el.FindElement(".//NameID").SetText("eve@northwind.example") })
	for _, first := range []bool{true, false} {
		for _, same := range []bool{true, false} {
			after(fmt.Sprintf("127 two assertions, evil first %t, equal id %t", first, same), "", func(el *etree.Element) {
				original := el.SelectElement("Assertion")
				evil := original.Copy()
				drop(evil, "Signature")
				if !same {
					evil.CreateAttr("ID", samltest.ID())
				}
				if evil.FindElement(".//NameID").SetText("eve@northwind.example"); first {
					el.InsertChildAt(original.Index(), evil)
				} else {
					el.AddChild(evil)
				}
			})
		}
	}
	for name, into := range map[string]func(el *etree.Element) *etree.Element{
		"Advice": func(el *etree.Element) *etree.Element {
			return samltest.Add(el.SelectElement("Assertion"), "saml:Advice", "")
		},
		"Extensions": func(el *etree.Element) *etree.Element { return samltest.Add(el, "samlp:Extensions", "") },
	} {
		edit("128 nested in "+name, "shape", func(el *etree.Element) {
			evil := el.SelectElement("Assertion").Copy()
			evil.CreateAttr("ID", samltest.ID())
			into(el).AddChild(evil)
		})
	}
	after("128 nested in ds:Object", "shape", func(el *etree.Element) {
		samltest.Add(samltest.Add(el.FindElement(".//Signature"), "ds:Object", ""), "saml:Assertion", "", "ID", samltest.ID())
	})
	add("129 an id twice", "shape", func(r *samltest.Response) { r.AssertionID = r.ID })
	reference := func(uri string) func(info *etree.Element) {
		return func(info *etree.Element) { info.FindElement(".//Reference").CreateAttr("URI", uri) }
	}
	signature("130 empty reference", "shape", reference(""))
	signature("130 another reference", "shape", reference("#other"))
	signature("130 two references", "shape", func(info *etree.Element) { info.AddChild(info.FindElement(".//Reference").Copy()) })
	signature("130 a reference to our trap", "shape", reference(w.world.idp.URL+"/trap"))
	for _, algorithm := range []string{
		"http://www.w3.org/TR/1999/REC-xpath-19991116", "http://www.w3.org/TR/1999/REC-xslt-19991116", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
	} {
		signature("131 transform "+algorithm, "shape", func(info *etree.Element) {
			samltest.Add(info.FindElement(".//Transforms"), "ds:Transform", "", "Algorithm", algorithm)
		})
	}
	add("132 another's certificate", "signature", func(r *samltest.Response) { r.Signer = samltest.RSA(t, 1, now) })
	add("133 the trusted certificate in KeyInfo, another key", "signature", func(r *samltest.Response) {
		r.Signer, r.KeyInfo = samltest.RSA(t, 3, now), w.idp.Signer.Cert
	})
	add("134 self-signed, of the same subject", "signature", func(r *samltest.Response) { r.Signer = samltest.RSA(t, 3, now) })
	after("133 KeyInfo that says where to fetch", "shape", func(el *etree.Element) {
		samltest.Add(el.FindElement(".//KeyInfo"), "ds:RetrievalMethod", "", "URI", w.world.idp.URL+"/trap")
	})
	for _, algorithm := range []string{
		samltest.Dsig + "rsa-sha1", "http://www.w3.org/2001/04/xmldsig-more#rsa-md5", samltest.Dsig + "hmac-sha1", samltest.Dsig + "dsa-sha1",
		"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
	} {
		signature("135 "+algorithm, "signature", func(info *etree.Element) {
			info.FindElement(".//SignatureMethod").CreateAttr("Algorithm", algorithm)
		})
	}
	add("135 RSA of 1024 bits", "signature", func(r *samltest.Response) { r.Signer = samltest.Weak(t, now) })
	add("137 no audience", "audience", func(r *samltest.Response) { r.Audiences = nil })
	add("137 another audience", "audience", func(r *samltest.Response) { r.Audiences = [][]string{{"https://other.example"}} })
	add("137 two restrictions, one foreign", "audience", func(r *samltest.Response) {
		r.Audiences = append(r.Audiences, []string{"https://other.example"})
	})
	for name, address := range map[string]string{"missing": "", "another": "https://evil.example/acs", "another connection's": w.sp(southwind).ACS} {
		add("138 recipient "+name, "destination", func(r *samltest.Response) { r.Recipient = address })
		add("138 destination "+name, "destination", func(r *samltest.Response) { r.Destination = address })
	}
	all = append(all, hostileResponse{name: "139 another issuer", says: "issuer", code: signin.CodeIssuer, change: func(r *samltest.Response) {
		r.Issuer = "https://evil.example"
	}}, hostileResponse{name: "139 no issuer", says: "issuer", code: signin.CodeIssuer, change: func(r *samltest.Response) { r.Issuer = "" }})
	add("140 NotOnOrAfter past", "time", func(r *samltest.Response) { r.NotOnOrAfter = now.Add(-10 * time.Minute) })
	add("140 NotBefore future", "time", func(r *samltest.Response) { r.NotBefore = now.Add(time.Hour) })
	add("140 issued in ten minutes", "time", func(r *samltest.Response) { r.IssueInstant = now.Add(70 * time.Minute) })
	for _, part := range []string{"Subject", "Conditions", "SubjectConfirmationData", "AuthnStatement", "SubjectConfirmation", "NameID", "AuthnContext", "Status"} {
		edit("141 without "+part, "", func(el *etree.Element) { drop(el, part) })
	}
	add("142 sender-vouches", "subject", func(r *samltest.Response) { r.Method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches" })
	add("143 another request", "request", func(r *samltest.Response) { r.InResponseTo, r.ConfirmationInResponseTo = "_other", "_other" })
	add("144 no request", "request", func(r *samltest.Response) { r.InResponseTo, r.ConfirmationInResponseTo = "", "" })
	for name, prefix := range map[string]string{
		"a DOCTYPE":          `<!DOCTYPE Response>`,
		"an external entity": `<!DOCTYPE r [<!ENTITY x SYSTEM "` + w.world.idp.URL + `/trap">]>`,
		"an external DTD":    `<!DOCTYPE r SYSTEM "` + w.world.idp.URL + `/trap">`,
		"billion laughs":     `<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>`,
		"quadratic blow-up":  `<!DOCTYPE r [<!ENTITY x "` + strings.Repeat("A", 50<<10) + `">]>`,
	} {
		raw("146 "+name, "shape", func(raw []byte) []byte { return append([]byte(prefix), raw...) })
	}
	raw("146 an entity in the name", "shape", nameID("&x;"))
	raw("147 a comment", "shape", nameID("ada@northwind.example<!---->.evil.example"))
	raw("147 CDATA", "shape", nameID("<![CDATA[ada@northwind.example]]>"))
	raw("147 a processing instruction", "shape", nameID("ada@northwind.example<?x y?>.evil.example"))
	edit("148 NameID of another namespace", "subject", func(el *etree.Element) {
		el.FindElement(".//NameID").CreateAttr("xmlns:saml", "urn:evil")
	})
	edit("148 Assertion of another namespace", "shape", func(el *etree.Element) {
		el.FindElement(".//Assertion").CreateAttr("xmlns:saml", "urn:evil")
	})
	raw("149 UTF-7", "shape", func(raw []byte) []byte { return append([]byte(`<?xml version="1.0" encoding="UTF-7"?>`), raw...) })
	raw("149 UTF-16", "shape", func(raw []byte) []byte {
		out := []byte{0xff, 0xfe}
		for _, b := range raw {
			out = append(out, b, 0)
		}
		return out
	})
	raw("149 overlong", "shape", func(raw []byte) []byte { return bytes.Replace(raw, []byte("ada@"), []byte("ada\xc1\x80"), 1) })
	raw("150 depth", "shape", within(strings.Repeat("<a>", 20_000)+strings.Repeat("</a>", 20_000)))
	var many strings.Builder
	for i := range 15_000 {
		fmt.Fprintf(&many, ` a%d=""`, i)
	}
	raw("150 attributes", "shape", within("<a"+many.String()+"/>"))
	form("151 10 MiB", "too large", signin.CodeProvider, func(form url.Values) { form.Set("SAMLResponse", strings.Repeat("A", 10<<20)) })
	form("152 junk", "shape", "", func(form url.Values) { form.Set("SAMLResponse", "!"+form.Get("SAMLResponse")) })
	form("152 twice encoded", "shape", "", func(form url.Values) {
		form.Set("SAMLResponse", base64.StdEncoding.EncodeToString([]byte(form.Get("SAMLResponse"))))
	})
	form("152 twice in the form", "shape", "", func(form url.Values) { form.Add("SAMLResponse", form.Get("SAMLResponse")) })
	for name, e := range map[string]samltest.Encryption{
		"3DES":            {Data: samltest.Xenc + "tripledes-cbc"},
		"PKCS #1 v1.5":    {Transport: samltest.Xenc + "rsa-1_5"},
		"odd CBC length":  {Data: samltest.Xenc + "aes256-cbc", Spoil: func(w, d []byte) ([]byte, []byte) { return w, d[:33] }},
		"one CBC block":   {Data: samltest.Xenc + "aes256-cbc", Spoil: func(w, d []byte) ([]byte, []byte) { return w, d[:16] }},
		"a key too short": {Spoil: func(w, d []byte) ([]byte, []byte) { return w[:100], d }},
	} {
		add("154 "+name, "decryption", func(r *samltest.Response) { e.To = ours; r.Encryption = &e })
	}
	add("155 encrypted, unsigned inside and out", "decryption", func(r *samltest.Response) {
		r.Sign, r.Encryption = samltest.SignNone, &samltest.Encryption{To: ours}
	})
	all = append(all, hostileResponse{name: "156 the provider's no", says: "Responder", code: signin.CodeDenied, change: func(r *samltest.Response) {
		r.Status, r.Message = "urn:oasis:names:tc:SAML:2.0:status:Responder", "<script>alert(1)</script>"
	}})
	add("157 an empty NameID", "subject", func(r *samltest.Response) { r.NameID = "" })
	add("157 a transient NameID", "subject", func(r *samltest.Response) { r.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" })
	add("157 a NameID of 10 KiB", "subject", func(r *samltest.Response) { r.NameID = strings.Repeat("a", 10<<10) })
	add("158 two addresses", "mail", func(r *samltest.Response) {
		r.Attributes["mail"] = []string{"ada@northwind.example", "eve@northwind.example"}
	})
	form("159 an artifact", "shape", "", func(form url.Values) {
		form.Del("SAMLResponse")
		form.Set("SAMLart", "AAQAAMh48"+strings.Repeat("A", 40))
	})
	slices.SortFunc(all, func(a, b hostileResponse) int { return cmp.Compare(a.name, b.name) })
	return all
}

// ourKey is what providers encrypt to.
func (w *samlWorld) ourKey() (k store.SAMLKey) {
	w.t.Helper()
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) error {
		keys, err := tx.SAMLKeys(w.ctx, "saml")
		for _, one := range keys {
			if one.Purpose == store.KeyDecrypts {
				k = one
			}
		}
		return err
	}))
	return k
}

// The person of these responses was pushed and could sign in: only what is wrong with the response stands in the way.
func TestSAML_116to159_HostileResponsesLeaveNothingButAnEvent(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.pushed(true, "")
		lapsed := samltest.Certify(t, samltest.RSA(t, 1, w.clock.Now()).Key, w.clock.Now().Add(-48*time.Hour), w.clock.Now().Add(-time.Hour))
		// 132, 135: what is pinned and may not verify. 159: where an artifact would be resolved.
		el := w.idp.Describe(ssoURL, "", w.idp.Signer.Cert, lapsed.Cert)
		samltest.Add(el.SelectElement("IDPSSODescriptor"), "md:ArtifactResolutionService", "", "index", "0",
			"Binding", "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "Location", w.world.idp.URL+"/trap")
		w.declare(string(samltest.Bytes(t, el)), nil)
		for _, c := range w.hostileResponses() {
			w.clock.Advance(time.Second)
			e := w.refuses(either(c.code, signin.CodeToken), func() answer {
				relay, request, _ := w.ask(toSAML)
				w.idp.Now = w.clock.Now()
				r := w.idp.Response(w.sp(northwind), request)
				r.NameID, r.Attributes = "ada@northwind.example", map[string][]string{"mail": {"ada@northwind.example"}}
				if c.change != nil {
					c.change(r)
				}
				raw := r.XML(t)
				if c.bytes != nil {
					raw = c.bytes(raw)
				}
				form := samltest.Form(raw)
				if c.form != nil {
					c.form(form)
				}
				a := w.post(northwind, form, relay)
				if strings.HasPrefix(c.name, "158") { // whose attribute it is that counts is known at the landing
					a = w.get(a.header.Get("Location"))
				}
				if strings.Contains(a.body, "<script>alert") || a.header.Get("Location") != "" {
					t.Errorf("%s: the page: %v %s", c.name, a.header, a.body)
				}
				return a
			})
			if !strings.Contains(e.Reason, c.says) || e.Reason == "" || strings.Contains(e.Reason, "panicked") {
				t.Errorf("%s: the event says %q, and not %q", c.name, e.Reason, c.says)
			}
		}
		if n := w.world.idp.count("/trap"); n != 0 {
			t.Errorf("the trap was fetched %d times", n)
		}
		w.mustSignInBy(nil)                                                                               // 126
		w.mustSignInBy(func(r *samltest.Response) { r.Sign = samltest.SignResponse })                     // 125
		w.declare(w.document(w.idp.Signer), func(s *connection.Settings) { s.SAML.Signed = "assertion" }) // 125, by policy
		w.refuses(signin.CodeToken, func() answer {
			return w.signInBy(func(r *samltest.Response) { r.Sign = samltest.SignResponse })
		})
	})
}

func either(a, b connection.Code) connection.Code {
	if a != "" {
		return a
	}
	return b
}

// 132, 135: a certificate that is pinned and no longer holds, or is too weak, verifies nothing.
func TestSAML_132_135_APinnedCertificateMustHold(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		now := w.clock.Now()
		lapsed := samltest.Certify(t, w.idp.Signer.Key, now.Add(-48*time.Hour), now.Add(-time.Hour))
		w.declare(w.document(lapsed), nil)
		w.refuses(signin.CodeToken, func() answer { return w.signInBy(nil) })
		w.declare(w.document(lapsed), func(s *connection.Settings) { s.SAML.IgnoreCertificateDates = true })
		w.mustSignInBy(nil)
	})
}

// 154: whoever asks with cipher texts of his own gets one page and leaves one event, whatever is wrong behind the key.
func TestSAML_154_WhatDoesNotOpenIsToldAsOne(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.pushed(true, "")
		ours, other := w.ourKey().Certificate, samltest.RSA(t, 3, w.clock.Now()).Cert
		const cbc, gcm = samltest.Xenc + "aes256-cbc", samltest.Xenc11 + "aes256-gcm"
		told := map[string]bool{}
		for name, e := range map[string]samltest.Encryption{
			"CBC padding":     {To: ours, Data: cbc, Spoil: func(w, d []byte) ([]byte, []byte) { d[len(d)-17] ^= 0x41; return w, d }},
			"CBC text":        {To: ours, Data: cbc, Spoil: func(w, d []byte) ([]byte, []byte) { d[16] ^= 1; return w, d }},
			"CBC key":         {To: ours, Data: cbc, Spoil: func(w, d []byte) ([]byte, []byte) { w[10] ^= 1; return w, d }},
			"CBC certificate": {To: other, Data: cbc},
			"GCM tag":         {To: ours, Data: gcm, Spoil: func(w, d []byte) ([]byte, []byte) { d[len(d)-1] ^= 1; return w, d }},
			"GCM certificate": {To: other, Data: gcm},
			"a signature that is bad": {To: ours, Data: cbc, Plain: func(b []byte) []byte {
				return bytes.Replace(b, []byte("ada@"), []byte("eve@"), 1)
			}},
		} {
			var page answer
			event := w.refuses(signin.CodeToken, func() answer {
				page = w.signInBy(func(r *samltest.Response) { r.Encryption = &e })
				return page
			})
			told[fmt.Sprintf("%d %s %s", page.status, page.doc.Find("main").Text(), event.Reason)] = true
			if len(told) != 1 {
				t.Fatalf("%s is told apart: %v", name, told)
			}
		}
	})
}

// 159: an artifact where a provider publishes who resolves it. Nobody is asked, by whatever method and in whatever place it comes.
func TestSAML_159_160_NoArtifactIsResolvedAndOnlyAPostIsRead(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		var fetched atomic.Int64
		trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
		t.Cleanup(trap.Close)
		el := w.describe(w.idp.Signer)
		samltest.Add(el.SelectElement("IDPSSODescriptor"), "md:ArtifactResolutionService", "", "index", "0",
			"Binding", "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "Location", trap.URL)
		w.declare(string(samltest.Bytes(t, el)), nil)
		relay, request, _ := w.ask(toSAML)
		artifact := url.Values{"SAMLart": {"AAQAAMh48" + strings.Repeat("A", 40)}, "RelayState": {relay}}
		before := w.rows()
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			for _, query := range []url.Values{artifact, w.respond(request, nil)} {
				if a := w.do(newBrowser(), method, "/sso/northwind/saml/acs?"+query.Encode(), nil); a.status != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d", method, a.status)
				}
			}
		}
		// In the address of a POST it is nothing either.
		w.refuses(signin.CodeUnasked, func() answer {
			return w.do(newBrowser(), http.MethodPost, "/sso/northwind/saml/acs?"+artifact.Encode(), url.Values{"x": {"y"}})
		})
		if got := w.rows(); !equalRows(before, got) {
			t.Error("rows changed")
		}
		w.refuses(signin.CodeToken, func() answer { return w.post(northwind, artifact, "") })
		if n := fetched.Load(); n != 0 {
			t.Errorf("the artifact was asked for %d times", n)
		}
	})
}

func equalRows(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for table, rows := range a {
		if !slices.Equal(rows, b[table]) {
			return false
		}
	}
	return true
}

// 161: what is meant for one organization is worth nothing at another, and that other one's log says so.
func TestSAML_161_AForeignResponseLeavesAnEventWhereItCame(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		events := func() (all []audit.Event) {
			w.must(w.db.Read(w.ctx, southwind, func(tx *store.Tx) (err error) {
				all, err = tx.Events(w.ctx, store.AuditFilter{Limit: 100})
				return err
			}))
			return all
		}
		for name, c := range map[string]struct {
			relayOf id.Organization
			code    connection.Code
		}{"its RelayState too": {northwind, signin.CodeAttempt}, "with a RelayState of there": {southwind, signin.CodeToken}} {
			relay, request, _ := w.ask("/signin?organization=" + string(c.relayOf) + "&connection=saml&return_to=/")
			before, known := w.rows(), len(events())
			a := w.post(southwind, w.respond(request, nil), relay)
			got := events()
			if a.code() != string(c.code) || !equalRows(before, w.rows()) || len(got) != known+1 || got[0].Code != string(c.code) ||
				got[0].Action != "sign-in.refused" || got[0].Outcome != audit.Refused {
				t.Errorf("%s: %d %s; %+v", name, a.status, a.code(), got)
			}
		}
	})
}

// 162: a logout request that proves nothing leaves everything as it was, and its cause in the log.
func TestSAML_162_ALogoutThatProvesNothingLeavesAnEvent(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		w.withLogout(redirects)
		w.mustSignInBy(nil)
		asks := func(change func(*etree.Element), order ...string) string {
			w.idp.Now = w.clock.Now()
			el := w.idp.LogoutRequest(w.slo(), "ada@northwind.example", "session-1")
			el.SelectElement("NameID").CreateAttr("Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
			if change != nil {
				change(el)
			}
			return w.idp.Query(t, "SAMLRequest", samltest.Bytes(t, el), "theirs", order...)
		}
		good := asks(nil)
		unsigned, _, _ := strings.Cut(good, "&SigAlg=")
		for name, c := range map[string]struct{ query, says string }{
			"unsigned":         {unsigned, "signature"},
			"re-ordered":       {asks(nil, "RelayState", "message", "SigAlg"), "signature"},
			"expired":          {asks(func(el *etree.Element) { el.CreateAttr("NotOnOrAfter", "2020-01-01T00:00:00Z") }), "time"},
			"sent elsewhere":   {asks(func(el *etree.Element) { el.CreateAttr("Destination", "https://other.example/slo") }), "destination"},
			"a bomb of 10 MiB": {w.idp.Query(t, "SAMLRequest", bytes.Repeat([]byte(" "), 10<<20), "theirs"), "shape"},
		} {
			e := w.refuses(signin.CodeToken, func() answer { return w.get("/sso/northwind/saml/slo?" + c.query) })
			if !strings.Contains(e.Reason, c.says) {
				t.Errorf("%s: the event says %q", name, e.Reason)
			}
		}
		if _, err := w.session(northwind); err != nil {
			t.Errorf("the session ended: %v", err)
		}
		// Used once, it is used.
		w.get("/sso/northwind/saml/slo?" + good)
		w.mustSignInBy(nil)
		w.refuses(signin.CodeToken, func() answer { return w.get("/sso/northwind/saml/slo?" + good) })
	})
}

// 163: metadata that cannot be trusted changes nothing but what waits for a person.
func TestSAML_163_MetadataThatCannotBeTrustedChangesNothing(t *testing.T) {
	eachSAML(t, func(t *testing.T, w *samlWorld) {
		a := w.address(w.document(w.idp.Signer))
		w.declare(a.url, nil)
		w.mustSignInBy(nil)
		counts := w.known(northwind).Approved
		two := etree.NewElement("md:EntitiesDescriptor")
		two.CreateAttr("xmlns:md", samltest.Metadata)
		stranger := w.describe(samltest.RSA(t, 2, w.clock.Now()))
		stranger.CreateAttr("entityID", "https://evil.example")
		two.AddChild(stranger)
		two.AddChild(w.describe(w.idp.Signer))
		over := w.describe(w.idp.Signer)
		over.CreateAttr("validUntil", w.clock.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
		plain := w.describe(w.idp.Signer)
		plain.FindElement(".//SingleSignOnService").CreateAttr("Location", "http://idp.example/sso")
		for name, body := range map[string]string{
			"50 MiB": strings.Repeat("<a>", 50<<20/3), "two providers": string(samltest.Bytes(t, two)), "expired": string(samltest.Bytes(t, over)),
			"an http address": string(samltest.Bytes(t, plain)), "no XML": "down for maintenance",
			"a DOCTYPE": `<!DOCTYPE x SYSTEM "` + w.world.idp.URL + `/trap">` + w.document(w.idp.Signer),
		} {
			a.publish(body)
			w.refresh()
			if got := w.known(northwind); got.Approved.Body != counts.Body || got.Pending.Body != "" {
				t.Errorf("%s: what counts changed, or something waits", name)
			}
			if e := w.metadataEvents(); len(e) == 0 {
				t.Errorf("%s: no event", name)
			}
		}
		if n := w.world.idp.count("/trap"); n != 0 {
			t.Errorf("the trap was fetched %d times", n)
		}
		a.publish(w.document(w.idp.Signer))
		w.mustSignInBy(nil)
	})
}
