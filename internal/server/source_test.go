package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// source is what runs in a node, by file: no tests, no generated pages, nothing that stands beside the house.
var source = sync.OnceValues(func() (map[string]*ast.File, error) {
	root, files := filepath.Join("..", ".."), map[string]*ast.File{}
	for _, dir := range []string{"internal", "oidc", "scim", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_templ.go") {
				return err
			}
			for _, beside := range []string{"internal/bench/", "internal/demo/", "internal/simulate/", "internal/scimcheck/", "internal/standards/", "test/"} {
				if strings.Contains(name, beside) {
					return nil
				}
			}
			files[name], err = parser.ParseFile(token.NewFileSet(), path, nil, 0)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
})

// inspect shows every node of the source with its file.
func inspect(t *testing.T, see func(file string, n ast.Node)) {
	t.Helper()
	files, err := source()
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			see(name, n)
			return true
		})
	}
}

// called is the last name of an expression: what it says it is.
func called(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return called(e.Fun)
	case *ast.IndexExpr:
		return called(e.X)
	case *ast.ParenExpr:
		return called(e.X)
	case *ast.StarExpr:
		return called(e.X)
	}
	return ""
}

var secretName = regexp.MustCompile(`(?i)(secret|password|pass$|hash|token|handle|nonce|verifier|digest|challenge|fingerprint|sealed|mac$|pin$)`)

// Negative case 183: a secret is compared in a time that says nothing of it. So what is called like one is compared with another by
// == or bytes.Equal nowhere but here, where the time tells nothing.
func TestSecrets_183_AreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	harmless := map[string]string{
		"internal/signin/domain.go r challenge":                   "a domain's record is published",
		"internal/signin/idtoken.go hash accessTokenHash":         "part of the token that is judged, by whoever holds both",
		"internal/signin/invitation.go TokenHash InvitationHash":  "SHA-256 of 256 random bits, both out of the store",
		"internal/store/invitation.go TokenHash TokenHash":        "SHA-256 of 256 random bits",
		"internal/signin/local.go now hash":                       "the same row read twice",
		"internal/store/connection.go ClientSecret ClientSecret":  "both sealed, out of the store and a file",
		"internal/store/saml_metadata.go Declined Fingerprint":    "of a published document",
		"internal/store/saml_metadata.go Fingerprint fingerprint": "of a published document",
		"internal/store/directory_token.go ID token":              "a row's id",
		"internal/apply/apply.go string secret":                   "an operator's file with what it said before",
		"internal/apply/declare.go secret string":                 "an operator's file with what it said before",
		"internal/apply/webhook.go string secrets":                "an operator's file with what it said before",
		"internal/saml/renew.go Fingerprint fingerprint":          "of a published certificate",
		"internal/console/operatorfactor.go Hash here":            "SHA-256 of handles, of an operator's own sessions",
		"internal/saml/logout.go relayState Handle":               "a string with itself",
		"internal/saml/request.go RelayState Handle":              "a string with itself",
	}
	met := map[string]bool{}
	constant := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.BasicLit:
			return true
		case *ast.Ident:
			if e.Name == "nil" || e.Name == "true" || e.Name == "false" {
				return true
			}
		case *ast.CallExpr:
			return called(e.Fun) == "len"
		}
		// The names of a set of values: session.ForConsole, store.TokenFromFile.
		name := called(e)
		return name != "" && regexp.MustCompile(`^(Token(Good|Expired|Unknown|FromFile)|Token|Secret(Post|Basic)|Grant[A-Z].*|Code[A-Z].*|FlagValueToken|InvalidToken|ErrAbortHandler)$`).MatchString(name) &&
			!strings.HasSuffix(name, "Hash")
	}
	inspect(t, func(file string, n ast.Node) {
		var x, y ast.Expr
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				x, y = n.X, n.Y
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 2 && (called(s.X) == "bytes" && s.Sel.Name == "Equal" || called(s.X) == "strings" && s.Sel.Name == "EqualFold") {
				x, y = n.Args[0], n.Args[1]
			}
		}
		if x == nil || constant(x) || constant(y) || !secretName.MatchString(called(x)) && !secretName.MatchString(called(y)) {
			return
		}
		what := file + " " + called(x) + " " + called(y)
		if _, ok := harmless[what]; !ok {
			t.Errorf("%s: what is called like a secret is compared byte by byte", what)
		}
		met[what] = true
	})
	for what := range harmless {
		if !met[what] {
			t.Errorf("%s: nothing of the kind is there", what)
		}
	}
	// And this is where secrets are compared.
	constantTime := map[string]bool{}
	inspect(t, func(file string, n ast.Node) {
		if s, ok := n.(*ast.SelectorExpr); ok && (called(s.X) == "subtle" && s.Sel.Name == "ConstantTimeCompare" || called(s.X) == "hmac" && s.Sel.Name == "Equal") {
			constantTime[file] = true
		}
	})
	for _, file := range []string{
		"internal/seal/seal.go", "internal/password/password.go", "internal/mfa/code.go", "internal/provisioning/provisioning.go",
		"internal/signin/idtoken.go", "oidc/logout.go",
	} {
		if !constantTime[file] {
			t.Errorf("%s compares no secret in constant time", file)
		}
	}
}

// Negative case 180: whatever leaves the house goes through the one guard of outgoing requests, whoever asks for it. A second client
// would be a way to addresses that only this server can reach.
func TestRequests_180_LeaveByTheGuardAlone(t *testing.T) {
	t.Parallel()
	inspect(t, func(file string, n ast.Node) {
		if file == "internal/netguard/netguard.go" {
			return
		}
		switch n := n.(type) {
		case *ast.CompositeLit:
			s, ok := n.Type.(*ast.SelectorExpr)
			if ok && (called(s.X) == "http" && (s.Sel.Name == "Client" || s.Sel.Name == "Transport") || called(s.X) == "net" && s.Sel.Name == "Dialer") {
				t.Errorf("%s makes a %s of its own", file, s.Sel.Name)
			}
		case *ast.SelectorExpr:
			if called(n.X) == "http" && slices.Contains([]string{"Get", "Post", "PostForm", "Head", "DefaultClient", "DefaultTransport"}, n.Sel.Name) {
				t.Errorf("%s uses http.%s", file, n.Sel.Name)
			}
		}
	})
}

// Negative case 177: no cookie of the house is read by a script, or sent in a form of another site.
func TestCookies_177_EachIsMadeWithItsFlags(t *testing.T) {
	t.Parallel()
	found, later := 0, map[string]bool{} // where Secure is set after the cookie is made
	inspect(t, func(file string, n ast.Node) {
		if a, ok := n.(*ast.AssignStmt); ok && slices.ContainsFunc(a.Lhs, func(e ast.Expr) bool { return called(e) == "Secure" }) {
			later[file] = true
		}
	})
	inspect(t, func(file string, n ast.Node) {
		c, ok := n.(*ast.CompositeLit)
		if !ok {
			return
		}
		if s, ok := c.Type.(*ast.SelectorExpr); !ok || called(s.X) != "http" || s.Sel.Name != "Cookie" {
			return
		}
		found++
		set := map[string]string{}
		for _, e := range c.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				value := called(kv.Value)
				if lit, ok := kv.Value.(*ast.BasicLit); ok {
					value = lit.Value
				}
				set[called(kv.Key)] = value
			}
		}
		if set["HttpOnly"] != "true" || !strings.HasPrefix(set["Path"], `"/`) || set["Domain"] != "" ||
			!slices.Contains([]string{"SameSiteLaxMode", "SameSiteStrictMode"}, set["SameSite"]) || set["Secure"] == "" && !later[file] || set["Secure"] == "false" {
			t.Errorf("%s: a cookie with %v", file, set)
		}
	})
	if found < 4 {
		t.Errorf("only %d cookies were found", found)
	}
}
