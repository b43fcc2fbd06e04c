package samltest

import (
	"testing"

	"github.com/beevik/etree"
)

// Wraps are the eight ways of signature wrapping of Somorovsky et al., "On Breaking SAML: Be Whoever You Want to Be"
// (2012), by their usual numbers. Each leaves the signed element somewhere in the document, so that a verifier who looks
// for it by its id finds it whole, and puts a forged one where a reader looks. Target is the signed element: the response
// or the assertion.
var Wraps = [8]func(t testing.TB, response, target *etree.Element){
	// XSW1: the forgery takes the place; the original lies in its own signature.
	func(t testing.TB, response, target *etree.Element) {
		original, signature := take(target)
		forge(target)
		target.InsertChildAt(1, signature)
		signature.AddChild(original)
	},
	// XSW2: the same, with the original before a detached signature.
	func(t testing.TB, response, target *etree.Element) {
		original, signature := take(target)
		forge(target)
		target.InsertChildAt(1, signature)
		target.InsertChildAt(1, original)
	},
	// XSW3: a forged sibling before the original.
	func(t testing.TB, response, target *etree.Element) {
		before(response, forged(target), target)
	},
	// XSW4: a forged parent of the original.
	func(t testing.TB, response, target *etree.Element) {
		evil, parent := forged(target), target.Parent()
		if parent == nil {
			original := response.Copy()
			forge(response)
			strip(response)
			response.AddChild(original)
			return
		}
		at := target.Index()
		parent.RemoveChild(target)
		evil.AddChild(target)
		parent.InsertChildAt(at, evil)
	},
	// XSW5: the forgery keeps the signature; the original lies at the end, without it.
	func(t testing.TB, response, target *etree.Element) {
		original, signature := take(target)
		forge(target)
		target.InsertChildAt(1, signature)
		response.AddChild(original)
	},
	// XSW6: the forgery keeps the signature, in which the original lies.
	func(t testing.TB, response, target *etree.Element) {
		original, signature := take(target)
		forge(target)
		target.InsertChildAt(1, signature)
		signature.InsertChildAt(0, original)
	},
	// XSW7: the forgery lies in Extensions, where any element may be, with the original's id.
	func(t testing.TB, response, target *etree.Element) {
		evil := forged(target)
		evil.CreateAttr("ID", target.SelectAttrValue("ID", ""))
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(evil)
		response.InsertChildAt(1, extensions)
	},
	// XSW8: the original lies in an Object of the signature that the forgery has.
	func(t testing.TB, response, target *etree.Element) {
		original, signature := take(target)
		forge(target)
		target.InsertChildAt(1, signature)
		object := etree.NewElement("ds:Object")
		object.AddChild(original)
		signature.AddChild(object)
	},
}

// take removes the signature from target and gives both a copy of what remains and the signature.
func take(target *etree.Element) (original, signature *etree.Element) {
	signature = target.SelectElement("Signature")
	target.RemoveChild(signature)
	return target.Copy(), signature
}

// Evil is who a forgery is about.
const Evil = "evil@example.com"

// forge gives an element another id and its assertion another subject.
func forge(el *etree.Element) {
	el.CreateAttr("ID", ID())
	for _, name := range el.FindElements(".//NameID") {
		name.SetText(Evil)
	}
}

func forged(target *etree.Element) *etree.Element {
	evil := target.Copy()
	strip(evil)
	forge(evil)
	return evil
}

func strip(el *etree.Element) {
	if signature := el.SelectElement("Signature"); signature != nil {
		el.RemoveChild(signature)
	}
}

func before(response, evil, target *etree.Element) {
	at := 0
	if target.Parent() != nil {
		at = target.Index()
	}
	response.InsertChildAt(at, evil)
}
