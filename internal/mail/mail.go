// Package mail writes letters to people and hands them to a mail server.
//
// A letter is a template and its values. Whoever has something to say posts one in the transaction of the change
// (store.Tx.PostLetter): it is written out there, so that a wrong template or a missing value fails the test of who posts
// it, and lies sealed in the outbox, since its link may be a credential. The job hands it to the Mailer, again and again
// until the mail server has taken it.
//
// A template is one file of plain text, from which both the text and the HTML of the letter are made. Its structure is read
// before any value is put in: a person who is called "\r\nBcc: everybody" or "-> Click: https://evil.example" is a person
// with an odd name and never a header, a paragraph or a button.
package mail

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/mail"
	"net/url"
	"strings"
	texttemplate "text/template"
	"unicode"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Template names a letter: a file templates/NAME.txt.
type Template string

// The letters, with the values each wants beside those of every letter: Organization (a name), and Name (of the recipient,
// may be empty). A Link is an absolute address. Times are written by When.
const (
	Invitation      Template = "invitation"       // Inviter, Link, Until, Roles []string, Again bool (sent once more: the earlier link is void)
	PasswordReset   Template = "password-reset"   // Link, Until
	SignInCode      Template = "sign-in-code"     // Code, Minutes
	VerifyEmail     Template = "verify-email"     // Link, Until; it goes to the new address
	EmailChanged    Template = "email-changed"    // NewEmail, At, Link; it goes to the old address
	SecurityNotice  Template = "security-notice"  // What (a sentence: "A passkey was added."), At, IP, Device, Link
	AccessChanged   Template = "access-changed"   // By, Changes []string, Link
	NeedsRoles      Template = "needs-roles"      // Who ("Dana waits", "12 people wait"), Note, Link
	ExpiryWarning   Template = "expiry-warning"   // What ("The token of the directory entra"), On, Days int, Then (what happens), Link
	Expired         Template = "expired"          // What, On, Then, Link
	DirectorySilent Template = "directory-silent" // Directory, Since, Link
	DirectoryBack   Template = "directory-back"   // Directory, Since (the silence's beginning), Link
	BrakeWave       Template = "brake-wave"       // Directory, Count int, Link
	Conflict        Template = "conflict"         // What (a sentence), Link
	SetupLink       Template = "setup-link"       // Inviter, Purpose ("single sign-on"), Link, Until
	Trial           Template = "trial"            // nothing: the operator's "send me a letter"
)

// Letter is what is said to whom.
type Letter struct {
	Template Template
	To       Address
	Data     map[string]any // strings, numbers, booleans and lists of strings
}

// Address is a mailbox with the name of whom it belongs to.
type Address struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email"`
}

// Message is a letter written out, as it lies sealed in the outbox until it is sent.
type Message struct {
	Template Template `json:"template"`
	To       Address  `json:"to"`
	Subject  string   `json:"subject"`
	Text     string   `json:"text"`
	HTML     string   `json:"html"`
}

// Write writes a letter out. A value that the template wants and Data lacks is an error.
func (l Letter) Write() (Message, error) {
	t, known := letters[l.Template]
	if !known {
		return Message{}, fmt.Errorf("there is no letter %q", l.Template)
	}
	email, err := ParseAddress(l.To.Email)
	if err != nil {
		return Message{}, err
	}
	m := Message{Template: l.Template, To: Address{Name: Line(l.To.Name), Email: email}}
	data := map[string]any{"Name": m.To.Name, "Email": email}
	for k, v := range l.Data {
		data[k] = clean(v)
	}
	if err := t.write(&m, data); err != nil {
		return Message{}, fmt.Errorf("write the letter %s: %w", l.Template, err)
	}
	return m, nil
}

// maxAddress is RFC 5321 section 4.5.3.1.3 without the angle brackets.
const maxAddress = 254

// ParseAddress checks that s is one address and nothing else, and gives it without the white space around it. Quoted local
// parts and address literals are lawful, belong to nobody, and are where injections hide: they are refused.
func ParseAddress(s string) (string, error) {
	s = strings.TrimSpace(s)
	bad := func(why string) error {
		return fault.New(fault.Invalid, "%q is not an email address: %s.", short(Line(s)), why).WithCode("bad-address")
	}
	at := strings.LastIndexByte(s, '@')
	switch {
	case s == "":
		return "", fault.New(fault.Invalid, "An email address is wanted.").WithCode("bad-address")
	case !utf8.ValidString(s), strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || invisible(r) }):
		return "", bad("it holds a space or a character that cannot be seen")
	case len(s) > maxAddress:
		return "", bad("it is too long")
	case at < 1 || at == len(s)-1:
		return "", bad("something before and after one @ is wanted")
	case strings.ContainsAny(s, `"(),:;<>[]\`):
		return "", bad("it holds a character that addresses do not")
	}
	domain := s[at+1:]
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return "", bad("what stands after the @ is not a domain")
		}
	}
	if !strings.Contains(domain, ".") && domain != "localhost" {
		return "", bad("what stands after the @ is not a whole domain")
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s {
		return "", bad("it does not have the form name@example.com")
	}
	return s, nil
}

func short(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// Line makes any text fit for one line of a letter and for a header: what breaks lines, cannot be seen or turns the
// direction of writing becomes a space (CRLF injection: a name must not become a header).
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) || invisible(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// invisible reports what shows nothing and can make a text look like another: direction overrides and isolates, and
// characters of no width. The joiners of emoji and of scripts stay.
func invisible(r rune) bool {
	switch {
	case r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0x200b, r == 0x200e, r == 0x200f, r == 0xfeff, r == 0x2028, r == 0x2029:
		return true
	}
	return false
}

func clean(v any) any {
	switch v := v.(type) {
	case string:
		return Line(v)
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = Line(s)
		}
		return out
	default:
		return v
	}
}

// A template's file opens with "Subject: ..."; after it come blocks with an empty line between. A block is a paragraph; or a
// button, "-> words: {{.Link}}"; or a list of a value, "* {{.Roles}}"; or a code to be read, "# {{.Code}}"; or small print,
// "-- ...". A block in which nothing is left after its conditions is left out.
type letter struct {
	subject *texttemplate.Template
	blocks  []block
}

type block struct {
	kind byte // one of p > * # -
	// list names the value of which a list is made.
	list  string
	words *texttemplate.Template // of a paragraph, and of a button's words
	link  *texttemplate.Template
}

//go:embed templates/*.txt
var files embed.FS

var letters = parseAll()

func parseAll() map[Template]letter {
	out := map[Template]letter{}
	names, err := fs.Glob(files, "templates/*.txt")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		l, err := parse(string(text))
		if err != nil {
			panic(fmt.Sprintf("mail: %s: %v", name, err)) // the embedded files are part of the program
		}
		out[Template(strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".txt"))] = l
	}
	return out
}

func parse(text string) (letter, error) {
	var l letter
	head, body, _ := strings.Cut(strings.TrimSpace(text), "\n\n")
	subject, is := strings.CutPrefix(head, "Subject: ")
	if !is || strings.Contains(subject, "\n") {
		return l, fmt.Errorf("it must open with one line Subject: and an empty line")
	}
	var err error
	if l.subject, err = compile(subject); err != nil {
		return l, err
	}
	for text := range strings.SplitSeq(body, "\n\n") {
		b := block{kind: 'p'}
		// Lines of a paragraph are broken for the eye of who edits the file.
		text = strings.Join(strings.Fields(text), " ")
		switch {
		case text == "":
			continue
		case strings.HasPrefix(text, "-> "):
			words, link, found := strings.Cut(text[3:], ": ")
			if !found {
				return l, fmt.Errorf("a button is \"-> words: {{.Link}}\", not %q", text)
			}
			b.kind, text = '>', words
			if b.link, err = compile(link); err != nil {
				return l, err
			}
		case strings.HasPrefix(text, "* "):
			b.kind, b.list = '*', strings.TrimSuffix(strings.TrimPrefix(text[2:], "{{."), "}}")
		case strings.HasPrefix(text, "# "):
			b.kind, text = '#', text[2:]
		case strings.HasPrefix(text, "-- "):
			b.kind, text = '-', text[3:]
		}
		if b.words, err = compile(text); err != nil {
			return l, err
		}
		l.blocks = append(l.blocks, b)
	}
	return l, nil
}

func compile(text string) (*texttemplate.Template, error) {
	return texttemplate.New("").Option("missingkey=error").Parse(text)
}

// line is a block with its values in it.
type line struct {
	Kind, Words, Link string
	Items             []string
}

func (t letter) write(m *Message, data map[string]any) error {
	var err error
	if m.Subject, err = fill(t.subject, data); err != nil {
		return err
	}
	m.Subject = Line(m.Subject)
	var lines []line
	for _, b := range t.blocks {
		l := line{Kind: string(b.kind)}
		if b.list != "" {
			items, is := data[b.list].([]string)
			if !is {
				return fmt.Errorf("%s must be a list of strings", b.list)
			}
			if len(items) == 0 {
				continue
			}
			l.Items = items
		} else if l.Words, err = fill(b.words, data); err != nil {
			return err
		} else if l.Words = Line(l.Words); l.Words == "" {
			continue
		}
		if b.link != nil {
			if l.Link, err = fill(b.link, data); err != nil {
				return err
			}
			if l.Link == "" {
				continue
			}
			// A link that is not one would be text that a program makes clickable after all.
			if u, err := url.Parse(l.Link); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
				return fmt.Errorf("the link is not an absolute address")
			}
		}
		lines = append(lines, l)
	}
	m.Text = plainText(lines)
	var html bytes.Buffer
	if err := sheet.Execute(&html, map[string]any{"Subject": m.Subject, "Lines": lines}); err != nil {
		return err
	}
	m.HTML = html.String()
	return nil
}

func fill(t *texttemplate.Template, data map[string]any) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

func plainText(lines []line) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\n")
		}
		switch l.Kind {
		case ">":
			// The address stands alone on its line, so that no program takes a full stop for its end.
			b.WriteString(l.Words + ":\n" + l.Link + "\n")
		case "*":
			for _, item := range l.Items {
				b.WriteString("- " + item + "\n")
			}
		case "#":
			b.WriteString("    " + l.Words + "\n")
		case "-":
			if i > 0 && lines[i-1].Kind != "-" {
				b.WriteString("--\n")
			}
			b.WriteString(wrap(l.Words))
		default:
			b.WriteString(wrap(l.Words))
		}
	}
	return b.String()
}

// wrap breaks a paragraph at 76 characters, between words.
func wrap(s string) string {
	var b strings.Builder
	width := 0
	for word := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case width == 0:
		case width+1+n > 76:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	b.WriteByte('\n')
	return b.String()
}

//go:embed templates/sheet.html
var sheetText string

// sheet is what every letter's HTML looks like. Styles stand in attributes because many readers drop everything else; it
// fetches nothing, so that reading a letter tells nobody anything.
var sheet = htmltemplate.Must(htmltemplate.New("sheet").Option("missingkey=error").Parse(sheetText))
