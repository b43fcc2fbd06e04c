package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// DefaultFile is read when it lies in the working directory and no other is named.
const DefaultFile = "vestibule.yaml"

// BeforeResolve reads the file once the command line has said which one. Kong calls it for the command that embeds Store.
func (s *Store) BeforeResolve(ctx *kong.Context) error {
	var path string
	for _, f := range ctx.Flags() {
		if f.Name == "config" {
			path, _ = ctx.FlagValue(f).(string)
		}
	}
	named := path != ""
	if !named {
		path = DefaultFile
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		text = nil
	case err != nil:
		return fmt.Errorf("configuration file: %w", err)
	}
	values, err := parseFile(path, text)
	if err != nil {
		return err
	}
	ctx.AddResolver(layers(values))
	return nil
}

// layers puts the file below the environment. Kong asks its resolvers after it has read the environment and lets them
// win, so this one stays silent where the environment has spoken. A variable that is set and empty has not spoken:
// compose files write VAR=${VAR:-} for an optional one.
func layers(file map[string]string) kong.ResolverFunc {
	return func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		empty := false
		for _, name := range flag.Tag.Envs {
			v, set := os.LookupEnv(name)
			if v != "" {
				return nil, nil
			}
			empty = empty || set
		}
		if v, ok := file[key(flag.Name)]; ok {
			return v, nil
		}
		if empty {
			return flag.Default, nil
		}
		return nil, nil
	}
}

func key(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// parseFile reads the file as a flat mapping of known keys.
func parseFile(path string, text []byte) (map[string]string, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			at := syntax.Token.Position
			return nil, fmt.Errorf("%s:%d:%d: %s", path, at.Line, at.Column, syntax.Message)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	known := Keys()
	values := map[string]string{}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		body, ok := doc.Body.(ast.MapNode)
		if !ok {
			return nil, fmt.Errorf("%s:1:1: a mapping of keys to values is wanted", path)
		}
		for it := body.MapRange(); it.Next(); {
			name := it.Key().GetToken()
			at := fmt.Sprintf("%s:%d:%d: %s", path, name.Position.Line, name.Position.Column, name.Value)
			if !slices.Contains(known, name.Value) {
				return nil, fmt.Errorf("%s: no such key; the keys are %s", at, strings.Join(known, ", "))
			}
			v, err := plain(it.Value())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			values[name.Value] = v
		}
	}
	return values, nil
}

// plain gives a scalar as it was written, and a list of scalars as the flag would have it.
func plain(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return "", nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.SequenceNode:
		var parts []string
		for _, v := range n.Values {
			s, err := plain(v)
			if err != nil {
				return "", err
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	case ast.ScalarNode:
		return n.GetToken().Value, nil
	}
	return "", errors.New("a plain value or a list of them is wanted")
}

// Keys lists the keys of the file: every field of Config but the file's own name. A file is shared by all commands, so a
// key that the running command has no use for is still known.
func Keys() []string {
	var out []string
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				walk(f.Type)
				continue
			}
			if env := f.Tag.Get("env"); f.Name != "File" {
				out = append(out, strings.ToLower(strings.TrimPrefix(env, "VESTIBULE_")))
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	return out
}
