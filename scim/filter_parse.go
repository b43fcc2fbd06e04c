package scim

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	ast "github.com/scim2/filter-parser/v2"
)

// The bounds of a filter or path. They stand in front of everything else: a parser that recurses on
// brackets can be made to overflow its stack by 100 KB of "(", which no recover catches.
const (
	maxFilterBytes = 8 << 10
	maxFilterDepth = 32
	maxFilterTerms = 200
)

// syntaxError says what is wrong with a filter or path, and where.
type syntaxError struct {
	at  int // in bytes
	why string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at position %d", e.why, e.at+1) }

// parser reads the filters of RFC 7644 section 3.4.2.2 and the paths of section 3.5.2, which share
// their grammar. Precedence climbs from "or" over "and" to "not" and groups.
type parser struct {
	text  string
	pos   int
	depth int
	terms int
	// rewritten counts the forms outside the grammar: emails[type eq "work"].value eq "x".
	rewritten int
}

func newParser(text string) (*parser, error) {
	switch {
	case len(text) > maxFilterBytes:
		return nil, &syntaxError{maxFilterBytes, fmt.Sprintf("longer than %d bytes", maxFilterBytes)}
	case !utf8.ValidString(text):
		return nil, &syntaxError{0, "not valid UTF-8"}
	}
	return &parser{text: text}, nil
}

// parseExpression reads a whole filter.
func parseExpression(text string) (x ast.Expression, rewritten int, err error) {
	p, err := newParser(text)
	if err != nil {
		return nil, 0, err
	}
	if x, err = p.or(false); err != nil {
		return nil, 0, err
	}
	if p.space(); p.pos < len(p.text) {
		return nil, 0, p.fail("unexpected %s", p.here())
	}
	return x, p.rewritten, nil
}

// parsePath reads the whole path of a PATCH operation.
func parsePath(text string) (*ast.Path, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	path := &ast.Path{}
	if path.AttributePath, err = p.attributePath(); err != nil {
		return nil, err
	}
	if p.at('[') {
		if path.ValueExpression, path.SubAttribute, err = p.brackets(); err != nil {
			return nil, err
		}
	}
	if p.space(); p.pos < len(p.text) {
		return nil, p.fail("unexpected %s", p.here())
	}
	return path, nil
}

func (p *parser) fail(format string, args ...any) error {
	return &syntaxError{p.pos, fmt.Sprintf(format, args...)}
}

// here is what stands at the position, for an error text.
func (p *parser) here() string {
	if p.pos >= len(p.text) {
		return "end"
	}
	rest := p.text[p.pos:]
	if end := strings.IndexAny(rest, " \t\r\n()[]\""); end > 0 {
		rest = rest[:end]
	} else {
		_, n := utf8.DecodeRuneInString(rest)
		rest = rest[:n]
	}
	return strconv.Quote(clip(rest))
}

func (p *parser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) at(c byte) bool { return p.pos < len(p.text) && p.text[p.pos] == c }

// keyword takes a word, in any case, that ends at a blank, a bracket or the end.
func (p *parser) keyword(word string) bool {
	end := p.pos + len(word)
	if end > len(p.text) || !sameName(p.text[p.pos:end], word) {
		return false
	}
	if end < len(p.text) && strings.IndexByte(" \t\r\n([", p.text[end]) < 0 {
		return false
	}
	p.pos = end
	return true
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxFilterDepth {
		return p.fail("more than %d levels of brackets", maxFilterDepth)
	}
	return nil
}

func (p *parser) or(element bool) (ast.Expression, error) {
	return p.chain("or", ast.OR, func() (ast.Expression, error) {
		return p.chain("and", ast.AND, func() (ast.Expression, error) { return p.term(element) })
	})
}

func (p *parser) chain(word string, op ast.LogicalOperator, next func() (ast.Expression, error)) (ast.Expression, error) {
	left, err := next()
	if err != nil {
		return nil, err
	}
	for {
		p.space()
		if !p.keyword(word) {
			return left, nil
		}
		right, err := next()
		if err != nil {
			return nil, err
		}
		left = &ast.LogicalExpression{Left: left, Right: right, Operator: op}
	}
}

// term reads a group, a negation, a value path or a comparison. element tells that it stands inside
// the brackets of a value path, where another value path has no meaning.
func (p *parser) term(element bool) (ast.Expression, error) {
	p.space()
	start := p.pos
	if p.keyword("not") {
		if p.space(); !p.at('(') {
			p.pos = start
			return nil, p.fail("not must be followed by a group in parentheses")
		}
		x, err := p.group(element)
		if err != nil {
			return nil, err
		}
		return &ast.NotExpression{Expression: x}, nil
	}
	if p.at('(') {
		return p.group(element)
	}
	path, err := p.attributePath()
	if err != nil {
		return nil, err
	}
	if !p.at('[') {
		return p.comparison(path)
	}
	if element {
		return nil, p.fail("a value path inside a value path")
	}
	filter, sub, err := p.brackets()
	if err != nil {
		return nil, err
	}
	if sub == nil {
		return &ast.ValuePath{AttributePath: path, ValueFilter: filter}, nil
	}
	more, err := p.comparison(ast.AttributePath{AttributeName: *sub})
	if err != nil {
		return nil, err
	}
	p.rewritten++
	return &ast.ValuePath{AttributePath: path, ValueFilter: &ast.LogicalExpression{Left: filter, Right: more, Operator: ast.AND}}, nil
}

func (p *parser) group(element bool) (ast.Expression, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.pos++
	x, err := p.or(element)
	if err != nil {
		return nil, err
	}
	if p.space(); !p.at(')') {
		return nil, p.fail("a closing parenthesis is missing before %s", p.here())
	}
	p.pos++
	p.depth--
	return x, nil
}

// brackets reads [filter] and the sub-attribute that may follow it.
func (p *parser) brackets() (x ast.Expression, sub *string, err error) {
	if err := p.enter(); err != nil {
		return nil, nil, err
	}
	p.pos++
	if x, err = p.or(true); err != nil {
		return nil, nil, err
	}
	if p.space(); !p.at(']') {
		return nil, nil, p.fail("a closing bracket is missing before %s", p.here())
	}
	p.pos++
	p.depth--
	if !p.at('.') {
		return x, nil, nil
	}
	p.pos++
	start := p.pos
	name := p.word()
	if !attributeName(name) {
		p.pos = start
		return nil, nil, p.fail("%s is not an attribute name", strconv.Quote(clip(name)))
	}
	return x, &name, nil
}

func (p *parser) word() string {
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n()[]\"", p.text[p.pos]) < 0 {
		p.pos++
	}
	return p.text[start:p.pos]
}

// attributePath reads [URI ":"] name ["." sub-attribute]. What follows the last colon is the name;
// whether the URI is one of ours, and whether it did not rather swallow the name, is for Resolve to
// say, which knows the schemas.
func (p *parser) attributePath() (ast.AttributePath, error) {
	p.space()
	start := p.pos
	path := ast.AttributePath{AttributeName: p.word()}
	if path.AttributeName == "" {
		return path, p.fail("an attribute name is missing before %s", p.here())
	}
	if i := strings.LastIndexByte(path.AttributeName, ':'); i >= 0 {
		uri := path.AttributeName[:i]
		path.URIPrefix, path.AttributeName = &uri, path.AttributeName[i+1:]
		if !uriPrefix(uri) {
			p.pos = start
			return path, p.fail("%s is not a schema URI", strconv.Quote(clip(uri)))
		}
	}
	if name, sub, ok := strings.Cut(path.AttributeName, "."); ok {
		path.AttributeName, path.SubAttribute = name, &sub
	}
	if !attributeName(path.AttributeName) || path.SubAttribute != nil && !attributeName(*path.SubAttribute) {
		bad := p.text[start:p.pos]
		p.pos = start
		return path, p.fail("%s is not an attribute path", strconv.Quote(clip(bad)))
	}
	return path, nil
}

// attributeName checks ATTRNAME of RFC 7643 section 2.1, with the "$" of "$ref" beside it.
func attributeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '$' && i == 0 && len(s) > 1:
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '_'):
		default:
			return false
		}
	}
	return s != ""
}

func uriPrefix(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || strings.IndexByte(":-._~/%+", c) >= 0):
		default:
			return false
		}
	}
	return s != ""
}

var operators = map[string]ast.CompareOperator{
	"pr": ast.PR, "eq": ast.EQ, "ne": ast.NE, "co": ast.CO, "sw": ast.SW, "ew": ast.EW,
	"gt": ast.GT, "ge": ast.GE, "lt": ast.LT, "le": ast.LE,
}

func (p *parser) comparison(path ast.AttributePath) (ast.Expression, error) {
	if p.terms++; p.terms > maxFilterTerms {
		return nil, p.fail("more than %d comparisons", maxFilterTerms)
	}
	p.space()
	start := p.pos
	word := p.word()
	op, ok := operators[lower(word)]
	if !ok {
		p.pos = start
		return nil, p.fail("%s is not an operator", p.here())
	}
	if op == ast.PR {
		return &ast.AttributeExpression{AttributePath: path, Operator: op}, nil
	}
	if p.space(); p.pos == start+len(word) {
		return nil, p.fail("a blank is missing after %s", word)
	}
	v, err := p.literal()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.text) && strings.IndexByte(" \t\r\n)]", p.text[p.pos]) < 0 {
		return nil, p.fail("unexpected %s after a value", p.here())
	}
	return &ast.AttributeExpression{AttributePath: path, Operator: op, CompareValue: v}, nil
}

// literal reads a JSON value that is not a list or object. Words are taken in any case, as the
// operators are.
func (p *parser) literal() (any, error) {
	if p.at('"') {
		s, n, ok := scanString(p.text[p.pos:])
		if !ok {
			return nil, p.fail("a string is not well formed")
		}
		p.pos += n
		return s, nil
	}
	start := p.pos
	word := p.word()
	switch lower(word) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	if v, ok := exactNumber(word); ok && numberLength(word) == len(word) {
		return v, nil
	}
	p.pos = start
	if word == "" {
		return nil, p.fail("a value is missing before %s", p.here())
	}
	if numberLength(word) == len(word) {
		return nil, p.fail("%s is no number that can be compared exactly", strconv.Quote(clip(word)))
	}
	return nil, p.fail("%s is no value (a string stands in quotation marks)", strconv.Quote(clip(word)))
}

// printExpression prints an expression so that parsing it gives the same again. The printer of the
// AST's own package drops the parentheses of an "or" under a chain of "and", and quotes as Go does.
func printExpression(x ast.Expression) string {
	var b strings.Builder
	writeExpression(&b, x)
	return b.String()
}

func writeExpression(b *strings.Builder, x ast.Expression) {
	switch x := x.(type) {
	case *ast.LogicalExpression:
		for i, side := range []ast.Expression{x.Left, x.Right} {
			if i == 1 {
				b.WriteString(" " + string(x.Operator) + " ")
			}
			// An operand that is a chain itself needs parentheses where the grammar would read it
			// otherwise: an "or" under "and", and any chain on the right, which is read leftwards.
			l, ok := side.(*ast.LogicalExpression)
			if ok && (x.Operator == ast.AND && l.Operator == ast.OR || i == 1 && l.Operator == x.Operator) {
				b.WriteString("(")
				writeExpression(b, side)
				b.WriteString(")")
				continue
			}
			writeExpression(b, side)
		}
	case *ast.NotExpression:
		b.WriteString("not (")
		writeExpression(b, x.Expression)
		b.WriteString(")")
	case *ast.ValuePath:
		b.WriteString(x.AttributePath.String() + "[")
		writeExpression(b, x.ValueFilter)
		b.WriteString("]")
	case *ast.AttributeExpression:
		b.WriteString(x.AttributePath.String() + " " + string(x.Operator))
		if x.Operator != ast.PR {
			b.WriteString(" " + printLiteral(x.CompareValue))
		}
	}
}

func printLiteral(v any) string {
	if f, ok := v.(float64); ok {
		// A fraction or exponent is kept, so that the text reads back as the same type.
		s := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings, booleans, integers and nil always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}
