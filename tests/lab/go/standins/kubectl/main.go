// Command kubectl stands in for kubectl: versions, reading what the cluster stand-in knows, and the few changes that an
// install asks for.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

// fromServer is how messages begin that are the server's, not kubectl's.
const fromServer = "Error from server"

func main() {
	root := &cobra.Command{Use: "kubectl", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().String("kubeconfig", os.Getenv("KUBECONFIG"), "file")
	root.PersistentFlags().String("request-timeout", "0", "time limit")
	root.AddCommand(versionCommand(), getCommand(), createCommand(), labelCommand(), patchCommand(), deleteCommand())
	if err := root.Execute(); err != nil {
		text := err.Error()
		if !strings.HasPrefix(text, fromServer) {
			text = "error: " + text
		}
		fmt.Fprintf(os.Stderr, "%s (%s)\n", text, release.Notice)
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
