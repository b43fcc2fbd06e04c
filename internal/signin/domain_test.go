package signin_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// zone is a name server on loopback that speaks DNS (RFC 1035) as far as a TXT question goes. A name that is not there is NXDOMAIN.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
	down    bool
	asked   []string
	conn    net.PacketConn
}

func newZone(t *testing.T) *zone {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{records: map[string][]string{}, conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := z.answer(buf[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return z
}

func (z *zone) answer(q []byte) []byte {
	if len(q) < 12 {
		return nil
	}
	var labels []string
	at := 12
	for at < len(q) && q[at] != 0 {
		n := int(q[at])
		labels = append(labels, string(q[at+1:at+1+n]))
		at += n + 1
	}
	end := at + 5 // the root label, type and class
	name := strings.ToLower(strings.Join(labels, "."))
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
	records, there := z.records[name]
	flags := uint16(0x8180)
	switch {
	case z.down:
		flags |= 2 // SERVFAIL
	case !there:
		flags |= 3 // NXDOMAIN
	}
	out := append([]byte{}, q[:2]...)
	out = binary.BigEndian.AppendUint16(out, flags)
	out = append(out, 0, 1, 0, byte(len(records)), 0, 0, 0, 0)
	if z.down || !there {
		out[7] = 0
	}
	out = append(out, q[12:end]...)
	if z.down {
		return out
	}
	for _, r := range records {
		out = append(out, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60)
		out = binary.BigEndian.AppendUint16(out, uint16(len(r)+1))
		out = append(append(out, byte(len(r))), r...)
	}
	return out
}

func (z *zone) set(domain string, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[connection.ChallengeName(domain)] = records
	if len(records) == 0 {
		delete(z.records, connection.ChallengeName(domain))
	}
}

func (z *zone) fail(down bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down = down
}

func (z *zone) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", z.conn.LocalAddr().String())
	}}
}

func (w *world) claim(org id.Organization, domain string) store.DomainClaim {
	w.t.Helper()
	var d store.DomainClaim
	w.must(w.db.Write(w.ctx, org, func(tx *store.Tx) (err error) {
		d, err = tx.ClaimDomain(w.ctx, tester, domain)
		return err
	}))
	return d
}

func (w *world) check(org id.Organization, domain string) store.DomainClaim {
	w.t.Helper()
	d, err := w.service.CheckDomain(w.ctx, tester, org, domain)
	w.must(err)
	return d
}

// Negative cases 187 and 188: a domain has one owner, and loses it when its record is gone for a week.
func TestCase187_188_DomainsAreProvenByDNSAndLapse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		z := newZone(t)
		w.service.Resolver = z.resolver()
		const domain = "people.example"
		mine, theirs := w.claim(northwind, domain), w.claim(southwind, domain)

		if d := w.check(northwind, domain); d.State() != "waiting" || !strings.Contains(d.Found, "no TXT record") {
			t.Errorf("without a record: %s %q", d.State(), d.Found)
		}
		z.set(domain, "v=spf1", theirs.Challenge)
		if d := w.check(northwind, domain); d.State() != "waiting" {
			t.Errorf("another's value proves it: %s", d.State())
		}
		z.set(domain, "v=spf1", mine.Challenge, theirs.Challenge)
		if d := w.check(northwind, domain); d.State() != "proven" || !w.leads(domain, northwind) {
			t.Fatalf("with the record: %s %q", d.State(), d.Found)
		}
		if d := w.check(southwind, domain); d.State() != "waiting" || !strings.Contains(d.Found, "another organization") || !w.leads(domain, northwind) {
			t.Errorf("a second owner: %s %q", d.State(), d.Found)
		}

		// Name servers that do not answer say nothing, for however long.
		z.fail(true)
		w.clock.Advance(connection.ProofEvery)
		w.must(w.service.CheckDomains(w.ctx))
		w.clock.Advance(2 * connection.ProofGrace)
		w.must(w.service.CheckDomains(w.ctx))
		z.fail(false)
		if d := w.check(northwind, domain); d.State() != "proven" {
			t.Fatalf("after an outage: %s", d.State())
		}

		z.set(domain)
		w.clock.Advance(connection.ProofEvery)
		w.must(w.service.CheckDomains(w.ctx))
		if d := w.claimed(domain); d.State() != "failing" || !w.leads(domain, northwind) {
			t.Errorf("on the first day without: %s", d.State())
		}
		w.clock.Advance(connection.ProofGrace - time.Hour)
		w.must(w.service.CheckDomains(w.ctx))
		if d := w.claimed(domain); d.State() != "failing" || !w.leads(domain, northwind) {
			t.Errorf("within the week: %s", d.State())
		}
		w.clock.Advance(connection.ProofEvery)
		w.must(w.service.CheckDomains(w.ctx))
		if d := w.claimed(domain); d.State() != "lapsed" || w.leads(domain, northwind) {
			t.Errorf("after it: %s", d.State())
		}
		if e := w.events()[0]; e.Action != "domain.lapsed" || e.Actor.Door != audit.JobRunner {
			t.Errorf("the event: %+v", e)
		}
		// Now the other may have it.
		z.set(domain, theirs.Challenge)
		if d := w.check(southwind, domain); d.State() != "proven" || !w.leads(domain, southwind) {
			t.Errorf("its next owner: %s %q", d.State(), d.Found)
		}
	})
}

func (w *world) claimed(domain string) (d store.DomainClaim) {
	w.t.Helper()
	w.must(w.db.Read(w.ctx, northwind, func(tx *store.Tx) (err error) {
		d, err = tx.DomainClaim(w.ctx, domain)
		return err
	}))
	return d
}

// leads says whether addresses of a domain lead to an organization.
func (w *world) leads(domain string, org id.Organization) bool {
	w.t.Helper()
	var f connection.RouteFacts
	w.must(w.db.System().Read(w.ctx, func(tx *store.SystemTx) (err error) {
		f, err = tx.RouteFacts(w.ctx, "", "", domain)
		return err
	}))
	return f.Hinted.Organization == org
}
