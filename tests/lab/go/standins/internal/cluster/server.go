// Package cluster is the control plane's end of the stand-ins: a small API over TLS whose state is one file.
//
// It is served by the kubelet of a control-plane node, as long as there is a manifest for an API server. It keeps the
// objects of a few kinds and signs certificates for joining nodes; everything else is answered with 404.
package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"airgap-bundle/tests/lab/go/standins/internal/pki"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

// StateFile is where the cluster's state is kept.
const StateFile = "/var/lib/etcd/stand-in.json"

// Paths of the API; those below /stand-in/ are the stand-ins' own, simpler than what Kubernetes does there.
const (
	InfoPath    = "/stand-in/cluster-info"
	SignPath    = "/stand-in/node-certificate"
	NodesPath   = "/api/v1/nodes"
	SecretsPath = "/api/v1/namespaces/kube-system/secrets"
)

// Info is what a joining node learns before it trusts the server.
type Info struct {
	CA       string   `json:"ca"`
	TokenIDs []string `json:"tokenIDs"`
}

// Signed is a node's certificate and key, in PEM.
type Signed struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// state is every object, by its path.
type state struct {
	Objects map[string]Object `json:"objects"`
}

// Server answers for one cluster.
type Server struct {
	ca    *pki.Pair
	mutex sync.Mutex
	state state
}

// Serve answers on address with the API server's certificate until it fails.
func Serve(address string) error {
	ca, err := pki.Read("ca")
	if err != nil {
		return err
	}
	server := &Server{ca: ca, state: state{givenObjects()}}
	data, err := os.ReadFile(StateFile)
	if err == nil {
		err = json.Unmarshal(data, &server.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	listener := &http.Server{
		Addr: address, Handler: server.routes(),
		TLSConfig: &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool},
	}
	return listener.ListenAndServeTLS(filepath.Join(pki.Folder, "apiserver.crt"), filepath.Join(pki.Folder, "apiserver.key"))
}

func (s *Server) routes() http.Handler {
	routes := http.NewServeMux()
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		routes.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	}
	routes.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, release.Info()) })
	routes.HandleFunc("GET "+InfoPath, s.info)
	routes.HandleFunc("POST "+SignPath, s.sign)
	for _, resource := range Resources {
		s.route(routes, resource)
	}
	return routes
}

// known lets only clients with a certificate of the cluster's CA in.
func (s *Server) known(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		s.mutex.Lock()
		defer s.mutex.Unlock()
		handler(w, r)
	}
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	info := Info{CA: string(s.ca.CertificatePEM()), TokenIDs: []string{}}
	for _, path := range s.paths(Resource{APIVersion: "v1", Kind: "Secret"}) {
		if secret := s.secret(path); secret.Token() != "" {
			info.TokenIDs = append(info.TokenIDs, secret.Value("token-id"))
		}
	}
	answer(w, info)
}

func (s *Server) sign(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, _, _ := strings.Cut(token, ".")
	if token == "" || s.secret(SecretsPath+"/bootstrap-token-"+id).Token() != token {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	var node struct{ Name string }
	if !read(w, r, &node) {
		return
	}
	pair, err := s.ca.Issue("system:node:"+node.Name, "system:nodes", nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	key, err := pair.KeyPEM()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, Signed{string(pair.CertificatePEM()), string(key)})
}

// secret is the secret at a path, an empty one if there is none.
func (s *Server) secret(path string) Secret {
	var secret Secret
	if err := Into(s.state.Objects[path], &secret); err != nil {
		return Secret{}
	}
	return secret
}

// keep writes the state beside its place and moves it there.
func (s *Server) keep(w http.ResponseWriter) {
	unfinished := StateFile + ".unfinished"
	err := os.MkdirAll(filepath.Dir(StateFile), 0o700)
	if err == nil {
		err = os.WriteFile(unfinished, []byte(release.JSON(s.state)), 0o600)
	}
	if err == nil {
		err = os.Rename(unfinished, StateFile)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]string{"status": "Success"})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(release.JSON(value)))
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
