// Package console is everything at `/`: the pages by which people see and change who may do what.
//
// Pages are rendered on the server and work without script; htmx only saves reloads. A page is one read transaction: who
// is looking, what they may see, and what there is to see. A change is one writing transaction with its audit event, then a
// redirect to the page that shows the result.
//
// Two sorts of people come here. The operator has a session of its own and sees every organization. A user comes through
// its organization's sign-in, and everything it sees and does goes through access: each page asks for the one permission it
// needs, and what reaches only part of the organization shows only that part. The address of a page names its organization,
// so two tabs can differ and no page of one organization turns into another's.
package console

import (
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Console serves the pages.
type Console struct {
	DB  *store.DB
	Log *slog.Logger
	// URL is the public base URL, as people and applications reach this installation.
	URL string
	// From gives the address a request came from and its id in the log.
	From func(*http.Request) (ip, request string)
	// Reports counts what browsers report against the pages' policy.
	Reports *page.Reports
	// Mail says what becomes of letters.
	Mail *mail.Mailer
	// CheckDomain asks a claimed domain's zone for its proof.
	CheckDomain CheckDomain
	// Provisioning runs requests in a directory's place.
	Provisioning Provisioning
	// Metadata asks a SAML provider for its metadata out of turn.
	Metadata AskMetadata
	// OperatorMFA says that operators need a second factor.
	OperatorMFA bool

	passkeys *mfa.Passkeys // none at an address for which browsers know none
}

// Mount adds the console's routes.
func (c *Console) Mount(r chi.Router) {
	var err error
	if c.passkeys, err = mfa.NewPasskeys(c.URL); err != nil {
		panic("console: " + err.Error()) // the public URL was checked at the start
	}
	r.Handle(page.AssetsPath+"*", page.Assets())
	r.Method(http.MethodPost, page.ReportPath, c.Reports)
	r.Group(func(r chi.Router) {
		r.Use(page.Headers, c.sameOrigin)
		r.Get("/", c.show(c.home))
		r.Get("/setup", c.show(c.setup))
		r.Post("/setup", c.show(c.claim))
		r.Get("/operator/signin", c.show(c.operatorSignIn))
		r.Post("/operator/signin", c.show(c.operatorEnter))
		r.Post("/operator/signout", c.show(c.operatorLeave))
		r.Get("/operator/log", c.show(c.operatorLog))
		r.Get("/operator/starter", c.show(c.starterFile))
		c.mountOperatorFactors(r)
		c.mountMailbox(r)
		c.mountSetupGuide(r)
		r.Route("/o/{organization}", c.organization)
	})
}

// organization adds the pages of one organization.
func (c *Console) organization(r chi.Router) {
	r.Use(c.freshFirst)
	r.Get("/", c.view("overview", "Overview", c.overview))
	r.Get("/me/proved", c.show(c.proved))
	r.Post("/signout", c.show(c.leave))
	r.Get("/me", c.view("me", "My access", c.me))
	r.Post("/me/sessions/{session}/end", c.change(c.endOwnSession))
	c.mountAccount(r)
	r.Get("/inbox", c.view("inbox", "Needs roles", c.inbox))
	r.Get("/inbox/settle", c.view("inbox", "Leave all as is", c.confirmSettleAll))
	r.Post("/inbox/settle", c.change(c.settleAll))
	r.Get("/users", c.view("users", "Users", c.users))
	r.Get("/users/give", c.view("users", "Give several people roles", c.giveSeveralDialog))
	r.Post("/users/give", c.show(c.save("users", c.chooseForSeveral)))
	r.Route("/users/{user}", func(r chi.Router) {
		r.Get("/", c.view("users", "User", c.user))
		r.Get("/groups", c.view("users", "User", c.userGroups))
		r.Get("/identities", c.view("users", "User", c.userIdentities))
		r.Get("/sessions", c.view("users", "User", c.userSessions))
		r.Post("/sessions/{session}/end", c.change(c.endSession))
		r.Get("/activity", c.view("users", "User", c.userActivity))
		r.Get("/do/{act}", c.view("users", "User", c.confirmAct))
		r.Post("/do/{act}", c.change(c.doAct))
		r.Post("/settle", c.change(c.settle))
		r.Post("/carry", c.change(c.carry))
		r.Get("/give", c.view("users", "Give roles", c.giveDialog))
		r.Post("/give", c.show(c.save("users", c.choose)))
		r.Get("/grants/{grant}/remove", c.view("users", "Take a role away", c.removeDialog))
		r.Post("/grants/{grant}/remove", c.change(c.remove))
		r.Get("/restrict", c.view("users", "Restrict", c.restrictDialog))
		r.Post("/restrict", c.change(c.restrict))
		r.Post("/restrictions/{restriction}/lift", c.change(c.lift))
	})
	c.mountGroups(r)
	c.mountInvitations(r)
	c.mountNotifications(r)
	r.Get("/resources", c.view("resources", "Resources", c.resources))
	c.mountRoles(r)
	r.Get("/directories", c.view("directories", "Directories", c.directories))
	c.mountRequests(r)
	c.mountTokens(r)
	c.mountLocal(r)
	c.mountDrift(r)
	c.mountCalendar(r)
	c.mountConnections(r)
	c.mountSAML(r)
	c.mountSetupLinks(r)
	c.mountProviders(r)
	r.Get("/applications", c.view("applications", "Applications", c.applications))
	r.Get("/conflicts", c.view("conflicts", "Conflicts", c.conflictList))
	r.Post("/conflicts/{conflict}", c.change(c.decide))
	r.Get("/audit", c.view("audit", "Audit log", c.log))
	r.Get("/audit.csv", c.show(c.logCSV))
	r.NotFound(c.show(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.NotFound, "There is no page at this address.")
	}))
}

// handler answers a request, or an error, which becomes a page.
type handler func(w http.ResponseWriter, r *http.Request) error

func (c *Console) show(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Forms are small; a body of any size is an attack on memory.
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		if err := h(w, r); err != nil {
			// The start page leads whoever asks to what they may open.
			back, where := "/", "To the start page"
			if r.URL.Path == back {
				back = ""
			}
			page.RefuseBack(w, r, c.Log, err, back, where)
		}
	}
}

// sameOrigin refuses a form that another site's page sends with this browser's cookies (CSRF), by what the browser itself
// says about the sender; no token to carry along.
func (c *Console) sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	// Behind a proxy the Host a node sees may not be the public one.
	if err := guard.AddTrustedOrigin(c.URL); err != nil {
		panic("console: the public URL " + c.URL + " is not an origin: " + err.Error())
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.Refuse(w, r, c.Log, fault.New(fault.Forbidden,
			"This form was sent from another site's page, so nothing was done. Open the page here and send it again."))
	}))
	return guard.Handler(next)
}

func (c *Console) cookies() session.Cookies { return session.For(c.URL) }

// from is an actor that is not known yet: where the request comes from.
func (c *Console) from(r *http.Request) audit.Actor {
	ip, request := c.From(r)
	return audit.Actor{Kind: audit.ActorSystem, Door: audit.Console, IP: ip, Request: request}
}
