package chart

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"text/template"

	"gopkg.in/yaml.v3"
)

// Release is what a chart is rendered for.
type Release struct {
	Name        string
	Namespace   string
	KubeVersion string
	IsUpgrade   bool
	Revision    int
}

// Object is a rendered object: its text, the template it is from, and what it says.
type Object struct {
	Source string
	Text   string
	Fields map[string]any
}

const hookAnnotation = "helm.sh/hook"

var (
	name           = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	separator      = regexp.MustCompile(`(?m)^---[ \t]*$`)
	kubeConstraint = regexp.MustCompile(`^>= ?(\d+)\.(\d+)\.(\d+)(-0)?$`)
	kubeVersion    = regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)$`)
)

// installOrder is the kinds in the order in which Helm makes them; others come last.
var installOrder = []string{
	"Namespace", "ServiceAccount", "Secret", "ConfigMap", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding",
	"Role", "RoleBinding", "Service", "DaemonSet", "Pod", "Deployment",
}

// DemandName refuses what cannot be a release's name.
func DemandName(text string) error {
	if len(text) > 53 || !name.MatchString(text) {
		return fmt.Errorf("release name %q: invalid release name, must match regex %s and the length must not be longer than 53", text, name)
	}
	return nil
}

// Render is the chart's objects in the order in which Helm makes them, its tests left out.
func (c *Chart) Render(release Release, given Values) ([]Object, error) {
	if err := c.demandKubernetes(release.KubeVersion); err != nil {
		return nil, err
	}
	values := Merged(given, c.Values, true)
	if err := c.validate(values); err != nil {
		return nil, err
	}
	texts, err := c.execute(release, values)
	if err != nil {
		return nil, err
	}
	objects := []Object{}
	for _, file := range sortedKeys(texts) {
		found, err := objectsIn(c.Metadata.Name+"/"+file, texts[file])
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	sort.SliceStable(objects, func(a, b int) bool { return rank(objects[a]) < rank(objects[b]) })
	return objects, nil
}

// CRDs is the objects of the chart's crds folder, which are no templates.
func (c *Chart) CRDs() ([]Object, error) {
	objects := []Object{}
	for _, file := range sortedKeys(c.files) {
		if strings.HasPrefix(file, "crds/") {
			found, err := objectsIn(c.Metadata.Name+"/"+file, c.files[file])
			if err != nil {
				return nil, err
			}
			objects = append(objects, found...)
		}
	}
	return objects, nil
}

func (c *Chart) demandKubernetes(text string) error {
	given := kubeVersion.FindStringSubmatch(text)
	if given == nil {
		return fmt.Errorf("invalid kube version '%s': Invalid Semantic Version", text)
	}
	if c.Metadata.KubeVersion == "" {
		return nil
	}
	least := kubeConstraint.FindStringSubmatch(c.Metadata.KubeVersion)
	if least == nil {
		return fmt.Errorf("the stand-in cannot judge kubeVersion: %s", c.Metadata.KubeVersion)
	}
	for place := 1; place <= 3; place++ {
		wanted, _ := strconv.Atoi(least[place])
		got, _ := strconv.Atoi(given[place])
		if got > wanted {
			return nil
		}
		if got < wanted {
			return fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", c.Metadata.KubeVersion, text)
		}
	}
	return nil
}

// execute is the text that each template renders to, by its path.
func (c *Chart) execute(release Release, values Values) (map[string]string, error) {
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	paths := []string{}
	for _, file := range sortedKeys(c.files) {
		if !strings.HasPrefix(file, "templates/") {
			continue
		}
		if _, err := all.New(file).Parse(c.files[file]); err != nil {
			return nil, fmt.Errorf("parse error at (%s): %w", file, err)
		}
		last := file[strings.LastIndex(file, "/")+1:]
		if !strings.HasPrefix(last, "_") && last != "NOTES.txt" {
			paths = append(paths, file)
		}
	}
	texts := map[string]string{}
	for _, file := range paths {
		var out strings.Builder
		if err := all.ExecuteTemplate(&out, file, c.scope(release, values, file)); err != nil {
			return nil, fmt.Errorf("execution error at (%s): %w", file, err)
		}
		texts[file] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	return texts, nil
}

// scope is what a template sees as its dot.
func (c *Chart) scope(release Release, values Values, file string) map[string]any {
	about := c.Metadata
	version := "v" + strings.TrimPrefix(release.KubeVersion, "v")
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	return map[string]any{
		"Values": values,
		"Chart":  map[string]any{"Name": about.Name, "Version": about.Version, "AppVersion": about.AppVersion},
		"Release": map[string]any{
			"Name": release.Name, "Namespace": release.Namespace, "Service": "Helm", "Revision": release.Revision,
			"IsInstall": !release.IsUpgrade, "IsUpgrade": release.IsUpgrade,
		},
		"Capabilities": map[string]any{"KubeVersion": kube{version, parts[0], parts[1]}},
		"Template":     map[string]any{"Name": about.Name + "/" + file, "BasePath": about.Name + "/templates"},
	}
}

// kube is .Capabilities.KubeVersion.
type kube struct{ Version, Major, Minor string }

func (k kube) String() string { return k.Version }

// objectsIn is the objects of a file. Tests are left out; hooks of other kinds are not for the stand-in.
func objectsIn(source, text string) ([]Object, error) {
	objects := []Object{}
	for _, part := range separator.Split(text, -1) {
		fields := map[string]any{}
		err := yaml.NewDecoder(strings.NewReader(part)).Decode(&fields)
		if errors.Is(err, io.EOF) || err == nil && len(fields) == 0 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("YAML parse error on %s: error converting YAML to JSON: %w", source, err)
		}
		if fields["kind"] == nil || fields["apiVersion"] == nil {
			return nil, fmt.Errorf("unable to build kubernetes objects from release manifest: %s has an object without kind or apiVersion", source)
		}
		object := Object{source, strings.TrimSpace(part), fields}
		switch hook := object.annotation(hookAnnotation); hook {
		case "":
			objects = append(objects, object)
		case "test":
		default:
			return nil, fmt.Errorf("the stand-in runs no hook %q, of %s", hook, source)
		}
	}
	return objects, nil
}

func (o Object) annotation(key string) string {
	metadata, _ := o.Fields["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	text, _ := annotations[key].(string)
	return text
}

func rank(object Object) int {
	for place, kind := range installOrder {
		if object.Fields["kind"] == kind {
			return place
		}
	}
	return len(installOrder)
}

func sortedKeys(files map[string]string) []string {
	keys := make([]string, 0, len(files))
	for key := range files {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
