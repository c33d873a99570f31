package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeadmconfig"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/pki"
	"airgap-bundle/tests/lab/go/standins/internal/preflight"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

const (
	adminConf   = "/etc/kubernetes/admin.conf"
	waitSeconds = 60
)

func initCommand() *cobra.Command {
	command := leaf("init", runInit)
	command.Flags().String("config", "", "file")
	command.Flags().StringSlice("ignore-preflight-errors", nil, "names of checks")
	command.Flags().StringSlice("skip-phases", nil, "names of phases")
	command.Flags().Bool("upload-certs", false, "keep the certificates for further control planes")
	command.Flags().Bool("skip-certificate-key-print", false, "do not print the key")
	command.Flags().Bool("skip-token-print", false, "do not print the token")
	check := leaf("preflight", func(command *cobra.Command) error {
		config, err := loadInit(command)
		if err != nil {
			return err
		}
		return checkInit(command, config)
	})
	check.Flags().String("config", "", "file")
	check.Flags().StringSlice("ignore-preflight-errors", nil, "names of checks")
	command.AddCommand(group("phase", check, uploadCommand()))
	return command
}

func loadInit(command *cobra.Command) (*kubeadmconfig.Config, error) {
	path := text(command, "config")
	if path == "" {
		return nil, errors.New("the stand-in wants --config")
	}
	return kubeadmconfig.Load(path, false)
}

func checkInit(command *cobra.Command, config *kubeadmconfig.Config) error {
	ignored, err := command.Flags().GetStringSlice("ignore-preflight-errors")
	if err != nil {
		return err
	}
	fmt.Println("[preflight] Running pre-flight checks")
	registration := config.Init.NodeRegistration
	ignored = append(ignored, registration.IgnorePreflightErrors...)
	if err := preflight.Run(preflight.Init(config.Init.LocalAPIEndpoint.BindPort, registration), ignored); err != nil {
		return err
	}
	images := release.Images(config.Cluster.ImageRepository, config.Cluster.KubernetesVersion)
	return preflight.Run(preflight.Pulls(registration, images), ignored)
}

func runInit(command *cobra.Command) error {
	config, err := loadInit(command)
	if err != nil {
		return err
	}
	fmt.Printf("[init] Using Kubernetes version: %s (%s)\n", config.Cluster.KubernetesVersion, release.Notice)
	if err := checkInit(command, config); err != nil {
		return fmt.Errorf("error execution phase preflight: %w", err)
	}
	ca, err := writeCertificates(config)
	if err != nil {
		return fmt.Errorf("error execution phase certs: %w", err)
	}
	if err := writeKubeconfigs(config, ca); err != nil {
		return fmt.Errorf("error execution phase kubeconfig: %w", err)
	}
	if err := writeManifests(config); err != nil {
		return fmt.Errorf("error execution phase control-plane: %w", err)
	}
	if err := writeKubelet(config.Init.NodeRegistration, config.Cluster, config.Kubelet, config.Init.Patches); err != nil {
		return fmt.Errorf("error execution phase kubelet-start: %w", err)
	}
	if err := startKubelet(); err != nil {
		return fmt.Errorf("error execution phase kubelet-start: %w", err)
	}
	if err := waitForCluster(config.Init.NodeRegistration.Name); err != nil {
		return fmt.Errorf("error execution phase wait-control-plane: %w", err)
	}
	token, err := addTokens(config.Init.BootstrapTokens, adminConf)
	if err != nil {
		return fmt.Errorf("error execution phase bootstrap-token: %w", err)
	}
	if err := addAddOns(config); err != nil {
		return fmt.Errorf("error execution phase addon: %w", err)
	}
	if text(command, "upload-certs") == "true" {
		if err := uploadCerts(config.Init.CertificateKey, adminConf); err != nil {
			return fmt.Errorf("error execution phase upload-certs: %w", err)
		}
	}
	fmt.Printf("\nYour Kubernetes control-plane has initialized successfully! (%s)\n\n", release.Notice)
	fmt.Printf("kubeadm join %s --token %s --discovery-token-ca-cert-hash %s\n", endpoint(config), token, pki.Hash(ca.Certificate))
	return nil
}

// addAddOns keeps what the add-ons are configured with; the stand-in runs none of them.
func addAddOns(config *kubeadmconfig.Config) error {
	client, err := kubeconfig.Open(adminConf)
	if err != nil {
		return err
	}
	data := map[string]cluster.Object{"coredns": {"Corefile": ".:53 {\n    errors\n    forward . /etc/resolv.conf\n    loop\n}\n"}}
	if !slices.Contains(config.Init.SkipPhases, "addon/kube-proxy") {
		data["kube-proxy"] = cluster.Object{"config.conf": release.JSON(config.Proxy)}
	}
	resource, _ := cluster.ResourceNamed("configmap")
	for name, content := range data {
		metadata := cluster.Object{"name": name, "namespace": "kube-system"}
		object := cluster.Object{"metadata": metadata, "data": content}
		if err := client.Do("PUT", resource.Path("kube-system")+"/"+name, object, nil); err != nil {
			return err
		}
	}
	return nil
}

func endpoint(config *kubeadmconfig.Config) string {
	if config.Cluster.ControlPlaneEndpoint != "" {
		if _, _, err := net.SplitHostPort(config.Cluster.ControlPlaneEndpoint); err != nil {
			return net.JoinHostPort(config.Cluster.ControlPlaneEndpoint, "6443")
		}
		return config.Cluster.ControlPlaneEndpoint
	}
	local := config.Init.LocalAPIEndpoint
	return net.JoinHostPort(local.AdvertiseAddress, strconv.Itoa(local.BindPort))
}

func waitForCluster(node string) error {
	client, err := kubeconfig.Open(adminConf)
	if err != nil {
		return err
	}
	for range waitSeconds {
		if err = client.Do("GET", cluster.NodesPath+"/"+node, nil, nil); err == nil {
			return nil
		}
		time.Sleep(time.Second)
	}
	return fmt.Errorf("timed out waiting for the condition: %w", err)
}
