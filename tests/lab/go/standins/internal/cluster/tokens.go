package cluster

import (
	"encoding/base64"
	"strings"
	"time"
)

const tokenType = "bootstrap.kubernetes.io/token"

// Secret is an object of kind Secret.
type Secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Type       string            `json:"type"`
	Metadata   Metadata          `json:"metadata"`
	Data       map[string]string `json:"data"`
}

// Metadata is what we use of an object's metadata.
type Metadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	Labels          map[string]string `json:"labels,omitempty"`
	OwnerReferences []Owner           `json:"ownerReferences,omitempty"`
}

// Owner is the object whose end is also this one's.
type Owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// NewSecret is a secret in kube-system whose values are encoded as the API wants them.
func NewSecret(name, kind string, values map[string]string) Secret {
	data := map[string]string{}
	for key, value := range values {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return Secret{"v1", "Secret", kind, Metadata{Name: name, Namespace: "kube-system"}, data}
}

// TokenSecret is a bootstrap token as the cluster keeps it.
func TokenSecret(token, description string, end time.Time) Secret {
	id, secret, _ := strings.Cut(token, ".")
	return NewSecret("bootstrap-token-"+id, tokenType, map[string]string{
		"token-id": id, "token-secret": secret, "description": description,
		"expiration": end.UTC().Format(time.RFC3339), "usage-bootstrap-authentication": "true",
	})
}

// Value is one decoded value of the secret, empty when it is not there.
func (s Secret) Value(key string) string {
	data, err := base64.StdEncoding.DecodeString(s.Data[key])
	if err != nil {
		return ""
	}
	return string(data)
}

// Token is the bootstrap token that the secret is, empty if it is none or has ended.
func (s Secret) Token() string {
	end, err := time.Parse(time.RFC3339, s.Value("expiration"))
	if s.Type != tokenType || err != nil || time.Now().After(end) {
		return ""
	}
	return s.Value("token-id") + "." + s.Value("token-secret")
}
