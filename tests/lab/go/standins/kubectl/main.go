// Command kubectl stands in for kubectl: versions, and reading what the cluster stand-in knows.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

func main() {
	root := &cobra.Command{Use: "kubectl", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().String("kubeconfig", os.Getenv("KUBECONFIG"), "file")
	root.PersistentFlags().String("request-timeout", "0", "time limit")
	root.AddCommand(versionCommand(), getCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v (%s)\n", err, release.Notice)
		os.Exit(1)
	}
}

func versionCommand() *cobra.Command {
	command := &cobra.Command{Use: "version", Args: cobra.NoArgs}
	client := command.Flags().Bool("client", false, "no server")
	output := command.Flags().StringP("output", "o", "", "json")
	command.RunE = func(command *cobra.Command, _ []string) error {
		versions := map[string]any{"clientVersion": release.Info()}
		if !*client {
			server, err := open(command)
			if err != nil {
				return err
			}
			var info map[string]string
			if err := server.Do("GET", "/version", nil, &info); err != nil {
				return err
			}
			versions["serverVersion"] = info
		}
		if *output == "json" {
			fmt.Println(release.JSON(versions))
		} else {
			fmt.Printf("Client Version: %s (%s)\n", release.Version, release.Notice)
		}
		return nil
	}
	return command
}

func open(command *cobra.Command) (*kubeconfig.Client, error) {
	path := command.Flag("kubeconfig").Value.String()
	if path == "" {
		return nil, fmt.Errorf("the stand-in wants --kubeconfig or KUBECONFIG")
	}
	return kubeconfig.Open(path)
}
