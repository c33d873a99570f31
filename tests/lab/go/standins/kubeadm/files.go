package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"airgap-bundle/tests/lab/go/standins/internal/kubeadmconfig"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/pki"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

const (
	manifestsFolder = "/etc/kubernetes/manifests"
	kubeletFolder   = "/var/lib/kubelet"
	kubeletPatch    = "kubeletconfiguration0+merge.yaml"
)

// writeCertificates makes the three authorities and what they sign, and the service account key.
func writeCertificates(config *kubeadmconfig.Config) (*pki.Pair, error) {
	var cluster *pki.Pair
	names := []string{
		config.Init.NodeRegistration.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + config.Cluster.Networking.DNSDomain, config.Init.LocalAPIEndpoint.AdvertiseAddress,
	}
	service, err := netip.ParsePrefix(config.Cluster.Networking.ServiceSubnet)
	if err != nil {
		return nil, err
	}
	names = append(append(names, service.Addr().Next().String()), config.Cluster.APIServer.CertSANs...)
	local := []string{"localhost", "127.0.0.1", config.Init.LocalAPIEndpoint.AdvertiseAddress}
	for _, authority := range []struct {
		file, name string
		leaves     map[string][]string
	}{
		{"ca", "kubernetes", map[string][]string{"apiserver": names, "apiserver-kubelet-client": nil}},
		{"front-proxy-ca", "front-proxy-ca", map[string][]string{"front-proxy-client": nil}},
		{"etcd/ca", "etcd-ca", map[string][]string{
			"etcd/server": local, "etcd/peer": local, "etcd/healthcheck-client": nil, "apiserver-etcd-client": nil,
		}},
	} {
		ca, err := pki.NewCA(authority.name)
		if err != nil {
			return nil, err
		}
		if err := writeAuthority(ca, authority.file, authority.leaves); err != nil {
			return nil, err
		}
		if authority.file == "ca" {
			cluster = ca
		}
	}
	return cluster, pki.WriteKeys("sa")
}

func writeAuthority(ca *pki.Pair, file string, leaves map[string][]string) error {
	if err := ca.Write(file); err != nil {
		return err
	}
	for leaf, names := range leaves {
		pair, err := ca.Issue(filepath.Base(leaf), "", names)
		if err != nil {
			return err
		}
		if err := pair.Write(leaf); err != nil {
			return err
		}
	}
	return nil
}

func writeKubeconfigs(config *kubeadmconfig.Config, ca *pki.Pair) error {
	name := config.Init.NodeRegistration.Name
	for file, user := range map[string][2]string{
		"admin":              {"kubernetes-admin", "kubeadm:cluster-admins"},
		"super-admin":        {"kubernetes-super-admin", "system:masters"},
		"kubelet":            {"system:node:" + name, "system:nodes"},
		"controller-manager": {"system:kube-controller-manager", ""},
		"scheduler":          {"system:kube-scheduler", ""},
	} {
		pair, err := ca.Issue(user[0], user[1], nil)
		if err != nil {
			return err
		}
		path := "/etc/kubernetes/" + file + ".conf"
		server := "https://" + endpoint(config)
		if err := kubeconfig.Write(path, config.Cluster.ClusterName, server, ca.Certificate, user[0], pair); err != nil {
			return err
		}
	}
	return nil
}

// writeManifests writes the static pods; the kubelet stand-in reads the API server's address from the first.
func writeManifests(config *kubeadmconfig.Config) error {
	if err := os.MkdirAll(manifestsFolder, 0o755); err != nil {
		return err
	}
	images := release.Images(config.Cluster.ImageRepository, config.Cluster.KubernetesVersion)
	local := config.Init.LocalAPIEndpoint
	for name, image := range map[string]string{
		"kube-apiserver": images[0], "kube-controller-manager": images[1], "kube-scheduler": images[2], "etcd": images[6],
	} {
		command := []string{name}
		if name == "kube-apiserver" {
			command = append(command, "--advertise-address="+local.AdvertiseAddress, fmt.Sprintf("--secure-port=%d", local.BindPort))
		}
		pod := map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{
				"name": name, "namespace": "kube-system", "labels": map[string]string{"component": name, "tier": "control-plane"},
				"annotations": map[string]string{"airgap-bundle.lab/notice": release.Notice},
			},
			"spec": map[string]any{
				"hostNetwork": true, "priorityClassName": "system-node-critical",
				"containers": []map[string]any{{"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": command}},
			},
		}
		if err := writeYAML(filepath.Join(manifestsFolder, name+".yaml"), pod, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeKubelet writes config.yaml with the node's patch merged in, and the flags' file.
func writeKubelet(registration kubeadmconfig.Registration, cluster kubeadmconfig.Cluster, given map[string]any, patches kubeadmconfig.Patches) error {
	settings := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "staticPodPath": manifestsFolder,
		"rotateCertificates": true, "clusterDomain": cluster.Networking.DNSDomain, "cgroupDriver": "systemd",
		"healthzBindAddress": "127.0.0.1", "healthzPort": 10248,
		"authentication": map[string]any{"x509": map[string]any{"clientCAFile": pki.Folder + "/ca.crt"}},
	}
	maps.Copy(settings, given)
	if patches.Directory != "" {
		data, err := os.ReadFile(filepath.Join(patches.Directory, kubeletPatch))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var patch map[string]any
		if err := yaml.Unmarshal(data, &patch); err != nil {
			return fmt.Errorf("%s: %w", kubeletPatch, err)
		}
		maps.Copy(settings, patch)
	}
	if err := os.MkdirAll(kubeletFolder, 0o755); err != nil {
		return err
	}
	if err := writeYAML(kubeletFolder+"/config.yaml", settings, 0o644); err != nil {
		return err
	}
	flags := map[string]string{
		"container-runtime-endpoint": registration.CRISocket,
		"pod-infra-container-image":  release.Pause(orElse(cluster.ImageRepository, "registry.k8s.io")),
	}
	if name, err := os.Hostname(); err == nil && name != registration.Name {
		flags["hostname-override"] = registration.Name
	}
	maps.Copy(flags, registration.KubeletExtraArgs)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		words = append(words, "--"+name+"="+flags[name])
	}
	line := fmt.Sprintf("KUBELET_KUBEADM_ARGS=%q\n", strings.Join(words, " "))
	return os.WriteFile(kubeletFolder+"/kubeadm-flags.env", []byte(line), 0o644)
}

func startKubelet() error {
	fmt.Println("[kubelet-start] Starting the kubelet")
	for _, argv := range [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "restart", "kubelet"}} {
		if output, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %s: %w", strings.Join(argv, " "), output, err)
		}
	}
	return nil
}

func writeYAML(path string, value any, mode os.FileMode) error {
	data, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}
