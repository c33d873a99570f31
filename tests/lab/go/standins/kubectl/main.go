// Command kubectl stands in for kubectl: versions, and reading what the cluster stand-in knows.
package main

import (
	"fmt"
	"os"
	"sort"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

func main() {
	root := &cobra.Command{Use: "kubectl", SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs}
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

type nodeObject struct {
	Metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Status struct {
		Conditions []struct{ Type, Status string } `json:"conditions"`
	} `json:"status"`
}

func getCommand() *cobra.Command {
	command := &cobra.Command{Use: "get [nodes [NAME]]", Args: cobra.MaximumNArgs(2)}
	output := command.Flags().StringP("output", "o", "", "json or name")
	raw := command.Flags().String("raw", "", "path to ask for")
	noHeaders := command.Flags().Bool("no-headers", false, "rows only")
	command.RunE = func(command *cobra.Command, args []string) error {
		client, err := open(command)
		if err != nil {
			return err
		}
		if *raw != "" {
			var text string
			err := client.Do("GET", *raw, nil, &text)
			fmt.Print(text)
			return err
		}
		if len(args) == 0 || (args[0] != "nodes" && args[0] != "node" && args[0] != "no") {
			return fmt.Errorf("the stand-in knows nodes only, not %q", args)
		}
		path := cluster.NodesPath
		if len(args) == 2 {
			path += "/" + args[1]
		}
		return printNodes(client, path, *output, *noHeaders)
	}
	return command
}

func printNodes(client *kubeconfig.Client, path, output string, noHeaders bool) error {
	if output == "json" {
		var answer map[string]any
		if err := client.Do("GET", path, nil, &answer); err != nil {
			return err
		}
		fmt.Println(release.JSON(answer))
		return nil
	}
	var answer struct {
		nodeObject
		Items []nodeObject `json:"items"`
	}
	if err := client.Do("GET", path, nil, &answer); err != nil {
		return err
	}
	nodes := answer.Items
	if answer.Metadata.Name != "" {
		nodes = []nodeObject{answer.nodeObject}
	}
	sort.Slice(nodes, func(a, b int) bool { return nodes[a].Metadata.Name < nodes[b].Metadata.Name })
	switch output {
	case "name":
		for _, node := range nodes {
			fmt.Println("node/" + node.Metadata.Name)
		}
	case "", "wide":
		printTable(nodes, noHeaders)
	default:
		return fmt.Errorf("the stand-in cannot print %q", output)
	}
	return nil
}

func printTable(nodes []nodeObject, noHeaders bool) {
	if !noHeaders {
		fmt.Printf("%-20s %-10s %-15s %s\n", "NAME", "STATUS", "ROLES", "VERSION")
	}
	for _, node := range nodes {
		status, role := "NotReady", "<none>"
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				status = "Ready"
			}
		}
		if _, found := node.Metadata.Labels["node-role.kubernetes.io/control-plane"]; found {
			role = "control-plane"
		}
		fmt.Printf("%-20s %-10s %-15s %s\n", node.Metadata.Name, status, role, release.Version)
	}
}
