// Package strictyaml reads Kubernetes configuration documents and names the fields that their API does not have.
package strictyaml

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed fields
var fields embed.FS

// Document is one document of a file: its API and kind, and the node to decode.
type Document struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	node       yaml.Node
}

// ReadFile reads every document of a file.
func ReadFile(path string) ([]Document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("unable to read config from %q: %w", path, err)
	}
	return Read(data)
}

// Read reads every document of data.
func Read(data []byte) ([]Document, error) {
	var documents []Document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document Document
		err := decoder.Decode(&document.node)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("error converting YAML to JSON: %w", err)
		}
		if err := document.node.Decode(&document); err != nil {
			return nil, err
		}
		if document.APIVersion == "" || document.Kind == "" {
			return nil, fmt.Errorf("invalid configuration for GroupVersionKind %s, Kind=%s: kind and apiVersion is mandatory information that must be specified", document.APIVersion, document.Kind)
		}
		documents = append(documents, document)
	}
}

// Into decodes the document into a value, whose fields are those we use.
func (d Document) Into(value any) error {
	if err := d.node.Decode(value); err != nil {
		return fmt.Errorf("error unmarshaling configuration %s: %w", d.name(), err)
	}
	return nil
}

// Strict names the first field that the document's API does not have.
func (d Document) Strict() error {
	known, err := d.known()
	if err != nil {
		return err
	}
	if path := firstUnknown(d.node.Content[0], "", known); path != "" {
		return fmt.Errorf("error unmarshaling configuration %s: strict decoding error: unknown field %q", d.name(), path)
	}
	return nil
}

func (d Document) name() string {
	group, version, _ := strings.Cut(d.APIVersion, "/")
	return fmt.Sprintf("schema.GroupVersionKind{Group:%q, Version:%q, Kind:%q}", group, version, d.Kind)
}

// known is the paths of the document's kind, from fields/<version>-<kind>.txt.
func (d Document) known() ([]string, error) {
	_, version, _ := strings.Cut(d.APIVersion, "/")
	data, err := fields.ReadFile("fields/" + version + "-" + d.Kind + ".txt")
	if err != nil {
		return nil, fmt.Errorf("no kind %q is registered for version %q", d.Kind, d.APIVersion)
	}
	return append(strings.Fields(string(data)), "apiVersion", "kind"), nil
}

// firstUnknown walks a node whose place is path; a list's items have [] behind their path, * stands for any key.
func firstUnknown(node *yaml.Node, path string, known []string) string {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			place := node.Content[i].Value
			if path != "" {
				place = path + "." + place
			}
			if !isKnown(place, known) {
				return place
			}
			if found := firstUnknown(node.Content[i+1], place, known); found != "" {
				return found
			}
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			if !isKnown(path+"[]", known) {
				return path
			}
			if found := firstUnknown(item, path+"[]", known); found != "" {
				return found
			}
		}
	}
	return ""
}

func isKnown(path string, known []string) bool {
	for _, candidate := range known {
		if matches(candidate, path) {
			return true
		}
	}
	return false
}

// matches tells whether path is the candidate or leads to it; a trailing ** in the candidate takes everything below.
func matches(candidate, path string) bool {
	wanted, got := strings.Split(candidate, "."), strings.Split(path, ".")
	for i, part := range got {
		if i >= len(wanted) {
			return false
		}
		if wanted[i] == "**" {
			return true
		}
		last := i == len(got)-1
		if wanted[i] != part && wanted[i] != "*" && !(last && strings.HasPrefix(wanted[i], part+"[")) {
			return false
		}
	}
	return true
}
