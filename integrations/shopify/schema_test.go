package shopify_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/integrations/shopify"
)

// What Shopify's documentation allows; its linter checks neither targets nor the
// types of settings.
var (
	targets    = []string{"body", "head", "section", "compliance_head"}
	inputTypes = []string{
		"checkbox", "number", "radio", "range", "select", "text", "textarea", "article", "blog", "collection", "collection_list", "color", "color_background",
		"color_scheme", "font_picker", "html", "image_picker", "inline_richtext", "link_list", "liquid", "page", "product", "product_list", "richtext", "text_alignment", "url", "video", "video_url",
	}
	sidebarTypes = []string{"header", "paragraph"}
	required     = []string{"sdk_app_id", "usersig_url", "agent_user_id"}
)

type setting struct {
	Type, ID, Label, Info, Content string
	Default                        any
	Min, Max, Step                 *float64
	Options                        []struct{ Value, Label string }
}

type schema struct {
	Name, Target, Javascript, Stylesheet string
	Settings                             []setting
}

var (
	schemaTag = regexp.MustCompile(`(?s)\{%\s*schema\s*%\}(.*)\{%\s*endschema\s*%\}`)
	idForm    = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

func block(t *testing.T) (source string, s schema) {
	t.Helper()
	b, err := fs.ReadFile(shopify.Files, shopify.Extension+"/blocks/chat.liquid")
	if err != nil {
		t.Fatal(err)
	}
	found := schemaTag.FindSubmatch(b)
	if found == nil {
		t.Fatal("no schema")
	}
	raw := map[string]any{}
	if err := json.Unmarshal(found[1], &raw); err != nil {
		t.Fatal(err)
	}
	for key := range raw {
		if !slices.Contains([]string{"name", "target", "javascript", "stylesheet", "settings", "class", "tag", "templates", "enabled_on", "disabled_on", "available_if", "default"}, key) {
			t.Errorf("the schema has an unknown key %q", key)
		}
	}
	if err := json.Unmarshal(found[1], &s); err != nil {
		t.Fatal(err)
	}
	return string(b), s
}

// faults returns what is wrong with a schema.
func faults(s schema) []string {
	var out []string
	fault := func(what string) { out = append(out, what) }
	if !slices.Contains(targets, s.Target) {
		fault("target " + s.Target)
	}
	if s.Name == "" {
		fault("no name")
	}
	if len(s.Settings) > 25 {
		fault("more than 25 settings")
	}
	seen := map[string]bool{}
	for _, f := range s.Settings {
		switch {
		case slices.Contains(sidebarTypes, f.Type):
			if f.Content == "" || f.ID != "" {
				fault(f.Type + " without content, or with an id")
			}
			continue
		case !slices.Contains(inputTypes, f.Type):
			fault("type " + f.Type)
		}
		if !idForm.MatchString(f.ID) || seen[f.ID] {
			fault("id " + f.ID)
		}
		seen[f.ID] = true
		if f.Label == "" {
			fault(f.ID + " without label")
		}
		switch f.Type {
		case "select":
			values := map[string]bool{}
			for _, o := range f.Options {
				if values[o.Value] || o.Label == "" {
					fault(f.ID + " option " + o.Value)
				}
				values[o.Value] = true
			}
			if d, ok := f.Default.(string); !ok || !values[d] {
				fault(f.ID + " default is none of its options")
			}
		case "range":
			d, ok := f.Default.(float64)
			if !ok || f.Min == nil || f.Max == nil || f.Step == nil || d < *f.Min || d > *f.Max || (*f.Max-*f.Min) / *f.Step > 100 {
				fault(f.ID + " range")
			}
		case "text":
			if d, ok := f.Default.(string); f.Default != nil && (!ok || d == "") {
				fault(f.ID + " default is empty, which Shopify refuses")
			}
		}
	}
	return out
}

func TestSchema(t *testing.T) {
	source, s := block(t)
	for _, f := range faults(s) {
		t.Error(f)
	}
	var ids []string
	for _, f := range s.Settings {
		if f.ID != "" {
			ids = append(ids, f.ID)
			if !strings.Contains(source, "block.settings."+f.ID) {
				t.Errorf("setting %s is not used", f.ID)
			}
		}
	}
	for _, want := range append(required, "logo_url", "first_line", "second_line", "position", "color", "language") {
		if !slices.Contains(ids, want) {
			t.Errorf("no setting %s", want)
		}
	}
	for _, used := range regexp.MustCompile(`block\.settings\.([a-z_]+)`).FindAllStringSubmatch(source, -1) {
		if !slices.Contains(ids, used[1]) {
			t.Errorf("the block uses %s, which is no setting", used[1])
		}
	}
	for _, asset := range regexp.MustCompile(`'([^']+)' \| asset_url`).FindAllStringSubmatch(source, -1) {
		if _, err := os.Stat("../chat/" + asset[1]); err != nil {
			t.Errorf("asset %s: %v", asset[1], err)
		}
	}
	if regexp.MustCompile(`\{%-?\s*(javascript|stylesheet|include|layout|section)\b`).MatchString(source) {
		t.Error("a tag that app embed blocks may not have")
	}
	if len(source) > 100_000 {
		t.Error("over 100 KB of Liquid")
	}
	if s.Javascript != "" {
		t.Error("the schema loads a script even while the settings are blank")
	}
}

// TestFaultsAreFound holds the check against schemas that Shopify refuses.
func TestFaultsAreFound(t *testing.T) {
	for name, bad := range map[string]schema{
		"target":       {Name: "x", Target: "nowhere"},
		"type":         {Name: "x", Target: "body", Settings: []setting{{Type: "texty", ID: "a", Label: "A"}}},
		"twice":        {Name: "x", Target: "body", Settings: []setting{{Type: "text", ID: "a", Label: "A"}, {Type: "text", ID: "a", Label: "A"}}},
		"default":      {Name: "x", Target: "body", Settings: []setting{{Type: "select", ID: "a", Label: "A", Default: "z"}}},
		"empty text":   {Name: "x", Target: "body", Settings: []setting{{Type: "text", ID: "a", Label: "A", Default: ""}}},
		"range":        {Name: "x", Target: "body", Settings: []setting{{Type: "range", ID: "a", Label: "A", Default: 3.0}}},
		"header":       {Name: "x", Target: "body", Settings: []setting{{Type: "header"}}},
		"name":         {Target: "body"},
		"no such id":   {Name: "x", Target: "body", Settings: []setting{{Type: "text", ID: "A b", Label: "A"}}},
		"without name": {Name: "x", Target: "body", Settings: []setting{{Type: "text", ID: "a"}}},
	} {
		if len(faults(bad)) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

// TestTranslations: every language has every text, for shoppers and for merchants,
// and the block and its schema ask for none that is missing.
func TestTranslations(t *testing.T) {
	source, s := block(t)
	read := func(name string) map[string]string {
		b, err := fs.ReadFile(shopify.Files, shopify.Extension+"/locales/"+name)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := json.Unmarshal(b, &tree); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out := map[string]string{}
		flatten("", tree, out)
		return out
	}
	for _, kind := range []string{".json", ".schema.json"} {
		english := read("en.default" + kind)
		for _, language := range []string{"ja", "zh-CN"} {
			other := read(language + kind)
			for key := range english {
				if other[key] == "" {
					t.Errorf("%s%s lacks %s", language, kind, key)
				}
			}
			for key := range other {
				if english[key] == "" {
					t.Errorf("%s%s has %s, which English has not", language, kind, key)
				}
			}
		}
	}
	shopper, merchant := read("en.default.json"), read("en.default.schema.json")
	asked := map[string]bool{}
	for _, m := range regexp.MustCompile(`'([a-z_.]+)' \| t\b`).FindAllStringSubmatch(source, -1) {
		asked[m[1]] = true
		if shopper[m[1]] == "" {
			t.Errorf("no translation of %s", m[1])
		}
	}
	for key := range shopper {
		if !asked[key] {
			t.Errorf("the translation of %s is not used", key)
		}
	}
	keys := []string{s.Name}
	for _, f := range s.Settings {
		keys = append(keys, f.Label, f.Info, f.Content)
		for _, o := range f.Options {
			keys = append(keys, o.Label)
		}
	}
	for _, key := range keys {
		if name, ok := strings.CutPrefix(key, "t:"); ok && merchant[name] == "" {
			t.Errorf("no translation of %s", key)
		}
	}
}

func flatten(prefix string, tree map[string]any, out map[string]string) {
	for key, v := range tree {
		switch v := v.(type) {
		case string:
			out[prefix+key] = v
		case map[string]any:
			flatten(prefix+key+".", v, out)
		}
	}
}
