package server

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vestibule-id/vestibule/"

// floors are those of ARCHITECTURE.md. Imports point down only; on floor 5 nobody imports a neighbour, below it a neighbour
// may be used, since Go itself refuses a circle.
var floors = map[string]int{
	"cmd/vestibule": 7,

	"internal/server": 6,

	"internal/provisioning": 5, "internal/signin": 5, "internal/issuing": 5, "internal/decision": 5, "internal/adminapi": 5, "internal/console": 5,
	"internal/apply": 5, "internal/job": 5, "internal/demo": 5,
	"internal/simulate": 5, "internal/scimcheck": 5,

	"internal/store": 4,

	"internal/directory": 3, "internal/access": 3, "internal/connection": 3, "internal/application": 3,
	"internal/invitation": 3, "internal/notification": 3,
	"internal/mfa": 3, "internal/expiry": 3,

	"internal/session": 2, "internal/audit": 2, "internal/outbox": 2,

	"internal/fault": 1, "internal/id": 1, "internal/seal": 1, "internal/config": 1, "internal/netguard": 1, "internal/page": 1,
	"internal/saml": 1, "internal/password": 1, "internal/mail": 1,

	"scim": 0, "oidc": 0, "migrations": 0, // these know nothing of ours at all
}

// beside are programs and helpers of tests: outside the house, imported by none of it.
var beside = []string{"internal/bench", "internal/standards", "internal/store/storetest", "scim/scimtest", "internal/saml/samltest", "e2e", "tools"}

// leaks says of a library which packages may know of it: that its types go no further is what makes it replaceable.
var leaks = map[string][]string{
	"github.com/jackc/pgx":              {"internal/store"},
	"modernc.org/sqlite":                {"internal/store"},
	"github.com/pressly/goose":          {"internal/store"},
	"database/sql":                      {"internal/store"},
	"github.com/elimity-com/scim":       {"scim"},
	"github.com/scim2/filter-parser":    {"scim"},
	"github.com/zitadel/oidc":           {"oidc", "internal/signin"},
	"github.com/crewjam/saml":           {"internal/saml"},
	"github.com/russellhaering":         {"internal/saml"},
	"github.com/beevik/etree":           {"internal/saml"},
	"github.com/go-jose/go-jose":        {"oidc", "internal/signin", "internal/issuing", "internal/provisioning", "internal/demo"},
	"github.com/danielgtaylor/huma":     {"internal/adminapi"},
	"github.com/goccy/go-yaml":          {"internal/apply", "internal/config"},
	"github.com/alecthomas/kong":        {"cmd/vestibule", "internal/config"},
	"github.com/prometheus":             {"internal/server"},
	"github.com/a-h/templ":              {"internal/page", "internal/console", "internal/signin"},
	"github.com/wneessen/go-mail":       {"internal/mail"},
	"github.com/go-webauthn/webauthn":   {"internal/mfa"},
	"github.com/pquerna/otp":            {"internal/mfa"},
	"golang.org/x/crypto/argon2":        {"internal/password"},
	"github.com/go-chi/chi":             {"internal/server", "internal/console", "internal/signin", "internal/provisioning", "internal/issuing", "internal/decision", "internal/adminapi", "scim", "oidc"},
	module + "internal/store/storetest": {},
}

func TestImports_PointDownOnly(t *testing.T) {
	t.Parallel()
	for pkg, imports := range importsOf(t) {
		floor, known := floors[pkg]
		if !known {
			if !belongs(beside, pkg) {
				t.Errorf("%s stands on no floor: give it one here and in ARCHITECTURE.md", pkg)
			}
			continue
		}
		for _, path := range imports {
			other, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			theirs, known := floors[other]
			switch {
			case !known:
				t.Errorf("%s imports %s, which stands beside the house", pkg, other)
			case floor == 0:
				t.Errorf("%s imports %s; a stranger could not use it alone", pkg, other)
			case theirs > floor:
				t.Errorf("%s (floor %d) imports %s (floor %d): imports point down", pkg, floor, other, theirs)
			case theirs == floor && floor == 5:
				t.Errorf("%s imports its neighbour %s", pkg, other)
			}
		}
	}
}

func TestImports_LibrariesDoNotLeak(t *testing.T) {
	t.Parallel()
	for pkg, imports := range importsOf(t) {
		if belongs(beside, pkg) {
			continue
		}
		for _, path := range imports {
			for library, allowed := range leaks {
				if (path == library || strings.HasPrefix(path, library+"/")) && !slices.Contains(allowed, pkg) {
					t.Errorf("%s imports %s, which only %v may know", pkg, path, allowed)
				}
			}
		}
	}
}

// A library that brings the profiler opens its doors on the default mux, and has the runtime note where memory is taken.
func TestImports_NoProfiler(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/vestibule")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := strings.Fields(string(out))
	if !slices.Contains(all, "net/http") {
		t.Fatal("the program's packages were not found")
	}
	for _, path := range []string{"net/http/pprof", "runtime/pprof"} {
		if slices.Contains(all, path) {
			t.Errorf("the program holds %s", path)
		}
	}
}

func belongs(list []string, pkg string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") })
}

// importsOf gives what each package of the module imports, its tests aside.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p.Imports
	}
	if len(all) < len(floors)/2 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}
