// Package chat holds the browser's side of a chat: the widget of a shop, and the
// page with which agents answer. See README.md.
package chat

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed *.js agent.html sdk
var files embed.FS

// SDKFile is the Chat SDK, where scripts/build-widget.sh has copied it.
const SDKFile = "sdk-chat.js"

// Config is what one deployment sets, in place of config.js.
type Config struct {
	Backend     string   `json:"backend,omitempty"`
	ProxyServer string   `json:"proxyServer,omitempty"` // of the Chat SDK
	Emulator    string   `json:"emulator,omitempty"`    // base URL; its client API stands for the SDK
	Receipts    bool     `json:"receipts,omitempty"`    // messages in groups ask for read receipts
	Answers     []string `json:"answers,omitempty"`
	Agents      []Agent  `json:"agents,omitempty"`
}

// Agent is a colleague whom a ticket can be handed to.
type Agent struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// HasSDK reports whether the Chat SDK was copied before this was compiled.
func HasSDK() bool {
	_, err := fs.Stat(files, "sdk/"+SDKFile)
	return err == nil
}

// Handler serves the files, all in one folder, with the settings of config. Headers
// such as Content-Security-Policy are the caller's.
func Handler(config Config) http.Handler {
	b, err := json.Marshal(config)
	if err != nil {
		panic(err) // strings marshal
	}
	settings := "export default " + string(b) + ";\n"
	serve := http.FileServerFS(flat{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.TrimPrefix(r.URL.Path, "/") == "config.js" {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = w.Write([]byte(settings)) // the client has gone
			return
		}
		serve.ServeHTTP(w, r)
	})
}

// flat shows the SDK beside the other files, as every deployment has it.
type flat struct{}

func (flat) Open(name string) (fs.File, error) {
	switch {
	case strings.HasPrefix(name, "sdk-"):
		return files.Open("sdk/" + name)
	case strings.HasSuffix(name, ".js"), strings.HasSuffix(name, ".html"):
		return files.Open(name)
	}
	return nil, fs.ErrNotExist
}
