package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/moderation/lists"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

func TestRules(t *testing.T) {
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state.db"), boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	keys, err := api.ParseKeys([]string{"dev:" + wiring.DevelopmentKeyHash})
	if err != nil {
		t.Fatal(err)
	}
	set := compile.Default()
	set.Version = "november"
	image, err := compile.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rules.image", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image) })
	lists.New(lists.Config{Store: store, Base: wordlist.Default()}).Routes(mux, &api.Gate{Keys: keys})
	server := httptest.NewServer(mux)
	defer server.Close()
	rules := func(args ...string) result {
		return imctl(t, append([]string{"rules", "-url", server.URL}, args...)...)
	}
	sum := sha256.Sum256(image)
	url := fmt.Sprintf("%s/rules.image#sha256=%x", server.URL, sum)

	rules().want(t, 0, "in force", "as deployed")
	rules("promote").want(t, 1, "nothing to promote")
	rules("rollback").want(t, 1, "nothing to rollback")
	rules("stage", server.URL+"/rules.image").want(t, 1, "#sha256=")
	rules("stage", url, "-share", "120").want(t, 1, "percentage")
	rules("stage", url, "-share", "20").want(t, 0, "candidate, 20 % of rooms", "november", fmt.Sprintf("%.12x", sum[:6]))
	rules("stage", url, "-share", "60").want(t, 0, "candidate, 60 % of rooms")
	rules("promote").want(t, 0, "in force  november")
	rules("rollback").want(t, 0, "in force  (as deployed)")
	rules("rollback", "twice").want(t, 2, "usage")
	rules("stage").want(t, 2, "usage")
}
