// Command helm stands in for helm: it renders the charts that the lab serves, and keeps releases in the cluster stand-in
// as helm keeps them. What helm refuses it refuses, and what it does not know it refuses too.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/chart"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

// helmVersion is linked in.
var helmVersion = "unknown"

func main() {
	root := &cobra.Command{Use: "helm", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().String("kubeconfig", os.Getenv("KUBECONFIG"), "file")
	root.PersistentFlags().StringP("namespace", "n", "default", "namespace")
	root.AddCommand(versionCommand(), templateCommand(), listCommand(), getCommand(), upgradeCommand(), uninstallCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v (%s)\n", err, notice)
		os.Exit(1)
	}
}

const notice = "stand-in of the test lab, not Helm"

func versionCommand() *cobra.Command {
	command := &cobra.Command{Use: "version", Args: cobra.NoArgs}
	short := command.Flags().Bool("short", false, "the number only")
	command.RunE = func(*cobra.Command, []string) error {
		if *short {
			fmt.Printf("v%s+stand-in\n", helmVersion)
		} else {
			fmt.Printf("version.BuildInfo{Version:\"v%s\", GitTreeState:%q}\n", helmVersion, notice)
		}
		return nil
	}
	return command
}

func templateCommand() *cobra.Command {
	command := &cobra.Command{Use: "template NAME CHART", Args: cobra.MinimumNArgs(1)}
	files := command.Flags().StringSliceP("values", "f", nil, "files")
	kubernetes := command.Flags().String("kube-version", release.Version, "version")
	crds := command.Flags().Bool("include-crds", false, "the chart's definitions too")
	command.Flags().Bool("skip-tests", false, "no tests; the stand-in never renders them")
	command.RunE = func(command *cobra.Command, args []string) error {
		packed, values, err := arguments(args, *files)
		if err != nil {
			return err
		}
		objects := []chart.Object{}
		if *crds {
			if objects, err = packed.CRDs(); err != nil {
				return err
			}
		}
		wanted := chart.Release{Name: args[0], Namespace: namespace(command), KubeVersion: *kubernetes, Revision: 1}
		rendered, err := packed.Render(wanted, values)
		if err != nil {
			return err
		}
		fmt.Print(manifest(append(objects, rendered...)))
		return nil
	}
	return command
}

// arguments reads what NAME CHART --values mean.
func arguments(args, files []string) (*chart.Chart, chart.Values, error) {
	switch {
	case len(args) == 1:
		return nil, nil, errors.New("must either provide a name or specify --generate-name")
	case len(args) > 2:
		return nil, nil, fmt.Errorf("expected at most two arguments, unexpected arguments: %v", args[2:])
	}
	if err := chart.DemandName(args[0]); err != nil {
		return nil, nil, err
	}
	values := chart.Values{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		read, err := chart.ReadValues(data)
		if err != nil {
			return nil, nil, fmt.Errorf("failed to parse %s: %w", file, err)
		}
		values = chart.Merged(read, values, false)
	}
	packed, err := chart.Load(args[1])
	return packed, values, err
}

func manifest(objects []chart.Object) string {
	text := ""
	for _, object := range objects {
		text += fmt.Sprintf("---\n# Source: %s\n%s\n", object.Source, object.Text)
	}
	return text
}

func namespace(command *cobra.Command) string {
	return command.Flag("namespace").Value.String()
}

// open is the cluster that the command is for.
func open(command *cobra.Command) (*kubeconfig.Client, error) {
	client, err := kubeconfig.Open(command.Flag("kubeconfig").Value.String())
	if err == nil {
		err = client.Do("GET", "/version", nil, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("Kubernetes cluster unreachable: %w", err)
	}
	return client, nil
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }
