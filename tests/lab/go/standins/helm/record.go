package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"

	"airgap-bundle/tests/lab/go/standins/internal/chart"
	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

const secretType = "helm.sh/release.v1"

// record is one revision of a release, kept in a secret of its own whose labels say its state.
type record struct {
	Name       string       `json:"name"`
	Namespace  string       `json:"namespace"`
	Revision   int          `json:"revision"`
	Status     string       `json:"status"`
	Updated    string       `json:"updated"`
	Chart      string       `json:"chart"`
	AppVersion string       `json:"appVersion"`
	Values     chart.Values `json:"values"`
	Paths      []string     `json:"paths"`
}

// keep writes the revision with this status.
func (r *record) keep(client *kubeconfig.Client, status string) error {
	r.Status = status
	name := fmt.Sprintf("sh.helm.release.v1.%s.v%d", r.Name, r.Revision)
	secret := cluster.NewSecret(name, secretType, map[string]string{"release": release.JSON(r)})
	secret.Metadata.Namespace = r.Namespace
	secret.Metadata.Labels = map[string]string{
		"owner": "helm", "name": r.Name, "status": status, "version": strconv.Itoa(r.Revision),
	}
	return client.Do("PUT", secretsPath(r.Namespace)+"/"+name, secret, nil)
}

// remove ends the revision's record.
func (r *record) remove(client *kubeconfig.Client) error {
	return client.Do("DELETE", fmt.Sprintf("%s/sh.helm.release.v1.%s.v%d", secretsPath(r.Namespace), r.Name, r.Revision), nil, nil)
}

func secretsPath(namespace string) string {
	resource, _ := cluster.ResourceNamed("secrets")
	return resource.Path(namespace)
}

// records is every revision in a namespace, oldest first; of one release only, if name is given.
func records(client *kubeconfig.Client, namespace, name string) ([]*record, error) {
	selector := "owner=helm"
	if name != "" {
		selector += ",name=" + name
	}
	var listed struct {
		Items []cluster.Secret `json:"items"`
	}
	if err := client.Do("GET", secretsPath(namespace)+"?labelSelector="+selector, nil, &listed); err != nil {
		return nil, err
	}
	found := []*record{}
	for _, secret := range listed.Items {
		read := &record{}
		text, err := base64.StdEncoding.DecodeString(secret.Data["release"])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, read); err != nil {
			return nil, err
		}
		read.Status = secret.Metadata.Labels["status"]
		found = append(found, read)
	}
	sort.Slice(found, func(a, b int) bool { return found[a].Revision < found[b].Revision })
	return found, nil
}

// newest is the newest revision of each release, by name.
func newest(all []*record) []*record {
	byName := map[string]*record{}
	for _, revision := range all {
		byName[revision.Name] = revision
	}
	found := []*record{}
	for _, revision := range byName {
		found = append(found, revision)
	}
	sort.Slice(found, func(a, b int) bool { return found[a].Name < found[b].Name })
	return found
}
