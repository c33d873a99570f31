package main

import (
	"errors"
	"fmt"
	"net"
	"os"
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
	upload := leaf("upload-certs", func(command *cobra.Command) error {
		if text(command, "upload-certs") != "true" {
			return nil
		}
		return errors.New("the stand-in keeps no certificates for further control planes")
	})
	upload.Flags().Bool("upload-certs", false, "keep them")
	upload.Flags().String("certificate-key", "", "key")
	upload.Flags().String("config", "", "file")
	upload.Flags().String("kubeconfig", adminConf, "file")
	command.AddCommand(group("phase", check, upload))
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
	images := release.Images(config.Cluster.ImageRepository, config.Cluster.KubernetesVersion)
	checks := preflight.Init(config.Init.LocalAPIEndpoint.BindPort, registration, images)
	return preflight.Run(checks, append(ignored, registration.IgnorePreflightErrors...))
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
	token, err := addTokens(config.Init.BootstrapTokens)
	if err != nil {
		return fmt.Errorf("error execution phase bootstrap-token: %w", err)
	}
	fmt.Printf("\nYour Kubernetes control-plane has initialized successfully! (%s)\n\n", release.Notice)
	fmt.Printf("kubeadm join %s --token %s --discovery-token-ca-cert-hash %s\n", endpoint(config), token, pki.Hash(ca.Certificate))
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

// addTokens makes the tokens known, one new token if there is none; the first is returned.
func addTokens(tokens []kubeadmconfig.Token) (string, error) {
	if len(tokens) == 0 {
		tokens = []kubeadmconfig.Token{{}}
	}
	added := map[string]time.Time{}
	for i := range tokens {
		if tokens[i].Token == "" {
			made, err := newToken()
			if err != nil {
				return "", err
			}
			tokens[i].Token = made
		}
		lifetime, err := time.ParseDuration(orElse(tokens[i].TTL, "24h"))
		if err != nil {
			return "", err
		}
		if !kubeadmconfig.ValidToken(tokens[i].Token) {
			return "", fmt.Errorf("the bootstrap token %q was not of the form %q", tokens[i].Token, "\\A([a-z0-9]{6})\\.([a-z0-9]{16})\\z")
		}
		added[tokens[i].Token] = time.Now().Add(lifetime)
	}
	client, err := kubeconfig.Open(adminConf)
	if err != nil {
		return "", err
	}
	return tokens[0].Token, client.Do("POST", cluster.TokensPath, added, nil)
}

func orElse(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

func tokenCommand() *cobra.Command {
	create := &cobra.Command{Use: "create [token]", Args: cobra.MaximumNArgs(1)}
	create.RunE = func(command *cobra.Command, args []string) error {
		token := kubeadmconfig.Token{TTL: text(command, "ttl")}
		if len(args) == 1 {
			token.Token = args[0]
		}
		made, err := addTokens([]kubeadmconfig.Token{token})
		if err != nil {
			return err
		}
		if text(command, "print-join-command") != "true" {
			fmt.Println(made)
			return nil
		}
		ca, err := pki.ReadCertificate(pki.Folder + "/ca.crt")
		if err != nil {
			return err
		}
		client, err := kubeconfig.Open(text(command, "kubeconfig"))
		if err != nil {
			return err
		}
		fmt.Printf("kubeadm join %s --token %s --discovery-token-ca-cert-hash %s \n", client.Server[len("https://"):], made, pki.Hash(ca))
		return nil
	}
	create.Flags().String("ttl", "24h0m0s", "lifetime")
	create.Flags().Bool("print-join-command", false, "print how to join")
	create.Flags().String("certificate-key", "", "key")
	create.Flags().String("description", "", "text")
	create.Flags().String("config", "", "file")
	list := leaf("list", func(command *cobra.Command) error {
		client, err := kubeconfig.Open(text(command, "kubeconfig"))
		if err != nil {
			return err
		}
		var tokens map[string]time.Time
		if err := client.Do("GET", cluster.TokensPath, nil, &tokens); err != nil {
			return err
		}
		for token, end := range tokens {
			fmt.Printf("%s   %s   %s\n", token, time.Until(end).Round(time.Second), end.UTC().Format(time.RFC3339))
		}
		return nil
	})
	generate := leaf("generate", func(*cobra.Command) error {
		token, err := newToken()
		fmt.Fprintln(os.Stdout, token)
		return err
	})
	command := group("token", create, list, generate)
	command.PersistentFlags().String("kubeconfig", adminConf, "file")
	return command
}
