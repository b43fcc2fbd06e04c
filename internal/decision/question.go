package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// object is a JSON object whose every name stood there once.
type object = map[string]any

const (
	maxDepth = 32
	// maxText is more than any id here has: a longer one is no mistake of a person.
	maxText = 512
)

// parse reads one JSON object and nothing after it, as I-JSON has it (section 11.5): a member that stands there twice would be one
// question to us and another to whoever looked at it before us.
func parse(raw []byte) (object, error) {
	if !utf8.Valid(raw) {
		return nil, fault.New(fault.Invalid, "The body is not UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a number is none of what is read, and one that is too large for a float is no error
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "The body is not JSON.")
	}
	o, ok := v.(object)
	if !ok {
		return nil, fault.New(fault.Invalid, "The body is a JSON object with subject, action and resource.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "Something follows the JSON object.")
	}
	kept, deep := members(v, 0)
	switch {
	case deep:
		return nil, fault.New(fault.Invalid, "The JSON is nested deeper than %d.", maxDepth)
	case kept != colons(raw):
		return nil, fault.New(fault.Invalid, "A member of an object stands there twice.")
	}
	return o, nil
}

// members counts the members of all objects in a value. Of two with one name the decoder keeps the last; that fewer were kept than there
// were colons gives them away, at less than it costs to take the JSON apart word by word.
func members(v any, depth int) (n int, deep bool) {
	if depth > maxDepth {
		return 0, true
	}
	add := func(inner any) {
		more, below := members(inner, depth+1)
		n, deep = n+more, deep || below
	}
	switch v := v.(type) {
	case object:
		n = len(v)
		for _, inner := range v {
			add(inner)
		}
	case []any:
		for _, inner := range v {
			add(inner)
		}
	}
	return n, deep
}

// colons counts those of a JSON text that stand outside of its strings: one for each member.
func colons(raw []byte) (n int) {
	inside := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case c == ':' && !inside:
			n++
		}
	}
	return n
}

// objectIn gives a member that is an object; false where there is none. One that is null is none (section 11.5).
func objectIn(o object, name, path string) (object, bool, error) {
	v, given := o[name]
	if !given || v == nil {
		return nil, false, nil
	}
	inner, ok := v.(object)
	if !ok {
		return nil, false, fault.New(fault.Invalid, "%s is an object.", path)
	}
	return inner, true, nil
}

// textIn gives a member that has to be there and a string; needed says so, or it may be absent.
func textIn(o object, name, path, example string, needed bool) (string, error) {
	v, given := o[name]
	if !given || v == nil {
		if needed {
			return "", fault.New(fault.Invalid, "%s is missing: %s.", path, example)
		}
		return "", nil
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return "", fault.New(fault.Invalid, "%s is a string: %s.", path, example)
	case len(s) > maxText:
		return "", fault.New(fault.Invalid, "%s has at most %d bytes.", path, maxText)
	}
	return s, nil
}

// question is one evaluation.
type question struct {
	subjectType  string
	subject      id.User
	session      id.Session // "" where it is not said
	action       id.Permission
	resourceType string
	resource     id.Resource
	organization id.Organization // "" where it is not said
	wrong        *fault.Fault    // it could not be read, and why
}

// entities are the members that an evaluation is made of, each by itself (sections 5 and 6.1), so that those of an evaluation go before
// the defaults as a whole (section 7.1.1).
var entities = []string{"subject", "action", "resource", "context"}

// questionOf reads one evaluation: its own members, and the defaults for those it lacks. What the specification does not name is ignored
// (section 10.1.1), and so is what says nothing here: the context, and properties of other names.
func questionOf(own, defaults object) (q question, err error) {
	var found [3]object
	for i, name := range entities {
		entity, given, err := objectIn(own, name, name)
		if err == nil && !given {
			entity, given, err = objectIn(defaults, name, name)
		}
		switch {
		case err != nil:
			return q, err
		case i == len(found): // the context, which may be absent
		case !given:
			return q, fault.New(fault.Invalid, "%s is missing: %s.", name, examples[name])
		default:
			found[i] = entity
		}
	}
	subject, action, resource := found[0], found[1], found[2]
	var texts [7]string
	var properties [3]object
	for i, entity := range found {
		if properties[i], _, err = objectIn(entity, "properties", entities[i]+".properties"); err != nil {
			return q, err
		}
	}
	for i, want := range []struct {
		in                  object
		name, path, example string
		needed              bool
	}{
		{subject, "type", "subject.type", `"user"`, true},
		{subject, "id", "subject.id", "the user's id, which is sub in a token", true},
		{properties[0], "sid", "subject.properties.sid", "the session's id, which is sid in an ID token", false},
		{action, "name", "action.name", `a permission, such as "assets.update"`, true},
		{resource, "type", "resource.type", `the resource's type, such as "site"`, true},
		{resource, "id", "resource.id", `the resource's id, such as "london-1"`, true},
		{properties[2], "organization", "resource.properties.organization", "the organization's id", false},
	} {
		if texts[i], err = textIn(want.in, want.name, want.path, want.example, want.needed); err != nil {
			return q, err
		}
	}
	if texts[2] != "" && !id.IsUUID(texts[2]) {
		texts[2] = "none" // no session is called so
	}
	return question{
		subjectType: texts[0], subject: id.User(texts[1]), session: id.Session(texts[2]), action: id.Permission(texts[3]),
		resourceType: texts[4], resource: id.Resource(texts[5]), organization: id.Organization(texts[6]),
	}, nil
}

// examples are what stands in a sentence about a member that is missing.
var examples = map[string]string{
	"subject":  `{"type": "user", "id": "<sub>"}`,
	"action":   `{"name": "assets.update"}`,
	"resource": `{"type": "site", "id": "london-1", "properties": {"organization": "northwind"}}`,
}
