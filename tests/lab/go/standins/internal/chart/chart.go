// Package chart reads packed Helm charts and renders them: the small part of Helm that the lab's own charts use. What it
// does not know it refuses, as a chart that renders differently would be worse than one that does not render.
package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Values are what templates read: JSON's types, as Helm makes them of YAML.
type Values = map[string]any

// Metadata is a Chart.yaml.
type Metadata struct {
	APIVersion   string `yaml:"apiVersion"`
	Name         string `yaml:"name"`
	Version      string `yaml:"version"`
	AppVersion   string `yaml:"appVersion"`
	KubeVersion  string `yaml:"kubeVersion"`
	Type         string `yaml:"type"`
	Dependencies []any  `yaml:"dependencies"`
}

// Chart is an unpacked chart; files are by their path in the chart's folder.
type Chart struct {
	Metadata Metadata
	Values   Values
	schema   []byte
	files    map[string]string
}

var version = regexp.MustCompile(`^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// Load reads a packed chart.
func Load(name string) (*Chart, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	files, err := unpacked(data)
	if err != nil {
		return nil, fmt.Errorf("file '%s' does not appear to be a gzipped archive of a chart: %w", name, err)
	}
	return fromFiles(files)
}

// unpacked is the files of an archive, without the chart's folder in front.
func unpacked(data []byte) (map[string]string, error) {
	plain, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		_, inside, found := strings.Cut(header.Name, "/")
		if header.Typeflag == tar.TypeDir {
			continue
		}
		if !found || header.Typeflag != tar.TypeReg || path.Clean("/"+inside) != "/"+inside {
			return nil, fmt.Errorf("chart illegally contains %q", header.Name)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		files[inside] = string(content)
	}
}

func fromFiles(files map[string]string) (*Chart, error) {
	chart := &Chart{files: files, schema: []byte(files["values.schema.json"])}
	text, found := files["Chart.yaml"]
	if !found {
		return nil, errors.New("Chart.yaml file is missing")
	}
	if err := yaml.Unmarshal([]byte(text), &chart.Metadata); err != nil {
		return nil, fmt.Errorf("cannot load Chart.yaml: %w", err)
	}
	switch about := chart.Metadata; {
	case about.APIVersion != "v1" && about.APIVersion != "v2":
		return nil, errors.New("validation: chart.metadata.apiVersion is required")
	case about.Name == "":
		return nil, errors.New("validation: chart.metadata.name is required")
	case !version.MatchString(about.Version):
		return nil, fmt.Errorf("validation: chart.metadata.version %q is invalid", about.Version)
	case about.Type != "" && about.Type != "application":
		return nil, errors.New("library charts are not installable")
	case len(about.Dependencies) > 0:
		return nil, errors.New("the stand-in takes no charts with dependencies")
	}
	var err error
	chart.Values, err = ReadValues([]byte(files["values.yaml"]))
	if err != nil {
		return nil, fmt.Errorf("cannot load values.yaml: %w", err)
	}
	return chart, nil
}

// ReadValues reads a values file.
func ReadValues(data []byte) (Values, error) {
	var read any
	if err := yaml.Unmarshal(data, &read); err != nil {
		return nil, err
	}
	if read == nil {
		return Values{}, nil
	}
	values, is := asJSON(read).(map[string]any)
	if !is {
		return nil, fmt.Errorf("error unmarshaling JSON: cannot unmarshal %T into Go value of type map[string]interface {}", read)
	}
	return values, nil
}

// asJSON is a value of YAML in JSON's types, in which every number is a float64.
func asJSON(value any) any {
	data, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil
	}
	return out
}

// Merged is the values over those below: mappings are merged, everything else replaces. A null removes what is below if
// that is the chart's, and waits for the chart if it is another file's.
func Merged(over, below Values, isChart bool) Values {
	out := maps.Clone(below)
	for key, value := range over {
		inner, isMapping := value.(map[string]any)
		lower, wasMapping := out[key].(map[string]any)
		if isMapping && wasMapping {
			value = Merged(inner, lower, isChart)
		}
		out[key] = value
		if value == nil && isChart {
			delete(out, key)
		}
	}
	return out
}
