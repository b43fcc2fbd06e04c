package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

// The few pages shown here: a refusal that must not leave, the question before a sign-out, the word
// that it is done, and the form that carries an answer by POST. Everything else is the owner's, and so is
// their look: Options.Stylesheet, with the classes lobby, card, lead, actions, primary and code-line.

var pages = template.Must(template.New("").Parse(`
{{define "head"}}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
{{with .Stylesheet}}<link rel="stylesheet" href="{{.}}">{{end}}
</head>
<body>
<div class="lobby">
<main class="card" id="main">
<h1>{{.Title}}</h1>
{{end}}
{{define "foot"}}</main>
</div>
</body>
</html>
{{end}}
{{define "message"}}{{template "head" .}}<p class="lead">{{.Message}}</p>
{{with .Code}}<dl class="code-line"><dt>Code</dt><dd><code>{{.}}</code></dd></dl>{{end}}
{{with .Link}}<p class="actions"><a class="button" href="{{.}}">Continue</a></p>{{end}}
{{template "foot" .}}{{end}}
{{define "confirm"}}{{template "head" .}}<p class="lead">{{.Message}}</p>
<form method="post" action="{{.Action}}">
{{range $name, $value := .Fields}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<p class="actions"><button class="primary wide" type="submit">Sign out</button></p>
</form>
{{template "foot" .}}{{end}}
{{define "form_post"}}<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Continue</title></head>
<body>
<form method="post" action="{{.Action}}">
{{range $name, $value := .Fields}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<noscript><button type="submit">Continue</button></noscript>
</form>
<script>` + submitScript + `</script>
</body>
</html>
{{end}}`))

// submitScript is the whole script of the form_post page; the policy admits it by its hash.
const submitScript = `document.forms[0].submit()`

var submitHash = func() string {
	sum := sha256.Sum256([]byte(submitScript))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

type pageData struct {
	Title, Message, Code, Stylesheet string
	Action, Link                     template.URL
	Fields                           map[string]string
}

func (p *Provider) render(w http.ResponseWriter, r *http.Request, status int, name, policy string, data pageData) {
	data.Stylesheet = p.stylesheet
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, data); err != nil {
		p.report(r, err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "+policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

const plainPolicy = "style-src 'self'; img-src 'self'; form-action 'none'"

// errorPage words a protocol error for the person who meets it, who can do nothing about it but tell
// somebody.
func errorPage(e *Error) *PageError {
	return &PageError{
		Status: e.status(), Title: "This request cannot be answered",
		Message: e.Description + " Go back and try again; if it happens again, tell whoever runs the application.",
	}
}

func (p *Provider) page(w http.ResponseWriter, r *http.Request, e *PageError) {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	p.render(w, r, status, "message", plainPolicy, pageData{Title: e.Title, Message: e.Message, Code: e.Code})
}

func (p *Provider) pageFailure(w http.ResponseWriter, r *http.Request, err error) {
	p.report(r, err)
	p.page(w, r, &PageError{
		Status: http.StatusInternalServerError, Title: "Something went wrong on our side",
		Message: "Nothing was changed. Go back and try again.",
	})
}

// signedOut says that it is done, and leads on to the application if there is where to. That is a page of
// its own and not a redirect: browsers apply the confirm form's policy to every redirect that follows its
// submit, and where the application sends them next nobody can know.
func (p *Provider) signedOut(w http.ResponseWriter, r *http.Request, location string) {
	data := pageData{Title: "You are signed out", Message: "You can close this window."}
	if location != "" {
		w.Header().Set("Refresh", "0; url="+location)
		data.Message = "You are being taken back to the application."
		data.Link = template.URL(location)
	}
	p.render(w, r, http.StatusOK, "message", plainPolicy, data)
}

// confirmLogout asks.
func (p *Provider) confirmLogout(w http.ResponseWriter, r *http.Request, t logoutTarget, q params, value string) {
	fields := map[string]string{"confirm": value}
	for _, name := range []string{"id_token_hint", "post_logout_redirect_uri", "state", "client_id"} {
		if q.has(name) {
			fields[name] = q[name]
		}
	}
	message := "You are about to sign out here and of every application you opened from here."
	if t.client != nil {
		message = t.client.Name + " asks to sign you out. You would be signed out here and of every application you opened from here."
	}
	p.render(w, r, http.StatusOK, "confirm", "style-src 'self'; img-src 'self'; form-action 'self'", pageData{
		Title: "Sign out?", Message: message, Action: PathEndSession, Fields: fields,
	})
}

// formPost answers by a form that sends itself (OAuth 2.0 Form Post Response Mode). The values are
// escaped by the template; the target is a registered redirect URI and taken as it is.
func (p *Provider) formPost(w http.ResponseWriter, r *http.Request, uri string, answer url.Values) {
	fields := make(map[string]string, len(answer))
	for name := range answer {
		fields[name] = answer.Get(name)
	}
	policy := "script-src 'sha256-" + submitHash + "'; form-action " + originOf(uri)
	p.render(w, r, http.StatusOK, "form_post", policy, pageData{
		Action: template.URL(uri),
		Fields: fields,
	})
}

func originOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "'none'"
	}
	if u.Host == "" {
		return u.Scheme + ":" // an app's private scheme (RFC 8252 section 7.1)
	}
	return u.Scheme + "://" + u.Host
}
