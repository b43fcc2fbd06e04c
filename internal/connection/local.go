package connection

// Method is a way to sign in without a provider, by the name that an organization's settings use.
type Method string

// The methods.
const (
	Password Method = "password"
	Passkey  Method = "passkey"
)

// Methods are all of them: what an organization allows that says nothing.
var Methods = []Method{Password, Passkey}

// The codes of a local sign-in that is refused after the person has shown who they are. Before that, nobody is told anything.
const (
	CodeEnforced Code = "sso-enforced"     // the organization demands its provider for addresses of that domain
	CodeNotLocal Code = "no-local-sign-in" // the organization, or this person, signs in through a provider alone
)

// LocalFacts is what is known about somebody who wants in without a provider.
type LocalFacts struct {
	// Methods are those that the organization's settings name; nil where they say nothing, which is not the same as none.
	Methods  []Method
	Standing Standing
	// Upstream: a directory speaks for the user, or a provider's subject is linked to them.
	Upstream bool
	// Enforced: single sign-on is demanded, and in force, for the domain of the user's address.
	Enforced bool
	// Exception: somebody with the right to has named this address as one that may, for a time.
	Exception bool
}

// Local decides whether somebody may sign in, or set up to, by a method that needs no provider. The empty code is yes.
//
//	situation                                                           outcome
//	------------------------------------------------------------------  ----------------------------------------
//	the user is not active                                              refuse, with the standing's code
//	an exception names the address                                      yes: it is what exceptions are for
//	single sign-on is demanded for the address's domain                 refuse: sso-enforced
//	the settings name methods                                           as they say, for everybody
//	the settings say nothing, and a provider or directory has the user  refuse: no-local-sign-in
//	the settings say nothing                                            yes
//
// A password outlives whatever closed it: it works again once the reason is gone, and never brings anybody back who is out.
func Local(m Method, f LocalFacts) Code {
	if code, turned := refusals[f.Standing]; turned {
		return code
	}
	switch {
	case f.Exception:
		return ""
	case f.Enforced:
		return CodeEnforced
	case f.Methods == nil && f.Upstream:
		return CodeNotLocal
	case f.Methods == nil:
		return ""
	}
	for _, allowed := range f.Methods {
		if allowed == m {
			return ""
		}
	}
	return CodeNotLocal
}
