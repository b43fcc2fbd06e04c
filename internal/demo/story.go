package demo

import (
	"fmt"
	"io"
)

// Tell prints where everything is, who can sign in, and a story to follow. Setup is the operator's one-time link.
func (w *World) Tell(out io.Writer, setup string) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	say("")
	say("  Vestibule is running with two companies in it, on a store that is thrown away at the end.")
	say("")
	say("    sample application   %s", w.Application)
	say("    Vestibule's console  %s", w.Vestibule)
	say("    identity provider    %s   (where people leave and come back)", w.Provider)
	say("    operator, once       %s", setup)
	say("")
	say("  People you can be (pick one at the identity provider; there are no passwords):")
	for _, c := range w.Companies {
		say("")
		say("    %s", c.Name)
		for _, p := range c.People {
			say("      %-12s %-26s %s", p.Name(), p.Email, p.Note)
		}
	}
	say("")
	say("  The story, in five minutes:")
	say("")
	say("    1. Ann was pushed. Open %s and choose \"Sign in through Northwind\";", w.Application)
	say("       be Ann. The application is told she is Asset Editor at london-1, through her group. Sign out.")
	say("    2. Nina was not pushed. Sign in again and be Nina: she is in, with the default role alone.")
	say("    3. In a second window (a private one, so that the first stays Nina's) open the operator's link above and")
	say("       choose a password. Nina stands in Northwind's inbox: give her Asset Editor at Berlin 1.")
	say("       (Olive may do that too: sign in at %s as olive@northwind.example.)", w.Vestibule)
	say("    4. In Nina's window press \"Refresh the token\": the role at berlin-1 is there. Sign out.")
	say("    5. Be Ann again. At %s press \"Ann leaves\", then refresh her token:", w.Provider)
	say("       refused in the same moment, and so is signing in.")
	say("    6. Be Leo, who left before, or Eve with her foreign address: a page says why, and the audit log in the")
	say("       console has the same code.")
	say("    7. \"Sign in through Fieldserv\" is the other company, whose provider speaks SAML instead of OpenID Connect.")
	say("       Be Fred: he is a viewer in Fieldserv, and sees nothing of Northwind.")
	say("")
	say("  Ctrl-C ends it all.")
	say("")
}
