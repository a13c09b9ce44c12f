package faastest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// Local is a function that listens: a local process or an SCF web function.
type Local struct {
	*Process
	// URL is the base URL of the function, without a trailing slash; "" for a function
	// without HTTP.
	URL string

	client *http.Client
}

// StartLocal starts the function on a free port of the loopback and returns
// once it is ready. The test fails if it never is.
func StartLocal(t testing.TB, bin string, env map[string]string) *Local {
	t.Helper()
	env = expand(t, env)
	env["HOST"], env["PORT"] = "127.0.0.1", "0"
	l := &Local{Process: start(t, bin, env)}
	if address, _ := l.WaitLog(t, "ready")["address"].(string); address != "" {
		l.URL = "http://" + address
	}
	transport := &http.Transport{DisableCompression: true} // and no proxy
	t.Cleanup(transport.CloseIdleConnections)
	l.client = &http.Client{
		Transport: transport,
		Timeout:   patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // as every other shape: the function's own answer
		},
	}
	return l
}

// Do sends a request as [Plain].
func (l *Local) Do(shape Shape, r *http.Request) (*http.Response, error) {
	if shape != Plain {
		return nil, fmt.Errorf("a listener knows no %s", shape)
	}
	base, err := url.Parse(l.URL)
	if err != nil || base.Host == "" {
		return nil, errors.New("this function does not listen")
	}
	out := r.Clone(r.Context())
	out.RequestURI = "" // set by httptest.NewRequest, refused by a client
	out.URL.Scheme, out.URL.Host = base.Scheme, base.Host
	return l.client.Do(out)
}
