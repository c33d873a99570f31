// Package kubeadmconfig reads the files given to kubeadm with --config, as kubeadm 1.30 does.
package kubeadmconfig

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"airgap-bundle/tests/lab/go/standins/internal/release"
	"airgap-bundle/tests/lab/go/standins/internal/strictyaml"
)

const (
	api          = "kubeadm.k8s.io/v1beta3"
	experimental = "kubeadm.k8s.io/v1beta4"
	defaultCRI   = "unix:///var/run/containerd/containerd.sock"
)

// Registration is how the node is to be registered.
type Registration struct {
	Name                  string            `yaml:"name"`
	CRISocket             string            `yaml:"criSocket"`
	KubeletExtraArgs      map[string]string `yaml:"kubeletExtraArgs"`
	IgnorePreflightErrors []string          `yaml:"ignorePreflightErrors"`
	ImagePullPolicy       string            `yaml:"imagePullPolicy"`
	Taints                []map[string]any  `yaml:"taints"`
}

// Endpoint is where the API server of a node listens.
type Endpoint struct {
	AdvertiseAddress string `yaml:"advertiseAddress"`
	BindPort         int    `yaml:"bindPort"`
}

// Token is a bootstrap token.
type Token struct {
	Token       string `yaml:"token" json:"token"`
	TTL         string `yaml:"ttl" json:"ttl"`
	Description string `yaml:"description" json:"description"`
}

// Patches is where patches of what kubeadm writes are kept.
type Patches struct {
	Directory string `yaml:"directory"`
}

// Init is InitConfiguration.
type Init struct {
	BootstrapTokens  []Token      `yaml:"bootstrapTokens"`
	NodeRegistration Registration `yaml:"nodeRegistration"`
	LocalAPIEndpoint Endpoint     `yaml:"localAPIEndpoint"`
	CertificateKey   string       `yaml:"certificateKey"`
	SkipPhases       []string     `yaml:"skipPhases"`
	Patches          Patches      `yaml:"patches"`
}

// Cluster is ClusterConfiguration.
type Cluster struct {
	KubernetesVersion    string `yaml:"kubernetesVersion"`
	ControlPlaneEndpoint string `yaml:"controlPlaneEndpoint"`
	ImageRepository      string `yaml:"imageRepository"`
	ClusterName          string `yaml:"clusterName"`
	Networking           struct {
		ServiceSubnet string `yaml:"serviceSubnet"`
		PodSubnet     string `yaml:"podSubnet"`
		DNSDomain     string `yaml:"dnsDomain"`
	} `yaml:"networking"`
	APIServer struct {
		CertSANs []string `yaml:"certSANs"`
	} `yaml:"apiServer"`
}

// Join is JoinConfiguration.
type Join struct {
	NodeRegistration Registration `yaml:"nodeRegistration"`
	Discovery        struct {
		BootstrapToken *struct {
			Token                    string   `yaml:"token"`
			APIServerEndpoint        string   `yaml:"apiServerEndpoint"`
			CACertHashes             []string `yaml:"caCertHashes"`
			UnsafeSkipCAVerification bool     `yaml:"unsafeSkipCAVerification"`
		} `yaml:"bootstrapToken"`
		TLSBootstrapToken string `yaml:"tlsBootstrapToken"`
	} `yaml:"discovery"`
	ControlPlane *struct {
		LocalAPIEndpoint Endpoint `yaml:"localAPIEndpoint"`
		CertificateKey   string   `yaml:"certificateKey"`
	} `yaml:"controlPlane"`
	Patches Patches `yaml:"patches"`
}

// Config is everything the documents of one file said, with kubeadm's defaults filled in.
type Config struct {
	Init    Init
	Cluster Cluster
	Join    *Join
	Kubelet map[string]any
	Proxy   map[string]any
}

// Load reads a file. With strict an unknown field is an error, as for "kubeadm config validate"; otherwise a warning.
func Load(path string, strict bool) (*Config, error) {
	documents, err := strictyaml.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config := Default()
	seen := map[string]bool{}
	for _, document := range documents {
		if err := checkAPI(document.APIVersion); err != nil {
			return nil, err
		}
		if seen[document.Kind] {
			return nil, fmt.Errorf("invalid configuration: kind %q is specified twice in YAML file", document.Kind)
		}
		seen[document.Kind] = true
		if err := document.Strict(); err != nil {
			if strict {
				return nil, err
			}
			fmt.Fprintf(os.Stderr, "W %v\n", err)
		}
		if err := config.read(document); err != nil {
			return nil, err
		}
	}
	return config, config.complete(seen)
}

// Default is what kubeadm takes without a file.
func Default() *Config {
	config := &Config{}
	config.Cluster.KubernetesVersion = release.Version
	config.Cluster.ImageRepository = "registry.k8s.io"
	config.Cluster.ClusterName = "kubernetes"
	config.Cluster.Networking.ServiceSubnet = "10.96.0.0/12"
	config.Cluster.Networking.DNSDomain = "cluster.local"
	config.Init.LocalAPIEndpoint.BindPort = 6443
	return config
}

func checkAPI(version string) error {
	group, _, _ := strings.Cut(version, "/")
	switch {
	case version == experimental:
		return fmt.Errorf("experimental API spec: %q is not allowed. You can use the --allow-experimental-api flag if the command supports it.", version)
	case group == "kubeadm.k8s.io" && version != api:
		return fmt.Errorf("your configuration file uses an old API spec: %q. Please use kubeadm v1.22 instead and run 'kubeadm config migrate --old-config old.yaml --new-config new.yaml', which will write the new, similar spec using a newer API version.", version)
	}
	return nil
}

func (c *Config) read(document strictyaml.Document) error {
	switch document.Kind {
	case "InitConfiguration":
		return document.Into(&c.Init)
	case "ClusterConfiguration":
		return document.Into(&c.Cluster)
	case "JoinConfiguration":
		c.Join = &Join{}
		return document.Into(c.Join)
	case "KubeletConfiguration":
		return document.Into(&c.Kubelet)
	case "KubeProxyConfiguration":
		return document.Into(&c.Proxy)
	}
	return fmt.Errorf("no kind %q is registered for version %q", document.Kind, document.APIVersion)
}

func (c *Config) complete(seen map[string]bool) error {
	if !seen["InitConfiguration"] && !seen["ClusterConfiguration"] && !seen["JoinConfiguration"] {
		return fmt.Errorf("no InitConfiguration or ClusterConfiguration kind was found in the YAML file")
	}
	registration := &c.Init.NodeRegistration
	if c.Join != nil {
		registration = &c.Join.NodeRegistration
	}
	if err := completeRegistration(registration); err != nil {
		return err
	}
	if _, err := release.MinorOf(c.Cluster.KubernetesVersion); err != nil {
		return err
	}
	if address := c.Init.LocalAPIEndpoint.AdvertiseAddress; address != "" {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("couldn't use %q as \"apiserver-advertise-address\", must be ipv4 or ipv6 address", address)
		}
	}
	if c.Join != nil {
		return c.Join.check()
	}
	return nil
}

func completeRegistration(registration *Registration) error {
	if registration.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		registration.Name = strings.ToLower(name)
	}
	if registration.CRISocket == "" {
		registration.CRISocket = defaultCRI
	}
	if !strings.HasPrefix(registration.CRISocket, "unix://") {
		fmt.Fprintf(os.Stderr, "W Usage of CRI endpoints without URL scheme is deprecated and can cause kubelet errors in the future.\n")
		registration.CRISocket = "unix://" + registration.CRISocket
	}
	if !slices.Contains([]string{"", "Always", "IfNotPresent", "Never"}, registration.ImagePullPolicy) {
		return fmt.Errorf("nodeRegistration.imagePullPolicy: Unsupported value: %q: supported values: \"Always\", \"IfNotPresent\", \"Never\"", registration.ImagePullPolicy)
	}
	return nil
}

func (j *Join) check() error {
	bootstrap := j.Discovery.BootstrapToken
	switch {
	case bootstrap == nil:
		return fmt.Errorf("discovery: Invalid value: \"\": bootstrapToken or file must be set")
	case !ValidToken(bootstrap.Token):
		return fmt.Errorf("discovery.bootstrapToken.token: Invalid value: %q: the bootstrap token is invalid", bootstrap.Token)
	case len(bootstrap.CACertHashes) == 0 && !bootstrap.UnsafeSkipCAVerification:
		return fmt.Errorf("discovery.bootstrapToken: Invalid value: \"\": using token-based discovery without caCertHashes can be unsafe. Set unsafeSkipCAVerification as true in your kubeadm config file or pass --discovery-token-unsafe-skip-ca-verification flag to continue")
	}
	return nil
}

// ValidToken tells whether text has the form of a bootstrap token: abcdef.0123456789abcdef.
func ValidToken(text string) bool {
	id, secret, found := strings.Cut(text, ".")
	isPlain := func(part string) bool {
		return strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	}
	return found && len(id) == 6 && len(secret) == 16 && isPlain(id) && isPlain(secret)
}
