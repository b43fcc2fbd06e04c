package mail_test

import (
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/mail"
)

// values is a letter's data with a hostile text for every string.
func values(hostile string) map[string]any {
	data := map[string]any{"Minutes": 10, "Days": 3, "Count": 12, "Again": true, "Operator": false, "Roles": []string{hostile}, "Changes": []string{hostile}}
	for _, name := range []string{
		"Organization", "Inviter", "Until", "Code", "NewEmail", "At", "What", "IP", "Device", "By", "Who", "Note", "On", "Then",
		"Directory", "Since", "Purpose",
	} {
		data[name] = hostile
	}
	data["Link"] = "https://id.example/invitation/northwind/token"
	return data
}

var all = []mail.Template{
	mail.Invitation, mail.PasswordReset, mail.SignInCode, mail.VerifyEmail, mail.EmailChanged, mail.SecurityNotice, mail.AccessChanged,
	mail.NeedsRoles, mail.ExpiryWarning, mail.DirectorySilent, mail.Expired, mail.DirectoryBack, mail.BrakeWave, mail.Conflict, mail.SetupLink, mail.Trial,
}

// Catalogue 181: a name that breaks lines, opens tags or looks like a button is a name.
func TestWrite_NoValueBecomesAHeaderAParagraphOrAButton(t *testing.T) {
	t.Parallel()
	const hostile = "Eve\r\nBcc: everybody@evil.example\r\n\r\n-> Click: https://evil.example\n<script>alert(1)</script>\u202eevil{{.Link}}"
	for _, name := range all {
		m, err := mail.Letter{
			Template: name, To: mail.Address{Name: hostile, Email: "dana@northwind.example"}, Data: values(hostile),
		}.Write()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for what, s := range map[string]string{"subject": m.Subject, "name": m.To.Name} {
			if strings.ContainsAny(s, "\r\n\u202e") {
				t.Errorf("%s: the %s is %q", name, what, s)
			}
		}
		kind, err := mail.Letter{Template: name, To: mail.Address{Name: "Eve", Email: "dana@northwind.example"}, Data: values("Eve")}.Write()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(m.Text, "\n\n"), strings.Count(kind.Text, "\n\n"); got != want {
			t.Errorf("%s: the text has %d paragraphs instead of %d:\n%s", name, got+1, want+1, m.Text)
		}
		if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, `href="https://evil.example`) || strings.Contains(m.HTML, "ZgotmplZ") {
			t.Errorf("%s: the HTML is %s", name, m.HTML)
		}
		if m.Subject == "" || len(m.Text) < 40 {
			t.Errorf("%s: subject %q, text %q", name, m.Subject, m.Text)
		}
	}
}

func TestWrite_LeavesOutWhatIsEmptyAndRefusesWhatIsMissing(t *testing.T) {
	t.Parallel()
	data := values("x")
	data["Note"], data["Roles"] = "", []string{}
	m, err := mail.Letter{Template: mail.Invitation, To: mail.Address{Email: "dana@northwind.example"}, Data: data}.Write()
	if err != nil || strings.Contains(m.Text, "With it you get") || !strings.Contains(m.Text, "Hello,") {
		t.Errorf("got %q, %v", m.Text, err)
	}
	if !strings.Contains(m.Text, "\nhttps://id.example/invitation/northwind/token\n") {
		t.Errorf("the link does not stand alone: %q", m.Text)
	}
	delete(data, "Inviter")
	if _, err := (mail.Letter{Template: mail.Invitation, To: mail.Address{Email: "dana@northwind.example"}, Data: data}).Write(); err == nil {
		t.Error("a letter without its inviter was written")
	}
	data = values("x")
	for _, link := range []string{"javascript:alert(1)", "/relative", "data:text/html,x"} {
		data["Link"] = link
		if _, err := (mail.Letter{Template: mail.Invitation, To: mail.Address{Email: "dana@northwind.example"}, Data: data}).Write(); err == nil {
			t.Errorf("the link %s was written", link)
		}
	}
	if _, err := (mail.Letter{Template: "nothing", To: mail.Address{Email: "dana@northwind.example"}}).Write(); err == nil {
		t.Error("a letter that does not exist was written")
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"dana@northwind.example":          "dana@northwind.example",
		"  dana+x@northwind.example ":     "dana+x@northwind.example",
		"o'brien@northwind.example":       "o'brien@northwind.example",
		"jürgen@münchen.example":          "jürgen@münchen.example",
		"operator@localhost":              "operator@localhost",
		"":                                "",
		"dana":                            "",
		"@northwind.example":              "",
		"dana@":                           "",
		"dana@northwind":                  "",
		"dana@-northwind.example":         "",
		"dana@northwind..example":         "",
		"dana@[192.0.2.1]":                "",
		`"dana"@northwind.example`:        "",
		"Dana <dana@northwind.example>":   "",
		"a@b.example,c@d.example":         "",
		"a@b.example\r\nBcc: c@d.example": "",
		"da\u200bna@northwind.example":    "",
		strings.Repeat("a", 250) + "@northwind.example": "",
	} {
		got, err := mail.ParseAddress(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
		if err != nil && (fault.KindOf(err) != fault.Invalid || strings.ContainsAny(fault.As(err).Message, "\r\n")) {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("dana@northwind.example")
	f.Add("a@b.example\r\nBcc: c@d.example")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := mail.ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := mail.ParseAddress(got); err != nil || again != got || strings.ContainsAny(got, "\r\n <>,;\"") {
			t.Errorf("%q: got %q, then %q, %v", s, got, again, err)
		}
	})
}
