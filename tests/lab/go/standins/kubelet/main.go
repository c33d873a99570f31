// Command kubelet stands in for the kubelet: it refuses the flags and machines that the kubelet refuses, stays running,
// and registers its node. Where there is a manifest for an API server it also answers for the control plane.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/release"
	"airgap-bundle/tests/lab/go/standins/internal/strictyaml"
)

const reportEvery = 5 * time.Second

// settings is what the stand-in uses of KubeletConfiguration.
type settings struct {
	StaticPodPath            string `yaml:"staticPodPath"`
	ContainerRuntimeEndpoint string `yaml:"containerRuntimeEndpoint"`
	FailSwapOn               *bool  `yaml:"failSwapOn"`
	ResolvConf               string `yaml:"resolvConf"`
}

func main() {
	command := &cobra.Command{Use: "kubelet", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, RunE: run}
	flags := command.Flags()
	for _, name := range []string{
		"bootstrap-kubeconfig", "kubeconfig", "config", "container-runtime-endpoint", "pod-infra-container-image",
		"node-ip", "hostname-override", "node-labels", "register-with-taints", "cgroup-driver", "resolv-conf", "root-dir", "v",
	} {
		flags.String(name, "", "as the kubelet's")
	}
	flags.Bool("version", false, "print the version")
	if err := command.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "E \"command failed\" err=%q (%s)\n", err.Error(), release.Notice)
		os.Exit(1)
	}
}

func run(command *cobra.Command, _ []string) error {
	text := func(name string) string { return command.Flag(name).Value.String() }
	if text("version") == "true" {
		fmt.Printf("Kubernetes %s\n", release.Version)
		return nil
	}
	fmt.Fprintf(os.Stderr, "I \"Kubelet version\" kubeletVersion=%q (%s)\n", release.Version, release.Notice)
	config, err := load(text("config"))
	if err != nil {
		return err
	}
	if endpoint := text("container-runtime-endpoint"); endpoint != "" {
		config.ContainerRuntimeEndpoint = endpoint
	}
	if err := checkMachine(config); err != nil {
		return err
	}
	if _, err := os.Stat(text("kubeconfig")); err != nil {
		return fmt.Errorf("failed to run Kubelet: unable to load bootstrap kubeconfig: stat %s: %w", text("bootstrap-kubeconfig"), err)
	}
	failed := make(chan error)
	go func() { failed <- http.ListenAndServe("127.0.0.1:10248", healthz()) }()
	go func() { failed <- refuse(":10250") }()
	if address, err := apiServer(config.StaticPodPath); err != nil {
		return err
	} else if address != "" {
		go func() { failed <- cluster.Serve(address) }()
	}
	go report(newNode(text("hostname-override"), text("node-ip"), config), text("kubeconfig"))
	return <-failed
}

func load(path string) (*settings, error) {
	if path == "" {
		return nil, errors.New("the stand-in wants --config")
	}
	documents, err := strictyaml.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("failed to load kubelet config file, path: %s, error: %w", path, err)
	}
	if len(documents) != 1 || documents[0].APIVersion != "kubelet.config.k8s.io/v1beta1" || documents[0].Kind != "KubeletConfiguration" {
		return nil, fmt.Errorf("failed to load kubelet config file, path: %s, error: no kind %q is registered for version %q", path, documents[0].Kind, documents[0].APIVersion)
	}
	// The kubelet takes a v1beta1 file with unknown fields, and says so.
	if err := documents[0].Strict(); err != nil {
		fmt.Fprintf(os.Stderr, "W Using lenient decoding as strict decoding failed: %v\n", err)
	}
	config := &settings{}
	return config, documents[0].Into(config)
}

func checkMachine(config *settings) error {
	swaps, err := os.ReadFile("/proc/swaps")
	if err == nil && strings.Count(string(swaps), "\n") > 1 && (config.FailSwapOn == nil || *config.FailSwapOn) {
		return fmt.Errorf("failed to run Kubelet: running with swap on is not supported, please disable swap or set --fail-swap-on flag to false. /proc/swaps contained: %s", swaps)
	}
	if config.ContainerRuntimeEndpoint == "" {
		return errors.New("failed to validate kubelet configuration, error: the containerRuntimeEndpoint was not specified or empty")
	}
	if config.ResolvConf != "" {
		if _, err := os.Stat(config.ResolvConf); err != nil {
			return fmt.Errorf("failed to run Kubelet: resolvConf: %w", err)
		}
	}
	connection, err := net.Dial("unix", strings.TrimPrefix(config.ContainerRuntimeEndpoint, "unix://"))
	if err != nil {
		return fmt.Errorf("failed to run Kubelet: validate service connection: %w", err)
	}
	return connection.Close()
}

func healthz() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	return mux
}

// refuse holds the kubelet's own port and lets nobody in.
func refuse(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		connection.Close()
	}
}

// apiServer is where the API server of this node's manifests listens, empty without one.
func apiServer(manifests string) (string, error) {
	data, err := os.ReadFile(filepath.Join(manifests, "kube-apiserver.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var pod struct {
		Spec struct {
			Containers []struct {
				Command []string `yaml:"command"`
			} `yaml:"containers"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(data, &pod); err != nil {
		return "", err
	}
	for _, container := range pod.Spec.Containers {
		for _, word := range container.Command {
			if port, found := strings.CutPrefix(word, "--secure-port="); found {
				return ":" + port, nil
			}
		}
	}
	return "", errors.New("kube-apiserver.yaml has no --secure-port")
}
