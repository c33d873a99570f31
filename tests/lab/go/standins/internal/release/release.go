// Package release says which Kubernetes release the stand-ins stand in for, and what that release knows.
package release

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Version is the release, linked in. The tags below and the fields known to package strictyaml are those of 1.30.
var Version = "v1.30.14"

// Notice is what a stand-in says about itself.
const Notice = "stand-in of the test lab, not Kubernetes"

const (
	corednsTag = "v1.11.3"
	etcdTag    = "3.5.15-0"
	pauseTag   = "3.9"
)

// MinorOf is the minor number of a version such as v1.30.14.
func MinorOf(version string) (int, error) {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) != 3 || parts[0] != "1" {
		return 0, fmt.Errorf("version %q doesn't match patterns for neither semantic version nor labels (stable, latest, ...)", version)
	}
	return strconv.Atoi(parts[1])
}

// Images is what kubeadm of this release lists for a Kubernetes version: coredns, pause and etcd are its own choice.
func Images(repository, kubernetes string) []string {
	var out []string
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		out = append(out, fmt.Sprintf("%s/%s:%s", repository, name, kubernetes))
	}
	coredns := repository + "/coredns"
	if repository == "registry.k8s.io" {
		coredns += "/coredns"
	}
	return append(out, coredns+":"+corednsTag, Pause(repository), repository+"/etcd:"+etcdTag)
}

// Pause is the sandbox image of this release.
func Pause(repository string) string { return repository + "/pause:" + pauseTag }

// Info is the version as Kubernetes' programs print it.
func Info() map[string]string {
	parts := strings.Split(strings.TrimPrefix(Version, "v"), ".")
	return map[string]string{
		"major": parts[0], "minor": parts[1], "gitVersion": Version, "gitCommit": "", "gitTreeState": "stand-in",
		"buildDate": "1970-01-01T00:00:00Z", "goVersion": runtime.Version(), "compiler": runtime.Compiler,
		"platform": runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// JSON is v as indented JSON; v is one of our own values, so encoding cannot fail.
func JSON(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return string(data)
}
