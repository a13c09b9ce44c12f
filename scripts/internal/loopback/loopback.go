// Package loopback guards servers that are meant for programs and pages of this
// machine, such as scripts/dev and scripts/imemu, whose keys are published.
package loopback

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Only answers 403 to requests that a page of another site may have caused: a request
// whose Host is a name other than localhost, since anybody can let a name resolve to
// this machine (DNS rebinding), and a request that a browser sends for a page of
// another site. Pages of any loopback origin and of the given origins may call. Allowed
// from any site are links to a page, and images, sounds and videos under /media/, whose
// names cannot be guessed.
func Only(h http.Handler, origins ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isLocal(r.Host):
			http.Error(w, "foreign Host: use the address or localhost", http.StatusForbidden)
		case crossSite(r, origins):
			http.Error(w, "cross-site request: call from a page of this machine", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// isLocal reports whether a host, perhaps with a port, is an address or localhost.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host == "localhost" || net.ParseIP(host) != nil
}

func crossSite(r *http.Request, origins []string) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" { // "null": a sandbox, a file
			return !slices.Contains(origins, origin)
		}
		ip := net.ParseIP(u.Hostname())
		return u.Host != r.Host && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) && !slices.Contains(origins, origin)
	}
	link := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	shown := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Sec-Fetch-Mode") == "no-cors" && strings.HasPrefix(r.URL.Path, "/media/")
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && !link && !shown
}
