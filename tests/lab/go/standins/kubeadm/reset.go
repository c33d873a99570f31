package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/pki"
)

func resetCommand() *cobra.Command {
	command := leaf("reset", func(command *cobra.Command) error {
		if text(command, "force") != "true" && !confirmed() {
			return errors.New("aborted reset operation")
		}
		if os.Getuid() != 0 {
			return errors.New("[preflight] Some fatal errors occurred:\n\t[ERROR IsPrivilegedUser]: user is not running as root")
		}
		// As the real one: a kubelet that cannot be stopped is only a warning.
		if err := exec.Command("systemctl", "stop", "kubelet").Run(); err != nil {
			fmt.Fprintf(os.Stderr, "[reset] The kubelet service could not be stopped by kubeadm: %v\n", err)
		}
		return removeState()
	})
	command.Flags().BoolP("force", "f", false, "do not ask")
	command.Flags().Bool("cleanup-tmp-dir", false, "remove temporary files too")
	command.Flags().String("cri-socket", "", "socket")
	command.Flags().String("kubeconfig", adminConf, "file")
	command.Flags().String("cert-dir", pki.Folder, "folder")
	command.Flags().StringSlice("ignore-preflight-errors", nil, "names of checks")
	return command
}

func confirmed() bool {
	fmt.Print("Are you sure you want to proceed? [y/N]: ")
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(answer), "y")
}

// removeState empties the folders kubeadm owns and removes its files.
func removeState() error {
	var failed []error
	for _, folder := range []string{manifestsFolder, pki.Folder, kubeletFolder, "/var/lib/etcd"} {
		entries, err := filepath.Glob(folder + "/*")
		failed = append(failed, err)
		for _, entry := range entries {
			failed = append(failed, os.RemoveAll(entry))
		}
	}
	for _, name := range []string{"admin", "super-admin", "kubelet", "bootstrap-kubelet", "controller-manager", "scheduler"} {
		failed = append(failed, os.RemoveAll("/etc/kubernetes/"+name+".conf"))
	}
	return errors.Join(failed...)
}
