package console

import (
	_ "embed"
	"net/http"
)

// starter is a file for "vestibule apply" that an operator begins from: one organization with what every one needs.
//
//go:embed starter.yaml
var starter []byte

// starterFile gives the file to begin from to an operator, who has the binary and not the project's folder.
func (c *Console) starterFile(w http.ResponseWriter, r *http.Request) error {
	switch o, err := c.operator(r.Context(), r); {
	case err != nil:
		return err
	case o == nil:
		http.Redirect(w, r, "/operator/signin?return_to=/operator/starter", http.StatusSeeOther)
		return nil
	}
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="vestibule-start.yaml"`)
	_, _ = w.Write(starter)
	return nil
}
