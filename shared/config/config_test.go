package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
)

func reader(env map[string]string) *config.Reader {
	return config.NewReader(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

// wantFaults asserts that there is one fault a line, each starting as given.
func wantFaults(t *testing.T, set *config.Reader, want ...string) {
	t.Helper()
	var got []string
	if err := set.Err(); err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("faults\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	set := reader(map[string]string{"SDK_APP_ID": "0", "TTL": "1h", "MODE": "closed", "DEBUG": "yes", "BASE": "example.com", "LIMIT": "11"})
	set.Uint32(config.Setting{Name: "SDK_APP_ID"})
	set.Text(config.Setting{Name: "SECRET", Meaning: "the app's key", Format: "64 hex digits", Required: true})
	set.Duration(config.Setting{Name: "TTL"}, time.Second, time.Minute)
	set.Choice(config.Setting{Name: "MODE"}, "open", "guest")
	set.Bool(config.Setting{Name: "DEBUG"})
	set.URL(config.Setting{Name: "BASE"})
	set.Int(config.Setting{Name: "LIMIT"}, 1, 10)
	wantFaults(
		t, set,
		"SDK_APP_ID: must be a whole number from 1 to 4294967295",
		"SECRET: required: the app's key (64 hex digits)",
		"TTL: must be a duration from 1s to 1m0s",
		"MODE: must be one of open, guest",
		"DEBUG: must be 1 or 0",
		"BASE: must be an absolute URL",
		"LIMIT: must be a whole number from 1 to 10",
	)
}

func TestValues(t *testing.T) {
	set := reader(map[string]string{
		"ID": "4294967295", "TTL": "90s", "MODE": "guest", "ON": "1", "OFF": "0",
		"BASE": "https://example.com/api/", "LIST": " a, b ,,c", "LIMIT": "10", "EMPTY": "",
	})
	got := []any{
		set.Uint32(config.Setting{Name: "ID"}), set.Duration(config.Setting{Name: "TTL"}, 0, time.Hour),
		set.Choice(config.Setting{Name: "MODE"}, "open", "guest"), set.Bool(config.Setting{Name: "ON"}), set.Bool(config.Setting{Name: "OFF"}),
		set.URL(config.Setting{Name: "BASE"}), set.Int(config.Setting{Name: "LIMIT"}, 1, 10),
		set.Text(config.Setting{Name: "EMPTY", Default: "default"}), set.Duration(config.Setting{Name: "NONE", Default: "15m"}, 0, time.Hour),
	}
	want := []any{
		uint32(4294967295), 90 * time.Second, "guest", true, false,
		"https://example.com/api", 10, "default", 15 * time.Minute,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if list := set.List(config.Setting{Name: "LIST"}); !slices.Equal(list, []string{"a", "b", "c"}) {
		t.Errorf("list %q", list)
	}
	wantFaults(t, set)
}

func TestOptionalAndUnset(t *testing.T) {
	set := reader(nil)
	if set.Uint32(config.Setting{Name: "A"}) != 0 || set.Int(config.Setting{Name: "B"}, 1, 2) != 0 || set.Bool(config.Setting{Name: "C"}) ||
		set.Duration(config.Setting{Name: "D"}, 1, 2) != 0 || set.List(config.Setting{Name: "E"}) != nil || set.URL(config.Setting{Name: "F"}) != "" ||
		set.Choice(config.Setting{Name: "G"}, "x") != "" {
		t.Error("an unset setting has a value")
	}
	wantFaults(t, set)
}

func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := config.Setting{Name: "KEY", Secret: true}
	overlay := map[string]string{"KEY": "from the document"}
	for want, env := range map[string]map[string]string{
		"from the environment": {"KEY": "from the environment"},
		"from the file":        {"KEY_FILE": path},
		"from the document":    {},
	} {
		set := reader(env)
		set.Overlay(overlay)
		if got := set.Text(key); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		wantFaults(t, set)
	}

	set := reader(map[string]string{"KEY": "a", "KEY_FILE": path, "OTHER_FILE": path + ".none"})
	if got := set.Text(key) + set.Text(config.Setting{Name: "OTHER"}); got != "" {
		t.Errorf("a faulty setting has the value %q", got)
	}
	wantFaults(t, set, "KEY: given twice, as KEY and as KEY_FILE", "OTHER: OTHER_FILE cannot be read")
}

func TestPublicValuesAreForDevelopmentOnly(t *testing.T) {
	env := func(name string) (string, bool) { return map[string]string{"KEY": "sample"}[name], true }
	key := config.Setting{Name: "KEY", Secret: true}

	deployed := config.NewReader(env)
	deployed.Publish("sample")
	if got := deployed.Text(key); got != "" {
		t.Errorf("a published sample was accepted: %q", got)
	}
	wantFaults(t, deployed, "KEY: is a published sample value")

	development := config.NewDevelopmentReader(env)
	development.Publish("sample")
	if got := development.Text(key); got != "sample" {
		t.Errorf("got %q", got)
	}
	wantFaults(t, development)
}

// TestPublishedValuesAreRefusedInLists: a secret among others is a secret.
func TestPublishedValuesAreRefusedInLists(t *testing.T) {
	set := reader(map[string]string{"SECRETS": "one of our own, sample", "WORDS": "sample"})
	set.Publish("sample")
	if got := set.List(config.Setting{Name: "SECRETS", Secret: true}); got != nil {
		t.Errorf("got %q", got)
	}
	if got := set.List(config.Setting{Name: "WORDS"}); len(got) != 1 { // no secret: it may be any word
		t.Errorf("got %q", got)
	}
	wantFaults(t, set, "SECRETS: item 2 is a published sample value")
}

func TestLengths(t *testing.T) {
	env := map[string]string{"SHORT": "123", "LONG": "123456789", "FITS": "1234", "LIST": "1234,12345678,1", "NAME": "x"}
	set := reader(env)
	for name, want := range map[string]string{"SHORT": "", "LONG": "", "FITS": "1234", "UNSET": ""} {
		if got := set.Text(config.Setting{Name: name, Secret: true, Least: 4, Most: 8}); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	set.List(config.Setting{Name: "LIST", Secret: true, Least: 4, Most: 8})
	set.Text(config.Setting{Name: "NAME", Least: 2})
	if got := set.Text(config.Setting{Name: "DEFAULT", Default: "d", Least: 2}); got != "d" {
		t.Errorf("a default is held against the bounds: %q", got)
	}
	var got []string
	for fault := range strings.SplitSeq(set.Err().Error(), "\n") {
		got = append(got, fault)
	}
	slices.Sort(got)
	want := []string{
		"LIST: item 3 is too easy to guess: it has fewer than 4 characters", "LONG: has more than 8 bytes",
		"NAME: has fewer than 2 bytes", "SHORT: is too easy to guess: it has fewer than 4 characters",
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults %q, want %q", got, want)
	}
}

func TestWarnings(t *testing.T) {
	set := reader(nil)
	set.Warn("OPEN", "anybody may call")
	set.Warn("OPEN", "anybody may call")
	if got := set.Warnings(); !slices.Equal(got, []string{"OPEN: anybody may call"}) || set.Err() != nil {
		t.Errorf("%q, %v", got, set.Err())
	}
}

func TestOneLineOfText(t *testing.T) {
	for _, v := range []string{"two\nlines", "nul\x00", "\xff"} {
		set := reader(map[string]string{"NAME": v})
		set.Text(config.Setting{Name: "NAME"})
		wantFaults(t, set, "NAME: must be one line of UTF-8 text")
	}
	pem := reader(map[string]string{"KEY": "-----BEGIN\nEND-----"})
	if pem.Text(config.Setting{Name: "KEY", Secret: true}) == "" {
		t.Error("a secret of two lines, such as a PEM file, was refused")
	}
	wantFaults(t, pem)
}

func TestNoFaultShowsASecret(t *testing.T) {
	const canary = "k7-canary-9"
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{
		{"KEY": canary},
		{"KEY": canary, "KEY_FILE": path},
		{"KEY_FILE": path},
		{"KEY": canary + "\xff"},
	} {
		set := reader(env)
		set.Publish(canary)
		key := config.Setting{Name: "KEY", Secret: true, Least: 1000}
		set.List(key)
		set.Text(key)
		set.Uint32(key)
		set.Duration(key, 1, 2)
		set.Choice(key, "open")
		set.URL(key)
		err := set.Err()
		if err == nil {
			t.Fatalf("%v has no fault", env)
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("shown: %v", err)
		}
	}
}

func TestListing(t *testing.T) {
	set := config.NewLister()
	set.Text(config.Setting{Name: "B", Required: true, Default: "x"})
	set.Uint32(config.Setting{Name: "A", Required: true})
	set.Text(config.Setting{Name: "B"})
	if !set.Listing() || !errors.Is(set.Err(), config.ErrListing) {
		t.Errorf("listing %v, %v", set.Listing(), set.Err())
	}
	if got := set.Settings(); len(got) != 2 || got[0].Name != "A" || got[1].Name != "B" || !got[1].Required {
		t.Errorf("settings %+v", got)
	}
}

func TestASettingAskedForTwiceHasOneFault(t *testing.T) {
	for _, env := range []map[string]string{nil, {"KEY_FILE": "/none"}, {"KEY": "sample"}, {"KEY": "\xff"}, {"KEY": "short"}} {
		set := reader(env)
		set.Publish("sample")
		for range 7 {
			set.Text(config.Setting{Name: "KEY", Required: true, Secret: true, Least: 6})
		}
		wantFaults(t, set, "KEY: ")
	}
}
