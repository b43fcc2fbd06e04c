package scim

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Attributes is a resource, or part of one: attribute names as the schema writes them, extension
// attributes nested under the extension's URN. A value is a string, bool, int64, float64,
// map[string]any or []any; never nil, never an empty list or object. What DecodeJSON returns is raw:
// names as they were sent, and nil and empty values among the others.
type Attributes map[string]any

// Limits bounds what DecodeJSON reads.
type Limits struct {
	Bytes  int // of the whole document
	Depth  int // of nesting
	Values int // of all values together
}

// DefaultLimits suits one resource. A group with 100,000 members is past it: such a group is filled
// by PATCH.
var DefaultLimits = Limits{Bytes: 4 << 20, Depth: 32, Values: 200_000}

// DecodeJSON reads one JSON object strictly: valid UTF-8, nothing after it, no name twice in any
// case, every number exact. Names stay as they were sent. Errors are *Error: 400 invalidSyntax, or
// 413 past the size or the number of values.
func DecodeJSON(data []byte, l Limits) (Attributes, error) {
	if len(data) > l.Bytes {
		return nil, Errorf(http.StatusRequestEntityTooLarge, "", "The body is longer than %d bytes.", l.Bytes)
	}
	// All values are counted before any is built, so that a body past the limit costs one scan.
	if n := countValues(data); n > l.Values {
		return nil, Errorf(http.StatusRequestEntityTooLarge, "", "The body holds more than %d values.", l.Values)
	}
	if !utf8.Valid(data) {
		return nil, badRequest(InvalidSyntax, "The body is not valid UTF-8.")
	}
	d := decoder{data: data, limits: l}
	d.space()
	if d.pos == len(data) {
		return nil, badRequest(InvalidSyntax, "The body is empty.")
	}
	if data[d.pos] != '{' {
		return nil, badRequest(InvalidSyntax, "The body is not a JSON object.")
	}
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	d.space()
	if d.pos != len(data) {
		return nil, d.fail("something follows the object")
	}
	return Attributes(v.(map[string]any)), nil
}

// countValues counts what stands between commas, colons and brackets outside of strings: never
// less than the values of a well-formed document.
func countValues(data []byte) int {
	n := 1
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case ',', '{', '[':
			n++
		}
	}
	return n
}

// decoder is a recursive descent whose recursion is bounded by Limits.Depth.
type decoder struct {
	data   []byte
	pos    int
	limits Limits
}

// words are the values that have names.
var words = []struct {
	text  []byte
	value any
}{{[]byte("true"), true}, {[]byte("false"), false}, {[]byte("null"), nil}}

func (d *decoder) fail(format string, args ...any) *Error {
	e := badRequest(InvalidSyntax, format, args...)
	e.Detail = "The body is not valid: " + e.Detail + " at byte " + strconv.Itoa(d.pos) + "."
	return e
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

func (d *decoder) value(depth int) (any, *Error) {
	if depth > d.limits.Depth {
		return nil, d.fail("more than %d levels", d.limits.Depth)
	}
	if d.pos == len(d.data) {
		return nil, d.fail("a value is missing")
	}
	switch c := d.data[d.pos]; {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.list(depth)
	case c == '"':
		return d.text()
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	}
	for _, w := range words {
		if bytes.HasPrefix(d.data[d.pos:], w.text) {
			d.pos += len(w.text)
			return w.value, nil
		}
	}
	return nil, d.fail("a value is missing")
}

func (d *decoder) object(depth int) (any, *Error) {
	d.pos++
	out := map[string]any{}
	var few [16]string
	names := few[:0]
	var lowered map[string]bool // instead of names once there are many
	for {
		d.space()
		if d.pos == len(d.data) {
			return nil, d.fail("an object does not end")
		}
		if d.data[d.pos] == '}' && len(out) == 0 {
			d.pos++
			return out, nil
		}
		if d.data[d.pos] != '"' {
			return nil, d.fail("a name is missing")
		}
		name, err := d.name()
		if err != nil {
			return nil, err
		}
		// RFC 7643 section 2.1: names are case-insensitive, so userName and USERNAME are one name
		// twice, and readers that pick different ones could be played against each other.
		twice := lowered != nil && lowered[lower(name)]
		for _, n := range names {
			twice = twice || sameName(n, name)
		}
		if twice {
			return nil, d.fail("the name %q stands twice", clip(name))
		}
		switch {
		case lowered != nil:
			lowered[lower(name)] = true
		case len(names) < len(few):
			names = append(names, name)
		default:
			lowered = map[string]bool{lower(name): true}
			for _, n := range names {
				lowered[lower(n)] = true
			}
			names = nil
		}
		d.space()
		if d.pos == len(d.data) || d.data[d.pos] != ':' {
			return nil, d.fail("a colon is missing")
		}
		d.pos++
		d.space()
		if out[name], err = d.value(depth + 1); err != nil {
			return nil, err
		}
		d.space()
		if d.pos == len(d.data) || d.data[d.pos] != ',' && d.data[d.pos] != '}' {
			return nil, d.fail("a comma or brace is missing")
		}
		d.pos++
		if d.data[d.pos-1] == '}' {
			return out, nil
		}
	}
}

func (d *decoder) list(depth int) (any, *Error) {
	d.pos++
	out := []any{}
	d.space()
	if d.pos < len(d.data) && d.data[d.pos] == ']' {
		d.pos++
		return out, nil
	}
	for {
		d.space()
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		d.space()
		if d.pos == len(d.data) || d.data[d.pos] != ',' && d.data[d.pos] != ']' {
			return nil, d.fail("a comma or bracket is missing")
		}
		d.pos++
		if d.data[d.pos-1] == ']' {
			return out, nil
		}
	}
}

// name reads the name of a member. Those of the standard's schemas are not made anew for each document.
func (d *decoder) name() (string, *Error) {
	rest := d.data[d.pos+1:]
	if end := bytes.IndexByte(rest, '"'); end >= 0 {
		if s, ok := wellKnown[string(rest[:end])]; ok {
			d.pos += end + 2
			return s, nil
		}
	}
	return d.text()
}

// wellKnown are the names that most documents are made of.
var wellKnown = map[string]string{}

// init and not a value, since the schemas are read by the decoder themselves.
func init() {
	var add func(attributes []*Attribute)
	add = func(attributes []*Attribute) {
		for _, a := range attributes {
			wellKnown[a.Name] = a.Name
			add(a.Sub)
		}
	}
	add(commonAttributes)
	for _, s := range []*Schema{User(), Group(), EnterpriseUser()} {
		wellKnown[s.ID] = s.ID
		add(s.Attributes)
	}
	for _, s := range []string{"Operations", "op", "path"} {
		wellKnown[s] = s
	}
}

func (d *decoder) text() (string, *Error) {
	s, n, ok := scanString(d.data[d.pos:])
	if !ok {
		return "", d.fail("a string is not well formed")
	}
	d.pos += n
	return s, nil
}

// scanString reads the JSON string at the beginning of data and returns it decoded with its length
// in data.
func scanString[T []byte | string](data T) (s string, n int, ok bool) {
	plain := true
	for i := 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			if plain {
				return string(data[1:i]), i + 1, true
			}
			err := json.Unmarshal([]byte(data[:i+1]), &s)
			return s, i + 1, err == nil
		case c == '\\':
			plain = false
			i++
		case c < 0x20:
			return "", 0, false
		}
	}
	return "", 0, false
}

func (d *decoder) number() (any, *Error) {
	n := numberLength(d.data[d.pos:])
	v, ok := exactNumber(string(d.data[d.pos : d.pos+min(n, maxNumber+1)]))
	if !ok {
		return nil, d.fail("a number that is malformed or cannot be kept exactly")
	}
	d.pos += n
	return v, nil
}

func numberLength[T []byte | string](data T) int {
	n := 0
	for n < len(data) && (data[n] >= '0' && data[n] <= '9' || strings.IndexByte("+-.eE", data[n]) >= 0) {
		n++
	}
	return n
}

// maxNumber is the longest number read. The longest that a float64 needs has 24 characters.
const maxNumber = 64

// exactNumber reads a JSON number as int64, or as float64 when it has a fraction or an exponent. ok
// is false when it is malformed or when the value would not be the one that was written.
func exactNumber(s string) (v any, ok bool) {
	if len(s) > maxNumber || !json.Valid([]byte(s)) {
		return nil, false
	}
	if !strings.ContainsAny(s, ".eE") {
		i, err := strconv.ParseInt(s, 10, 64)
		return i, err == nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, false
	}
	if f == 0 {
		// An underflow to zero is a change too; a big.Rat of its exponent would be huge.
		return 0.0, strings.Trim(strings.FieldsFunc(s, func(r rune) bool { return r == 'e' || r == 'E' })[0], "-0.") == ""
	}
	// Shortest text that reads back as f is what EncodeJSON writes: it must be the same number.
	want, ok1 := new(big.Rat).SetString(s)
	got, ok2 := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return f, ok1 && ok2 && want.Cmp(got) == 0
}

// lower maps ASCII letters only: attribute names and URNs are ASCII, and a wider folding would let
// "ſchemas" pass for schemas.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; c >= 'A' && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x >= 'A' && x <= 'Z' {
			x += 'a' - 'A'
		}
		if y >= 'A' && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}

// clip keeps what a client sent from filling an error text.
func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}

// EncodeJSON writes a resource in one canonical form: schemas, id, externalId, the attributes in
// schema order, extensions in theirs, meta last; nothing that is null or empty, nothing that the
// resource type lacks.
func (rt *ResourceType) EncodeJSON(a Attributes) []byte { return rt.encode(a, usualSize) }

// encode is EncodeJSON for a resource of about so many bytes.
func (rt *ResourceType) encode(a Attributes, size int) []byte {
	e := encoder{}
	e.b.Grow(size)
	e.b.WriteByte('{')
	e.attributes(firstAttributes, a)
	e.attributes(rt.Schema.Attributes, a)
	for _, x := range rt.Extensions {
		if m, ok := a[x.Schema.ID].(map[string]any); ok && !empty(m) {
			e.name(x.Schema.ID)
			e.object(x.Schema.Attributes, m)
		}
	}
	e.attributes(lastAttributes, a)
	e.b.WriteByte('}')
	return e.b.Bytes()
}

// usualSize holds most resources.
const usualSize = 1536

var (
	firstAttributes = []*Attribute{schemasAttribute, idAttribute, externalIDAttribute}
	lastAttributes  = []*Attribute{metaAttribute}
)

type encoder struct{ b bytes.Buffer }

func (e *encoder) attributes(attributes []*Attribute, m map[string]any) {
	for _, a := range attributes {
		v := m[a.Name]
		if empty(v) {
			continue
		}
		e.name(a.Name)
		if list, ok := v.([]any); ok {
			e.b.WriteByte('[')
			first := true
			for _, v := range list {
				if empty(v) {
					continue
				}
				if !first {
					e.b.WriteByte(',')
				}
				first = false
				e.one(a, v)
			}
			e.b.WriteByte(']')
			continue
		}
		e.one(a, v)
	}
}

func (e *encoder) name(s string) {
	if last := e.b.Bytes(); last[len(last)-1] != '{' {
		e.b.WriteByte(',')
	}
	writeString(&e.b, s)
	e.b.WriteByte(':')
}

func (e *encoder) object(attributes []*Attribute, m map[string]any) {
	e.b.WriteByte('{')
	e.attributes(attributes, m)
	e.b.WriteByte('}')
}

func (e *encoder) one(a *Attribute, v any) {
	switch v := v.(type) {
	case map[string]any:
		e.object(a.Sub, v)
	case string:
		writeString(&e.b, v)
	case bool:
		e.b.Write(strconv.AppendBool(e.b.AvailableBuffer(), v))
	case int64:
		e.b.Write(strconv.AppendInt(e.b.AvailableBuffer(), v, 10))
	default:
		if err := encodeValue(&e.b, v); err != nil {
			panic("scim: value outside of the model of Attributes: " + err.Error())
		}
	}
}

// writeString writes a JSON string. What needs no escape, which is nearly everything, is copied.
func writeString(buf *bytes.Buffer, s string) {
	plain := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c == '"' || c == '\\':
			_ = encodeValue(buf, s) // a string always encodes
			return
		case c >= 0x80:
			plain = false
		}
	}
	// Scripts in the web take two more characters for the end of a line, and encoding/json escapes them.
	if !plain && (!utf8.ValidString(s) || strings.ContainsAny(s, "\u2028\u2029")) {
		_ = encodeValue(buf, s)
		return
	}
	buf.WriteByte('"')
	buf.WriteString(s)
	buf.WriteByte('"')
}

// encodeValue writes what encoding/json makes of a value, with <, > and & as they are.
func encodeValue(buf *bytes.Buffer, v any) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	buf.Truncate(buf.Len() - 1) // the encoder's line feed
	return nil
}

// empty tells whether a value counts as unassigned (RFC 7643 section 2.5): null, or a list or an
// object of such.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		for _, x := range v {
			if !empty(x) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, x := range v {
			if !empty(x) {
				return false
			}
		}
		return true
	}
	return false
}

func clone(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = clone(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = clone(x)
		}
		return out
	}
	return v
}
