package cluster

import (
	"encoding/json"
	"net/http"
	"sort"
	"strings"

	"airgap-bundle/tests/lab/go/standins/internal/release"
)

// Object is what the API keeps under a path.
type Object = map[string]any

// givenNamespaces are those every cluster has.
var givenNamespaces = []string{"default", "kube-node-lease", "kube-public", "kube-system"}

// givenObjects is what is there from the start.
func givenObjects() map[string]Object {
	objects := map[string]Object{}
	for _, name := range givenNamespaces {
		objects["/api/v1/namespaces/"+name] = Object{
			"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": name}, "status": Object{"phase": "Active"},
		}
	}
	return objects
}

// route serves one resource: its list, and its objects by name. PUT creates what is not there yet.
func (s *Server) route(routes *http.ServeMux, resource Resource) {
	list := func(w http.ResponseWriter, r *http.Request) { s.list(w, r, resource) }
	base := resource.Path("")
	routes.HandleFunc("GET "+base, s.known(list))
	if resource.Namespaced {
		base = resource.Path("{namespace}")
		routes.HandleFunc("GET "+base, s.known(list))
	}
	routes.HandleFunc("GET "+base+"/{name}", s.known(s.get))
	routes.HandleFunc("PUT "+base+"/{name}", s.known(func(w http.ResponseWriter, r *http.Request) { s.put(w, r, resource) }))
	routes.HandleFunc("DELETE "+base+"/{name}", s.known(s.remove))
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, resource Resource) {
	items := []Object{}
	for _, path := range s.paths(resource) {
		object := s.state.Objects[path]
		here := r.PathValue("namespace")
		if (here == "" || Text(object, "metadata", "namespace") == here) && selected(object, r.URL.Query().Get("labelSelector")) {
			items = append(items, s.withStatus(object))
		}
	}
	answer(w, Object{"apiVersion": resource.APIVersion, "kind": resource.Kind + "List", "items": items})
}

// paths is where the resource's objects are, in order.
func (s *Server) paths(resource Resource) []string {
	found := []string{}
	for path, object := range s.state.Objects {
		if object["kind"] == resource.Kind && object["apiVersion"] == resource.APIVersion {
			found = append(found, path)
		}
	}
	sort.Strings(found)
	return found
}

// selected tells whether an object bears every label of a selector such as a=b,c=d.
func selected(object Object, selector string) bool {
	for _, wanted := range strings.FieldsFunc(selector, func(letter rune) bool { return letter == ',' }) {
		key, value, _ := strings.Cut(wanted, "=")
		if Text(object, "metadata", "labels", key) != value {
			return false
		}
	}
	return true
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	object, found := s.state.Objects[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	answer(w, s.withStatus(object))
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, resource Resource) {
	object := Object{}
	if !read(w, r, &object) {
		return
	}
	namespace := r.PathValue("namespace")
	if _, found := s.state.Objects["/api/v1/namespaces/"+namespace]; namespace != "" && !found {
		http.Error(w, `namespaces "`+namespace+`" not found`, http.StatusForbidden)
		return
	}
	if Text(object, "metadata", "name") != r.PathValue("name") || Text(object, "metadata", "namespace") != namespace {
		http.Error(w, "the name of the object does not match the name on the URL", http.StatusBadRequest)
		return
	}
	object["apiVersion"], object["kind"] = resource.APIVersion, resource.Kind
	s.state.Objects[r.URL.Path] = object
	s.keep(w)
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	if _, found := s.state.Objects[r.URL.Path]; !found {
		http.NotFound(w, r)
		return
	}
	delete(s.state.Objects, r.URL.Path)
	s.keep(w)
}

// Text is the text at a path of keys, empty when there is none.
func Text(object Object, keys ...string) string {
	var place any = object
	for _, key := range keys {
		fields, _ := place.(map[string]any)
		place = fields[key]
	}
	text, _ := place.(string)
	return text
}

// Into reads an object as a type whose fields are those we use.
func Into(object Object, value any) error {
	return json.Unmarshal([]byte(release.JSON(object)), value)
}
