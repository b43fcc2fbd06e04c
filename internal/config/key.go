package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vestibule-id/vestibule/internal/seal"
)

// ErrNoKey is what a PostgreSQL store without a key answers. A key made by one node would be unknown to its neighbours, so
// it is never made there.
var ErrNoKey = errors.New("key: a PostgreSQL store needs VESTIBULE_KEY: 32 random bytes in base64, the same for every node; " +
	"`openssl rand -base64 32` makes one. Keep it: without it the sealed secrets in the store cannot be read again")

// Keys gives the node's key ring: the one that was set, or, for SQLite, the one that lies beside the file and is made at
// the first start.
func (s *Store) Keys() (*seal.Keys, error) {
	if s.Key != "" {
		return seal.ParseKeys(s.Key)
	}
	path, ok := s.SQLitePath()
	if !ok {
		return nil, ErrNoKey
	}
	file := strings.TrimSuffix(path, filepath.Ext(path)) + ".key"
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeKey(path, file)
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	keys, err := seal.ParseKeys(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// makeKey makes the key whole and then links it to its name, so that of two commands that start together one wins and
// both use the same key. A store that exists has had a key: making another would strand everything sealed under it.
func makeKey(database, file string) ([]byte, error) {
	switch info, err := os.Stat(database); {
	case err != nil:
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder; name a file in it", database)
	case info.Size() > 0:
		return nil, fmt.Errorf("%s exists and its key %s does not; put the key back or set VESTIBULE_KEY", database, file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-*") // created with 0600
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(seal.NewKey() + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}
