package page

import (
	"crypto/sha256"
	"encoding/hex"
)

// asset is the address of an embedded file, with the hash of its content: a new release is a new address.
func asset(name string) string {
	return AssetsPath + name + "?v=" + assetHashes[name]
}

var assetHashes = hashAssets()

func hashAssets() map[string]string {
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // the embedded tree is part of the program
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		out[e.Name()] = hex.EncodeToString(sum[:6])
	}
	return out
}

// Stylesheet is the address of the one stylesheet, for a page that is written without this shell.
func Stylesheet() string { return asset("style.css") }
