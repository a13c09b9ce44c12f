package main

import (
	"strings"

	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/im"
)

// robo is the page's chatbot.
var robo = im.Robot{UserID: "@RBT#001", Nick: "Robo", SelfSignature: "a scripted model speaks through me"}

// newModel is a language model that follows a script: it knows how long the
// conversation is that it was told, fails when it is asked to, and repeats the
// rest.
func newModel() *modeltest.Server {
	m := &modeltest.Server{}
	m.Always(func(a modeltest.Asked) modeltest.Behaviour {
		switch said := strings.ToLower(a.Last()); {
		case strings.Contains(said, "fail"):
			return modeltest.Behaviour{Status: 400}
		case strings.Contains(said, "remember"):
			var before []string
			for i, role := range a.Roles[:len(a.Roles)-1] {
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

func modelSettings(url string) map[string]string {
	return map[string]string{"LLM_BASE_URL": url + "/v1", "LLM_MODEL": "scripted"}
}
