package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIndex_IsCurrent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := refreshed("../..", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), want); diff != "" {
		t.Errorf("docs/standards.md is stale; run make standards (- is, + would be):\n%s", diff)
	}
}
