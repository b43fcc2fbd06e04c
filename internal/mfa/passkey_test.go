package mfa_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/mfa"
)

// device is an authenticator made of software: one key, and whatever a test wants to say wrongly.
type device struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	id     []byte
	handle string
	count  uint32
	flags  byte
	origin string
	rp     string
}

const (
	present  = 0x01
	verified = 0x04
	eligible = 0x08
	attested = 0x40
)

func newDevice(t *testing.T) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &device{t: t, key: key, id: id, flags: present | verified, origin: "https://id.example", rp: "id.example"}
}

var b64 = base64.RawURLEncoding.EncodeToString

func (d *device) clientData(kind, options string) []byte {
	d.t.Helper()
	var asked struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
			User      struct {
				ID string `json:"id"`
			} `json:"user"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal([]byte(options), &asked); err != nil {
		d.t.Fatal(err)
	}
	if asked.PublicKey.User.ID != "" {
		d.handle = asked.PublicKey.User.ID
	}
	raw, err := json.Marshal(map[string]any{"type": kind, "challenge": asked.PublicKey.Challenge, "origin": d.origin, "crossOrigin": false})
	if err != nil {
		d.t.Fatal(err)
	}
	return raw
}

func (d *device) authData(flags byte) []byte {
	sum := sha256.Sum256([]byte(d.rp))
	return binary.BigEndian.AppendUint32(append(sum[:], flags), d.count)
}

func (d *device) say(response map[string]string) string {
	d.t.Helper()
	raw, err := json.Marshal(map[string]any{
		"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return string(raw)
}

// create answers the question for a new passkey (attestation "none"; CBOR written out: RFC 8949, COSE key of RFC 9052 section 7).
func (d *device) create(options string) string {
	client := d.clientData("webauthn.create", options)
	point, err := d.key.PublicKey.Bytes()
	if err != nil {
		d.t.Fatal(err)
	}
	cose := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	cose = append(append(append(cose, point[1:33]...), 0x22, 0x58, 0x20), point[33:]...)
	data := append(d.authData(d.flags|attested), make([]byte, 16)...)
	data = append(append(binary.BigEndian.AppendUint16(data, uint16(len(d.id))), d.id...), cose...)
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(append(object, 0x67), "attStmt"...), 0xa0)
	object = append(append(append(object, 0x68), "authData"...), 0x59, byte(len(data)>>8), byte(len(data)))
	return d.say(map[string]string{"clientDataJSON": b64(client), "attestationObject": b64(append(object, data...))})
}

// get answers the question for a passkey.
func (d *device) get(options string) string {
	client := d.clientData("webauthn.get", options)
	data := d.authData(d.flags)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.key, digest[:])
	if err != nil {
		d.t.Fatal(err)
	}
	return d.say(map[string]string{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": d.handle,
	})
}

func passkeys(t *testing.T) *mfa.Passkeys {
	t.Helper()
	p, err := mfa.NewPasskeys("https://id.example")
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	return p
}

// enrolled is a person with a passkey on a device.
func enrolled(t *testing.T, p *mfa.Passkeys, d *device) mfa.Holder {
	t.Helper()
	ann := mfa.Holder{ID: "01a20119-94e6-731b-b4ff-f440225a01c9", Name: "Ann (Northwind)", DisplayName: "Ann"}
	c, err := p.Create(ann)
	if err != nil {
		t.Fatal(err)
	}
	credential, record, err := p.Created(ann, c.State, d.create(c.Options))
	if err != nil || credential != b64(d.id) {
		t.Fatal(credential, err)
	}
	ann.Records = []string{record}
	return ann
}

func TestPasskeys_AreEnrolledAndUsed(t *testing.T) {
	t.Parallel()
	p := passkeys(t)
	for name, c := range map[string]struct {
		flags byte
		want  []string
	}{
		"bound to a device": {present | verified, []string{"hwk", "user", "mfa"}},
		"carried along":     {present | verified | eligible, []string{"swk", "user", "mfa"}},
	} {
		d := newDevice(t)
		d.flags = c.flags
		ann := enrolled(t, p, d)
		for _, ask := range []func() (mfa.Ceremony, error){func() (mfa.Ceremony, error) { return p.Ask(ann) }, p.AskAnyone} {
			q, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			d.count++
			answer := d.get(q.Options)
			if who, err := mfa.CredentialOf(answer); err != nil || who != b64(d.id) {
				t.Errorf("%s: whose it is: %q %v", name, who, err)
			}
			use, err := p.Answered(ann, q.State, answer)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(use.Methods, c.want); diff != "" || use.Counter != int64(d.count) {
				t.Errorf("%s: count %d; got before want:\n%s", name, use.Counter, diff)
			}
			ann.Records = []string{use.Record}
		}
	}
}

// Each attack of WebAuthn sections 6.1.1, 7.2 and 13.4 that a server has to notice.
func TestPasskeys_AnAnswerThatProvesNothingIsRefused(t *testing.T) {
	t.Parallel()
	p := passkeys(t)
	for name, attack := range map[string]struct {
		bend func(*device)
		code string
	}{
		"signed for a phisher's page":           {func(d *device) { d.origin = "https://id.example.evil.example" }, "passkey-refused"},
		"signed for a sibling host":             {func(d *device) { d.origin = "https://www.id.example" }, "passkey-refused"},
		"signed over plain http":                {func(d *device) { d.origin = "http://id.example" }, "passkey-refused"},
		"another relying party":                 {func(d *device) { d.rp = "example" }, "passkey-refused"},
		"nobody was verified":                   {func(d *device) { d.flags = present }, "passkey-refused"},
		"nobody was there":                      {func(d *device) { d.flags = verified }, "passkey-refused"},
		"another key under the same id":         {func(d *device) { d.key = newDevice(d.t).key }, "passkey-refused"},
		"another id":                            {func(d *device) { d.id = newDevice(d.t).id }, "passkey-refused"},
		"another person's handle":               {func(d *device) { d.handle = b64([]byte("01a20119-0000-731b-b4ff-f440225a01c9")) }, "passkey-refused"},
		"a copy, whose count went backwards":    {func(d *device) { d.count = 1 }, "passkey-copied"},
		"a copy, whose count stood still":       {func(d *device) { d.count = 5 }, "passkey-copied"},
		"a passkey that was not carried is now": {func(d *device) { d.flags |= eligible }, "passkey-refused"},
	} {
		d := newDevice(t)
		d.count = 5
		ann := enrolled(t, p, d)
		q, err := p.Ask(ann)
		if err != nil {
			t.Fatal(err)
		}
		d.count = 6
		attack.bend(d)
		_, err = p.Answered(ann, q.State, d.get(q.Options))
		if f := fault.As(err); f == nil || f.Kind != fault.Forbidden || f.Code != attack.code {
			t.Errorf("%s: got %v", name, err)
		}
	}
	d := newDevice(t)
	ann := enrolled(t, p, d)
	first, err := p.Ask(ann)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Ask(ann)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Answered(ann, second.State, d.get(first.Options)); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("the answer to another question: %v", err)
	}
	if _, err := p.Answered(ann, first.State, d.create(first.Options)); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("the answer to an enrolment: %v", err)
	}
	for _, junk := range []string{"", "{}", "null", `{"id":"x"}`, "\x00"} {
		if _, err := p.Answered(ann, first.State, junk); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%q: %v", junk, err)
		}
		if _, err := mfa.CredentialOf(junk); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("whose %q is: %v", junk, err)
		}
	}
}

func TestPasskeys_EnrolmentIsForThisPageAndAVerifiedPerson(t *testing.T) {
	t.Parallel()
	p := passkeys(t)
	ann := mfa.Holder{ID: "01a20119-94e6-731b-b4ff-f440225a01c9", Name: "Ann", DisplayName: "Ann"}
	for name, bend := range map[string]func(*device){
		"a phisher's page": func(d *device) { d.origin = "https://evil.example" }, "another relying party": func(d *device) { d.rp = "evil.example" },
		"nobody verified": func(d *device) { d.flags = present },
	} {
		d := newDevice(t)
		bend(d)
		c, err := p.Create(ann)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Created(ann, c.State, d.create(c.Options)); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewPasskeys_OnlyWhereBrowsersKnowThem(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"https://id.example": true, "https://id.example:8443": true, "http://localhost:8080": true,
		"http://id.example": false, "http://127.0.0.1:8080": false, "https://192.0.2.1": false, "https://[2001:db8::1]": false,
	} {
		p, err := mfa.NewPasskeys(url)
		if err != nil || (p != nil) != want {
			t.Errorf("%s: got %v, %v", url, p != nil, err)
		}
	}
}
