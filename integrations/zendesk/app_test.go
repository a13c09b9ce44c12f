package zendesk_test

import (
	"bytes"
	"encoding/json"
	"image/png"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/integrations/zendesk"
)

// What Zendesk's validation of apps asks, as far as its documentation and the source of
// its packaging tool say.
var (
	supportLocations = []string{
		"background", "modal", "nav_bar", "new_ticket_sidebar", "organization_sidebar", "ticket_editor", "ticket_sidebar", "top_bar", "user_sidebar",
	}
	manifestKeys = []string{
		"name", "author", "defaultLocale", "private", "location", "parameters", "version", "frameworkVersion", "signedUrls", "singleInstall", "noTemplate", "oauth", "domainWhitelist",
		"termsConditionsURL", "remoteInstallationURL",
	}
	parameterTypes = []string{"text", "textarea", "checkbox", "url", "number", "multiline", "hidden", "dropdown", "oauth", "multiselect"}
	locale         = regexp.MustCompile(`^[a-z]{2,3}(-[a-z0-9]{2,4})?$`)
)

type manifest struct {
	Name             string
	Author           struct{ Name, Email, URL string }
	DefaultLocale    string
	FrameworkVersion string
	Version          string
	SignedURLs       bool `json:"signedUrls"`
	Location         map[string]map[string]struct {
		URL      string
		Flexible bool
	}
	Parameters []struct {
		Name, Type string
		Required   bool
	}
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(zendesk.App, "app/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("{{bundle}}"), []byte("https://im.example.com"))
}

func TestManifest(t *testing.T) {
	var keys map[string]any
	var m manifest
	for _, v := range []any{&keys, &m} {
		if err := json.Unmarshal(file(t, "manifest.json"), v); err != nil {
			t.Fatal(err)
		}
	}
	for key := range keys {
		if !slices.Contains(manifestKeys, key) {
			t.Errorf("the manifest has an unknown key %q", key)
		}
	}
	if m.Author.Name == "" || !strings.Contains(m.Author.Email, "@") || m.DefaultLocale == "" || m.FrameworkVersion != "2.0" || len(m.Location) == 0 {
		t.Errorf("missing: author, defaultLocale, frameworkVersion 2.0 or location: %+v", m)
	}
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(m.Version) {
		t.Errorf("version %q", m.Version)
	}
	for product, locations := range m.Location {
		if product != "support" {
			t.Errorf("product %q", product)
		}
		for name, l := range locations {
			u, err := url.Parse(l.URL)
			local := err == nil && u.Scheme == "" && strings.HasPrefix(l.URL, "assets/")
			if !slices.Contains(supportLocations, name) || err != nil || !local && u.Scheme != "https" {
				t.Errorf("location %q at %q: https, or a packaged file", name, l.URL)
			}
			if m.SignedURLs && local {
				t.Errorf("%s: a packaged file gets no signed request", name)
			}
		}
	}
	names := make(map[string]bool)
	for _, p := range m.Parameters {
		if names[p.Name] || p.Name == "" || !slices.Contains(parameterTypes, p.Type) {
			t.Errorf("parameter %+v", p)
		}
		names[p.Name] = true
	}
	for _, logo := range []struct {
		name string
		side int
	}{{"assets/logo.png", 320}, {"assets/logo-small.png", 128}} {
		c, err := png.DecodeConfig(bytes.NewReader(file(t, logo.name)))
		if err != nil || c.Width != logo.side || c.Height != logo.side {
			t.Errorf("%s: %+v %v, want %d pixels a side", logo.name, c, err, logo.side)
		}
	}
	if svg := file(t, "assets/logo.svg"); !bytes.Contains(svg, []byte("viewBox=")) || bytes.Contains(svg, []byte("<script")) {
		t.Error("logo.svg")
	}
}

// TestTranslations: each language has what the default one has, in words of its own.
func TestTranslations(t *testing.T) {
	read := func(name string) map[string]string {
		var tree map[string]any
		if err := json.Unmarshal(file(t, "translations/"+name), &tree); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		flat := make(map[string]string)
		flatten(flat, "", tree)
		return flat
	}
	english := read("en.json")
	for _, key := range []string{"app.name", "app.short_description", "app.long_description", "app.installation_instructions", "app.parameters.group_field.label"} {
		if english[key] == "" {
			t.Errorf("en.json has no %s", key)
		}
	}
	entries, err := fs.ReadDir(zendesk.App, "app/translations")
	if err != nil {
		t.Fatal(err)
	}
	var languages []string
	for _, e := range entries {
		languages = append(languages, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
		texts := read(e.Name())
		if !slices.Equal(slices.Sorted(maps.Keys(texts)), slices.Sorted(maps.Keys(english))) {
			t.Errorf("%s has other keys than en.json", e.Name())
		}
		for key, text := range texts {
			if text == "" || e.Name() != "en.json" && text == english[key] {
				t.Errorf("%s: %s is not translated", e.Name(), key)
			}
		}
		if !locale.MatchString(languages[len(languages)-1]) {
			t.Errorf("%s is named after no locale", e.Name())
		}
	}
	if !slices.Equal(languages, []string{"en", "ja", "zh-cn"}) {
		t.Errorf("languages %v", languages)
	}
}

func flatten(flat map[string]string, prefix string, tree map[string]any) {
	for key, v := range tree {
		switch v := v.(type) {
		case string:
			flat[prefix+key] = v
		case map[string]any:
			flatten(flat, prefix+key+".", v)
		}
	}
}

// TestDefinitions: webhooks and trigger say what ticket-creator reads.
func TestDefinitions(t *testing.T) {
	for _, name := range []string{"events.json", "webhook.json", "trigger.json"} {
		b, err := fs.ReadFile(zendesk.Definitions, "definitions/"+name)
		if err != nil {
			t.Fatal(err)
		}
		var d map[string]map[string]any
		if err := json.Unmarshal(b, &d); err != nil || len(d) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var d struct {
		Trigger struct {
			Conditions struct {
				All, Any []struct{ Field, Operator string }
			}
			Actions []struct {
				Field string
				Value []string
			}
		}
	}
	b, _ := fs.ReadFile(zendesk.Definitions, "definitions/trigger.json")
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(d.Trigger.Actions[0].Value[1]), &body); err != nil {
		t.Fatalf("the body of the trigger is no JSON: %v", err)
	}
	if got := slices.Sorted(maps.Keys(body)); !slices.Equal(got, []string{"assignee_id", "external_id", "status", "ticket_id", "updated_at"}) {
		t.Errorf("the trigger's body has %v", got)
	}
	if c := d.Trigger.Conditions.All[0]; c.Field != "current_tags" || len(d.Trigger.Conditions.Any) != 2 {
		t.Errorf("conditions %+v", d.Trigger.Conditions)
	}
}
