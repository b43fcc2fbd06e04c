package saml

// Single logout towards applications (Profiles section 4.4). The messages are those of logout.go with the sides changed: an application
// stands where a provider does, with its registered certificates and addresses. Every one is signed, both ways (Profiles 4.4.4).

// toward is an application as the other side of a logout.
func (i *Issuer) toward(to *Party) *Connection {
	return &Connection{
		SP:  ServiceProvider{EntityID: i.EntityID, SLO: i.SLO, Signing: i.Signing},
		IdP: IdentityProvider{EntityID: to.EntityID, SLO: to.SLO, Certificates: to.Certificates},
		// A registered certificate stands for its key, as with sign-in: who lets it lapse has not given the key away.
		Settings: Settings{IgnoreCertificateDates: true}, Now: i.Now,
	}
}

// ReadLogoutRequest reads and verifies an application's demand to end somebody's session. Who sent it is what the message says until
// the signature shows it: party gives what is registered under an entity id, nil for none.
func (i *Issuer) ReadLogoutRequest(in Incoming, party func(entityID string) *Party) (request *LogoutRequest, from *Party, err error) {
	defer rescue(&err)
	el, _, err := unverified(in, "SAMLRequest", "LogoutRequest", true)
	if err != nil {
		return nil, nil, err
	}
	issuer, err := issuerOf(el)
	if err != nil {
		return nil, nil, err
	}
	if from = party(issuer); from == nil {
		return nil, nil, refuse(CheckIssuer, "no application is registered as %.200q", issuer)
	}
	request, err = i.toward(from).ReadLogoutRequest(in)
	return request, from, err
}

// LogoutRequest makes a request that an application end somebody's sessions: those that our assertions of these indexes began.
func (i *Issuer) LogoutRequest(to *Party, subject NameID, sessionIndexes []string, relayState string) (*Outgoing, error) {
	return i.toward(to).LogoutRequest(subject, sessionIndexes, relayState)
}

// ReadLogoutResponse reads and verifies an application's answer to our request of that id.
func (i *Issuer) ReadLogoutResponse(in Incoming, from *Party, requestID string) (*LogoutAnswer, error) {
	return i.toward(from).ReadLogoutResponse(in, requestID)
}

// LogoutResponse answers an application's request.
func (i *Issuer) LogoutResponse(to *Party, request *LogoutRequest, result string) (*Outgoing, error) {
	return i.toward(to).LogoutResponse(request, result)
}

// SameSubject says whether an application's request names somebody whom we named to it. Its request may leave out what follows from who
// we two are: the qualifiers (Core 8.3.7), and the format.
func SameSubject(named, told NameID) bool {
	may := func(given, want string) bool { return given == "" || given == want }
	return named.Value == told.Value && (named.Format == Unspecified || named.Format == told.Format) &&
		may(named.NameQualifier, told.NameQualifier) && may(named.SPNameQualifier, told.SPNameQualifier)
}
