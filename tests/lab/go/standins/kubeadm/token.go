package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeadmconfig"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/pki"
)

const certificatesLifetime = 2 * time.Hour

// addTokens makes the tokens known, one new token if there is none; the first is returned.
func addTokens(tokens []kubeadmconfig.Token, path string) (string, error) {
	if len(tokens) == 0 {
		tokens = []kubeadmconfig.Token{{}}
	}
	client, err := kubeconfig.Open(path)
	if err != nil {
		return "", err
	}
	for i := range tokens {
		if tokens[i].Token == "" {
			if tokens[i].Token, err = newToken(); err != nil {
				return "", err
			}
		}
		if !kubeadmconfig.ValidToken(tokens[i].Token) {
			return "", fmt.Errorf("the bootstrap token %q was not of the form %q", tokens[i].Token, "\\A([a-z0-9]{6})\\.([a-z0-9]{16})\\z")
		}
		lifetime, err := time.ParseDuration(orElse(tokens[i].TTL, "24h"))
		if err != nil {
			return "", err
		}
		if err := keepToken(client, tokens[i].Token, tokens[i].Description, lifetime); err != nil {
			return "", err
		}
	}
	return tokens[0].Token, nil
}

func keepToken(client *kubeconfig.Client, token, description string, lifetime time.Duration) error {
	secret := cluster.TokenSecret(token, description, time.Now().Add(lifetime))
	return client.Do("PUT", cluster.SecretsPath+"/"+secret.Metadata.Name, secret, nil)
}

// uploadCerts keeps what kubeadm keeps for further control planes, without the certificates: a secret that ends with a
// token of its own. The stand-in joins workers only.
func uploadCerts(key, path string) error {
	if key != "" && len(key) != 64 {
		return fmt.Errorf("invalid certificate key %q", key)
	}
	client, err := kubeconfig.Open(path)
	if err != nil {
		return err
	}
	token, err := newToken()
	if err != nil {
		return err
	}
	if err := keepToken(client, token, "Proxy for managing TTL for the kubeadm-certs secret", certificatesLifetime); err != nil {
		return err
	}
	id, _, _ := strings.Cut(token, ".")
	secret := cluster.NewSecret("kubeadm-certs", "Opaque", nil)
	secret.Metadata.OwnerReferences = []cluster.Owner{{APIVersion: "v1", Kind: "Secret", Name: "bootstrap-token-" + id}}
	fmt.Println("[upload-certs] Storing the certificates in Secret \"kubeadm-certs\" in the \"kube-system\" Namespace")
	return client.Do("PUT", cluster.SecretsPath+"/kubeadm-certs", secret, nil)
}

func uploadCommand() *cobra.Command {
	command := leaf("upload-certs", func(command *cobra.Command) error {
		if text(command, "upload-certs") != "true" {
			fmt.Println("[upload-certs] Skipping phase. Please see --upload-certs")
			return nil
		}
		key := text(command, "certificate-key")
		if path := text(command, "config"); path != "" {
			config, err := kubeadmconfig.Load(path, false)
			if err != nil {
				return err
			}
			key = config.Init.CertificateKey
		}
		made, err := certificateKey()
		if err != nil {
			return err
		}
		key = orElse(key, made)
		if err := uploadCerts(key, text(command, "kubeconfig")); err != nil {
			return err
		}
		if text(command, "skip-certificate-key-print") != "true" {
			fmt.Printf("[upload-certs] Using certificate key:\n%s\n", key)
		}
		return nil
	})
	command.Flags().Bool("upload-certs", false, "keep them")
	command.Flags().Bool("skip-certificate-key-print", false, "do not print the key")
	command.Flags().String("certificate-key", "", "key")
	command.Flags().String("config", "", "file")
	command.Flags().String("kubeconfig", adminConf, "file")
	return command
}

func tokenCommand() *cobra.Command {
	list := leaf("list", func(command *cobra.Command) error {
		client, err := kubeconfig.Open(text(command, "kubeconfig"))
		if err != nil {
			return err
		}
		var secrets struct {
			Items []cluster.Secret `json:"items"`
		}
		if err := client.Do("GET", cluster.SecretsPath, nil, &secrets); err != nil {
			return err
		}
		for _, secret := range secrets.Items {
			if token := secret.Token(); token != "" {
				fmt.Printf("%s   %s   %s\n", token, secret.Value("expiration"), secret.Value("description"))
			}
		}
		return nil
	})
	generate := leaf("generate", func(*cobra.Command) error {
		token, err := newToken()
		fmt.Println(token)
		return err
	})
	command := group("token", tokenCreateCommand(), list, generate)
	command.PersistentFlags().String("kubeconfig", adminConf, "file")
	return command
}

func tokenCreateCommand() *cobra.Command {
	command := &cobra.Command{Use: "create [token]", Args: cobra.MaximumNArgs(1)}
	command.RunE = func(command *cobra.Command, args []string) error {
		tokens := []kubeadmconfig.Token{{TTL: text(command, "ttl"), Description: text(command, "description")}}
		if len(args) == 1 {
			tokens[0].Token = args[0]
		}
		if path := text(command, "config"); path != "" {
			config, err := kubeadmconfig.Load(path, false)
			if err != nil {
				return err
			}
			tokens = config.Init.BootstrapTokens
		}
		made, err := addTokens(tokens, text(command, "kubeconfig"))
		if err != nil || text(command, "print-join-command") != "true" {
			fmt.Println(made)
			return err
		}
		return printJoin(made, text(command, "kubeconfig"))
	}
	command.Flags().String("ttl", "24h0m0s", "lifetime")
	command.Flags().Bool("print-join-command", false, "print how to join")
	command.Flags().String("description", "", "text")
	command.Flags().String("config", "", "file")
	return command
}

func printJoin(token, path string) error {
	ca, err := pki.ReadCertificate(pki.Folder + "/ca.crt")
	if err != nil {
		return err
	}
	client, err := kubeconfig.Open(path)
	if err != nil {
		return err
	}
	endpoint := strings.TrimPrefix(client.Server, "https://")
	fmt.Printf("kubeadm join %s --token %s --discovery-token-ca-cert-hash %s\n", endpoint, token, pki.Hash(ca))
	return nil
}

func orElse(value, other string) string {
	if value == "" {
		return other
	}
	return value
}
