package cluster

import "strings"

// Resource is a kind of object that the cluster keeps, as the API names it.
type Resource struct {
	APIVersion string
	Kind       string
	Plural     string
	Short      string
	Namespaced bool
}

// Resources is every kind there is; objects of another are refused.
var Resources = []Resource{
	{"v1", "ConfigMap", "configmaps", "cm", true},
	{"v1", "Namespace", "namespaces", "ns", false},
	{"v1", "Node", "nodes", "no", false},
	{"v1", "Pod", "pods", "po", true},
	{"v1", "Secret", "secrets", "", true},
	{"v1", "Service", "services", "svc", true},
	{"v1", "ServiceAccount", "serviceaccounts", "sa", true},
	{"apps/v1", "DaemonSet", "daemonsets", "ds", true},
	{"apps/v1", "Deployment", "deployments", "deploy", true},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "", false},
	{"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", "", false},
	{"rbac.authorization.k8s.io/v1", "Role", "roles", "", true},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", "", true},
}

// ResourceNamed is the resource that kubectl means by a word: plural, singular or short.
func ResourceNamed(word string) (Resource, bool) {
	for _, resource := range Resources {
		if word != "" && (word == resource.Plural || word == resource.Short || word == strings.ToLower(resource.Kind)) {
			return resource, true
		}
	}
	return Resource{}, false
}

// ResourceOf is the resource that an object's apiVersion and kind name.
func ResourceOf(apiVersion, kind string) (Resource, bool) {
	for _, resource := range Resources {
		if resource.APIVersion == apiVersion && resource.Kind == kind {
			return resource, true
		}
	}
	return Resource{}, false
}

// Path is where the API has the resource's objects in a namespace; in all of them without one.
func (r Resource) Path(namespace string) string {
	root := "/apis/" + r.APIVersion
	if r.APIVersion == "v1" {
		root = "/api/v1"
	}
	if r.Namespaced && namespace != "" {
		return root + "/namespaces/" + namespace + "/" + r.Plural
	}
	return root + "/" + r.Plural
}
