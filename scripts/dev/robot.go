package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
)

// robo is the page's chatbot.
var robo = im.Robot{UserID: "@RBT#001", Nick: "Robo", SelfSignature: "a scripted model speaks through me"}

// The pages that Robo knows.
//
//go:embed help/*.md
var helpPages embed.FS

// pace is between the words of the scripted model, slow enough to be seen.
const pace = 60 * time.Millisecond

const story = "Once upon a time there was a small backend that answered every message exactly once. " +
	"One night its worker died in the middle of a sentence, and another worker read what was stored, " +
	"asked for the rest, and finished the very same message. Nobody noticed, and they all chatted happily ever after."

// newModel is a language model that follows a script: it looks questions about the
// shop up, calls a person when it is asked to, tells a story slowly, knows how long
// the conversation is that it was told, fails when it is asked to, and repeats the
// rest.
func newModel() *modeltest.Server {
	m := &modeltest.Server{}
	slow := func(text string) modeltest.Behaviour {
		return modeltest.Behaviour{Pieces: strings.SplitAfter(text, " "), Before: func(int) { time.Sleep(pace) }}
	}
	m.Always(func(a modeltest.Asked) modeltest.Behaviour {
		last := len(a.Roles) - 1
		if a.Roles[last] == "tool" {
			return slow(fromPassages(a.Texts[last]))
		}
		switch said := strings.ToLower(a.Last()); {
		case strings.Contains(said, "fail"):
			return modeltest.Behaviour{Status: 400}
		case strings.Contains(said, "story"):
			return slow(strings.TrimPrefix(story, a.Begun))
		case a.Body["tools"] != nil && (strings.Contains(said, "person") || strings.Contains(said, "human")):
			return toolCall("hand_over", map[string]string{"summary": "Wants to talk to a person: " + a.Last()})
		case a.Body["tools"] != nil && (strings.Contains(said, "send it back") || strings.Contains(said, "return") || strings.Contains(said, "shipping") || strings.Contains(said, "refund") || strings.Contains(said, "退货")):
			return toolCall("search_knowledge", map[string]string{"query": a.Last()})
		case strings.Contains(said, "remember"):
			var before []string
			for i, role := range a.Roles[:last] {
				if role == "user" {
					before = append(before, "“"+a.Texts[i]+"”")
				}
			}
			if before == nil {
				return modeltest.Behaviour{Text: "We have not talked before."}
			}
			return modeltest.Behaviour{Text: "<think>What was it?</think>You said " + strings.Join(before, ", then ") + "."}
		}
		return modeltest.Behaviour{}
	})
	return m
}

func toolCall(name string, arguments map[string]string) modeltest.Behaviour {
	text, _ := json.Marshal(arguments) // texts
	return modeltest.Behaviour{Calls: []modeltest.Call{{ID: "call_1", Name: name, Arguments: string(text)}}}
}

// fromPassages answers with the first passage that was found.
func fromPassages(found string) string {
	_, passage, is := strings.Cut(found, "[1] ")
	if !is {
		return "Our pages say nothing about that. Ask me for a person."
	}
	_, text, _ := strings.Cut(passage, "\n")
	text, _, _ = strings.Cut(text, "\n\n")
	return text + " [1]"
}

// modelSettings writes what Robo knows into the folder of the state, and says where
// its model and its pages are.
func modelSettings(o options, model, page string) (map[string]string, error) {
	folder, err := fs.Sub(helpPages, "help")
	if err != nil {
		return nil, err
	}
	image, err := knowledge.Compile(folder)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.state, "help.image")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		return nil, err
	}
	return map[string]string{
		"LLM_BASE_URL": model + "/v1", "LLM_MODEL": "scripted", "BOT_KNOWLEDGE": file, "BOT_KNOWLEDGE_URL": page + "/dev/help",
	}, nil
}

// helpRoutes shows the pages that Robo cites, with an anchor at each heading.
func helpRoutes(own func(pattern string, h http.Handler)) {
	own("GET /dev/help/{page}", api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		text, err := helpPages.ReadFile("help/" + r.PathValue("page"))
		if err != nil {
			return fault.New(fault.NotFound, "there is no such page")
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, err = fmt.Fprintf(w, "<!doctype html><html lang=en><title>Help</title><body>%s</body></html>", htmlOf(string(text)))
		return err
	}))
}

func htmlOf(markdown string) string {
	var out strings.Builder
	for _, line := range strings.Split(markdown, "\n") {
		heading := strings.TrimLeft(line, "#")
		switch level := len(line) - len(heading); {
		case level > 0:
			heading = strings.TrimSpace(heading)
			fmt.Fprintf(&out, "<h%d id=\"%s\">%s</h%[1]d>", level, html.EscapeString(knowledge.Anchor(heading)), html.EscapeString(heading))
		case line != "":
			fmt.Fprintf(&out, "<p>%s</p>", html.EscapeString(line))
		}
	}
	return out.String()
}
