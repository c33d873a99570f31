// Package kubeconfig reads and writes kubeconfig files, and speaks to the server one of them names.
package kubeconfig

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"

	"airgap-bundle/tests/lab/go/standins/internal/pki"
)

const timeout = 10 * time.Second

type file struct {
	APIVersion     string              `yaml:"apiVersion"`
	Kind           string              `yaml:"kind"`
	CurrentContext string              `yaml:"current-context"`
	Clusters       []map[string]any    `yaml:"clusters"`
	Contexts       []map[string]any    `yaml:"contexts"`
	Users          []map[string]any    `yaml:"users"`
	Preferences    map[string]struct{} `yaml:"preferences"`
}

// Write keeps a kubeconfig with its certificates inside, mode 0600.
func Write(path, cluster, server string, ca *x509.Certificate, user string, pair *pki.Pair) error {
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	caPEM := (&pki.Pair{Certificate: ca}).CertificatePEM()
	context := user + "@" + cluster
	data, err := yaml.Marshal(file{
		APIVersion: "v1", Kind: "Config", CurrentContext: context,
		Clusters: []map[string]any{{"name": cluster, "cluster": map[string]any{
			"server": server, "certificate-authority-data": base64.StdEncoding.EncodeToString(caPEM),
		}}},
		Contexts: []map[string]any{{"name": context, "context": map[string]any{"cluster": cluster, "user": user}}},
		Users: []map[string]any{{"name": user, "user": map[string]any{
			"client-certificate-data": base64.StdEncoding.EncodeToString(pair.CertificatePEM()),
			"client-key-data":         base64.StdEncoding.EncodeToString(key),
		}}},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// Client speaks to one server.
type Client struct {
	Server string
	http   *http.Client
	token  string
}

// Open is the client that the kubeconfig at path describes.
func Open(path string) (*Client, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `yaml:"server"`
				CA     string `yaml:"certificate-authority-data"`
			} `yaml:"cluster"`
		} `yaml:"clusters"`
		Users []struct {
			User struct {
				Certificate string `yaml:"client-certificate-data"`
				Key         string `yaml:"client-key-data"`
			} `yaml:"user"`
		} `yaml:"users"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return nil, err
	}
	if len(config.Clusters) == 0 || len(config.Users) == 0 {
		return nil, fmt.Errorf("%s has no cluster or no user", path)
	}
	ca, errCA := base64.StdEncoding.DecodeString(config.Clusters[0].Cluster.CA)
	certificate, errCertificate := base64.StdEncoding.DecodeString(config.Users[0].User.Certificate)
	key, errKey := base64.StdEncoding.DecodeString(config.Users[0].User.Key)
	if err := errors.Join(errCA, errCertificate, errKey); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return newClient(config.Clusters[0].Cluster.Server, ca, &tls.Config{Certificates: []tls.Certificate{pair}}, ""), nil
}

// WithToken is a client that trusts the CA in ca (PEM) and shows a bootstrap token.
func WithToken(server string, ca []byte, token string) *Client {
	return newClient(server, ca, &tls.Config{}, token)
}

// Unverified is a client that takes any server, for the one question that comes before the CA is known.
func Unverified(server string) *Client {
	return newClient(server, nil, &tls.Config{InsecureSkipVerify: true}, "")
}

func newClient(server string, ca []byte, config *tls.Config, token string) *Client {
	if ca != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(ca)
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: nil}
	return &Client{server, &http.Client{Transport: transport, Timeout: timeout}, token}
}

// NotFound is the answer for something the server does not have.
var NotFound = errors.New("the server could not find the requested resource")

// Do sends in (unless nil) as JSON and reads the answer into out (unless nil).
func (c *Client) Do(verb, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(verb, c.Server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode == http.StatusNotFound:
		return NotFound
	case answer.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s: %s", verb, path, answer.Status, bytes.TrimSpace(data))
	case out == nil:
		return nil
	}
	if text, ok := out.(*string); ok {
		*text = string(data)
		return nil
	}
	return json.Unmarshal(data, out)
}
