package invitation

import (
	"github.com/vestibule-id/vestibule/internal/connection"
)

// Fit is how a person whom a provider vouches for stands to an invitation.
type Fit int

// The fits.
const (
	Fits Fit = iota
	Known
	OtherAddress
	Unproven
)

// Match decides whether the person is the one who was invited:
//
//	situation                                                                    outcome
//	---------------------------------------------------------------------------  --------------------------------
//	the subject is a user's already, or the directory has a record for it        Known: that user signs in as usual
//	the provider says another address, or none                                   OtherAddress
//	it says the address, and denies it, or is silent outside its own domain      Unproven
//	otherwise                                                                    Fits
//
// The link alone proves that somebody reads the letter, not that the provider's account is that person's: a link that was
// passed on must not tie a stranger's account to the invited one.
func Match(email string, p connection.Person, f connection.Facts) Fit {
	switch {
	case f.Identity != "" || len(f.ByKey) > 0:
		return Known
	case p.Email == "" || Fold(p.Email) != Fold(email):
		return OtherAddress
	case p.EmailVerified == connection.No, p.EmailVerified == connection.Unsaid && !f.DomainOwn:
		return Unproven
	}
	return Fits
}
