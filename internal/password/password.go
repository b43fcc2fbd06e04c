// Package password is everything about a password but where it is kept: whether a new one is good enough, its hash, and
// whether a typed one fits a hash. People and operators use the same.
//
// A good one is long and is not what everybody tries first; there are no rules about kinds of characters, since they make
// passwords worse (NIST SP 800-63B section 3.1.1.2). A hash carries the parameters it was made with, so that they can be raised
// and every sign-in carries its hash over.
package password

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// Bounds of a password. A passphrase fits below Max; a megabyte to hash does not.
const (
	Min = 12
	Max = 256 // bytes
)

// parameters of argon2id (RFC 9106 section 3.1).
type parameters struct {
	memory, passes uint32 // KiB, and how often over it
	lanes          uint8
}

// current is 19 MiB, two passes, one lane: OWASP's first choice for a server that also does other work; some 50 ms of a core.
var current = parameters{memory: 19 * 1024, passes: 2, lanes: 1}

// Bounds of what a stored hash may ask for: a row that was tampered with must not take the node's memory.
const (
	maxMemory = 256 * 1024
	maxPasses = 16
	maxLanes  = 8
	keySize   = 32
	saltSize  = 16
)

// Hashing is bounded twice: as many at once as there are processors, each with its memory, and a queue in front of them that
// drains within seconds. Whoever comes when it is full is told to try again: a flood at the sign-in page then costs its sender
// an answer and not the node its memory, nor everybody else a wait without end.
var (
	slots   = make(chan struct{}, max(1, runtime.NumCPU()))
	waiting atomic.Int64
	hashed  atomic.Int64
)

// Hashed is how many hashes this process has computed: nearly all that a sign-in by password costs, in time as in memory.
func Hashed() int64 { return hashed.Load() }

const queue = 64

func derive(ctx context.Context, password string, salt []byte, p parameters) ([]byte, error) {
	if waiting.Add(1) > queue {
		waiting.Add(-1)
		return nil, fault.New(fault.Unavailable, "Very many people are signing in right now. Try again in a few seconds.").WithCode("busy")
	}
	select {
	case slots <- struct{}{}:
		waiting.Add(-1)
	case <-ctx.Done():
		waiting.Add(-1)
		return nil, ctx.Err()
	}
	defer func() { <-slots }()
	hashed.Add(1)
	return argon2.IDKey([]byte(password), salt, p.passes, p.memory, p.lanes, keySize), nil
}

// normal is the one form of a text that keyboards and systems compose differently (SP 800-63B section 3.1.1.2: NFKC).
func normal(password string) string { return norm.NFKC.String(password) }

// Hash gives the PHC string of a password.
func Hash(ctx context.Context, password string) (string, error) {
	salt := seal.Random(saltSize)
	key, err := derive(ctx, normal(password), salt, current)
	if err != nil {
		return "", err
	}
	return phc(current, salt, key), nil
}

func phc(p parameters, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// Nobody is the hash that a password is held against where there is nobody of that address, so that the answer takes as long as
// for somebody. It is the hash of no password that anybody knows, so none need be hashed while the program starts.
var Nobody = phc(current, seal.Random(saltSize), seal.Random(keySize))

// Verify reports whether a password fits a hash, and whether the hash was made with other parameters than today's: such a one is
// made anew while the password is at hand. An error says that nothing was decided.
func Verify(ctx context.Context, password, hash string) (fits, outdated bool, err error) {
	p, salt, want, ok := parse(hash)
	if !ok || len(password) > Max {
		// As slow as the others: how a row looks is not to be told from outside.
		p, salt, want, ok, password = current, make([]byte, saltSize), make([]byte, keySize), false, ""
	}
	got, err := derive(ctx, normal(password), salt, p)
	if err != nil {
		return false, false, err
	}
	fits = subtle.ConstantTimeCompare(got, want) == 1 && ok
	return fits, fits && p != current, nil
}

func parse(hash string) (p parameters, salt, key []byte, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil || n != 3 {
		return p, nil, nil, false
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	ok = saltErr == nil && keyErr == nil && len(salt) >= 8 && len(key) == keySize && p.memory >= 8 && p.memory <= maxMemory &&
		p.passes >= 1 && p.passes <= maxPasses && p.lanes >= 1 && p.lanes <= maxLanes
	return p, salt, key, ok
}
