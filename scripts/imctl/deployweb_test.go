package main

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newWebSite is a site whose bundle is a web function. Its URL answers a health check
// as the version does that the alias points to.
func newWebSite(t *testing.T, health func(version string) (status int, body string)) *site {
	t.Helper()
	s := newSite(t, "serverless.yml")
	s.edit("      handler: main\n", "      handler: main\n      type: web\n")
	s.edit("      retryNum: 2\n      msgTTL: 21600\n", "")
	file, err := os.ReadFile(filepath.Join(s.dir, s.file))
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(file), "    - type: timer\n")
	s.write(before)
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.scf.mu.Lock()
		version := s.scf.functions["backchannel-prod-bundle"].alias
		s.scf.mu.Unlock()
		if r.Method != http.MethodGet || r.URL.Path != "/healthz" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		status, body := health(version)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(at.Close)
	s.scf.web = at.URL
	return s
}

// TestDeployWebFunction: the zip of a web function starts the program by itself, where
// SCF asks for it.
func TestDeployWebFunction(t *testing.T) {
	s := newWebSite(t, func(string) (int, string) { return http.StatusOK, `{"status":"ok"}` })
	s.program("bundle", "#!/bin/sh\necho \"listens on $HOST:$PORT\"\n")
	s.do("apply").want(t, 0)
	is := s.scf.functions["backchannel-prod-bundle"]
	if is.config["Type"] != "HTTP" {
		t.Errorf("type %v", is.config["Type"])
	}
	if url := s.scf.env("backchannel-prod-bundle")["QUEUE_URL"]; url != "" {
		t.Errorf("jobs go to %s, which does none", url)
	}
	for _, call := range s.scf.calls {
		if strings.HasPrefix(call, "Invoke") {
			t.Error("a web function takes no events")
		}
	}
	unpacked := t.TempDir()
	z, err := zip.NewReader(bytes.NewReader(is.code), int64(len(is.code)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		in, err := z.Open(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(unpacked, f.Name), text, f.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	start := exec.CommandContext(t.Context(), "./scf_bootstrap")
	start.Dir = unpacked
	if out, err := start.CombinedOutput(); err != nil || string(out) != "listens on 0.0.0.0:9000\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestDeploySickWebFunction: a web function that does not start is noticed at its URL.
// The version before serves again, and plan does not call the deployment done.
func TestDeploySickWebFunction(t *testing.T) {
	sick := map[string]bool{"1": true, "3": true}
	s := newWebSite(t, func(version string) (int, string) {
		if sick[version] {
			return 443, `{"errorMessage":"exit status 1"}`
		}
		return http.StatusOK, `{"status":"ok","function":"bundle"}`
	})
	is := func() *fakeFunction { return s.scf.functions["backchannel-prod-bundle"] }
	s.do("apply").want(t, 1, "version 1 does not start", "/healthz answers status 443", "exit status 1", "no version before it", "log names every setting")
	s.do("plan").want(t, 0, "version 1 has not answered its health check", "publish a version")
	s.do("prune").want(t, 1, "not in force yet")
	s.do("rollback").want(t, 1, "has none before it")
	s.do("apply").want(t, 0, "version 2 is in force", "callback URL")
	s.do("plan").want(t, 0, "0 steps")

	s.program("bundle", "a program that does not start")
	s.do("apply").want(t, 1, "version 3 does not start", "$DEFAULT points to version 2 again")
	if is().alias != "2" {
		t.Errorf("version %s is in force", is().alias)
	}
	s.do("plan").want(t, 0, "update the code")
	s.do("apply").want(t, 0, "version 4 is in force")

	// Another program at the URL, and nobody there.
	s.program("bundle", "another one")
	s.scf.web = "http://127.0.0.1:1"
	is().triggers = nil
	s.do("apply").want(t, 1, "version 5 does not start", "cannot be reached from here", "$DEFAULT points to version 4 again")
}

// TestDeployWebFunctionIsResumable: an apply that ends between the alias and the health
// check is no release, and nothing to go back to.
func TestDeployWebFunctionIsResumable(t *testing.T) {
	s := newWebSite(t, func(version string) (int, string) {
		if version == "3" {
			return http.StatusOK, "hello" // another program
		}
		return http.StatusOK, `{"status":"ok"}`
	})
	s.do("apply").want(t, 0, "version 1 is in force")
	s.program("bundle", "another program")
	s.scf.stop = s.scf.changed + 4 // code, configuration, version and alias
	s.do("apply").want(t, 1, "points to version 2 for its health check", "UnauthorizedOperation.Stopped")
	s.scf.stop = 0
	s.do("plan").want(t, 0, "version 2 has not answered its health check")
	s.do("apply").want(t, 1, "version 3 does not start", "status 200: hello", "$DEFAULT points to version 1 again")
	s.do("apply").want(t, 0, "version 4 is in force")
	s.do("rollback").want(t, 0, "version 1 is in force, instead of 4")
}
