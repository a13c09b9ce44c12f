package rediskv

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout   = 2 * time.Second
	answerTimeout = 3 * time.Second
	// idleLife is shorter than what load balancers and NAT gateways forget a
	// silent connection after; a frozen function has many of those.
	idleLife = 4 * time.Minute
	// connLife bounds how long a failover of the name behind the address goes
	// unnoticed by a connection in use.
	connLife = 10 * time.Minute
)

// target is what a URL says.
type target struct {
	addrs          []string
	user, password string
	db             int
	cluster        bool
	tls            *tls.Config // nil: without
}

// parse reads a URL. No error repeats its user or password.
func parse(raw string) (target, error) {
	var t target
	if raw == "" {
		return t, errors.New("rediskv: the URL is missing: use redis://user:password@host:port/db")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return t, errors.New("rediskv: the URL is malformed: percent-encode special characters in the user and password")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return t, errors.New("rediskv: the URL must start with redis:// or rediss://")
	}
	if u.Hostname() == "" || u.Port() == "" {
		return t, errors.New("rediskv: the URL needs host:port")
	}
	t.addrs = []string{u.Host}
	t.user = u.User.Username()
	t.password, _ = u.User.Password()
	if t.user != "" && t.password == "" {
		return t, errors.New("rediskv: the URL has a user and no password: use user:password@ or :password@")
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		if t.db, err = strconv.Atoi(db); err != nil || t.db < 0 {
			return t, errors.New("rediskv: the database in the URL's path must be a number")
		}
	}
	if u.Scheme == "rediss" {
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return t, errors.New("rediskv: the URL's parameters are malformed")
	}
	for name, values := range query {
		if err := t.parameter(name, values); err != nil {
			return t, err
		}
	}
	switch {
	case !t.cluster && len(t.addrs) > 1:
		return t, errors.New("rediskv: addr= is for clusters only: add cluster=1")
	case t.cluster && t.db != 0:
		return t, errors.New("rediskv: a cluster has only database 0")
	}
	return t, nil
}

func (t *target) parameter(name string, values []string) error {
	if len(values) > 1 && name != "addr" {
		return errors.New("rediskv: a parameter of the URL is given twice")
	}
	switch name {
	case "cluster":
		if values[0] != "0" && values[0] != "1" {
			return errors.New("rediskv: cluster= must be 0 or 1")
		}
		t.cluster = values[0] == "1"
	case "addr":
		for _, addr := range values {
			if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
				return errors.New("rediskv: addr= must be host:port")
			}
		}
		t.addrs = append(t.addrs, values...)
	case "ca":
		if t.tls == nil {
			return errors.New("rediskv: ca= is for rediss:// only")
		}
		pem, err := os.ReadFile(values[0])
		if err != nil {
			return fmt.Errorf("rediskv: the file of CA certificates cannot be read: %w", err)
		}
		t.tls.RootCAs = x509.NewCertPool()
		if !t.tls.RootCAs.AppendCertsFromPEM(pem) {
			return errors.New("rediskv: the file of CA certificates has no certificate in PEM")
		}
	default:
		return errors.New("rediskv: the URL has an unknown parameter: use cluster, addr or ca")
	}
	return nil
}

// client makes the client, without connecting. Retries are left to
// [Store.persist], which knows the caller's deadline; a cluster's client follows
// redirections itself.
func (t target) client() redis.UniversalClient {
	if t.cluster {
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.addrs, Username: t.user, Password: t.password, TLSConfig: t.tls,
			Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
			DialTimeout: dialTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, ConnMaxIdleTime: idleLife, ConnMaxLifetime: connLife,
			NewClient: func(o *redis.Options) *redis.Client { return redis.NewClient(once(o)) },
		})
	}
	return redis.NewClient(once(&redis.Options{
		Addr: t.addrs[0], Username: t.user, Password: t.password, DB: t.db, TLSConfig: t.tls,
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: dialTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, ConnMaxIdleTime: idleLife, ConnMaxLifetime: connLife,
	}))
}

// once makes a node's client try everything once.
func once(o *redis.Options) *redis.Options {
	o.MaxRetries = -1
	o.DialerRetries, o.DialerRetryTimeout = 1, 1 // it also pauses after the last
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}
