package console

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// recordPart is what a record says in the words of one schema.
type recordPart struct {
	Name, URN string // of an extension; "" for what is the standard's own
	Values    []recordValue
}

// recordValue is an attribute as the directory sent it.
type recordValue struct {
	Title, Name string // as its schema calls it; the name alone where the schema has no short words for it
	Values      []string
}

// longestTitle is as long a description as may stand for a name.
const longestTitle = 60

// recordParts reads a record by the schemas of its directory: the standard's own attributes first, then each extension that
// it has data of, in the order of the schemas.
func recordParts(document []byte, rt *scim.ResourceType) ([]recordPart, error) {
	a, err := scim.DecodeStored(document)
	if err != nil {
		return nil, err
	}
	var out []recordPart
	if values := recordValues(rt.Schema.Attributes, a, false); len(values) > 0 {
		out = append(out, recordPart{Values: values})
	}
	for _, x := range rt.Extensions {
		data, _ := a[x.Schema.ID].(map[string]any)
		if values := recordValues(x.Schema.Attributes, data, true); len(values) > 0 {
			out = append(out, recordPart{Name: either(x.Schema.Name, x.Schema.ID), URN: x.Schema.ID, Values: values})
		}
	}
	return out, nil
}

func recordValues(attributes []*scim.Attribute, m map[string]any, titled bool) []recordValue {
	var out []recordValue
	for _, a := range attributes {
		v, ok := m[a.Name]
		if !ok {
			continue
		}
		line := recordValue{Title: a.Name}
		if title := strings.TrimSuffix(a.Description, "."); titled && title != "" && len(title) <= longestTitle {
			line.Title, line.Name = title, a.Name
		}
		list, many := v.([]any)
		if !many {
			list = []any{v}
		}
		for _, v := range list {
			line.Values = append(line.Values, recordText(a, v))
		}
		out = append(out, line)
	}
	return out
}

// recordText says one value; of a complex one each part with its name.
func recordText(a *scim.Attribute, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		var parts []string
		for _, s := range a.Sub {
			if x, ok := v[s.Name]; ok {
				parts = append(parts, s.Name+": "+recordText(s, x))
			}
		}
		return strings.Join(parts, ", ")
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// extensionLine is an extension that is in force for a directory.
type extensionLine struct {
	Name, URN string
	Of        string // users or groups
	Required  bool
	Own       bool // declared by the operator, with how many attributes
	Size      int
}

func extensionLines(t directory.Types) []extensionLine {
	var out []extensionLine
	for _, rt := range []*scim.ResourceType{t.User, t.Group} {
		for _, x := range rt.Extensions {
			line := extensionLine{Name: either(x.Schema.Name, x.Schema.ID), URN: x.Schema.ID, Required: x.Required, Size: len(x.Schema.Attributes)}
			line.Of, line.Own = "users", x.Schema.ID != scim.EnterpriseURN
			if rt == t.Group {
				line.Of = "groups"
			}
			out = append(out, line)
		}
	}
	return out
}

// words say of what the extension is, and whether it must be there.
func (x extensionLine) words() string {
	said := "of " + x.Of
	if x.Own {
		said = plural(x.Size, "attribute") + " " + said + ", declared in the file"
	}
	if x.Required {
		said += ", required"
	}
	return said
}

// repairLine is a kind of repair that a directory's dialect has made, for the directory's page.
type repairLine struct {
	Said, Kind    string
	Times         string
	First, Latest when
}

func repairLines(v *visit, list []store.Repaired) []repairLine {
	var out []repairLine
	for _, r := range list {
		said := either(directory.RepairWords[r.Deviation], string(r.Deviation))
		out = append(out, repairLine{
			strings.ToUpper(said[:1]) + said[1:], string(r.Deviation), number(int(r.Times)), v.when(r.First, ""), v.when(r.Latest, ""),
		})
	}
	return out
}

// repaired says in a sentence how much was repaired.
func (d directoryLine) repaired() string {
	if len(d.Repairs) == 0 {
		return "Nothing so far"
	}
	return plural(len(d.Repairs), "kind") + " of departure, understood as meant"
}

// kept says what holds for somebody whose record no longer says whether the person is active.
func (r recordLine) kept() string {
	if r.Active {
		return "No longer says whether this person is active; kept: active"
	}
	return "No longer says whether this person is active; kept: inactive"
}
