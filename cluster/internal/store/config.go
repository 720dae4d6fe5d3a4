package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Config says how to reach a cluster.
type Config struct {
	Endpoints      []string // URLs
	TLS            *tls.Config
	User, Password string
}

// Environment is what a Config is read from: the variables of etcdctl, and those of poolrun, which go
// before. Dir is the directory in which relative names of files are looked up.
type Environment struct {
	Lookup func(string) string
	Dir    string
}

// get returns the value of ETCDCTL_NAME or POOLRUN_ETCD_NAME. An empty variable counts as unset.
func (e Environment) get(name string) string {
	if value := e.Lookup("POOLRUN_ETCD_" + name); value != "" {
		return value
	}
	return e.Lookup("ETCDCTL_" + name)
}

// file returns the name of a file, "" for none.
func (e Environment) file(name string) string {
	path := e.get(name)
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(e.Dir, path)
	}
	return path
}

const defaultPort = "2379"

// Config returns how to reach the cluster with these hosts, or with those of the environment if there
// are none. Hosts are reached by TLS if secure is true. So are endpoints of the environment that say so
// or, if they say nothing, if there are certificates.
func (e Environment) Config(hosts []string, secure bool) (c Config, err error) {
	cert, key, ca := e.file("CERT"), e.file("KEY"), e.file("CACERT")
	endpoints := hosts
	if len(hosts) == 0 {
		for _, endpoint := range strings.Split(e.get("ENDPOINTS"), ",") {
			if endpoint = strings.TrimSpace(endpoint); endpoint != "" {
				endpoints = append(endpoints, endpoint)
			}
		}
		if len(endpoints) == 0 {
			return c, errors.New("no etcd is named: set ETCDCTL_ENDPOINTS, or name its hosts, as in etcd://HOST:" + defaultPort + "/NAME")
		}
		for _, endpoint := range endpoints {
			scheme, _, hasScheme := strings.Cut(endpoint, "://")
			secure = secure || scheme == "https" || !hasScheme && (ca != "" || cert != "")
		}
	}
	for _, endpoint := range endpoints {
		if _, host, ok := strings.Cut(endpoint, "://"); ok {
			endpoint = host
		}
		endpoint = strings.TrimSuffix(endpoint, "/")
		if i := strings.LastIndexByte(endpoint, ':'); i < 0 || strings.HasSuffix(endpoint, "]") {
			endpoint += ":" + defaultPort
		}
		scheme := "http://"
		if secure {
			scheme = "https://"
		}
		c.Endpoints = append(c.Endpoints, scheme+endpoint)
	}
	if secure {
		insecure := false
		if text := e.get("INSECURE_SKIP_TLS_VERIFY"); text != "" {
			if insecure, err = strconv.ParseBool(text); err != nil {
				return c, fmt.Errorf("ETCDCTL_INSECURE_SKIP_TLS_VERIFY is %q: want true or false", text)
			}
		}
		if c.TLS, err = tlsConfig(ca, cert, key, insecure); err != nil {
			return c, err
		}
	}
	c.User, c.Password, err = e.credentials()
	return c, err
}

// tlsConfig reads the certificate of the client anew for each connection, since it may have been replaced.
func tlsConfig(ca, cert, key string, insecure bool) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("cannot read the CA's certificate: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate of a CA", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("a client certificate needs both ETCDCTL_CERT and ETCDCTL_KEY")
	}
	if cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("cannot read the client certificate: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

// credentials returns the user and the password: from USER, which can have both, PASSWORD or
// PASSWORD_FILE.
func (e Environment) credentials() (user, password string, err error) {
	user, password, ok := strings.Cut(e.get("USER"), ":")
	switch file := e.file("PASSWORD_FILE"); {
	case ok:
	case file != "":
		password, err = readSecret(file)
	default:
		password = e.get("PASSWORD")
	}
	switch {
	case err != nil:
		return "", "", err
	case user != "" && password == "":
		return "", "", fmt.Errorf("etcd user %s has no password: set ETCDCTL_PASSWORD or POOLRUN_ETCD_PASSWORD_FILE", user)
	}
	return user, password, nil
}

// readSecret reads a file that nobody else may read.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode()&0o077 != 0 {
		return "", fmt.Errorf("cannot use password file %s: %w: its mode is %04o, and others must not have access to it", file, fs.ErrPermission, info.Mode().Perm())
	}
	text := make([]byte, 4096)
	n, err := f.Read(text)
	if err != nil {
		return "", fmt.Errorf("cannot read password file %s: %w", file, err)
	}
	return strings.TrimRight(string(text[:n]), "\r\n"), nil
}
