// Command kubeadm stands in for kubeadm: it takes the same commands and flags, refuses what kubeadm refuses, and writes
// the files kubeadm writes; the control plane behind them is the kubelet stand-in.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"airgap-bundle/tests/lab/go/standins/internal/kubeadmconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

func main() {
	root := &cobra.Command{Use: "kubeadm", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().IntP("v", "v", 0, "log level")
	root.AddCommand(versionCommand(), configCommand(), initCommand(), joinCommand(), resetCommand(), tokenCommand(), certsCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\nTo see the stack trace of this error execute with --v=5 or higher\n", err)
		os.Exit(1)
	}
}

// leaf is a command without arguments.
func leaf(name string, run func(*cobra.Command) error) *cobra.Command {
	return &cobra.Command{Use: name, Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
		return run(command)
	}}
}

// group is a command that only has others below it; an unknown one is an error, as it is for kubeadm.
func group(name string, commands ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{Use: name, Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
		return command.Help()
	}}
	command.AddCommand(commands...)
	return command
}

func text(command *cobra.Command, flag string) string {
	return command.Flag(flag).Value.String()
}

func versionCommand() *cobra.Command {
	command := leaf("version", func(command *cobra.Command) error {
		wrapped := map[string]any{"clientVersion": release.Info()}
		switch output := text(command, "output"); output {
		case "":
			fmt.Printf("kubeadm version: %v (%s)\n", release.Info(), release.Notice)
		case "short":
			fmt.Println(release.Version)
		case "json":
			fmt.Println(release.JSON(wrapped))
		case "yaml":
			return yaml.NewEncoder(os.Stdout).Encode(wrapped)
		default:
			return fmt.Errorf("invalid output format: %s", output)
		}
		return nil
	})
	command.Flags().StringP("output", "o", "", "short, json or yaml")
	return command
}

func configCommand() *cobra.Command {
	validate := leaf("validate", func(command *cobra.Command) error {
		path := text(command, "config")
		if path == "" {
			return fmt.Errorf("the --config flag is mandatory")
		}
		if _, err := kubeadmconfig.Load(path, true); err != nil {
			return err
		}
		fmt.Println("ok")
		return nil
	})
	validate.Flags().String("config", "", "file")
	list := leaf("list", func(command *cobra.Command) error {
		config := kubeadmconfig.Default()
		if path := text(command, "config"); path != "" {
			loaded, err := kubeadmconfig.Load(path, false)
			if err != nil {
				return err
			}
			config = loaded
		} else {
			config.Cluster.KubernetesVersion = text(command, "kubernetes-version")
			config.Cluster.ImageRepository = text(command, "image-repository")
			if _, err := release.MinorOf(config.Cluster.KubernetesVersion); err != nil {
				return err
			}
		}
		return printImages(release.Images(config.Cluster.ImageRepository, config.Cluster.KubernetesVersion), text(command, "output"))
	})
	list.Flags().String("config", "", "file")
	list.Flags().String("kubernetes-version", release.Version, "version")
	list.Flags().String("image-repository", "registry.k8s.io", "repository")
	list.Flags().StringP("output", "o", "text", "text, json or yaml")
	return group("config", validate, group("images", list))
}

func printImages(images []string, output string) error {
	document := map[string]any{"apiVersion": "output.kubeadm.k8s.io/v1alpha3", "kind": "Images", "images": images}
	switch output {
	case "text":
		for _, image := range images {
			fmt.Println(image)
		}
	case "json":
		fmt.Println(release.JSON(document))
	case "yaml":
		return yaml.NewEncoder(os.Stdout).Encode(document)
	default:
		return fmt.Errorf("invalid output format: %s", output)
	}
	return nil
}

func certsCommand() *cobra.Command {
	return group("certs", leaf("certificate-key", func(*cobra.Command) error {
		key, err := certificateKey()
		fmt.Println(key)
		return err
	}))
}

func certificateKey() (string, error) {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	return hex.EncodeToString(key), err
}

func newToken() (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	var out []byte
	for range 22 {
		number, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", err
		}
		out = append(out, letters[number.Int64()])
	}
	return string(out[:6]) + "." + string(out[6:]), nil
}
