package saml

import (
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
	nsEncrypted = "http://www.w3.org/2001/04/xmlenc#"
	nsEncrypt11 = "http://www.w3.org/2009/xmlenc11#"
	nsExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// is compares by namespace and local name. A prefix proves nothing: "saml:NameID" may be bound to anything.
func is(el *etree.Element, space, local string) bool {
	return el.Tag == local && el.NamespaceURI() == space
}

func children(el *etree.Element, space, local string) []*etree.Element {
	var found []*etree.Element
	for _, child := range el.ChildElements() {
		if is(child, space, local) {
			found = append(found, child)
		}
	}
	return found
}

// only gives the one child of that name, nil if there is none. Two are refused rather than the first or the last taken,
// since two readers that differ in this are what signature wrapping lives on.
func only(el *etree.Element, space, local string) (*etree.Element, error) {
	found := children(el, space, local)
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, refuse(CheckShape, "%s holds %d %s", el.Tag, len(found), local)
}

// text gives all character data of an element that must have no element in it.
func text(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, token := range el.Child {
		switch token := token.(type) {
		case *etree.CharData:
			b.WriteString(token.Data)
		case *etree.Comment: // only metadata may have them
		default:
			return "", refuse(CheckShape, "%s holds more than text", el.Tag)
		}
	}
	return b.String(), nil
}

// childText gives the text of the one child of that name, "" if there is none.
func childText(el *etree.Element, space, local string) (string, error) {
	child, err := only(el, space, local)
	if child == nil || err != nil {
		return "", err
	}
	return text(child)
}

// attr gives an attribute without prefix. SelectAttr would take one of any prefix.
func attr(el *etree.Element, key string) (value string, present bool) {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

func attrValue(el *etree.Element, key string) string {
	value, _ := attr(el, key)
	return value
}

// instant reads an xs:dateTime, zero where the attribute is absent. Times are in UTC (SAML Core section 1.3.3); an offset
// is unambiguous and taken, a time without any is not.
func instant(el *etree.Element, key string) (time.Time, error) {
	value, present := attr(el, key)
	if !present {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return time.Time{}, refuse(CheckTime, "%s of %s is no instant", key, el.Tag)
	}
	return t.UTC(), nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// boolean reads an xs:boolean.
func boolean(el *etree.Element, key string) bool {
	value := attrValue(el, key)
	return value == "true" || value == "1"
}

// add makes a child with text (none if empty) and attributes in pairs, leaving out those without a value.
func add(parent *etree.Element, tag, content string, pairs ...string) *etree.Element {
	el := parent.CreateElement(tag)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			el.CreateAttr(pairs[i], pairs[i+1])
		}
	}
	if content != "" {
		el.SetText(content)
	}
	return el
}

func serialize(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.WriteSettings = etree.WriteSettings{CanonicalText: true, CanonicalAttrVal: true}
	doc.SetRoot(el)
	return doc.WriteToBytes()
}
