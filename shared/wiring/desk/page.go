package desk

import (
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/backchannel-im/backchannel/integrations/chat"
	"github.com/backchannel-im/backchannel/integrations/zendesk"
	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// page is the agents' chat page, which desks show in a frame.
type page struct {
	ancestors []string // origins whose pages may show it; none: it is not served
	config    chat.Config
}

func readPage(s *wiring.Settings) (p page) {
	setting := config.Setting{
		Name: "DESK_PAGE_ANCESTORS", Meaning: "origins of the desks that may show the agents' chat page, GET /chat/agent.html, in a frame; the page is not served without this setting",
		Format: "origins such as https://acme.zendesk.com or https://acme.lightning.force.com, separated by commas",
	}
	p.ancestors = s.List(setting)
	for _, o := range p.ancestors {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Path != "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(o, " ;'\"*?#") {
			s.Fault(setting.Name, "one is no origin: write https://HOST")
		}
	}
	p.config.Receipts = s.Bool(config.Setting{
		Name: "DESK_READ_RECEIPTS", Meaning: "messages of the agents' chat page ask for read receipts in tickets, which IM's Flagship edition has and its console switches on for Public groups", Format: "1 or 0", Default: "0",
	})
	p.config.Answers = s.List(config.Setting{
		Name: "DESK_ANSWERS", Meaning: "ready-made answers that the agents' chat page offers", Format: "sentences without commas, separated by commas",
	})
	for _, a := range s.List(config.Setting{
		Name: "DESK_AGENTS", Meaning: "colleagues whom the agents' chat page offers to hand a ticket to", Format: "ID=NAME, separated by commas; the ID is the agent's at the desk",
	}) {
		id, name, _ := strings.Cut(a, "=")
		p.config.Agents = append(p.config.Agents, chat.Agent{ID: strings.TrimSpace(id), Name: strings.TrimSpace(name)})
	}
	return p
}

// zafHost serves Zendesk's framework to the frames of apps.
const zafHost = "https://static.zdassets.com"

// routes adds the page, if there is a desk that may show it, and where Zendesk opens its
// app.
func (p page) routes(mux *http.ServeMux) {
	if len(p.ancestors) == 0 {
		return
	}
	files, err := fs.Sub(zendesk.Page, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	app, agents := http.StripPrefix("/chat", http.FileServerFS(files)), http.StripPrefix("/chat", chat.Handler(p.config))
	mux.Handle("GET /chat/{file}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, scripts, handler := r.PathValue("file"), "'self'", agents
		if strings.HasPrefix(name, "zendesk.") {
			scripts, handler = "'self' "+zafHost, app
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src "+scripts+"; style-src 'self'; img-src 'self' data: blob: https:; connect-src 'self' https: wss:; "+
			"frame-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self' "+strings.Join(p.ancestors, " "))
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		handler.ServeHTTP(w, r)
	}))
	mux.Handle("POST /zendesk/app", api.HandlerFunc(openApp))
}

// openApp answers the request with which Zendesk opens a frame of the app. It brings a
// token that says who the agent is; the page gets it where no server and no log sees it.
func openApp(w http.ResponseWriter, r *http.Request) error {
	body, err := api.ReadBody(r, api.MaxBody)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	token := form.Get("token")
	if err != nil || strings.Count(token, ".") != 2 || strings.ContainsFunc(token, func(c rune) bool {
		return c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) {
		return fault.New(fault.Invalid, "the form has no token: set signedUrls in the app's manifest")
	}
	query := make(url.Values)
	for _, name := range []string{"location", "origin", "app_guid"} {
		if v := r.URL.Query().Get(name); v != "" && len(v) <= 200 {
			query.Set(name, v)
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", "/chat/zendesk.html?"+query.Encode()+"#token="+token)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
