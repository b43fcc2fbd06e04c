package signin

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Whoever meets a code on a page looks it up; a code without a row would be a dead end.
func TestCodes_AreAllExplainedInTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/connect.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`\n\tCode\w+\s+(?:connection\.)?Code\s+= "([a-z-]+)"`)
	found := 0
	for _, file := range []string{"refusal.go", "../connection/find.go", "../connection/local.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			found++
			if !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("docs/connect.md does not explain %q", m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d codes were found in the sources: the pattern no longer fits", found)
	}
}
