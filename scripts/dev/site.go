package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

//go:embed page
var page embed.FS

// site serves the page, what it needs, and the bundle behind it.
type site struct {
	bundle http.Handler
	seen   *feed
	scene  scene
	target string // the bundle's callback URL
	signer callback.Signer
	client http.Client
}

// newSite returns the site. Each of more adds routes for the page alone.
func newSite(bundle http.Handler, seen *feed, stage scene, addr string, more ...func(own func(pattern string, h http.Handler))) http.Handler {
	s := &site{
		bundle: bundle, seen: seen, scene: stage, target: "http://" + addr + "/im",
		signer: callback.Signer{SDKAppID: appID, Token: wiring.DevelopmentToken},
		client: http.Client{Timeout: 10 * time.Second},
	}
	mux := http.NewServeMux()
	mux.Handle("/", bundle)
	protection := http.NewCrossOriginProtection()
	own := func(pattern string, h http.Handler) { mux.Handle(pattern, protection.Handler(h)) }
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	serve := s.headers(http.FileServerFS(files))
	own("GET /{$}", serve)
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			own("GET /"+name, serve)
		}
		return err
	})
	if err != nil {
		panic(err) // the folder is embedded
	}
	own("GET /dev/scene", api.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		api.Reply(w, http.StatusOK, stage)
		return nil
	}))
	own("GET /dev/callbacks", seen)
	own("POST /dev/callbacks/{id}/replay", api.HandlerFunc(s.replay))
	own("/dev/", api.HandlerFunc(s.asServer))
	for _, add := range more {
		add(own)
	}
	return mux
}

// headers keep the page to itself: it runs its own scripts, talks to the site
// and the emulator, and to nobody else.
func (s *site) headers(h http.Handler) http.Handler {
	policy := "default-src 'self'; img-src data:; frame-ancestors 'none'; connect-src 'self' " + s.scene.Emulator
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// asServer passes a request on to the bundle's route of the same name, whichever
// that is, with the key that the page does not have.
func (s *site) asServer(w http.ResponseWriter, r *http.Request) error {
	u, err := url.Parse(r.URL.EscapedPath()[len("/dev"):])
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the path cannot be read")
	}
	u.RawQuery = r.URL.RawQuery
	onward := r.Clone(r.Context())
	onward.URL, onward.Pattern = u, ""
	onward.Header.Set("Authorization", "Bearer "+wiring.DevelopmentKey)
	s.bundle.ServeHTTP(w, onward)
	return nil
}

// replay sends a callback of the log a second time, signed anew.
func (s *site) replay(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return fault.New(fault.Invalid, "a callback's id is a number")
	}
	e, found := s.seen.find(id)
	if !found {
		return fault.New(fault.NotFound, "this callback is no longer remembered")
	}
	req, err := s.signer.Request(r.Context(), s.target, e.Command, e.Request)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "this was no callback that can be sent again")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the bundle did not answer")
	}
	defer resp.Body.Close()
	var answer json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("reading the bundle's answer: %w", err)
	}
	api.Reply(w, http.StatusOK, answer)
	return nil
}
