package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/scim"
)

// fileExtension is the word enterprise, or a schema in a JSON file with the resource type it extends.
type fileExtension struct{ directory.Extension }

// enterpriseWord names EnterpriseUser, which every SCIM client knows and no file needs to define.
const enterpriseWord = "enterprise"

func (x *fileExtension) fromYAML(d *decoder, n ast.Node, path string) {
	if _, ok := n.(ast.MapNode); !ok {
		if word := d.text(n, path); word != enterpriseWord {
			d.fail(path, "%q is neither %s nor a schema such as {file: badge.json}", word, enterpriseWord)
		}
		x.Extension = directory.Enterprise()
		return
	}
	var in struct {
		File     string `yaml:"file,required"`
		Resource string `yaml:"resource"`
		Required bool   `yaml:"required"`
	}
	d.mapping(n, reflect.ValueOf(&in).Elem(), path)
	if in.Resource == "" {
		in.Resource = directory.ResourceUser
	}
	if in.Resource != directory.ResourceUser && in.Resource != directory.ResourceGroup {
		d.fail(join(path, "resource"), "%q is neither %s nor %s", in.Resource, directory.ResourceUser, directory.ResourceGroup)
	}
	x.Extension = directory.Extension{Resource: in.Resource, Required: in.Required}
	if in.File == "" {
		return
	}
	if info, err := os.Stat(d.beside(in.File)); err == nil && info.Size() > scim.MaxExtension {
		d.fail(join(path, "file"), "%s is larger than %d bytes", in.File, scim.MaxExtension)
		return
	}
	text := d.readFile(in.File, join(path, "file"))
	if text == "" {
		return
	}
	schema, err := scim.LoadExtension([]byte(text))
	if err != nil {
		d.fail(join(path, "file"), "%s%s: %v", in.File, lineOf(text), err)
		return
	}
	x.ID, x.Definition = schema.ID, schema.Definition()
}

// lineOf gives the line of a document that is no JSON at all, such as ":12"; "" where it is.
func lineOf(text string) string {
	var syntax *json.SyntaxError
	if err := json.Unmarshal([]byte(text), new(any)); !errors.As(err, &syntax) {
		return ""
	}
	return fmt.Sprintf(":%d", 1+strings.Count(text[:min(len(text), max(0, int(syntax.Offset)-1))], "\n"))
}

// mark tells one definition from another.
func mark(definition []byte) string {
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:4])
}

// extensions gives a directory's extensions: nil where the file says nothing of them.
func (d *Declaration) extensions(r fileDirectory) []directory.Extension {
	if !r.At.has("extensions") {
		return nil
	}
	out := []directory.Extension{}
	seen := map[string]bool{}
	for i, x := range r.Extensions {
		if x.ID == "" {
			continue // what is wrong with it is reported
		}
		if id := strings.ToLower(x.ID); seen[id] {
			d.problems.at(r.At, "extensions["+itoa(i)+"]", "%s stands in it twice", x.ID)
		} else {
			seen[id] = true
		}
		out = append(out, x.Extension)
	}
	return out
}

// showExtensions shows the extensions of a directory; a schema whose file has changed shows it by its mark.
func showExtensions(s directory.Settings) string {
	var all []string
	for _, x := range s.Extended() {
		switch {
		case len(x.Definition) == 0:
			all = append(all, enterpriseWord)
			continue
		case x.Required:
			all = append(all, fmt.Sprintf("%s of %s, required (%s)", x.ID, x.Resource, mark(x.Definition)))
		default:
			all = append(all, fmt.Sprintf("%s of %s (%s)", x.ID, x.Resource, mark(x.Definition)))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
