package main

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/osteele/liquid"
	"github.com/osteele/liquid/render"

	"github.com/backchannel-im/backchannel/integrations/chat"
	"github.com/backchannel-im/backchannel/integrations/shopify"
	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
)

//go:embed shop
var shopFiles embed.FS

// storefront is a demo shop whose theme has the app's block in it, rendered by a Liquid
// engine as Shopify does, and the theme editor's settings of the block.
type storefront struct {
	scene  scene
	blocks map[string]*liquid.Template // by language
	schema blockSchema
	texts  map[string]map[string]any // by file of the translations
	layout *template.Template

	mu     sync.Mutex
	values map[string]any
}

// blockSchema is what a block says of itself.
type blockSchema struct {
	Name     string         `json:"name"`
	Target   string         `json:"target"`
	Settings []blockSetting `json:"settings"`
}

type blockSetting struct {
	Type    string        `json:"type"`
	ID      string        `json:"id,omitempty"`
	Label   string        `json:"label,omitempty"`
	Info    string        `json:"info,omitempty"`
	Content string        `json:"content,omitempty"` // of a header
	Unit    string        `json:"unit,omitempty"`
	Default any           `json:"default,omitempty"`
	Min     float64       `json:"min,omitempty"`
	Max     float64       `json:"max,omitempty"`
	Step    float64       `json:"step,omitempty"`
	Options []blockOption `json:"options,omitempty"`
}

type blockOption struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

var schemaTag = regexp.MustCompile(`(?s)\{%-?\s*schema\s*-?%\}(.*)\{%-?\s*endschema\s*-?%\}`)

func newStorefront(stage scene) (*storefront, error) {
	s := &storefront{scene: stage, texts: map[string]map[string]any{}, blocks: map[string]*liquid.Template{}, values: map[string]any{}}
	source, err := fs.ReadFile(shopify.Files, shopify.Extension+"/blocks/chat.liquid")
	if err != nil {
		return nil, err
	}
	found := schemaTag.FindSubmatch(source)
	if found == nil {
		return nil, errors.New("the block has no schema")
	}
	if err := json.Unmarshal(found[1], &s.schema); err != nil {
		return nil, fmt.Errorf("the block's schema: %w", err)
	}
	translations, err := fs.Glob(shopify.Files, shopify.Extension+"/locales/*.json")
	if err != nil {
		return nil, err
	}
	for _, file := range translations {
		b, err := fs.ReadFile(shopify.Files, file)
		if err != nil {
			return nil, err
		}
		texts := map[string]any{}
		if err := json.Unmarshal(b, &texts); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		s.texts[file[len(shopify.Extension+"/locales/"):]] = texts
	}
	for _, setting := range s.schema.Settings {
		if setting.ID != "" {
			s.values[setting.ID] = cmp.Or[any](setting.Default, "")
		}
	}
	maps.Copy(s.values, map[string]any{
		"sdk_app_id": fmt.Sprint(appID), "usersig_url": "/apps/im", "agent_user_id": shopAgent,
		"logo_url": "/shop/logo.svg", "first_line": "Hi there", "second_line": "We usually answer within minutes.", "color": "#a8401f",
	})
	for language := range shopLanguages {
		engine := liquid.NewEngine()
		engine.RegisterBlock("schema", func(render.Context) (string, error) { return "", nil })
		engine.RegisterFilter("asset_url", func(name string) string { return "/chat/" + name })
		engine.RegisterFilter("t", func(key string) string { return s.text(shopLanguages[language]+".json", key) })
		if s.blocks[language], err = parseBlock(engine, source); err != nil {
			return nil, err
		}
	}
	s.layout, err = template.ParseFS(shopFiles, "shop/layout.html")
	return s, err
}

func parseBlock(engine *liquid.Engine, source []byte) (*liquid.Template, error) {
	t, err := engine.ParseTemplate(source)
	if err != nil { // its type is not error
		return nil, fmt.Errorf("the block: %w", err)
	}
	return t, nil
}

// shopLanguages are the languages of the demo shop, with the translations of each.
var shopLanguages = map[string]string{"en": "en.default", "ja": "ja", "zh-CN": "zh-CN", "ar": "en.default"}

// text returns a translation by its key, such as chat.open, or the key.
func (s *storefront) text(file, key string) string {
	var at any = s.texts[file]
	for part := range strings.SplitSeq(key, ".") {
		inner, _ := at.(map[string]any)
		at = inner[part]
	}
	if text, ok := at.(string); ok {
		return text
	}
	return key
}

// label returns a text of the schema, which may be the key of a translation.
func (s *storefront) label(language, text string) string {
	if key, ok := strings.CutPrefix(text, "t:"); ok {
		return s.text(cmp.Or(shopLanguages[language], "en.default")+".schema.json", key)
	}
	return text
}

func (s *storefront) routes(own func(pattern string, h http.Handler)) {
	config := chat.Config{
		Answers:  []string{"Hello, how can I help you?", "One moment please, I am looking into it.", "Is there anything else I can do for you?"},
		Receipts: true,
		Agents:   []chat.Agent{{ID: "701", Name: "Agent 701"}, {ID: "702", Name: "Agent 702"}},
	}
	if chat.HasSDK() {
		config.ProxyServer = strings.Replace(s.scene.Emulator, "http", "ws", 1) + "/ws"
	} else {
		config.Emulator = s.scene.Emulator
	}
	own("GET /chat/{file}", s.headers(http.StripPrefix("/chat", chat.Handler(config))))
	own("GET /shop/{$}", s.headers(api.HandlerFunc(s.page)))
	files, err := fs.Sub(shopFiles, "shop")
	if err != nil {
		panic(err) // the folder is embedded
	}
	own("GET /shop/{file}", s.headers(http.StripPrefix("/shop", http.FileServerFS(files))))
	merchant, err := fs.Sub(shopify.Files, "app")
	if err != nil {
		panic(err) // the folder is embedded
	}
	own("GET /shopify/app/", s.headers(http.StripPrefix("/shopify/app", http.FileServerFS(merchant))))
	own("POST /shop/login", s.headers(api.HandlerFunc(s.login)))
	own("GET /dev/shop", api.HandlerFunc(s.settings))
	own("PUT /dev/shop", api.HandlerFunc(s.change))
}

// headers are as strict as a shop's may be: scripts and styles of its own only.
func (s *storefront) headers(h http.Handler) http.Handler {
	socket := strings.Replace(s.scene.Emulator, "http", "ws", 1)
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: https: " + s.scene.Emulator +
		"; connect-src 'self' " + s.scene.Emulator + " " + socket + "; worker-src blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// page renders the shop with the block at the end of its body, as Shopify does
// with an app embed. design=1 is the theme editor's preview; desk=1 has the chat open
// tickets, whatever the settings say.
func (s *storefront) page(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	language := q.Get("lang")
	if shopLanguages[language] == "" {
		language = "en"
	}
	customer := ""
	if c, err := r.Cookie(customerCookie); err == nil {
		customer = c.Value
	}
	block, err := s.render(language, customer, q.Get("design") == "1", q.Get("desk") == "1")
	if err != nil {
		return err
	}
	direction := "ltr"
	if language == "ar" {
		direction = "rtl"
	}
	var out bytes.Buffer
	if err := s.layout.Execute(&out, map[string]any{
		"Language": language, "Direction": direction, "Customer": customer, "Query": r.URL.RawQuery, "Hostile": q.Get("hostile") == "1",
		"Block": template.HTML(block), //nolint:gosec // escaped by the block itself, as at Shopify
	}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes()) // the client has gone
	return nil
}

func (s *storefront) render(language, customer string, design, desk bool) (string, error) {
	s.mu.Lock()
	values := maps.Clone(s.values)
	s.mu.Unlock()
	if desk {
		values["desk_url"] = "/"
	}
	for id, value := range values {
		if n, ok := value.(float64); ok { // of JSON; Liquid writes whole numbers without a fraction
			values[id] = int(n)
		}
	}
	block := map[string]any{"settings": values}
	if design {
		block["shopify_attributes"] = `data-shopify-editor-block="{}"`
	}
	out, err := s.blocks[language].RenderString(map[string]any{
		"block": block, "request": map[string]any{"design_mode": design, "locale": map[string]any{"iso_code": language}},
		"customer": map[string]any{"id": customer}, "blank": "",
	})
	if err != nil { // its type is not error
		return "", fmt.Errorf("rendering the block: %w", err)
	}
	return out, nil
}

// login logs a customer of the shop in, or out.
func (s *storefront) login(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	customer := r.FormValue("customer")
	if len(customer) > 16 || strings.Trim(customer, "0123456789") != "" {
		return fault.New(fault.Invalid, "a customer's id is up to 16 digits")
	}
	cookie := &http.Cookie{Name: customerCookie, Value: customer, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if customer == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
	http.Redirect(w, r, "/shop/?"+r.URL.RawQuery, http.StatusSeeOther)
	return nil
}

// settings is the theme editor: the block's settings with their labels, and what
// they are set to.
func (s *storefront) settings(w http.ResponseWriter, r *http.Request) error {
	language := r.URL.Query().Get("lang")
	list := slices.Clone(s.schema.Settings)
	for i := range list {
		list[i].Label, list[i].Info, list[i].Content = s.label(language, list[i].Label), s.label(language, list[i].Info), s.label(language, list[i].Content)
		list[i].Options = slices.Clone(list[i].Options)
		for j := range list[i].Options {
			list[i].Options[j].Label = s.label(language, list[i].Options[j].Label)
		}
	}
	s.mu.Lock()
	values := maps.Clone(s.values)
	s.mu.Unlock()
	api.Reply(w, http.StatusOK, map[string]any{"name": s.label(language, s.schema.Name), "settings": list, "values": values, "sdk": chat.HasSDK()})
	return nil
}

func (s *storefront) change(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		Values map[string]any `json:"values"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	for id, value := range asked.Values {
		i := slices.IndexFunc(s.schema.Settings, func(b blockSetting) bool { return b.ID == id && id != "" })
		if i < 0 {
			return fault.New(fault.Invalid, "the block has no setting %q", id)
		}
		if err := s.schema.Settings[i].check(value); err != nil {
			return err
		}
	}
	s.mu.Lock()
	maps.Copy(s.values, asked.Values)
	s.mu.Unlock()
	return s.settings(w, r)
}

func (b blockSetting) check(value any) error {
	switch b.Type {
	case "range", "number":
		n, ok := value.(float64)
		if !ok || b.Type == "range" && (n < b.Min || n > b.Max) {
			return fault.New(fault.Invalid, "%s is a number within its range", b.ID)
		}
	default:
		text, ok := value.(string)
		if !ok || len(text) > 2000 {
			return fault.New(fault.Invalid, "%s is a text", b.ID)
		}
		if b.Type == "select" && !slices.ContainsFunc(b.Options, func(o blockOption) bool { return o.Value == text }) {
			return fault.New(fault.Invalid, "%s is one of its options", b.ID)
		}
	}
	return nil
}
