package saml

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// The statuses we answer a logout with (Core 3.2.2.2, 3.7.3.2).
const (
	LogoutDone    = statusSuccess
	LogoutPartial = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout" // second level, below Success
	LogoutUnknown = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
	LogoutDenied  = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
)

// Incoming is a front-channel message as it arrived: the raw query of a GET, or the form of a POST. The raw query is
// needed because a redirect's signature counts on the very octets.
type Incoming struct {
	Binding  Binding
	RawQuery string
	Form     url.Values
}

// LogoutRequest is a provider's demand to end somebody's sessions. Which sessions are that NameID's at this connection,
// narrowed by the indexes if any, is the caller's to find; none is an answer too.
type LogoutRequest struct {
	ID             string
	Subject        NameID
	SessionIndexes []string
	RelayState     string // to be given back as it is with the answer; at most MaxRelayState bytes
	ReplayUntil    time.Time
}

// Once refuses a request that was carried out before.
func (l *LogoutRequest) Once(ctx context.Context, r Replay) error {
	return once(ctx, r, l.ID, l.ReplayUntil)
}

// LogoutAnswer is what a provider says to our own request.
type LogoutAnswer struct {
	RelayState string
	Complete   bool // false: PartialLogout, some session elsewhere goes on
}

// LogoutRequest makes a request that the provider end somebody's session. It is signed always (Profiles 4.4.4.1).
func (c *Connection) LogoutRequest(subject NameID, sessionIndexes []string, relayState string) (*Outgoing, error) {
	if relayState != Handle(relayState) {
		return nil, errRelayState
	}
	to, ok := choose(c.IdP.SLO)
	if !ok {
		return nil, fault.New(fault.Unsupported, "%s has no logout address for HTTP-Redirect or HTTP-POST.", c.IdP.EntityID)
	}
	el, out := c.message("LogoutRequest", to.Binding, to.URL)
	el.CreateAttr("NotOnOrAfter", stamp(out.IssuedAt.Add(maxAge)))
	format := subject.Format
	if format == Unspecified {
		format = "" // as absent, which is how it may have come
	}
	add(el, "saml:NameID", subject.Value, "Format", format, "NameQualifier", subject.NameQualifier, "SPNameQualifier", subject.SPNameQualifier)
	for _, index := range sessionIndexes {
		if index != "" {
			add(el, "samlp:SessionIndex", index)
		}
	}
	return c.dispatch(out, el, "SAMLRequest", relayState, true)
}

// LogoutResponse answers a provider's request. The RelayState goes back as it came (Bindings 3.4.3), whatever it is: it is
// the provider's, and only it will read it.
func (c *Connection) LogoutResponse(request *LogoutRequest, result string) (*Outgoing, error) {
	to, ok := choose(c.IdP.SLO)
	if !ok {
		return nil, fault.New(fault.Unsupported, "%s has no logout address for HTTP-Redirect or HTTP-POST.", c.IdP.EntityID)
	}
	if to.ResponseURL != "" {
		to.URL = to.ResponseURL
	}
	el, out := c.message("LogoutResponse", to.Binding, to.URL)
	el.CreateAttr("InResponseTo", request.ID)
	s := el.CreateElement("samlp:Status")
	switch result {
	case LogoutDone:
		add(s, "samlp:StatusCode", "", "Value", statusSuccess)
	case LogoutPartial:
		add(add(s, "samlp:StatusCode", "", "Value", statusSuccess), "samlp:StatusCode", "", "Value", LogoutPartial)
	default:
		add(add(s, "samlp:StatusCode", "", "Value", "urn:oasis:names:tc:SAML:2.0:status:Requester"), "samlp:StatusCode", "", "Value", result)
	}
	return c.dispatch(out, el, "SAMLResponse", request.RelayState, true)
}

// ReadLogoutRequest reads and verifies a provider's request. Unsigned ones are refused: anyone could end anyone's session.
func (c *Connection) ReadLogoutRequest(in Incoming) (request *LogoutRequest, err error) {
	defer rescue(&err)
	now := c.Now()
	el, relayState, err := c.receive(in, "SAMLRequest", "LogoutRequest")
	if err != nil {
		return nil, err
	}
	if _, err := c.within(el, now, CheckTime); err != nil {
		return nil, err
	}
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return nil, err
	}
	request = &LogoutRequest{ID: attrValue(el, "ID"), RelayState: relayState, ReplayUntil: issued.Add(maxAge + 2*c.skew())}
	if request.Subject, err = nameID(el); err != nil {
		return nil, err
	}
	for _, child := range children(el, nsProtocol, "SessionIndex") {
		index, err := text(child)
		if err != nil {
			return nil, err
		}
		request.SessionIndexes = append(request.SessionIndexes, index)
	}
	return request, nil
}

// ReadLogoutResponse reads and verifies the answer to our request of that id.
func (c *Connection) ReadLogoutResponse(in Incoming, requestID string) (answer *LogoutAnswer, err error) {
	defer rescue(&err)
	el, relayState, err := c.receive(in, "SAMLResponse", "LogoutResponse")
	if err != nil {
		return nil, err
	}
	if given := attrValue(el, "InResponseTo"); requestID == "" || given != requestID {
		return nil, refuse(CheckRequest, "in response to another request (%.100q)", given)
	}
	if err := status(el); err != nil {
		return nil, err
	}
	answer = &LogoutAnswer{RelayState: Handle(relayState), Complete: true}
	if s, err := only(el, nsProtocol, "Status"); err == nil && s != nil {
		for _, code := range children(s, nsProtocol, "StatusCode") {
			for _, sub := range children(code, nsProtocol, "StatusCode") {
				answer.Complete = answer.Complete && attrValue(sub, "Value") != LogoutPartial
			}
		}
	}
	return answer, nil
}

// receive decodes, verifies and checks the head of a logout message, and gives the element that was verified.
func (c *Connection) receive(in Incoming, parameter, local string) (*etree.Element, string, error) {
	el, query, err := unverified(in, parameter, local, true)
	if err != nil {
		return nil, "", err
	}
	relayState := query.relayState
	if in.Binding == Redirect {
		err = verifyOctets(query.octets, query.signature, query.algorithm, c.IdP.Certificates, c.Now(), c.Settings.IgnoreCertificateDates)
	} else {
		el, _, err = c.verify(el)
	}
	if err != nil {
		return nil, "", err
	}
	if err := header(el); err != nil {
		return nil, "", err
	}
	if err := c.issued(el, true); err != nil {
		return nil, "", err
	}
	if destination := attrValue(el, "Destination"); destination != c.SP.SLO || destination == "" {
		return nil, "", refuse(CheckDestination, "destination %.200q, not %s", destination, c.SP.SLO)
	}
	if err := c.fresh(el, c.Now()); err != nil {
		return nil, "", err
	}
	// Not ours to judge in a request, since it goes back unread; but it is bounded.
	if len(relayState) > MaxRelayState {
		relayState = ""
	}
	return el, relayState, nil
}

// unverified decodes a message whose sender nobody has looked at yet, and holds it to the shape that a signature needs.
func unverified(in Incoming, parameter, local string, mustBeSigned bool) (*etree.Element, *signedQuery, error) {
	var q *signedQuery
	var err error
	if in.Binding == Redirect {
		q, err = readQuery(in.RawQuery, parameter, mustBeSigned)
	} else {
		var encoded string
		q = &signedQuery{relayState: in.Form.Get("RelayState")}
		if encoded, err = single(in.Form, parameter); err == nil {
			q.message, err = decodeBase64(encoded, messageLimits.bytes)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	el, err := parse(q.message, messageLimits)
	if err != nil {
		return nil, nil, err
	}
	if !is(el, nsProtocol, local) {
		return nil, nil, refuse(CheckShape, "the message is %.100q, not a %s", el.Tag, local)
	}
	return el, q, shape(el)
}

type signedQuery struct {
	message    []byte
	relayState string
	algorithm  string
	signature  []byte
	octets     []byte // what was signed
}

// readQuery takes a redirect apart without decoding and encoding again, since two encoders differ in what they escape and
// the signature is over the sender's octets. They are put in the order of Bindings 3.4.4.1 wherever they stood in the
// query; a signature over another order does not verify. A query that must be signed and is not
// is refused, and so is one that is signed in part.
func readQuery(raw, parameter string, mustBeSigned bool) (*signedQuery, error) {
	if len(raw) > messageLimits.bytes {
		return nil, refuse(CheckShape, "a query of %d bytes", len(raw))
	}
	found := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			return nil, refuse(CheckShape, "a malformed query")
		}
		if _, twice := found[decoded]; twice || decoded != name && isParameter(decoded) {
			return nil, refuse(CheckShape, "%.100q twice or disguised in the query", decoded)
		}
		found[decoded] = value
	}
	if encoding, given := found["SAMLEncoding"]; given && encoding != url.QueryEscape("urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE") {
		return nil, refuse(CheckShape, "another encoding than DEFLATE")
	}
	values := map[string]string{}
	for _, name := range []string{parameter, "RelayState", "SigAlg", "Signature"} {
		value, err := url.QueryUnescape(found[name])
		if err != nil {
			return nil, refuse(CheckShape, "a malformed query")
		}
		values[name] = value
	}
	if mustBeSigned && (values["Signature"] == "" || values["SigAlg"] == "") {
		return nil, refuse(CheckSignature, "the query is not signed")
	}
	q := &signedQuery{relayState: values["RelayState"], algorithm: values["SigAlg"]}
	signed := parameter + "=" + found[parameter]
	if relayState, given := found["RelayState"]; given {
		signed += "&RelayState=" + relayState
	}
	q.octets = []byte(signed + "&SigAlg=" + found["SigAlg"])
	var err error
	if values["Signature"] != "" || values["SigAlg"] != "" {
		if q.signature, err = base64.StdEncoding.DecodeString(values["Signature"]); err != nil || len(q.signature) == 0 {
			return nil, refuse(CheckSignature, "the query's signature is missing or not base64")
		}
	}
	deflated, err := decodeBase64(values[parameter], messageLimits.bytes)
	if err != nil {
		return nil, err
	}
	q.message, err = inflate(deflated)
	return q, err
}

func isParameter(name string) bool {
	switch name {
	case "SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding":
		return true
	}
	return false
}

// inflate stops at the size of a message: ten kilobytes of DEFLATE hold ten megabytes of blanks (CVE-2023-28119).
func inflate(deflated []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(deflated))
	raw, err := io.ReadAll(io.LimitReader(r, int64(messageLimits.bytes)+1))
	if err != nil {
		return nil, refuse(CheckShape, "not DEFLATE")
	}
	if len(raw) > messageLimits.bytes {
		return nil, refuse(CheckShape, "more than %d bytes inflated", messageLimits.bytes)
	}
	return raw, nil
}
