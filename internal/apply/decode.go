package apply

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/saml"
)

// decoder reads one file into the shape of file.go. It does so by itself rather than through yaml.Unmarshal, because it
// must collect every error instead of the first, know the line of each field for what is found wrong later, and read
// {env: NAME} and {file: PATH} where a text is wanted.
type decoder struct {
	source   *source
	problems *Problems
	getenv   func(string) (string, bool)
}

// parse reads one file.
func parse(name string, text []byte, getenv func(string) (string, bool), problems *Problems) file {
	d := &decoder{source: &source{name: name, lines: map[string]int{"": 1}}, problems: problems, getenv: getenv}
	var out file
	out.At = place{d.source, ""}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		line, message := 1, err.Error()
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			line, message = syntax.Token.Position.Line, syntax.Message
		}
		*problems = append(*problems, Problem{File: name, Line: line, Message: message})
		return out
	}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		d.fail("", "the file declares nothing; it begins with `version: 1`")
	case 1:
		d.decode(bodies[0], reflect.ValueOf(&out).Elem(), "")
	default:
		d.source.lines[""] = line(bodies[1])
		d.fail("", "one document a file; give several files instead")
	}
	return out
}

func (d *decoder) fail(path, format string, args ...any) {
	d.problems.at(place{d.source, path}, "", format, args...)
}

func line(n ast.Node) int {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return m.Values[0].Key.GetToken().Position.Line
	}
	return n.GetToken().Position.Line
}

// special is a type that reads itself.
type special interface {
	fromYAML(d *decoder, n ast.Node, path string)
}

func (d *decoder) decode(n ast.Node, v reflect.Value, path string) {
	if s, ok := v.Addr().Interface().(special); ok {
		s.fromYAML(d, n, path)
		return
	}
	if n.Type() == ast.NullType && v.Kind() != reflect.Struct {
		return // `allowed_domains:` with nothing behind it is nothing
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.fail(path, "a list is wanted here")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
		for i, item := range seq.Values {
			at := fmt.Sprintf("%s[%d]", path, i)
			d.source.lines[at] = line(item)
			d.decode(item, v.Index(i), at)
		}
	case reflect.String:
		v.SetString(d.text(n, path))
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.fail(path, "true or false is wanted here")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.GetToken().Value, 10, 64)
		if _, ok := n.(*ast.IntegerNode); !ok || err != nil {
			d.fail(path, "a whole number is wanted here")
			return
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("apply: a field of kind %s cannot be read", v.Kind()))
	}
}

// mapping reads a mapping into a struct whose fields carry yaml tags; `At` gets the place.
func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fail(path, "a mapping of fields to values is wanted here")
		return
	}
	fields, required := fieldsOf(v.Type())
	if at := v.FieldByName("At"); at.IsValid() {
		at.Set(reflect.ValueOf(place{d.source, path}))
	}
	var seen, known []string
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	last := -1 // the field that a text may go on in
	for it := m.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		i, ok := fields[name]
		if !ok && last >= 0 && continues(m, it.Value()) {
			text := v.Field(last)
			text.SetString(text.String() + ", " + name)
			continue
		}
		last = -1
		at := join(path, name)
		d.source.lines[at] = it.Key().GetToken().Position.Line
		if !ok {
			d.fail(at, "there is no such field here; %s", suggestion(name, known))
			continue
		}
		seen = append(seen, name)
		d.decode(it.Value(), v.Field(i), at)
		if s, plain := it.Value().(*ast.StringNode); plain && s.Token.Type == token.StringType && v.Field(i).Kind() == reflect.String {
			last = i
		}
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			d.fail(join(path, name), "it is missing")
		}
	}
}

// continues says whether an entry is the rest of a text. Between braces a comma ends a plain text, so that YAML reads
// {name: Create, edit and delete} as a name "Create" and a key "edit and delete" without a value (YAML 1.2.2 section
// 7.3.3). The contract's file is written so and means the sentence; nothing else of ours is a key without a value.
func continues(m ast.MapNode, value ast.Node) bool {
	flow, ok := m.(*ast.MappingNode)
	null, empty := value.(*ast.NullNode)
	return ok && flow.IsFlowStyle && empty && null.Token.Type == token.ImplicitNullType
}

func fieldsOf(t reflect.Type) (fields map[string]int, required []string) {
	fields = map[string]int{}
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		fields[name] = i
		if option == "required" {
			required = append(required, name)
		}
	}
	return fields, required
}

// suggestion says what would be right: the nearest field if one is near, else all of them.
func suggestion(name string, known []string) string {
	best, at := 3, ""
	for _, k := range known {
		if n := distance(name, k); n < best {
			best, at = n, k
		}
	}
	if at != "" {
		return fmt.Sprintf("did you mean %q?", at)
	}
	return "the fields are " + strings.Join(known, ", ")
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// text reads a scalar as it was written, or what {env: NAME} and {file: PATH} name.
func (d *decoder) text(n ast.Node, path string) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case ast.MapNode:
		if role, is := customRole(n); is {
			return role
		}
		return d.elsewhere(n, path)
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fail(path, "anchors, aliases and tags are not read here; write the value out")
		return ""
	case ast.ScalarNode:
		return n.GetToken().Value
	}
	d.fail(path, "a text is wanted here")
	return ""
}

// customRole reads a custom role's id where the parser takes it for a mapping. Between brackets YAML 1.2 (7.3.3) has custom:night as one
// text, since no space follows the colon; to the parser it is {custom: night}, which means nothing else here.
func customRole(m ast.MapNode) (role string, is bool) {
	n := 0
	for it := m.MapRange(); it.Next(); n++ {
		if v, text := it.Value().(*ast.StringNode); text && it.Key().GetToken().Value+":" == access.CustomPrefix {
			role = access.CustomPrefix + v.Value
		}
	}
	return role, n == 1 && role != ""
}

// elsewhere reads {env: NAME} or {file: PATH}. Neither may be empty: a variable that somebody forgot to fill must not
// become an empty secret.
func (d *decoder) elsewhere(m ast.MapNode, path string) string {
	var found []string
	for it := m.MapRange(); it.Next(); {
		switch from, v := it.Key().GetToken().Value, it.Value(); {
		case v.Type() != ast.StringType:
			d.fail(path, "the name behind %q is missing", from)
			return ""
		case from == "env" || from == "file":
			found = append(found, from, v.(*ast.StringNode).Value)
		default:
			d.fail(path, "%q is neither {env: NAME} nor {file: PATH}", from)
			return ""
		}
	}
	if len(found) != 2 {
		d.fail(path, "exactly one of {env: NAME} and {file: PATH} is wanted here")
		return ""
	}
	if name := found[1]; found[0] == "env" {
		v, set := d.getenv(name)
		switch {
		case !set:
			d.fail(path, "the environment variable %s is not set", name)
		case v == "":
			d.fail(path, "the environment variable %s is empty", name)
		}
		return v
	}
	return d.readFile(found[1], path)
}

// readFile reads a file that is named in this one; a relative path starts where this one lies.
func (d *decoder) readFile(name, path string) string {
	text, err := os.ReadFile(d.beside(name))
	if err != nil {
		var failed *os.PathError
		if errors.As(err, &failed) {
			err = failed.Err
		}
		d.fail(path, "the file %s cannot be read: %v", name, err)
		return ""
	}
	v := strings.TrimRight(string(text), "\r\n")
	if v == "" {
		d.fail(path, "the file %s is empty", name)
	}
	return v
}

func (d *decoder) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.source.name), name)
}

// secret is a text that may only come from elsewhere.
type secret string

func (s *secret) fromYAML(d *decoder, n ast.Node, path string) {
	if _, ok := n.(ast.MapNode); !ok {
		d.fail(path, "a secret is never written into the file; use {env: NAME} or {file: PATH}")
		return
	}
	*s = secret(d.text(n, path))
}

// duration is 30m, 12h, 14d, or several of them: 1d12h.
type duration time.Duration

var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}

func (t *duration) fromYAML(d *decoder, n ast.Node, path string) {
	text := d.text(n, path)
	v, err := ParseDuration(text)
	if err != nil {
		d.fail(path, "%q is not a duration such as 30m, 12h or 14d", text)
		return
	}
	*t = duration(v)
}

// ParseDuration reads 30m, 12h, 14d, or several of them: 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	var sum time.Duration
	rest := text
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 || i > 6 {
			return 0, strconv.ErrSyntax
		}
		count, err := strconv.Atoi(rest[:i])
		unit, ok := units[rest[i]]
		if err != nil || !ok {
			return 0, strconv.ErrSyntax
		}
		sum += time.Duration(count) * unit
		rest = rest[i+1:]
	}
	if sum <= 0 {
		return 0, strconv.ErrSyntax
	}
	return sum, nil
}

// moment is a day (its beginning in UTC) or a time by RFC 3339.
type moment time.Time

func (t *moment) fromYAML(d *decoder, n ast.Node, path string) {
	text := d.text(n, path)
	v, err := ParseTime(text)
	if err != nil {
		d.fail(path, "%q is neither a day such as 2030-01-01 nor a time such as 2030-01-01T12:00:00Z", text)
		return
	}
	*t = moment(v)
}

// ParseTime reads a day, which is its beginning in UTC, or a time by RFC 3339.
func ParseTime(text string) (time.Time, error) {
	if v, err := time.Parse(time.DateOnly, text); err == nil {
		return v, nil
	}
	v, err := time.Parse(time.RFC3339, text)
	return v.UTC(), err
}

// kept is a choice that is on unless a file says false.
type kept struct{ off bool }

func (k *kept) fromYAML(d *decoder, n ast.Node, path string) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.fail(path, "true or false is wanted here")
		return
	}
	k.off = !b.Value
}

// metadata is a SAML metadata document, or the URL it is fetched from at first use. A path is read here and now: the node
// that needs it may run on another machine.
type metadata string

func (m *metadata) fromYAML(d *decoder, n ast.Node, path string) {
	v := strings.TrimSpace(d.text(n, path))
	switch {
	case v == "", strings.HasPrefix(v, "<"), strings.HasPrefix(v, "http://"), strings.HasPrefix(v, "https://"):
	default:
		v = strings.TrimSpace(d.readFile(v, path))
	}
	*m = metadata(v)
}

// certificate is one in PEM or base64, or the file that holds it.
type certificate string

func (c *certificate) fromYAML(d *decoder, n ast.Node, path string) {
	v := strings.TrimSpace(d.text(n, path))
	// No file's name is that long, and none begins as PEM does; base64 of a certificate always begins with MI.
	if v != "" && !strings.HasPrefix(v, "-----") && !(strings.HasPrefix(v, "MI") && len(v) > 300) {
		v = strings.TrimSpace(d.readFile(v, path))
	}
	*c = certificate(v)
}

// line gives the certificate as base64 in one line, however it was given, so that the difference of two is one; what is none stays
// as it is, to be told of.
func (c certificate) line() string {
	cert, err := saml.ReadCertificate(string(c))
	if err != nil {
		return string(c)
	}
	return base64.StdEncoding.EncodeToString(cert.Raw)
}
