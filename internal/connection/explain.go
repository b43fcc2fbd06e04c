package connection

import (
	"fmt"
	"strings"
)

// Explain says how a finding came about, a sentence each, with both values: for an administrator, never for the page of whoever was
// refused.
func Explain(c Connection, p Person, f Facts, found Finding) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if f.Identity != "" {
		say("The subject %q of %s has signed in here before: the identity is known, and nothing else is looked at.", p.Subject, p.Issuer)
		return standingSaid(out, f.User.Standing)
	}
	say("The subject %q of %s has not signed in through this connection before.", p.Subject, p.Issuer)
	if f.Closed {
		say("It had, and that identity was closed when the person was taken away. Only a live record found by the key binds it again.")
	}
	m := c.Settings.Match
	switch {
	case c.Directory == "":
		say("No directory goes with this connection, so no record is looked for.")
	case p.Match == "":
		say("The claim %s, which should equal %s of a record, did not come, or not in a form that counts.", m.Claim, m.Attribute)
	case m.Claim == "email" && !f.DomainProven:
		say("The key is an address, %q, outside the organization's proven domains, so it is not compared.", p.Match)
	default:
		say("Records of %s whose %s equals %s = %q: %s.", c.Directory, m.Attribute, m.Claim, p.Match, counted(len(f.ByKey)))
	}
	switch {
	case found.How == ByMatch:
		return append(out, "The one record is bound to this subject at the first sign-in.")
	case found.Code == CodeBoundElse:
		return append(out, "That record is bound to another subject of this connection, and is never bound again by itself.")
	case found.Code == CodeSeveral:
		return append(out, "Which of them is meant cannot be told.")
	case found.User != "" && found.How == "" && found.Code != CodeKeysDiffer:
		for _, r := range f.ByKey {
			if r.User.Standing == Active && !r.Active {
				return append(out, "The directory says of that record that it is not active.")
			}
			out = standingSaid(out, r.User.Standing)
		}
		return out
	}
	if c.Directory != "" && p.Email != "" {
		say("Records of %s with the address %q: %s.", c.Directory, p.Email, counted(len(f.ByEmail)))
		for _, r := range f.ByEmail {
			say("The record with that address has %s = %q.", m.Attribute, r.Key)
		}
		if found.How == ByAddress {
			return append(out, "It has no key, the domain is proven and the provider vouches for the address, so it is bound by it, once.")
		}
		if found.Code == CodeKeysDiffer {
			return append(out, "Both sides have keys, and they differ. An address joins nobody then: it may have been another person's before.")
		}
	}
	if !c.Settings.JustInTime() {
		return append(out, "Nobody is made just in time through this connection.")
	}
	switch {
	case p.Email == "":
		say("Just in time needs an address, and none came.")
	case !f.DomainProven:
		say("The domain of %q is not proven for this organization.", p.Email)
	case !f.DomainAllowed:
		say("The domain of %q is not among the organization's allowed domains.", p.Email)
	case p.EmailVerified == No:
		say("The provider says that the address %q is not verified.", p.Email)
	case p.EmailVerified == Unsaid && !f.DomainOwn:
		say("The provider does not say whether %q is verified, and its domain leads to another connection.", p.Email)
	case f.Taken:
		say("Somebody of the organization holds the address %q already.", p.Email)
	case !f.SeatFree:
		say("No seat is free.")
	case found.Step == Create:
		say("A new user would be made just in time, with the default roles.")
	}
	return out
}

func counted(n int) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "one"
	}
	return fmt.Sprintf("%d, where one at most may be", n)
}

func standingSaid(out []string, s Standing) []string {
	said := map[Standing]string{
		Suspended: "An administrator has suspended the user.", Deactivated: "The directory says that the user is not active.",
		Pending: "The user was invited and has not accepted.", Deleted: "The user was deleted; signing in never revives anybody.",
		Unseated: "The user holds no seat.",
	}[s]
	if said == "" {
		return out
	}
	return append(out, said)
}

// fixes say what to do about a check that failed, and where at the provider.
var fixes = map[CheckName]struct {
	do string
	at map[Protocol]Term
}{
	CheckProvider:    {"Compare what is set here with what the provider shows, letter by letter.", map[Protocol]Term{OIDC: TermIssuer, SAML: TermMetadata}},
	CheckAnswer:      {"The provider's own log says why it turned the person away; often they are not assigned.", map[Protocol]Term{OIDC: TermAssign, SAML: TermAssign}},
	CheckCode:        {"Enter the client id and a secret that is still valid, and the redirect URI as it is shown here.", map[Protocol]Term{OIDC: TermSecret}},
	CheckSignature:   {"The signature must be by a key that the provider publishes, with an algorithm that is accepted here.", map[Protocol]Term{OIDC: TermIssuer, SAML: TermSigning}},
	CheckIssuer:      {"The provider calls itself something else than what is set here.", map[Protocol]Term{OIDC: TermIssuer, SAML: TermMetadata}},
	CheckSubject:     {"The provider must name the person by something lasting.", map[Protocol]Term{OIDC: TermClaims, SAML: TermNameID}},
	CheckAudience:    {"What came was made for somebody else: compare who we are there.", map[Protocol]Term{OIDC: TermClient, SAML: TermSAML}},
	CheckTimes:       {"Compare the clocks of the two machines, and how long what it sends is valid.", nil},
	CheckNonce:       {"Start the test again, and let one tab finish it.", nil},
	CheckPins:        {"Compare the tenant, the hosted domain and the authentication context that are demanded here.", map[Protocol]Term{OIDC: TermTenant}},
	CheckFresh:       {"The provider must say when the person signed in (auth_time).", map[Protocol]Term{OIDC: TermClaims}},
	CheckUserinfo:    {"Its userinfo endpoint must answer in JSON, about the same person.", map[Protocol]Term{OIDC: TermLog}},
	CheckShape:       {"What came is not a SAML response that can be read in one way only.", map[Protocol]Term{SAML: TermSigning}},
	CheckStatus:      {"The provider's own log says why it turned the person away; often they are not assigned.", map[Protocol]Term{SAML: TermAssign}},
	CheckDestination: {"The assertion consumer URL there must be the one shown here.", map[Protocol]Term{SAML: TermSAML}},
	CheckDecryption:  {"It encrypts with another certificate than ours: have it read our metadata again.", map[Protocol]Term{SAML: TermSAML}},
	CheckContext:     {"The person signed in there in another way, or longer ago, than is asked for here.", map[Protocol]Term{SAML: TermLog}},
	CheckAttributes:  {"An attribute that stands for one value came with several.", map[Protocol]Term{SAML: TermClaims}},
	CheckReplay:      {"Start the test again; the same response came twice.", nil},
	CheckMatch:       {"Have the claim sent, or match on one that is.", map[Protocol]Term{OIDC: TermClaims, SAML: TermClaims}},
	CheckAddress:     {"Have the address sent, and vouched for.", map[Protocol]Term{OIDC: TermVerified, SAML: TermClaims}},
	CheckGroups:      {"Have the groups sent, no more of them than fit.", map[Protocol]Term{OIDC: TermGroups, SAML: TermGroups}},
	CheckRecord:      {"Push the person, with the key that the claim carries.", map[Protocol]Term{OIDC: TermMapping, SAML: TermMapping}},
}

// Fix says what to do about a check, in the provider's words.
func Fix(p Provider, protocol Protocol, check CheckName) string {
	f := fixes[check]
	if where := p.Place(f.at[protocol]); where != "" {
		return f.do + " In " + p.Name + ": " + where + "."
	}
	return f.do
}

// Grouped says how a group claim came.
type Grouped int

// The ways.
const (
	NoGroups Grouped = iota // not there
	Overage                 // there are too many, so that which is unknown: never the same as none
	Complete
)

// JudgePerson gives the checks of somebody who was believed: CheckMatch, CheckAddress, CheckGroups, and the one of the record, for which
// said is what the person would read.
func JudgePerson(c Connection, provider Provider, p Person, found Finding, groups Grouped, names []string, coverage *Coverage, said string) []Check {
	checks := []Check{judgeMatch(c, p, coverage), judgeAddress(c, p), judgeGroups(c, groups, names)}
	record := Check{Name: CheckRecord, Outcome: Passed, Said: said}
	if found.Step == Refuse {
		record.Outcome, record.Said = Failed, string(found.Code)+": "+said
		if found.Code == CodeKeysDiffer {
			record.Said += fmt.Sprintf(" The provider sent %q, the record holds %q.", p.Match, found.Held)
		}
	}
	checks = append(checks, record)
	for i, check := range checks {
		if check.Outcome != Passed {
			checks[i].Fix = Fix(provider, c.Protocol, check.Name)
		}
	}
	return checks
}

func judgeMatch(c Connection, p Person, coverage *Coverage) Check {
	m := c.Settings.Match
	out := Check{Name: CheckMatch, Outcome: Passed}
	switch {
	case c.Directory == "":
		out.Said = "No directory goes with this connection, so no key is compared."
	case p.Match == "":
		out.Outcome, out.Said = Failed, fmt.Sprintf("%s did not come, or not in a form that counts. It should equal %s of a record.", m.Claim, m.Attribute)
	default:
		out.Said = fmt.Sprintf("%s = %q is compared with %s.", m.Claim, p.Match, m.Attribute)
		if coverage != nil && coverage.Unlike*2 > coverage.Sampled {
			out.Outcome = Warned
			out.Said += fmt.Sprintf(" It looks like %s; of %d records looked at, %d have something else there, such as %q (%s).",
				ShapeOf(p.Match), coverage.Sampled, coverage.Unlike, coverage.Example, ShapeOf(coverage.Example))
		}
	}
	return out
}

func judgeAddress(c Connection, p Person) Check {
	out := Check{Name: CheckAddress, Outcome: Passed, Said: fmt.Sprintf("%s, which the provider vouches for.", p.Email)}
	switch {
	case p.Email == "":
		out.Outcome, out.Said = Warned, "No address came."
		if c.Settings.JustInTime() {
			out.Outcome, out.Said = Failed, "No address came, and just in time needs one."
		}
	case p.EmailVerified == No:
		out.Outcome, out.Said = Warned, fmt.Sprintf("The provider says that %s is not verified: it makes nobody and joins nobody.", p.Email)
	case p.EmailVerified == Unsaid && c.Protocol == OIDC:
		out.Outcome = Warned
		out.Said = fmt.Sprintf("The provider does not say whether %s is verified: it may make a user in this connection's own domains, and joins nobody.", p.Email)
	case p.EmailVerified == Unsaid:
		out.Said = fmt.Sprintf("%s. SAML does not say whether it was verified: it may make a user in this connection's own domains, and joins nobody.", p.Email)
	}
	return out
}

func judgeGroups(c Connection, groups Grouped, names []string) Check {
	name := c.Settings.GroupsClaim
	out := Check{Name: CheckGroups, Outcome: Passed}
	switch {
	case name == "":
		out.Said = "No group claim is set up; groups come from the directory alone."
	case groups == Overage:
		out.Outcome, out.Said = Warned, "The provider has more groups than it sends. Which is unknown, so that nothing is changed by it: push them, or send fewer."
	case groups == NoGroups:
		out.Outcome, out.Said = Warned, fmt.Sprintf("%s did not come. An absent claim changes nothing.", name)
	case len(names) == 0:
		out.Said = fmt.Sprintf("%s came and names no group: groups that the claim gave before are left.", name)
	default:
		out.Said = fmt.Sprintf("%s names %s.", name, strings.Join(names[:min(len(names), 20)], ", "))
	}
	return out
}
