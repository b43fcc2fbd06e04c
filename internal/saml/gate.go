package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
	roundtrip "github.com/mattermost/xml-roundtrip-validator"
)

// limits bound what one document may cost before anything in it is believed. The numbers leave a provider that sends five
// hundred groups some room, and an attacker none.
type limits struct {
	bytes    int
	depth    int
	elements int
	values   int // AttributeValue elements
	attrs    int // of one element
	prefixes int // in scope at one element: the canonicalizer copies them for each
	comments bool
}

var (
	messageLimits  = limits{bytes: 256 << 10, depth: 40, elements: 2000, values: 500, attrs: 40, prefixes: 32}
	metadataLimits = limits{bytes: 1 << 20, depth: 40, elements: 20000, values: 5000, attrs: 60, prefixes: 64, comments: true}
)

var xmlDeclaration = regexp.MustCompile(`^<\?xml[ \t\r\n]+version=["']1\.0["']([ \t\r\n]+encoding=["'](?i:utf-8)["'])?([ \t\r\n]+standalone=["'](yes|no)["'])?[ \t\r\n]*\?>`)

// parse reads bytes that nobody vouches for into a tree whose every reader sees the same: UTF-8, no document type (external
// entities, billion laughs), no processing instructions, CDATA or comments (a reader that stops at a comment sees
// another name), every prefix declared, no attribute twice, no id twice.
func parse(raw []byte, l limits) (*etree.Element, error) {
	if err := scan(raw, l); err != nil {
		return nil, err
	}
	// Names that Go's encoder would not write back as it read them let two parsings differ (CVE-2020-29509, -29510, -29511).
	if err := roundtrip.Validate(bytes.NewReader(raw)); err != nil {
		return nil, refuse(CheckShape, "XML that does not survive a round trip")
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{MaxDepth: l.depth + 1, PreserveDuplicateAttrs: true}
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, refuse(CheckShape, "not well-formed XML")
	}
	root := doc.Root()
	if root == nil {
		return nil, refuse(CheckShape, "no root element")
	}
	// A tree of its own, so that no later reader finds a parent above the root.
	doc.RemoveChild(root)
	if err := walk(root, map[string]string{"xml": nsXML}, map[string]bool{}, l); err != nil {
		return nil, err
	}
	return root, nil
}

// scan walks the raw tokens and stops at the first limit passed, so that a bomb costs no more than the limit allows.
func scan(raw []byte, l limits) error {
	switch {
	case len(raw) > l.bytes:
		return refuse(CheckShape, "%d bytes, more than %d", len(raw), l.bytes)
	case !utf8.Valid(raw):
		return refuse(CheckShape, "not UTF-8")
	}
	body := raw[len(xmlDeclaration.Find(raw)):]
	if bytes.Contains(body, []byte("<?")) {
		return refuse(CheckShape, "a processing instruction")
	}
	// A "<" stands nowhere in well-formed XML but where markup begins, so "<!" is a document type, CDATA or a comment.
	for rest := body; ; {
		i := bytes.Index(rest, []byte("<!"))
		if i < 0 {
			break
		}
		if rest = rest[i:]; !l.comments || !bytes.HasPrefix(rest, []byte("<!--")) {
			return refuse(CheckShape, "a document type, CDATA or a comment")
		}
		// What stands between the marks is text of the comment, "<!" included.
		end := bytes.Index(rest[4:], []byte("-->"))
		if end < 0 {
			return refuse(CheckShape, "not well-formed XML")
		}
		rest = rest[4+end+3:]
	}

	d := xml.NewDecoder(bytes.NewReader(body))
	var open []xml.Name
	var elements, values int
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return refuse(CheckShape, "not well-formed XML")
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(open) == 0 && elements > 0 {
				return refuse(CheckShape, "more than one root element")
			}
			open = append(open, token.Name)
			elements++
			if token.Name.Local == "AttributeValue" {
				values++
			}
			if len(open) > l.depth || elements > l.elements || values > l.values || len(token.Attr) > l.attrs {
				return refuse(CheckShape, "more elements, attributes or depth than a message has")
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name {
				return refuse(CheckShape, "not well-formed XML")
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 0 && len(bytes.TrimSpace(token)) > 0 {
				return refuse(CheckShape, "text outside the root element")
			}
		}
	}
	if len(open) > 0 || elements == 0 {
		return refuse(CheckShape, "not well-formed XML")
	}
	return nil
}

// walk checks names and ids of the whole tree. Ids are unique whatever the attribute's spelling: a signature refers to
// an element by its id, and with two of them the verifier and the reader may choose differently.
func walk(el *etree.Element, outer map[string]string, ids map[string]bool, l limits) error {
	scope, err := declared(el, outer)
	if err != nil {
		return err
	}
	if len(scope) > l.prefixes {
		return refuse(CheckShape, "more than %d prefixes", l.prefixes)
	}
	if _, ok := scope[el.Space]; !ok && el.Space != "" {
		return refuse(CheckShape, "an undeclared prefix")
	}
	seen := make([][2]string, 0, len(el.Attr))
	for _, a := range el.Attr {
		name := [2]string{a.Space, a.Key}
		if a.Space != "" && a.Space != "xmlns" {
			space, ok := scope[a.Space]
			if !ok {
				return refuse(CheckShape, "an undeclared prefix")
			}
			name[0] = space
		}
		if slices.Contains(seen, name) {
			return refuse(CheckShape, "an attribute twice")
		}
		seen = append(seen, name)
		if strings.EqualFold(a.Key, "id") && a.Space != "xmlns" {
			// The libraries look for ID whatever its prefix.
			if a.Space != "" {
				return refuse(CheckShape, "an id with a prefix")
			}
			if ids[a.Value] {
				return refuse(CheckShape, "an id twice")
			}
			ids[a.Value] = true
		}
	}
	for _, child := range el.ChildElements() {
		if err := walk(child, scope, ids, l); err != nil {
			return err
		}
	}
	return nil
}

const nsXML = "http://www.w3.org/XML/1998/namespace"

// declared adds an element's own prefixes to those in scope.
func declared(el *etree.Element, outer map[string]string) (map[string]string, error) {
	scope, own := outer, false
	for _, a := range el.Attr {
		if a.Space != "xmlns" {
			continue
		}
		if a.Key == "xml" || a.Key == "xmlns" || a.Value == "" || a.Value == nsXML {
			return nil, refuse(CheckShape, "a reserved prefix declared")
		}
		if !own {
			scope, own = maps.Clone(outer), true
		}
		scope[a.Key] = a.Value
	}
	return scope, nil
}

// shape refuses every place where a message could hide a second truth: an assertion or a signature anywhere but where
// the schema has it is signature wrapping (XSW 1-8), whatever namespace it claims.
func shape(root *etree.Element) error {
	var visit func(el *etree.Element) error
	visit = func(el *etree.Element) error {
		switch el.Tag {
		case "Assertion", "EncryptedAssertion":
			if el != root && (el.Parent() != root || root.Tag != "Response") {
				return refuse(CheckShape, "an assertion inside %s", el.Parent().Tag)
			}
		case "Response", "LogoutRequest", "LogoutResponse", "AuthnRequest":
			if el != root {
				return refuse(CheckShape, "a message inside a message")
			}
		case "Signature":
			parent := el.Parent()
			if parent == nil || (parent != root && !(is(parent, nsAssertion, "Assertion") && parent.Parent() == root)) {
				return refuse(CheckShape, "a signature where none belongs")
			}
			if err := signatureShape(el); err != nil {
				return err
			}
		case "Object", "RetrievalMethod":
			return refuse(CheckShape, "a signature's %s", el.Tag)
		}
		for _, child := range el.ChildElements() {
			if err := visit(child); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(root)
}

// signatureShape admits one form of enveloped signature: over its own parent, by the two transforms of the SAML standard
// (Core section 5.4), with algorithms that hold.
func signatureShape(signature *etree.Element) error {
	parent := signature.Parent()
	if !is(signature, nsSignature, "Signature") {
		return refuse(CheckShape, "a Signature of another namespace")
	}
	// The schema has it right after the Issuer; metadata, which has no Issuer, has it first.
	if at := slices.Index(parent.ChildElements(), signature); at > 1 {
		return refuse(CheckShape, "a signature out of its place")
	}
	parts, err := exactly(signature, "SignedInfo", "SignatureValue", "KeyInfo?")
	if err != nil {
		return err
	}
	info, err := exactly(parts[0], "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return err
	}
	if attrValue(info[0], "Algorithm") != nsExclusive || len(info[0].ChildElements()) > 0 {
		return refuse(CheckShape, "canonicalization %.100q", attrValue(info[0], "Algorithm"))
	}
	method := attrValue(info[1], "Algorithm")
	if _, ok := signatureMethods[method]; !ok || len(info[1].ChildElements()) > 0 {
		return refuse(CheckSignature, "signature algorithm %.100q is not accepted", method)
	}
	id := attrValue(parent, "ID")
	if uri := attrValue(info[2], "URI"); id == "" || uri != "#"+id {
		return refuse(CheckShape, "a signature that does not refer to its parent")
	}
	reference, err := exactly(info[2], "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	if digest := attrValue(reference[1], "Algorithm"); !slices.Contains(digestMethods, digest) {
		return refuse(CheckSignature, "digest algorithm %.100q is not accepted", digest)
	}
	transforms, err := exactly(reference[0], "Transform", "Transform")
	if err != nil {
		return err
	}
	if attrValue(transforms[0], "Algorithm") != nsSignature+"enveloped-signature" || len(transforms[0].ChildElements()) > 0 ||
		attrValue(transforms[1], "Algorithm") != nsExclusive {
		return refuse(CheckShape, "transforms other than enveloped-signature and exclusive canonicalization")
	}
	for _, child := range transforms[1].ChildElements() {
		if !is(child, nsExclusive, "InclusiveNamespaces") {
			return refuse(CheckShape, "a transform with %.100q", child.Tag)
		}
	}
	return nil
}

// exactly gives the children of an element of the signature namespace, which must be those named and in that order. A
// name with a question mark may be missing at the end.
func exactly(el *etree.Element, names ...string) ([]*etree.Element, error) {
	found := el.ChildElements()
	for i, name := range names {
		name, optional := strings.CutSuffix(name, "?")
		if i == len(found) && optional {
			return found, nil
		}
		if i >= len(found) || !is(found[i], nsSignature, name) {
			return nil, refuse(CheckShape, "%s without its %s", el.Tag, name)
		}
	}
	if len(found) > len(names) {
		return nil, refuse(CheckShape, "%s with more than its parts", el.Tag)
	}
	return found, nil
}
