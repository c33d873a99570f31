// Package preflight makes the checks of kubeadm 1.30, under their names and with its severities.
package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"airgap-bundle/tests/lab/go/standins/internal/kubeadmconfig"
)

// Check is one named check; Warns means that a problem is told but does not stop.
type Check struct {
	Name  string
	Warns bool
	Run   func() error
}

// Init is the checks before kubeadm init, for a node whose API server will listen on port.
func Init(port int, registration kubeadmconfig.Registration) []Check {
	checks := []Check{root(), cpus(), memory()}
	for _, number := range []int{port, 10259, 10257} {
		checks = append(checks, freePort(number))
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"} {
		checks = append(checks, noFile("/etc/kubernetes/manifests/"+name+".yaml"))
	}
	checks = append(checks, node(registration)...)
	return append(checks, freePort(10250), freePort(2379), freePort(2380), emptyFolder("/var/lib/etcd"))
}

// Join is the checks before kubeadm join as a worker.
func Join(registration kubeadmconfig.Registration) []Check {
	checks := []Check{root(), emptyFolder("/etc/kubernetes/manifests")}
	for _, path := range []string{"kubelet.conf", "bootstrap-kubelet.conf", "pki/ca.crt"} {
		checks = append(checks, noFile("/etc/kubernetes/"+path))
	}
	return append(append(checks, node(registration)...), freePort(10250))
}

// Run makes the checks; ignored names those whose errors are only told. It reports as kubeadm does.
func Run(checks []Check, ignored []string) error {
	var fatal []string
	for _, check := range checks {
		err := check.Run()
		if err == nil {
			continue
		}
		isIgnored := slices.ContainsFunc(ignored, func(name string) bool {
			return strings.EqualFold(name, check.Name) || strings.EqualFold(name, "all")
		})
		if check.Warns || isIgnored {
			fmt.Fprintf(os.Stderr, "\t[WARNING %s]: %v\n", check.Name, err)
			continue
		}
		fatal = append(fatal, fmt.Sprintf("\t[ERROR %s]: %v\n", check.Name, err))
	}
	if len(fatal) == 0 {
		return nil
	}
	return fmt.Errorf("[preflight] Some fatal errors occurred:\n%s[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`", strings.Join(fatal, ""))
}

// node is what init and join both want of the machine.
func node(registration kubeadmconfig.Registration) []Check {
	checks := []Check{
		{"FileContent--proc-sys-net-ipv4-ip_forward", false, func() error {
			data, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
			if err == nil && strings.TrimSpace(string(data)) != "1" {
				err = errors.New("/proc/sys/net/ipv4/ip_forward contents are not set to 1")
			}
			return err
		}},
		{"Swap", true, swap},
		{"KubeletVersion", false, func() error {
			if _, err := exec.Command("kubelet", "--version").Output(); err != nil {
				return fmt.Errorf("couldn't get kubelet version: cannot execute 'kubelet --version': %w", err)
			}
			return nil
		}},
	}
	if hasCrictl() {
		checks = append(checks, Check{"CRI", false, func() error { return answersCRI(registration.CRISocket) }})
	} else {
		fmt.Fprintln(os.Stderr, "[preflight] WARNING: Couldn't create the interface used for talking to the container runtime: crictl is required by the container runtime")
	}
	for _, tool := range []string{"crictl", "conntrack", "ip", "iptables", "mount", "nsenter"} {
		checks = append(checks, onPath(tool, false))
	}
	for _, tool := range []string{"ebtables", "ethtool", "socat", "tc", "touch"} {
		checks = append(checks, onPath(tool, true))
	}
	return checks
}

// hasCrictl tells whether the runtime can be asked at all: kubeadm 1.30 speaks to it through crictl.
func hasCrictl() bool {
	_, err := exec.LookPath("crictl")
	return err == nil
}

func crictl(endpoint string, args ...string) *exec.Cmd {
	return exec.Command("crictl", append([]string{"-r", endpoint, "-i", endpoint}, args...)...)
}

func root() Check {
	return Check{"IsPrivilegedUser", false, func() error {
		if os.Getuid() != 0 {
			return errors.New("user is not running as root")
		}
		return nil
	}}
}

func cpus() Check {
	return Check{"NumCPU", false, func() error {
		if runtime.NumCPU() < 2 {
			return fmt.Errorf("the number of available CPUs %d is less than the required 2", runtime.NumCPU())
		}
		return nil
	}}
}

func memory() Check {
	return Check{"Mem", false, func() error {
		data, err := os.ReadFile("/proc/meminfo")
		if err != nil {
			return err
		}
		var kibibytes int
		if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kibibytes); err != nil {
			return err
		}
		if megabytes := kibibytes / 1024; megabytes < 1700 {
			return fmt.Errorf("the system RAM (%d MB) is less than the minimum 1700 MB", megabytes)
		}
		return nil
	}}
}

func freePort(number int) Check {
	return Check{fmt.Sprintf("Port-%d", number), false, func() error {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", number))
		if err != nil {
			return fmt.Errorf("Port %d is in use", number)
		}
		return listener.Close()
	}}
}

func noFile(path string) Check {
	name := "FileAvailable-" + strings.ReplaceAll(path, "/", "-")
	return Check{name, false, func() error {
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("%s already exists", path)
		}
		return nil
	}}
}

func emptyFolder(path string) Check {
	name := "DirAvailable-" + strings.ReplaceAll(path, "/", "-")
	return Check{name, false, func() error {
		entries, err := os.ReadDir(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && len(entries) > 0 {
			return fmt.Errorf("%s is not empty", path)
		}
		return err
	}}
}

func onPath(tool string, warns bool) Check {
	return Check{"FileExisting-" + tool, warns, func() error {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s not found in system path", tool)
		}
		return nil
	}}
}

func swap() error {
	data, err := os.ReadFile("/proc/swaps")
	if err == nil && len(strings.Split(strings.TrimSpace(string(data)), "\n")) > 1 {
		err = errors.New("swap is supported for cgroup v2 only; the NodeSwap feature gate of the kubelet is beta but disabled by default")
	}
	return err
}

func answersCRI(endpoint string) error {
	if output, err := crictl(endpoint, "info").CombinedOutput(); err != nil {
		return fmt.Errorf("container runtime is not running: output: %s, error: %w", output, err)
	}
	return nil
}

// Pulls is the check that every image is there or can be had, made after the others; none if nothing may be pulled.
func Pulls(registration kubeadmconfig.Registration, images []string) []Check {
	if registration.ImagePullPolicy == "Never" {
		return nil
	}
	return []Check{{"ImagePull", false, func() error {
		for _, image := range images {
			if crictl(registration.CRISocket, "inspecti", image).Run() == nil && registration.ImagePullPolicy != "Always" {
				continue
			}
			if output, err := crictl(registration.CRISocket, "pull", image).CombinedOutput(); err != nil {
				return fmt.Errorf("failed to pull image %s: output: %s, error: %w", image, output, err)
			}
		}
		return nil
	}}}
}
